//! `esmd mapping`: mappings of a running esmd, by its API. What can be said stands here; `client` speaks to the API,
//! `members` turns options into a document, `show` prints. Invariant: whatever fails is told with what to do about it,
//! and ends with exit code 1.

mod client;
mod members;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::config::ConfigFile;
use crate::config::problem::Problems;
use crate::config::settings::DEFAULT_LISTEN;
use crate::mapping::document::MappingDocument;
use client::{CallError, Client};
use members::{FixedMembers, Members};
pub use show::Format;

/// The arguments of `esmd mapping`.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "the help shows the comments as they are")]
pub struct MappingArguments {
    /// What is to be done.
    #[command(subcommand)]
    pub command: MappingCommand,
    /// How answers are shown
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Where esmd listens [default: http://127.0.0.1:9900]
    #[arg(long, global = true, env = "ESMD_ENDPOINT_URL", value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// The region that requests are signed for: esmd's own [default: that of the profile]
    #[arg(long, global = true, env = "AWS_REGION", value_name = "REGION")]
    pub region: Option<String>,
    /// Waits until the change is carried out, for five minutes at most
    #[arg(long, global = true)]
    pub wait: bool,
}

/// What is to be done about mappings.
#[derive(Debug, Subcommand)]
pub enum MappingCommand {
    /// Lists the mappings
    List {
        /// Only those of this queue or stream
        #[arg(long, value_name = "ARN")]
        event_source_arn: Option<String>,
        /// Only those of this function, with just this qualifier or none
        #[arg(long, value_name = "NAME")]
        function_name: Option<String>,
    },
    /// Shows a mapping
    Get {
        /// Its name
        uuid: String,
    },
    /// Makes a mapping
    Create(Box<CreateArguments>),
    /// Changes the members of a mapping that are given
    Update(Box<UpdateArguments>),
    /// Deletes a mapping with its checkpoints
    Delete {
        /// Its name
        uuid: String,
    },
    /// Lets a mapping run
    Enable {
        /// Its name
        uuid: String,
    },
    /// Stops a mapping; its checkpoints stay
    Disable {
        /// Its name
        uuid: String,
    },
}

/// The arguments of `esmd mapping create`.
#[derive(Debug, Args)]
pub struct CreateArguments {
    #[command(flatten)]
    file: MappingFile,
    #[command(flatten)]
    fixed: FixedMembers,
    #[command(flatten)]
    members: Members,
}

/// The arguments of `esmd mapping update`.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Its name
    uuid: String,
    #[command(flatten)]
    file: MappingFile,
    #[command(flatten)]
    members: Members,
}

#[derive(Debug, Args)]
struct MappingFile {
    /// A file with members of the mapping, YAML or JSON; options count before it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Does what was asked and prints the answer.
pub fn run(arguments: &MappingArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime did not start")?.block_on(call(arguments))
}

async fn call(arguments: &MappingArguments) -> anyhow::Result<()> {
    let document = arguments.command.document()?;
    let endpoint = arguments.endpoint_url.clone().unwrap_or_else(|| format!("http://{DEFAULT_LISTEN}"));
    let client = Client::new(endpoint, arguments.region.as_deref()).await?;
    let format = arguments.output;
    let mapping = match &arguments.command {
        MappingCommand::List { event_source_arn, function_name } => {
            let found = client.list(event_source_arn.as_deref(), function_name.as_deref()).await?;
            return show::list(&found, format);
        }
        MappingCommand::Get { uuid } => client.get(uuid).await?,
        MappingCommand::Create(_) => client.create(&document).await?,
        MappingCommand::Update(arguments) => client.update(&arguments.uuid, &document).await?,
        MappingCommand::Enable { uuid } | MappingCommand::Disable { uuid } => client.update(uuid, &document).await?,
        MappingCommand::Delete { uuid } => client.delete(uuid).await?,
    };
    let mapping = if arguments.wait { steady(&client, mapping).await? } else { mapping };
    show::one(&mapping, format)
}

impl MappingCommand {
    /// What is sent.
    fn document(&self) -> anyhow::Result<MappingDocument> {
        let enabled = |enabled| MappingDocument { enabled: Some(enabled), ..MappingDocument::default() };
        Ok(match self {
            Self::Create(arguments) => {
                let CreateArguments { file, fixed, members } = &**arguments;
                file.read()?.changed_by(fixed.document()).changed_by(members.document())
            }
            Self::Update(arguments) => arguments.file.read()?.changed_by(arguments.members.document()),
            Self::Enable { .. } => enabled(true),
            Self::Disable { .. } => enabled(false),
            Self::List { .. } | Self::Get { .. } | Self::Delete { .. } => MappingDocument::default(),
        })
    }
}

impl MappingFile {
    fn read(&self) -> anyhow::Result<MappingDocument> {
        let Some(path) = &self.file else { return Ok(MappingDocument::default()) };
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("{file} cannot be read"))?;
        ConfigFile::parse_mapping(&text).map_err(|problems| anyhow::anyhow!("\n{}", Problems { file, text, problems }))
    }
}

/// Asks until no transition is under way. A mapping that is deleted is shown as it was last.
async fn steady(client: &Client, mut mapping: Value) -> anyhow::Result<Value> {
    let uuid = mapping["UUID"].as_str().unwrap_or_default().to_owned();
    let asked = tokio::time::timeout(WAIT_MAX, async {
        while !matches!(mapping["State"].as_str(), Some("Enabled" | "Disabled")) {
            tokio::time::sleep(ASK_EVERY).await;
            match client.get(&uuid).await {
                Ok(now) => mapping = now,
                Err(CallError::Refused { code, .. }) if code == "ResourceNotFoundException" => return Ok(()),
                Err(failed) => return Err(failed),
            }
        }
        Ok(())
    });
    match asked.await {
        Ok(done) => done?,
        Err(_) => bail!(
            "mapping {uuid} is still {} after five minutes: `esmd mapping get {uuid}` and the log of esmd say more",
            mapping["State"].as_str().unwrap_or_default()
        ),
    }
    Ok(mapping)
}

const ASK_EVERY: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_mins(5);
