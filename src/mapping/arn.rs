//! Parsed ARNs of sources, and functions as mappings name them (`docs/semantics.md` 1.3, 1.4). A value of these types
//! is well formed, and its text is kept as it was given, since AWS answers with that text. Whether its region fits the
//! configuration is for `validate` to judge; whether it exists, only a server knows.

use std::fmt;
use std::str::FromStr;

/// The ARN of an event source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceArn {
    text: String,
}

/// What a [`SourceArn`] points at, as far as mappings know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// An SQS queue, standard or FIFO.
    Sqs,
    /// A Kinesis stream.
    Kinesis,
    /// A registered consumer of a Kinesis stream: enhanced fan-out.
    KinesisConsumer,
    /// The stream of a `DynamoDB` table.
    DynamodbStreams,
    /// Anything else.
    Other,
}

/// The text is not the ARN of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Member must satisfy regular expression pattern: {SOURCE_PATTERN}")]
pub struct SourceArnError;

/// A function as a mapping names it: name, partial ARN or full ARN, with or without qualifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionName {
    text: String,
    partition: Option<String>,
    region: Option<String>,
    account: Option<String>,
    name: String,
    qualifier: Option<String>,
}

/// The text does not name a function. The messages are the constraints of Lambda's API model (`docs/semantics.md` 1.7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionNameError {
    /// The function's name is longer than 64 characters, or the whole text longer than 256.
    #[error("Member must have length less than or equal to {longest}")]
    TooLong {
        /// The limit that it exceeds.
        longest: usize,
    },
    /// None of the accepted forms.
    #[error("Member must satisfy regular expression pattern: {FUNCTION_PATTERN}")]
    Malformed,
}

impl SourceArn {
    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition, such as `aws` or `aws-cn`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// The region: `[a-z0-9-]+`, never empty, and not always one of AWS's.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account: twelve digits.
    #[must_use]
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// What the ARN points at.
    #[must_use]
    pub fn service(&self) -> Service {
        let resource: Vec<&str> = self.part(5).split('/').collect();
        match (self.part(2), resource.as_slice()) {
            ("sqs", [queue]) if consists_of(queue, is_name_character) => Service::Sqs,
            ("kinesis", ["stream", stream]) if consists_of(stream, is_name_character) => Service::Kinesis,
            ("kinesis", ["stream", stream, "consumer", consumer])
                if consists_of(stream, is_name_character) && is_consumer(consumer) =>
            {
                Service::KinesisConsumer
            }
            ("dynamodb", ["table", _, "stream", _]) => Service::DynamodbStreams,
            _ => Service::Other,
        }
    }

    /// The name of the queue or stream; for anything else all that follows the account.
    #[must_use]
    pub fn name(&self) -> &str {
        let resource = self.part(5);
        match self.service() {
            Service::Kinesis => resource.strip_prefix("stream/").unwrap_or(resource),
            _ => resource,
        }
    }

    /// The ARN of the stream that a consumer reads; of anything else its own.
    #[must_use]
    pub fn stream(&self) -> &str {
        match self.service() {
            Service::KinesisConsumer => self.text.split("/consumer/").next().unwrap_or(&self.text),
            _ => &self.text,
        }
    }

    fn part(&self, index: usize) -> &str {
        self.text.splitn(6, ':').nth(index).expect("a parsed ARN has six parts")
    }
}

impl FromStr for SourceArn {
    type Err = SourceArnError;

    /// Any region `[a-z0-9-]+` is accepted here: servers other than AWS invent their own (`docs/semantics.md` 1.7).
    fn from_str(text: &str) -> Result<Self, SourceArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts.as_slice() else {
            return Err(SourceArnError);
        };
        let well_formed = partition.starts_with("aws")
            && consists_of(partition, |c| c.is_ascii_alphanumeric() || c == '-')
            && consists_of(service, |c| c.is_ascii_alphanumeric() || c == '-')
            && consists_of(region, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && is_account(account)
            && !resource.contains(['\n', '\r']);
        if well_formed { Ok(Self { text: text.to_owned() }) } else { Err(SourceArnError) }
    }
}

impl fmt::Display for SourceArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FunctionName {
    /// The text as given, which Invoke takes as its `FunctionName`, qualifier included.
    #[must_use]
    pub fn as_given(&self) -> &str {
        &self.text
    }

    /// The function's own name, without account or qualifier.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version or alias, if one is given: `$LATEST` is one too.
    #[must_use]
    pub fn qualifier(&self) -> Option<&str> {
        self.qualifier.as_deref()
    }

    /// The region, if one is given.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The account, if one is given.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The full ARN with exactly the qualifier given (`docs/semantics.md` 1.4). The arguments stand in for what the
    /// text leaves out.
    #[must_use]
    pub fn arn(&self, partition: &str, region: &str, account: &str) -> String {
        let partition = self.partition.as_deref().unwrap_or(partition);
        let region = self.region().unwrap_or(region);
        let account = self.account().unwrap_or(account);
        let name = self.name();
        match self.qualifier() {
            Some(qualifier) => format!("arn:{partition}:lambda:{region}:{account}:function:{name}:{qualifier}"),
            None => format!("arn:{partition}:lambda:{region}:{account}:function:{name}"),
        }
    }
}

impl FromStr for FunctionName {
    type Err = FunctionNameError;

    fn from_str(text: &str) -> Result<Self, FunctionNameError> {
        if text.len() > TEXT_LENGTH_MAX {
            return Err(FunctionNameError::TooLong { longest: TEXT_LENGTH_MAX });
        }
        let mut rest = text;
        let partition = take_lambda_prefix(&mut rest);
        let region = take_segment(&mut rest, is_aws_region);
        let account = take_segment(&mut rest, is_account);
        take_segment(&mut rest, |segment| segment == "function");
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (rest, None),
        };
        if !consists_of(name, is_name_character) || !qualifier.is_none_or(is_qualifier) {
            return Err(FunctionNameError::Malformed);
        }
        if name.len() > NAME_LENGTH_MAX {
            return Err(FunctionNameError::TooLong { longest: NAME_LENGTH_MAX });
        }
        Ok(Self {
            text: text.to_owned(),
            partition: partition.filter(|partition| !partition.is_empty()).map(str::to_owned),
            region: region.map(str::to_owned),
            account: account.map(str::to_owned),
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
        })
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Whether the text has the form of AWS's own region names, such as `eu-west-1` or `us-gov-east-1`. Wider than the
/// pattern of `EventSourceArn`, which is older than some partitions.
pub(crate) fn is_aws_region(text: &str) -> bool {
    let words: Vec<&str> = text.strip_prefix("eusc-").unwrap_or(text).split('-').collect();
    let (area, direction, number) = match words.as_slice() {
        [area, direction, number] => (area, direction, number),
        [area, partition, direction, number] if *partition == "gov" || is_isolated(partition) => {
            (area, direction, number)
        }
        _ => return false,
    };
    area.len() == 2
        && consists_of(area, |c| c.is_ascii_lowercase())
        && consists_of(direction, |c| c.is_ascii_lowercase())
        && number.len() == 1
        && consists_of(number, |c| c.is_ascii_digit())
}

fn is_isolated(partition: &str) -> bool {
    partition
        .strip_prefix("iso")
        .is_some_and(|letter| letter.len() <= 1 && letter.chars().all(|c| c.is_ascii_lowercase()))
}

/// Takes `arn:PARTITION:lambda:` off the front and returns the partition, which may be empty.
fn take_lambda_prefix<'text>(rest: &mut &'text str) -> Option<&'text str> {
    let (partition, after) = rest.strip_prefix("arn:")?.split_once(":lambda:")?;
    let letters = if partition.is_empty() { "" } else { partition.strip_prefix("aws")? };
    letters.chars().all(|c| c.is_ascii_alphabetic() || c == '-').then(|| {
        *rest = after;
        partition
    })
}

/// Takes the first segment off the front if it fits. The last one stays: it is the name.
fn take_segment<'text>(rest: &mut &'text str, fits: fn(&str) -> bool) -> Option<&'text str> {
    let (segment, after) = rest.split_once(':')?;
    fits(segment).then(|| {
        *rest = after;
        segment
    })
}

/// A consumer's name, and when it was registered: a name can be used again.
fn is_consumer(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, registered)| {
        consists_of(name, is_name_character) && consists_of(registered, |c| c.is_ascii_digit())
    })
}

fn is_qualifier(text: &str) -> bool {
    matches!(text, "$LATEST" | "$LATEST.PUBLISHED")
        || consists_of(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Whether Lambda's API model takes the text as that of a key (`docs/semantics.md` 1.3).
pub(super) fn is_key_arn(text: &str) -> bool {
    let mut parts = text.splitn(4, ':');
    let [prefix, partition, service, rest] = [(); 4].map(|()| parts.next());
    let is_partition = |partition: &str| {
        partition.is_empty()
            || partition
                .strip_prefix("aws")
                .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphabetic() || c == '-'))
    };
    prefix == Some("arn")
        && partition.is_some_and(is_partition)
        && service.is_some_and(|service| {
            consists_of(service, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
        })
        && rest.is_some()
}

pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && consists_of(text, |c| c.is_ascii_digit())
}

/// The letters of names, whatever they name.
pub(super) fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

pub(crate) fn consists_of(text: &str, fits: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(fits)
}

/// The longest name of a function, in characters.
const NAME_LENGTH_MAX: usize = 64;
/// The longest text that names a function, in bytes: the pattern admits ASCII only.
const TEXT_LENGTH_MAX: usize = 256;

const SOURCE_PATTERN: &str = r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
const FUNCTION_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_arn_says_what_it_points_at() {
        let arn = source("arn:aws:sqs:eu-west-1:123456789012:orders.fifo");
        assert_eq!((arn.partition(), arn.region(), arn.account()), ("aws", "eu-west-1", "123456789012"));
        assert_eq!((arn.service(), arn.name()), (Service::Sqs, "orders.fifo"));
    }

    #[test]
    fn a_stream_is_named_without_its_resource_type() {
        let arn = source("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/clicks");
        assert_eq!((arn.service(), arn.name()), (Service::Kinesis, "clicks"));
        assert_eq!(arn.as_str(), "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/clicks");
        assert_eq!(arn.to_string(), arn.as_str());
    }

    #[test]
    fn a_consumer_names_its_stream() {
        let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
        assert_eq!(source(&format!("{stream}/consumer/fast:1760700041")).stream(), stream);
        assert_eq!(source(stream).stream(), stream);
    }

    #[test]
    fn consumers_and_table_streams_are_told_from_streams_and_the_rest() {
        let service = |resource: &str| source(&format!("arn:aws:{resource}")).service();
        assert_eq!(
            service("kinesis:eu-west-1:123456789012:stream/clicks/consumer/fast:1760700041"),
            Service::KinesisConsumer
        );
        assert_eq!(
            service("dynamodb:ddblocal:000000000000:table/users/stream/2026-01-31T09:30:00.000"),
            Service::DynamodbStreams
        );
        for consumer in ["stream//consumer/fast:1", "stream/clicks/consumer/fast", "stream/clicks/consumer/fast:soon"] {
            assert_eq!(service(&format!("kinesis:eu-west-1:123456789012:{consumer}")), Service::Other, "{consumer}");
        }
        assert_eq!(service("dynamodb:eu-west-1:123456789012:table/users"), Service::Other);
        assert_eq!(service("kinesis:eu-west-1:123456789012:clicks"), Service::Other);
        assert_eq!(service("sqs:eu-west-1:123456789012:orders/today"), Service::Other);
        assert_eq!(service("sns:eu-west-1:123456789012:orders"), Service::Other);
        assert_eq!(service("kinesis:eu-west-1:123456789012:stream/cl icks"), Service::Other);
        assert_eq!(service("sqs:eu-west-1:123456789012:my orders"), Service::Other);
        assert_eq!(service("execute-api:eu-west-1:123456789012:orders"), Service::Other);
    }

    #[test]
    fn a_text_without_the_form_of_an_arn_is_no_source() {
        for text in [
            "",
            "orders",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            "arn:aws:sqs:eu-west-1:123456789012",
            "arn:aws:sqs:eu-west-1:12345:orders",
            "arn:aws:sqs::123456789012:orders",
            "arn:aws:sqs:eu west:123456789012:orders",
            "arn:aws cn:sqs:eu-west-1:123456789012:orders",
            "arn:aws:s qs:eu-west-1:123456789012:orders",
            "arn:gcp:sqs:eu-west-1:123456789012:orders",
            "arn:aws:sqs:eu-west-1:123456789012:orders\n",
        ] {
            assert_eq!(text.parse::<SourceArn>(), Err(SourceArnError), "{text:?}");
        }
    }

    /// `docs/semantics.md` 1.4
    #[test]
    fn every_form_of_a_function_name_is_read() {
        for (text, account, qualifier) in [
            ("fn", None, None),
            ("fn:$LATEST", None, Some("$LATEST")),
            ("fn:$LATEST.PUBLISHED", None, Some("$LATEST.PUBLISHED")),
            ("fn:1", None, Some("1")),
            ("function:fn", None, None),
            ("function:fn:prod", None, Some("prod")),
            ("123456789012:fn", Some("123456789012"), None),
            ("123456789012:function:fn", Some("123456789012"), None),
            ("123456789012:function:fn:prod", Some("123456789012"), Some("prod")),
            ("eu-west-1:123456789012:function:fn", Some("123456789012"), None),
            ("arn:aws:lambda:eu-west-1:123456789012:function:fn", Some("123456789012"), None),
            ("arn:aws:lambda:eu-west-1:123456789012:function:fn:prod", Some("123456789012"), Some("prod")),
        ] {
            let function = function(text);
            assert_eq!(
                (function.name(), function.account(), function.qualifier()),
                ("fn", account, qualifier),
                "{text}"
            );
            assert_eq!((function.as_given(), function.to_string()), (text, text.to_owned()));
        }
    }

    #[test]
    fn words_of_the_longer_forms_can_be_names_themselves() {
        assert_eq!(function("function").name(), "function");
        assert_eq!(function("123456789012").name(), "123456789012");
        assert_eq!(function("arn:1").name(), "arn");
        assert_eq!(function("arn:aws:lambda:eu-west-1:123456789012:function:function").name(), "function");
    }

    /// `docs/semantics.md` 1.4
    #[test]
    fn the_full_arn_has_exactly_the_qualifier_given() {
        let arn = |text: &str| function(text).arn("aws", "eu-west-1", "123456789012");
        assert_eq!(arn("fn"), "arn:aws:lambda:eu-west-1:123456789012:function:fn");
        assert_eq!(arn("fn:$LATEST"), "arn:aws:lambda:eu-west-1:123456789012:function:fn:$LATEST");
        assert_eq!(arn("fn:prod"), "arn:aws:lambda:eu-west-1:123456789012:function:fn:prod");
    }

    #[test]
    fn what_a_function_name_says_wins_over_the_defaults() {
        let arn = |text: &str| function(text).arn("aws", "eu-west-1", "123456789012");
        let full = "arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:fn:1";
        assert_eq!(arn(full), full);
        assert_eq!(arn("000000000000:function:fn"), "arn:aws:lambda:eu-west-1:000000000000:function:fn");
        assert_eq!(arn("arn::lambda:fn"), "arn:aws:lambda:eu-west-1:123456789012:function:fn");
    }

    #[test]
    fn a_text_of_no_accepted_form_names_no_function() {
        for text in [
            "",
            ":",
            "fn:",
            ":1",
            "fn:a:b",
            "fn:$OLDEST",
            "fn:1.0",
            "my fn",
            "arn:aws:sqs:eu-west-1:123456789012:orders",
            "arn:aws:lambda:eu-west-1:123456789012:layer:fn:1",
            "arn:aws:lambda:mars:123456789012:function:fn",
        ] {
            assert_eq!(text.parse::<FunctionName>(), Err(FunctionNameError::Malformed), "{text:?}");
        }
    }

    /// `docs/semantics.md` 1.4
    #[test]
    fn a_name_has_at_most_64_characters_and_the_whole_at_most_256() {
        let too_long = |longest| Err(FunctionNameError::TooLong { longest });
        assert_eq!(function(&"f".repeat(64)).name().len(), 64);
        assert_eq!("f".repeat(65).parse::<FunctionName>(), too_long(64));
        assert_eq!(function(&format!("fn:{}", "q".repeat(253))).as_given().len(), 256);
        assert_eq!(format!("fn:{}", "q".repeat(254)).parse::<FunctionName>(), too_long(256));
    }

    /// `docs/semantics.md` 1.3
    #[test]
    fn a_key_is_named_by_the_arn_of_any_service() {
        for text in ["arn:aws:kms:eu-west-1:123456789012:key/1", "arn:aws-us-gov:k-2.x:", "arn::kms:"] {
            assert!(is_key_arn(text), "{text}");
        }
        for text in [
            "",
            "kms",
            "urn:aws:kms:eu-west-1:123456789012:key/1",
            "arn:gcp:kms:eu-west-1:123456789012:key/1",
            "arn:aws1:kms:key/1",
            "arn:aws::key/1",
            "arn:aws:KMS:key/1",
            "arn:aws:kms",
        ] {
            assert!(!is_key_arn(text), "{text}");
        }
    }

    #[test]
    fn regions_of_every_partition_are_known_by_their_form() {
        for region in ["eu-west-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"] {
            assert!(is_aws_region(region), "{region}");
        }
        for region in ["", "ddblocal", "local", "eu-west", "eu-west-12", "EU-west-1", "eu-west-1-a", "us-isobb-east-1"]
        {
            assert!(!is_aws_region(region), "{region}");
        }
    }

    fn source(text: &str) -> SourceArn {
        text.parse().expect("a source's ARN")
    }

    fn function(text: &str) -> FunctionName {
        text.parse().expect("a function's name")
    }
}
