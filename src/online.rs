//! `esmd check --online`: asks the servers that the environment names whether what a file maps is there, and says what
//! of it makes trouble likely. Changes nothing anywhere, and invokes nobody.

use anyhow::bail;

use crate::aws::Aws;
use crate::clock::Clock;
use crate::config::{ConfiguredMapping, LoadedFile};
use crate::connect::{AwsConnector, Connector as _};
use crate::mapping::{EventSourceMapping, SourceSettings};
use crate::source::sqs::facts::inspect;
use crate::target::Function;
use crate::telemetry::chain;

/// What was found out about a mapping.
struct Finding {
    is_error: bool,
    text: String,
}

/// Looks at each mapping of the file and hands every finding to `say`, with its line. An error if a function or source
/// cannot be used as it is.
pub async fn check(file: &LoadedFile, mut say: impl FnMut(&str)) -> anyhow::Result<()> {
    let aws = Aws::load().await?;
    let mut errors = 0;
    for ConfiguredMapping { mapping, line, .. } in &file.contents.mappings {
        for Finding { is_error, text } in look_at(&aws, mapping).await {
            errors += usize::from(is_error);
            let kind = if is_error { "error" } else { "warning" };
            say(&format!("{}:{line}: {kind}: {}: {text}", file.path.display(), mapping.source_arn().as_str()));
        }
    }
    if errors > 0 {
        bail!("mappings that cannot run as they are: {errors}");
    }
    Ok(())
}

async fn look_at(aws: &Aws, mapping: &EventSourceMapping) -> Vec<Finding> {
    let connector = AwsConnector {
        aws: aws.clone(),
        clock: Clock::system(),
        queue_wait_time: std::time::Duration::from_secs(1),
        shard_poll_interval: std::time::Duration::from_secs(1),
    };
    let error = |error: &dyn std::error::Error| vec![Finding { is_error: true, text: chain(error) }];
    let function = match connector.target(mapping).describe().await {
        Ok(function) => function,
        Err(missing) => return error(&missing),
    };
    match &mapping.source {
        SourceSettings::Queue(_) => match inspect(&aws.sqs(), mapping.source_arn().as_str()).await {
            Ok(facts) => {
                warnings(facts.advice(function.timeout, mapping.batching.window, mapping.esmd.extend_visibility))
            }
            Err(unknown) => error(&unknown.error),
        },
        SourceSettings::Stream(_) => {
            look_at_stream(&connector, mapping, &function).await.map_or_else(|refused| error(&refused), |()| Vec::new())
        }
    }
}

async fn look_at_stream(
    connector: &AwsConnector,
    mapping: &EventSourceMapping,
    function: &Function,
) -> Result<(), crate::source::SourceError> {
    connector.source(mapping, function).await?.shards().await.map(drop)
}

fn warnings(advice: Vec<String>) -> Vec<Finding> {
    advice.into_iter().map(|text| Finding { is_error: false, text }).collect()
}
