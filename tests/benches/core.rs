//! The pure core: records a second through one consumer, by lanes and batch size, beside a loop that only cuts the same
//! records into batches and drops them; and the memory of an idle consumer.

mod allocator;
mod measure;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use esmd::core::Timestamp;
use esmd::core::action::Action;
use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::consumer::Consumer;
use esmd::core::outcome::Outcome;
use esmd::core::record::{OrderingKey, Origin, Position, Received, Record, SequenceNumber};
use esmd::core::settings::{Kind, QueueRules, RetrySettings, Settings};

/// So few that they are still warm when they come in, as those of a receive are.
const RECORDS: usize = 100_000;
const PAGE: usize = 1_000;
const IDLE: usize = 10_000;

fn main() {
    // First, and all kept: what was given back before would be used again and not seen.
    let ((new, kept), (used, kept_too)) = (idle(0), idle(PAGE));
    println!("memory of a consumer that holds nothing, in bytes, of {IDLE}: {new}");
    println!("the same after {PAGE} records of as many keys: {used}");
    drop((kept, kept_too));
    println!("core: a stream's consumer, {RECORDS} records in pages of {PAGE}, every batch succeeds");
    println!(
        "{:>5} {:>6} {:>5}   {:<26} {:<26} CPU / baseline",
        "lanes", "batch", "keys", "million records/CPU s", "baseline: cut and drop"
    );
    for (lanes, batch_size, keys) in [
        (1, 10, 1_000),
        (1, 100, 1_000),
        (1, 10_000, 1_000),
        (10, 10, 1_000),
        (10, 100, 1_000),
        (10, 10_000, 1_000),
        (10, 100, 20),
    ] {
        let compared = measure::beside(
            || pages(keys),
            |pages| through_consumer(pages, lanes, batch_size),
            |pages| through_queue(pages, batch_size),
        );
        let millions = RECORDS as f64 / 1e6;
        println!(
            "{lanes:>5} {batch_size:>6} {keys:>5}   {:<26} {:<26} {}",
            compared.cpu.rate(millions).to_string(),
            compared.baseline_cpu.rate(millions).to_string(),
            compared.ratio
        );
    }
}

/// What one of many consumers adds to this process, each after so many records; and all of them.
fn idle(records: usize) -> (usize, Vec<Consumer>) {
    let (before, page) = (resident_bytes(), pages(PAGE).swap_remove_front(0).expect("there is one"));
    let idle = || {
        let mut consumer = Consumer::new(settings(10, 100), Checkpoint::at(UpTo::TrimHorizon));
        settle_all(&mut consumer, VecDeque::from([page[..records].to_vec()]));
        consumer.handle_received(Timestamp::from_millis(2_000), Received::default());
        consumer
    };
    let consumers: Vec<_> = std::iter::repeat_with(idle).take(IDLE).collect();
    ((resident_bytes() - before) / IDLE, consumers)
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("benches run on Linux");
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<usize>().ok());
    pages.expect("the second field is the resident pages") * 4_096
}

fn through_consumer(pages: VecDeque<Vec<Record>>, lanes: usize, batch_size: usize) -> usize {
    let mut consumer = Consumer::new(settings(lanes, batch_size), Checkpoint::at(UpTo::TrimHorizon));
    let done = settle_all(&mut consumer, pages);
    assert_eq!(done, RECORDS, "every record is invoked once");
    done
}

/// Reads page after page as the shell does, as far as there is room, and answers each invocation at once. How many
/// records were invoked.
fn settle_all(consumer: &mut Consumer, mut pages: VecDeque<Vec<Record>>) -> usize {
    let now = Timestamp::from_millis(1_000);
    let mut running = VecDeque::new();
    let mut done = 0;
    loop {
        if consumer.capacity() >= PAGE
            && let Some(records) = pages.pop_front()
        {
            consumer.handle_received(now, Received { records, ..Received::default() });
        }
        while let Some(action) = consumer.poll_action() {
            if let Action::Invoke { batch, .. } = action {
                done += batch.len();
                running.push_back(batch.id);
            }
        }
        let Some(id) = running.pop_front() else { return done };
        consumer.handle_outcome(now, id, &Outcome::Succeeded, None);
        std::hint::black_box(consumer.poll_checkpoint());
    }
}

/// What no consumer of batches can do without.
fn through_queue(pages: VecDeque<Vec<Record>>, batch_size: usize) -> usize {
    let mut waiting: VecDeque<Arc<Record>> = VecDeque::new();
    let mut done = 0;
    for page in pages {
        waiting.extend(page.into_iter().map(Arc::new));
        while waiting.len() >= batch_size {
            let batch: Vec<_> = waiting.drain(..batch_size).collect();
            done += std::hint::black_box(batch).len();
        }
    }
    assert_eq!(done, RECORDS, "the batch size divides the records");
    done
}

fn settings(lanes: usize, batch_size: usize) -> Settings {
    Settings {
        kind: Kind::Stream,
        lanes,
        batch_size,
        window: std::time::Duration::ZERO,
        batch_bytes: 6 << 20,
        retry: RetrySettings::default(),
        tumbling_window: None,
        keeps_filtered: false,
        queue: QueueRules::default(),
        seed: 1,
    }
}

fn pages(keys: usize) -> VecDeque<Vec<Record>> {
    let element = Bytes::from_static(&[b'x'; 100]);
    let record = |number: usize| Record {
        origin: Origin::Position(Position::from(SequenceNumber::new(format!("4966{number:052}")))),
        key: Some(OrderingKey::new(format!("key-{}", number % keys))),
        arrived_at: Timestamp::from_millis(1),
        element: element.clone(),
    };
    (0..RECORDS / PAGE).map(|page| (0..PAGE).map(|place| record(page * PAGE + place)).collect()).collect()
}
