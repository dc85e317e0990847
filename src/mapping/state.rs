//! The states of a mapping as Lambda's API shows them, and which call leads to which (`docs/semantics.md` 1.8). Knows
//! nothing of what runs: whoever carries a change out says when it is done.

use serde::{Deserialize, Serialize};

use super::{EventSourceMapping, SourceSettings};

/// The state of a mapping, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MappingState {
    /// It was made and has not begun.
    Creating,
    /// It was enabled and has not begun.
    Enabling,
    /// It runs.
    Enabled,
    /// It was disabled and still settles what it had begun.
    Disabling,
    /// It does not run.
    Disabled,
    /// Its settings were changed and are not in force yet.
    Updating,
    /// It was deleted and still settles what it had begun.
    Deleting,
}

impl MappingState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Creating,
        Self::Enabling,
        Self::Enabled,
        Self::Disabling,
        Self::Disabled,
        Self::Updating,
        Self::Deleting,
    ];

    /// The state of a mapping that was just made.
    #[must_use]
    pub fn created(mapping: &EventSourceMapping) -> Self {
        match mapping.source {
            SourceSettings::Queue(_) if !mapping.enabled => Self::Disabled,
            SourceSettings::Queue(_) | SourceSettings::Stream(_) => Self::Creating,
        }
    }

    /// The state of a mapping that was just changed. `was_enabled` says whether it was to run before.
    #[must_use]
    pub fn updated(was_enabled: bool, mapping: &EventSourceMapping) -> Self {
        match (was_enabled, mapping.enabled, &mapping.source) {
            (false, true, _) => Self::Enabling,
            (true, false, _) => Self::Disabling,
            (false, false, SourceSettings::Queue(_)) => Self::Disabled,
            (true, true, _) | (false, false, SourceSettings::Stream(_)) => Self::Updating,
        }
    }

    /// The state that lasts.
    #[must_use]
    pub fn settled(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }

    /// Whether something is still to be carried out.
    #[must_use]
    pub fn is_transition(self) -> bool {
        !matches!(self, Self::Enabled | Self::Disabled)
    }

    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::mapping::validate::Scope;

    /// `docs/semantics.md` 1.8
    #[test]
    fn the_state_of_a_mapping_that_was_made_depends_on_its_source() {
        for (source, enabled, state) in [
            (QUEUE, true, MappingState::Creating),
            (QUEUE, false, MappingState::Disabled),
            (STREAM, true, MappingState::Creating),
            (STREAM, false, MappingState::Creating),
        ] {
            assert_eq!(MappingState::created(&mapping(source, enabled)), state, "{source} {enabled}");
        }
    }

    /// `docs/semantics.md` 1.8
    #[test]
    fn the_state_of_a_mapping_that_was_changed_depends_on_what_it_was() {
        for (source, was_enabled, enabled, state) in [
            (QUEUE, false, true, MappingState::Enabling),
            (QUEUE, true, false, MappingState::Disabling),
            (QUEUE, true, true, MappingState::Updating),
            (QUEUE, false, false, MappingState::Disabled),
            (STREAM, false, true, MappingState::Enabling),
            (STREAM, true, false, MappingState::Disabling),
            (STREAM, true, true, MappingState::Updating),
            (STREAM, false, false, MappingState::Updating),
        ] {
            let changed = MappingState::updated(was_enabled, &mapping(source, enabled));
            assert_eq!(changed, state, "{source} {was_enabled} {enabled}");
        }
    }

    /// `docs/semantics.md` 1.8
    #[test]
    fn a_mapping_rests_enabled_or_disabled_and_every_other_state_ends() {
        for state in MappingState::ALL {
            let rests = [true, false].map(MappingState::settled).contains(&state);
            assert_eq!(state.is_transition(), !rests, "{state:?}");
            assert_eq!(state.as_str(), format!("{state:?}"));
        }
        assert_eq!([true, false].map(MappingState::settled), [MappingState::Enabled, MappingState::Disabled]);
    }

    fn mapping(source: &str, enabled: bool) -> EventSourceMapping {
        let position = source.contains("kinesis").then_some("LATEST");
        let document = json!({"EventSourceArn": source, "FunctionName": "worker", "Enabled": enabled,
            "StartingPosition": position});
        let document = serde_json::from_value(document).expect("a document");
        let scope = Scope { region: None, custom_endpoint: true, now: Timestamp::UNIX_EPOCH };
        EventSourceMapping::from_document(&document, &scope).expect("a valid one")
    }

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:orders";
    const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";
}
