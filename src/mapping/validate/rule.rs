//! The rules that a document can break, each in the words that the user reads: AWS's where they are known
//! (`docs/semantics.md` 1.7). Every such text stands here once; those of a text that cannot be parsed belong to its
//! type. Knows neither documents nor how an answer frames the words.

use std::borrow::Cow;
use std::fmt;

use super::Wording;

/// A rule that was broken.
pub(super) struct Rule {
    pub(super) wording: Wording,
    pub(super) words: Cow<'static, str>,
}

/// Constraints of Lambda's API model on one member.
impl Rule {
    pub(super) const NOT_NULL: Self = Self::fixed(Wording::Constraint, "Member must not be null");
    pub(super) const KEY_PATTERN: Self = Self::fixed(
        Wording::Constraint,
        "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()",
    );

    pub(super) fn at_least(lowest: i64) -> Self {
        Self::constraint(format!("Member must have value greater than or equal to {lowest}"))
    }

    pub(super) fn at_most(highest: i64) -> Self {
        Self::constraint(format!("Member must have value less than or equal to {highest}"))
    }

    pub(super) fn no_longer_than(longest: usize) -> Self {
        Self::constraint(format!("Member must have length less than or equal to {longest}"))
    }

    pub(super) fn one_of(known: &[&str]) -> Self {
        Self::constraint(one_of(known))
    }

    pub(super) fn list_of(known: &[&str]) -> Self {
        Self::constraint(format!("Member must satisfy constraint: [{}, Member must not be null]", one_of(known)))
    }

    /// What the type of a text says of one that it does not take.
    pub(super) fn constraint(words: impl fmt::Display) -> Self {
        Self { wording: Wording::Constraint, words: words.to_string().into() }
    }
}

/// What AWS tells by itself, after the constraints.
impl Rule {
    pub(super) const UNRECOGNIZED_SOURCE: Self = Self::sentence("Unrecognized event source.");
    pub(super) const NO_SUCCESS_DESTINATION: Self =
        Self::sentence("OnSuccess configuration is not supported for event source mappings.");
    pub(super) const POSITION_MISSING: Self = Self::fixed(Wording::LoneConstraint, "Member must not be null");
    pub(super) const TIMESTAMP_UNASKED: Self =
        Self::sentence("Timestamp only valid with StartingPosition AT_TIMESTAMP");
    pub(super) const TIMESTAMP_MISSING: Self =
        Self::sentence("Timestamp must be provided with StartingPosition AT_TIMESTAMP");
    pub(super) const TIMESTAMP_IN_THE_FUTURE: Self = Self::sentence("Timestamp must not be in the future");
    pub(super) const TIMESTAMP_BEFORE_1970: Self = Self::sentence("Timestamp must not be before 1970");
    pub(super) const LARGE_BATCH_WITHOUT_WINDOW: Self = Self::sentence(
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
    );
    pub(super) const FIFO_WITH_WINDOW: Self = Self::sentence("Batching window is not supported for FIFO queues");
    pub(super) const AGE_BELOW_A_MINUTE: Self =
        Self::sentence("MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)");
    pub(super) const TUMBLING_WITH_FACTOR: Self =
        Self::sentence("Parallelization factor must be equal to 1 when tumbling window period is configured");
    pub(super) const TUMBLING_WITH_FILTERS: Self =
        Self::sentence("Filter criteria must not be configured when tumbling window period is configured");
    pub(super) const INVALID_PATTERN: Self = Self::sentence("Invalid filter pattern definition.");
    pub(super) const TOO_MANY_FILTERS: Self = Self::sentence("Filters exceed the maximum of 5 filters.");
    pub(super) const POLLERS_WITH_CONCURRENCY: Self = Self::sentence(
        "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers as the control \
         mechanism and remove maximum concurrency.",
    );
    pub(super) const POLLERS_OUT_OF_RANGE: Self = Self::sentence(
        "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 10000]",
    );
    pub(super) const POLLERS_EMPTY: Self =
        Self::sentence("Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided.");
    pub(super) const TOO_MANY_TAGS: Self = Self::sentence("Number of tags exceeds resource tag limit.");

    /// A member that the kind of source lacks.
    pub(super) fn unsupported(path: &str) -> Self {
        let (name, _) = path.split_once('.').unwrap_or((path, ""));
        let words = format!("Unsupported {name} parameter for given event source mapping type.");
        Self { wording: Wording::Sentence, words: words.into() }
    }

    pub(super) fn no_position_by_time(source: &str) -> Self {
        let words = format!("Unsupported starting position for arn type: {source}");
        Self { wording: Wording::Sentence, words: words.into() }
    }

    /// A member that a later version of esmd honours.
    pub(super) fn not_yet(path: &str) -> Self {
        let words = format!("{path} is not supported yet by this version of esmd");
        Self { wording: Wording::Sentence, words: words.into() }
    }
}

/// Rules for which no words of AWS are known.
impl Rule {
    pub(super) const REGION_WITHOUT_ENDPOINT: Self =
        Self::own("a region that is none of AWS's needs an endpoint for the source's service");
    pub(super) const LARGE_FIFO_BATCH: Self = Self::own("a FIFO queue's batch has at most 10 records");
    pub(super) const NO_ROLE: Self = Self::own("must be the ARN of the function's role");
    pub(super) const ROLE_UNSEEN: Self = Self::own("is shown in the events of Kinesis streams only");
    pub(super) const NEEDS_DESTINATION: Self = Self::own("needs DestinationConfig.OnFailure.Destination");
    pub(super) const KEEP_ON_STREAM: Self = Self::own("a stream keeps all its records anyway");
    pub(super) const NEEDS_FILTERS: Self = Self::own("needs FilterCriteria.Filters");
    pub(super) const KEEP_OR_DROP: Self = Self::own("must be Keep or Drop");
    pub(super) const FIXED: Self = Self::own("cannot be changed: delete the mapping and make another");
    pub(super) const TAGS_IN_UPDATE: Self = Self::own("are changed by TagResource and UntagResource, not by an update");
    pub(super) const TAG_KEY_LENGTH: Self = Self::own("the key of a tag has 1 to 128 characters");
    pub(super) const TAG_VALUE_LENGTH: Self = Self::own("the value of a tag has at most 256 characters");
    pub(super) const TAG_RESERVED: Self = Self::own("keys that begin with aws: are AWS's own");

    pub(super) fn foreign_region(configured: &str) -> Self {
        Self {
            wording: Wording::Own,
            words: format!("the source must be in the configured region, {configured}").into(),
        }
    }

    /// What the type of a destination says of one that it does not take.
    pub(super) fn no_destination(words: impl fmt::Display) -> Self {
        Self { wording: Wording::Own, words: words.to_string().into() }
    }
}

impl Rule {
    const fn fixed(wording: Wording, words: &'static str) -> Self {
        Self { wording, words: Cow::Borrowed(words) }
    }

    const fn sentence(words: &'static str) -> Self {
        Self::fixed(Wording::Sentence, words)
    }

    const fn own(words: &'static str) -> Self {
        Self::fixed(Wording::Own, words)
    }
}

fn one_of(known: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", known.join(", "))
}
