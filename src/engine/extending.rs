//! Asks a queue for longer leases: calls of ten, each made once. What fails is the core's to ask for again, as long as
//! the lease lives; so nothing here can outlive a message's settlement by more than a call under way.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::core::settlement::{Extended, Extension};
use crate::source::Source;

/// Extensions under way: never more than messages are held, since each of them has one at a time.
pub(super) struct Extending {
    source: Arc<dyn Source>,
    running: FuturesUnordered<BoxFuture<'static, Vec<(Extension, Extended)>>>,
}

impl Extending {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, running: FuturesUnordered::new() }
    }

    pub(super) fn start(&mut self, extensions: &[Extension]) {
        for group in extensions.chunks(ENTRIES_MAX) {
            let (source, group) = (Arc::clone(&self.source), group.to_vec());
            self.running.push(Box::pin(async move {
                let answers = source.extend(group.clone()).await;
                group.into_iter().zip(answers).collect()
            }));
        }
    }

    /// What the next call to end brought. Pends while none runs.
    pub(super) async fn next(&mut self) -> Vec<(Extension, Extended)> {
        match self.running.next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }
}

/// Entries of one batch call.
const ENTRIES_MAX: usize = 10;
