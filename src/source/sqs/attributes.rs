//! What a queue says of itself, and what of it makes trouble likely for a mapping: pure advice, which `run` logs when it
//! opens a queue and `check --online` prints.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::CALL_TIMEOUT;
use super::errors::source_error;
use crate::aws::within;
use crate::source::SourceError;

/// A queue's settings, as far as a mapping depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    /// How long a receive hides a message; `None`: the server does not say it.
    pub visibility: Option<Duration>,
    /// How often a message is received before it goes to the dead-letter queue; `None`: there is none.
    pub receives_max: Option<u64>,
}

impl QueueFacts {
    pub(super) async fn read(client: &Client, url: &str) -> Result<Self, SourceError> {
        let call = client.get_queue_attributes().queue_url(url);
        let call = call.attribute_names(QueueAttributeName::VisibilityTimeout);
        let call = call.attribute_names(QueueAttributeName::RedrivePolicy);
        let answer = within(CALL_TIMEOUT, call.send()).await.map_err(source_error)?;
        let attribute = |name| answer.attributes().and_then(|attributes| attributes.get(&name)).map(String::as_str);
        let visibility = attribute(QueueAttributeName::VisibilityTimeout).and_then(|text| text.parse().ok());
        Ok(Self {
            visibility: visibility.map(Duration::from_secs),
            receives_max: attribute(QueueAttributeName::RedrivePolicy).and_then(receives_max),
        })
    }

    /// How long a receive hides a message, by SQS's default if the server does not say it.
    #[must_use]
    pub fn visibility_or_default(&self) -> Duration {
        self.visibility.unwrap_or(VISIBILITY_DEFAULT)
    }

    /// What makes trouble likely, in sentences (`docs/semantics.md` 4.2 and 4.3). With leases that are extended the
    /// visibility timeout is nobody's limit.
    #[must_use]
    pub fn advice(&self, function_timeout: Duration, window: Duration, extends_visibility: bool) -> Vec<String> {
        let mut advice = Vec::new();
        let advised = function_timeout * TIMEOUTS_ADVISED + window;
        let visibility = self.visibility_or_default();
        if visibility < advised && !extends_visibility {
            advice.push(format!(
                "the queue's visibility timeout is {} s; {} s (6 times the function's timeout, and the batching window) \
                 leave time to try again while the function has no room",
                visibility.as_secs(),
                advised.as_secs()
            ));
        }
        match self.receives_max {
            None => advice.push(
                "the queue has no dead-letter queue: a message that always fails comes again until it is too old"
                    .to_owned(),
            ),
            Some(receives) if receives < RECEIVES_ADVISED => advice.push(format!(
                "the queue's maxReceiveCount is {receives}: a few throttled or failed tries send a good message to the \
                 dead-letter queue; {RECEIVES_ADVISED} or more are advised"
            )),
            Some(_) => {}
        }
        advice
    }
}

/// The number stands as a text or as itself.
fn receives_max(policy: &str) -> Option<u64> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let receives = &policy["maxReceiveCount"];
    receives.as_u64().or_else(|| receives.as_str()?.parse().ok())
}

const VISIBILITY_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUTS_ADVISED: u32 = 6;
const RECEIVES_ADVISED: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_leaves_time_and_tries_needs_no_advice() {
        let facts = QueueFacts { visibility: Some(seconds(28)), receives_max: Some(5) };
        assert_eq!(facts.advice(seconds(3), seconds(10), false), <Vec<String>>::new());
    }

    #[test]
    fn short_leases_few_receives_and_no_dead_letter_queue_are_said() {
        let short = QueueFacts { visibility: Some(seconds(27)), receives_max: Some(4) };
        let advice = short.advice(seconds(3), seconds(10), false);
        assert!(advice[0].contains("is 27 s; 28 s") && advice[1].contains("maxReceiveCount is 4"), "{advice:?}");
        assert_eq!(short.advice(seconds(3), seconds(10), true).len(), 1, "leases are extended");

        let endless = QueueFacts { visibility: Some(seconds(300)), receives_max: None };
        assert!(endless.advice(seconds(3), seconds(0), false)[0].contains("no dead-letter queue"));
    }

    #[test]
    fn a_redrive_policy_gives_its_number_in_either_form() {
        assert_eq!(receives_max(r#"{"maxReceiveCount":"3","deadLetterTargetArn":"a"}"#), Some(3));
        assert_eq!(receives_max(r#"{"maxReceiveCount":3}"#), Some(3));
        assert_eq!(receives_max("{}"), None);
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
