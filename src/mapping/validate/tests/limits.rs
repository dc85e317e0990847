//! Whatever a document holds: each member is judged, and what passes is within its limits.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::mapping::Pollers;
use crate::mapping::document::{FIELDS, Field, Shape};

/// Nothing is accepted and ignored: a new member of the document must be judged somewhere.
#[test]
fn every_member_of_the_document_is_judged() {
    let judged_elsewhere = [
        "FunctionName",
        "EventSourceArn",
        "Enabled",
        "Esmd.InvokeIdentityArn",
        "Esmd.KeepFiltered",
        "Esmd.OnDestinationFailure",
    ];
    let judged: BTreeSet<String> =
        MEMBERS.iter().map(|member| member.path).chain(judged_elsewhere).map(str::to_owned).collect();
    assert_eq!(judged, leaves("", FIELDS));
}

proptest! {
    #[test]
    fn whatever_is_given_is_judged_and_what_passes_is_within_limits(
        document in any_document(),
        custom_endpoint in any::<bool>(),
    ) {
        let scope = Scope { custom_endpoint, ..scope() };
        match EventSourceMapping::from_document(&document, &scope) {
            Ok(mapping) => assert_within_limits(&mapping, &document),
            Err(errors) => prop_assert!(!errors.as_slice().is_empty()),
        }
    }
}

fn leaves(prefix: &str, fields: &[Field]) -> BTreeSet<String> {
    let paths = fields.iter().flat_map(|field| match field.shape {
        Shape::Object(members) => leaves(&format!("{prefix}{}.", field.name), members),
        _ => BTreeSet::from([format!("{prefix}{}", field.name)]),
    });
    paths.collect()
}

fn assert_within_limits(mapping: &EventSourceMapping, document: &MappingDocument) {
    let window = mapping.batching.window.as_secs();
    assert!((1..=10_000).contains(&mapping.batching.size) && window <= 300);
    match &mapping.source {
        SourceSettings::Queue(_) if destination_of(document).is_some() => panic!("a queue has no destination"),
        SourceSettings::Queue(queue) if queue.fifo => assert!(mapping.batching.size <= 10 && window == 0),
        SourceSettings::Queue(_) => assert!(mapping.batching.size <= 10 || window > 0),
        SourceSettings::Stream(stream) => {
            assert!((1..=10).contains(&stream.parallelization_factor));
            assert!(stream.retries.maximum_attempts.is_none_or(|most| most <= 10_000));
            let age = stream.retries.maximum_record_age.map(|age| age.as_secs());
            assert!(age.is_none_or(|seconds| (60..=604_800).contains(&seconds)));
            let length = stream.tumbling_window.map(|length| length.as_secs());
            assert!(length.is_none_or(|seconds| (1..=900).contains(&seconds) && stream.parallelization_factor == 1));
            let asked_for = destination_of(document);
            assert_eq!(stream.on_failure.as_ref().map(|set| set.destination.as_str()), asked_for);
            if let StartingPosition::AtTimestamp(moment) = stream.starting_position {
                assert!((Timestamp::UNIX_EPOCH..=scope().now).contains(&moment));
            }
        }
    }
    if let SourceSettings::Queue(queue) = &mapping.source {
        assert!(queue.maximum_concurrency.is_none_or(|most| queue.pollers.is_none() && (2..=1_000).contains(&most)));
        assert!(queue.pollers.is_none_or(|Pollers { minimum, maximum }| {
            (2..=200).contains(&minimum) && (minimum..=2_000).contains(&maximum)
        }));
    }
    if let Some(timeout) = mapping.esmd.function_timeout {
        assert!((1..=900).contains(&timeout.as_secs()));
    }
    assert!((10..=86_400).contains(&mapping.esmd.stall_after.as_secs()));
    assert!(document.tags.as_ref().is_none_or(|tags| tags.len() <= 50));
}

fn destination_of(document: &MappingDocument) -> Option<&str> {
    let on_failure = document.destination_config.as_ref()?.on_failure.as_ref()?;
    on_failure.destination.as_deref().filter(|arn| !arn.is_empty())
}

/// Documents with any of the members, mostly with a function and a source that are fine.
fn any_document() -> impl Strategy<Value = MappingDocument> {
    let sound = prop_oneof![Just(json!({})), Just(queue(json!({}))), Just(fifo(json!({}))), Just(stream(json!({}))),];
    (sound, any_object(FIELDS)).prop_map(|(mut sound, members)| {
        merge(&mut sound, members);
        read(sound)
    })
}

fn any_object(fields: &'static [Field]) -> BoxedStrategy<Value> {
    let members: Vec<_> = fields.iter().map(|field| prop::option::weighted(0.08, any_value(&field.shape))).collect();
    members
        .prop_map(|values| {
            let names = fields.iter().map(|field| field.name.to_owned());
            names.zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
        })
        .boxed()
}

fn any_value(shape: &'static Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Text => {
            prop_oneof![prop::sample::select(TEXTS).prop_map(|text| json!(text)), any::<String>().prop_map(Value::from)]
                .boxed()
        }
        Shape::Integer => prop::sample::select(NUMBERS).prop_map(Value::from).boxed(),
        Shape::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Timestamp => (-1..2 * NOW_SECONDS).prop_map(Value::from).boxed(),
        Shape::List(shape) => prop::collection::vec(any_value(shape), 0..2).prop_map(Value::from).boxed(),
        Shape::Map(shape) => any_value(shape).prop_map(|value| json!({"key": value})).boxed(),
        Shape::Object(fields) => any_object(fields),
        Shape::Any => prop_oneof![Just(json!([])), Just(json!({"Any": {"Thing": 1}}))].boxed(),
    }
}

/// Numbers at and just past the limits.
const NUMBERS: &[i64] =
    &[i64::MIN, -2, -1, 0, 1, 2, 10, 11, 59, 60, 300, 301, 900, 901, 1_000, 1_001, 10_000, 10_001, i64::MAX];
const TEXTS: &[&str] =
    &["", "fn:prod", "LATEST", "AT_TIMESTAMP", "arn:aws:sqs:local:123456789012:q", "arn:aws:lambda:", "é:"];
