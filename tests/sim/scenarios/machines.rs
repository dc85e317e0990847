//! Scenarios of the machine and of our own code going wrong.

use super::*;

/// The machine's clock is set back and ahead, drifts, and the machine sleeps for up to an hour.
pub(super) fn clocks(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(500) { a_stream(random) } else { a_queue(random, fifo) };
    plan.climate = Climate { late: 100, ..Climate::default() };
    plan.actors.push(Box::new(Clockmaker { every: seconds(1)..=seconds(60), suspends: seconds(1)..=seconds(3_600) }));
    plan
}

/// Adapters panic: only what they belong to begins anew.
pub(super) fn adapter_bugs(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(700) { a_stream(random) } else { a_queue(random, fifo) };
    plan.climate.panics = random.within(1..=20);
    plan.expects.extend(["consumer failed", "mapping failed"]);
    plan
}
