//! Scenarios of streams that push their records to a registered consumer.

use super::*;

/// All that can happen to a stream at once, and to its subscriptions.
pub(super) fn fan_out(random: &mut Random) -> Plan {
    let mut plan = with_trouble(pushed(random));
    plan.actors.push(resharder());
    plan.actors.push(disturber(random));
    if random.chance(300) {
        plan.actors.push(Box::new(Retention { keeps: seconds(random.within(60..=900)) }));
    }
    plan
}

/// Nothing goes wrong but the function and the subscriptions, and daemons are only drained: each record succeeds once.
pub(super) fn fair_fan_out(random: &mut Random) -> Plan {
    let mut plan = in_fair_weather(pushed(random));
    plan.actors.push(resharder());
    plan.actors.push(disturber(random));
    plan
}

/// Subscriptions are lost again and again, behind a function so slow that what was pushed waits in the reader.
pub(super) fn lost_subscriptions(random: &mut Random) -> Plan {
    let function = Habits { takes: seconds(1)..=seconds(20), ..Habits::draw(random) };
    let mut plan = Plan { function, climate: Climate { late: 100, ..Climate::default() }, ..pushed(random) };
    plan.actors.push(Box::new(Disturber { every: Duration::ZERO..=seconds(10) }));
    plan
}

fn pushed(random: &mut Random) -> Plan {
    Plan { is_pushed: true, ..a_stream(random) }
}

fn disturber(random: &mut Random) -> Box<dyn Actor> {
    Box::new(Disturber { every: seconds(1)..=seconds(random.within(10..=300)) })
}
