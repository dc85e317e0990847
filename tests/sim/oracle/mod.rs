//! Knows what was sent and watches all that passes between the daemon and the outside. The first rule that is broken ends
//! the run. This file holds what queues and streams share: invocations in flight; their books hold the rest.

mod flight;
mod parts;
mod queue;
mod resets;
mod stream;
mod terms;
mod told;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use esmd::core::Timestamp;
use esmd::core::checkpoint::Checkpoint;
use esmd::core::record::{Received, ShardId};
use esmd::core::settlement::{Extended, Extension, Settled, Settlement};
use esmd::core::shards::NewShard;
use esmd::event::failure::FailureRecord;
use esmd::event::response::Reply;
use esmd::store::{Lease, LeaseRow};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::flight::{Carried, Flight, Heard, listed};
pub use self::flight::{Connection, FlightId};
use self::queue::QueueBook;
use self::resets::Resets;
use self::stream::StreamBook;
pub use self::terms::Terms;
use crate::fakes::queue::FakeQueue;
use crate::fakes::stream::FakeStream;
use crate::fakes::target::{Delivered, Windowed};
use crate::plan::Sieve;
use crate::resets::ResetsCounted;
use crate::trace::Trace;

#[derive(Clone)]
pub struct Oracle {
    state: Arc<Mutex<State>>,
    trace: Trace,
    broken: CancellationToken,
}

/// What is wrong, in words.
type Verdict = Result<(), String>;

struct State {
    verdict: Verdict,
    /// Nothing that succeeded may be invoked again.
    is_fair: bool,
    /// A shard's consumer begins again within a life only if it stalled.
    is_steady: bool,
    /// No message may go where its queue sends what fails.
    spares_messages: bool,
    sent: usize,
    begun: u64,
    flights: BTreeMap<FlightId, Flight>,
    /// Lives that met a bug of an adapter: their consumers let go of everything.
    panicked: BTreeSet<u32>,
    resets: Resets,
    book: Book,
}

enum Book {
    Queue(QueueBook),
    Stream(StreamBook),
}

impl Oracle {
    pub fn of_queue(queue: FakeQueue, trace: Trace, resets: ResetsCounted) -> Self {
        Self::new(Book::Queue(QueueBook::new(queue)), trace, resets)
    }

    pub fn of_stream(stream: FakeStream, trace: Trace, resets: ResetsCounted) -> Self {
        Self::new(Book::Stream(StreamBook::new(stream)), trace, resets)
    }

    fn new(book: Book, trace: Trace, counted: ResetsCounted) -> Self {
        let state = State {
            verdict: Ok(()),
            is_fair: false,
            is_steady: false,
            spares_messages: false,
            sent: 0,
            begun: 0,
            flights: BTreeMap::new(),
            panicked: BTreeSet::new(),
            resets: Resets { told: 0, heard: 0, counted },
            book,
        };
        Self { state: Arc::new(Mutex::new(state)), trace, broken: CancellationToken::new() }
    }

    /// Returns when a rule is broken.
    pub async fn is_broken(&self) {
        self.broken.cancelled().await;
    }

    pub fn verdict(&self) -> Verdict {
        self.state().verdict.clone()
    }

    /// From now on nothing that succeeded may be invoked again.
    pub fn demand_fairness(&self) {
        self.state().is_fair = true;
    }

    /// From now on a shard's consumer begins again within a life only if it stalled.
    pub fn demand_steadiness(&self) {
        self.state().is_steady = true;
    }

    pub fn is_steady(&self) -> bool {
        self.state().is_steady
    }

    pub fn is_of_queue(&self) -> bool {
        matches!(self.state().book, Book::Queue(_))
    }

    /// Only what passes is to be delivered.
    pub fn expect_filter(&self, sieve: Sieve) {
        match &mut self.state().book {
            Book::Queue(queue) => queue.sieve = Some(sieve),
            Book::Stream(stream) => stream.sieve = Some(sieve),
        }
    }

    /// From now on no message may go where its queue sends what fails.
    pub fn demand_sparing(&self) {
        self.state().spares_messages = true;
    }

    /// How many records were sent so far: the next one's number.
    pub fn sent(&self) -> usize {
        self.state().sent
    }

    pub fn invocations(&self) -> u64 {
        self.state().begun
    }

    /// Something is wrong that others saw.
    pub fn object(&self, what: String) {
        self.judge(|_| Err(what));
    }

    fn judge(&self, watch: impl FnOnce(&mut State) -> Verdict) {
        let mut state = self.state();
        if let Err(what) = watch(&mut state)
            && state.verdict.is_ok()
        {
            self.trace.say(|| format!("BROKEN: {what}"));
            state.verdict = Err(what);
            self.broken.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What passes on the link.
impl Oracle {
    pub fn received(&self, shard: &ShardId, received: &Received, max: usize, terms: Terms, now: Timestamp) {
        self.judge(|state| {
            if received.records.len() > max {
                return Err(format!("the world is wrong: {} records, {max} asked", received.records.len()));
            }
            let State { flights, resets, book, .. } = state;
            if let Some(reset) = received.reset {
                self.trace.say(|| format!("{shard} goes on at its oldest record: {reset:?}"));
                resets.told += 1;
            }
            match book {
                Book::Queue(queue) => queue.received(received, terms, now, flights),
                Book::Stream(stream) => stream.received(shard, received, terms, now),
            }
        });
    }

    /// The daemon asks again after an answer that told of a gap.
    pub fn reset_was_heard(&self) {
        self.judge(|state| {
            state.resets.heard += 1;
            state.resets.judge()
        });
    }

    pub fn began(
        &self,
        connection: Connection,
        terms: Terms,
        records: &[Delivered],
        window: Option<Windowed>,
        now: Timestamp,
    ) -> FlightId {
        let records: Vec<_> = records.iter().map(Carried::new).collect();
        let mut id = FlightId(0);
        self.judge(|state| {
            state.begun += 1;
            id = FlightId(state.begun);
            self.trace.say(|| format!("life {} invokes #{} {}", connection.0, id.0, listed(&records)));
            if let Some(window) = &window {
                self.trace.say(|| windows::told(window));
            }
            let shard = state.shard_of(&records, window.as_ref());
            let flight = Flight { connection, terms, records, window, shard, began_at: Instant::now() };
            let verdict = state.judge_begin(&flight, now);
            state.flights.insert(id, flight);
            verdict
        });
        id
    }

    /// The daemon has the answer.
    pub fn ended(&self, id: FlightId, reply: &Reply) {
        self.judge(|state| {
            let Some(flight) = state.flights.remove(&id) else { return Ok(()) }; // of a life that is over
            let heard = Heard::of(reply, &flight);
            self.trace.say(|| format!("life {} hears of #{}: {heard:?}", flight.connection.0, id.0));
            match &mut state.book {
                Book::Queue(queue) => queue.ended(flight.connection.0, &flight.records, &heard),
                Book::Stream(stream) => stream.ended(&flight, &heard, reply),
            }
            Ok(())
        });
    }

    /// The daemon let go of an invocation before its answer: it has to be dead, at the end of its drain, or without
    /// the lease; or the invocation ran for longer than any may, and held up its consumer.
    pub fn given_up(&self, id: FlightId, may: bool) {
        self.judge(|state| {
            let Some(flight) = state.flights.remove(&id) else { return Ok(()) };
            let life = flight.connection.0;
            self.trace.say(|| format!("life {life} gives up #{}", id.0));
            let is_overdue = flight.began_at.elapsed() >= INVOCATION_MAX;
            let lost = match (&mut state.book, &flight.shard) {
                (Book::Stream(stream), Some(shard)) => {
                    if is_overdue {
                        stream.stalled(shard);
                    }
                    stream.is_lease_lost(shard)
                }
                _ => false,
            };
            if may || lost || is_overdue || state.panicked.contains(&life) {
                return Ok(());
            }
            Err(format!("invocation #{} was given up for no reason", id.0))
        });
    }

    pub fn adapter_panicked(&self, life: u32) {
        self.trace.say(|| format!("life {life} meets a bug in an adapter"));
        self.state().panicked.insert(life);
    }

    pub fn settling(&self, life: u32, settlements: &[Settlement]) {
        self.judge(|state| {
            let State { flights, book, .. } = state;
            let Book::Queue(queue) = book else { return Err("a stream's record was settled".to_owned()) };
            settlements.iter().try_for_each(|settlement| queue.settling(life, settlement, flights))
        });
    }

    pub fn settled(&self, settlements: &[Settlement], answers: &[Settled]) {
        for (settlement, answer) in settlements.iter().zip(answers) {
            let (handle, kind) = match settlement {
                Settlement::Delete(handle) => (handle, "deleted"),
                Settlement::Return(handle) => (handle, "returned"),
            };
            self.trace.say(|| format!("{} {kind}: {answer:?}", handle.receipt));
            self.state().queue().settled(settlement);
        }
    }

    pub fn extending(&self, extensions: &[Extension]) {
        self.judge(|state| extensions.iter().try_for_each(|extension| state.queue().extending(extension)));
    }

    /// The daemon heard this.
    pub fn extended(&self, extensions: &[Extension], answers: &[Extended], now: Timestamp) {
        for (extension, answer) in extensions.iter().zip(answers) {
            self.trace.say(|| format!("{} extended by {:?}: {answer:?}", extension.handle.receipt, extension.by));
            self.state().queue().extended(extension, *answer, now);
        }
    }

    pub fn adding_shards(&self, rows: &[NewShard]) {
        self.trace.say(|| {
            let rows = rows.iter().map(|row| format!("{} after {}", row.id, names(&row.waits_for)));
            format!("new rows {}", rows.collect::<Vec<_>>().join(", "))
        });
        self.judge(|state| state.stream_if_any().map_or(Ok(()), |stream| stream.adding(rows)));
    }

    pub fn removing_shards(&self, shards: &[ShardId]) {
        self.trace.say(|| format!("rows removed {}", names(shards)));
        self.judge(|state| state.stream_if_any().map_or(Ok(()), |stream| stream.removing(shards)));
    }

    pub fn claimed(&self, life: u32, lease: &Lease, checkpoint: &Checkpoint) {
        self.trace
            .say(|| format!("life {life} claims {} in epoch {} at {}", lease.shard, lease.epoch, checkpoint.up_to));
        self.judge(|state| {
            let State { flights, is_steady, book, .. } = state;
            match book {
                Book::Queue(queue) => queue.claimed(),
                Book::Stream(stream) => {
                    if *is_steady {
                        stream.judge_beginning(life, lease)?;
                    }
                    stream.claimed(life, lease, checkpoint, flights)?;
                }
            }
            Ok(())
        });
    }

    /// The daemon wants to tell that it gave up records.
    pub fn delivering(&self, failure: &FailureRecord) {
        self.trace.say(|| {
            let (batch, condition) = (&failure.batch, failure.condition);
            format!("{} gives up {:?}: {condition:?}", batch.shard, batch.records)
        });
        self.judge(|state| state.stream().delivering(failure));
    }

    /// The daemon heard whether it was taken.
    pub fn delivered(&self, failure: &FailureRecord, is_taken: bool) {
        self.trace.say(|| format!("{} hears of it: taken={is_taken}", failure.batch.shard));
        self.state().stream().delivered(failure, is_taken);
    }

    pub fn saving(&self, lease: &Lease, checkpoint: &Checkpoint, now: Timestamp) {
        self.trace.say(|| {
            let ranges = checkpoint.settled_above.len();
            let window = &checkpoint.window;
            format!("{} epoch {} saves {}, {ranges} ranges, {window:?}", lease.shard, lease.epoch, checkpoint.up_to)
        });
        self.judge(|state| match &mut state.book {
            Book::Queue(_) => Err("a queue's consumer saved a checkpoint".to_owned()),
            Book::Stream(stream) => stream.saving(lease, checkpoint, now),
        });
    }

    /// The store took it, whether or not the daemon hears of it.
    pub fn saved(&self, lease: &Lease, checkpoint: &Checkpoint) {
        self.judge(|state| state.stream().saved(lease, checkpoint));
    }

    /// The daemon was told so.
    pub fn lease_lost(&self, lease: &Lease) {
        self.trace.say(|| format!("{} epoch {} is told that its lease is lost", lease.shard, lease.epoch));
        self.state().stream().lease_lost(lease);
    }
}

/// What is asked at the end.
impl Oracle {
    /// Whatever was sent was delivered, waits at its source, or went where its queue sends what fails.
    pub fn judge_losses(&self, rows: &[LeaseRow]) {
        self.judge(|state| {
            state.resets.judge()?;
            match &mut state.book {
                Book::Queue(queue) if state.spares_messages => queue.judge_losses().and_then(|()| queue.judge_spared()),
                Book::Queue(queue) => queue.judge_losses(),
                Book::Stream(stream) => stream.judge_losses(rows),
            }
        });
    }

    /// A life drained in time. Only where nothing went wrong it could do all that it should.
    pub fn judge_drain(&self) {
        self.judge(|state| match &state.book {
            Book::Queue(queue) if state.is_fair => queue.judge_drain(),
            Book::Queue(_) | Book::Stream(_) => Ok(()),
        });
    }

    /// What still waits, if anything does.
    pub fn unsettled(&self, rows: &[LeaseRow]) -> Option<String> {
        match &mut self.state().book {
            Book::Queue(queue) => queue.unsettled(),
            Book::Stream(stream) => stream.unsettled(rows),
        }
    }
}

impl State {
    fn queue(&mut self) -> &mut QueueBook {
        let Book::Queue(queue) = &mut self.book else { panic!("the source is a stream") };
        queue
    }

    fn stream(&mut self) -> &mut StreamBook {
        self.stream_if_any().expect("the source is a stream")
    }

    fn stream_if_any(&mut self) -> Option<&mut StreamBook> {
        match &mut self.book {
            Book::Queue(_) => None,
            Book::Stream(stream) => Some(stream),
        }
    }

    /// A stream's shard.
    fn shard_of(&self, records: &[Carried], window: Option<&Windowed>) -> Option<ShardId> {
        let Book::Stream(stream) = &self.book else { return None };
        let of_window = window.map(|window| ShardId::new(window.shard.as_str()));
        of_window.or_else(|| Some(stream.shard_of(records.first()?.number).clone()))
    }

    /// The rules of every invocation: `docs/semantics.md` 9, invariants 37, 40, 54, 60, 66 and 67; 6.10 for the last one.
    fn judge_begin(&mut self, flight: &Flight, now: Timestamp) -> Verdict {
        let Flight { connection, terms, records, window, shard, .. } = flight;
        let (connection, life) = (*connection, connection.0);
        let is_final = window.as_ref().is_some_and(|window| window.is_final);
        if records.is_empty() != is_final || records.len() > terms.batch_size {
            return Err(format!("{} records in a batch of at most {}", records.len(), terms.batch_size));
        }
        for (id, other) in self.flights.iter().filter(|(_, other)| other.connection.0 == life) {
            if other.connection != connection {
                return Err(format!("#{} of the mapping as it was before still runs", id.0));
            }
            for record in records {
                let same = |of_other: &&Carried| {
                    of_other.number == record.number || (!record.key.is_empty() && of_other.key == record.key)
                };
                if let Some(of_other) = other.records.iter().find(same) {
                    let (other, mine) = (of_other.number, record.number);
                    return Err(format!(
                        "{mine} is invoked while #{} with {other} of its key {} runs",
                        id.0, record.key
                    ));
                }
            }
        }
        let settled = |record: &&Carried| match &self.book {
            Book::Queue(queue) => queue.has_succeeded(record.number),
            Book::Stream(stream) => stream.is_settled(record.number),
        };
        if self.is_fair
            && let Some(record) = records.iter().find(settled)
        {
            return Err(format!("{} is settled and is invoked again", record.number));
        }
        let flights = self.flights.values().filter(|other| other.connection == connection);
        let running = match &mut self.book {
            Book::Queue(queue) => {
                queue.judge_begin(life, records)?;
                flights.count()
            }
            Book::Stream(stream) => {
                stream.judge_begin(flight, now)?;
                flights.filter(|other| other.shard == *shard).count()
            }
        };
        if running >= terms.lanes || (is_final && running > 0) {
            return Err(format!("{} invocations at once with {} lanes", running + 1, terms.lanes));
        }
        Ok(())
    }
}

fn names(shards: &[ShardId]) -> String {
    shards.iter().map(ShardId::as_str).collect::<Vec<_>>().join(" ")
}

/// The fakes' function has a timeout of 3 s; two minutes more are within an invocation's time (`docs/architecture.md` 6).
const INVOCATION_MAX: Duration = Duration::from_secs(123);
