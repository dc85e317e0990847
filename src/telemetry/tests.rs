use std::collections::BTreeSet;

use super::*;
use crate::core::record::PositionReset;

/// `docs/semantics.md` 6.2
#[test]
fn positions_that_were_given_up_are_counted_by_their_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let metrics = MappingMetrics::new(Uuid::nil());
        for reset in [Some(PositionReset::Trimmed), None, Some(PositionReset::Unknown), Some(PositionReset::Unknown)] {
            metrics.received(&Received { reset, ..Received::default() });
        }
    });
    let page = recorder.handle().render();
    for (reason, count) in [("trimmed", 1), ("unknown", 2)] {
        let line = format!("{POSITIONS_RESET}{{mapping=\"{}\",reason=\"{reason}\"}} {count}\n", Uuid::nil());
        assert!(page.contains(&line), "{page}");
    }
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `esmd_"));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    let documented: BTreeSet<&str> =
        first_cells.flat_map(|cell| cell.split('`')).filter(|part| part.starts_with("esmd_")).collect();
    let counters = COUNTERS.iter().map(|(name, _)| *name);
    let gauges = GAUGES.iter().map(|(name, ..)| *name);
    let histograms = HISTOGRAMS.iter().map(|(name, ..)| *name);
    assert_eq!(documented, counters.chain(gauges).chain(histograms).collect());
}
