//! The one place that knows which adapters exist.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Connector, function_arn};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::destination::Destination;
use crate::destination::s3::S3Destination;
use crate::destination::sns::SnsDestination;
use crate::destination::sqs::SqsDestination;
use crate::mapping::arn::{Service, SourceArn};
use crate::mapping::on_failure::DestinationKind;
use crate::mapping::{EsmdSettings, EventSourceMapping, SourceSettings, StreamKind};
use crate::source::dynamodb::DynamodbSource;
use crate::source::kinesis::{FanOut, KinesisSource, Stream};
use crate::source::sqs::{SqsSettings, SqsSource};
use crate::source::{Source, SourceError};
use crate::target::lambda::{LambdaSettings, LambdaTarget, presumed_function};
use crate::target::{Function, Target};

/// Connects to AWS, or to whatever server the environment's endpoints name.
pub struct AwsConnector {
    /// The clients.
    pub aws: Aws,
    /// The time.
    pub clock: Clock,
    /// How long a receive waits for a queue's first message.
    pub queue_wait_time: Duration,
    /// How long an idle shard is left alone between two reads; of `DynamoDB` 250 ms at most.
    pub shard_poll_interval: Duration,
}

impl Connector for AwsConnector {
    fn target(&self, mapping: &EventSourceMapping) -> Arc<dyn Target> {
        let EsmdSettings { function_timeout, invoke_identity_arn, .. } = mapping.esmd.clone();
        let arn = function_arn(mapping, self.aws.region());
        let settings = LambdaSettings {
            name: mapping.function.as_given().to_owned(),
            presumed: presumed_function(arn, function_timeout, invoke_identity_arn),
        };
        Arc::new(LambdaTarget::new(self.aws.lambda(), settings, self.clock.clone()))
    }

    fn source<'a>(
        &'a self,
        mapping: &'a EventSourceMapping,
        function: &'a Function,
    ) -> BoxFuture<'a, Result<Arc<dyn Source>, SourceError>> {
        let arn = mapping.source_arn();
        match &mapping.source {
            SourceSettings::Queue(_) => {
                let payloads = mapping.esmd.resolve_large_payloads.then(|| self.aws.s3());
                let settings = SqsSettings {
                    arn: arn.as_str().to_owned(),
                    wait: self.queue_wait_time,
                    batch_size: mapping.batching.size,
                    window: mapping.batching.window,
                    function_timeout: function.timeout,
                    extends_visibility: mapping.esmd.extend_visibility,
                    payloads,
                };
                Box::pin(async {
                    let source = SqsSource::open(self.aws.sqs(), settings, self.clock.clone()).await?;
                    Ok(Arc::new(source) as Arc<dyn Source>)
                })
            }
            SourceSettings::Stream(settings) => {
                let source: Arc<dyn Source> = match settings.kind {
                    StreamKind::Kinesis => Arc::new(self.kinesis(arn, function)),
                    StreamKind::Dynamodb => {
                        let source = DynamodbSource::new(self.aws.dynamodb_streams(), arn.as_str());
                        Arc::new(source.with_poll_interval_at_most(self.shard_poll_interval))
                    }
                };
                Box::pin(std::future::ready(Ok(source)))
            }
        }
    }

    fn destination(&self, mapping: &EventSourceMapping) -> Option<Arc<dyn Destination>> {
        let SourceSettings::Stream(settings) = &mapping.source else { return None };
        let arn = settings.on_failure.as_ref()?.destination.clone();
        Some(match arn.kind() {
            DestinationKind::Sqs => Arc::new(SqsDestination::new(self.aws.sqs_in(arn.region()), arn)),
            DestinationKind::Sns => Arc::new(SnsDestination::new(self.aws.sns_in(arn.region()), arn)),
            DestinationKind::S3 => Arc::new(S3Destination::new(self.aws.s3(), arn)),
        })
    }
}

impl AwsConnector {
    /// A stream that is polled, or that pushes its records to the consumer that the mapping names.
    fn kinesis(&self, arn: &SourceArn, function: &Function) -> KinesisSource {
        let stream = Stream {
            arn: arn.stream().to_owned(),
            region: arn.region().to_owned(),
            invoke_identity_arn: function.role_arn.clone(),
        };
        let source = KinesisSource::new(self.aws.kinesis(), stream, self.clock.clone());
        if arn.service() != Service::KinesisConsumer {
            return source.with_poll_interval(self.shard_poll_interval);
        }
        let aws = self.aws.clone();
        let connect = Arc::new(move || aws.kinesis_alone());
        source.with_fan_out(FanOut { consumer_arn: arn.as_str().to_owned(), connect })
    }
}
