//! `esmd filter test`: whether an event's records would reach a function, and if not, why. Reads files and prints; the
//! verdict is `crate::filter`'s. The exit code is 0 if every record matches, 1 if one does not, 2 if nothing could be
//! tested.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use crate::filter::{SourceKind, TestedRecord, test};

/// What can be done with filter patterns.
#[derive(Debug, Subcommand)]
pub enum FilterCommand {
    /// Tells whether an event's records match filter patterns, and if not, why
    ///
    /// The exit code is 0 if every record matches one of the patterns, 1 if a record matches none, and 2 if nothing could be
    /// tested.
    #[command(after_help = EXAMPLES)]
    Test(TestArguments),
}

/// The arguments of `esmd filter test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// A pattern as JSON, or @FILE; given several times, a record has to match one of them
    #[arg(long = "pattern", value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// A file with one record or with {"Records": [...]}, as a function sees them; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub event: String,
    /// Where the records come from; without it the first record shows it
    #[arg(long, value_enum)]
    pub source: Option<SourceArgument>,
}

/// The services whose records can be filtered.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SourceArgument {
    /// A queue
    Sqs,
    /// A Kinesis stream
    Kinesis,
    /// A table's stream
    Dynamodb,
}

/// Runs the command and says what came of it.
#[must_use]
pub fn run(command: &FilterCommand) -> ExitCode {
    let FilterCommand::Test(arguments) = command;
    match arguments.test().and_then(|tested| print(&tested)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(WRONG_USE)
        }
    }
}

impl TestArguments {
    fn test(&self) -> anyhow::Result<Vec<TestedRecord>> {
        let patterns = self.patterns.iter().map(|pattern| match pattern.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read")),
            None => Ok(pattern.clone()),
        });
        let patterns: Vec<String> = patterns.collect::<Result<_, _>>()?;
        let event = match self.event.as_str() {
            "-" => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map(|_| text).context("standard input cannot be read")?
            }
            file => std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?,
        };
        Ok(test(&patterns, &event, self.source.map(SourceKind::from))?)
    }
}

impl From<SourceArgument> for SourceKind {
    fn from(argument: SourceArgument) -> Self {
        match argument {
            SourceArgument::Sqs => Self::Sqs,
            SourceArgument::Kinesis => Self::Kinesis,
            SourceArgument::Dynamodb => Self::Dynamodb,
        }
    }
}

/// Says what was found out on standard output. Whether every record matches.
fn print(tested: &[TestedRecord]) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    for (place, record) in tested.iter().enumerate() {
        let verdict = if record.matched { "matches" } else { "does not match" };
        writeln!(out, "record {}: {verdict}", place + 1)?;
        for miss in &record.misses {
            writeln!(out, "  filter {}: {}", miss.filter + 1, miss.why)?;
        }
    }
    Ok(tested.iter().all(|record| record.matched))
}

const WRONG_USE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  esmd filter test --pattern '{\"body\": {\"kind\": [\"order\"]}}' --event event.json
  esmd filter test --pattern @pattern.json --event - --source kinesis < record.json";
