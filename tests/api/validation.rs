//! What create and update refuse, line by line of `docs/semantics.md` 1.7, as a client sees it.

use serde_json::{Value, json};

use crate::mappings::{LAMBDA, QUEUE, queue_mapping, stream_mapping};
use crate::{Daemon, STREAM};

/// A document that is fine by itself, and the members that are given beside it or in its place.
type Asked = (fn() -> Value, Value);

/// `docs/semantics.md` 1.7 and 9 (invariant 18): a `ValidationException` has no `Type`.
#[tokio::test]
async fn a_broken_constraint_of_the_model_is_a_validation_exception() {
    let daemon = Daemon::start().await;
    for ((base, members), member, value, constraint) in constraints() {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        let message = format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}"
        );
        daemon.assert_refused("ValidationException", &merged(base(), &members), &message).await;
    }
    daemon.assert_nothing_was_made().await;
}

/// `docs/semantics.md` 1.7
#[tokio::test]
async fn broken_constraints_are_told_all_at_once_and_before_all_else() {
    let daemon = Daemon::start().await;
    let document = json!({"EventSourceArn": null, "BatchSize": 0, "Topics": ["orders"], "StartingPosition": "OLDEST"});
    let message = "3 validation errors detected: Value null at 'functionName' failed to satisfy constraint: Member \
                   must not be null; Value '0' at 'batchSize' failed to satisfy constraint: Member must have value \
                   greater than or equal to 1; Value 'OLDEST' at 'startingPosition' failed to satisfy constraint: \
                   Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]";
    daemon.assert_refused("ValidationException", &document, message).await;
}

/// `docs/semantics.md` 1.7 and 9 (invariants 11 to 17)
#[tokio::test]
async fn what_cannot_be_is_an_invalid_parameter_in_awss_words() {
    let daemon = Daemon::start().await;
    let cases = sources().into_iter().chain(unsupported()).chain(positions()).chain(combinations());
    for ((base, members), message) in cases {
        daemon.assert_refused("InvalidParameterValueException", &merged(base(), &members), &message).await;
    }
    daemon.assert_nothing_was_made().await;
}

/// `docs/semantics.md` 1.9 and 9 (invariants 13, 16, 19): the merged configuration is judged.
#[tokio::test]
async fn an_update_that_completes_what_cannot_be_is_refused_and_changes_nothing() {
    let daemon = Daemon::start().await;
    let made: &[(Asked, Value, &str)] = &[
        (
            (queue, json!({"BatchSize": 100, "MaximumBatchingWindowInSeconds": 1})),
            json!({"MaximumBatchingWindowInSeconds": 0}),
            LARGE_BATCH,
        ),
        ((queue, json!({"MaximumBatchingWindowInSeconds": 0})), json!({"BatchSize": 11}), LARGE_BATCH),
        ((fifo, json!({})), json!({"MaximumBatchingWindowInSeconds": 1}), FIFO_WINDOW),
        ((stream, json!({"ParallelizationFactor": 2})), json!({"TumblingWindowInSeconds": 60}), TUMBLING_FACTOR),
        ((stream, json!({})), json!({"MaximumRecordAgeInSeconds": 59}), AGE),
        (
            (stream, json!({})),
            json!({"ScalingConfig": {"MaximumConcurrency": 2}}),
            "Unsupported ScalingConfig parameter for given event source mapping type.",
        ),
        (
            (queue, json!({"ScalingConfig": {"MaximumConcurrency": 2}})),
            json!({"ProvisionedPollerConfig": {"MinimumPollers": 2}}),
            POLLERS_AND_CONCURRENCY,
        ),
    ];
    for ((base, members), change, message) in made {
        let uuid = daemon.settled(&merged(base(), members)).await;
        let path = format!("{LAMBDA}{uuid}");
        let before = daemon.json("GET", &path, &Value::Null).await.1;

        let (status, answer) = daemon.json("PUT", &path, change).await;

        assert_eq!((status, &answer["message"]), (400, &json!(message)), "{change}");
        assert_eq!(daemon.json("GET", &path, &Value::Null).await.1, before, "{change}");
        daemon.json("DELETE", &path, &Value::Null).await;
        while daemon.json("GET", &path, &Value::Null).await.0 == 200 {}
    }
}

/// `docs/semantics.md` 1.9 and 9 (invariants 9, 19): a pattern comes back byte for byte, and an invalid one changes nothing.
#[tokio::test]
async fn filters_are_shown_as_given_and_replaced_as_a_whole() {
    let daemon = Daemon::start().await;
    let criteria = |pattern: &str| json!({"FilterCriteria": {"Filters": [{ "Pattern": pattern }]}});
    let first = criteria("{ \"body\" : {\"k\":[1.0]} }");
    let uuid = daemon.settled(&merged(queue(), &first)).await;
    let path = format!("{LAMBDA}{uuid}");

    let (status, refused) = daemon.json("PUT", &path, &criteria("{}")).await;
    assert_eq!((status, &refused["message"]), (400, &json!("Invalid filter pattern definition.")));
    let shown = daemon.json("GET", &path, &Value::Null).await.1;
    assert_eq!(shown["FilterCriteria"], first["FilterCriteria"]);

    let second = criteria(r#"{"body":["text"]}"#);
    let replaced = daemon.json("PUT", &path, &second).await.1;
    assert_eq!(replaced["FilterCriteria"], second["FilterCriteria"]);
}

/// Ours: numbers of the event keep all their digits.
#[tokio::test]
async fn a_filter_test_explains_each_record() {
    let daemon = Daemon::start().await;
    let question = r#"{"Filters": [{"Pattern": "{\"dynamodb\": {\"n\": [9007199254740993]}}"}], "Event": {"Records": [
        {"dynamodb": {"n": 9007199254740993}}, {"dynamodb": {"n": 9007199254740992}}]}}"#;

    let page = daemon.send("POST", "/esmd/v1/filters/test", question).await;

    let answer: Value = serde_json::from_str(&page.body).unwrap();
    let why = "dynamodb.n is 9007199254740992, expected 9007199254740993";
    let records = json!([
        {"Matched": true, "Misses": []},
        {"Matched": false, "Misses": [{"Filter": 1, "Why": why}]},
    ]);
    assert_eq!((page.status, answer), (200, json!({"Matched": false, "Records": records})));
}

#[tokio::test]
async fn a_filter_test_that_makes_no_sense_is_refused() {
    let daemon = Daemon::start().await;
    let pattern = json!([{"Pattern": r#"{"a": ["b"]}"#}]);
    for (question, told) in [
        (
            json!({"Filters": [{"Pattern": "{}"}], "Event": {"body": ""}}),
            "pattern 1 is invalid: an empty object asks for nothing",
        ),
        (json!({"Filters": [], "Event": {"body": ""}}), "there is no pattern"),
        (
            json!({"Filters": pattern, "Event": {}}),
            "the event does not show its source: name it as sqs, kinesis or dynamodb",
        ),
        (json!({"Filters": pattern, "Event": {}, "Source": "sqs", "Pattern": ""}), "unknown field `Pattern`"),
    ] {
        let (status, answer) = daemon.json("POST", "/esmd/v1/filters/test", &question).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(told), "{answer}");
    }
}

/// `docs/semantics.md` 1.7: constraints come before everything that takes more than the request to know.
#[tokio::test]
async fn a_change_that_breaks_a_constraint_is_told_so_before_its_mapping_is_looked_for() {
    let daemon = Daemon::start().await;
    let running = daemon.json("POST", LAMBDA, &stream_mapping()).await.1["UUID"].as_str().unwrap().to_owned();
    for uuid in [running.as_str(), "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d", "nonsense"] {
        for (change, member) in [
            (json!({"BatchSize": 10_001}), "batchSize"),
            (json!({"FunctionName": "a b"}), "functionName"),
            (json!({"EventSourceArn": "nonsense"}), "eventSourceArn"),
        ] {
            let page = daemon.send("PUT", &format!("{LAMBDA}{uuid}"), &change.to_string()).await;
            assert!(
                page.head.contains("\r\nx-amzn-errortype: ValidationException\r\n"),
                "{uuid} {change}: {}",
                page.head
            );
            assert!(page.body.contains(&format!("at '{member}' failed")), "{}", page.body);
        }
        let broken = daemon.send("PUT", &format!("{LAMBDA}{uuid}"), "{").await;
        assert!(broken.head.contains("InvalidRequestContentException"), "{uuid}: {}", broken.head);
    }
}

/// `docs/semantics.md` 1.9 and 9 (invariant 20): tags are changed elsewhere; none at all ask for nothing.
#[tokio::test]
async fn an_update_with_empty_tags_changes_no_tag() {
    let daemon = Daemon::start().await;
    let uuid = daemon.settled(&merged(queue(), &json!({"Tags": {"team": "blue"}}))).await;

    let (status, answer) = daemon.json("PUT", &format!("{LAMBDA}{uuid}"), &json!({"Tags": {}, "BatchSize": 5})).await;

    assert_eq!((status, &answer["BatchSize"]), (202, &json!(5)));
    let kept = daemon.control().list().remove(0).document.tags.unwrap();
    assert_eq!(kept.get("team").map(String::as_str), Some("blue"));
}

/// `docs/semantics.md` 1.3, 1.9: kept and shown, cleared by an empty list.
#[tokio::test]
async fn a_metrics_config_is_shown_until_it_is_cleared() {
    let daemon = Daemon::start().await;
    let metrics = json!({"Metrics": ["EventCount"]});
    let uuid = daemon.settled(&merged(queue(), &json!({"MetricsConfig": metrics}))).await;
    let path = format!("{LAMBDA}{uuid}");

    let shown = daemon.json("GET", &path, &Value::Null).await.1;
    let kept = daemon.json("PUT", &path, &json!({"BatchSize": 5, "MetricsConfig": null})).await.1;
    let cleared = daemon.json("PUT", &path, &json!({"MetricsConfig": {"Metrics": []}})).await.1;

    assert_eq!((&shown["MetricsConfig"], &kept["MetricsConfig"]), (&metrics, &metrics));
    assert_eq!(cleared.get("MetricsConfig"), None);
}

/// A constraint names the member and its value.
#[allow(clippy::too_many_lines)] // a table
fn constraints() -> Vec<(Asked, &'static str, Option<String>, &'static str)> {
    let number = |base: fn() -> Value, path: &str, member, number: i64, rule| {
        let members = path.rsplit('.').fold(json!(number), |value, name| json!({ name: value }));
        ((base, members), member, Some(number.to_string()), rule)
    };
    let list = |path: &str, member, names: &[&str], rule| {
        let members = path.rsplit('.').fold(json!(names), |value, name| json!({ name: value }));
        ((queue as fn() -> Value, members), member, Some(format!("[{}]", names.join(", "))), rule)
    };
    let text = |base: fn() -> Value, members: Value, member, text: &str, rule| {
        ((base, members), member, Some(text.to_owned()), rule)
    };
    let long = "f".repeat(257);
    let destination = "d".repeat(351);
    let pattern = "p".repeat(4_097);
    vec![
        text(
            queue,
            json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}}),
            "filterCriteria.filters.1.member.pattern",
            &pattern,
            "Member must have length less than or equal to 4096",
        ),
        number(queue, "BatchSize", "batchSize", 10_001, "Member must have value less than or equal to 10000"),
        number(queue, "BatchSize", "batchSize", 0, "Member must have value greater than or equal to 1"),
        number(
            queue,
            "MaximumBatchingWindowInSeconds",
            "maximumBatchingWindowInSeconds",
            301,
            "Member must have value less than or equal to 300",
        ),
        number(
            stream,
            "ParallelizationFactor",
            "parallelizationFactor",
            11,
            "Member must have value less than or equal to 10",
        ),
        number(
            stream,
            "MaximumRecordAgeInSeconds",
            "maximumRecordAgeInSeconds",
            604_801,
            "Member must have value less than or equal to 604800",
        ),
        number(
            stream,
            "MaximumRetryAttempts",
            "maximumRetryAttempts",
            -2,
            "Member must have value greater than or equal to -1",
        ),
        number(
            stream,
            "TumblingWindowInSeconds",
            "tumblingWindowInSeconds",
            901,
            "Member must have value less than or equal to 900",
        ),
        number(
            queue,
            "ScalingConfig.MaximumConcurrency",
            "scalingConfig.maximumConcurrency",
            1,
            "Member must have value greater than or equal to 2",
        ),
        number(
            queue,
            "ProvisionedPollerConfig.MaximumPollers",
            "provisionedPollerConfig.maximumPollers",
            2_001,
            "Member must have value less than or equal to 2000",
        ),
        list(
            "FunctionResponseTypes",
            "functionResponseTypes",
            &["Bad"],
            "Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures], Member \
             must not be null]",
        ),
        list(
            "FunctionResponseTypes",
            "functionResponseTypes",
            &["ReportBatchItemFailures", "ReportBatchItemFailures"],
            "Member must have length less than or equal to 1",
        ),
        list(
            "MetricsConfig.Metrics",
            "metricsConfig.metrics",
            &["EventCount", "Bad"],
            "Member must satisfy constraint: [Member must satisfy enum value set: [EventCount, ErrorCount, \
             KafkaMetrics], Member must not be null]",
        ),
        text(
            stream,
            json!({"StartingPosition": "OLDEST"}),
            "startingPosition",
            "OLDEST",
            "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
        ),
        ((queue, json!({"FunctionName": null})), "functionName", None, "Member must not be null"),
        text(
            queue,
            json!({"FunctionName": long}),
            "functionName",
            &long,
            "Member must have length less than or equal to 256",
        ),
        text(
            queue,
            json!({"FunctionName": "my \"fn\""}),
            "functionName",
            "my \"fn\"",
            r"Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
        ),
        text(
            queue,
            json!({"EventSourceArn": "orders"}),
            "eventSourceArn",
            "orders",
            r"Member must satisfy regular expression pattern: arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
        ),
        text(
            queue,
            json!({"KMSKeyArn": "alias/key"}),
            "kMSKeyArn",
            "alias/key",
            "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()",
        ),
        text(
            stream,
            json!({"DestinationConfig": {"OnFailure": {"Destination": destination}}}),
            "destinationConfig.onFailure.destination",
            &destination,
            "Member must have length less than or equal to 350",
        ),
    ]
}

fn sources() -> Vec<(Asked, String)> {
    let unrecognized = || "Unrecognized event source.".to_owned();
    vec![
        ((queue, json!({"EventSourceArn": null})), unrecognized()),
        ((queue, json!({"EventSourceArn": "arn:aws:s3:eu-west-1:111111111111:bucket"})), unrecognized()),
        // before the members of its kind
        (
            (queue, json!({"EventSourceArn": "arn:aws:sns:eu-west-1:111111111111:topic", "Topics": ["a"]})),
            unrecognized(),
        ),
    ]
}

/// What the kind of source lacks.
fn unsupported() -> Vec<(Asked, String)> {
    let success = json!({"DestinationConfig": {"OnSuccess": {"Destination": DESTINATION}}});
    let of_kind = [
        (queue as fn() -> Value, success.clone()),
        (fifo, success.clone()),
        (queue, json!({"DestinationConfig": {"OnFailure": {"Destination": DESTINATION}}})),
        (stream, json!({"ScalingConfig": {"MaximumConcurrency": 2}})),
        (stream, json!({"ProvisionedPollerConfig": {"MinimumPollers": 2}})),
        (queue, json!({"StartingPosition": "LATEST"})),
        (queue, json!({"StartingPositionTimestamp": 1})),
        (queue, json!({"ParallelizationFactor": 2})),
        (queue, json!({"MaximumRecordAgeInSeconds": 60})),
        (queue, json!({"MaximumRetryAttempts": 1})),
        (queue, json!({"BisectBatchOnFunctionError": true})),
        (queue, json!({"TumblingWindowInSeconds": 60})),
        (queue, json!({"LoggingConfig": {"SystemLogLevel": "INFO"}})),
        (stream, json!({"Topics": ["orders"]})),
        (stream, json!({"Queues": ["orders"]})),
        (stream, json!({"SourceAccessConfigurations": [{"Type": "VPC_SUBNET"}]})),
        (stream, json!({"SelfManagedEventSource": {"Endpoints": {}}})),
        (stream, json!({"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "a"}})),
        (stream, json!({"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "a"}})),
        (stream, json!({"DocumentDBEventSourceConfig": {"DatabaseName": "a"}})),
    ];
    let named = of_kind.into_iter().map(|(base, members)| {
        let name = members.as_object().unwrap().keys().next().unwrap();
        let message = format!("Unsupported {name} parameter for given event source mapping type.");
        ((base, members), message)
    });
    let no_success = "OnSuccess configuration is not supported for event source mappings.";
    // before what is missing
    let first = json!({"StartingPosition": null, "ScalingConfig": {"MaximumConcurrency": 2}});
    let scaling = "Unsupported ScalingConfig parameter for given event source mapping type.";
    named
        .chain([
            ((stream as fn() -> Value, success.clone()), no_success.to_owned()),
            ((table, success), no_success.to_owned()),
            ((stream, first), scaling.to_owned()),
        ])
        .collect()
}

fn positions() -> Vec<(Asked, String)> {
    let missing = "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member \
                   must not be null.";
    let at = |moment: Value| json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": moment});
    vec![
        ((stream, json!({"StartingPosition": null})), missing.to_owned()),
        ((table, json!({"StartingPosition": null})), missing.to_owned()),
        ((table, at(json!(1))), format!("Unsupported starting position for arn type: {TABLE}")),
        (
            (stream, json!({"StartingPositionTimestamp": 1})),
            "Timestamp only valid with StartingPosition AT_TIMESTAMP".to_owned(),
        ),
        ((stream, at(Value::Null)), "Timestamp must be provided with StartingPosition AT_TIMESTAMP".to_owned()),
        ((stream, at(json!(9_000_000_000_u64))), "Timestamp must not be in the future".to_owned()),
    ]
}

fn combinations() -> Vec<(Asked, String)> {
    let pollers = |config: Value| json!({"ProvisionedPollerConfig": config});
    let filters = json!({"Filters": [{"Pattern": "{\"a\":[1]}"}]});
    let tags: Value = (0..51).map(|number| (number.to_string(), json!(""))).collect();
    let pattern = |pattern: &str| json!({"FilterCriteria": {"Filters": [{ "Pattern": pattern }]}});
    let invalid = "Invalid filter pattern definition.";
    let cases: Vec<(Asked, &str)> = vec![
        ((queue, pattern("text")), invalid),
        ((fifo, pattern(r#"{"a": "b"}"#)), invalid),
        ((stream, pattern(r#"{"data": ["x"]}"#)), invalid),
        ((table, pattern(r#"{"a": []}"#)), invalid),
        ((queue, json!({"FilterCriteria": {"Filters": [{}]}})), invalid),
        (
            (queue, json!({"FilterCriteria": {"Filters": vec![filters["Filters"][0].clone(); 6]}})),
            "Filters exceed the maximum of 5 filters.",
        ),
        ((queue, json!({"BatchSize": 11})), LARGE_BATCH),
        ((fifo, json!({"BatchSize": 11})), LARGE_BATCH),
        ((fifo, json!({"MaximumBatchingWindowInSeconds": 1})), FIFO_WINDOW),
        ((fifo, json!({"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1})), FIFO_WINDOW),
        ((stream, json!({"MaximumRecordAgeInSeconds": 0})), AGE),
        ((table, json!({"MaximumRecordAgeInSeconds": 59})), AGE),
        ((stream, json!({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2})), TUMBLING_FACTOR),
        (
            (table, json!({"TumblingWindowInSeconds": 60, "FilterCriteria": filters})),
            "Filter criteria must not be configured when tumbling window period is configured",
        ),
        (
            (
                queue,
                merged(pollers(json!({"MaximumPollers": 5})), &json!({"ScalingConfig": {"MaximumConcurrency": 2}})),
            ),
            POLLERS_AND_CONCURRENCY,
        ),
        ((queue, pollers(json!({"MinimumPollers": 1}))), POLLERS),
        ((fifo, pollers(json!({"MinimumPollers": 5, "MaximumPollers": 4}))), POLLERS),
        ((queue, pollers(json!({"MaximumPollers": 1}))), POLLERS),
        (
            (queue, pollers(json!({}))),
            "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided.",
        ),
        ((queue, json!({"Tags": tags})), "Number of tags exceeds resource tag limit."),
        (
            (queue, json!({"Tags": {"aws:a": "b"}})),
            "Tags.aws:a: keys that begin with aws: are AWS's own (given: \"b\")",
        ),
        // ours, once nothing of AWS's is broken
        (
            (queue, pollers(json!({"MinimumPollers": 2, "PollerGroupName": "ours"}))),
            "ProvisionedPollerConfig.PollerGroupName is not supported yet by this version of esmd",
        ),
    ];
    cases.into_iter().map(|(asked, message)| (asked, message.to_owned())).collect()
}

impl Daemon {
    async fn assert_refused(&self, name: &str, document: &Value, message: &str) {
        let page = self.send("POST", LAMBDA, &document.to_string()).await;
        assert_eq!(page.status, 400, "{document}: {}", page.body);
        assert!(page.head.contains(&format!("\r\nx-amzn-errortype: {name}\r\n")), "{document}: {}", page.head);
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        let expected = match name {
            "ValidationException" => json!({"message": message}),
            _ => json!({"Type": "User", "message": message}),
        };
        assert_eq!(answer, expected, "{document}");
    }

    async fn assert_nothing_was_made(&self) {
        let listed = self.json("GET", LAMBDA, &Value::Null).await.1;
        assert_eq!(listed["EventSourceMappings"], json!([]));
    }

    /// Makes a mapping and returns its UUID once it is in no transition.
    pub(crate) async fn settled(&self, document: &Value) -> String {
        let (status, made) = self.json("POST", LAMBDA, document).await;
        assert_eq!(status, 202, "{document}: {made}");
        let uuid = made["UUID"].as_str().unwrap().to_owned();
        while self.json("GET", &format!("{LAMBDA}{uuid}"), &Value::Null).await.1["State"] != "Disabled" {}
        uuid
    }
}

fn queue() -> Value {
    queue_mapping()
}

fn fifo() -> Value {
    merged(queue_mapping(), &json!({"EventSourceArn": format!("{QUEUE}.fifo")}))
}

fn stream() -> Value {
    merged(stream_mapping(), &json!({"EventSourceArn": STREAM, "Enabled": false}))
}

fn table() -> Value {
    merged(stream(), &json!({"EventSourceArn": TABLE}))
}

fn merged(mut document: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:111111111111:table/users/stream/2026-01-31T09:30:00.000";
const DESTINATION: &str = "arn:aws:sqs:eu-west-1:111111111111:done";
const LARGE_BATCH: &str =
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10";
const FIFO_WINDOW: &str = "Batching window is not supported for FIFO queues";
const AGE: &str = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)";
const TUMBLING_FACTOR: &str = "Parallelization factor must be equal to 1 when tumbling window period is configured";
const POLLERS: &str =
    "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 10000]";
const POLLERS_AND_CONCURRENCY: &str = "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use \
                                       MaximumPollers as the control mechanism and remove maximum concurrency.";
