//! Who acts on the world while daemons run in it: each actor has one job, and does it until the run is over.

mod reading;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use esmd::core::checkpoint::{Checkpoint, UpTo};
use esmd::core::record::ShardId;
use esmd::mapping::SourceSettings;
use esmd::source::Source;
use esmd::store::StateStore;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

pub use self::reading::{Gatekeeper, Reader, Silencer};
use crate::fakes::destination::Hitch;
use crate::fakes::pushing::Loss;
use crate::random::Random;
use crate::weather::Part;
use crate::world::{Feed, MAPPING, World};

pub trait Actor: Send {
    fn act(self: Box<Self>, world: Arc<World>, random: Random) -> BoxFuture<'static, ()>;
}

/// Sends records in bursts.
pub struct Producer {
    pub every: RangeInclusive<Duration>,
    pub burst: RangeInclusive<u64>,
    pub keys: u64,
    /// In a thousand records so many are of the first key.
    pub hot: u64,
    /// It stops after so many.
    pub records_max: usize,
}

/// Splits, merges.
pub struct Resharder {
    pub every: RangeInclusive<Duration>,
    pub shards_max: usize,
}

/// Closes every shard for a new one, as a table's stream does every four hours.
pub struct Rollover {
    pub every: Duration,
}

/// Takes what is too old out of a stream.
pub struct Retention {
    pub keeps: Duration,
}

/// Changes the mapping: disabled, enabled, taken out, put back, other sizes.
pub struct Operator {
    pub every: RangeInclusive<Duration>,
}

/// Sets the clock of the daemon's machine and lets it drift; or suspends a machine whose clock is never set back, since a
/// daemon whose clock waits for its wall cannot see how long it slept (`src/clock.rs`).
pub struct Clockmaker {
    pub every: RangeInclusive<Duration>,
    pub suspends: RangeInclusive<Duration>,
}

/// Takes the leases of shards, as another process would.
pub struct Usurper {
    pub every: RangeInclusive<Duration>,
}

/// Parts of the outside go away for a while.
pub struct Outages {
    pub every: RangeInclusive<Duration>,
    pub last: RangeInclusive<Duration>,
}

/// The destination is slow, or fails for a while, again and again.
pub struct Hitches {
    pub every: RangeInclusive<Duration>,
    pub slow: RangeInclusive<Duration>,
}

/// Subscriptions end, fail, fall silent, and are taken over.
pub struct Disturber {
    pub every: RangeInclusive<Duration>,
}

/// A standard queue hands out messages that somebody holds.
pub struct Repeater {
    pub every: RangeInclusive<Duration>,
}

/// Receives messages and forgets them, as another consumer of the queue that dies.
pub struct Rival {
    pub every: RangeInclusive<Duration>,
}

impl Actor for Producer {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            while world.oracle.sent() < self.records_max {
                for _ in 0..random.within(self.burst.clone()) {
                    let key = if random.chance(self.hot) { 0 } else { random.below(self.keys) };
                    world.produce(&format!("key-{key}"));
                }
                sleep(random.duration(self.every.clone())).await;
            }
        })
    }
}

impl Actor for Resharder {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                world.weather.count("reshard");
                let open = world.stream().open_shards();
                let neighbours = world.stream().neighbours();
                if !neighbours.is_empty() && (open.len() >= self.shards_max || random.chance(400)) {
                    let (shard, next) = random.pick(&neighbours);
                    world.merge(&shard, &next);
                } else if open.len() < self.shards_max {
                    world.split(&random.pick(&open));
                } else {
                    world.roll_over(&random.pick(&open));
                }
            }
        })
    }
}

impl Actor for Disturber {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let code = random.pick(&["InternalFailureException", "LimitExceededException", "KMSDisabledException"]);
                let loss = random.pick(&[Loss::Ended, Loss::Silent, Loss::Failed(code), Loss::TakenOver]);
                world.weather.count("subscription lost");
                let shard = random.pick(&world.stream().open_shards());
                world.trace.say(|| format!("the subscription of {shard} is lost: {loss:?}"));
                world.stream().lose_subscription(&shard, loss);
            }
        })
    }
}

impl Actor for Rollover {
    fn act(self: Box<Self>, world: Arc<World>, _: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(self.every).await;
                world.weather.count("rollover");
                for shard in world.stream().open_shards() {
                    world.roll_over(&shard);
                }
            }
        })
    }
}

impl Actor for Retention {
    fn act(self: Box<Self>, world: Arc<World>, _: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(self.keeps / 10).await;
                world.expire(self.keeps);
            }
        })
    }
}

impl Actor for Operator {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                world.weather.count("configuration changed");
                let (turn, size, lanes) = (random.below(8), random.within(1..=10), random.within(1..=10));
                let window = Duration::from_secs(random.below(6));
                world.configure(|mapping| {
                    let lanes_max = u32::try_from(lanes).unwrap();
                    match (turn, &mut mapping.source) {
                        (0, _) => mapping.enabled = !mapping.enabled,
                        (1, _) => return false,
                        (2, _) => mapping.batching.size = usize::try_from(size).unwrap(),
                        (3, SourceSettings::Queue(queue)) if queue.pollers.is_none() => {
                            queue.maximum_concurrency = Some(lanes_max.max(2));
                        }
                        (3, SourceSettings::Stream(stream)) if stream.tumbling_window.is_some() => {
                            stream.tumbling_window = Some(Duration::from_secs(lanes));
                        }
                        (3, SourceSettings::Stream(stream)) => stream.parallelization_factor = lanes_max,
                        (4, SourceSettings::Queue(queue)) if queue.fifo => {}
                        (5, SourceSettings::Queue(_)) => {
                            mapping.esmd.extend_visibility = !mapping.esmd.extend_visibility;
                        }
                        // the function counts what it does not report, so it has to know whether it may
                        (6, SourceSettings::Stream(stream)) if stream.tumbling_window.is_some() => {}
                        (6, _) => mapping.reports_failures = !mapping.reports_failures,
                        (7, SourceSettings::Stream(stream)) => {
                            stream.retries.bisect = !stream.retries.bisect;
                            stream.retries.maximum_attempts = Some(lanes_max % 4);
                        }
                        (4, _) => mapping.batching.window = window,
                        _ => mapping.enabled = true,
                    }
                    true
                });
            }
        })
    }
}

impl Actor for Clockmaker {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let sleeps = random.chance(500);
            world.oracle.clock_leaps();
            loop {
                sleep(random.duration(self.every.clone())).await;
                let ahead = i64::try_from(random.below(7_200_000)).unwrap() - 3_600_000;
                match random.below(4) {
                    0 | 1 if sleeps => {
                        let suspended = random.duration(self.suspends.clone());
                        world.trace.say(|| format!("the machine sleeps for {suspended:?}"));
                        world.weather.count("machine suspended");
                        world.time.suspend(suspended);
                        if let Feed::Queue(queue) = &world.feed {
                            queue.clock_leapt();
                        }
                    }
                    _ if sleeps || ahead % 3 == 0 => {
                        world.weather.count("clock drifts");
                        world.time.set_drift(ahead / 7_200);
                    }
                    _ => {
                        world.trace.say(|| format!("the machine's clock is {ahead} ms ahead"));
                        world.weather.count("clock set");
                        world.time.set_wall_clock(ahead);
                    }
                }
            }
        })
    }
}

impl Actor for Usurper {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let rows = world.rows().await;
                if rows.is_empty() {
                    continue;
                }
                let shard = random.pick(&rows).shard;
                world.weather.count("lease taken");
                world.trace.say(|| format!("another process takes the lease of {shard}"));
                world.store.claim(MAPPING, shard, "another".to_owned()).await.unwrap();
            }
        })
    }
}

impl Actor for Outages {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let part = random.pick(&[Part::Source, Part::Target, Part::Store, Part::Destination]);
                world.trace.say(|| format!("{part:?} goes away"));
                world.weather.set_away(part, true);
                sleep(random.duration(self.last.clone())).await;
                world.trace.say(|| format!("{part:?} is back"));
                world.weather.set_away(part, false);
            }
        })
    }
}

impl Actor for Hitches {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let slow = Hitch::Slow(random.duration(self.slow.clone()));
                let hitch = random.pick(&[slow, Hitch::Transient, Hitch::Refused]);
                world.weather.count("destination hitches");
                world.destination.hitch(random.index(5) + 1, hitch);
            }
        })
    }
}

impl Actor for Repeater {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let left = world.queue().left();
                if left.is_empty() {
                    continue;
                }
                let number: usize = random.pick(&left).parse().unwrap();
                world.weather.count("message repeated");
                world.oracle.repeated(number);
                world.queue().repeat(&format!("message-{number:06}"));
            }
        })
    }
}

impl Actor for Rival {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        let queue = world.queue();
        let mut receiver = queue.open(&ShardId::new("queue"), &Checkpoint::at(UpTo::TrimHorizon));
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let received = receiver.receive(random.index(10) + 1).await.unwrap();
                world.weather.count("receive by another");
                world.trace.say(|| format!("another consumer takes {} messages", received.records.len()));
            }
        })
    }
}
