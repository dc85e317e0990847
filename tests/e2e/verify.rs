//! `esmd verify` on real servers: what its verdict is, how it is told, and that nothing of a run stays behind.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::aws::{self, Stream};
use crate::support::servers::{self, Server};

#[tokio::test]
async fn a_fifo_queue_that_keeps_its_promises_is_fine() {
    for server in [servers::ministack(), servers::fauxqs()] {
        let verdict = verify(&server, "--source sqs-fifo --create --records 60 --keys 5 --kill 1 --fail 0.1").await;

        assert_eq!(verdict.code, 0, "{}: {:#}", server.name, verdict.report);
        let run = &verdict.report["runs"][0];
        assert_eq!(run["server"]["figures"]["received"], 60);
        assert_eq!(run["path"]["figures"]["delivered"], 60);
        assert_eq!(run["path"]["figures"]["kills"], 1);
    }
}

#[tokio::test]
async fn a_standard_queue_gives_up_what_never_succeeds() {
    let arguments = "--source sqs --create --records 40 --poison 1 --partial 0.1 --visibility-timeout 3";
    let verdict = verify(&servers::ministack(), arguments).await;

    assert_eq!(verdict.code, 0, "{:#}", verdict.report);
    assert_eq!(verdict.report["runs"][0]["path"]["figures"]["lost"], 0);
    assert!(verdict.report["runs"][0]["path"]["figures"]["given_up"].as_u64() >= Some(1), "{:#}", verdict.report);
}

#[tokio::test]
async fn a_stream_that_is_split_and_merged_is_fine() {
    let arguments = "--source kinesis --create --records 100 --reshard 2 --kill 1 --poison 1 --maximum-retry-attempts 1 \
                     --bisect-batch-on-function-error --parallelization-factor 2 --batch-size 10";
    let verdict = verify(&servers::kinesis_local(), arguments).await;

    assert_eq!(verdict.code, 0, "{:#}", verdict.report);
    let run = &verdict.report["runs"][0];
    assert_eq!(run["server"]["figures"]["reshards"], 2);
    assert_eq!((&run["path"]["figures"]["delivered"], &run["path"]["figures"]["given_up"]), (&99.into(), &1.into()));
}

/// ministack drops a shard with its records when it is split.
#[tokio::test]
async fn what_a_server_loses_is_named_with_what_shows_it() {
    let server = servers::ministack();
    let verdict = verify(&server, "--source kinesis --create --records 300 --reshard 1 --within 5s").await;

    assert_eq!(verdict.code, 1, "{:#}", verdict.report);
    assert_eq!(verdict.report["verdict"], "violated");
    let violations = verdict.report["runs"][0]["server"]["violations"].as_array().expect("a list");
    let lineage = violations.iter().find(|violation| violation["kind"] == "lineage").expect("the shard vanishes");
    assert!(lineage["what"].as_str().unwrap().ends_with("is no longer listed"), "{lineage:#}");
    assert!(lineage["events"].as_array().unwrap().len() > 2, "{lineage:#}");
}

#[tokio::test]
async fn the_stream_of_a_table_is_fine() {
    for server in [servers::dynamodb_local(), servers::ministack()] {
        let verdict = verify(&server, "--source dynamodb --create --records 60 --fail 0.1 --kill 1").await;

        assert_eq!(verdict.code, 0, "{}: {:#}", server.name, verdict.report);
        assert_eq!(verdict.report["runs"][0]["path"]["figures"]["delivered"], 60);
    }
}

#[tokio::test]
async fn a_stream_of_the_users_own_may_hold_other_records() {
    let server = servers::kinesis_local();
    let stream = Stream::create(&server, 1).await;
    let other = aws::kinesis(&server).put_record().stream_name(&stream.name).partition_key("theirs");
    other.data(b"hello".to_vec().into()).send().await.unwrap();

    let verdict = verify(&server, &format!("--source kinesis --records 30 --arn {}", stream.arn)).await;

    assert_eq!(verdict.code, 0, "{:#}", verdict.report);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_gives_no_verdict() {
    let nobody = Server { name: "nobody", url: "http://127.0.0.1:9".to_owned() };
    let verdict = verify(&nobody, "--source sqs --create").await;

    assert_eq!(verdict.code, 2);
    assert!(verdict.told.contains("the server cannot be reached: CreateQueue"), "{}", verdict.told);
}

#[tokio::test]
async fn an_interrupted_run_removes_what_it_made() {
    for signal in ["INT", "TERM", "HUP"] {
        what_a_run_made_is_removed_on(signal).await;
    }
}

async fn what_a_run_made_is_removed_on(signal: &str) {
    let server = servers::ministack();
    let mut child = start(&server, "--source sqs --create --records 2000 --slow 1s --maximum-concurrency 2");
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = told.next_line().await.unwrap().expect("it says what it makes");
    let (_, name) = first.rsplit_once(' ').unwrap();
    tokio::time::timeout(Duration::from_secs(30), async {
        while queues(&server, name).await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("a queue is made");

    let kill = format!("kill -{signal} {}", child.id().expect("it runs"));
    Command::new("/bin/sh").args(["-c", &kill]).status().await.unwrap();

    let status = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(130), "{signal}");
    assert_eq!(queues(&server, name).await, 0, "{signal}");
}

struct Verdict {
    code: i32,
    report: Value,
    told: String,
}

async fn verify(server: &Server, arguments: &str) -> Verdict {
    let output = start(server, &format!("{arguments} -o json --seed 7")).wait_with_output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Verdict { code: output.status.code().expect("it ends by itself"), report, told }
}

fn start(server: &Server, arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_esmd"))
        .arg("verify")
        .args(arguments.split_whitespace())
        .args(["--endpoint-url", &server.url])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the built binary starts")
}

/// How many queues there are whose names begin so.
async fn queues(server: &Server, name: &str) -> usize {
    let listed = aws::sqs(server).list_queues().queue_name_prefix(name).send().await.unwrap();
    listed.queue_urls.unwrap_or_default().len()
}
