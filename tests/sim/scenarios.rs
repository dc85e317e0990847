//! The scenarios. Each is a script: a source, a mapping, a function, weather, lives of the daemon, and who acts on them,
//! with ranges that the seed draws from. A new one begins from `a_queue` or `a_stream` and says what is special about it.

use std::time::Duration;

use esmd::mapping::on_failure::Undeliverable;
use esmd::mapping::{Retries, StartingPosition, StreamKind};

use crate::actors::{
    Actor, Clockmaker, Hitches, Operator, Outages, Producer, Repeater, Resharder, Retention, Rival, Rollover, Usurper,
};
use crate::plan::{Errors, FeedPlan, Habits, Lives, Plan};
use crate::random::Random;
use crate::run::Scenario;
use crate::weather::Climate;

pub const ALL: &[Scenario] = &[
    Scenario { name: "standard", plan: standard },
    Scenario { name: "fifo", plan: fifo },
    Scenario { name: "leases-end", plan: leases_end },
    Scenario { name: "fair-queue", plan: fair_queue },
    Scenario { name: "stream", plan: stream },
    Scenario { name: "leases-taken", plan: leases_taken },
    Scenario { name: "fair-stream", plan: fair_stream },
    Scenario { name: "hot-keys", plan: hot_keys },
    Scenario { name: "blocked-key", plan: blocked_key },
    Scenario { name: "late-start", plan: late_start },
    Scenario { name: "retention", plan: retention },
    Scenario { name: "table", plan: table },
    Scenario { name: "poison", plan: poison },
    Scenario { name: "reports", plan: reports },
    Scenario { name: "aging", plan: aging },
    Scenario { name: "outlived", plan: outlived },
    Scenario { name: "clocks", plan: clocks },
    Scenario { name: "adapter-bugs", plan: adapter_bugs },
];

/// All that can happen to a standard queue at once.
fn standard(random: &mut Random) -> Plan {
    let mut plan = a_queue(random, false);
    plan.actors.push(Box::new(Repeater { every: seconds(1)..=seconds(30) }));
    with_trouble(plan)
}

/// All that can happen to a FIFO queue at once.
fn fifo(random: &mut Random) -> Plan {
    with_trouble(a_queue(random, true))
}

/// Leases end in the backlog, in batches that wait, and while the function runs.
fn leases_end(random: &mut Random) -> Plan {
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
fn fair_queue(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    Plan {
        feed: FeedPlan::Queue { fifo, visibility: seconds(120), wait: seconds(2), receives_max: None },
        function: Habits { slows: 0, throttles: 0, ..Habits::draw(random) },
        ..in_fair_weather(a_queue(random, fifo))
    }
}

/// All that can happen to a stream at once.
fn stream(random: &mut Random) -> Plan {
    let mut plan = a_stream(random);
    plan.actors.push(resharder());
    plan.actors.push(Box::new(Usurper { every: seconds(10)..=seconds(120) }));
    with_trouble(plan)
}

/// Other processes take the leases of shards again and again.
fn leases_taken(random: &mut Random) -> Plan {
    let mut plan = a_stream(random);
    plan.climate = Climate { late: 100, ..Climate::default() };
    plan.actors.push(Box::new(Usurper { every: seconds(1)..=seconds(20) }));
    plan
}

/// Nothing goes wrong but the function, and daemons are only drained: each record succeeds once.
fn fair_stream(random: &mut Random) -> Plan {
    let mut plan = in_fair_weather(a_stream(random));
    plan.actors.push(resharder());
    plan.actors.push(Box::new(Operator { every: seconds(10)..=seconds(100) }));
    plan
}

/// A few keys, ten lanes, and all of them busy.
fn hot_keys(random: &mut Random) -> Plan {
    let function = Habits { takes: seconds(1)..=seconds(5), ..Habits::draw(random) };
    let producer = Producer {
        every: seconds(0)..=seconds(2),
        burst: 10..=60,
        keys: random.within(1..=12),
        hot: random.pick(&[0, 500]),
        records_max: 2_000,
    };
    let mut actors: Vec<Box<dyn Actor>> = vec![Box::new(producer)];
    if random.chance(500) {
        actors.push(resharder());
    }
    Plan { lanes: 10, batch_size: count(random.spread(1..=20)), function, actors, ..a_stream(random) }
}

/// One key fails for long while others go on, past the bound of 1,000 settled ranges.
fn blocked_key(random: &mut Random) -> Plan {
    let until = seconds(random.within(60..=900));
    let function =
        Habits { blocked: Some(("key-0".to_owned(), until)), fails: 0, throttles: 0, slows: 0, ..Habits::draw(random) };
    let producer = Producer {
        every: seconds(0)..=seconds(1),
        burst: 10..=90,
        keys: 40,
        hot: 300,
        records_max: count(random.within(500..=4_000)),
    };
    Plan {
        feed: FeedPlan::Stream {
            kind: StreamKind::Kinesis,
            shards: 1,
            starting_position: StartingPosition::TrimHorizon,
        },
        lanes: 10,
        batch_size: count(random.within(1..=4)),
        function,
        actors: vec![Box::new(producer)],
        lasts: until + seconds(random.within(0..=600)),
        ..a_stream(random)
    }
}

/// The mapping begins at the tip, or at a time, of a stream that is resharded all the while.
fn late_start(random: &mut Random) -> Plan {
    let at = seconds(500_000 * 3_600 + random.below(200));
    let position = StartingPosition::AtTimestamp(jiff::Timestamp::UNIX_EPOCH + at);
    let starting_position = random.pick(&[StartingPosition::Latest, StartingPosition::Latest, position]);
    let mut plan = a_stream(random);
    plan.feed = FeedPlan::Stream { kind: StreamKind::Kinesis, shards: random.within(1..=4), starting_position };
    plan.lives = Lives { last: Some(seconds(1)..=seconds(40)), ..Lives::short() };
    plan.actors.push(Box::new(Resharder { every: seconds(1)..=seconds(40), shards_max: 6 }));
    plan
}

/// Records and shards go away before anyone read them.
fn retention(random: &mut Random) -> Plan {
    let keeps = seconds(random.within(60..=900));
    let mut plan = a_stream(random);
    plan.lives = Lives { down: seconds(0)..=keeps * 2, ..Lives::short() };
    plan.lasts = keeps * 4;
    plan.actors.push(resharder());
    plan.actors.push(Box::new(Retention { keeps }));
    plan
}

/// A table's stream: every shard is closed after four hours, also while no daemon runs, and gone after a day.
fn table(random: &mut Random) -> Plan {
    let producer = Producer {
        every: seconds(0)..=seconds(random.within(60..=600)),
        burst: 1..=20,
        keys: random.within(1..=30),
        hot: 0,
        records_max: 3_000,
    };
    let hours = |hours: u64| Duration::from_hours(hours);
    let starting_position = random.pick(&[StartingPosition::TrimHorizon, StartingPosition::Latest]);
    Plan {
        feed: FeedPlan::Stream { kind: StreamKind::Dynamodb, shards: random.within(1..=3), starting_position },
        lives: Lives { last: Some(seconds(1)..=hours(3)), down: seconds(0)..=hours(9), ..Lives::short() },
        actors: vec![
            Box::new(producer),
            Box::new(Rollover { every: hours(4) }),
            Box::new(Retention { keeps: hours(24) }),
        ],
        lasts: hours(random.spread(5..=30)),
        ..a_stream(random)
    }
}

/// Records that always fail are found by halving, given up after a few attempts, and told of.
fn poison(random: &mut Random) -> Plan {
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
fn reports(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(500) { a_stream(random) } else { a_queue(random, fifo) };
    plan.errors.reports_failures = true;
    plan.function.reports = random.pick(&[100, 300, 900]);
    plan.function.fails = random.pick(&[0, 50]);
    plan
}

/// Records grow too old behind a slow function, in back-offs, and while the machine's clock leaps.
fn aging(random: &mut Random) -> Plan {
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
fn outlived(random: &mut Random) -> Plan {
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

/// The machine's clock is set back and ahead, drifts, and the machine sleeps for up to an hour.
fn clocks(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(500) { a_stream(random) } else { a_queue(random, fifo) };
    plan.climate = Climate { late: 100, ..Climate::default() };
    plan.actors.push(Box::new(Clockmaker { every: seconds(1)..=seconds(60), suspends: seconds(1)..=seconds(3_600) }));
    plan
}

/// Adapters panic: only what they belong to begins anew.
fn adapter_bugs(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(700) { a_stream(random) } else { a_queue(random, fifo) };
    plan.climate.panics = random.within(1..=20);
    plan.expects.extend(["consumer failed", "mapping failed"]);
    plan
}

/// A queue, its producer and lives of a daemon, in some weather.
fn a_queue(random: &mut Random, fifo: bool) -> Plan {
    Plan {
        feed: FeedPlan::Queue {
            fifo,
            visibility: seconds(random.within(12..=120)), // SQS is asked for more than any window
            wait: seconds(random.within(1..=20)),
            receives_max: random.chance(500).then(|| u32::try_from(random.within(1..=5)).unwrap()),
        },
        lanes: u32::try_from(random.within(2..=10)).unwrap(),
        batch_size: count(if fifo { random.within(1..=10) } else { random.spread(1..=30) }),
        window: seconds(if fifo { 0 } else { random.pick(&[0, 0, 1, 5]) }),
        function: Habits { reports: random.pick(&[0, 0, 0, 100]), ..Habits::draw(random) },
        errors: Errors { reports_failures: random.chance(250), ..Errors::default() },
        climate: Climate::draw(random),
        lives: Lives::short(),
        actors: vec![producer(random)],
        lasts: seconds(random.within(60..=1_800)),
        is_fair: false,
        expects: vec![],
    }
}

/// A stream, its producer and lives of a daemon, in some weather.
fn a_stream(random: &mut Random) -> Plan {
    Plan {
        feed: FeedPlan::Stream {
            kind: StreamKind::Kinesis,
            shards: random.within(1..=4),
            starting_position: StartingPosition::TrimHorizon,
        },
        lanes: u32::try_from(random.within(1..=10)).unwrap(),
        batch_size: count(random.spread(1..=100)),
        errors: if random.chance(250) { some_errors(random) } else { Errors::default() },
        expects: vec!["checkpoint not written", "not delivered"], // the store or the destination may be away
        ..a_queue(random, false)
    }
}

/// A stream's policy that gives up at some time.
fn some_errors(random: &mut Random) -> Errors {
    Errors {
        retries: Retries {
            maximum_attempts: random.chance(700).then(|| u32::try_from(random.below(6)).unwrap()),
            maximum_record_age: random.chance(300).then(|| seconds(random.within(60..=900))),
            bisect: random.chance(500),
        },
        undeliverable: some_destination(random),
        reports_failures: random.chance(300),
        retention: random.chance(300).then(|| seconds(random.within(60..=900))),
    }
}

fn some_destination(random: &mut Random) -> Option<Undeliverable> {
    random.pick(&[Some(Undeliverable::Keep), Some(Undeliverable::Keep), Some(Undeliverable::Drop), None])
}

fn hitches(random: &mut Random) -> Box<dyn Actor> {
    Box::new(Hitches { every: seconds(1)..=seconds(random.within(10..=120)), slow: seconds(1)..=seconds(90) })
}

fn in_fair_weather(plan: Plan) -> Plan {
    let lives = Lives { drained: 1_000, cut: 0, drain_timeout: seconds(300)..=seconds(300), ..Lives::short() };
    Plan { climate: Climate::default(), lives, is_fair: true, ..plan }
}

fn with_trouble(mut plan: Plan) -> Plan {
    plan.actors.push(Box::new(Operator { every: seconds(30)..=seconds(300) }));
    plan.actors.push(Box::new(Outages { every: seconds(30)..=seconds(300), last: seconds(1)..=seconds(90) }));
    plan.actors.push(Box::new(Clockmaker { every: seconds(60)..=seconds(300), suspends: seconds(1)..=seconds(600) }));
    plan
}

fn producer(random: &mut Random) -> Box<dyn Actor> {
    Box::new(Producer {
        every: Duration::ZERO..=Duration::from_millis(random.spread(10..=20_000)),
        burst: 1..=random.spread(1..=60),
        keys: random.spread(1..=40),
        hot: random.pick(&[0, 0, 300, 900]),
        records_max: count(random.spread(20..=2_000)),
    })
}

fn resharder() -> Box<dyn Actor> {
    Box::new(Resharder { every: seconds(5)..=seconds(300), shards_max: 5 })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
