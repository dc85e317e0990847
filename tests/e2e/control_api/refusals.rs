//! What Create refuses, and what Update refuses since it would complete what cannot be.

use serde_json::{Value, json};

use super::client::Operation;
use super::{Caller, Case, INVALID, Source, through_both, with};

pub(super) const CASES: &[Case] = &[
    Case { invariants: &[11, 12, 13, 14, 15, 16, 17], run: |caller| Box::pin(what_cannot_be_is_not_made(caller)) },
    Case { invariants: &[18], run: |caller| Box::pin(a_number_above_its_maximum_breaks_the_model(caller)) },
    Case { invariants: &[13, 15], run: |caller| Box::pin(what_looks_like_it_is_made(caller)) },
    Case { invariants: &[13, 16], run: |caller| Box::pin(an_update_is_judged_with_what_was_there(caller)) },
];

#[tokio::test]
async fn both_clients_are_refused_in_awss_words() {
    through_both(CASES).await;
}

async fn what_cannot_be_is_not_made(caller: &Caller<'_>) {
    let no_position = "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: \
                       Member must not be null.";
    let at = json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000});
    let not_there = format!("Unsupported starting position for arn type: {}", caller.arn(Source::Table));
    let both = json!({"ParallelizationFactor": 2, "TumblingWindowInSeconds": 60});
    let success = json!({"DestinationConfig": {"OnSuccess": {"Destination": caller.arn(Source::Queue)}}});
    let of_queues = "Unsupported DestinationConfig parameter for given event source mapping type.";
    let of_streams = "OnSuccess configuration is not supported for event source mappings.";
    let cases = [
        (11, Source::Stream, json!({"StartingPosition": null}), no_position),
        (11, Source::Table, json!({"StartingPosition": null}), no_position),
        (12, Source::Table, at, not_there.as_str()),
        (13, Source::Queue, json!({"BatchSize": 11}), LARGE_BATCH),
        (14, Source::Fifo, json!({"MaximumBatchingWindowInSeconds": 1}), FIFO_WINDOW),
        (14, Source::Fifo, json!({"BatchSize": 11}), LARGE_BATCH),
        (15, Source::Stream, json!({"MaximumRecordAgeInSeconds": 0}), AGE),
        (15, Source::Table, json!({"MaximumRecordAgeInSeconds": 59}), AGE),
        (16, Source::Stream, both, TUMBLING_FACTOR),
        (17, Source::Queue, success.clone(), of_queues),
        (17, Source::Fifo, success.clone(), of_queues),
        (17, Source::Stream, success.clone(), of_streams),
        (17, Source::Table, success, of_streams),
    ];
    for (invariant, source, members, message) in cases {
        println!("invariant {invariant}: {source:?} {members}");
        let body = json!({"Type": "User", "message": message});
        caller.refused(Operation::Create, caller.mapping(source, "refused", members), INVALID, &body).await;
    }
    let made = caller.list(Operation::List, json!({"FunctionName": caller.name("refused")})).await;
    assert_eq!(made, [""; 0]);
}

/// The body on the wire has no `Type`. What is below a minimum is no case: the CLI does not send it.
async fn a_number_above_its_maximum_breaks_the_model(caller: &Caller<'_>) {
    let above = |member: &str, value: u32, maximum: u32| {
        format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: Member must have value less than or equal to \
             {maximum}"
        )
    };
    let one = above("batchSize", 10_001, 10_000);
    let three = [
        above("parallelizationFactor", 11, 10),
        above("maximumRecordAgeInSeconds", 604_801, 604_800),
        above("tumblingWindowInSeconds", 901, 900),
    ];
    let members = json!({
        "ParallelizationFactor": 11, "MaximumRecordAgeInSeconds": 604_801, "TumblingWindowInSeconds": 901,
    });
    for (source, members, message) in [
        (Source::Queue, json!({"BatchSize": 10_001}), format!("1 validation error detected: {one}")),
        (Source::Stream, members, format!("3 validation errors detected: {}", three.join("; "))),
    ] {
        let body = json!({ "message": message });
        let error = (400, "ValidationException");
        caller.refused(Operation::Create, caller.mapping(source, "refused", members), error, &body).await;
    }
}

async fn what_looks_like_it_is_made(caller: &Caller<'_>) {
    for (source, age) in [(Source::Stream, -1), (Source::Table, 60)] {
        let members = json!({"BatchSize": 101, "MaximumRecordAgeInSeconds": age});
        let made = caller.create(caller.mapping(source, "made", members)).await;
        assert_eq!((&made["BatchSize"], &made["MaximumRecordAgeInSeconds"]), (&json!(101), &json!(age)));
    }
}

async fn an_update_is_judged_with_what_was_there(caller: &Caller<'_>) {
    let window = json!({"BatchSize": 100, "MaximumBatchingWindowInSeconds": 1});
    let cases: [(&str, Source, Value, Value, &str); 3] = [
        ("windowed", Source::Queue, window, json!({"MaximumBatchingWindowInSeconds": 0}), LARGE_BATCH),
        (
            "parallel",
            Source::Stream,
            json!({"ParallelizationFactor": 2}),
            json!({"TumblingWindowInSeconds": 60}),
            TUMBLING_FACTOR,
        ),
        (
            "tumbling",
            Source::Table,
            json!({"TumblingWindowInSeconds": 60}),
            json!({"ParallelizationFactor": 2}),
            TUMBLING_FACTOR,
        ),
    ];
    for (function, source, members, change, message) in cases {
        let uuid = caller.settled(caller.mapping(source, function, members)).await;
        let body = json!({"Type": "User", "message": message});
        caller.refused(Operation::Update, with(json!({"UUID": uuid}), change), INVALID, &body).await;
    }
}

const LARGE_BATCH: &str =
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10";
const FIFO_WINDOW: &str = "Batching window is not supported for FIFO queues";
const AGE: &str = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)";
const TUMBLING_FACTOR: &str = "Parallelization factor must be equal to 1 when tumbling window period is configured";
