//! A mapping as `GetEventSourceMapping` answers it, pasted into a file: what an answer has and a request has not.
//! Knows names and what they mean for a request; shapes are judged by `tree`.

use super::yaml::{Node, Value};

/// What a member of an answer comes to in a request.
pub(super) enum AnswerMember {
    /// The ARN of the function, which a request calls by name.
    FunctionArn,
    /// Whether the mapping ran.
    State,
    /// A fact about the mapping that was answered, which asks for nothing.
    Fact,
}

/// The member of an answer, if it is one that requests do not have.
pub(super) fn member(name: &str) -> Option<AnswerMember> {
    match name {
        "FunctionArn" => Some(AnswerMember::FunctionArn),
        "State" => Some(AnswerMember::State),
        "UUID"
        | "EventSourceMappingArn"
        | "LastModified"
        | "LastProcessingResult"
        | "StateTransitionReason"
        | "FilterCriteriaError"
        | "DeclaredIn"
        | "Waits"
        | "Stalled"
        | "HeldBack" => Some(AnswerMember::Fact),
        _ => None,
    }
}

/// The member of an answer that tells what this member of a request asks for.
pub(super) fn told_by(name: &str) -> Option<&'static str> {
    (name == "FunctionName").then_some("FunctionArn")
}

/// `Enabled`, as a state says it; none if it is no state in which a mapping is worth to be made again.
pub(super) fn enabled(state: &Node) -> Option<bool> {
    match &state.value {
        Value::Text(state) => match state.as_str() {
            "Creating" | "Enabling" | "Enabled" | "Updating" => Some(true),
            "Disabling" | "Disabled" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
