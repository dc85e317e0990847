//! Carries a load over the whole path: the target runs, the daemon runs and is killed and started again when it is due,
//! and all is waited for that may still come. A wait ends when everything is settled or nothing new came for the patience
//! that was chosen, so each run ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::daemon::Daemon;
use super::history::{Shared, Stopwatch};
use super::judge::path::{Kill, PathHistory};
use super::judge::{Entry, Sent};
use super::load::Load;
use super::progress::Progress;
use super::tally::Tally;
use super::target::{RecordingTarget, Script};
use super::{Plan, VerifyError, feed};
use crate::aws::Aws;
use crate::mapping::document::{EsmdDocument, MappingDocument};

/// A daemon at work between a source and the recording target.
pub struct Carrier<'a> {
    plan: &'a Plan,
    progress: &'a Progress,
    load: Arc<Load>,
    history: Shared<PathHistory>,
    stopwatch: Stopwatch,
    daemon: Daemon,
    _target: RecordingTarget,
    /// How often the daemon was killed.
    kills: watch::Sender<usize>,
}

/// How far readers beside the daemon are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Grows as they get on.
    pub seen: usize,
    /// Whether they have all that they wait for.
    pub is_done: bool,
}

/// Waits until so many kills are over.
#[derive(Clone)]
pub struct Gate {
    kills: watch::Receiver<usize>,
    kills_planned: usize,
    records: usize,
}

impl<'a> Carrier<'a> {
    /// Starts target and daemon for one mapping. `source_arn` is what it reads.
    pub async fn start(
        plan: &'a Plan,
        aws: &Aws,
        progress: &'a Progress,
        (load, source_arn, seed): (Arc<Load>, String, u64),
        history: Shared<PathHistory>,
        stopwatch: Stopwatch,
    ) -> Result<Self, VerifyError> {
        let script = Script {
            load: Arc::clone(&load),
            source: plan.source,
            trouble: plan.trouble.clone(),
            reports_failures: plan.reports_failures(),
            poison: history.lock().poison.clone(),
            seed,
        };
        let target = RecordingTarget::start(script, history.clone(), stopwatch).await.map_err(VerifyError::Machine)?;
        let mapping = MappingDocument {
            event_source_arn: Some(source_arn),
            function_name: Some(FUNCTION.to_owned()),
            enabled: None,
            esmd: Some(EsmdDocument { function_timeout: None, ..plan.mapping.esmd.clone().unwrap_or_default() }),
            ..plan.mapping.clone()
        };
        let mut environment = vec![("AWS_ENDPOINT_URL_LAMBDA", target.endpoint())];
        environment.extend(plan.environment(aws.region()));
        let mut daemon = Daemon::new(&mapping, environment).map_err(VerifyError::Machine)?;
        daemon.start().map_err(VerifyError::Machine)?;
        let kills = watch::Sender::new(0);
        Ok(Self { plan, progress, load, history, stopwatch, daemon, _target: target, kills })
    }

    /// For whoever feeds: a kill comes when half of its portion of the load is through, and the next portion after it.
    pub fn gate(&self) -> Gate {
        Gate { kills: self.kills.subscribe(), kills_planned: self.plan.kills, records: self.load.len() }
    }

    /// Runs until all is settled, `beside` is done and nothing more came for a while, or nothing new came for the
    /// patience. `feeding` sends the load.
    pub async fn carry(
        mut self,
        feeding: impl Future<Output = Result<(), VerifyError>>,
        mut beside: impl FnMut() -> Beside,
    ) -> Result<(), VerifyError> {
        tokio::pin!(feeding);
        let (mut is_fed, mut tally) = (false, Tally::default());
        let mut last = ((0, 0), self.stopwatch.now());
        loop {
            tokio::select! {
                fed = &mut feeding, if !is_fed => {
                    fed?;
                    is_fed = true;
                }
                () = tokio::time::sleep(TICK) => {}
            }
            if let Some(status) = self.daemon.ended() {
                return Err(VerifyError::Daemon { status: status.to_string(), printed: self.daemon.last_words() });
            }
            let (settled, sent) = self.count(&mut tally);
            self.kill_if_due(settled).await?;
            let beside = beside();
            let kills = *self.kills.borrow();
            self.progress.show(&format!("{settled} of {} settled, {kills} kills", self.load.len()));
            let state = (settled, beside.seen);
            if state != last.0 {
                last = (state, self.stopwatch.now());
            }
            let is_done = is_fed && settled >= sent && beside.is_done && kills == self.plan.kills;
            let patience = if is_done { AFTERMATH } else { self.plan.patience };
            if self.stopwatch.now().since(last.1) > patience {
                return self.end().await;
            }
        }
    }

    fn count(&self, tally: &mut Tally) -> (usize, usize) {
        let history = self.history.lock();
        tally.update(&history);
        (tally.settled(&history), history.sent.iter().filter(|sent| sent.taken.is_some()).count())
    }

    async fn kill_if_due(&mut self, settled: usize) -> Result<(), VerifyError> {
        let kills = *self.kills.borrow();
        let due = (2 * kills + 1) * self.load.len() / (2 * (self.plan.kills + 1));
        if kills < self.plan.kills && settled >= due {
            let began = self.stopwatch.now();
            self.daemon.kill().await.map_err(VerifyError::Machine)?;
            self.history.lock().kills.push(Kill { began, done: self.stopwatch.now() });
            self.daemon.start().map_err(VerifyError::Machine)?;
            self.kills.send_replace(kills + 1);
        }
        Ok(())
    }

    async fn end(mut self) -> Result<(), VerifyError> {
        self.history.lock().ended = self.stopwatch.now();
        // What arrives from here on is not judged, so it must not arrive.
        self.daemon.kill().await.map_err(VerifyError::Machine)
    }
}

impl Gate {
    /// Returns when the record at this place may be sent.
    pub async fn pass(&mut self, place: usize) {
        let needed = (place * (self.kills_planned + 1) / self.records.max(1)).min(self.kills_planned);
        self.kills.wait_for(|kills| *kills >= needed).await.ok(); // without a carrier nobody waits any more
    }
}

/// Sends rounds of a load, each when the gate lets it pass, and hands on what was sent.
pub async fn send_rounds(
    sink: &feed::Sink,
    load: &Load,
    (first, rounds): (usize, &[Vec<Entry>]),
    stopwatch: Stopwatch,
    mut gate: Option<Gate>,
    note: impl Fn(Vec<Sent>),
) -> Result<(), VerifyError> {
    let (mut place, mut unclear) = (first, 0);
    for round in rounds {
        if let Some(gate) = &mut gate {
            gate.pass(place).await;
        }
        let (sent, error) = sink.send(load, round, stopwatch).await;
        note(sent);
        unclear = if error.is_some() { unclear + 1 } else { 0 };
        match error {
            Some(error) if unclear == UNCLEAR_MAX => return Err(error),
            _ => place += round.len(),
        }
    }
    Ok(())
}

const FUNCTION: &str = "esmd-verify";
const TICK: Duration = Duration::from_millis(50);
/// How long a run watches on when all is settled, for what comes twice.
const AFTERMATH: Duration = Duration::from_millis(1_500);
/// A server that gives this many rounds in a row no clear answer ends the run.
const UNCLEAR_MAX: u32 = 3;
