//! Extends the leases of messages, ten a call. A lease is counted from before the call, less the margin of a receive, so
//! what is called leased is leased at the server too.

use std::time::Duration;

use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, ChangeMessageVisibilityBatchResultEntry};
use futures_util::future;

use super::settle::entry_answers;
use super::{CALL_TIMEOUT, ENTRIES_MAX, Queue, lease, small};
use crate::aws::within;
use crate::core::settlement::{Extended, Extension, Settled};

impl Queue {
    /// One answer per extension, in order.
    pub(super) async fn extend(&self, extensions: &[Extension]) -> Vec<Extended> {
        let calls = extensions.chunks(ENTRIES_MAX).map(|entries| self.extend_ten(entries));
        future::join_all(calls).await.concat()
    }

    async fn extend_ten(&self, extensions: &[Extension]) -> Vec<Extended> {
        let requests = extensions.iter().enumerate().map(|(index, extension)| {
            let request = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
            let request = request.receipt_handle(&*extension.handle.receipt);
            let request = request.visibility_timeout(small(whole_seconds(extension.by).as_secs()));
            request.build().expect("id and receipt handle are set")
        });
        let call = self.client.change_message_visibility_batch().queue_url(&self.url);
        let call = call.set_entries(Some(requests.collect()));
        let asked_at = self.clock.now();
        let answers = match within(CALL_TIMEOUT, call.send()).await {
            Ok(answer) => {
                let successful = answer.successful().iter().map(ChangeMessageVisibilityBatchResultEntry::id);
                entry_answers(successful, answer.failed())
            }
            Err(error) => {
                let entries: Vec<_> =
                    extensions.iter().map(|extension| &*extension.handle.receipt).enumerate().collect();
                self.call_failed(&entries, error, Settled::Failed)
            }
        };
        // What a server leaves out of its answer may or may not have happened.
        let mut extended = vec![Extended::Failed; extensions.len()];
        for (index, answer) in answers {
            let Some(extension) = extensions.get(index) else { continue };
            extended[index] = match answer {
                Settled::Confirmed => Extended::Until(asked_at + lease(whole_seconds(extension.by))),
                Settled::Refused => Extended::Refused,
                Settled::Failed => Extended::Failed,
            };
        }
        extended
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}
