//! A call by the AWS CLI. The members go in as its JSON input; what was on the wire is read from its debug output.

use serde_json::Value;

use super::client::{Answer, Operation, Refusal};
use crate::mapping_api::aws;
use crate::support::daemon::Daemon;

pub(super) async fn call(daemon: &Daemon, operation: Operation, members: &Value) -> Answer {
    let command = match operation {
        Operation::Create => "create-event-source-mapping",
        Operation::Get => "get-event-source-mapping",
        Operation::List | Operation::ListAll => "list-event-source-mappings",
        Operation::Update => "update-event-source-mapping",
        Operation::Delete => "delete-event-source-mapping",
        Operation::Tag => "tag-resource",
        Operation::Untag => "untag-resource",
        Operation::ListTags => "list-tags",
    };
    let members = members.to_string();
    let mut arguments = vec![command, "--cli-input-json", &members, "--debug"];
    if matches!(operation, Operation::List) {
        arguments.push("--no-paginate");
    }
    let (code, output, debug) = aws(daemon, &arguments).await;
    let shown = match code {
        0 if output.is_empty() => Ok(Value::Null),
        0 => Ok(serde_json::from_str(&output).unwrap()),
        _ => Err(refusal(&debug)),
    };
    Answer { status: status(&debug), wire: wire(&debug), shown }
}

/// What it prints last: AWS's error, or that it would not send the request.
fn refusal(debug: &str) -> Refusal {
    let told = debug.rsplit("Exiting with rc").next().unwrap();
    let told = told.split_once('\n').map_or(told, |(_code, told)| told).trim();
    let error = told.strip_prefix("An error occurred (").and_then(|error| error.split_once(") when calling the "));
    let (name, message) = match error.and_then(|(name, rest)| Some((name, rest.split_once(" operation: ")?.1))) {
        Some(error) => error,
        None => ("", told),
    };
    Refusal { name: name.to_owned(), message: message.to_owned() }
}

/// The line is `http://… "GET /… HTTP/1.1" 200 44`.
fn status(debug: &str) -> Option<u16> {
    let after = debug.rsplit_once(" HTTP/1.1\" ")?.1;
    Some(after.split(' ').next()?.trim().parse().expect("a status"))
}

fn wire(debug: &str) -> Value {
    let Some((_, after)) = debug.rsplit_once("Response body:\n") else { return Value::Null };
    let body = of_python(after.lines().next().unwrap());
    if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("every answer is JSON") }
}

/// The bytes that Python shows as `b'…'`.
fn of_python(shown: &str) -> Vec<u8> {
    let inner = shown.strip_prefix("b'").and_then(|inner| inner.strip_suffix('\'')).expect("bytes of Python");
    let mut bytes = Vec::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match (letter, if letter == '\\' { letters.next() } else { None }) {
            (_, Some('x')) => {
                let digits: String = letters.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
            }
            (_, Some('n')) => bytes.push(b'\n'),
            (_, Some(escaped)) => bytes.extend(escaped.to_string().bytes()),
            (plain, None) => bytes.extend(plain.to_string().bytes()),
        }
    }
    bytes
}
