//! A call as both clients take it: an operation and its members in AWS's words; and what came of it.

use serde_json::Value;

use super::cli;
use super::sdk::Sdk;
use crate::support::daemon::Daemon;

/// One of AWS's clients.
pub(super) enum Client {
    Sdk(Sdk),
    Cli,
}

/// What Lambda's API does with mappings and tags.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Create,
    Get,
    /// One page.
    List,
    /// All pages, as the client goes through them by itself.
    ListAll,
    Update,
    Delete,
    Tag,
    Untag,
    ListTags,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Answer {
    /// None: the client sent nothing.
    pub(super) status: Option<u16>,
    /// The body, of the last answer if there were several. Null: none.
    pub(super) wire: Value,
    /// What the client makes of it, in AWS's words, without members that it does not show.
    pub(super) shown: Result<Value, Refusal>,
}

/// An error as a client tells it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) name: String,
    pub(super) message: String,
}

impl Client {
    pub(super) fn sdk(daemon: &Daemon) -> Self {
        Self::Sdk(Sdk::new(daemon))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sdk(_) => "sdk",
            Self::Cli => "cli",
        }
    }

    pub(super) async fn call(&self, daemon: &Daemon, operation: Operation, members: Value) -> Answer {
        match self {
            Self::Sdk(sdk) => sdk.call(operation, members).await,
            Self::Cli => cli::call(daemon, operation, &members).await,
        }
    }
}
