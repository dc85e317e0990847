//! Scenarios of what accepts a call and never answers it. The consumer that waits for it is shown as stalled and begins
//! again, no other does, and its records arrive once there are answers.

use super::*;

/// Receives are never answered, of one shard at a time.
pub(super) fn silent_source(random: &mut Random) -> Plan {
    let mut plan = a_patient_one(random);
    plan.actors.push(Box::new(Silencer { every: seconds(10)..=seconds(600), last: seconds(1)..=seconds(1_200) }));
    plan
}

/// Invocations are never answered, whatever the target's client does about it.
pub(super) fn silent_function(random: &mut Random) -> Plan {
    let mut plan = a_patient_one(random);
    plan.climate.hangs = random.within(1..=100);
    if random.chance(300) {
        plan.actors.push(Box::new(Silencer { every: seconds(10)..=seconds(600), last: seconds(1)..=seconds(1_200) }));
    }
    plan
}

/// Nothing else goes wrong, or all does.
fn a_patient_one(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(700) { a_stream(random) } else { a_queue(random, fifo) };
    plan.stall_after = seconds(random.within(10..=600));
    plan.function.slows = 0;
    plan.lasts = seconds(random.within(600..=7_200));
    plan.lives.last = Some(seconds(60)..=seconds(3_600));
    if random.chance(700) {
        plan.is_steady = true;
        plan.climate = Climate::default();
    }
    if random.chance(500) && matches!(plan.feed, FeedPlan::Stream { .. }) {
        plan.actors.push(resharder());
    }
    plan
}
