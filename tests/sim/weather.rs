//! Faults. Every call of the daemon to the outside asks the weather what becomes of it: it may come late, fail, be done
//! without an answer, or meet a bug in its adapter. Whole parts of the outside may be away for a while. When it is calm,
//! everything works at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::random::Random;

/// How often calls meet what, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Climate {
    pub late: u64,
    pub fails: u64,
    pub unanswered: u64,
    pub panics: u64,
    /// Invocations that are never answered. A real target's client gives up after a while; a broken one may not.
    pub hangs: u64,
    /// Deletes and returns that a queue refuses although the lease lives.
    pub refuses: u64,
}

impl Climate {
    pub fn draw(random: &mut Random) -> Self {
        let worst = random.pick(&[5, 30, 100, 250]);
        Self {
            late: random.within(0..=300),
            fails: random.within(0..=worst),
            unanswered: random.within(0..=worst),
            refuses: random.within(0..=worst),
            ..Self::default()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Source,
    Target,
    Store,
    Destination,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// Until the call is there.
    pub before: Duration,
    pub fate: Fate,
    /// Until its answer is back.
    pub after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Works,
    /// It is not done; the number chooses the error.
    Fails(u64),
    /// It is done, and the answer lost.
    Unanswered,
    /// A bug in the adapter: it panics before it does anything.
    Panics,
}

#[derive(Clone)]
pub struct Weather(Arc<Mutex<State>>);

struct State {
    random: Random,
    climate: Climate,
    away: BTreeSet<Part>,
    /// The source lets nobody in.
    is_denied: bool,
    is_calm: bool,
    met: BTreeMap<String, u64>,
}

impl Weather {
    pub fn new(random: Random, climate: Climate) -> Self {
        let (away, met) = (BTreeSet::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { random, climate, away, is_denied: false, is_calm: false, met })))
    }

    /// From now on nothing fails.
    pub fn calm_down(&self) {
        let mut state = self.state();
        (state.is_calm, state.is_denied) = (true, false);
        state.away.clear();
    }

    pub fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    /// A part of the outside goes away or comes back.
    pub fn set_away(&self, part: Part, away: bool) {
        let mut state = self.state();
        if state.is_calm {
            return;
        }
        if away {
            state.away.insert(part);
            state.count(&format!("{part:?} away"));
        } else {
            state.away.remove(&part);
        }
    }

    /// From now on the source denies every call, or no longer.
    pub fn set_denied(&self, denied: bool) {
        let mut state = self.state();
        state.is_denied = denied && !state.is_calm;
    }

    /// Whether the next invocation is never answered.
    pub fn hangs(&self) -> bool {
        let hangs = self.state().climate.hangs;
        hangs > 0 && self.chance(hangs, "invocation never answered")
    }

    /// Whether the queue refuses the next settlement although the lease lives.
    pub fn refuses(&self) -> bool {
        let refuses = self.state().climate.refuses;
        refuses > 0 && self.chance(refuses, "settlement refused")
    }

    /// What becomes of the next call.
    pub fn strike(&self, part: Part, call: &str) -> Strike {
        let state = &mut *self.state();
        let mut strike = Strike { before: Duration::ZERO, fate: Fate::Works, after: Duration::ZERO };
        if state.is_calm {
            return strike;
        }
        let (climate, random) = (state.climate, &mut state.random);
        let mut delay = || {
            let late = random.chance(climate.late);
            Duration::from_millis(if late { random.spread(1..=5_000) } else { random.below(4) })
        };
        (strike.before, strike.after) = (delay(), delay());
        let (draw, number) = (random.below(1_000), random.next());
        let Climate { fails, unanswered, panics, .. } = climate;
        strike.fate = match draw {
            _ if state.is_denied && part == Part::Source => Fate::Fails(DENIED),
            _ if state.away.contains(&part) => Fate::Fails(number),
            _ if draw < fails => Fate::Fails(number),
            _ if draw < fails + unanswered => Fate::Unanswered,
            _ if draw < fails + unanswered + panics => Fate::Panics,
            _ => Fate::Works,
        };
        match strike.fate {
            Fate::Works => {}
            Fate::Fails(_) => state.count(&format!("{call} fails")),
            Fate::Unanswered => state.count(&format!("{call} unanswered")),
            Fate::Panics => state.count(&format!("{call} panics")),
        }
        strike
    }

    /// A decision about a detail of a call: true so many times in a thousand, never when it is calm.
    pub fn chance(&self, per_mille: u64, what: &str) -> bool {
        let mut state = self.state();
        let hit = !state.is_calm && state.random.chance(per_mille);
        if hit {
            state.count(what);
        }
        hit
    }

    /// A number for a detail.
    pub fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    /// Something that happened outside the calls.
    pub fn count(&self, what: &str) {
        self.state().count(what);
    }

    /// Everything that was met so far, by kind.
    pub fn met(&self) -> BTreeMap<String, u64> {
        self.state().met.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, what: &str) {
        match self.met.get_mut(what) {
            Some(count) => *count += 1,
            None => _ = self.met.insert(what.to_owned(), 1),
        }
    }
}

/// The number of the error by which a source denies a call.
pub const DENIED: u64 = 1;
