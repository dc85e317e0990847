//! Streams whose shards split, merge and change in number under load: nothing is lost, keys stay in order from shard to
//! shard, and no child is invoked before its parents are settled (`docs/semantics.md` 6.3).

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{failing_function, settle, settle_all_but};
use crate::support::aws::Stream;
use crate::support::daemon::{Daemon, Installation};
use crate::support::function::{Behaviour, Function};
use crate::support::ledger::{Entry, Ledger, assert_one_batch_per_key};
use crate::support::lineage::{Lineage, Shard};
use crate::support::servers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_on_changing_shards_arrives_parents_first_with_one_lane() {
    load_arrives_parents_first(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_on_changing_shards_arrives_parents_first_with_ten_lanes() {
    load_arrives_parents_first(10).await;
}

/// `docs/semantics.md` 6.1, invariant 90: only the first listing knows LATEST. Whatever is put after the mapping began is
/// handled, whether its shard was there, came while the daemon ran, or came while it was down.
#[tokio::test]
async fn children_of_a_stream_read_from_latest_are_read_from_their_beginning() {
    let mut scene = Scene::new(Function::start(), 2, json!({"StartingPosition": "LATEST"})).await;
    scene.put_history().await;
    scene.split().await;
    scene.put_history().await;
    let mut daemon = scene.installation.start().await;
    scene.begin_at_the_tip().await;
    assert!(daemon.terminate().await.status.success()); // no kill: it could repeat what the account leaves out

    scene.put(2).await;
    scene.split().await;
    scene.merge_generations().await;
    let daemon = scene.installation.start().await;
    scene.split().await;
    scene.kill(daemon).await;
    scene.merge_generations().await;
    let mut daemon = scene.installation.start().await;

    scene.assert_all_arrives().await;
    scene.assert_no_history();
    assert!(daemon.terminate().await.status.success());
}

/// Two merges, one held up by its first parent and one by its second, also across a kill.
#[tokio::test]
async fn a_merged_shard_waits_for_the_slower_of_its_parents() {
    let mut scene = Scene::new(Function::start(), 4, json!({"StartingPosition": "TRIM_HORIZON"})).await;
    let [first, second, third, fourth] = <[Shard; 4]>::try_from(scene.open_shards()).unwrap();
    let slow = [first.id.clone(), fourth.id.clone()];
    scene.function.answer_with({
        let slow = slow.clone();
        move |_, event| if is_of_one(&slow, event) { FAILURE } else { Behaviour::succeed() }
    });
    scene.put(2).await;
    let daemon = scene.installation.start().await;
    scene.merge(&first, &second).await;
    scene.merge(&third, &fourth).await;

    scene.settle_all_but_descendants(&slow).await;
    scene.kill(daemon).await;
    let mut daemon = scene.installation.start().await;
    // Each of the slow ones fails twice: whatever else could begin has begun.
    scene.function.wait_for(scene.function.count() + 4, Duration::from_secs(30)).await;
    scene.function.answer_with(|_, _| Behaviour::succeed());

    scene.assert_all_arrives().await;
    assert!(daemon.terminate().await.status.success());
}

/// Reshards of each kind, with the daemon up and down and records put all the while.
async fn load_arrives_parents_first(lanes: u32) {
    let settings = json!({"StartingPosition": "TRIM_HORIZON", "ParallelizationFactor": lanes});
    let mut scene = Scene::new(failing_function(), 3, settings).await;
    let daemon = scene.installation.start().await;
    scene.put(10).await;
    scene.split().await;
    scene.put(5).await;
    scene.merge_generations().await;
    scene.kill(daemon).await;

    scene.put(5).await;
    scene.update_shard_count(6).await;
    scene.split().await;
    scene.ledger.read(&scene.function);
    let waiting = scene.lineage.waiting_generations(&scene.ledger);
    assert!(waiting.len() >= 3, "several generations wait at once: {waiting:?}");

    let daemon = scene.installation.start().await;
    scene.merge_generations().await;
    scene.settle_half().await;
    scene.kill(daemon).await;
    let mut daemon = scene.installation.start().await;
    scene.update_shard_count(3).await;
    scene.put(5).await;

    scene.assert_all_arrives().await;
    assert!(daemon.terminate().await.status.success());
}

/// A stream that is filled and resharded, who reads it, and the account of both.
struct Scene {
    stream: Stream,
    function: Function,
    installation: Installation,
    ledger: Ledger,
    lineage: Lineage,
    /// The account begins after this many invocations.
    invocations_before: usize,
}

impl Scene {
    /// A stream of `shards` shards; `settings` are further members of its mapping.
    async fn new(function: Function, shards: i32, settings: Value) -> Self {
        let server = servers::kinesis_local();
        let stream = Stream::create(&server, shards).await;
        let mut mapping = json!({"EventSourceArn": stream.arn, "FunctionName": "worker", "BatchSize": 20});
        if let (Some(mapping), Value::Object(settings)) = (mapping.as_object_mut(), settings) {
            mapping.extend(settings);
        }
        let installation = Installation::new()
            .with_kinesis(&server)
            .with_function(&function)
            .with_variable("ESMD_SHARD_REFRESH_INTERVAL", "1s")
            .with_mappings(&[mapping]);
        let mut lineage = Lineage::default();
        lineage.list(stream.shards().await);
        Self { stream, function, installation, ledger: Ledger::default(), lineage, invocations_before: 0 }
    }

    /// One record to each key, so many times.
    async fn put(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let entries: Vec<_> = (0..KEYS).map(|key| self.ledger.next(&format!("key-{key}"))).collect();
            self.lineage.place(self.stream.put(&entries).await);
        }
    }

    /// Splits the shard that takes the most hashes, while records are put.
    async fn split(&mut self) {
        let shards = self.open_shards().into_iter();
        let widest = shards.max_by_key(|shard| shard.hashes.end() - shard.hashes.start());
        let (stream, widest) = (self.stream.clone(), widest.expect("a stream has open shards"));
        tokio::join!(stream.split(&widest), self.put(ROUNDS_MEANWHILE));
        self.list().await;
    }

    /// Merges the two neighbours whose generations differ most, while records are put.
    async fn merge_generations(&mut self) {
        let open = self.open_shards();
        let generation = |shard: &Shard| self.lineage.generation(&shard.id);
        let difference = |pair: &&[Shard]| generation(&pair[0]).abs_diff(generation(&pair[1]));
        let pair = open.windows(2).max_by_key(difference).expect("two shards are open");
        self.merge(&pair[0], &pair[1]).await;
    }

    /// Merges two neighbours, while records are put.
    async fn merge(&mut self, shard: &Shard, next: &Shard) {
        let stream = self.stream.clone();
        tokio::join!(stream.merge(shard, next), self.put(ROUNDS_MEANWHILE));
        self.list().await;
    }

    /// Lets the server choose what to split or merge, while records are put.
    async fn update_shard_count(&mut self, count: i32) {
        let stream = self.stream.clone();
        tokio::join!(stream.update_shard_count(count), self.put(ROUNDS_MEANWHILE));
        self.list().await;
    }

    fn open_shards(&self) -> Vec<Shard> {
        self.lineage.open_shards().into_iter().cloned().collect()
    }

    async fn list(&mut self) {
        self.lineage.list(self.stream.shards().await);
    }

    /// Kills the daemon as soon as one more invocation has arrived.
    async fn kill(&mut self, daemon: Daemon) {
        let invocations = self.function.count();
        self.put(1).await;
        self.function.wait_for(invocations + 1, Duration::from_secs(30)).await;
        daemon.kill9().await;
    }

    /// One record to each of other keys.
    async fn put_history(&self) {
        let entries = (0..KEYS).map(|key| Entry { key: format!("{HISTORY}{key}"), sequence: 0 });
        self.stream.put(&entries.collect::<Vec<_>>()).await;
    }

    fn assert_no_history(&self) {
        for invocation in self.function.invocations() {
            let mut entries = invocation.records().iter().map(Entry::from_record);
            assert!(entries.all(|entry| !entry.key.starts_with(HISTORY)), "{:?}", invocation.event);
        }
    }

    /// Returns once a mapping with LATEST has stored where each shard begins. Only a record shows it: they are put one by
    /// one until one arrives, which all later ones must then do as well. The account begins after the last of them.
    async fn begin_at_the_tip(&mut self) {
        let (mut probes, mut arrived) = (Ledger::default(), Ledger::default());
        while arrived.settled() == 0 {
            self.stream.put(&[probes.next("probe")]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            arrived.read(&self.function);
        }
        let last = probes.next("probe");
        self.stream.put(std::slice::from_ref(&last)).await;
        while !arrived.is_settled(&last) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            arrived.read(&self.function);
        }
        self.invocations_before = self.function.count();
        self.ledger = Ledger::after(self.invocations_before);
    }

    async fn settle_half(&mut self) {
        self.settle_all_but(self.ledger.sent() / 2).await;
    }

    /// Waits until nothing is left but what sits in these shards and what came from them.
    async fn settle_all_but_descendants(&mut self, shards: &[String]) {
        self.settle_all_but(self.lineage.records_in_descendants(shards)).await;
    }

    async fn settle_all_but(&mut self, rest: u64) {
        settle_all_but(rest, &mut self.ledger, &self.function).await;
    }

    /// Waits for the rest, then judges.
    async fn assert_all_arrives(&mut self) {
        settle(&mut self.ledger, &self.function).await;
        self.ledger.assert_complete();
        let invocations = self.function.invocations_after(self.invocations_before);
        self.lineage.assert_parents_first(&invocations);
        self.ledger.assert_in_order();
        assert_one_batch_per_key(&invocations);
    }
}

/// Whether an event's records sit in one of these shards.
fn is_of_one(shards: &[String], event: &Value) -> bool {
    let id = event["Records"][0]["eventID"].as_str().expect("an event of a stream");
    shards.iter().any(|shard| id.split(':').next() == Some(shard))
}

const FAILURE: Behaviour = Behaviour::FunctionError { handled: false };
/// What the keys of history begin with.
const HISTORY: &str = "history-";
/// How many keys each round of puts goes to.
const KEYS: usize = 60;
/// Enough that records are put before, during and after the reshard itself.
const ROUNDS_MEANWHILE: usize = 5;
