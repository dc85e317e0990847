//! Lambda's routes for mappings, by the AWS SDK and by hand, and the same routes in esmd's own dialect
//! (`docs/semantics.md` 1).

use std::path::Path;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::types::EventSourcePosition;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use esmd::config::LoadedFile;
use serde_json::{Value, json};

use crate::controlled::{Outside, REGION, environment};
use crate::fakes::{self, stream::FakeStream};
use crate::{Daemon, STREAM, http};

#[tokio::test]
async fn the_sdk_makes_reads_lists_changes_and_deletes_a_mapping() {
    let daemon = Daemon::start().await;
    let client = client(&daemon);

    let request = client.create_event_source_mapping().event_source_arn(STREAM).function_name("worker:live");
    let made = request.starting_position(EventSourcePosition::TrimHorizon).batch_size(7).send().await.unwrap();
    let uuid = made.uuid.clone().unwrap();
    assert_eq!(made.state(), Some("Creating"));
    assert_eq!(made.function_arn(), Some("arn:aws:lambda:eu-west-1:111111111111:function:worker:live"));
    let arn = format!("arn:aws:lambda:eu-west-1:111111111111:event-source-mapping:{uuid}");
    assert_eq!(made.event_source_mapping_arn(), Some(arn.as_str()));

    until_state(&client, &uuid, "Enabled").await;
    daemon.stream.put("a", "0");
    while daemon.outside.target.succeeded().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let read = client.get_event_source_mapping().uuid(&uuid).send().await.unwrap();
    assert_eq!((read.batch_size(), read.last_processing_result()), (Some(7), Some("OK")));
    let listed = client.list_event_source_mappings().event_source_arn(STREAM).send().await.unwrap();
    assert_eq!(listed.event_source_mappings().len(), 1);

    let changed = client.update_event_source_mapping().uuid(&uuid).enabled(false).send().await.unwrap();
    assert_eq!(changed.state(), Some("Disabling"));
    until_state(&client, &uuid, "Disabled").await;
    let deleted = client.delete_event_source_mapping().uuid(&uuid).send().await.unwrap();
    assert_eq!(deleted.state(), Some("Deleting"));
    let gone = async {
        while client.get_event_source_mapping().uuid(&uuid).send().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}

/// `docs/semantics.md` 1.1, 1.5: the members that AWS has, and its header.
#[tokio::test]
async fn an_answer_has_awss_members_and_headers() {
    let daemon = Daemon::start().await;
    let page = daemon.send("POST", LAMBDA, &stream_mapping().to_string()).await;

    assert_eq!(page.status, 202);
    assert!(page.head.contains("\r\ncontent-type: application/json\r\n"), "{}", page.head);
    assert!(page.head.contains("\r\nx-amzn-requestid: "), "{}", page.head);
    let body: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(body["StateTransitionReason"], "User action");
    assert_eq!(body["LastProcessingResult"], "No records processed");
    assert_eq!(body["DestinationConfig"], json!({"OnFailure": {}}));
    assert!(body["LastModified"].is_number());
}

/// `docs/semantics.md` 1.5, 1.12 and 9 (invariants 9, 27)
#[tokio::test]
async fn filters_under_a_key_are_shown_byte_for_byte_but_not_listed() {
    let daemon = Daemon::start().await;
    let (key, pattern) =
        ("arn:aws:kms:eu-west-1:111111111111:key/6f1c2d34", "{ \"body\" :{\"a\": [ 1.50,\"\\u00e4\" ] } }");
    let mut document = queue_mapping();
    document["FilterCriteria"] = json!({"Filters": [{"Pattern": pattern}]});
    document["KMSKeyArn"] = json!(key);

    let (status, made) = daemon.json("POST", LAMBDA, &document).await;
    assert_eq!(status, 202, "{made}");
    let path = format!("{LAMBDA}{}", made["UUID"].as_str().unwrap());
    let listed = || async { daemon.json("GET", LAMBDA, &Value::Null).await.1["EventSourceMappings"][0].clone() };
    for shown in [&made, &daemon.json("GET", &path, &Value::Null).await.1] {
        assert_eq!(shown["FilterCriteria"]["Filters"][0]["Pattern"], pattern);
        assert_eq!(shown["KMSKeyArn"], key);
    }
    assert_eq!((&listed().await["KMSKeyArn"], &listed().await["FilterCriteria"]), (&json!(key), &Value::Null));

    assert_eq!(daemon.json("PUT", &path, &json!({"KMSKeyArn": ""})).await.0, 202);
    assert_eq!(listed().await["FilterCriteria"]["Filters"][0]["Pattern"], pattern, "no key hides them any more");
    assert_eq!(daemon.json("PUT", &path, &json!({"KMSKeyArn": key})).await.1["KMSKeyArn"], key);
    let cleared = daemon.json("PUT", &path, &json!({"FilterCriteria": {}})).await.1;
    assert_eq!((&cleared["FilterCriteria"], &cleared["KMSKeyArn"]), (&Value::Null, &Value::Null));
}

/// `docs/semantics.md` 1.2, 1.6 and 9 (invariants 7, 8, 21)
#[tokio::test]
#[allow(clippy::too_many_lines)] // a table
async fn every_error_has_awss_form() {
    let daemon = Daemon::start().await;
    let made = daemon.json("POST", LAMBDA, &stream_mapping()).await.1;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    let with = |member: &str, value: Value| {
        let mut document = stream_mapping();
        document["FunctionName"] = "other".into();
        document[member] = value;
        document
    };
    let occupied = format!(
        "The event source arn (\" {STREAM} \") and function (\" worker \") provided mapping already exists. Please \
         update or delete the existing mapping with UUID {uuid}"
    );
    let missing = "The resource you requested does not exist.";
    let nobody = format!("{LAMBDA}6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d");
    let region = "EventSourceArn: the source must be in the configured region, eu-west-1 (given: \
                  \"arn:aws:kinesis:us-east-1:111111111111:stream/orders\")";
    let esmd = "Esmd is no member of Lambda's API: send the document to /esmd/v1/mappings";
    let cases: &[(&str, &str, Value, u16, &str, &str, &str)] = &[
        ("POST", LAMBDA, stream_mapping(), 409, "ResourceConflictException", "message", &occupied),
        ("GET", &nobody, Value::Null, 404, "ResourceNotFoundException", "Message", missing),
        ("PUT", &nobody, json!({}), 404, "ResourceNotFoundException", "Message", missing),
        ("DELETE", &nobody, Value::Null, 404, "ResourceNotFoundException", "Message", missing),
        ("GET", &format!("{LAMBDA}nonsense"), Value::Null, 404, "ResourceNotFoundException", "Message", missing),
        (
            "POST",
            LAMBDA,
            with("EventSourceArn", json!("arn:aws:kinesis:us-east-1:111111111111:stream/orders")),
            400,
            "InvalidParameterValueException",
            "message",
            region,
        ),
        (
            "POST",
            LAMBDA,
            with("Esmd", json!({"FunctionTimeout": 5})),
            400,
            "InvalidParameterValueException",
            "message",
            esmd,
        ),
        (
            "POST",
            LAMBDA,
            with("BatchSize", json!("ten")),
            400,
            "InvalidRequestContentException",
            "message",
            "BatchSize: invalid type: string \"ten\", expected i64",
        ),
        (
            "GET",
            &format!("{LAMBDA}?MaxItems=0"),
            Value::Null,
            400,
            "ValidationException",
            "message",
            "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have \
             value greater than or equal to 1",
        ),
    ];
    for (method, path, body, status, name, member, message) in cases {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let page = daemon.send(method, path, &body).await;
        assert_eq!(page.status, *status, "{method} {path} {body}: {}", page.body);
        assert!(page.head.contains(&format!("\r\nx-amzn-errortype: {name}\r\n")), "{}", page.head);
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(answer[member], *message);
        let origin = if *name == "ValidationException" { Value::Null } else { "User".into() };
        assert_eq!(answer["Type"], origin, "{method} {path} {body}");
    }
    let listed = daemon.json("GET", LAMBDA, &Value::Null).await.1;
    assert_eq!(listed["EventSourceMappings"].as_array().unwrap().len(), 1, "nothing was made");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_large_is_refused() {
    let daemon = Daemon::start().await;

    let broken = daemon.send("POST", LAMBDA, "{\"BatchSize\": ").await;
    let large = daemon.send("POST", LAMBDA, &" ".repeat(3_000_000)).await;

    assert_eq!(broken.status, 400);
    assert!(broken.body.contains("Could not parse request body into json: "), "{}", broken.body);
    assert_eq!(large.status, 413);
    assert!(large.head.contains("\r\nx-amzn-errortype: RequestTooLargeException\r\n"), "{}", large.head);
}

/// A list where an object belongs could be read by position.
#[tokio::test]
async fn a_body_of_another_shape_is_refused_and_makes_nothing() {
    let daemon = Daemon::start().await;
    let mut with_list = stream_mapping();
    with_list["DestinationConfig"] = json!([null, null]);
    let mut with_huge = stream_mapping();
    with_huge["BatchSize"] = json!(u64::MAX);
    let bodies = [
        String::new(),
        "null".to_owned(),
        "7".to_owned(),
        json!(["worker", STREAM, true]).to_string(),
        with_list.to_string(),
        with_huge.to_string(),
        stream_mapping().to_string().replace('}', r#","BatchSize":1e400}"#),
        stream_mapping().to_string().replace('}', r#","BatchSize":2.5}"#),
    ];
    let uuid = daemon.json("POST", LAMBDA, &queue_mapping()).await.1["UUID"].as_str().unwrap().to_owned();
    for body in &bodies {
        for (method, path) in [("POST", LAMBDA.to_owned()), ("PUT", format!("{LAMBDA}{uuid}"))] {
            let page = daemon.send(method, &path, body).await;
            assert_eq!(page.status, 400, "{method} {body}: {}", page.body);
            assert!(page.head.contains("\r\nx-amzn-errortype: InvalidRequestContentException\r\n"), "{}", page.head);
            assert!(!page.body.contains("struct"), "{}", page.body);
        }
    }
    assert_eq!(daemon.json("GET", LAMBDA, &Value::Null).await.1["EventSourceMappings"].as_array().unwrap().len(), 1);
}

/// `docs/semantics.md` 1.1: members that nobody knows are skipped, and so is a UUID in a body.
#[tokio::test]
async fn unknown_members_and_a_bodys_uuid_are_skipped() {
    let daemon = Daemon::start().await;
    let uuid = daemon.json("POST", LAMBDA, &queue_mapping()).await.1["UUID"].as_str().unwrap().to_owned();

    let change = json!({"UUID": "another", "BatchSice": 7, "BatchSize": 5});
    let (status, changed) = daemon.json("PUT", &format!("{LAMBDA}{uuid}"), &change).await;

    assert_eq!((status, &changed["UUID"], &changed["BatchSize"]), (202, &json!(uuid), &json!(5)));
}

#[tokio::test]
async fn a_path_is_decoded_once_and_one_that_names_nothing_is_missing() {
    let daemon = Daemon::start().await;
    let uuid = daemon.json("POST", LAMBDA, &queue_mapping()).await.1["UUID"].as_str().unwrap().to_owned();
    let statuses = [
        (uuid.replace('-', "%2D"), 200),
        (uuid.replace('-', "%252D"), 404),
        ("%FF".to_owned(), 404),
        ("%2F".to_owned(), 404),
        (format!("{uuid}%20"), 404),
        (uuid.replace('-', ""), 404),
        (format!("%7B{uuid}%7D"), 404),
        (format!("urn:uuid:{uuid}"), 404),
    ];
    for (path, status) in statuses {
        let page = daemon.send("GET", &format!("{LAMBDA}{path}"), "").await;
        assert_eq!(page.status, status, "{path}: {}", page.body);
        let is_named = page.head.contains("\r\nx-amzn-errortype: ResourceNotFoundException\r\n");
        assert_eq!(is_named, status == 404, "{path}: {}", page.head);
    }
    assert_eq!(daemon.send("HEAD", &format!("{LAMBDA}{uuid}"), "").await.status, 200);
    assert_eq!(daemon.send("OPTIONS", LAMBDA, "").await.status, 501);
    let twice = daemon.json("GET", &format!("{LAMBDA}?MaxItems=0&MaxItems=1"), &Value::Null).await;
    assert_eq!(twice.0, 200, "the last one counts: {}", twice.1);
}

/// `docs/semantics.md` 1.10: what stands on a later page is neither repeated nor lost by what goes meanwhile.
#[tokio::test]
async fn pages_go_on_after_a_marker_that_was_deleted() {
    let daemon = Daemon::start().await;
    for number in 0..6 {
        let mut mapping = queue_mapping();
        mapping["FunctionName"] = format!("worker-{number}").into();
        daemon.json("POST", LAMBDA, &mapping).await;
    }
    let first = daemon.json("GET", &format!("{LAMBDA}?MaxItems=3"), &Value::Null).await.1;
    let marker = first["NextMarker"].as_str().unwrap();
    for mapping in first["EventSourceMappings"].as_array().unwrap() {
        daemon.json("DELETE", &format!("{LAMBDA}{}", mapping["UUID"].as_str().unwrap()), &Value::Null).await;
    }

    let second = daemon.json("GET", &format!("{LAMBDA}?MaxItems=3&Marker={marker}"), &Value::Null).await.1;

    assert_eq!(second["EventSourceMappings"].as_array().unwrap().len(), 3);
    assert_eq!(second["NextMarker"], Value::Null);
}

#[tokio::test]
async fn a_path_is_served_with_and_without_a_slash_at_its_end() {
    let daemon = Daemon::start().await;
    let without = LAMBDA.trim_end_matches('/');
    let uuid = daemon.json("POST", without, &stream_mapping()).await.1["UUID"].as_str().unwrap().to_owned();

    for path in [LAMBDA.to_owned(), without.to_owned(), format!("{LAMBDA}{uuid}"), format!("{LAMBDA}{uuid}/")] {
        assert_eq!(daemon.json("GET", &path, &Value::Null).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn other_routes_of_lambda_are_named_as_not_served() {
    let daemon = Daemon::start().await;
    let functions = "/2015-03-31/functions/worker/invocations";
    for (method, path) in [("POST", functions), ("PUT", "/2017-03-31/tags/arn"), ("PATCH", LAMBDA)] {
        let page = daemon.send(method, path, "").await;
        assert_eq!(page.status, 501, "{method} {path}");
        assert!(page.head.contains("\r\nx-amzn-errortype: NotImplementedException\r\n"), "{}", page.head);
        assert!(page.body.contains(&format!("esmd does not serve {method} {path}.")), "{}", page.body);
    }
    assert_eq!(daemon.send("GET", "/nothing", "").await.status, 404);
}

/// `docs/semantics.md` 1.10 and 9 (invariants 22, 23)
#[tokio::test]
async fn a_list_is_filtered_and_comes_in_pages() {
    let daemon = Daemon::start().await;
    for number in 0..105 {
        let mut mapping = queue_mapping();
        mapping["FunctionName"] = format!("worker-{number}").into();
        assert_eq!(daemon.json("POST", LAMBDA, &mapping).await.0, 202);
    }
    let mut live = queue_mapping();
    live["FunctionName"] = "worker-0:live".into();
    assert_eq!(daemon.json("POST", LAMBDA, &live).await.0, 202);
    let list = async |query: &str| {
        let page = daemon.json("GET", &format!("{LAMBDA}?{query}"), &Value::Null).await.1;
        (page["EventSourceMappings"].as_array().unwrap().clone(), page["NextMarker"].clone())
    };

    let (first, marker) = list("MaxItems=500").await;
    let (second, end) = list(&format!("Marker={}", marker.as_str().unwrap())).await;
    assert_eq!((first.len(), second.len(), end), (100, 6, Value::Null));
    assert!(!first.contains(&second[0]));
    let counts = [
        ("FunctionName=worker-0", 1),
        ("FunctionName=worker-0:live", 1),
        ("FunctionName=arn:aws:lambda:eu-west-1:111111111111:function:worker-0:live", 1),
        ("FunctionName=nobody", 0),
        (&format!("EventSourceArn={QUEUE}&MaxItems=5"), 5),
        (&format!("EventSourceArn={QUEUE}&FunctionName=worker-7"), 1),
        (&format!("EventSourceArn={STREAM}"), 0),
        ("Marker=nonsense", 0),
    ];
    for (query, count) in counts {
        assert_eq!(list(query).await.0.len(), count, "{query}");
    }
    let empty = daemon.send("GET", &format!("{LAMBDA}?FunctionName=nobody"), "").await;
    assert_eq!(empty.body, r#"{"EventSourceMappings":[],"NextMarker":null}"#);
}

#[tokio::test]
async fn esmds_own_routes_take_and_show_what_aws_does_not_have() {
    let daemon = Daemon::start().await;
    let mut mapping = stream_mapping();
    mapping["Esmd"] = json!({"FunctionTimeout": 30});

    let (status, made) = daemon.json("POST", ESMD, &mapping).await;
    let uuid = made["UUID"].as_str().unwrap();
    assert_eq!((status, &made["Esmd"]), (202, &json!({"FunctionTimeout": 30})));
    let by_lambda = daemon.json("GET", &format!("{LAMBDA}{uuid}"), &Value::Null).await.1;
    assert_eq!(by_lambda.get("Esmd"), None);
    let listed = daemon.json("GET", ESMD, &Value::Null).await.1;
    assert_eq!(listed["EventSourceMappings"][0]["Esmd"]["FunctionTimeout"], 30);
}

#[tokio::test]
async fn a_mapping_of_the_file_is_shown_and_refuses_changes_with_the_files_name() {
    let clock = fakes::clock();
    let stream = FakeStream::new(clock.clone(), STREAM, 1);
    let text = json!({"mappings": [stream_mapping()]}).to_string();
    let path = Path::new("/etc/esmd/esmd.yaml");
    let file = LoadedFile::judge(path, text, &environment(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    let outside = Outside::new(clock).with_source(STREAM, stream.clone());
    let daemon = Daemon::start_with(outside, stream, Some(file)).await;

    let listed = daemon.json("GET", ESMD, &Value::Null).await.1;
    let shown = &listed["EventSourceMappings"][0];
    assert_eq!(shown["DeclaredIn"], "/etc/esmd/esmd.yaml");
    let path = format!("{LAMBDA}{}", shown["UUID"].as_str().unwrap());
    for (method, body) in [("PUT", json!({"BatchSize": 5})), ("DELETE", Value::Null)] {
        let (status, answer) = daemon.json(method, &path, &body).await;
        let message = "the mapping is declared in /etc/esmd/esmd.yaml: change it there";
        assert_eq!((status, answer["message"].as_str()), (409, Some(message)), "{method}");
    }
    assert_eq!(daemon.json("GET", &path, &Value::Null).await.1.get("DeclaredIn"), None, "AWS has no such member");
}

/// A page in a browser on this machine can send requests here; it may not make mappings.
#[tokio::test]
async fn requests_of_web_pages_are_refused() {
    let daemon = Daemon::start().await;
    let body = stream_mapping().to_string();
    let origin = [("Origin", "https://example.com"), ("Content-Type", "text/plain")];

    let sent = http::send(daemon.address, "POST", LAMBDA, &origin, &body).await.unwrap();
    let named = http::exchange(daemon.address, &format!("GET {LAMBDA} HTTP/1.0\r\nHost: evil.example\r\n\r\n")).await;

    assert_eq!((sent.status, named.unwrap().status), (403, 403));
    for (host, status) in
        [("", 200), ("Host: LOCALHOST:9900\r\n", 200), ("Host: [::1]:9900\r\n", 200), ("Host: \r\n", 403)]
    {
        let page = http::exchange(daemon.address, &format!("GET {LAMBDA} HTTP/1.0\r\n{host}\r\n")).await.unwrap();
        assert_eq!(page.status, status, "{host}");
    }
    let listed = daemon.json("GET", LAMBDA, &Value::Null).await.1;
    assert_eq!(listed["EventSourceMappings"], json!([]));
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_a_service_exception() {
    let daemon = Daemon::start().await;
    daemon.memory.set_unavailable(true);

    let page = daemon.send("POST", LAMBDA, &stream_mapping().to_string()).await;

    assert_eq!(page.status, 500);
    assert!(page.head.contains("\r\nx-amzn-errortype: ServiceException\r\n"), "{}", page.head);
}

impl Daemon {
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> http::Page {
        http::send(self.address, method, path, &[("Content-Type", "application/json")], body).await.unwrap()
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let page = self.send(method, path, &body).await;
        (page.status, serde_json::from_str(&page.body).unwrap())
    }
}

pub(crate) fn stream_mapping() -> Value {
    json!({"EventSourceArn": STREAM, "FunctionName": "worker", "StartingPosition": "TRIM_HORIZON"})
}

pub(crate) fn queue_mapping() -> Value {
    json!({"EventSourceArn": QUEUE, "FunctionName": "worker", "Enabled": false})
}

async fn until_state(client: &Client, uuid: &str, wanted: &str) {
    let reached = async {
        while client.get_event_source_mapping().uuid(uuid).send().await.unwrap().state() != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("{uuid} was never {wanted}"));
}

pub(crate) fn client(daemon: &Daemon) -> Client {
    let http_client =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .endpoint_url(format!("http://{}", daemon.address))
        .retry_config(RetryConfig::disabled())
        .http_client(http_client);
    Client::from_conf(config.build())
}

pub(crate) const LAMBDA: &str = "/2015-03-31/event-source-mappings/";
const ESMD: &str = "/esmd/v1/mappings";
pub(crate) const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:orders";
const LIMIT: Duration = Duration::from_secs(10);
