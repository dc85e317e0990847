//! The command line: what can be said, and the commands that need no daemon. A usage error ends the process with code 2
//! before anything here runs.

pub mod filter;
pub mod generated;
pub mod mapping;
pub mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use jiff::Timestamp;

use self::mapping::MappingArguments;
use crate::config::environment::Environment;
use crate::config::settings::GivenSettings;
use crate::config::{Config, ConfigError, LoadedFile};

/// AWS Lambda's event source mapping as a daemon: reads queues and streams, invokes functions in order, and settles
/// each record by the answer.
#[derive(Debug, Parser)]
#[command(name = "esmd", version, disable_help_subcommand = true, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
#[expect(clippy::doc_markdown, reason = "the help shows the comments as they are")]
pub enum Command {
    /// Runs the mappings until SIGTERM or SIGINT, then drains
    ///
    /// Region, credentials and endpoints come from AWS's standard environment: AWS_REGION, AWS_PROFILE,
    /// AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS and so on. Of each setting the flag counts first, then
    /// the environment variable, then the configuration file.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArguments>),
    /// Checks a configuration file and shows every mistake in it, without asking any server
    ///
    /// If AWS_REGION is set, the regions of the ARNs are checked as well. The exit code is 0 if the file is valid,
    /// else 1.
    Check {
        /// Also asks the servers that AWS's environment names: whether functions, queues and streams are there, and
        /// what of a queue makes trouble likely. Warnings leave the exit code at 0
        #[arg(long)]
        online: bool,
        /// The configuration file, YAML or JSON
        file: PathBuf,
    },
    /// Tries out filter patterns
    Filter {
        /// What is to be done.
        #[command(subcommand)]
        command: filter::FilterCommand,
    },
    /// Shows and changes the mappings of a running esmd, by its API
    ///
    /// Requests are signed with the credentials of AWS's standard environment or profile, if there are any. An esmd on
    /// loopback needs none; another must know the access key.
    #[command(after_help = MAPPING_EXAMPLES)]
    Mapping(MappingArguments),
    /// Prints a shell's completions
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes man pages into a directory
    ManPages {
        /// The directory
        directory: PathBuf,
    },
    /// Tests the ordering semantics of a queue, stream or server, and esmd on top of it
    ///
    /// Sends numbered records, watches them by raw receivers and through `esmd run` with a function that has the
    /// trouble you choose, and judges the server and the whole path apart. The exit code is 0 if all is fine, 1 on a
    /// violation, 2 on wrong usage or if the server cannot be reached.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Box<verify::VerifyArguments>),
    /// Prints the version
    Version,
}

/// The arguments of `esmd run`.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// The configuration file, YAML or JSON: settings, and the mappings to run
    #[arg(long, env = "ESMD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Flags and environment variables.
    #[command(flatten)]
    pub settings: GivenSettings,
}

impl RunArguments {
    /// Joins the arguments with the file, the process's environment and the defaults.
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), &self.settings, &environment().without_aws(), Timestamp::now())
    }
}

/// Checks a configuration file and says so on standard output.
pub fn check(file: &Path) -> anyhow::Result<LoadedFile> {
    let checked = LoadedFile::load(file, &environment(), Timestamp::now())?;
    let count = checked.contents.mappings.len();
    let noun = if count == 1 { "mapping" } else { "mappings" };
    writeln!(std::io::stdout(), "{}: ok, {count} {noun}", file.display())?;
    Ok(checked)
}

/// Prints the version on standard output, as `--version` does.
pub fn version() -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "esmd {}", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}

fn environment() -> Environment {
    Environment::read(|name| std::env::var(name).ok())
}

const EXAMPLES: &str = "\
Examples:
  esmd check esmd.yaml
  esmd run --config esmd.yaml
  esmd mapping list";

const MAPPING_EXAMPLES: &str = "\
Examples:
  esmd mapping list
  esmd mapping create --event-source-arn arn:aws:sqs:eu-west-1:123456789012:orders --function-name worker --wait
  esmd mapping update 6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d --batch-size 50 -o json
  esmd mapping disable 6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d --wait";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  esmd completions bash > ~/.local/share/bash-completion/completions/esmd
  esmd completions zsh > ~/.zfunc/_esmd";

const RUN_EXAMPLES: &str = "\
Examples:
  esmd run --config esmd.yaml
  AWS_ENDPOINT_URL=http://127.0.0.1:4566 esmd run --config esmd.yaml --state-dir ./state
  ESMD_LOG_FORMAT=json esmd run --config esmd.yaml --metrics-listen 0.0.0.0:9901";

const VERIFY_EXAMPLES: &str = "\
Examples:
  esmd verify --source sqs-fifo --create --endpoint-url http://127.0.0.1:4566
  esmd verify --source kinesis --create --reshard 2 --kill 1 --endpoint-url http://127.0.0.1:4568
  esmd verify --source sqs --create --fail 0.1 --throttle 0.05 --slow 200ms --poison 1 --runs 5 -o json
  esmd verify --source dynamodb --arn arn:aws:dynamodb:…:table/orders/stream/… --parallelization-factor 4";
