//! Scenarios of streams: order, lanes, leases, positions.

use super::*;

/// All that can happen to a stream at once.
pub(super) fn stream(random: &mut Random) -> Plan {
    let mut plan = a_stream(random);
    plan.actors.push(resharder());
    plan.actors.push(Box::new(Usurper { every: seconds(10)..=seconds(120) }));
    with_trouble(plan)
}

/// Other processes take the leases of shards again and again.
pub(super) fn leases_taken(random: &mut Random) -> Plan {
    let mut plan = a_stream(random);
    plan.climate = Climate { late: 100, ..Climate::default() };
    plan.actors.push(Box::new(Usurper { every: seconds(1)..=seconds(20) }));
    plan
}

/// Nothing goes wrong but the function, and daemons are only drained: each record succeeds once.
pub(super) fn fair_stream(random: &mut Random) -> Plan {
    let mut plan = in_fair_weather(a_stream(random));
    plan.actors.push(resharder());
    plan.actors.push(Box::new(Operator { every: seconds(10)..=seconds(100) }));
    plan
}

/// A few keys, ten lanes, and all of them busy.
pub(super) fn hot_keys(random: &mut Random) -> Plan {
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
pub(super) fn blocked_key(random: &mut Random) -> Plan {
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
pub(super) fn late_start(random: &mut Random) -> Plan {
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
pub(super) fn retention(random: &mut Random) -> Plan {
    let keeps = seconds(random.within(60..=900));
    let mut plan = a_stream(random);
    plan.lives = Lives { down: seconds(0)..=keeps * 2, ..Lives::short() };
    plan.lasts = keeps * 4;
    plan.actors.push(resharder());
    plan.actors.push(Box::new(Retention { keeps }));
    plan
}

/// A table's stream: every shard is closed after four hours, also while no daemon runs, and gone after a day.
pub(super) fn table(random: &mut Random) -> Plan {
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
