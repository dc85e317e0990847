//! The one thread that touches the database. Calls reach it through a bounded channel; those that wait are taken
//! together into one transaction and answered after its commit, so a hundred shards that save at once cost one write
//! to disk. Knows nothing of what the calls do.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_util::future::BoxFuture;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::lock::DirectoryLock;
use crate::store::StoreError;

/// What an operation answers. The outer error is the database's and fails all calls of the transaction; the inner
/// result is the call's, and others do not see it. An operation that answers an inner error has written nothing.
pub(super) type Answer<T> = rusqlite::Result<Result<T, StoreError>>;

/// Runs operations on the database's thread. Dropped, it waits until all calls are answered and the database is closed.
pub(super) struct Owner {
    calls: Option<mpsc::Sender<Box<dyn Call>>>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    /// Starts the thread. The lock is let go after the database is closed.
    pub(super) fn start(connection: Connection, lock: DirectoryLock) -> io::Result<Self> {
        let (calls, waiting) = mpsc::channel(GROUP_MAX);
        let thread = thread::Builder::new().name("state-store".to_owned()).spawn(move || {
            serve(connection, waiting);
            drop(lock);
        })?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }

    /// Runs the operation in a transaction that it may share, and answers once that is on disk.
    pub(super) fn perform<T, F>(&self, operation: F) -> BoxFuture<'_, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Answer<T> + Send + 'static,
    {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let calls = self.calls.as_ref().expect("only drop takes the sender");
            let call = Box::new(Pending { operation, result: None, reply });
            calls.send(call).await.map_err(|_| unavailable(ThreadEnded))?;
            answer.await.unwrap_or_else(|_| Err(unavailable(ThreadEnded)))
        })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.calls.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the state store's thread panicked");
        }
    }
}

/// An operation without its types.
trait Call: Send {
    /// Runs it and keeps the result. An error says that the transaction cannot go on.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Sends the result, or the reason why nothing of the transaction was kept.
    fn answer(self: Box<Self>, committed: Result<(), Arc<rusqlite::Error>>);
}

struct Pending<T, F> {
    operation: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Call for Pending<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Answer<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.result = Some(match (self.operation)(connection) {
            Ok(result) => result,
            Err(error) if error.sqlite_error().is_some() => return Err(error),
            // Not SQLite but the reading of a row failed, so the transaction is sound.
            Err(error) => Err(unavailable(error)),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), Arc<rusqlite::Error>>) {
        let result = match committed {
            Ok(()) => self.result.expect("every call of a committed transaction has run"),
            Err(error) => Err(unavailable(error)),
        };
        // A caller that went away does not want to know.
        let _ = self.reply.send(result);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the state store's thread has ended")]
struct ThreadEnded;

fn serve(mut connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Call>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while waiting.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let committed = transact(&mut connection, &mut group).map_err(Arc::new);
        for call in group.drain(..) {
            call.answer(committed.clone());
        }
    }
    // Closing moves the log into the database. What fails here is found in the log at the next start.
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the state was not closed cleanly");
    }
}

/// Runs the calls in one transaction. If that fails it is rolled back, which is never refused, so the next one
/// finds a connection without history.
fn transact(connection: &mut Connection, group: &mut [Box<dyn Call>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for call in group {
        call.run(&transaction)?;
    }
    transaction.commit()
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// Most calls that wait, and most of one transaction. Callers beyond it wait for room.
const GROUP_MAX: usize = 256;
