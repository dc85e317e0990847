//! What create and update refuse because of others: functions and sources as their servers tell of them
//! (`docs/semantics.md` 1.7).

use std::path::Path;
use std::time::Duration;

use esmd::config::LoadedFile;
use esmd::control::premises::{InspectionScope, Unmet};
use serde_json::{Value, json};

use crate::controlled::{Outside, environment};
use crate::fakes::{self, stream::FakeStream};
use crate::mappings::{LAMBDA, queue_mapping, stream_mapping};
use crate::{Daemon, STREAM};

/// `docs/semantics.md` 1.7, and 9 (invariant 19)
#[tokio::test]
async fn what_is_not_there_or_does_not_fit_is_refused_in_awss_words_and_makes_nothing() {
    let daemon = Daemon::start().await;
    let arn = STREAM.to_owned();
    let actions = "GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams";
    let seconds = Duration::from_secs;
    let cases = [
        (Unmet::NoFunction, "Function does not exist".to_owned()),
        (
            Unmet::NoQueue,
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: The specified queue does not exist."
                .to_owned(),
        ),
        (Unmet::NoStream { arn: arn.clone() }, format!("Stream not found: {STREAM}")),
        (
            Unmet::QueueDenied { action: "GetQueueAttributes" },
            "The function execution role does not have permissions to call GetQueueAttributes on SQS".to_owned(),
        ),
        (
            Unmet::StreamDenied { arn, actions },
            format!(
                "Cannot access stream {STREAM}. Please ensure the role can perform the GetRecords, GetShardIterator, \
                 DescribeStream, ListShards, and ListStreams Actions on your stream in IAM."
            ),
        ),
        (
            Unmet::ShortVisibility { visibility: seconds(30), timeout: seconds(60) },
            "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds".to_owned(),
        ),
    ];
    for (unmet, message) in cases {
        daemon.outside.premises.answer(Some(unmet));
        let refused = daemon.send("POST", LAMBDA, &stream_mapping().to_string()).await;
        assert!(refused.head.contains("\r\nx-amzn-errortype: InvalidParameterValueException\r\n"), "{}", refused.head);
        let body: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!((refused.status, &body["message"]), (400, &json!(message)));
    }
    assert!(daemon.control().list().is_empty());
}

/// `docs/semantics.md` 1.7: constraints, members, then function and source, then the pair.
#[tokio::test]
async fn servers_are_asked_after_the_document_and_before_the_pair() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.json("POST", LAMBDA, &queue_mapping()).await.0, 202);
    assert_eq!(daemon.outside.premises.asked(), [InspectionScope::All]);
    daemon.outside.premises.answer(Some(Unmet::NoFunction));

    let mut refused = queue_mapping();
    refused["ParallelizationFactor"] = json!(2);
    let (_, by_members) = daemon.json("POST", LAMBDA, &refused).await;
    let asked_by_members = daemon.outside.premises.asked();
    let (status, by_servers) = daemon.json("POST", LAMBDA, &queue_mapping()).await;

    let message = "Unsupported ParallelizationFactor parameter for given event source mapping type.";
    assert_eq!((&by_members["message"], asked_by_members), (&json!(message), vec![]));
    assert_eq!((status, &by_servers["message"]), (400, &json!("Function does not exist")));
}

/// `docs/semantics.md` 1.7, and 9 (invariants 19, 24): a function that is gone stops nobody from changing the rest.
#[tokio::test]
async fn an_update_asks_for_the_function_only_if_it_gives_one() {
    let daemon = Daemon::start().await;
    let uuid = daemon.settled(&queue_mapping()).await;
    let path = format!("{LAMBDA}{uuid}");
    daemon.outside.premises.asked();
    daemon.outside.premises.answer(Some(Unmet::NoFunction));

    let others = daemon.json("PUT", &path, &json!({"BatchSize": 5})).await.0;
    assert_eq!((others, daemon.outside.premises.asked()), (202, vec![]));
    let before = daemon.json("GET", &path, &Value::Null).await.1;
    let (status, answer) = daemon.json("PUT", &path, &json!({"FunctionName": "gone", "BatchSize": 6})).await;

    assert_eq!((status, &answer["message"]), (400, &json!("Function does not exist")));
    assert_eq!(daemon.outside.premises.asked(), [InspectionScope::Function]);
    assert_eq!(daemon.json("GET", &path, &Value::Null).await.1, before);
    assert_eq!(daemon.json("DELETE", &path, &Value::Null).await.0, 202);
}

/// What a file declares waits until it can run.
#[tokio::test]
async fn a_mapping_of_the_file_is_there_whatever_servers_say() {
    let clock = fakes::clock();
    let stream = FakeStream::new(clock.clone(), STREAM, 1);
    let text = json!({"mappings": [stream_mapping()]}).to_string();
    let file = LoadedFile::judge(Path::new("esmd.yaml"), text, &environment(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    let outside = Outside::new(clock).with_source(STREAM, stream.clone());
    outside.premises.answer(Some(Unmet::NoFunction));

    let daemon = Daemon::start_with(outside, stream, Some(file)).await;

    assert_eq!(daemon.control().list().len(), 1);
    assert_eq!(daemon.outside.premises.asked(), []);
}
