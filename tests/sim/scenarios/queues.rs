//! Scenarios of queues.

use super::*;

/// All that can happen to a standard queue at once.
pub(super) fn standard(random: &mut Random) -> Plan {
    let mut plan = a_queue(random, false);
    plan.actors.push(Box::new(Repeater { every: seconds(1)..=seconds(30) }));
    with_trouble(plan)
}

/// All that can happen to a FIFO queue at once.
pub(super) fn fifo(random: &mut Random) -> Plan {
    with_trouble(a_queue(random, true))
}

/// Leases end in the backlog, in batches that wait, and while the function runs.
pub(super) fn leases_end(random: &mut Random) -> Plan {
    let fifo = random.chance(700);
    let mut actors = vec![producer(random)];
    if random.chance(500) {
        actors.push(Box::new(Rival { every: seconds(0)..=seconds(10) }));
    }
    Plan {
        feed: FeedPlan::Queue {
            fifo,
            visibility: seconds(random.within(2..=12)),
            wait: seconds(1),
            receives_max: None,
        },
        function: Habits {
            slows: 300,
            slow: seconds(1)..=seconds(40),
            fails: random.pick(&[0, 100, 400]),
            throttles: random.pick(&[0, 0, 500, 900]),
            ..Habits::draw(random)
        },
        window: seconds(if fifo { 0 } else { random.below(2) }),
        actors,
        ..a_queue(random, fifo)
    }
}

/// Nothing goes wrong, and daemons are only drained: each message succeeds once.
pub(super) fn fair_queue(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    Plan {
        feed: FeedPlan::Queue { fifo, visibility: seconds(120), wait: seconds(2), receives_max: None },
        function: Habits { slows: 0, throttles: 0, ..Habits::draw(random) },
        ..in_fair_weather(a_queue(random, fifo))
    }
}
