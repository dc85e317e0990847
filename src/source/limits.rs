//! How often one shard may be read (`docs/semantics.md` 6.2), by kind of stream. Knows nothing of records or calls: it is
//! told when a read begins and what it brought. Invariant: reads of one shard keep all of its limits, also reads that
//! were given up.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What a shard allows its readers, and how often an idle one is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// Between the starts of two reads at the tip.
    pub poll_interval: Duration,
    /// Between the starts of two reads anywhere.
    pub read_interval: Duration,
    /// A shard gives no more than this, if it has such a limit; after a larger page it refuses reads until the time has
    /// made up for it.
    pub bytes_per_second: Option<u64>,
}

impl ReadLimits {
    /// A Kinesis shard answers five reads a second.
    pub const KINESIS: Self = Self {
        poll_interval: Duration::from_secs(1),
        read_interval: Duration::from_millis(200),
        bytes_per_second: Some(2 * 1024 * 1024),
    };

    /// A `DynamoDB` shard has no limit that AWS tells, but each read is paid for. Ten pages a second hold ten times what a
    /// partition takes in writes.
    pub const DYNAMODB: Self = Self {
        poll_interval: Duration::from_millis(250),
        read_interval: Duration::from_millis(100),
        bytes_per_second: None,
    };
}

/// When one shard may be read next.
#[derive(Debug)]
pub(super) struct Pace {
    limits: ReadLimits,
    /// When the latest read was to begin.
    due: Instant,
    /// When it began.
    began: Instant,
    next: Instant,
}

impl Pace {
    /// For a shard that was not read yet: its first turn is now.
    pub fn new(limits: ReadLimits) -> Self {
        let now = Instant::now();
        Self { limits, due: now, began: now, next: now }
    }

    /// Waits until the shard may be read and takes that turn. A turn counts whatever becomes of the read.
    pub async fn turn(&mut self) {
        sleep_until(self.next).await;
        self.due = self.next;
        self.began = Instant::now();
        self.next = self.began + self.limits.read_interval;
    }

    /// Notes what the read of the latest turn brought.
    pub fn page_read(&mut self, bytes: u64, at_tip: bool) {
        let paid_off = Instant::now() + self.time_for(bytes);
        self.next = self.next.max(paid_off);
        if at_tip {
            self.next = self.next.max(self.next_poll());
        }
    }

    /// A whole number of intervals after the read was due, however late it began. Thousands of shards that something
    /// held up together would otherwise be read at the same moments from then on, each over a connection of its own.
    fn next_poll(&self) -> Instant {
        let interval = self.limits.poll_interval;
        let late = (self.began - self.due + interval / 2).as_nanos().checked_div(interval.as_nanos()).unwrap_or(0);
        self.due + interval * (u32::try_from(late).unwrap_or(u32::MAX - 1) + 1)
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let milliseconds = |bytes_per_second| bytes.saturating_mul(1_000) / bytes_per_second;
        Duration::from_millis(self.limits.bytes_per_second.map_or(0, milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 6.2: base rate of one read a second.
    #[tokio::test(start_paused = true)]
    async fn a_shard_at_its_tip_is_read_once_a_second() {
        let mut pace = Pace::new(ReadLimits::KINESIS);
        assert_eq!(waited(&mut pace).await, Duration::ZERO);

        pace.page_read(100, true);

        assert_eq!(waited(&mut pace).await, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_was_late_does_not_move_those_after_it() {
        let mut pace = Pace::new(ReadLimits::KINESIS);
        for (late, next_after) in [(400, 600), (700, 1_300), (5_100, 900)] {
            tokio::time::sleep(Duration::from_millis(late)).await;
            pace.turn().await;

            pace.page_read(100, true);

            assert_eq!(waited(&mut pace).await, Duration::from_millis(next_after));
            pace.page_read(100, true);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// `docs/semantics.md` 6.2: behind the tip, five reads a second.
    #[tokio::test(start_paused = true)]
    async fn a_shard_with_more_to_give_is_read_on_within_five_reads_a_second() {
        let mut pace = Pace::new(ReadLimits::KINESIS);
        pace.turn().await;
        let start = Instant::now();

        for _ in 0..10 {
            pace.page_read(1_000, false);
            pace.turn().await;
        }

        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    /// `docs/semantics.md` 6.2: 2 MiB a second; the shard refuses all reads for 5 s after a page of 10 MiB.
    #[tokio::test(start_paused = true)]
    async fn a_page_of_ten_mebibytes_rests_the_shard_for_five_seconds() {
        let mut pace = Pace::new(ReadLimits::KINESIS);
        pace.turn().await;

        pace.page_read(10 * 1024 * 1024, false);

        assert_eq!(waited(&mut pace).await, Duration::from_secs(5));
    }

    /// `docs/semantics.md` 6.2: base rate of four reads a second.
    #[tokio::test(start_paused = true)]
    async fn a_dynamodb_shard_at_its_tip_is_read_four_times_a_second() {
        let mut pace = Pace::new(ReadLimits::DYNAMODB);
        pace.turn().await;

        pace.page_read(0, true);

        assert_eq!(waited(&mut pace).await, Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_was_given_up_or_failed_uses_its_turn() {
        let mut pace = Pace::new(ReadLimits::KINESIS);

        pace.turn().await;

        assert_eq!(waited(&mut pace).await, Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_a_wait_neither_takes_the_turn_nor_begins_the_wait_again() {
        let mut pace = Pace::new(ReadLimits::KINESIS);
        pace.turn().await;
        pace.page_read(0, true);

        let gave_up = tokio::time::timeout(Duration::from_millis(700), pace.turn()).await;

        assert!(gave_up.is_err());
        assert_eq!(waited(&mut pace).await, Duration::from_millis(300));
    }

    async fn waited(pace: &mut Pace) -> Duration {
        let start = Instant::now();
        pace.turn().await;
        start.elapsed()
    }
}
