//! The core under random operations, against a plain model of what it should hold. One case is a story: records arrive,
//! invocations end in every way, the queue answers or does not, time passes, the process dies. After every input all
//! invariants of `docs/architecture.md` 5 are checked; at the end the target recovers and everything must be settled.
//!
//! Begin at `operation.rs` (what can happen), then `world.rs` (how it is done), then `model.rs` (what should follow).
//! `source.rs` is the queue or shard; it knows what must not be lost. A failing case is shrunk and its seed kept in
//! `regressions.txt`; commit it together with the fix. `stories.rs` tells what was found, and what chance is too small
//! to find.

mod filters;
mod model;
mod operation;
mod retries;
mod shards;
mod source;
mod status;
mod stories;
mod windows;
mod world;

use operation::{Case, SourceKind, cases, full_cases};
use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence};
use world::World;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: persistence(),
        ..ProptestConfig::default()
    })]

    /// `docs/semantics.md` 6.4 to 6.6.
    #[test]
    fn a_stream_is_settled_in_order_per_key_whatever_happens(case in cases(SourceKind::Stream)) {
        World::run(&case);
    }

    /// `docs/semantics.md` 4.2 to 4.6.
    #[test]
    fn a_standard_queue_is_settled_whatever_happens(case in cases(SourceKind::StandardQueue)) {
        World::run(&case);
    }

    /// `docs/semantics.md` 5.
    #[test]
    fn a_fifo_queue_is_settled_in_order_per_group_whatever_happens(case in cases(SourceKind::FifoQueue)) {
        World::run(&case);
    }

    /// `docs/architecture.md` 4: nothing in the core is random but its seed.
    #[test]
    fn the_same_inputs_give_the_same_actions(case in any_case()) {
        assert_eq!(World::run(&case), World::run(&case));
    }
}

proptest! {
    // Each looks at thousands of records again and again.
    #![proptest_config(ProptestConfig {
        cases: 8,
        failure_persistence: persistence(),
        ..ProptestConfig::default()
    })]

    /// `docs/architecture.md` 4: reading on by pages loses nothing, blocks nothing for ever and keeps the order.
    #[test]
    fn a_full_shard_is_settled_in_order_per_key_whatever_happens(case in full_cases()) {
        World::run(&case);
    }
}

/// A failing case is kept, unless proptest is told by its variable that none is to be.
fn persistence() -> Option<Box<dyn FailurePersistence>> {
    let file = FileFailurePersistence::Direct("tests/properties/regressions.txt");
    ProptestConfig::default().failure_persistence.map(|_| Box::new(file) as _)
}

fn any_case() -> impl Strategy<Value = Case> {
    prop_oneof![cases(SourceKind::Stream), cases(SourceKind::StandardQueue), cases(SourceKind::FifoQueue)]
}
