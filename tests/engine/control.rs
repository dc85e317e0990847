//! Mappings come and go by calls and by the file while the engine runs: states, drains, restarts, and who owns what
//! (`docs/semantics.md` 1.6, 1.8, 1.9, 1.11).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use esmd::config::LoadedFile;
use esmd::control::{Control, ControlError, MappingView, TagChange};
use esmd::mapping::document::MappingDocument;
use esmd::mapping::state::MappingState;
use esmd::store::{MappingOrigin, StateStore};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::controlled::{Controlled, Outside, environment};
use crate::fakes;
use crate::fakes::stream::FakeStream;
use crate::fakes::target::Answer;
use crate::world::{seconds, sleep};

#[tokio::test(start_paused = true)]
async fn a_mapping_that_was_made_is_read_and_becomes_enabled() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;

    let made = life.control.create(document(json!({}))).await.unwrap();
    assert_eq!(made.state, MappingState::Creating);
    until_state(&life.control, made.uuid, MappingState::Enabled).await;
    stream.put("a", "0");
    until_delivered(&outside, &["0"]).await;

    assert_eq!(life.control.last_processing_result(made.uuid), "OK");
    life.stop().await;
}

/// Once a mapping is `Enabled` the positions of its shards are kept: what comes after that is read, whatever happens.
#[tokio::test(start_paused = true)]
async fn what_is_put_once_a_latest_mapping_is_enabled_is_read() {
    let (outside, stream) = outside();
    stream.put("a", "before");
    sleep(seconds(5)).await;
    let life = outside.start(None).await;
    let made = life.control.create(document(json!({"StartingPosition": "LATEST"}))).await.unwrap();
    until_state(&life.control, made.uuid, MappingState::Enabled).await;

    stream.put("a", "after");
    until_delivered(&outside, &["after"]).await;

    assert_eq!(outside.target.succeeded(), ["after"]);
    life.stop().await;
}

/// `docs/semantics.md` 9 (invariant 92)
#[tokio::test(start_paused = true)]
async fn a_mapping_whose_source_is_missing_is_enabled_and_says_its_problem() {
    let (outside, _) = outside();
    let life = outside.start(None).await;
    let arn = "arn:aws:kinesis:eu-west-1:111111111111:stream/gone";

    let made = life.control.create(document(json!({"EventSourceArn": arn}))).await.unwrap();
    until_state(&life.control, made.uuid, MappingState::Enabled).await;

    let result = life.control.last_processing_result(made.uuid);
    assert!(result.starts_with("PROBLEM: the source cannot be read yet: "), "{result}");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_of_settings_is_in_force_when_the_state_is_enabled_again() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({"BatchSize": 1})).await;

    let changed = life.control.update(uuid, change(json!({"BatchSize": 3}))).await.unwrap();
    assert_eq!((changed.state, changed.mapping.batching.size), (MappingState::Updating, 3));
    until_state(&life.control, uuid, MappingState::Enabled).await;
    for number in 0..3 {
        stream.put("a", &number.to_string());
    }
    until_delivered(&outside, &["0", "1", "2"]).await;

    assert_eq!(outside.target.invocations().len(), 1);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_mapping_settles_what_it_began_and_goes_on_there_when_enabled() {
    let (outside, stream) = outside();
    outside.target.answer(|_| Answer::succeed().after(seconds(5)));
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({"BatchSize": 1})).await;
    stream.put("a", "0");
    stream.put("a", "1");
    sleep(seconds(2)).await;

    let disabled = life.control.update(uuid, change(json!({"Enabled": false}))).await.unwrap();
    assert_eq!(disabled.state, MappingState::Disabling);
    until_state(&life.control, uuid, MappingState::Disabled).await;
    sleep(seconds(60)).await;
    assert_eq!(outside.target.succeeded(), ["0"]);

    let enabled = life.control.update(uuid, change(json!({"Enabled": true}))).await.unwrap();
    assert_eq!(enabled.state, MappingState::Enabling);
    until_delivered(&outside, &["0", "1"]).await;
    assert_eq!(outside.target.succeeded(), ["0", "1"]);
    life.stop().await;
}

/// `docs/semantics.md` 1.8
#[tokio::test(start_paused = true)]
async fn a_mapping_in_transition_is_in_use() {
    let (outside, stream) = outside();
    outside.target.answer(|_| Answer::succeed().after(seconds(60)));
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    stream.put("a", "0");
    sleep(seconds(2)).await;
    life.control.update(uuid, change(json!({"Enabled": false}))).await.unwrap();

    let update = life.control.update(uuid, change(json!({"BatchSize": 5}))).await;
    let delete = life.control.delete(uuid).await;

    assert!(matches!(update, Err(ControlError::InUse { .. })), "{update:?}");
    assert!(matches!(delete, Err(ControlError::InUse { .. })), "{delete:?}");
    until_state(&life.control, uuid, MappingState::Disabled).await;
    assert!(life.control.delete(uuid).await.is_ok());
    life.stop().await;
}

/// `docs/semantics.md` 9 (invariant 26)
#[tokio::test(start_paused = true)]
async fn a_deleted_mapping_drains_and_then_its_checkpoints_go() {
    let (outside, stream) = outside();
    outside.target.answer(|_| Answer::succeed().after(seconds(5)));
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({"BatchSize": 1})).await;
    stream.put("a", "0");
    stream.put("a", "1");
    sleep(seconds(2)).await;

    let deleted = life.control.delete(uuid).await.unwrap();
    assert_eq!(deleted.state, MappingState::Deleting);
    sleep(seconds(1)).await;
    assert_eq!(state(&life.control, uuid), Some(MappingState::Deleting), "an invocation runs");
    assert_eq!(outside.store.leases(uuid).await.unwrap().len(), 1);

    while state(&life.control, uuid).is_some() {
        sleep(seconds(1)).await;
    }
    assert_eq!(outside.target.succeeded(), ["0"], "what ran ended, and nothing began");
    assert_eq!(outside.store.mappings().await.unwrap(), []);
    assert_eq!(outside.store.leases(uuid).await.unwrap(), []);
    assert!(matches!(life.control.delete(uuid).await, Err(ControlError::Missing { .. })));
    life.stop().await;
}

/// `docs/semantics.md` 1.11: neither does a change of tags wait for a transition, nor does it begin one.
#[tokio::test(start_paused = true)]
async fn tags_change_in_any_state_and_change_nothing_else() {
    let (outside, stream) = outside();
    outside.target.answer(|_| Answer::succeed().after(seconds(60)));
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({"Tags": {"team": "blue"}})).await;
    let before = life.control.get(uuid).unwrap();
    stream.put("a", "0");
    sleep(seconds(2)).await;

    let tagged = life.control.change_tags(uuid, set("team", "red")).await.unwrap();
    assert_eq!((tagged.state, tagged.last_modified), (MappingState::Enabled, before.last_modified));
    life.control.update(uuid, change(json!({"Enabled": false}))).await.unwrap();
    let tagged = life.control.change_tags(uuid, set("stage", "test")).await.unwrap();
    assert_eq!(tagged.state, MappingState::Disabling);
    until_state(&life.control, uuid, MappingState::Disabled).await;

    assert_eq!(outside.target.succeeded(), ["0"], "what ran was not disturbed");
    life.stop().await;
    let life = outside.start(None).await;
    let kept = life.control.get(uuid).unwrap().document.tags;
    assert_eq!(serde_json::to_value(kept).unwrap(), json!({"stage": "test", "team": "red"}));
    life.stop().await;
}

/// `docs/semantics.md` 1.6 and 9 (invariant 24)
#[tokio::test(start_paused = true)]
async fn a_mapping_outlives_its_function_and_works_again_when_that_is_back() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    let before = life.control.get(uuid);

    outside.target.set_missing(true);
    stream.put("a", "0");
    sleep(seconds(120)).await;
    assert_eq!(life.control.get(uuid), before);
    assert!(outside.target.succeeded().is_empty());

    outside.target.set_missing(false);
    until_delivered(&outside, &["0"]).await;
    life.stop().await;
}

/// `docs/semantics.md` 1.6 and 9 (invariant 7)
#[tokio::test(start_paused = true)]
async fn a_source_and_a_function_have_one_mapping() {
    let (outside, _) = outside();
    let life = outside.start(None).await;
    let first = life.control.create(document(json!({}))).await.unwrap();

    let full = "arn:aws:lambda:eu-west-1:111111111111:function:worker";
    for same in ["worker", full] {
        let second = life.control.create(document(json!({"FunctionName": same}))).await;
        assert!(matches!(&second, Err(ControlError::Occupied { other }) if other.uuid == first.uuid), "{second:?}");
    }
    let other = life.control.create(document(json!({"FunctionName": "worker:live"}))).await.unwrap();
    until_state(&life.control, other.uuid, MappingState::Enabled).await;
    let moved = life.control.update(other.uuid, change(json!({"FunctionName": full}))).await;
    assert!(matches!(moved, Err(ControlError::Occupied { .. })), "{moved:?}");
    life.stop().await;
}

/// `docs/semantics.md` 9 (invariants 19, 20)
#[tokio::test(start_paused = true)]
async fn what_cannot_be_changed_is_refused_and_nothing_is_changed() {
    let (outside, _) = outside();
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    let before = life.control.get(uuid).unwrap();

    for refused in [
        json!({"BatchSize": 50, "StartingPosition": "LATEST"}),
        json!({"EventSourceArn": "arn:aws:kinesis:eu-west-1:111111111111:stream/other"}),
        json!({"BatchSize": 50, "ParallelizationFactor": 11}),
        json!({"ScalingConfig": {"MaximumConcurrency": 5}}),
    ] {
        let answer = life.control.update(uuid, change(refused)).await;
        assert!(matches!(answer, Err(ControlError::Invalid(_))), "{answer:?}");
    }
    let same = json!({"EventSourceArn": ARN, "StartingPosition": "TRIM_HORIZON"});
    assert!(life.control.update(uuid, change(same)).await.is_ok());

    assert_eq!(life.control.get(uuid).unwrap().document, before.document);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_ends_what_the_one_before_had_begun() {
    let (outside, stream) = outside();
    outside.target.answer(|_| Answer::succeed().after(seconds(20)));
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    let kept = life.control.create(document(json!({"FunctionName": "kept"}))).await.unwrap();
    stream.put("a", "0");
    sleep(seconds(2)).await;
    life.control.delete(uuid).await.unwrap();
    life.stop().await;

    let life = outside.start(None).await;
    until_state(&life.control, kept.uuid, MappingState::Enabled).await;
    sleep(seconds(1)).await;

    assert_eq!(life.control.list().into_iter().map(|view| view.uuid).collect::<Vec<_>>(), [kept.uuid]);
    life.stop().await;
}

/// What could not be written is not said to be, and is tried again.
#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_refuses_changes_and_heals() {
    let (outside, _) = outside();
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    outside.store.set_unavailable(true);

    let made = life.control.create(document(json!({"FunctionName": "other"}))).await;
    let deleted = life.control.delete(uuid).await;
    assert!(matches!(made, Err(ControlError::Store(_))), "{made:?}");
    assert!(matches!(deleted, Err(ControlError::Store(_))), "{deleted:?}");
    assert_eq!(state(&life.control, uuid), Some(MappingState::Enabled));

    outside.store.set_unavailable(false);
    assert!(life.control.create(document(json!({"FunctionName": "other"}))).await.is_ok());
    assert!(life.control.delete(uuid).await.is_ok());
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mapping_of_the_file_is_the_files() {
    let (outside, _) = outside();
    let life = outside.start(Some(file(&[json!({})]))).await;
    let [declared] = &life.control.list()[..] else { panic!("one mapping") };

    assert_eq!(declared.declared_in, Some(PathBuf::from("esmd.yaml")));
    let update = life.control.update(declared.uuid, change(json!({"BatchSize": 5}))).await;
    let delete = life.control.delete(declared.uuid).await;
    for refused in [update, delete] {
        let told = refused.unwrap_err().to_string();
        assert_eq!(told, "the mapping is declared in esmd.yaml: change it there");
    }
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_mapping_keeps_its_name_and_checkpoint_through_edits_and_absence() {
    let (outside, stream) = outside();
    let life = outside.start(Some(file(&[json!({})]))).await;
    let uuid = life.control.list()[0].uuid;
    stream.put("a", "0");
    until_delivered(&outside, &["0"]).await;
    life.stop().await;

    let life = outside.start(Some(file(&[]))).await;
    stream.put("a", "1");
    sleep(seconds(60)).await;
    assert_eq!(state(&life.control, uuid), Some(MappingState::Disabled), "it does not run");
    life.stop().await;

    let life = outside.start(Some(file(&[json!({"BatchSize": 7})]))).await;
    until_delivered(&outside, &["0", "1"]).await;
    assert_eq!(outside.target.succeeded(), ["0", "1"], "each once");
    assert_eq!(life.control.get(uuid).unwrap().mapping.batching.size, 7);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_left_its_file_can_be_taken_over_or_deleted_by_calls() {
    let (outside, stream) = outside();
    let life = outside.start(Some(file(&[json!({}), json!({"FunctionName": "other"})]))).await;
    sleep(seconds(1)).await;
    life.stop().await;

    let life = outside.start(None).await;
    let [first, second] = &life.control.list()[..] else { panic!("two mappings") };
    life.control.delete(second.uuid).await.unwrap();
    let taken = life.control.update(first.uuid, change(json!({"BatchSize": 9}))).await.unwrap();
    assert_eq!(taken.state, MappingState::Updating);
    until_state(&life.control, first.uuid, MappingState::Disabled).await;
    stream.put("a", "0");
    sleep(seconds(60)).await;
    assert!(outside.target.succeeded().is_empty(), "nobody asked it to run");
    let enabled = life.control.update(first.uuid, change(json!({"Enabled": true}))).await.unwrap();
    assert_eq!((enabled.state, enabled.mapping.batching.size), (MappingState::Enabling, 9));
    until_delivered(&outside, &["0"]).await;

    assert_eq!(state(&life.control, second.uuid), None);
    assert_eq!(outside.store.mappings().await.unwrap()[0].origin, MappingOrigin::Api);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_takes_over_what_a_call_made() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    stream.put("a", "0");
    until_delivered(&outside, &["0"]).await;
    life.stop().await;

    let life = outside.start(Some(file(&[json!({"BatchSize": 7})]))).await;
    stream.put("a", "1");
    until_delivered(&outside, &["1"]).await;

    let taken = life.control.get(uuid).unwrap();
    assert_eq!((taken.mapping.batching.size, taken.declared_in), (7, Some(PathBuf::from("esmd.yaml"))));
    assert_eq!(outside.target.succeeded(), ["0", "1"], "each once");
    life.stop().await;
}

/// The rows of another region are left alone: this process cannot sign for it.
#[tokio::test(start_paused = true)]
async fn a_mapping_of_another_region_does_not_run_and_can_be_deleted() {
    let (outside, _) = outside();
    let elsewhere = outside.start(None).await;
    let made = elsewhere.control.create(document(json!({}))).await.unwrap();
    elsewhere.stop().await;
    let stored = outside.store.mappings().await.unwrap().remove(0);
    let arn = "arn:aws:kinesis:us-east-1:111111111111:stream/orders";
    let moved = esmd::store::StoredMapping { document: document(json!({"EventSourceArn": arn})), ..stored };
    outside.store.put_mapping(moved).await.unwrap();

    let life = outside.start(None).await;
    sleep(seconds(5)).await;

    assert_eq!(state(&life.control, made.uuid), Some(MappingState::Disabled));
    assert!(life.control.delete(made.uuid).await.is_ok());
    life.stop().await;
}

pub fn outside() -> (Outside, FakeStream) {
    let clock = fakes::clock();
    let stream = FakeStream::new(clock.clone(), ARN, 1);
    (Outside::new(clock).with_source(ARN, stream.clone()), stream)
}

/// A stream's mapping with these members besides.
pub fn document(members: Value) -> MappingDocument {
    let base = change(json!({"EventSourceArn": ARN, "FunctionName": "worker", "StartingPosition": "TRIM_HORIZON"}));
    base.changed_by(change(members))
}

pub fn change(members: Value) -> MappingDocument {
    serde_json::from_value(members).unwrap()
}

pub fn file(mappings: &[Value]) -> LoadedFile {
    let documents: Vec<_> = mappings.iter().map(|members| document(members.clone())).collect();
    let text = json!({ "mappings": documents }).to_string();
    LoadedFile::judge(Path::new("esmd.yaml"), text, &environment(), jiff::Timestamp::UNIX_EPOCH).unwrap()
}

fn set(key: &str, value: &str) -> TagChange {
    TagChange::Set([(key.to_owned(), value.to_owned())].into())
}

/// Makes a mapping and waits until it runs.
pub async fn enabled(life: &Controlled, members: Value) -> Uuid {
    let uuid = life.control.create(document(members)).await.unwrap().uuid;
    until_state(&life.control, uuid, MappingState::Enabled).await;
    uuid
}

pub fn state(control: &Control, uuid: Uuid) -> Option<MappingState> {
    control.get(uuid).map(|view: MappingView| view.state)
}

pub async fn until_state(control: &Control, uuid: Uuid, wanted: MappingState) {
    let reached = async {
        while state(control, uuid) != Some(wanted) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = tokio::time::timeout(LIMIT, reached).await;
    assert!(reached.is_ok(), "it is {:?}, not {wanted:?}", state(control, uuid));
}

pub async fn until_delivered(outside: &Outside, bodies: &[&str]) {
    let delivered = || outside.target.succeeded().into_iter().collect::<BTreeSet<_>>();
    let all = async {
        while !bodies.iter().all(|body| delivered().contains(*body)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, all).await.is_ok(), "of {bodies:?} only {:?} came", delivered());
}

const ARN: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";
/// Virtual time.
const LIMIT: Duration = Duration::from_hours(1);
