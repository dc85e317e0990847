//! Scenarios of a queue's concurrency and leases: many messages, targets that are away, functions slower than a lease.

use super::*;

/// Lanes come and go with bursts, up to hundreds of them, or as pollers.
pub(super) fn bursts(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let burst = Producer {
        every: seconds(1)..=seconds(random.spread(2..=300)),
        burst: 1..=random.spread(10..=600),
        keys: random.spread(1..=400),
        hot: 0,
        records_max: count(random.spread(100..=2_000)),
    };
    let pollers = random.chance(300).then(|| u32::try_from(random.within(2..=6)).unwrap());
    Plan {
        lanes: 0,
        pollers,
        actors: vec![Box::new(burst)],
        lasts: seconds(random.within(60..=600)),
        ..a_queue(random, fifo)
    }
}

/// The target is away for less than a message's receives last, twice the visibility timeout of three; or, with leases
/// that are extended, for as long as it likes. Nothing else is wrong, and no message goes where failures go.
pub(super) fn away(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let heartbeat = random.chance(500);
    let visibility = random.within(20..=120);
    let last = if heartbeat { random.within(60..=1_200) } else { random.within(visibility..=2 * visibility - 10) };
    let begins = random.within(0..=30);
    let away = Some(seconds(begins)..seconds(begins + last));
    let plan = in_fair_weather(a_queue(random, fifo));
    Plan {
        feed: FeedPlan::Queue { fifo, visibility: seconds(visibility), wait: seconds(2), receives_max: Some(3) },
        lanes: random.pick(&[0, 0, 2, 5, 10]),
        heartbeat,
        window: Duration::ZERO,
        function: Habits { takes: Duration::from_millis(1)..=Duration::from_millis(300), away, ..Habits::kind() },
        errors: Errors::default(),
        lives: Lives { last: None, ..plan.lives.clone() },
        actors: vec![producer(random)],
        lasts: seconds(last + 120),
        spares_messages: true,
        ..plan
    }
}

/// The function takes longer than a lease, and each lease is extended.
pub(super) fn heartbeats(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let slow = Habits { slows: 500, slow: seconds(5)..=seconds(200), ..Habits::draw(random) };
    let plan = Plan {
        feed: FeedPlan::Queue {
            fifo,
            visibility: seconds(random.within(10..=60)),
            wait: seconds(2),
            receives_max: random.chance(300).then_some(4),
        },
        heartbeat: true,
        function: slow,
        lanes: random.pick(&[0, 2, 5, 10]),
        window: seconds(if fifo { 0 } else { random.below(2) }),
        ..a_queue(random, fifo)
    };
    if random.chance(500) {
        return with_trouble(plan);
    }
    let function = Habits { throttles: 0, ..plan.function.clone() };
    in_fair_weather(Plan { function, ..plan })
}
