//! What answers say of mappings on each kind of source (`docs/semantics.md` 1.4 to 1.8).

use serde_json::{Value, json};

use crate::mappings::{LAMBDA, QUEUE, queue_mapping, stream_mapping};
use crate::{Daemon, STREAM};

/// `docs/semantics.md` 1.8 and 9 (invariants 1, 2, 5)
#[tokio::test]
async fn a_new_mapping_says_what_is_done_about_it() {
    let daemon = Daemon::start().await;
    let queue = "USER_INITIATED";
    let stream = "User action";
    for (base, enabled, made, then, reason) in [
        (queue_mapping(), json!(true), "Creating", "Enabled", queue),
        (queue_mapping(), json!(null), "Creating", "Enabled", queue),
        (queue_mapping(), json!(false), "Disabled", "Disabled", queue),
        (stream_mapping(), json!(true), "Creating", "Enabled", stream),
        (stream_mapping(), json!(false), "Creating", "Disabled", stream),
    ] {
        let document = with(base, &json!({"Enabled": enabled}));
        let (status, answer) = daemon.json("POST", LAMBDA, &document).await;
        assert_eq!((status, &answer["State"], &answer["StateTransitionReason"]), (202, &made.into(), &reason.into()));

        let settled = daemon.once(&answer, then).await;
        assert_eq!(settled["StateTransitionReason"], reason);
        daemon.delete(&answer).await;
    }
}

/// `docs/semantics.md` 1.5 and 9 (invariants 3, 4, 10): also when nothing was asked for, and on every route.
#[tokio::test]
async fn a_queues_answers_lack_what_streams_have() {
    let daemon = Daemon::start().await;
    let nothing = json!({"Enabled": false, "FilterCriteria": {"Filters": []}, "DestinationConfig": {"OnFailure": {}}});
    let of_streams = [
        "StartingPosition",
        "ParallelizationFactor",
        "LastProcessingResult",
        "DestinationConfig",
        "MaximumRecordAgeInSeconds",
        "BisectBatchOnFunctionError",
        "MaximumRetryAttempts",
        "TumblingWindowInSeconds",
    ];
    for (base, is_stream) in [(queue_mapping(), false), (stream_mapping(), true)] {
        let made = daemon.json("POST", LAMBDA, &with(base, &nothing)).await.1;
        let read = daemon.once(&made, "Disabled").await;
        let changed = daemon.json("PUT", &path(&made), &json!({"BatchSize": 5})).await.1;
        let listed = daemon.json("GET", LAMBDA, &Value::Null).await.1["EventSourceMappings"][0].clone();
        for answer in [&made, &read, &changed, &listed] {
            assert!(of_streams.iter().all(|member| answer.get(member).is_some() == is_stream), "{answer}");
            assert_eq!(answer.get("FilterCriteria"), None);
            let destination = is_stream.then(|| json!({"OnFailure": {}}));
            assert_eq!(answer.get("DestinationConfig"), destination.as_ref());
        }
        daemon.once(&made, "Disabled").await;
        daemon.delete(&made).await;
    }
}

/// `docs/semantics.md` 1.4, 1.6 and 9 (invariants 6, 7): the qualifier is part of what is mapped.
#[tokio::test]
async fn a_function_is_shown_with_just_the_qualifier_that_was_given() {
    let daemon = Daemon::start().await;
    let arn = "arn:aws:lambda:eu-west-1:111111111111:function:worker";
    for (given, qualifier) in [
        ("worker", ""),
        ("worker:$LATEST", ":$LATEST"),
        ("worker:1", ":1"),
        ("111111111111:function:worker:live", ":live"),
        ("arn:aws:lambda:eu-west-1:111111111111:function:worker:2", ":2"),
    ] {
        let (status, made) = daemon.json("POST", LAMBDA, &with(queue_mapping(), &json!({"FunctionName": given}))).await;
        assert_eq!((status, &made["FunctionArn"]), (202, &json!(format!("{arn}{qualifier}"))), "{given}");
    }
    let again = with(queue_mapping(), &json!({"FunctionName": format!("{arn}:live")}));
    assert_eq!(daemon.json("POST", LAMBDA, &again).await.0, 409);
}

/// `docs/semantics.md` 1.6 and 9 (invariants 7, 8)
#[tokio::test]
async fn a_second_mapping_of_a_pair_names_the_first_in_words_of_its_kind() {
    let daemon = Daemon::start().await;
    for (mapping, begins, middle) in [
        (queue_mapping(), format!("An event source mapping with SQS arn (\" {QUEUE} \")"), "already exists"),
        (stream_mapping(), format!("The event source arn (\" {STREAM} \")"), "provided mapping already exists"),
    ] {
        let made = daemon.json("POST", LAMBDA, &mapping).await.1;
        let uuid = made["UUID"].as_str().unwrap();

        let (status, answer) = daemon.json("POST", LAMBDA, &mapping).await;

        let message = format!(
            "{begins} and function (\" worker \") {middle}. Please update or delete the existing mapping with UUID {uuid}"
        );
        assert_eq!((status, answer), (409, json!({"Type": "User", "message": message})));
    }
}

/// `docs/semantics.md` 1.6 and 9 (invariant 26)
#[tokio::test]
async fn a_deletion_answers_with_the_whole_configuration() {
    let daemon = Daemon::start().await;
    for base in [queue_mapping(), stream_mapping()] {
        let made = daemon.json("POST", LAMBDA, &with(base, &json!({"Enabled": false}))).await.1;
        let mut expected = daemon.once(&made, "Disabled").await;
        expected["State"] = "Deleting".into();

        assert_eq!(daemon.json("DELETE", &path(&made), &Value::Null).await, (202, expected));
    }
}

impl Daemon {
    /// The mapping once it is in this state.
    async fn once(&self, made: &Value, state: &str) -> Value {
        loop {
            let (status, read) = self.json("GET", &path(made), &Value::Null).await;
            assert_eq!(status, 200, "{read}");
            if read["State"] == state {
                return read;
            }
        }
    }

    /// Deletes a mapping and waits until it is gone.
    async fn delete(&self, made: &Value) {
        assert_eq!(self.json("DELETE", &path(made), &Value::Null).await.0, 202);
        while self.json("GET", &path(made), &Value::Null).await.0 == 200 {}
    }
}

fn path(made: &Value) -> String {
    format!("{LAMBDA}{}", made["UUID"].as_str().unwrap())
}

fn with(mut document: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}
