//! Where a stream's discarded batches are reported, and what becomes of a batch that cannot be (`docs/semantics.md`
//! 6.7). A [`DestinationArn`] names something that AWS takes as a destination; its text is kept as it was given. Whether
//! it exists, and may be written to, only a server knows. Pure.

use std::fmt;
use std::str::FromStr;

use super::arn::{consists_of, is_account, is_name_character};

/// What is done about batches that a stream's mapping discards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnFailure {
    /// Where they are reported.
    pub destination: DestinationArn,
    /// What becomes of a batch whose report is not taken.
    pub undeliverable: Undeliverable,
}

/// What becomes of a discarded batch while its destination does not take the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undeliverable {
    /// Its lane keeps it and repeats the delivery: nothing is lost.
    #[default]
    Keep,
    /// It is lost after one try, and the lane goes on, as at AWS.
    Drop,
}

/// The ARN of a standard queue, a standard topic or a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DestinationArn {
    text: String,
    kind: DestinationKind,
}

/// The services that take reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestinationKind {
    /// An SQS queue.
    Sqs,
    /// An SNS topic.
    Sns,
    /// An S3 bucket.
    S3,
}

impl DestinationKind {
    /// The value of the label `destination_type` in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::Sns => "sns",
            Self::S3 => "s3",
        }
    }
}

/// The text names no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationArnError {
    /// Longer than Lambda's API takes.
    #[error("Member must have length less than or equal to {TEXT_LENGTH_MAX}")]
    TooLong,
    /// Not an ARN, or one that its service would not make.
    #[error(
        "must be the ARN of a queue (arn:aws:sqs:REGION:ACCOUNT:NAME), a topic (arn:aws:sns:REGION:ACCOUNT:NAME) or a \
         bucket (arn:aws:s3:::NAME)"
    )]
    Malformed,
    /// A FIFO queue or topic.
    #[error("must be a standard queue or topic, not a FIFO one")]
    Fifo,
}

impl DestinationArn {
    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which service's it is.
    #[must_use]
    pub const fn kind(&self) -> DestinationKind {
        self.kind
    }

    /// The region: `[a-z0-9-]+`, and not always one of AWS's; empty for a bucket.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account: twelve digits; empty for a bucket.
    #[must_use]
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// The name of the queue, topic or bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        self.part(5)
    }

    fn part(&self, index: usize) -> &str {
        self.text.splitn(6, ':').nth(index).expect("a parsed ARN has six parts")
    }
}

impl FromStr for DestinationArn {
    type Err = DestinationArnError;

    /// Any region `[a-z0-9-]+` is accepted for queues and topics: servers other than AWS invent their own.
    fn from_str(text: &str) -> Result<Self, DestinationArnError> {
        if text.chars().count() > TEXT_LENGTH_MAX {
            return Err(DestinationArnError::TooLong);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, name] = parts.as_slice() else {
            return Err(DestinationArnError::Malformed);
        };
        let is_partition = partition.starts_with("aws")
            && consists_of(partition, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let is_owned = consists_of(region, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && is_account(account)
            && consists_of(name, is_name_character);
        let kind = match *service {
            "sqs" if is_owned => DestinationKind::Sqs,
            "sns" if is_owned => DestinationKind::Sns,
            "s3" if region.is_empty() && account.is_empty() && is_bucket(name) => DestinationKind::S3,
            _ => return Err(DestinationArnError::Malformed),
        };
        match kind {
            _ if !is_partition => Err(DestinationArnError::Malformed),
            DestinationKind::Sqs | DestinationKind::Sns if name.strip_suffix(".fifo").is_some() => {
                Err(DestinationArnError::Fifo)
            }
            _ => Ok(Self { text: text.to_owned(), kind }),
        }
    }
}

impl fmt::Display for DestinationArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Wider than AWS's rules for new buckets: old ones, and those of other servers, have longer names and capitals.
fn is_bucket(name: &str) -> bool {
    (3..=255).contains(&name.len()) && consists_of(name, is_name_character)
}

/// The longest text, in characters.
const TEXT_LENGTH_MAX: usize = 350;

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 6.7
    #[test]
    fn standard_queues_standard_topics_and_buckets_are_destinations() {
        for (text, kind, region, account, name) in [
            ("arn:aws:sqs:eu-west-1:123456789012:failed", DestinationKind::Sqs, "eu-west-1", "123456789012", "failed"),
            ("arn:aws-cn:sns:local:000000000000:f-1", DestinationKind::Sns, "local", "000000000000", "f-1"),
            ("arn:aws:s3:::failed.batches", DestinationKind::S3, "", "", "failed.batches"),
        ] {
            let arn: DestinationArn = text.parse().expect("a destination");
            assert_eq!((arn.kind(), arn.region(), arn.account(), arn.name()), (kind, region, account, name));
            assert_eq!((arn.as_str(), arn.to_string()), (text, text.to_owned()));
            assert!(text.split(':').any(|part| part == kind.name()), "{text}");
        }
    }

    /// `docs/semantics.md` 1.7
    #[test]
    fn a_fifo_queue_or_topic_is_no_destination() {
        for text in ["arn:aws:sqs:eu-west-1:123456789012:failed.fifo", "arn:aws:sns:eu-west-1:123456789012:failed.fifo"]
        {
            assert_eq!(text.parse::<DestinationArn>(), Err(DestinationArnError::Fifo), "{text}");
        }
        assert!("arn:aws:s3:::failed.fifo".parse::<DestinationArn>().is_ok());
    }

    #[test]
    fn what_a_service_does_not_make_is_no_destination() {
        for text in [
            "",
            "failed",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/failed",
            "kafka://failed",
            "arn:gcp:sqs:eu-west-1:123456789012:failed",
            "arn:aws:sqs:eu-west-1:123456789012",
            "arn:aws:sqs:eu-west-1:123456789012:",
            "arn:aws:sqs::123456789012:failed",
            "arn:aws:sqs:eu-west-1:12345:failed",
            "arn:aws:sqs:EU:123456789012:failed",
            "arn:aws:sqs:eu-west-1:123456789012:failed\n",
            "arn:aws:sns:eu-west-1:123456789012:failed:0d3e4f5a",
            "arn:aws:lambda:eu-west-1:123456789012:function:failed",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/failed",
            "arn:aws:events:eu-west-1:123456789012:event-bus/failed",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/failed",
            "arn:aws:s3:::failed/batches",
            "arn:aws:s3:::ab",
            "arn:aws:s3:::",
        ] {
            assert_eq!(text.parse::<DestinationArn>(), Err(DestinationArnError::Malformed), "{text:?}");
        }
    }

    /// `docs/semantics.md` 1.3
    #[test]
    fn a_destination_has_at_most_350_characters() {
        let queue = |length: usize| format!("arn:aws:sqs:eu-west-1:123456789012:{}", "q".repeat(length - 35));
        assert_eq!(queue(350).len(), 350);
        assert!(queue(350).parse::<DestinationArn>().is_ok());
        assert_eq!(queue(351).parse::<DestinationArn>(), Err(DestinationArnError::TooLong));
    }
}
