//! Deletes messages and hands them back, ten a call, and reads what became of each.

use std::error::Error;
use std::sync::PoisonError;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, ChangeMessageVisibilityBatchResultEntry,
    DeleteMessageBatchRequestEntry, DeleteMessageBatchResultEntry,
};
use futures_util::future::{self, FutureExt};

use super::errors::{QUERY_CODE_PREFIX, is_throttle, source_error};
use super::{CALL_TIMEOUT, ENTRIES_MAX, Queue};
use crate::aws::within;
use crate::core::settlement::{Settled, Settlement};
use crate::source::SourceError;
use crate::telemetry::chain;

impl Queue {
    pub(super) async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Settled> {
        let (mut deletes, mut returns) = (Vec::new(), Vec::new());
        for (index, settlement) in settlements.iter().enumerate() {
            match settlement {
                Settlement::Delete(handle) => deletes.push((index, &*handle.receipt)),
                Settlement::Return(handle) => returns.push((index, &*handle.receipt)),
            }
        }
        let deletes = deletes.chunks(ENTRIES_MAX).map(|entries| self.delete(entries).boxed());
        let returns = returns.chunks(ENTRIES_MAX).map(|entries| self.hand_back(entries).boxed());
        let calls: Vec<_> = deletes.chain(returns).collect();
        // What a server leaves out of its answer may or may not have happened. What it adds concerns nobody.
        let mut settled = vec![Settled::Failed; settlements.len()];
        for (index, answer) in future::join_all(calls).await.concat() {
            if let Some(settled) = settled.get_mut(index) {
                *settled = answer;
            }
        }
        settled
    }

    async fn delete(&self, entries: &[(usize, &str)]) -> Vec<(usize, Settled)> {
        let requests = entries.iter().map(|(index, handle)| {
            let request = DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(*handle);
            request.build().expect("id and receipt handle are set")
        });
        let call = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(requests.collect()));
        match within(CALL_TIMEOUT, call.send()).await {
            Ok(answer) => {
                let successful = answer.successful().iter().map(DeleteMessageBatchResultEntry::id);
                entry_answers(successful, answer.failed())
            }
            // The permission may come back while the lease lives.
            Err(error) => self.call_failed(entries, error, Settled::Failed),
        }
    }

    async fn hand_back(&self, entries: &[(usize, &str)]) -> Vec<(usize, Settled)> {
        let requests = entries.iter().map(|(index, handle)| {
            let request = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
            let request = request.receipt_handle(*handle).visibility_timeout(0);
            request.build().expect("id and receipt handle are set")
        });
        let call = self.client.change_message_visibility_batch().queue_url(&self.url);
        let call = call.set_entries(Some(requests.collect()));
        match within(CALL_TIMEOUT, call.send()).await {
            Ok(answer) => {
                let successful = answer.successful().iter().map(ChangeMessageVisibilityBatchResultEntry::id);
                entry_answers(successful, answer.failed())
            }
            // A role made for Lambda lacks this permission. The messages are then left to their visibility timeout.
            Err(error) => self.call_failed(entries, error, Settled::Refused),
        }
    }

    /// The same answer for all entries of a call that failed as a whole; `denied` where it was not permitted.
    pub(super) fn call_failed<E>(
        &self,
        entries: &[(usize, &str)],
        error: SdkError<E>,
        denied: Settled,
    ) -> Vec<(usize, Settled)>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let error = source_error(error);
        let permit = self.settle_log.lock().unwrap_or_else(PoisonError::into_inner).permit(self.clock.now());
        if let Some(suppressed) = permit {
            let (queue, messages) = (&self.event.arn, entries.len());
            tracing::warn!(queue, messages, error = chain(&error), suppressed, "messages were not settled");
        }
        let settled = match error {
            SourceError::Missing(_) => Settled::Refused,
            SourceError::Denied(_) => denied,
            SourceError::Throttled(_) | SourceError::Transient(_) => Settled::Failed,
        };
        entries.iter().map(|(index, _)| (*index, settled)).collect()
    }
}

pub(super) fn entry_answers<'a>(
    successful: impl Iterator<Item = &'a str>,
    failed: &'a [BatchResultErrorEntry],
) -> Vec<(usize, Settled)> {
    let confirmed = successful.map(|id| (id, Settled::Confirmed));
    let failed = failed.iter().map(|entry| (entry.id(), entry_error(entry.code(), entry.sender_fault())));
    confirmed.chain(failed).filter_map(|(id, settled)| Some((id.parse().ok()?, settled))).collect()
}

/// Servers disagree about whose fault a bad receipt is, so a known code goes first (`docs/semantics.md` 4.3).
fn entry_error(code: &str, sender_fault: bool) -> Settled {
    match code.trim_start_matches(QUERY_CODE_PREFIX) {
        "ReceiptHandleIsInvalid" | "InvalidParameterValue" | "InvalidIdFormat" | "MessageNotInflight" => {
            Settled::Refused
        }
        code if is_throttle(code) => Settled::Failed,
        _ if sender_fault => Settled::Refused,
        _ => Settled::Failed,
    }
}
