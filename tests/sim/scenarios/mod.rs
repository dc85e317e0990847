//! The scenarios. Each is a script: a source, a mapping, a function, weather, lives of the daemon, and who acts on them,
//! with ranges that the seed draws from. A new one begins from `a_queue` or `a_stream` and says what is special about it.

mod errors;
mod fanout;
mod filters;
mod machines;
mod positions;
mod queues;
mod scaling;
mod stalls;
mod streams;
mod windows;

use std::time::Duration;

use esmd::mapping::on_failure::Undeliverable;
use esmd::mapping::{Retries, StartingPosition, StreamKind};

use crate::actors::{
    Actor, Clockmaker, Disturber, Gatekeeper, Hitches, Operator, Outages, Producer, Reader, Repeater, Resharder,
    Retention, Rival, Rollover, Silencer, Usurper,
};
use crate::plan::{Errors, FeedPlan, Habits, Lives, Plan, Sieve};
use crate::random::Random;
use crate::run::Scenario;
use crate::weather::Climate;

pub const ALL: &[Scenario] = &[
    Scenario { name: "standard", plan: queues::standard },
    Scenario { name: "fifo", plan: queues::fifo },
    Scenario { name: "leases-end", plan: queues::leases_end },
    Scenario { name: "successors", plan: queues::successors },
    Scenario { name: "fair-queue", plan: queues::fair_queue },
    Scenario { name: "bursts", plan: scaling::bursts },
    Scenario { name: "away", plan: scaling::away },
    Scenario { name: "heartbeats", plan: scaling::heartbeats },
    Scenario { name: "refusals", plan: queues::refusals },
    Scenario { name: "drained-queue", plan: queues::drained },
    Scenario { name: "stream", plan: streams::stream },
    Scenario { name: "leases-taken", plan: streams::leases_taken },
    Scenario { name: "fair-stream", plan: streams::fair_stream },
    Scenario { name: "hot-keys", plan: streams::hot_keys },
    Scenario { name: "blocked-key", plan: streams::blocked_key },
    Scenario { name: "late-start", plan: streams::late_start },
    Scenario { name: "retention", plan: streams::retention },
    Scenario { name: "table", plan: streams::table },
    Scenario { name: "fan-out", plan: fanout::fan_out },
    Scenario { name: "fair-fan-out", plan: fanout::fair_fan_out },
    Scenario { name: "lost-subscriptions", plan: fanout::lost_subscriptions },
    Scenario { name: "poison", plan: errors::poison },
    Scenario { name: "reports", plan: errors::reports },
    Scenario { name: "aging", plan: errors::aging },
    Scenario { name: "outlived", plan: errors::outlived },
    Scenario { name: "windows", plan: windows::windows },
    Scenario { name: "counted-once", plan: windows::counted_once },
    Scenario { name: "filtered-queue", plan: filters::filtered_queue },
    Scenario { name: "filtered-stream", plan: filters::filtered_stream },
    Scenario { name: "kept", plan: filters::kept },
    Scenario { name: "clocks", plan: machines::clocks },
    Scenario { name: "adapter-bugs", plan: machines::adapter_bugs },
    Scenario { name: "trimmed", plan: positions::trimmed },
    Scenario { name: "expired-parents", plan: positions::expired_parents },
    Scenario { name: "denied", plan: positions::denied },
    Scenario { name: "crowded", plan: positions::crowded },
    Scenario { name: "silent-source", plan: stalls::silent_source },
    Scenario { name: "silent-function", plan: stalls::silent_function },
];

/// A queue, its producer and lives of a daemon, in some weather.
fn a_queue(random: &mut Random, fifo: bool) -> Plan {
    Plan {
        feed: FeedPlan::Queue {
            fifo,
            visibility: seconds(random.within(12..=120)), // SQS is asked for more than any window
            wait: seconds(random.within(1..=20)),
            receives_max: random.chance(500).then(|| u32::try_from(random.within(1..=5)).unwrap()),
        },
        is_pushed: false,
        sieve: None,
        lanes: u32::try_from(random.within(2..=10)).unwrap(),
        pollers: None,
        heartbeat: random.chance(200),
        batch_size: count(if fifo { random.within(1..=10) } else { random.spread(1..=30) }),
        window: seconds(if fifo { 0 } else { random.pick(&[0, 0, 1, 5]) }),
        tumbling_window: None,
        function: Habits { reports: random.pick(&[0, 0, 0, 100]), ..Habits::draw(random) },
        errors: Errors { reports_failures: random.chance(250), ..Errors::default() },
        climate: Climate::draw(random),
        lives: Lives::short(),
        actors: vec![producer(random)],
        lasts: seconds(random.within(60..=1_800)),
        is_fair: false,
        is_steady: false,
        stall_after: seconds(300),
        reads_max: None,
        spares_messages: false,
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
