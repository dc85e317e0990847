//! `esmd mapping`, as a process, on the routes: what it sends, what it shows, and how it ends.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::mappings::QUEUE;
use crate::signing::{KEY, SECRET};
use crate::{Daemon, STREAM};

#[tokio::test]
async fn the_command_line_makes_shows_changes_and_deletes_a_mapping() {
    let daemon = Daemon::start().await;
    let create = "create --function-name worker:live --starting-position TRIM_HORIZON --batch-size 7 --wait -o json \
                  --maximum-retry-attempts -1 --maximum-record-age-in-seconds 60 --bisect-batch-on-function-error \
                  --report-batch-item-failures --tag team=blue --event-source-arn";

    let made = daemon.shown(&[create, STREAM].join(" ")).await;
    let uuid = made["UUID"].as_str().unwrap();
    assert_eq!(made["State"], "Enabled", "it waited");
    assert_eq!((&made["BatchSize"], &made["MaximumRecordAgeInSeconds"]), (&json!(7), &json!(60)));
    assert_eq!(made["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));

    let read = daemon.run(&format!("get {uuid}")).await;
    assert!(read.1.lines().any(|line| line.split_whitespace().eq(["State", "Enabled"])), "{}", read.1);
    let listed = daemon.run("list").await;
    assert!(listed.1.starts_with("UUID  ") && listed.1.contains(&format!("{uuid}  Enabled  {STREAM}  worker:live  ")));
    let disabled = daemon.shown(&format!("disable {uuid} --wait -o json")).await;
    assert_eq!(disabled["State"], "Disabled");
    let enabled = daemon.shown(&format!("enable {uuid} --wait -o json")).await;
    assert_eq!(enabled["State"], "Enabled");
    let change = format!("update {uuid} --batch-size 9 --no-bisect-batch-on-function-error --wait -o yaml");
    let changed = daemon.run(&change).await;
    for line in ["BatchSize: 9", "BisectBatchOnFunctionError: false", "UUID: 00000000-0000-0000-0000-000000000001"] {
        assert!(changed.1.lines().any(|shown| shown == line), "{}", changed.1);
    }
    let deleted = daemon.run(&format!("delete {uuid} --wait")).await;
    assert_eq!(deleted.0, 0, "{}", deleted.2);
    assert!(daemon.control().list().is_empty(), "it waited");
}

#[tokio::test]
async fn a_mapping_may_stand_in_a_file_with_members_that_aws_does_not_have() {
    let daemon = Daemon::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.yaml");
    let text = format!("EventSourceArn: {QUEUE}\nFunctionName: worker\nBatchSize: 5\nEsmd: {{FunctionTimeout: 30}}\n");
    std::fs::write(&file, text).unwrap();

    let made = daemon.shown(&format!("create --no-enabled --batch-size 6 -o json --file {}", file.display())).await;

    assert_eq!((&made["State"], &made["BatchSize"]), (&json!("Disabled"), &json!(6)), "options count before the file");
    assert_eq!(made["Esmd"], json!({"FunctionTimeout": 30}));
}

#[tokio::test]
async fn a_list_holds_every_page() {
    let daemon = Daemon::start().await;
    for number in 0..103 {
        let mapping = json!({"EventSourceArn": QUEUE, "FunctionName": format!("worker-{number}"), "Enabled": false});
        assert_eq!(daemon.json("POST", crate::mappings::LAMBDA, &mapping).await.0, 202);
    }
    let all = daemon.shown("list --output json").await;
    let one = daemon.shown(&format!("list -o json --function-name worker-7 --event-source-arn {QUEUE}")).await;
    let none = daemon.run("list --function-name nobody").await;

    assert_eq!(all["EventSourceMappings"].as_array().unwrap().len(), 103);
    assert_eq!(one["EventSourceMappings"].as_array().unwrap().len(), 1);
    assert_eq!(none.1, "UUID  STATE  SOURCE  FUNCTION  NOTE\n");
}

#[tokio::test]
async fn what_is_refused_is_told_in_the_apis_words_and_ends_with_code_1() {
    let daemon = Daemon::start().await;
    let nobody = "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
    for (arguments, told) in [
        (format!("get {nobody}"), "error: ResourceNotFoundException: The resource you requested does not exist."),
        ("create --function-name worker".to_owned(), "InvalidParameterValueException: Unrecognized event source."),
        ("update x/../y --batch-size 1".to_owned(), "ResourceNotFoundException"),
    ] {
        let (code, output, error) = daemon.run(&arguments).await;
        assert_eq!((code, output.as_str()), (1, ""), "{arguments}");
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn requests_are_signed_with_the_environments_access_key() {
    let daemon = Daemon::start_guarded().await;
    let keys = |secret| [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_REGION", "eu-west-1")];

    let create = format!("create --event-source-arn {QUEUE} --function-name a --no-enabled");
    let signed = daemon.run_with(&create, &keys(SECRET)).await;
    let wrong = daemon.run_with("list", &keys("wrong")).await;
    let nobody = daemon.run_with("list", &[("AWS_REGION", "eu-west-1")]).await;

    assert_eq!(signed.0, 0, "{}", signed.2);
    assert!(wrong.2.starts_with("error: InvalidSignatureException: "), "{}", wrong.2);
    assert!(nobody.2.ends_with("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an access key that esmd knows\n"));
    assert_eq!((wrong.0, nobody.0), (1, 1));
}

impl Daemon {
    /// What a command that succeeds prints, as JSON.
    async fn shown(&self, arguments: &str) -> Value {
        let (code, output, error) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments}: {error}");
        serde_json::from_str(&output).unwrap()
    }

    /// Runs `esmd mapping`; answers its exit code and what it printed.
    async fn run(&self, arguments: &str) -> (i32, String, String) {
        self.run_with(arguments, &[]).await
    }

    async fn run_with(&self, arguments: &str, variables: &[(&str, &str)]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_esmd"))
            .arg("mapping")
            .args(arguments.split_whitespace())
            .env_clear()
            .env("ESMD_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}
