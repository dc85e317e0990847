//! A configuration file is read again while its mappings run: what changed in it is taken up, what did not goes on.

use std::path::Path;
use std::time::Duration;

use esmd::config::LoadedFile;
use esmd::control::file_watch::watch_file;
use esmd::mapping::state::MappingState;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control::{change, document, outside, state, until_delivered, until_state};
use crate::controlled::{Controlled, environment};
use crate::world::{seconds, sleep};

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_added_in_any_form_reaches_its_state() {
    let (outside, _) = outside();
    let file = File::new(&[]);
    let life = outside.start(Some(file.load())).await;

    file.write(&[json!({"Enabled": false}), json!({"FunctionName": "other"})]);
    assert!(life.control.reload().await);
    sleep(seconds(5)).await;

    let states: Vec<_> = life.control.list().into_iter().map(|view| view.state).collect();
    assert_eq!(states, [MappingState::Disabled, MappingState::Enabled]);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_removed_and_added_again_goes_on_where_it_was() {
    let (outside, stream) = outside();
    let file = File::new(&[json!({})]);
    let life = outside.start(Some(file.load())).await;
    let uuid = life.control.list()[0].uuid;
    stream.put("a", "0");
    until_delivered(&outside, &["0"]).await;

    file.write(&[]);
    life.control.reload().await;
    until_state(&life.control, uuid, MappingState::Disabled).await;
    stream.put("a", "1");
    sleep(seconds(60)).await;
    assert_eq!(outside.target.succeeded(), ["0"]);
    file.write(&[json!({"BatchSize": 7})]);
    life.control.reload().await;
    until_delivered(&outside, &["0", "1"]).await;

    assert_eq!(outside.target.succeeded(), ["0", "1"], "each once");
    assert_eq!(life.control.list().len(), 1);
    life.stop().await;
}

/// A mapping is known by its source and function: of two whose functions are swapped, none is the same.
#[tokio::test(start_paused = true)]
async fn another_function_makes_another_mapping_and_the_first_is_kept() {
    let (outside, _) = outside();
    let file = File::new(&[json!({})]);
    let life = outside.start(Some(file.load())).await;
    let before = life.control.list()[0].uuid;

    file.write(&[json!({"FunctionName": "renamed"})]);
    life.control.reload().await;
    sleep(seconds(5)).await;

    let [first, second] = &life.control.list()[..] else { panic!("two mappings") };
    assert_eq!((first.uuid, first.state, second.state), (before, MappingState::Disabled, MappingState::Enabled));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_takes_over_what_calls_made_and_calls_what_left_the_file() {
    let (outside, _) = outside();
    let file = File::new(&[]);
    let life = outside.start(Some(file.load())).await;
    let uuid = life.control.create(document(json!({}))).await.unwrap().uuid;
    until_state(&life.control, uuid, MappingState::Enabled).await;

    for size in 1..3 {
        file.write(&[json!({ "BatchSize": size })]);
        life.control.reload().await;
        until_state(&life.control, uuid, MappingState::Enabled).await;
        assert!(life.control.delete(uuid).await.is_err(), "it is the file's");
        assert_eq!(life.control.get(uuid).unwrap().mapping.batching.size, size);

        file.write(&[]);
        life.control.reload().await;
        until_state(&life.control, uuid, MappingState::Disabled).await;
        life.control.update(uuid, change(json!({"Enabled": true}))).await.unwrap();
        until_state(&life.control, uuid, MappingState::Enabled).await;
    }
    assert_eq!(life.control.list().len(), 1);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_with_mistakes_or_away_changes_nothing() {
    let (outside, _) = outside();
    let file = File::new(&[json!({})]);
    let life = outside.start(Some(file.load())).await;
    let uuid = life.control.list()[0].uuid;
    until_state(&life.control, uuid, MappingState::Enabled).await;

    let twice = json!({"mappings": [document(json!({})), document(json!({}))]}).to_string();
    for (broken, is_read) in [(&b"mappings: ["[..], true), (twice.as_bytes(), true), (b"\xFF", true), (b"", false)] {
        if is_read {
            std::fs::write(file.path(), broken).unwrap();
        } else {
            std::fs::remove_file(file.path()).unwrap();
        }
        assert_eq!(life.control.reload().await, is_read);
        assert_eq!(life.control.last_reload_succeeded(), Some(false));
        sleep(seconds(5)).await;
        assert_eq!(state(&life.control, uuid), Some(MappingState::Enabled));
    }

    file.write(&[json!({})]);
    life.control.reload().await;
    assert_eq!(life.control.last_reload_succeeded(), Some(true));
    life.stop().await;
}

/// What the store does not take now is taken up when it heals, and meanwhile what runs goes on.
#[tokio::test(start_paused = true)]
async fn a_reload_that_cannot_be_stored_is_stored_later() {
    let (outside, _) = outside();
    let file = File::new(&[json!({})]);
    let life = outside.start(Some(file.load())).await;
    let uuid = life.control.list()[0].uuid;
    until_state(&life.control, uuid, MappingState::Enabled).await;

    outside.store.set_unavailable(true);
    file.write(&[json!({"BatchSize": 7}), json!({"FunctionName": "other"})]);
    life.control.reload().await;
    sleep(seconds(30)).await;
    assert_eq!(state(&life.control, uuid), Some(MappingState::Enabled));
    outside.store.set_unavailable(false);
    outside.store.lose_answers(3);
    sleep(seconds(30)).await;

    let shown: Vec<_> = life.control.list().into_iter().map(|view| (view.state, view.mapping.batching.size)).collect();
    assert_eq!(shown, [(MappingState::Enabled, 7), (MappingState::Enabled, 100)]);
    life.stop().await;
}

/// Also through a symbolic link to another directory, as Kubernetes swaps it.
#[tokio::test(start_paused = true)]
async fn a_changed_file_is_noticed_once_it_rests() {
    let (outside, _) = outside();
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("data");
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    for (path, size) in [(&first, 1), (&second, 2)] {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("esmd.yaml"), text(&[json!({ "BatchSize": size })])).unwrap();
    }
    std::os::unix::fs::symlink(&first, &link).unwrap();
    let loaded = load(&link.join("esmd.yaml"));
    let life = outside.start(Some(loaded.clone())).await;
    let watch = tokio::spawn(watch_file(loaded.path, loaded.text, life.control.clone()));

    std::fs::remove_file(&link).unwrap();
    sleep(seconds(10)).await;
    assert_eq!(life.control.last_reload_succeeded(), Some(true), "away is unchanged");
    std::os::unix::fs::symlink(&second, &link).unwrap();
    until_size(&life, 2).await;
    std::fs::write(second.join("esmd.yaml"), "mappings: [").unwrap();
    while life.control.last_reload_succeeded() == Some(true) {
        sleep(Duration::from_millis(100)).await;
    }
    std::fs::write(second.join("esmd.yaml"), text(&[json!({"BatchSize": 3})])).unwrap();
    until_size(&life, 3).await;

    watch.abort();
    life.stop().await;
}

async fn until_size(life: &Controlled, size: usize) {
    let reached = async {
        while life.control.list()[0].mapping.batching.size != size {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), reached).await.is_ok(), "never {size}");
}

/// A configuration file on disk.
struct File {
    directory: TempDir,
}

impl File {
    fn new(mappings: &[Value]) -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap() };
        file.write(mappings);
        file
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("esmd.yaml")
    }

    fn write(&self, mappings: &[Value]) {
        std::fs::write(self.path(), text(mappings)).unwrap();
    }

    fn load(&self) -> LoadedFile {
        load(&self.path())
    }
}

/// JSON is YAML.
fn text(mappings: &[Value]) -> String {
    let documents: Vec<_> = mappings.iter().map(|members| document(members.clone())).collect();
    json!({ "mappings": documents }).to_string()
}

fn load(path: &Path) -> LoadedFile {
    LoadedFile::load(path, &environment(), jiff::Timestamp::UNIX_EPOCH).unwrap()
}
