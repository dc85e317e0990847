//! The wire form of a mapping: AWS names, everything optional, nothing checked beyond its shape.

use serde::{Deserialize, Serialize};

/// What a user wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct MappingDocument {
    /// The queue or stream.
    pub event_source_arn: Option<String>,
}
