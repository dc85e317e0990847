//! Every kind of mistake in a file, with the exact text that is shown for it.

use super::*;
use crate::access::secrets::SecretFiles;

mod templates;

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    assert_shown(
        "log:\n  levle: info\n",
        "\
esmd.yaml:2:3: error: unknown key `levle`
  |
2 |   levle: info
  |   ^^^^^ did you mean `level`?

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_key_like_no_known_one_is_refused_with_all_that_may_stand_there() {
    assert_shown(
        "http:\n  port: 80\n",
        "\
esmd.yaml:2:3: error: unknown key `port`
  |
2 |   port: 80
  |   ^^^^ expected listen, metricsListen, accessKeysFile, tokensFile, tlsCertificate, tlsKey

esmd.yaml: 1 problem",
    );
}

#[test]
fn terraforms_words_find_awss() {
    assert_shown(
        "mappings:\n  - event_source_arn: arn:aws:sqs:us-east-1:123456789012:q\n    FunctionName: f\n",
        "\
esmd.yaml:2:5: error: unknown key `event_source_arn`
  |
2 |   - event_source_arn: arn:aws:sqs:us-east-1:123456789012:q
  |     ^^^^^^^^^^^^^^^^ did you mean `EventSourceArn`?

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_wrong_type_is_refused_with_the_expected_one() {
    let text = mapping("    BatchSize: \"5\"\n    Enabled: yes\n    Tags: {a: 1}\n    ScalingConfig: [2]\n");
    assert_shown(
        &text,
        "\
esmd.yaml:4:16: error: `BatchSize`: expected a whole number, found the text \"5\"
  |
4 |     BatchSize: \"5\"
  |                ^^^ leave out the quotes

esmd.yaml:5:14: error: `Enabled`: expected true or false, found the text \"yes\"
  |
5 |     Enabled: yes
  |              ^^^

esmd.yaml:6:15: error: `Tags.a`: expected a text, found the number 1
  |
6 |     Tags: {a: 1}
  |               ^ put it in quotes

esmd.yaml:7:20: error: `ScalingConfig`: expected a table of keys, found a list
  |
7 |     ScalingConfig: [2]
  |                    ^

esmd.yaml: 4 problems",
    );
}

#[test]
fn a_member_that_is_deep_is_named_by_its_path() {
    assert_shown(
        &mapping("    FilterCriteria: {Filters: [{Pattern: {body: [x]}}, null]}\n"),
        "\
esmd.yaml:4:42: error: `FilterCriteria.Filters[0].Pattern`: expected a text, found a table of keys
  |
4 |     FilterCriteria: {Filters: [{Pattern: {body: [x]}}, null]}
  |                                          ^

esmd.yaml:4:56: error: `FilterCriteria.Filters[1]`: expected a table of keys, found nothing
  |
4 |     FilterCriteria: {Filters: [{Pattern: {body: [x]}}, null]}
  |                                                        ^^^^

esmd.yaml: 2 problems",
    );
}

#[test]
fn a_number_out_of_range_is_refused_at_its_line() {
    assert_shown(
        &mapping("    ScalingConfig:\n      MaximumConcurrency: 1\n"),
        "\
esmd.yaml:5:27: error: `ScalingConfig.MaximumConcurrency`: Member must have value greater than or equal to 2
  |
5 |       MaximumConcurrency: 1
  |                           ^

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_missing_member_is_shown_at_the_mapping_that_lacks_it() {
    assert_shown(
        "mappings:\n  - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q\n",
        "\
esmd.yaml:2:5: error: `FunctionName` is missing
  |
2 |   - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q
  |     ^^^^^^^^^^^^^^ Member must not be null

esmd.yaml: 1 problem",
    );
}

#[test]
fn what_a_stream_lacks_is_told_in_a_word() {
    assert_shown(
        "mappings:\n  - EventSourceArn: arn:aws:kinesis:us-east-1:123456789012:stream/s\n    FunctionName: f\n",
        "\
esmd.yaml:2:5: error: `StartingPosition` is missing
  |
2 |   - EventSourceArn: arn:aws:kinesis:us-east-1:123456789012:stream/s
  |     ^^^^^^^^^^^^^^ Member must not be null

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_tag_that_cannot_be_is_refused_at_its_line() {
    assert_shown(
        &mapping("    Tags:\n      team: blue\n      aws:team: red\n    MetricsConfig: {Metrics: [Errors]}\n"),
        "\
esmd.yaml:6:17: error: `Tags.aws:team`: keys that begin with aws: are AWS's own
  |
6 |       aws:team: red
  |                 ^^^

esmd.yaml:7:30: error: `MetricsConfig.Metrics`: Member must satisfy constraint: [Member must satisfy enum value set: \
[EventCount, ErrorCount, KafkaMetrics], Member must not be null]
  |
7 |     MetricsConfig: {Metrics: [Errors]}
  |                              ^

esmd.yaml: 2 problems",
    );
}

#[test]
fn a_time_that_is_none_is_refused_with_an_example() {
    let text = "\
mappings:
  - EventSourceArn: arn:aws:kinesis:us-east-1:123456789012:stream/s
    FunctionName: f
    StartingPosition: AT_TIMESTAMP
    StartingPositionTimestamp: noon
";
    let problems = ConfigFile::parse(text, &Environment::default(), now()).expect_err("it is no time");

    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].line, problems[0].column, problems[0].length), (5, 32, 4));
    assert!(problems[0].message.starts_with("`StartingPositionTimestamp`: "), "{}", problems[0].message);
}

#[test]
fn a_key_given_twice_is_refused() {
    assert_shown(
        "drainTimeout: 30s\ndrainTimeout: 40s\n",
        "\
esmd.yaml:2:1: error: the key `drainTimeout` stands here twice
  |
2 | drainTimeout: 40s
  | ^^^^^^^^^^^^ first on line 1

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_tag_is_refused_since_nobody_acts_on_it() {
    assert_shown(
        "mappings:\n  - EventSourceArn: !GetAtt Queue.Arn\n    FunctionName: f\n",
        "\
esmd.yaml:2:29: error: the intrinsic function `!GetAtt` is not evaluated here
  |
2 |   - EventSourceArn: !GetAtt Queue.Arn
  |                             ^^^^^^^^^ write the value itself

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_setting_out_of_range_is_refused_with_its_range() {
    assert_shown(
        "http: {listen: localhost}\nqueueWaitTime: 30s\nlog: {format: [json]}\n",
        "\
esmd.yaml:1:16: error: invalid value for `http.listen`
  |
1 | http: {listen: localhost}
  |                ^^^^^^^^^ expected an IP address and a port, such as 127.0.0.1:9900

esmd.yaml:2:16: error: invalid value for `queueWaitTime`
  |
2 | queueWaitTime: 30s
  |                ^^^ expected whole seconds from 1s to 20s, such as 20s

esmd.yaml:3:15: error: `log.format`: expected a single value, found a list
  |
3 | log: {format: [json]}
  |               ^

esmd.yaml: 3 problems",
    );
}

#[test]
fn a_pair_of_source_and_function_stands_in_a_file_once() {
    let text = "\
mappings:
  - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q
    FunctionName: f
  - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q
    FunctionName: f:live
  - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q
    FunctionName: arn:aws:lambda:us-east-1:123456789012:function:f
";
    assert_shown(
        text,
        "\
esmd.yaml:6:5: error: a second mapping of arn:aws:sqs:us-east-1:123456789012:q to \
arn:aws:lambda:us-east-1:123456789012:function:f
  |
6 |   - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q
  |     ^^^^^^^^^^^^^^ the first is on line 2

esmd.yaml: 1 problem",
    );
}

#[test]
fn what_is_no_list_of_mappings_is_refused() {
    assert_shown(
        "mappings:\n  -\n  - text\n",
        "\
esmd.yaml:2:4: error: `mappings`: expected the members of a mapping, found nothing
  |
2 |   -
  |    ^

esmd.yaml:3:5: error: `mappings`: expected the members of a mapping, found the text \"text\"
  |
3 |   - text
  |     ^^^^

esmd.yaml: 2 problems",
    );
}

#[test]
fn a_mistake_behind_an_anchor_is_shown_once() {
    assert_shown(
        "mappings:
  - &queue
    EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q
    FunctionName: f
    BatchSize: 0
  - <<: *queue
    FunctionName: g
",
        "\
esmd.yaml:5:16: error: `BatchSize`: Member must have value greater than or equal to 1
  |
5 |     BatchSize: 0
  |                ^

esmd.yaml: 1 problem",
    );
}

#[test]
fn what_is_not_yaml_is_shown_at_its_line() {
    assert_shown(
        "log: {level: info\nhttp: {}\n",
        "\
esmd.yaml:2:5: error: while parsing a flow mapping, did not find expected ',' or '}'
  |
2 | http: {}
  |     ^

esmd.yaml: 1 problem",
    );
}

#[test]
fn a_file_may_be_empty_and_null_leaves_a_default() {
    for text in ["", "# nothing\n", "mappings:\n", "mappings: []\nhttp:\nlog: {level: null}\nstateDir: ~\n"] {
        let file = ConfigFile::parse(text, &Environment::default(), now());

        assert_eq!(file, Ok(ConfigFile::default()), "{text:?}");
    }
}

#[test]
fn a_mapping_knows_its_line_and_what_was_written() {
    let text = mapping("    BatchSize: 5\n    DestinationConfig: {OnFailure: {}}\n    MaximumRetryAttempts: null\n");

    let file = ConfigFile::parse(&text, &Environment::default(), now()).expect("it has no mistakes");

    assert_eq!(file.mappings.len(), 1);
    assert_eq!(file.mappings[0].line, 2);
    assert_eq!(file.mappings[0].document.batch_size, Some(5));
    assert_eq!(file.mappings[0].mapping.batching.size, 5);
}

#[test]
fn a_file_gives_every_setting() {
    let text = "\
http: {listen: '[::1]:1', metricsListen: '0.0.0.0:2', accessKeysFile: a, tokensFile: t, tlsCertificate: c, tlsKey: k}
stateDir: /s
drainTimeout: 5
log: {level: debug, format: json}
queueWaitTime: 1s
shardRefreshInterval: 2s
shardPollInterval: 300ms
workerThreads: 3
";
    let file = ConfigFile::parse(text, &Environment::default(), now()).expect("it has no mistakes");

    let settings = Settings::resolve(&GivenSettings::default(), &file.settings, &Environment::default());
    let expected = Settings {
        secret_files: SecretFiles { access_keys: Some("a".into()), tokens: Some("t".into()) },
        tls: Some(("c".into(), "k".into())),
        listen: "[::1]:1".parse().expect("an address"),
        metrics_listen: Some("0.0.0.0:2".parse().expect("an address")),
        state_directory: "/s".into(),
        drain_timeout: std::time::Duration::from_secs(5),
        log_level: tracing::Level::DEBUG,
        log_format: settings::LogFormat::Json,
        queue_wait_time: std::time::Duration::from_secs(1),
        shard_refresh_interval: std::time::Duration::from_secs(2),
        shard_poll_interval: std::time::Duration::from_millis(300),
        worker_threads: 3,
    };
    assert_eq!(settings, Ok(expected));
}

fn assert_shown(text: &str, expected: &str) {
    let problems = ConfigFile::parse(text, &Environment::default(), now()).expect_err("it has mistakes");

    let shown = Problems { file: "esmd.yaml".to_owned(), text: text.to_owned(), problems }.to_string();
    assert_eq!(shown, expected, "\n{shown}\n");
}

/// A valid mapping on the lines 2 and 3, then the given ones.
fn mapping(more: &str) -> String {
    format!("mappings:\n  - EventSourceArn: arn:aws:sqs:us-east-1:123456789012:q\n    FunctionName: f\n{more}")
}

fn now() -> Timestamp {
    "2026-01-31T09:30:00Z".parse().expect("a time")
}
