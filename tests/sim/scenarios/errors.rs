//! Scenarios of records that fail or grow old, and of what is told of them.

use super::*;

/// Records that always fail are found by halving, given up after a few attempts, and told of.
pub(super) fn poison(random: &mut Random) -> Plan {
    let maximum_attempts = Some(u32::try_from(random.below(4)).unwrap());
    let errors = Errors {
        retries: Retries { maximum_attempts, bisect: random.chance(800), maximum_record_age: None },
        undeliverable: some_destination(random),
        reports_failures: random.chance(300),
        retention: None,
    };
    let function = Habits {
        poison: random.spread(2..=200),
        poison_stays: true,
        reports: random.pick(&[0, 100]),
        fails: random.pick(&[0, 0, 50]),
        ..Habits::draw(random)
    };
    let mut plan = Plan { function, errors, ..a_stream(random) };
    plan.actors.push(hitches(random));
    if random.chance(500) {
        plan.actors.push(resharder());
    }
    if random.chance(300) { with_trouble(plan) } else { plan }
}

/// The function names the records that failed.
pub(super) fn reports(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(500) { a_stream(random) } else { a_queue(random, fifo) };
    plan.errors.reports_failures = true;
    plan.function.reports = random.pick(&[100, 300, 900]);
    plan.function.fails = random.pick(&[0, 50]);
    plan
}

/// Records grow too old behind a slow function, in back-offs, and while the machine's clock leaps.
pub(super) fn aging(random: &mut Random) -> Plan {
    let errors = Errors {
        retries: Retries {
            maximum_attempts: random.chance(300).then(|| u32::try_from(random.below(9)).unwrap()),
            maximum_record_age: Some(seconds(random.within(60..=600))),
            bisect: random.chance(300),
        },
        undeliverable: some_destination(random),
        ..Errors::default()
    };
    let function = Habits {
        takes: seconds(0)..=seconds(random.within(1..=30)),
        fails: random.pick(&[100, 400, 800]),
        poison: random.pick(&[0, 20]),
        poison_stays: true,
        ..Habits::draw(random)
    };
    let mut plan = Plan { function, errors, ..a_stream(random) };
    plan.lives.down = seconds(0)..=seconds(random.within(1..=300));
    plan.actors.push(hitches(random));
    if random.chance(500) {
        plan.actors
            .push(Box::new(Clockmaker { every: seconds(10)..=seconds(200), suspends: seconds(1)..=seconds(300) }));
    }
    plan
}

/// Poison is tried again without end, until its stream would have dropped it.
pub(super) fn outlived(random: &mut Random) -> Plan {
    let keeps = seconds(random.within(60..=900));
    let errors = Errors {
        retries: Retries { bisect: random.chance(500), ..Retries::default() },
        undeliverable: random.pick(&[None, Some(Undeliverable::Keep)]),
        retention: Some(keeps),
        ..Errors::default()
    };
    let function = Habits { poison: random.spread(5..=100), poison_stays: true, ..Habits::draw(random) };
    let mut plan = Plan { function, errors, lasts: keeps * 3, ..a_stream(random) };
    if random.chance(700) {
        plan.actors.push(Box::new(Retention { keeps }));
    }
    plan
}
