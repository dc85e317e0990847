//! A run on a queue: first raw receivers take a load from it, then esmd carries another one. Two queues if they are made
//! for the run, so that nothing of the first part is met in the second.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::carry::{Beside, Carrier, send_rounds};
use super::feed::Sink;
use super::history::{Shared, Stopwatch};
use super::judge::path::{self, PathFigures, PathHistory};
use super::judge::queue::{self, QueueFigures, QueueHistory};
use super::load::Load;
use super::progress::Progress;
use super::random::Random;
use super::raw::queue::{RawQueue, collect};
use super::stage::{Queue, Stage};
use super::{Outcome, Place, Plan, ServerFigures, Side, VerifyError};
use crate::aws::Aws;

/// Both parts.
pub async fn run(
    plan: &Plan,
    aws: &Aws,
    stage: &Stage,
    seed: u64,
    progress: &Progress,
) -> Result<Outcome, VerifyError> {
    let stopwatch = Stopwatch::start();
    let scene = Scene { plan, aws, stage, seed, progress, stopwatch };
    let server = scene.server().await?;
    let path = scene.path().await?;
    let server = Side { figures: ServerFigures::Queue(server.figures), violations: server.violations };
    let seconds = stopwatch.now().since(super::judge::Moment::default()).as_secs_f64();
    Ok(Outcome { seed, server, path, seconds })
}

struct Scene<'a> {
    plan: &'a Plan,
    aws: &'a Aws,
    stage: &'a Stage,
    seed: u64,
    progress: &'a Progress,
    stopwatch: Stopwatch,
}

impl Scene<'_> {
    /// Raw receivers alone. Half of the load is there when they begin, the rest comes meanwhile.
    async fn server(&self) -> Result<Side<QueueFigures>, VerifyError> {
        let queue = self.queue("server", None).await?;
        self.stage.check_empty(&queue).await?;
        let load = self.load("server");
        self.progress.step(&format!("the server: {} raw receivers take {} messages", self.plan.receivers, load.len()));
        let (is_fifo, visibility) = (self.plan.source.is_ordered(), self.plan.visibility);
        let history = Shared::new(QueueHistory { is_fifo, visibility, ..QueueHistory::default() });
        let raw = RawQueue {
            client: self.aws.sqs(),
            url: queue.url.clone(),
            left: Arc::new(load.some(LEFT, self.seed)),
            load: Arc::clone(&load),
            seed: self.seed,
            history: history.clone(),
            stopwatch: self.stopwatch,
        };
        let sink = self.sink(&queue);
        let note = |sent| history.lock().sent.extend(sent);
        let (before, meanwhile) = load.rounds.split_at(load.rounds.len() / 2);
        send_rounds(&sink, &load, (0, before), self.stopwatch, None, note).await?;
        let mut receivers = JoinSet::new();
        for receiver in 1..=self.plan.receivers {
            receivers.spawn(raw.clone().receive(receiver));
        }
        let feeding = send_rounds(&sink, &load, (0, meanwhile), self.stopwatch, None, note);
        self.drain(&mut receivers, feeding, &history).await?;
        let (violations, figures) = queue::judge(&history.lock());
        Ok(Side { figures, violations })
    }

    /// Waits until every message is deleted, or nothing new happened for the patience.
    async fn drain(
        &self,
        receivers: &mut JoinSet<Result<(), VerifyError>>,
        feeding: impl Future<Output = Result<(), VerifyError>>,
        history: &Shared<QueueHistory>,
    ) -> Result<(), VerifyError> {
        tokio::pin!(feeding);
        let mut is_fed = false;
        let mut last = ((0, 0), self.stopwatch.now());
        loop {
            tokio::select! {
                fed = &mut feeding, if !is_fed => {
                    fed?;
                    is_fed = true;
                }
                Some(ended) = receivers.join_next() => {
                    ended??;
                }
                () = tokio::time::sleep(TICK) => {}
            }
            let (sent, deleted) = {
                let history = history.lock();
                let sent = history.sent.iter().filter(|sent| sent.taken.is_some()).count();
                (sent, history.deletions.iter().filter(|deletion| deletion.confirmed).count())
            };
            self.progress.show(&format!("{sent} sent, {deleted} received and deleted"));
            if (sent, deleted) != last.0 {
                last = ((sent, deleted), self.stopwatch.now());
            }
            let patience = if is_fed && deleted >= sent { AFTERMATH } else { self.plan.patience };
            if self.stopwatch.now().since(last.1) > patience {
                history.lock().ended = self.stopwatch.now();
                return Ok(());
            }
        }
    }

    /// esmd and the recording target.
    async fn path(&self) -> Result<Side<PathFigures>, VerifyError> {
        let dead_letters = match self.plan.trouble.poison {
            0 => None,
            _ => Some(self.create("dead", None).await?),
        };
        let queue = self.queue("path", dead_letters.as_ref()).await?;
        let load = self.load("path");
        self.progress.step(&format!("the whole path: esmd carries {} messages", load.len()));
        let history = Shared::new(PathHistory {
            is_ordered: self.plan.source.is_ordered(),
            poison: load.some(self.plan.trouble.poison, self.seed),
            patience: self.plan.patience,
            ..PathHistory::default()
        });
        let of_run = (Arc::clone(&load), queue.arn.clone(), self.seed);
        let carrier =
            Carrier::start(self.plan, self.aws, self.progress, of_run, history.clone(), self.stopwatch).await?;
        let mut collecting = JoinSet::new();
        if let Some(queue) = dead_letters {
            let history = history.clone();
            let note = move |entry| {
                history.lock().dead_lettered.insert(entry);
            };
            collecting.spawn(collect(self.aws.sqs(), queue.url, Arc::clone(&load), note));
        }
        let note = |sent| history.lock().sent.extend(sent);
        let sink = self.sink(&queue);
        let gate = Some(carrier.gate());
        let feeding = send_rounds(&sink, &load, (0, &load.rounds), self.stopwatch, gate, note);
        let nothing = || Beside { seen: 0, is_done: true };
        tokio::select! {
            carried = carrier.carry(feeding, nothing) => carried?,
            Some(ended) = collecting.join_next() => {
                ended??;
            }
        }
        let (violations, figures) = path::judge(&history.lock());
        Ok(Side { figures, violations })
    }

    fn load(&self, part: &str) -> Arc<Load> {
        let word = Plan::word(part);
        let prefix = self.plan.key_prefix(&word);
        // Another order than that of the other part.
        let seed = Random::of(self.seed, part.len() as u64).next();
        Arc::new(Load::new(word, &prefix, self.plan.records, self.plan.keys, seed))
    }

    fn sink(&self, queue: &Queue) -> Sink {
        let is_fifo = self.plan.source.is_ordered();
        Sink::Queue { client: self.aws.sqs(), url: queue.url.clone(), is_fifo }
    }

    async fn queue(&self, part: &str, dead_letters: Option<&Queue>) -> Result<Queue, VerifyError> {
        match &self.plan.place {
            Place::Named(arn) => self.stage.find_queue(arn).await,
            Place::Made { .. } => self.create(part, dead_letters).await,
        }
    }

    async fn create(&self, part: &str, dead_letters: Option<&Queue>) -> Result<Queue, VerifyError> {
        let dead_letters = dead_letters.map(|queue| (queue, RECEIVES_MAX));
        self.stage.create_queue(part, self.plan.source.is_ordered(), self.plan.visibility, dead_letters).await
    }
}

/// So many messages are left to their visibility timeout once.
const LEFT: usize = 3;
/// A message of a run with poison goes to the dead-letter queue after so many receives.
const RECEIVES_MAX: usize = 5;
const TICK: Duration = Duration::from_millis(50);
/// How long receivers go on when all is deleted, for what comes back.
const AFTERMATH: Duration = Duration::from_millis(1_500);
