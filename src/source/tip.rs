//! Whether a read found everything that its shard has (`docs/semantics.md` 6.2). Knows no source.

/// Whether a page reached the tip of its shard. `behind_millis` is as the source said it; there are servers that never
/// say 0 and others that never say anything else, so a page also speaks for itself. Where nothing is said, a page may
/// have been cut at its bytes, and only an empty one tells.
pub(super) fn is_at_tip(records: usize, limit: usize, behind_millis: Option<u64>) -> bool {
    match records {
        0 => behind_millis.is_none_or(|millis| millis <= TIP_MILLIS),
        _ => records < limit && behind_millis == Some(0),
    }
}

/// An empty page that says it is no further behind than this is at the tip.
const TIP_MILLIS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 6.2: what counts as the tip, for servers of every habit.
    #[test]
    fn the_tip_is_told_from_the_page_and_the_lag_together() {
        assert!(is_at_tip(0, 100, Some(0)), "empty, no lag");
        assert!(is_at_tip(0, 100, Some(1_000)), "empty, and the server never says 0");
        assert!(is_at_tip(0, 100, None), "empty, and the server says nothing");
        assert!(is_at_tip(99, 100, Some(0)), "the last records");
        assert!(!is_at_tip(99, 100, None), "records, and the server does not say whether they are the last");
        assert!(!is_at_tip(0, 100, Some(60_000)), "an empty page far from the tip is normal");
        assert!(!is_at_tip(1, 100, Some(20)), "records, and more behind them");
        assert!(!is_at_tip(100, 100, Some(0)), "a full page, and the server always says 0");
    }
}
