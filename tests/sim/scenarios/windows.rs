//! Scenarios of tumbling windows: the function counts its records in the state that goes from call to call.

use super::*;

/// Everything at once: crashes, leases taken, reshards, changed lengths, failures of everything.
pub(super) fn windows(random: &mut Random) -> Plan {
    let mut plan = windowed(random);
    if random.chance(500) {
        plan.actors.push(resharder());
    }
    plan.actors.push(Box::new(Usurper { every: seconds(10)..=seconds(120) }));
    if random.chance(700) { with_trouble(plan) } else { plan }
}

/// Nothing is ever given up: each record is in exactly one window that was closed, after crashes at any step.
pub(super) fn counted_once(random: &mut Random) -> Plan {
    let mut plan = windowed(random);
    plan.errors = Errors { reports_failures: plan.errors.reports_failures, ..Errors::default() };
    plan.errors.retries.bisect = random.chance(300);
    plan.actors.push(Box::new(Usurper { every: seconds(5)..=seconds(60) }));
    plan.lives = Lives { last: Some(seconds(1)..=seconds(60)), cut: 700, ..Lives::short() };
    plan
}

fn windowed(random: &mut Random) -> Plan {
    let keys = random.within(1..=20);
    let producer = Producer {
        every: Duration::ZERO..=seconds(random.spread(1..=30)),
        burst: 1..=random.spread(1..=20),
        keys,
        hot: 0,
        records_max: count(random.spread(20..=500)),
    };
    let plan = a_stream(random);
    let reports = if plan.errors.reports_failures { random.pick(&[0, 100, 400]) } else { 0 };
    Plan {
        lanes: 1,
        batch_size: count(random.spread(1..=30)),
        tumbling_window: Some(seconds(random.pick(&[1, 5, 10, 60, 300]))),
        function: Habits { reports, bloats: random.pick(&[0, 0, 5]), ..plan.function },
        actors: vec![Box::new(producer)],
        ..plan
    }
}
