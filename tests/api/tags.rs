//! Tags of mappings (`docs/semantics.md` 1.11), by the AWS SDK and by hand.

use std::path::Path;

use esmd::config::LoadedFile;
use serde_json::{Value, json};

use crate::Daemon;
use crate::controlled::{Outside, environment};
use crate::fakes::{self, stream::FakeStream};
use crate::mappings::{LAMBDA, client, queue_mapping, stream_mapping};
use crate::{STREAM, http};

/// `docs/semantics.md` 1.11 and 9 (invariant 25): the SDK sends the ARN percent-encoded.
#[tokio::test]
async fn the_sdk_tags_lists_and_untags_a_mapping() {
    let daemon = Daemon::start().await;
    let client = client(&daemon);
    let request = client.create_event_source_mapping().event_source_arn(STREAM).function_name("worker:live");
    let request = request.starting_position("TRIM_HORIZON".into()).enabled(false);
    let made = request.tags("team", "blue").tags("stage", "test").send().await.unwrap();
    let arn = made.event_source_mapping_arn().unwrap();

    client.tag_resource().resource(arn).tags("team", "red").tags("cost", "").send().await.unwrap();
    client.untag_resource().resource(arn).tag_keys("stage").tag_keys("absent").send().await.unwrap();

    let listed = client.list_tags().resource(arn).send().await.unwrap().tags.unwrap();
    let expected = [("cost", ""), ("team", "red")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(listed, expected.into());
}

/// `docs/semantics.md` 1.11: empty answers; no other answer shows tags, and they change neither state nor time.
#[tokio::test]
async fn tags_show_nowhere_else() {
    let daemon = Daemon::start().await;
    let mut mapping = queue_mapping();
    mapping["Tags"] = json!({"team": "blue"});
    let made = daemon.json("POST", LAMBDA, &mapping).await.1;
    let (path, tags) = paths(&made);
    assert_eq!(made.get("Tags"), None);

    let tagged = daemon.send("POST", &tags, &json!({"Tags": {"a b": "c"}}).to_string()).await;
    let untagged = daemon.send("DELETE", &format!("{tags}?tagKeys=a+b&tagKeys=absent"), "").await;

    assert_eq!((tagged.status, tagged.body.as_str()), (204, ""));
    assert_eq!((untagged.status, untagged.body.as_str()), (204, ""));
    assert_eq!(daemon.json("GET", &tags, &Value::Null).await, (200, json!({"Tags": {"team": "blue"}})));
    assert_eq!(daemon.json("GET", &path, &Value::Null).await.1, made);
    let untagged = daemon.send("DELETE", &format!("{tags}?tagKeys=team"), "").await.status;
    assert_eq!((untagged, daemon.json("GET", &tags, &Value::Null).await.1), (204, json!({"Tags": {}})));
}

/// `docs/semantics.md` 1.9 and 9 (invariant 20)
#[tokio::test]
async fn an_update_leaves_tags_alone() {
    let daemon = Daemon::start().await;
    let mut mapping = queue_mapping();
    mapping["Tags"] = json!({"team": "blue"});
    let made = daemon.json("POST", LAMBDA, &mapping).await.1;
    let (path, tags) = paths(&made);

    let refused = daemon.json("PUT", &path, &json!({"Tags": {"team": "red"}})).await;
    let changed = daemon.json("PUT", &path, &json!({"BatchSize": 5})).await;

    let message = "Tags: are changed by TagResource and UntagResource, not by an update (given: {\"team\":\"red\"})";
    assert_eq!((refused.0, &refused.1["message"]), (400, &json!(message)));
    assert_eq!(changed.0, 202);
    assert_eq!(daemon.json("GET", &tags, &Value::Null).await.1, json!({"Tags": {"team": "blue"}}));
}

/// `docs/semantics.md` 1.11 and 9 (invariant 25)
#[tokio::test]
async fn what_cannot_be_tagged_is_refused_in_awss_words() {
    let daemon = Daemon::start().await;
    let (_, tags) = paths(&daemon.json("POST", LAMBDA, &queue_mapping()).await.1);
    let many: Value = (0..51).map(|number| (number.to_string(), json!(""))).collect();
    let unknown = "arn:aws:lambda:eu-west-1:111111111111:event-source-mapping:6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
    let function = "arn:aws:lambda:eu-west-1:111111111111:function:worker";
    let to = |arn: &str| format!("{TAGS}{}", arn.replace(':', "%3A"));
    let body = |tags: Value| json!({ "Tags": tags }).to_string();
    let pattern = r"1 validation error detected: Value 'arn%3Aaws' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)";
    let not_found = format!("Event source mapping not found: {unknown}");
    let not_ours = format!("esmd keeps the tags of event source mappings alone, not of {function}");
    let null = |member: &str| {
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        )
    };
    let one = body(json!({"a": "b"}));
    let cases = [
        ("POST", tags.clone(), body(many), 400, INVALID, "Number of tags exceeds resource tag limit.".to_owned()),
        (
            "POST",
            tags.clone(),
            body(json!({})),
            400,
            INVALID,
            "An error occurred and the request cannot be processed.".to_owned(),
        ),
        ("POST", tags.clone(), "{}".to_owned(), 400, "ValidationException", null("tags")),
        ("DELETE", tags.clone(), String::new(), 400, "ValidationException", null("tagKeys")),
        ("GET", to(unknown), String::new(), 404, "ResourceNotFoundException", not_found.clone()),
        ("POST", to(unknown), one.clone(), 404, "ResourceNotFoundException", not_found.clone()),
        ("DELETE", format!("{}?tagKeys=a", to(unknown)), String::new(), 404, "ResourceNotFoundException", not_found),
        // decoded once
        ("GET", format!("{TAGS}arn%253Aaws"), String::new(), 400, "ValidationException", pattern.to_owned()),
        ("POST", format!("{TAGS}arn%253Aaws"), one.clone(), 400, "ValidationException", pattern.to_owned()),
        ("GET", to(function), String::new(), 501, "NotImplementedException", not_ours),
        (
            "POST",
            tags.clone(),
            body(json!({"a": 1})),
            400,
            "InvalidRequestContentException",
            "Tags.a: invalid type: integer `1`, expected a string".to_owned(),
        ),
    ];
    for (method, path, body, status, name, message) in cases {
        let page = daemon.send(method, &path, &body).await;
        assert_eq!(page.status, status, "{method} {path} {body}: {}", page.body);
        assert!(page.head.contains(&format!("\r\nx-amzn-errortype: {name}\r\n")), "{}", page.head);
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        let told = answer.get("message").or(answer.get("Message"));
        assert_eq!(told, Some(&json!(message)), "{method} {path} {body}");
    }
    assert_eq!(daemon.json("GET", &tags, &Value::Null).await.1, json!({"Tags": {}}), "nothing was changed");
}

/// The file's mapping has the file's tags.
#[tokio::test]
async fn tags_of_a_mapping_of_the_file_refuse_changes_with_the_files_name() {
    let clock = fakes::clock();
    let stream = FakeStream::new(clock.clone(), STREAM, 1);
    let mut mapping = stream_mapping();
    mapping["Tags"] = json!({"team": "blue"});
    let text = json!({"mappings": [mapping]}).to_string();
    let path = Path::new("/etc/esmd/esmd.yaml");
    let file = LoadedFile::judge(path, text, &environment(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    let outside = Outside::new(clock).with_source(STREAM, stream.clone());
    let daemon = Daemon::start_with(outside, stream, Some(file)).await;
    let listed = daemon.json("GET", LAMBDA, &Value::Null).await.1;
    let (_, tags) = paths(&listed["EventSourceMappings"][0]);

    for (method, path) in [("POST", tags.clone()), ("DELETE", format!("{tags}?tagKeys=team"))] {
        let (status, answer) = daemon.json(method, &path, &json!({"Tags": {"team": "red"}})).await;
        let message = "the mapping is declared in /etc/esmd/esmd.yaml: change it there";
        assert_eq!((status, &answer["message"]), (409, &json!(message)), "{method}");
    }
    assert_eq!(daemon.json("GET", &tags, &Value::Null).await.1, json!({"Tags": {"team": "blue"}}));
}

#[tokio::test]
async fn a_path_of_tags_may_end_in_a_slash_and_must_name_a_resource() {
    let daemon = Daemon::start().await;
    let (_, tags) = paths(&daemon.json("POST", LAMBDA, &queue_mapping()).await.1);
    for (path, status) in [
        (format!("{tags}/"), 200),
        (tags.replace("%3A", ":"), 200),
        (format!("{TAGS}%FF"), 400),
        (format!("{TAGS}arn%3Aaws%3Asqs%2Forders"), 400),
        (format!("{tags}%20"), 400),
    ] {
        assert_eq!(daemon.send("GET", &path, "").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn web_pages_cannot_tag() {
    let daemon = Daemon::start().await;
    let (_, tags) = paths(&daemon.json("POST", LAMBDA, &queue_mapping()).await.1);
    let headers = [("Origin", "https://example.com")];
    let body = json!({"Tags": {"a": "b"}}).to_string();
    assert_eq!(http::send(daemon.address, "POST", &tags, &headers, &body).await.unwrap().status, 403);
}

/// The paths of a mapping and of its tags.
fn paths(mapping: &Value) -> (String, String) {
    let [uuid, arn] = ["UUID", "EventSourceMappingArn"].map(|member| mapping[member].as_str().unwrap());
    (format!("{LAMBDA}{uuid}"), format!("{TAGS}{}", arn.replace(':', "%3A")))
}

const TAGS: &str = "/2017-03-31/tags/";
const INVALID: &str = "InvalidParameterValueException";
