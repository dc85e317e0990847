//! The process: parses the arguments, runs the command, and maps its result to an exit code: 0 done, 1 an error, which
//! is printed once with all its causes, 2 wrong usage.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use esmd::cli::{self, Arguments, Command};
use esmd::config::settings::DEFAULT_WORKER_THREADS;
use esmd::config::{Config, ConfigError, LoadedFile};

/// Records are allocated on one thread and freed on another, for which the C library's allocator pays dearly
/// (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Run(arguments) => arguments.load().map_err(anyhow::Error::from).and_then(run),
        Command::Check { file, online } => cli::check(file).and_then(|file| if *online { look(&file) } else { Ok(()) }),
        Command::Filter { command } => return cli::filter::run(command),
        Command::Mapping(arguments) => cli::mapping::run(arguments),
        Command::Completions { shell } => cli::generated::completions(*shell),
        Command::ManPages { directory } => cli::generated::man_pages(directory),
        Command::Verify(arguments) => return cli::verify::run(arguments),
        Command::Version => cli::version(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    within_runtime(config.settings.worker_threads, esmd::daemon::run(config))
}

fn look(file: &LoadedFile) -> anyhow::Result<()> {
    within_runtime(DEFAULT_WORKER_THREADS, esmd::online::check(file, |finding| eprintln!("{finding}")))
}

fn within_runtime(threads: usize, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.context("the runtime did not start")?;
    let result = runtime.block_on(work);
    // A name look-up cannot be cancelled; nothing waits for it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn report(error: &anyhow::Error) {
    match error.downcast_ref() {
        // Each mistake already says that it is an error, and where.
        Some(ConfigError::Invalid(problems)) => eprintln!("{problems}"),
        _ => eprintln!("error: {error:#}"),
    }
}
