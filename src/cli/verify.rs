//! `esmd verify` on the command line: flags to a plan, runs, and an exit code: 0 fine, 1 a violation, 2 wrong usage or no
//! verdict, 130 interrupted. What a run made is removed however the run ends: with a verdict, an error, a panic or a
//! signal.

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_config::Region;
use aws_sdk_sqs::config::Credentials;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::arguments::Output;
pub use self::arguments::VerifyArguments;
use crate::aws::{self, Aws};
use crate::telemetry::chain;
use crate::verify::progress::Progress;
use crate::verify::stage::Stage;
use crate::verify::{LOCAL_CREDENTIALS, Outcome, Place, Plan, VerifyError, report};

/// Runs the command to its exit code.
pub fn run(arguments: &VerifyArguments) -> ExitCode {
    let result = arguments.plan().map_err(VerifyError::Usage).and_then(|plan| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(VerifyError::Machine)?;
        let result = runtime.block_on(verify(arguments, Arc::new(plan)));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::from(2)
        }
    }
}

async fn verify(arguments: &VerifyArguments, plan: Arc<Plan>) -> Result<u8, VerifyError> {
    let aws = connect(&plan).await?;
    let progress = Arc::new(Progress::new());
    let seed = arguments.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0 >> 32);
    let mut outcomes = Vec::new();
    for number in 0..u64::from(arguments.runs) {
        let Some(outcome) = staged(&plan, &aws, seed.wrapping_add(number), &progress).await? else {
            eprintln!("interrupted");
            return Ok(130);
        };
        if arguments.output == Output::Text {
            println!("{}", report::text(&plan, &outcome));
        }
        outcomes.push(outcome);
        if outcomes.iter().any(Outcome::is_violated) {
            break;
        }
    }
    match arguments.output {
        Output::Text => println!("{}", report::verdict(&outcomes)),
        Output::Json => println!("{:#}", report::json(&plan, &outcomes)),
        Output::Markdown => {
            let server = arguments.label.as_deref().or(plan.endpoint.as_deref()).unwrap_or("AWS");
            print!("{}", report::markdown(&plan, server, &outcomes));
        }
    }
    Ok(u8::from(outcomes.iter().any(Outcome::is_violated)))
}

/// One run with its stage, which is cleared whatever happens. `None`: a signal ended it.
async fn staged(
    plan: &Arc<Plan>,
    aws: &Aws,
    seed: u64,
    progress: &Arc<Progress>,
) -> Result<Option<Outcome>, VerifyError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(VerifyError::Machine)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(VerifyError::Machine)?;
    // The terminal is closed: nobody else would end the daemon, which has a process group of its own.
    let mut hangup = signal(SignalKind::hangup()).map_err(VerifyError::Machine)?;
    let name = format!("esmd-verify-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let stage = Arc::new(Stage::new(aws.clone(), name.clone(), plan.endpoint.clone()));
    // A task of its own, so that a panic in it is an answer like others.
    if matches!(plan.place, Place::Made { .. }) {
        progress.say(&format!("what is made for this run is called {name}"));
    }
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (plan, aws, stage, progress) = (Arc::clone(plan), aws.clone(), Arc::clone(&stage), Arc::clone(progress));
        async move { Box::pin(plan.run(&aws, &stage, seed, &progress)).await }
    });
    let result = tokio::select! {
        Some(ended) = tasks.join_next() => ended.unwrap_or_else(|panic| Err(VerifyError::Broken(panic))).map(Some),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
        _ = hangup.recv() => Ok(None),
    };
    tasks.shutdown().await; // what the task holds is dropped: the daemon is killed
    progress.clear();
    tokio::select! {
        left = tokio::time::timeout(CLEARING_MAX, stage.clear()) => match left {
            Ok(left) => left.iter().for_each(|left| eprintln!("warning: not removed: {left}")),
            Err(_) => eprintln!("warning: what begins with {name} may not be removed: the server is silent or busy"),
        },
        _ = interrupt.recv() => eprintln!("warning: what begins with {name} may not be removed"),
    }
    result
}

async fn connect(plan: &Plan) -> Result<Aws, VerifyError> {
    let mut loader = aws::loader();
    if let Some(endpoint) = &plan.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if plan.local_credentials {
        let (id, secret) = LOCAL_CREDENTIALS;
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "esmd verify"));
        if region_variable().is_none() {
            loader = loader.region(Region::new("us-east-1"));
        }
    }
    Aws::from_loader(loader).await.map_err(|error| VerifyError::Usage(chain(&error)))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn region_variable() -> Option<String> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// Things are removed in seconds, but for a stream or table that AWS is still making, which takes it up to a minute.
const CLEARING_MAX: Duration = Duration::from_mins(2);
