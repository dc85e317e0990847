//! Keeps a failure that repeats from flooding the log: the first is said at once, then one a while with the number of
//! those that were not said.

use std::time::Duration;

use crate::core::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    said_at: Option<Timestamp>,
    suppressed: u64,
}

impl LogLimit {
    /// Whether to say it now; if so, how many were not said since the last time.
    pub(crate) fn permit(&mut self, now: Timestamp) -> Option<u64> {
        if self.said_at.is_some_and(|said_at| now.since(said_at) < INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

const INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_failure_is_said_once_a_while_with_its_count() {
        let mut limit = LogLimit::default();
        let second = |second: u64| Timestamp::from_millis(second * 1_000);
        assert_eq!(limit.permit(second(0)), Some(0));
        assert_eq!(limit.permit(second(1)), None);
        assert_eq!(limit.permit(second(29)), None);
        assert_eq!(limit.permit(second(30)), Some(2));
    }
}
