//! Who makes trouble for reading: sources that fall silent or deny, and other readers of the same shards.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use esmd::core::record::ShardId;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::Actor;
use crate::random::Random;
use crate::world::{Feed, World};

/// The source accepts receives and never answers them, again and again.
pub struct Silencer {
    pub every: RangeInclusive<Duration>,
    pub last: RangeInclusive<Duration>,
}

/// The source denies every call for a while. The mapping says so, and goes on by itself.
pub struct Gatekeeper {
    pub every: RangeInclusive<Duration>,
    pub last: RangeInclusive<Duration>,
}

/// Another consumer of the stream, whose reads count against the shards' limits.
pub struct Reader {
    pub every: RangeInclusive<Duration>,
    pub reads: RangeInclusive<u64>,
}

impl Actor for Silencer {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let shard = match &world.feed {
                    Feed::Stream(stream) => Some(random.pick(&stream.open_shards())),
                    Feed::Queue(_) => None,
                };
                world.weather.count("source silent");
                let silence = Silence::begin(Arc::clone(&world), shard);
                sleep(random.duration(self.last.clone())).await;
                drop(silence);
            }
        })
    }
}

/// Lasts until it is dropped, by its actor's end at the latest.
struct Silence {
    world: Arc<World>,
    shard: Option<ShardId>,
}

impl Silence {
    fn begin(world: Arc<World>, shard: Option<ShardId>) -> Self {
        world.silence(shard.as_ref());
        Self { world, shard }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.world.answer_again(self.shard.as_ref());
    }
}

impl Actor for Gatekeeper {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let shown = world.last_processing_result();
                judge_denial(&world, &shown, false);
                world.weather.count("source denied");
                world.trace.say(|| "the source denies every call".to_owned());
                world.weather.set_denied(true);
                let (life, _) = world.last_processing_result();
                sleep(random.duration(self.last.clone())).await;
                let shown = world.last_processing_result();
                if shown.0 == life {
                    judge_denial(&world, &shown, true);
                }
                world.trace.say(|| "the source lets everybody in".to_owned());
                world.weather.set_denied(false);
            }
        })
    }
}

/// `docs/semantics.md` 6.2: a mapping whose source is denied says so, and no longer when it is not.
fn judge_denial(world: &World, (life, shown): &(u32, String), is_denied: bool) {
    let says_so = shown.contains("denied");
    if says_so != is_denied && *life > 0 {
        world.oracle.object(format!("denied: {is_denied}, and life {life} shows {shown:?}"));
    }
}

impl Actor for Reader {
    fn act(self: Box<Self>, world: Arc<World>, mut random: Random) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                sleep(random.duration(self.every.clone())).await;
                let shard = random.pick(&world.stream().open_shards());
                world.weather.count("reads by another");
                for _ in 0..random.within(self.reads.clone()) {
                    world.stream().read_by_another(&shard);
                }
            }
        })
    }
}
