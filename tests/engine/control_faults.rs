//! Mappings while things break: panics, stores that lose answers, clocks that are set back, and processes that die at
//! any step. Whatever happened, list, store and engine agree in the end, and every mapping can be changed and deleted.

use std::cell::Cell;
use std::time::Duration;

use esmd::clock::Clock;
use esmd::config::LoadedFile;
use esmd::control::ControlError;
use esmd::core::Timestamp;
use esmd::mapping::state::MappingState;
use esmd::store::{MappingOrigin, StateStore, StoredMapping};
use serde_json::json;
use uuid::Uuid;

use crate::control::{change, document, enabled, file, outside, state, until_delivered, until_state};
use crate::controlled::{Controlled, Outside};
use crate::fakes::Fault;
use crate::fakes::wire::Wire;
use crate::world::{seconds, sleep};

/// `docs/semantics.md` 1.8: there is no failed state, and a fault of the service shows in the last result.
#[tokio::test(start_paused = true)]
async fn a_mapping_that_panics_whenever_it_begins_can_be_changed_and_deleted() {
    let (outside, stream) = outside();
    stream.fail_listings([Fault::Panic; 5_000]);
    let life = outside.start(None).await;

    let uuid = enabled(&life, json!({})).await;
    let result = life.control.last_processing_result(uuid);
    assert!(result.starts_with("PROBLEM: "), "{result}");
    life.control.update(uuid, change(json!({"BatchSize": 5}))).await.unwrap();
    until_state(&life.control, uuid, MappingState::Enabled).await;
    life.control.delete(uuid).await.unwrap();
    until_gone(&life, uuid).await;

    life.stop().await;
}

/// Which of a shard's reads failed says nothing once nobody reads the shard.
#[tokio::test(start_paused = true)]
async fn a_problem_of_a_consumer_that_ended_is_no_longer_told() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;
    let uuid = enabled(&life, json!({})).await;
    let shard = &stream.open_shards()[0];

    stream.fail_receives(shard, [Fault::Denied, Fault::Panic]);
    sleep(seconds(120)).await;

    assert_eq!(life.control.last_processing_result(uuid), "No records processed");
    life.stop().await;
}

/// The store did what it was asked, and could not say so: the caller learns that nobody knows, and what was asked holds.
#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_the_store_lost_is_carried_out() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;

    outside.store.lose_answers(1);
    let made = life.control.create(document(json!({}))).await;
    assert!(matches!(made, Err(ControlError::Store(_))), "{made:?}");
    sleep(seconds(5)).await;
    let [view] = &life.control.list()[..] else { panic!("one mapping") };
    assert_eq!(view.state, MappingState::Enabled);
    let uuid = view.uuid;

    outside.store.lose_answers(3);
    assert!(life.control.update(uuid, change(json!({"BatchSize": 3}))).await.is_err());
    until_state(&life.control, uuid, MappingState::Enabled).await;
    assert_eq!(life.control.get(uuid).unwrap().mapping.batching.size, 3);
    stream.put("a", "0");
    until_delivered(&outside, &["0"]).await;

    outside.store.lose_answers(2);
    assert!(life.control.delete(uuid).await.is_err());
    until_gone(&life, uuid).await;
    assert!(life.control.create(document(json!({}))).await.is_ok());
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_calls_for_one_pair_one_makes_the_mapping() {
    let (outside, _) = outside();
    let life = outside.start(None).await;

    let control = &life.control;
    let (first, second) = tokio::join!(control.create(document(json!({}))), control.create(document(json!({}))));

    let (made, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    let made = made.unwrap();
    assert!(matches!(&refused, Err(ControlError::Occupied { other }) if other.uuid == made.uuid), "{refused:?}");
    until_state(control, made.uuid, MappingState::Enabled).await;
    let (update, delete) =
        tokio::join!(control.update(made.uuid, change(json!({"BatchSize": 5}))), control.delete(made.uuid));
    assert!(update.is_ok(), "{update:?}");
    assert!(matches!(delete, Err(ControlError::InUse { .. })), "{delete:?}");
    life.stop().await;
}

/// What is asked of a process that stops is either done and in the store, or refused and nowhere.
#[tokio::test(start_paused = true)]
async fn a_call_that_meets_the_shutdown_is_done_or_refused() {
    for turns in 0..20 {
        let (outside, _) = outside();
        let life = outside.start(None).await;
        let shutdown = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            life.shutdown.cancel();
        };

        let (made, ()) = tokio::join!(life.control.create(document(json!({}))), shutdown);

        match made {
            Ok(made) => assert_eq!(outside.store.mappings().await.unwrap()[0].uuid, made.uuid),
            Err(refused) => {
                assert!(matches!(refused, ControlError::Stopping), "{refused:?}");
                assert_eq!(outside.store.mappings().await.unwrap(), []);
            }
        }
        assert!(matches!(life.control.create(document(json!({}))).await, Err(ControlError::Stopping)));
        life.stop().await;
    }
}

/// A file's mapping whose row was on its way out is made anew, also if the store could not say that it is gone.
#[tokio::test(start_paused = true)]
async fn a_pair_whose_mapping_is_deleted_is_declared_anew() {
    for lost in [0, 1] {
        let (outside, _) = outside();
        let deleted = put(&outside, document(json!({})), MappingOrigin::Api, MappingState::Deleting).await;
        let life = outside.start(Some(file(&[json!({})]))).await;
        outside.store.lose_answers(lost);
        sleep(seconds(10)).await;

        let [view] = &life.control.list()[..] else { panic!("one mapping: {:?}", life.control.list()) };
        assert_eq!((view.uuid == deleted, view.state), (false, MappingState::Enabled));
        life.stop().await;
    }
}

/// A moment that was past when a mapping was made is not judged again by a clock that was set back.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_stops_no_mapping() {
    let (outside, stream) = outside();
    let life = outside.start(None).await;
    let timestamp = json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000});
    let uuid = enabled(&life, timestamp).await;
    life.stop().await;

    let early = Outside { clock: Clock::new(|| Duration::from_secs(1_600_000_000)), ..outside.clone() };
    let life = early.start(None).await;
    stream.put("a", "0");
    until_delivered(&outside, &["0"]).await;

    assert_eq!(state(&life.control, uuid), Some(MappingState::Enabled));
    assert!(life.control.update(uuid, change(json!({"BatchSize": 5}))).await.is_ok());
    life.stop().await;
}

/// `docs/semantics.md` 1.8
#[tokio::test(start_paused = true)]
async fn whatever_state_a_row_was_left_in_is_brought_to_its_end() {
    for origin in [MappingOrigin::Api, MappingOrigin::File] {
        for left in MappingState::ALL {
            for is_enabled in [true, false] {
                if !left.is_transition() && left != MappingState::settled(is_enabled) {
                    continue;
                }
                let (outside, _) = outside();
                let members = json!({ "Enabled": is_enabled });
                let uuid = put(&outside, document(members.clone()), origin, left).await;

                let declaring = (origin == MappingOrigin::File).then(|| file(&[members]));
                let life = outside.start(declaring).await;
                sleep(seconds(30)).await;

                let wanted = match left {
                    MappingState::Deleting => None,
                    _ => Some(if is_enabled { MappingState::Enabled } else { MappingState::Disabled }),
                };
                let case = format!("{origin:?} {left:?} {is_enabled}");
                assert_eq!(state(&life.control, uuid), wanted, "{case}");
                let rows = outside.store.mappings().await.unwrap();
                let has_row = origin == MappingOrigin::File || wanted.is_some();
                assert_eq!(rows.len(), usize::from(has_row), "{case}: {rows:?}");
                assert!(rows.iter().all(|row| !row.state.is_transition()), "{case}: {rows:?}");
                life.stop().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_left_its_file_in_any_state_can_be_enabled_and_deleted() {
    for left in MappingState::ALL.into_iter().filter(|left| *left != MappingState::Deleting) {
        let (outside, stream) = outside();
        let uuid = put(&outside, document(json!({})), MappingOrigin::File, left).await;
        let life = outside.start(Some(file(&[]))).await;
        sleep(seconds(5)).await;
        assert_eq!(state(&life.control, uuid), Some(MappingState::Disabled), "{left:?}");

        life.control.update(uuid, change(json!({"Enabled": true}))).await.unwrap();
        until_state(&life.control, uuid, MappingState::Enabled).await;
        stream.put("a", "0");
        until_delivered(&outside, &["0"]).await;

        life.control.delete(uuid).await.unwrap();
        until_gone(&life, uuid).await;
        life.stop().await;
    }
}

/// What was answered is done, what was asked last is done or not, and nothing stays half done.
#[tokio::test(start_paused = true)]
async fn wherever_a_process_dies_the_next_one_ends_what_calls_began() {
    for step in 1.. {
        let (outside, stream) = outside();
        let answered = Cell::new(0);
        let wire = Wire::cut_at(step);
        let survived = tokio::select! {
            () = wire.is_cut() => false,
            () = change_often(&outside, &wire, &answered) => true,
        };

        let life = outside.start(None).await;
        sleep(seconds(60)).await;
        let found = match &life.control.list()[..] {
            [] if answered.get() == 0 => 0,
            [] => CHANGES,
            [view] => {
                assert_eq!(view.state, MappingState::settled(view.mapping.enabled), "step {step}");
                if view.mapping.enabled {
                    stream.put("a", "0");
                    until_delivered(&outside, &["0"]).await;
                }
                view.mapping.batching.size
            }
            several => panic!("step {step}: {several:?}"),
        };
        assert!(found == answered.get() || found == answered.get() + 1, "step {step}: {found} of {answered:?}");
        life.stop().await;
        if survived {
            assert!(step > 20, "there are steps");
            return;
        }
    }
}

/// A mapping's changes, of which each answered one is counted. The size of its batches says how many there were.
async fn change_often(outside: &Outside, wire: &Wire, answered: &Cell<usize>) {
    let life = outside.start_on(wire.clone(), None).await;
    let uuid = life.control.create(document(json!({"BatchSize": 1}))).await.unwrap().uuid;
    answered.set(1);
    until_state(&life.control, uuid, MappingState::Enabled).await;
    let steps = [
        (json!({"BatchSize": 2}), MappingState::Enabled),
        (json!({"BatchSize": 3, "Enabled": false}), MappingState::Disabled),
        (json!({"BatchSize": 4, "Enabled": true}), MappingState::Enabled),
    ];
    for (members, end) in steps {
        life.control.update(uuid, change(members)).await.unwrap();
        answered.set(answered.get() + 1);
        until_state(&life.control, uuid, end).await;
    }
    life.control.delete(uuid).await.unwrap();
    answered.set(CHANGES);
    until_gone(&life, uuid).await;
}

/// Whatever the file finds in the store.
#[tokio::test(start_paused = true)]
async fn wherever_a_process_dies_the_next_one_ends_what_the_file_began() {
    let rows = [
        None,
        Some((MappingOrigin::Api, MappingState::Enabled)),
        Some((MappingOrigin::File, MappingState::Disabled)),
        Some((MappingOrigin::Api, MappingState::Deleting)),
    ];
    for row in rows {
        for step in 1.. {
            let (outside, stream) = outside();
            if let Some((origin, left)) = row {
                put(&outside, document(json!({"BatchSize": 1})), origin, left).await;
            }
            let wire = Wire::cut_at(step);
            let declared = || Some(file(&[json!({"BatchSize": 2}), json!({"FunctionName": "other"})]));
            let survived = tokio::select! {
                () = wire.is_cut() => false,
                () = live(&outside, &wire, declared()) => true,
            };

            let life = outside.start(declared()).await;
            stream.put("a", "0");
            sleep(seconds(60)).await;
            let states: Vec<_> = life.control.list().into_iter().map(|view| view.state).collect();
            assert_eq!(states, [MappingState::Enabled; 2], "{row:?}, step {step}");
            assert_eq!(outside.target.succeeded(), ["0", "0"], "{row:?}, step {step}: each function once");
            life.stop().await;
            if survived {
                break;
            }
        }
    }
}

async fn live(outside: &Outside, wire: &Wire, declared: Option<LoadedFile>) {
    let _life = outside.start_on(wire.clone(), declared).await;
    sleep(seconds(3)).await;
}

/// Writes a row as a process of before may have left it.
async fn put(
    outside: &Outside,
    document: esmd::mapping::document::MappingDocument,
    origin: MappingOrigin,
    state: MappingState,
) -> Uuid {
    let uuid = Uuid::from_u128(1);
    let row = StoredMapping { uuid, document, origin, state, last_modified: Timestamp::default(), revision: 0 };
    outside.store.put_mapping(row).await.unwrap().uuid
}

async fn until_gone(life: &Controlled, uuid: Uuid) {
    let gone = async {
        while state(&life.control, uuid).is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_hours(1), gone).await.is_ok(), "it stays");
}

/// Of [`change_often`].
const CHANGES: usize = 5;
