//! The command line: the built binary as a user meets it, and that flags, environment, file and documentation speak of
//! the same settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use axum::http::{HeaderMap, StatusCode};
use clap::{CommandFactory as _, Parser as _};
use esmd::cli::Arguments;
use esmd::config::ConfigFile;
use esmd::config::environment::Environment;
use esmd::config::settings::{GivenSettings, SETTINGS, Settings};
use esmd::mapping::document::FIELDS;

#[test]
fn the_example_is_valid() {
    let output = esmd(&["check", EXAMPLE]);

    assert_eq!(text(&output.stdout), format!("{EXAMPLE}: ok, 4 mappings\n"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_configuration_that_is_shipped_is_valid() {
    let elsewhere = ["demo", "deploy"].into_iter().flat_map(|folder| files_below(Path::new(folder)));
    let elsewhere = elsewhere.filter(|path| path.ends_with("esmd.yaml"));
    let configurations: Vec<_> = files_below(Path::new("config")).into_iter().chain(elsewhere).collect();

    assert!(configurations.len() > 7, "only {configurations:?} was found");
    for path in configurations {
        let output = esmd(&["check", path.to_str().expect("the path is text")]);

        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

#[test]
fn the_example_gives_every_setting_its_default() {
    let example = std::fs::read_to_string(EXAMPLE).expect("the example is there");
    let environment = Environment { state_directory: Some("/state".into()), ..Environment::default() };
    let file = ConfigFile::parse(&example, &environment, jiff::Timestamp::UNIX_EPOCH).expect("the example is valid");
    let nothing = GivenSettings::default();

    let by_example = Settings::resolve(&nothing, &file.settings, &environment);

    assert_eq!(by_example, Settings::resolve(&nothing, &nothing, &environment));
    for setting in SETTINGS {
        let key = setting.key.rsplit('.').next().expect("a key is not empty");
        assert!(example.contains(&format!("{key}: ")), "the example leaves out {}", setting.key);
    }
}

#[test]
fn a_file_with_mistakes_is_shown_and_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("esmd.yaml");
    std::fs::write(&file, "drainTimeot: 30s\n").expect("the file is written");
    let file = file.to_str().expect("the path is text");

    for arguments in [&["check", file][..], &["run", "--config", file]] {
        let output = esmd(arguments);

        let expected = format!(
            "{file}:1:1: error: unknown key `drainTimeot`\n  |\n1 | drainTimeot: 30s\n  | ^^^^^^^^^^^ did you mean \
             `drainTimeout`?\n\n{file}: 1 problem\n"
        );
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(text(&output.stdout), "");
        assert_eq!(output.status.code(), Some(1));
    }
}

/// Names, shapes, ranges, combinations and settings are judged in one go.
#[test]
fn a_file_with_five_different_mistakes_is_told_all_five() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("esmd.yaml");
    let written = "\
drainTimeout: soon
mappings:
  - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:orders
    FunctionName: worker
    BatchSizes: 5
    Enabled: yes
    ScalingConfig: {MaximumConcurrency: 1}
  - EventSourceArn: arn:aws:kinesis:us-east-1:123456789012:stream/clicks
    FunctionName: worker
";
    std::fs::write(&file, written).expect("the file is written");
    let output = esmd(&["check", file.to_str().expect("the path is text")]);

    let told = text(&output.stderr);
    let expected = [
        ":1:15: error: invalid value for `drainTimeout`",
        ":5:5: error: unknown key `BatchSizes`",
        ":6:14: error: `Enabled`: expected true or false, found the text \"yes\"",
        ":7:41: error: `ScalingConfig.MaximumConcurrency`: Member must have value greater than or equal to 2",
        ":8:5: error: `StartingPosition` is missing",
    ];
    for mistake in expected {
        assert!(told.contains(mistake), "{mistake} is not in\n{told}");
    }
    assert!(told.contains("^^^^^^^^^^ did you mean `BatchSize`?") && told.ends_with(": 5 problems\n"), "{told}");
}

/// `orders` is on the server, `gone` is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_online_check_asks_for_each_mapping_and_tells_its_line() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it listens"));
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer_for_orders)).await });
    let directory = tempfile::tempdir().expect("a directory");
    let mapping = |queue: &&str| {
        format!("  - EventSourceArn: arn:aws:sqs:us-east-1:000000000000:{queue}\n    FunctionName: worker\n")
    };
    let check = |queues: &[&str]| {
        let file = directory.path().join("esmd.yaml");
        let text = format!("mappings:\n{}", queues.iter().map(mapping).collect::<String>());
        std::fs::write(&file, text).expect("the file is written");
        let mut command = command(&["check", "--online", file.to_str().expect("the path is text")]);
        let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
        command.env("AWS_ENDPOINT_URL", &endpoint).env("AWS_REGION", "us-east-1").envs(credentials);
        command.output().expect("it starts")
    };

    let both = check(&["orders", "gone"]);
    let told = text(&both.stderr);
    assert!(
        told.contains("esmd.yaml:2: warning: arn:aws:sqs:us-east-1:000000000000:orders: the queue has no"),
        "{told}"
    );
    assert!(told.contains("esmd.yaml:4: error: arn:aws:sqs:us-east-1:000000000000:gone: "), "{told}");
    assert!(told.contains("mappings that cannot run as they are: 1"), "{told}");
    assert_eq!(both.status.code(), Some(1));
    assert_eq!(check(&["orders"]).status.code(), Some(0), "a warning is no error");
}

async fn answer_for_orders(headers: HeaderMap, body: String) -> (StatusCode, &'static str) {
    let target = headers.get("x-amz-target").map_or("", |target| target.to_str().expect("it is text"));
    match target {
        "" => (StatusCode::OK, r#"{"Timeout": 3}"#), // the function
        "AmazonSQS.GetQueueUrl" if body.contains("orders") => {
            (StatusCode::OK, r#"{"QueueUrl": "http://127.0.0.1/000000000000/orders"}"#)
        }
        "AmazonSQS.GetQueueUrl" => {
            (StatusCode::BAD_REQUEST, r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no"}"#)
        }
        "AmazonSQS.GetQueueAttributes" => (StatusCode::OK, r#"{"Attributes": {"VisibilityTimeout": "30"}}"#),
        other => panic!("a check changes nothing and receives nothing: {other}"),
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_cause() {
    let output = esmd(&["check", "no-such-file.yaml"]);

    let expected =
        "error: configuration file no-such-file.yaml cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_configured_region_is_checked_offline() {
    let output = command(&["check", EXAMPLE]).env("AWS_REGION", "eu-west-1").output().expect("it starts");

    assert!(text(&output.stderr).ends_with(": 4 problems\n"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

/// What a mapping is known by depends on the region, which only the start knows for sure.
#[test]
fn two_mappings_that_the_region_makes_one_are_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("esmd.yaml");
    let table = "arn:aws:dynamodb:ddblocal:000000000000:table/orders/stream/2026-01-31T09:30:00.000";
    let mapping =
        |function| format!("  - {{EventSourceArn: '{table}', FunctionName: '{function}', StartingPosition: LATEST}}\n");
    let full = "arn:aws:lambda:us-east-1:000000000000:function:worker";
    std::fs::write(&file, format!("mappings:\n{}{}", mapping("worker"), mapping(full))).expect("the file is written");

    let output = command(&["run", "--listen", "127.0.0.1:0", "--config", file.to_str().expect("the path is text")])
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("STATE_DIRECTORY", directory.path())
        .output()
        .expect("it starts");

    let told = text(&output.stderr);
    assert!(told.contains(&format!("esmd.yaml:3:5: error: a second mapping of {table} to {full}")), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn wrong_usage_ends_with_code_2() {
    for arguments in [
        &[][..],
        &["walk"],
        &["check"],
        &["run", "--drain-timeout", "soon"],
        &["run", "--colour"],
        &["mapping"],
        &["mapping", "get"],
    ] {
        assert_eq!(esmd(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_a_verification_cannot_do_is_refused_with_the_reason() {
    for (arguments, reason) in [
        ("--source kinesis --create --receivers 2", "--receivers is for queues"),
        ("--source dynamodb --create --visibility-timeout 5", "--visibility-timeout is for queues"),
        ("--source sqs --create --reshard 1", "--reshard is for --source kinesis"),
        ("--source sqs --create --shards 2", "--shards is for --source kinesis"),
        ("--source sqs --create --records 5 --poison 6", "--poison is more than --records"),
        ("--source sqs --arn arn:aws:sqs:us-east-1:1:q --poison 1", "--poison needs a dead-letter queue"),
        ("--source kinesis --create --poison 1", "--poison would hold its shard for ever"),
        ("--source sqs --create --label AWS", "--label is for -o markdown"),
        ("--source sqs --create --batch-size 11", "Maximum batch window"),
        ("--source sqs-fifo --create --parallelization-factor 2", "ParallelizationFactor"),
        ("--source sqs-fifo --arn arn:aws:sqs:us-east-1:000000000000:orders", "is no --source sqs-fifo"),
        ("--source sqs --arn orders", "--arn orders"),
        ("--source sqs --create --mapping config/esmd.example.yaml", "it must have one mapping"),
        ("--source sqs --create --mapping no-such-file.yaml", "cannot be read"),
        ("--source sqs --create --partial 0.1 --mapping config/sqs.yaml", "--partial needs FunctionResponseTypes"),
        ("--source sqs", "--create"),
        ("--source sqs --create --arn arn:aws:sqs:us-east-1:1:q", "cannot be used with"),
        ("--source sqs --create --mapping config/sqs.yaml --batch-size 5", "cannot be used with"),
        ("--source sqs --create --fail 1", "expected a fraction from 0 to 0.9"),
        ("--source sqs --create --slow 2m", "expected a duration from 0s to 60s"),
        ("--source sqs --create --within 1s", "expected a duration from 5s to 1h"),
        ("--source rabbitmq --create", "possible values"),
    ] {
        let arguments: Vec<&str> = ["verify"].into_iter().chain(arguments.split(' ')).collect();
        let output = esmd(&arguments);

        assert!(text(&output.stderr).contains(reason), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

#[test]
fn a_filter_is_tested_on_an_event_and_a_miss_is_explained() {
    let event = "tests/golden/event-kinesis.json";
    let pattern = |key: &str| format!(r#"{{"partitionKey": ["{key}"]}}"#);

    let missed = esmd(&["filter", "test", "--pattern", &pattern("nobody"), "--event", event]);
    let told = text(&missed.stdout);
    assert!(told.starts_with("record 1: does not match\n  filter 1: partitionKey is \""), "{told}");
    assert!(told.contains("expected \"nobody\"\n"), "{told}");
    assert_eq!(missed.status.code(), Some(1));

    let any = r#"{"partitionKey": [{"exists": true}]}"#;
    let matched = esmd(&["filter", "test", "--pattern", &pattern("nobody"), "--pattern", any, "--event", event]);
    assert!(text(&matched.stdout).starts_with("record 1: matches\n"), "{}", text(&matched.stdout));
    assert_eq!(matched.status.code(), Some(0));
}

#[test]
fn a_filter_test_reads_files_and_standard_input() {
    let directory = tempfile::tempdir().expect("a directory");
    let [pattern, event] = ["pattern.json", "event.json"].map(|name| directory.path().join(name));
    std::fs::write(&pattern, r#"{"body": {"kind": ["order"]}}"#).expect("the file is written");
    std::fs::write(&event, r#"{"body": "{\"kind\": \"order\"}"}"#).expect("the file is written");
    let pattern = format!("@{}", pattern.display());

    let mut command = command(&["filter", "test", "--pattern", &pattern, "--event", "-", "--source", "sqs"]);
    let output = command.stdin(std::fs::File::open(&event).expect("the file is there")).output().expect("it starts");

    assert_eq!(text(&output.stdout), "record 1: matches\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_filter_test_without_a_verdict_ends_with_code_2() {
    let event = "tests/golden/event-kinesis.json";
    for (pattern, event, told) in [
        (r#"{"a": "b"}"#, event, "error: pattern 1 is invalid: at a: a value stands in a list, such as [\"value\"]\n"),
        (r#"{"data": ["b"]}"#, event, "error: pattern 1 is invalid: at data: "),
        (r#"{"a": ["b"]}"#, "nowhere.json", "error: nowhere.json cannot be read: "),
        (r#"{"a": ["b"]}"#, "Makefile", "error: the event is not JSON at byte 0\n"),
        ("@nowhere.json", event, "error: nowhere.json cannot be read: "),
    ] {
        let output = esmd(&["filter", "test", "--pattern", pattern, "--event", event]);
        assert!(text(&output.stderr).starts_with(told), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{pattern}");
    }
    assert_eq!(esmd(&["filter", "test", "--event", event]).status.code(), Some(2), "no pattern");
}

/// An address of documentation (RFC 5737), which no machine has: it is refused before anything is bound.
#[test]
fn a_listener_off_loopback_needs_secrets_and_says_how_to_give_them() {
    let run = |variables: &[(&str, &str)]| {
        let state = [("STATE_DIRECTORY", "/nowhere/state"), ("ESMD_LISTEN", "192.0.2.1:9900")];
        let output = command(&["run"]).envs(state).envs(variables.iter().copied()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).to_owned()
    };
    let expected = "error: 192.0.2.1:9900 can be reached from other machines, so callers must show who they are: give \
                    access keys with --access-keys-file (or one in ESMD_ACCESS_KEY_ID and ESMD_SECRET_ACCESS_KEY), or \
                    tokens for /esmd/v1 with --tokens-file (or ESMD_TOKEN); or choose a loopback address for --listen, \
                    such as 127.0.0.1:9900\n";

    assert_eq!(run(&[]), expected);
    assert!(run(&[("ESMD_ACCESS_KEY_ID", "a")]).contains("ESMD_SECRET_ACCESS_KEY belong together"));
    assert!(run(&[("ESMD_TOKEN", "short")]).contains("line 1: a token has at least 16 visible ASCII characters"));
    assert!(run(&[("ESMD_ACCESS_KEYS_FILE", "/nowhere/keys")]).contains("error: /nowhere/keys cannot be read: "));
    let with_token = run(&[("ESMD_TOKEN", "0123456789abcdef"), ("AWS_CONFIG_FILE", "/dev/null")]);
    assert!(with_token.contains("no AWS region"), "the next thing is missing: {with_token}");
}

#[test]
fn without_a_place_for_state_it_does_not_start() {
    let output = esmd(&["run"]);

    let expected =
        "error: no directory for the state: give one with --state-dir, ESMD_STATE_DIR or `stateDir:`, or set HOME\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn both_ways_to_ask_for_the_version_say_the_same() {
    let expected = concat!("esmd ", env!("CARGO_PKG_VERSION"), "\n");

    for arguments in [["version"], ["--version"]] {
        let output = esmd(&arguments);
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn every_shell_gets_completions_and_every_command_a_man_page() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = esmd(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("event-source-arn"), "{shell}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man1");
    assert!(esmd(&["man-pages", pages.to_str().expect("the path is text")]).status.success());
    for page in ["esmd.1", "esmd-run.1", "esmd-check.1", "esmd-mapping.1", "esmd-mapping-create.1"] {
        assert!(pages.join(page).exists(), "{page}");
    }
}

#[test]
fn mistakes_in_a_file_of_one_mapping_are_shown_with_their_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("orders.yaml");
    std::fs::write(&file, "FunctionName: worker\nBatchSizes: 5\nEnabled: yes\n").expect("the file is written");
    let file = file.to_str().expect("the path is text");

    let output = esmd(&["mapping", "create", "--file", file]);

    let told = text(&output.stderr);
    assert!(told.contains(&format!("{file}:2:1: error: unknown key `BatchSizes`")), "{told}");
    assert!(told.contains(&format!("{file}:3:10: error: `Enabled`: expected true or false")), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_endpoint_where_nobody_is_is_named_with_what_to_do() {
    let nobody = esmd(&["mapping", "list", "--endpoint-url", "http://127.0.0.1:9"]);
    let nonsense = esmd(&["mapping", "list", "--endpoint-url", "localhost"]);

    let told = text(&nobody.stderr);
    assert!(told.starts_with("error: no answer from http://127.0.0.1:9: start esmd with `esmd run`, or say"), "{told}");
    assert!(text(&nonsense.stderr).contains("give a full URL"), "{}", text(&nonsense.stderr));
    assert_eq!((nobody.status.code(), nonsense.status.code()), (Some(1), Some(1)));
}

#[test]
fn flags_and_file_set_the_same_settings() {
    let flags = "--listen 127.0.0.1:1 --metrics-listen 0.0.0.0:2 --access-keys-file a --tokens-file t \
                 --tls-certificate c --tls-key k --state-dir /s --drain-timeout 3s --log-level debug \
                 --log-format json --queue-wait-time 4s --shard-refresh-interval 5s --shard-poll-interval 6s \
                 --worker-threads 7";
    let file = "{http: {listen: 127.0.0.1:1, metricsListen: 0.0.0.0:2, accessKeysFile: a, tokensFile: t, \
                tlsCertificate: c, tlsKey: k}, stateDir: /s, drainTimeout: 3s, \
                log: {level: debug, format: json}, queueWaitTime: 4s, shardRefreshInterval: 5s, shardPollInterval: 6s, \
                workerThreads: 7}";

    let arguments = Arguments::parse_from(["esmd", "run"].into_iter().chain(flags.split_whitespace()));
    let file = ConfigFile::parse(file, &Environment::default(), jiff::Timestamp::UNIX_EPOCH).expect("it is valid");

    let esmd::cli::Command::Run(run) = arguments.command else { panic!("the command is run") };
    assert_eq!(run.settings, file.settings);
}

#[test]
fn the_documentation_names_every_setting_and_no_other() {
    let documented: BTreeSet<[String; 3]> = documented_rows("## Settings").collect();

    let keys: BTreeSet<_> = documented.iter().map(|[key, ..]| key.as_str()).collect();
    assert_eq!(keys, SETTINGS.iter().map(|setting| setting.key).collect());
    let flags: BTreeSet<_> = documented.iter().map(|[_, flag, variable]| (flag.clone(), variable.clone())).collect();
    assert_eq!(flags, flags_and_variables());
}

#[test]
fn the_documentation_names_every_member_of_a_mapping() {
    let page = std::fs::read_to_string(DOCUMENTATION).expect("the page is there");

    for field in FIELDS {
        assert!(page.contains(&format!("`{}", field.name)), "docs/configuration.md leaves out {}", field.name);
    }
}

/// Every flag of `run` but the file itself, with the environment variable that stands in for it.
fn flags_and_variables() -> BTreeSet<(String, String)> {
    let command = Arguments::command();
    let run = command.find_subcommand("run").expect("there is a command run");
    run.get_arguments()
        .filter(|argument| argument.get_id() != "config" && argument.get_id() != "help")
        .map(|argument| {
            let flag = argument.get_long().expect("each has a flag");
            let variable = argument.get_env().and_then(|name| name.to_str()).expect("each has a variable");
            (format!("--{flag}"), variable.to_owned())
        })
        .collect()
}

/// The first three cells of each row of the table below a heading, without their back-ticks.
fn documented_rows(heading: &str) -> impl Iterator<Item = [String; 3]> {
    let page = std::fs::read_to_string(DOCUMENTATION).expect("the page is there");
    let section = page.split_once(heading).expect("the heading is there").1.to_owned();
    let rows: Vec<_> = section
        .lines()
        .skip_while(|line| !line.starts_with("| `"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
            std::array::from_fn(|_| cells.next().expect("a row has three cells"))
        })
        .collect();
    rows.into_iter()
}

/// The files of a folder and of all folders below it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn esmd(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it starts")
}

/// The binary in an empty environment, so that the one of whoever runs the tests does not matter.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_esmd"));
    command.args(arguments).env_clear().current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is UTF-8")
}

const EXAMPLE: &str = "config/esmd.example.yaml";
const DOCUMENTATION: &str = "docs/configuration.md";
