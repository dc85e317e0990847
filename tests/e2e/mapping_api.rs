//! The AWS CLI, as it is, manages mappings of the built binary on each kind of source, and records flow accordingly.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::VISIBILITY;
use crate::load::settle;
use crate::support::aws::{Queue, Stream};
use crate::support::daemon::{Daemon, Installation};
use crate::support::function::Function;
use crate::support::ledger::{Entry, Ledger};
use crate::support::servers;
use crate::support::table::Table;

#[tokio::test]
async fn the_aws_cli_manages_a_mapping_of_a_standard_queue() {
    let queue = Queue::standard(&servers::ministack(), VISIBILITY).await;
    let arn = queue.arn.clone();
    manage(&arn, &[], async |entries| queue.send(&entries).await).await;
}

#[tokio::test]
async fn the_aws_cli_manages_a_mapping_of_a_fifo_queue() {
    let queue = Queue::fifo(&servers::ministack(), VISIBILITY).await;
    let arn = queue.arn.clone();
    manage(&arn, &[], async |entries| queue.send(&entries).await).await;
}

#[tokio::test]
async fn the_aws_cli_manages_a_mapping_of_a_stream() {
    let stream = Stream::create(&servers::ministack(), 2).await;
    let arn = stream.arn.clone();
    manage(&arn, STARTING, async |entries| drop(stream.put(&entries).await)).await;
}

#[tokio::test]
async fn the_aws_cli_manages_a_mapping_of_a_table() {
    let table = Table::create(&servers::ministack().url).await;
    let arn = table.stream_arn.clone();
    let put = async |entries: Vec<Entry>| {
        for entry in entries {
            table.put(&entry.key, entry.sequence).await;
        }
    };
    manage(&arn, STARTING, put).await;
}

/// `docs/semantics.md` 9 (invariant 109): AWS's text, as the CLI shows it.
#[tokio::test]
async fn the_aws_cli_is_told_that_a_pattern_is_invalid() {
    let server = servers::ministack();
    let queue = Queue::standard(&server, VISIBILITY).await;
    let daemon = Installation::new().with_sqs(&server).with_function(&Function::start()).start().await;
    let create = ["create-event-source-mapping", "--event-source-arn", &queue.arn, "--function-name", "worker"];
    for pattern in ["text", r#"{"body": "text"}"#, r#"{"body": [{"begins-with": "text"}]}"#] {
        let criteria = serde_json::json!({"Filters": [{ "Pattern": pattern }]}).to_string();

        let (code, _, error) = aws(&daemon, &[&create[..], &["--filter-criteria", &criteria]].concat()).await;

        let told = "(InvalidParameterValueException) when calling the CreateEventSourceMapping operation: Invalid filter \
                    pattern definition.";
        assert_ne!(code, 0, "{pattern}");
        assert!(error.contains(told), "{error}");
    }
}

/// `docs/semantics.md` 1.7: as real servers tell it.
#[tokio::test]
async fn the_aws_cli_is_told_what_is_not_there() {
    let (server, function) = (servers::ministack(), Function::start());
    let queue = Queue::standard(&server, VISIBILITY).await;
    let on_server = || Installation::new().with_sqs(&server).with_kinesis(&server).with_dynamodb_streams(&server);
    let daemon = on_server().with_function(&function).start().await;
    let prefix = |service| format!("arn:aws:{service}:us-east-1:000000000000:");
    let stream = format!("{}stream/nowhere", prefix("kinesis"));
    let table = format!("{}table/nowhere/stream/2026-01-31T09:30:00.000", prefix("dynamodb"));
    let create = async |daemon: &Daemon, source: &str, more: &[&str]| {
        let create = ["create-event-source-mapping", "--event-source-arn", source, "--function-name", "worker"];
        aws(daemon, &[&create, more].concat()).await.2
    };

    let no_queue = create(&daemon, &format!("{}nowhere", prefix("sqs")), &[]).await;
    assert!(
        no_queue.contains("NonExistentQueue. SQS Error Message: The specified queue does not exist."),
        "{no_queue}"
    );
    let no_stream = create(&daemon, &stream, STARTING).await;
    assert!(no_stream.contains(&format!("Stream not found: {stream}")), "{no_stream}");
    let no_table = create(&daemon, &table, STARTING).await;
    assert!(no_table.contains(&format!("Stream not found: {table}")), "{no_table}");

    function.set_timeout(60);
    let short = create(&daemon, &queue.arn, &[]).await;
    assert!(short.contains("Queue visibility timeout: 5 seconds is less than Function timeout: 60 seconds"), "{short}");
    function.hide_configuration();
    let unknown = create(&daemon, &queue.arn, &["--no-enabled"]).await;
    assert_eq!(unknown, "", "a server that does not describe functions refuses none");
    assert!(daemon.printed().contains("the server does not describe functions: it may not exist"));

    let without = on_server().with_variable("AWS_ENDPOINT_URL_LAMBDA", &server.url).start().await;
    let no_function = create(&without, &queue.arn, &[]).await;
    assert!(no_function.contains("Function does not exist"), "{no_function}");
}

/// Off loopback it would be the same: where secrets are given they are asked for.
#[tokio::test]
async fn the_aws_cli_signs_what_a_guarded_listener_asks_for() {
    let function = Function::start();
    let queue = Queue::standard(&servers::ministack(), VISIBILITY).await;
    let installation = Installation::new().with_sqs(&servers::ministack()).with_function(&function);
    let guarded = |secret| {
        let installation = installation.clone().with_variable("ESMD_ACCESS_KEY_ID", "test");
        installation.with_variable("ESMD_SECRET_ACCESS_KEY", secret)
    };
    let create = ["create-event-source-mapping", "--event-source-arn", &queue.arn, "--function-name", "worker"];

    let mut daemon = guarded("test").start().await;
    let made = succeed(&daemon, &create).await;
    change_tags(&daemon, made["EventSourceMappingArn"].as_str().unwrap()).await;
    daemon.terminate().await;
    let daemon = guarded("another").start().await;
    let refused = aws(&daemon, &["list-event-source-mappings"]).await.2;

    assert!(refused.contains("(InvalidSignatureException)"), "{refused}");
}

/// The life of a mapping. `send` takes one record of each key.
async fn manage(source: &str, starting: &[&str], mut send: impl AsyncFnMut(Vec<Entry>)) {
    let (server, function) = (servers::ministack(), Function::start());
    let installation = Installation::new()
        .with_sqs(&server)
        .with_kinesis(&server)
        .with_dynamodb_streams(&server)
        .with_function(&function);
    let mut daemon = installation.start().await;
    let mut ledger = Ledger::default();
    let entries = |ledger: &mut Ledger| (0..6).map(|key| ledger.next(&format!("key-{key}"))).collect();

    let create = ["create-event-source-mapping", "--event-source-arn", source, "--function-name", "worker"];
    let made = succeed(&daemon, &[&create[..], &["--batch-size", "5"], starting].concat()).await;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    assert_eq!((&made["State"], &made["BatchSize"]), (&"Creating".into(), &5.into()));
    until_state(&daemon, &uuid, "Enabled").await;
    let arn = made["EventSourceMappingArn"].as_str().unwrap();
    change_tags(&daemon, arn).await;
    let listed = succeed(&daemon, &["list-event-source-mappings", "--function-name", "worker"]).await;
    assert_eq!(listed["EventSourceMappings"][0]["UUID"], uuid.as_str());
    send(entries(&mut ledger)).await;
    settle(&mut ledger, &function).await;

    let update = ["update-event-source-mapping", "--uuid", &uuid];
    succeed(&daemon, &[&update, &["--batch-size", "1"][..]].concat()).await;
    until_state(&daemon, &uuid, "Enabled").await;
    let before = function.count();
    send(entries(&mut ledger)).await;
    settle(&mut ledger, &function).await;
    assert!(function.invocations_after(before).iter().all(|invocation| invocation.records().len() == 1));

    succeed(&daemon, &[&update, &["--no-enabled"][..]].concat()).await;
    until_state(&daemon, &uuid, "Disabled").await;
    let before = function.count();
    send(entries(&mut ledger)).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // longer than any poll here waits
    assert_eq!(function.count(), before, "a disabled mapping reads nothing");

    // What it settled must survive a crash as well.
    daemon.kill9().await;
    daemon = installation.start().await;
    succeed(&daemon, &[&update, &["--enabled"][..]].concat()).await;
    settle(&mut ledger, &function).await;
    ledger.assert_complete();
    assert_eq!(ledger.repeats(), 0, "each record once");

    until_state(&daemon, &uuid, "Enabled").await;
    let deleted = succeed(&daemon, &["delete-event-source-mapping", "--uuid", &uuid]).await;
    assert_eq!(deleted["State"], "Deleting");
    let gone = async {
        loop {
            let (code, _, error) = aws(&daemon, &["get-event-source-mapping", "--uuid", &uuid]).await;
            if code != 0 {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(LIMIT, gone).await.expect("the mapping goes");
    assert!(error.contains("(ResourceNotFoundException)"), "{error}");
    let second = aws(&daemon, &["delete-event-source-mapping", "--uuid", &uuid]).await;
    assert!(second.2.contains("The resource you requested does not exist."), "{}", second.2);
    assert!(daemon.terminate().await.status.success());
}

/// `docs/semantics.md` 1.11: the CLI sends the ARN percent-encoded, and expects empty answers.
async fn change_tags(daemon: &Daemon, arn: &str) {
    for change in [&["tag-resource", "--tags", "team=blue,stage=test"][..], &["untag-resource", "--tag-keys", "stage"]]
    {
        let (code, _, error) = aws(daemon, &[change, &["--resource", arn]].concat()).await;
        assert_eq!(code, 0, "{change:?}: {error}");
    }
    let listed = succeed(daemon, &["list-tags", "--resource", arn]).await;
    assert_eq!(listed["Tags"], serde_json::json!({"team": "blue"}));
}

async fn until_state(daemon: &Daemon, uuid: &str, wanted: &str) {
    let reached =
        async { while succeed(daemon, &["get-event-source-mapping", "--uuid", uuid]).await["State"] != wanted {} };
    assert!(tokio::time::timeout(LIMIT, reached).await.is_ok(), "{uuid} was never {wanted}");
}

async fn succeed(daemon: &Daemon, arguments: &[&str]) -> Value {
    let (code, output, error) = aws(daemon, arguments).await;
    assert_eq!(code, 0, "aws lambda {}: {error}", arguments.join(" "));
    serde_json::from_str(&output).unwrap()
}

/// Runs `aws lambda`; answers its exit code and what it printed: the answer, and errors.
pub(crate) async fn aws(daemon: &Daemon, arguments: &[&str]) -> (i32, String, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/aws");
    let output = Command::new(program)
        .args(["--endpoint-url", &format!("http://{}", daemon.listen()), "--region", "us-east-1", "--output", "json"])
        .arg("lambda")
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("`make test` installs the AWS CLI");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

const STARTING: &[&str] = &["--starting-position", "TRIM_HORIZON"];
const ENVIRONMENT: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("LC_ALL", "C.UTF-8"),
];
const LIMIT: Duration = Duration::from_mins(1);
