//! What a run found, told: in words with figures, as JSON, or as rows of a table for a document. Judges nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::judge::path::PathFigures;
use super::judge::{Kind, Violation, count};
use super::{Outcome, Plan, ServerFigures, SourceKind};

/// Which checks there are for a source: first of the server, then of the path.
#[must_use]
pub const fn checks(source: SourceKind) -> (&'static [Kind], &'static [Kind]) {
    match source {
        SourceKind::Sqs => (OF_QUEUE, OF_UNORDERED_PATH),
        SourceKind::SqsFifo => (OF_FIFO_QUEUE, OF_QUEUE_PATH),
        SourceKind::Kinesis | SourceKind::Dynamodb => (OF_STREAM, OF_STREAM_PATH),
    }
}

/// A run in words: what was counted, and of each kind of violation the first with its events.
#[must_use]
pub fn text(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {} records over {} keys, seed {}, {:.1} s\n",
        plan.source.name(),
        plan.records,
        plan.keys,
        outcome.seed,
        outcome.seconds
    );
    let (of_server, of_path) = checks(plan.source);
    part(&mut text, "the server", &server_lines(plan, &outcome.server.figures), of_server, &outcome.server.violations);
    part(&mut text, "the whole path", &path_lines(&outcome.path.figures), of_path, &outcome.path.violations);
    text
}

/// The verdict about all runs, in a line.
#[must_use]
pub fn verdict(outcomes: &[Outcome]) -> String {
    let runs = count(outcomes.len(), "run");
    let Some(last) = outcomes.last().filter(|outcome| outcome.is_violated()) else {
        return format!(
            "verdict: fine, in {runs}: the server keeps its promises, and nothing is lost on the whole path"
        );
    };
    let told = |violations: &[Violation]| match counts(violations) {
        counts if counts.is_empty() => "fine".to_owned(),
        counts => {
            counts.iter().map(|(kind, number)| format!("{} {number}", kind.name())).collect::<Vec<_>>().join(", ")
        }
    };
    let (server, path) = (told(&last.server.violations), told(&last.path.violations));
    format!("verdict: VIOLATED, in {runs}. The server: {server}. The whole path: {path}")
}

/// All runs as JSON.
#[must_use]
pub fn json(plan: &Plan, outcomes: &[Outcome]) -> Value {
    let is_violated = outcomes.iter().any(Outcome::is_violated);
    json!({
        "verdict": if is_violated { "violated" } else { "fine" },
        "source": plan.source,
        "endpoint": plan.endpoint,
        "records": plan.records,
        "keys": plan.keys,
        "mapping": plan.mapping,
        "runs": outcomes,
    })
}

/// All runs as a table's head and row: of each check how often it was violated in the worst run. `server` names it.
#[must_use]
pub fn markdown(plan: &Plan, server: &str, outcomes: &[Outcome]) -> String {
    let (of_server, of_path) = checks(plan.source);
    let mut head = format!("| {} | runs |", plan.source.name());
    let mut line = "| --- | --- |".to_owned();
    let mut row = format!("| {server} | {} |", outcomes.len());
    let violations = |outcome: &Outcome, is_path: bool| {
        counts(if is_path { &outcome.path.violations } else { &outcome.server.violations })
    };
    for (kind, is_path) in of_server.iter().map(|kind| (kind, false)).chain(of_path.iter().map(|kind| (kind, true))) {
        let worst = outcomes.iter().filter_map(|outcome| violations(outcome, is_path).get(kind).copied()).max();
        let cell = worst.map_or("–".to_owned(), |count| format!("**{count}**"));
        write!(head, " {} |", kind.name()).and_then(|()| write!(line, " --- |")).expect("a text takes all");
        write!(row, " {cell} |").expect("a text takes all");
    }
    format!("{head}\n{line}\n{row}\n")
}

/// How many records, or events without records, each kind concerns.
fn counts(violations: &[Violation]) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for violation in violations {
        let concerned = match violation.kind {
            Kind::Lost | Kind::NotDelivered | Kind::SequenceNumbers => violation.entries.len().max(1),
            _ => 1,
        };
        *counts.entry(violation.kind).or_default() += concerned;
    }
    counts
}

fn part(text: &mut String, name: &str, lines: &[String], checks: &[Kind], violations: &[Violation]) {
    let state = if violations.is_empty() { "fine" } else { "VIOLATED" };
    write!(text, "\n{name}: {state}\n").expect("a text takes all");
    for line in lines {
        writeln!(text, "  {line}").expect("a text takes all");
    }
    let counts = counts(violations);
    let held: Vec<&str> = checks.iter().filter(|kind| !counts.contains_key(kind)).map(|kind| kind.name()).collect();
    writeln!(text, "  held: {}", held.join(", ")).expect("a text takes all");
    for (kind, number) in counts {
        let mut of_kind = violations.iter().filter(|violation| violation.kind == kind);
        let first = of_kind.next().expect("it was counted");
        writeln!(text, "  violated: {}, {number}\n    {}", kind.name(), first.what).expect("a text takes all");
        for event in first.events.iter().take(EVENTS_MAX) {
            writeln!(text, "      {event}").expect("a text takes all");
        }
        let more =
            [(first.events.len().saturating_sub(EVENTS_MAX), "more events"), (of_kind.count(), "more like this")];
        let more: Vec<String> =
            more.iter().filter(|(number, _)| *number > 0).map(|(number, noun)| format!("{number} {noun}")).collect();
        if !more.is_empty() {
            writeln!(text, "      and {}: see -o json", more.join(", ")).expect("a text takes all");
        }
    }
}

fn server_lines(plan: &Plan, figures: &ServerFigures) -> Vec<String> {
    match figures {
        ServerFigures::Queue(queue) => vec![format!(
            "{} sent, {} received, {} deliveries in {} receives by {} receivers, {} deleted",
            queue.sent, queue.received, queue.deliveries, queue.receives, plan.receivers, queue.deleted
        )],
        ServerFigures::Stream(stream) => vec![format!(
            "{} put, {} read, {}, {}",
            stream.sent,
            stream.received,
            count(stream.shards, "shard"),
            count(stream.reshards, "reshard")
        )],
    }
}

fn path_lines(figures: &PathFigures) -> Vec<String> {
    let mut lines = vec![format!(
        "{} sent, {} delivered, {} given up, {} not delivered",
        figures.sent, figures.delivered, figures.given_up, figures.lost
    )];
    let (invocations, repeats) = (&figures.invocations, &figures.repeats);
    lines.push(format!(
        "invocations: {} succeeded, {} failed, {} partial, {} throttled, {} cut off; {}",
        invocations.succeeded,
        invocations.failed,
        invocations.partial,
        invocations.throttled,
        invocations.cut,
        count(figures.kills, "kill")
    ));
    lines.push(format!(
        "repeats: {} after a failure, {} after a crash, {} by the server, {} unexplained",
        repeats.after_failure, repeats.after_crash, repeats.by_server, repeats.unexplained
    ));
    if let Some(latency) = &figures.latency_ms {
        let (p50, p90, p99, max) = (latency.p50, latency.p90, latency.p99, latency.max);
        lines.push(format!("put to first invocation: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, max {max} ms"));
    }
    for (what, spread) in [("records in a batch", &figures.batch_size), ("deliveries of a record", &figures.attempts)] {
        if let Some(spread) = spread {
            lines.push(format!("{what}: {} to {}, mean {:.1}", spread.least, spread.greatest, spread.mean));
        }
    }
    lines
}

const OF_QUEUE: &[Kind] = &[Kind::Lost, Kind::Invented, Kind::Visibility, Kind::Undeleted];
const OF_FIFO_QUEUE: &[Kind] = &[
    Kind::Lost,
    Kind::Invented,
    Kind::DoubleLease,
    Kind::Inversion,
    Kind::Visibility,
    Kind::Undeleted,
    Kind::SequenceNumbers,
];
const OF_STREAM: &[Kind] =
    &[Kind::Lost, Kind::Invented, Kind::Repeated, Kind::Inversion, Kind::SequenceNumbers, Kind::Lineage];
const OF_UNORDERED_PATH: &[Kind] =
    &[Kind::NotDelivered, Kind::InventedDelivery, Kind::UnexplainedRepeat, Kind::GivenUpEarly];
const OF_QUEUE_PATH: &[Kind] = &[
    Kind::NotDelivered,
    Kind::InventedDelivery,
    Kind::DeliveryOrder,
    Kind::OverlappingKey,
    Kind::UnexplainedRepeat,
    Kind::GivenUpEarly,
];
const OF_STREAM_PATH: &[Kind] = &[
    Kind::NotDelivered,
    Kind::InventedDelivery,
    Kind::DeliveryOrder,
    Kind::OverlappingKey,
    Kind::ChildBeforeParent,
    Kind::UnexplainedRepeat,
];

/// Of a story, words show so much.
const EVENTS_MAX: usize = 24;
