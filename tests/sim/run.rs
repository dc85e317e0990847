//! One run: a scenario and a seed, from the beginning of a world to its judgement. In the mode of safety faults go on to
//! the end, and nothing may be lost. In the mode of liveness they stop at some time, and then everything has to be settled
//! soon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::fakes::wire::Wire;
use crate::plan::{Lives, Plan};
use crate::random::Random;
use crate::resets::ResetsCounted;
use crate::time::Time;
use crate::trace::Trace;
use crate::world::{Life, World};

/// A name and a plan, made from the seed.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub plan: fn(&mut Random) -> Plan,
}

/// How a run ended.
pub struct Report {
    pub verdict: Result<(), String>,
    pub trace: String,
    pub records: usize,
    pub invocations: u64,
    pub passed: Duration,
    pub met: BTreeMap<String, u64>,
}

impl Scenario {
    pub fn run(&self, seed: u64) -> Report {
        self.live(seed, false)
    }

    /// Tells all that happens.
    pub fn replay(&self, seed: u64) -> Report {
        self.live(seed, true)
    }

    fn live(&self, seed: u64, is_traced: bool) -> Report {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let time = Time::begin();
            let trace = Trace::new(time.clone(), is_traced);
            let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(trace.clone()));
            let mut random = Random::new(seed);
            let plan = (self.plan)(&mut random);
            let expects = plan.expects.clone();
            let resets = ResetsCounted::default();
            let _counting = metrics::set_default_local_recorder(&resets);
            let world = Arc::new(World::new(&plan, &mut random, time, trace, resets.clone()).await);
            live(&world, plan, &mut random).await;
            judge_errors(&world, &expects);
            Report {
                verdict: world.oracle.verdict(),
                trace: world.trace.text(),
                records: world.oracle.sent(),
                invocations: world.oracle.invocations(),
                passed: world.time.passed(),
                met: world.weather.met(),
            }
        })
    }
}

async fn live(world: &Arc<World>, plan: Plan, random: &mut Random) {
    let mut actors = JoinSet::new();
    for actor in plan.actors {
        actors.spawn(actor.act(Arc::clone(world), random.fork()));
    }
    let mut daemon = Daemon { lives: plan.lives, random: random.fork(), life: None };
    let is_calm_at_last = random.chance(500);
    tokio::select! { biased;
        () = world.oracle.is_broken() => {}
        () = daemon.live_on(world) => {}
        () = sleep(plan.lasts) => {}
    }
    actors.abort_all();
    while let Some(ended) = actors.join_next().await {
        if ended.is_err_and(|failed| failed.is_panic()) {
            world.oracle.object("an actor panicked".to_owned());
        }
    }
    if world.oracle.verdict().is_ok() && is_calm_at_last {
        world.trace.say(|| "it is calm from now on".to_owned());
        become_calm(world, &mut daemon).await;
    }
    if let Some(life) = daemon.life.take() {
        life.crash().await;
    }
    world.oracle.judge_losses(&world.rows().await);
}

/// The lives of the daemon.
struct Daemon {
    lives: Lives,
    random: Random,
    life: Option<Life>,
}

impl Daemon {
    /// One life after another, without end.
    async fn live_on(&mut self, world: &World) {
        loop {
            let random = &mut self.random;
            let is_cut = self.lives.last.is_some() && random.chance(self.lives.cut);
            let wire = if is_cut { Wire::cut_at(random.spread(self.lives.steps.clone())) } else { Wire::whole() };
            let life = world.start(wire, random.duration(self.lives.drain_timeout.clone()));
            let lasts = self.lives.last.clone().map(|lasts| random.duration(lasts));
            let (is_drained, down) = (random.chance(self.lives.drained), random.duration(self.lives.down.clone()));
            let life = self.life.insert(life);
            let is_dead = tokio::select! { biased;
                () = life.is_dead() => true,
                () = after(lasts) => false,
            };
            let life = self.life.take().expect("it lived until now");
            if is_drained && !is_dead {
                world.weather.count("daemon drains");
                world.trace.say(|| "the daemon drains".to_owned());
                let drained = life.drain().await;
                world.trace.say(|| format!("the daemon stopped: {drained:?}"));
                if drained.is_ok() {
                    world.oracle.judge_drain();
                }
            } else {
                world.weather.count("daemon crashes");
                world.trace.say(|| "the daemon crashes".to_owned());
                life.crash().await;
            }
            sleep(down).await;
        }
    }
}

async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Everything works from now on: the life that is, or a new one, settles all there is, and drains in time.
async fn become_calm(world: &World, daemon: &mut Daemon) {
    world.weather.calm_down();
    world.destination.forget_hitches();
    world.configure(|mapping| {
        mapping.enabled = true;
        true
    });
    let begin = || world.start(Wire::whole(), DRAIN_ENOUGH);
    let goes_on = daemon.random.chance(700);
    let mut life = daemon.life.take().filter(|_| goes_on).unwrap_or_else(begin);
    let until = Instant::now() + CALM_MAX;
    loop {
        while let Some(unsettled) = world.oracle.unsettled(&world.rows().await).or_else(|| world.stalled()) {
            tokio::select! { biased;
                () = world.oracle.is_broken() => return life.crash().await,
                () = life.is_dead() => life = begin(),
                () = sleep(Duration::from_secs(2)) => {}
            }
            if Instant::now() > until {
                world.oracle.object(format!("{CALM_MAX:?} of calm were not enough: {unsettled}"));
                return life.crash().await;
            }
        }
        let dead = world.dead_letters();
        let has_time = life.drain_timeout >= DRAIN_ENOUGH;
        if let Err(cut_off) = life.drain().await
            && has_time
        {
            world.oracle.object(format!("it did not drain in the calm: {cut_off}"));
        }
        match world.oracle.unsettled(&world.rows().await) {
            // The last receive sent one to the dead letters, which lets pass what was behind it in its group.
            Some(_) if world.dead_letters() > dead => life = begin(),
            Some(unsettled) => return world.oracle.object(format!("after the drain {unsettled}")),
            None => return,
        }
    }
}

fn judge_errors(world: &World, expects: &[&str]) {
    let errors = world.trace.errors();
    let is_expected = |error: &&String| expects.iter().any(|part| error.contains(part));
    if let Some(error) = errors.iter().find(|error| !is_expected(error)) {
        world.oracle.object(format!("the daemon logged an error:{error}"));
    }
}

/// A queue's messages come back by their visibility timeout, a batch backs off for a minute at most; but poison may be
/// given up for nothing but its age, by a clock that is an hour behind.
const CALM_MAX: Duration = Duration::from_hours(2);
/// Longer than any invocation.
const DRAIN_ENOUGH: Duration = Duration::from_mins(5);
