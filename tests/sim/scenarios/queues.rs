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

/// What came while the function had room is probed one by one when it has none: what fails then has successors here.
pub(super) fn successors(random: &mut Random) -> Plan {
    let producer = Producer {
        every: seconds(0)..=seconds(random.within(1..=20)),
        burst: 10..=random.within(20..=60),
        keys: random.within(3..=20),
        hot: 0,
        records_max: 1_000,
    };
    let (fails, throttles) = (random.within(100..=500), random.within(100..=500));
    Plan {
        feed: FeedPlan::Queue { fifo: true, visibility: seconds(10), wait: seconds(1), receives_max: None },
        lanes: 10,
        batch_size: count(random.within(3..=10)),
        function: Habits { slows: 0, fails, throttles, ..Habits::draw(random) },
        climate: Climate::default(),
        lives: Lives { last: Some(seconds(100)..=seconds(600)), ..Lives::short() },
        actors: vec![Box::new(producer)],
        lasts: seconds(random.within(600..=1_200)),
        ..a_queue(random, true)
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

/// Messages come again while they are invoked, others of their groups with them; and then the queue refuses to delete
/// them, although their leases live.
pub(super) fn refusals(random: &mut Random) -> Plan {
    let climate = Climate { refuses: random.within(50..=500), ..Climate::default() };
    let visibility = random.within(3..=20);
    let producer = Producer {
        every: seconds(0)..=seconds(random.within(1..=10)),
        burst: 1..=30,
        keys: random.within(1..=8),
        hot: random.pick(&[0, 300]),
        records_max: count(random.spread(20..=500)),
    };
    Plan {
        feed: FeedPlan::Queue { fifo: true, visibility: seconds(visibility), wait: seconds(1), receives_max: None },
        climate,
        batch_size: count(random.within(2..=10)),
        function: Habits {
            slows: 400,
            slow: seconds(visibility / 2)..=seconds(visibility * 2),
            fails: 0,
            throttles: 0,
            ..Habits::draw(random)
        },
        actors: vec![Box::new(producer)],
        ..a_queue(random, true)
    }
}

/// Daemons are drained again and again while messages wait for a batch, and nothing goes wrong.
pub(super) fn drained(random: &mut Random) -> Plan {
    let mut plan = in_fair_weather(a_queue(random, false));
    plan.feed = FeedPlan::Queue { fifo: false, visibility: seconds(120), wait: seconds(2), receives_max: None };
    plan.window = seconds(random.within(1..=5));
    plan.batch_size = count(random.within(5..=50));
    plan.function = Habits { slows: 0, throttles: 0, ..Habits::draw(random) };
    plan.lives.last = Some(seconds(1)..=seconds(20));
    plan
}
