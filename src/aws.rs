//! The one door to AWS: a client per service, all from one configuration and one HTTP client.
//!
//! Everything comes from the standard environment: profile, region, credentials, endpoints. What would fail only at
//! the first call, a missing region or missing credentials, fails here, with its remedy. No client retries by itself:
//! whoever calls decides what an error means and when to ask again. Requests are signed for the configured region,
//! whatever region an ARN names, so one client per service is enough; only the queues and topics of destinations, which
//! may be in any region, have clients of their own.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_sqs::config::{ProvideCredentials, SharedHttpClient};
use aws_sdk_sqs::error::SdkError;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::source::BoxError;
use crate::telemetry::chain;

/// The services that esmd calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Queues.
    Sqs,
    /// Streams.
    Kinesis,
    /// Streams of tables.
    DynamodbStreams,
    /// Functions.
    Lambda,
    /// Topics.
    Sns,
    /// Buckets.
    S3,
}

impl Service {
    const ALL: [Self; 6] = [Self::Sqs, Self::Kinesis, Self::DynamodbStreams, Self::Lambda, Self::Sns, Self::S3];

    /// The environment variable that sets this service's endpoint alone.
    const fn endpoint_variable(self) -> &'static str {
        match self {
            Self::Sqs => "AWS_ENDPOINT_URL_SQS",
            Self::Kinesis => "AWS_ENDPOINT_URL_KINESIS",
            Self::DynamodbStreams => "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
            Self::Lambda => "AWS_ENDPOINT_URL_LAMBDA",
            Self::Sns => "AWS_ENDPOINT_URL_SNS",
            Self::S3 => "AWS_ENDPOINT_URL_S3",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sqs => "SQS",
            Self::Kinesis => "Kinesis",
            Self::DynamodbStreams => "DynamoDB Streams",
            Self::Lambda => "Lambda",
            Self::Sns => "SNS",
            Self::S3 => "S3",
        })
    }
}

/// Why AWS cannot be called at all. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// No region in the environment nor in the profile.
    #[error("no AWS region: set AWS_REGION, or name a profile that has one in AWS_PROFILE")]
    NoRegion,
    /// The credential chain ended without credentials.
    #[error(
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (any value will do for a local server), or \
         name a profile that has them in AWS_PROFILE"
    )]
    NoCredentials(#[source] BoxError),
    /// An endpoint override that is no address.
    #[error("endpoint {url:?} for {service}: give a full URL, such as http://127.0.0.1:4566")]
    BadEndpoint {
        /// The service.
        service: Service,
        /// What was given.
        url: String,
    },
}

/// The clients, and what the configuration says about region and endpoints.
#[derive(Clone, Debug)]
pub struct Aws {
    region: String,
    endpoints: [Option<String>; Service::ALL.len()],
    sqs: aws_sdk_sqs::Client,
    kinesis: aws_sdk_kinesis::Client,
    dynamodb_streams: aws_sdk_dynamodbstreams::Client,
    lambda: aws_sdk_lambda::Client,
    sns: aws_sdk_sns::Client,
    s3: aws_sdk_s3::Client,
}

impl Aws {
    /// Loads everything from the standard environment and looks up the credentials once.
    pub async fn load() -> Result<Self, AwsError> {
        Self::from_loader(loader()).await
    }

    /// Loads from a [`loader`] on which the caller has set more, such as an endpoint and credentials.
    pub async fn from_loader(loader: ConfigLoader) -> Result<Self, AwsError> {
        let config = loader.load().await;
        let region = config.region().ok_or(AwsError::NoRegion)?.to_string();
        let endpoints = endpoints(&config, |name| std::env::var(name).ok())?;
        check_credentials(&config).await?;
        let s3 = s3_client(&config, endpoints[Service::S3 as usize].is_some());
        Ok(Self {
            region,
            endpoints,
            s3,
            // Retries are off for each client and not in the shared configuration, where they would also be off for the
            // credential providers, which nobody else retries.
            sqs: aws_sdk_sqs::Client::from_conf(
                aws_sdk_sqs::config::Builder::from(&config).retry_config(RetryConfig::disabled()).build(),
            ),
            kinesis: aws_sdk_kinesis::Client::from_conf(
                aws_sdk_kinesis::config::Builder::from(&config).retry_config(RetryConfig::disabled()).build(),
            ),
            dynamodb_streams: aws_sdk_dynamodbstreams::Client::from_conf(
                aws_sdk_dynamodbstreams::config::Builder::from(&config).retry_config(RetryConfig::disabled()).build(),
            ),
            lambda: aws_sdk_lambda::Client::from_conf(
                aws_sdk_lambda::config::Builder::from(&config)
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
                    .build(),
            ),
            sns: aws_sdk_sns::Client::from_conf(
                aws_sdk_sns::config::Builder::from(&config).retry_config(RetryConfig::disabled()).build(),
            ),
        })
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The endpoint that replaces the service's own, if the environment or the profile sets one. An endpoint in a
    /// profile's `services` section is used by the clients but not known here: the SDK does not tell.
    pub fn endpoint(&self, service: Service) -> Option<&str> {
        self.endpoints[service as usize].as_deref()
    }

    /// The client of SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        self.sqs.clone()
    }

    /// The client of Kinesis.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        self.kinesis.clone()
    }

    /// A client of Kinesis that shares no connection with another.
    pub fn kinesis_alone(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::from_conf(self.kinesis.config().to_builder().http_client(http_client()).build())
    }

    /// The client of `DynamoDB` Streams.
    pub fn dynamodb_streams(&self) -> aws_sdk_dynamodbstreams::Client {
        self.dynamodb_streams.clone()
    }

    /// The client of Lambda. It sets no deadline, as a function may take longer than any: each of its calls has one.
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        self.lambda.clone()
    }

    /// The client of SQS in this region.
    pub fn sqs_in(&self, region: &str) -> aws_sdk_sqs::Client {
        let region = Region::new(region.to_owned());
        aws_sdk_sqs::Client::from_conf(self.sqs.config().to_builder().region(region).build())
    }

    /// The client of SNS in this region.
    pub fn sns_in(&self, region: &str) -> aws_sdk_sns::Client {
        let region = Region::new(region.to_owned());
        aws_sdk_sns::Client::from_conf(self.sns.config().to_builder().region(region).build())
    }

    /// The client of S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.s3.clone()
    }
}

/// The standard configuration with esmd's HTTP settings. Nothing is read before it is loaded.
pub fn loader() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    // A dated version, so that an update of the SDK does not change what calls do.
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client())
        .timeout_config(timeouts)
        // A long poll and a running function look like stalled streams. Each call has a deadline instead.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// A pool of connections, for HTTP as every client of esmd speaks it.
pub(crate) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build_https()
}

/// A call with a deadline of its own. The SDK's override of a client's configuration does the same, but is merged into
/// the configuration anew for each call.
pub(crate) async fn within<T, E>(
    deadline: Duration,
    call: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<T, SdkError<E>> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer,
        Err(late) => Err(SdkError::timeout_error(late)),
    }
}

/// Servers other than AWS rarely have a host name for each bucket, and some refuse checksums that nobody asked for.
fn s3_client(config: &SdkConfig, custom_endpoint: bool) -> aws_sdk_s3::Client {
    let mut builder = aws_sdk_s3::config::Builder::from(config).retry_config(RetryConfig::disabled());
    if custom_endpoint {
        builder = builder
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// An SDK's error without its type: above the adapters only its text is of interest, and its own leaves out the status.
pub(crate) fn cause<E>(error: SdkError<E>) -> BoxError
where
    E: Error + Send + Sync + 'static,
{
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(status) => format!("HTTP {status}: {}", chain(&error)).into(),
        None => error.into(),
    }
}

/// The override in force per service, by the SDK's own precedence: what the program set, the service's variable, then
/// the general setting of environment or profile.
fn endpoints(
    config: &SdkConfig,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<[Option<String>; Service::ALL.len()], AwsError> {
    let ignored = variable(IGNORE_ENDPOINTS_VARIABLE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let set_by_program = config.get_origin("endpoint_url").is_client_config();
    let mut endpoints = Service::ALL.map(|service| {
        let own = variable(service.endpoint_variable()).filter(|_| !ignored && !set_by_program);
        own.or_else(|| config.endpoint_url().map(str::to_owned))
    });
    for (service, endpoint) in Service::ALL.into_iter().zip(&mut endpoints) {
        let Some(url) = endpoint else { continue };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(AwsError::BadEndpoint { service, url: std::mem::take(url) });
        }
    }
    Ok(endpoints)
}

async fn check_credentials(config: &SdkConfig) -> Result<(), AwsError> {
    let provider = config.credentials_provider().ok_or_else(|| AwsError::NoCredentials("none configured".into()))?;
    provider.provide_credentials().await.map_err(|error| AwsError::NoCredentials(error.into()))?;
    Ok(())
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For a call that has no deadline of its own: no server can make it wait for ever.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Shorter than what common load balancers and servers keep, so that we close first.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

const IGNORE_ENDPOINTS_VARIABLE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_sdk_sqs::config::Credentials;

    use super::*;

    const GENERAL: &str = "http://127.0.0.1:4566";
    const OWN: &str = "http://127.0.0.1:4567";

    #[test]
    fn a_services_own_endpoint_goes_before_the_general_one() {
        let config = SdkConfig::builder().endpoint_url(GENERAL).build();
        let endpoints = endpoints(&config, environment(&[("AWS_ENDPOINT_URL_LAMBDA", OWN)])).unwrap();
        assert_eq!(endpoints[Service::Lambda as usize].as_deref(), Some(OWN));
        assert_eq!(endpoints[Service::Sqs as usize].as_deref(), Some(GENERAL));
        assert_eq!(endpoints[Service::Kinesis as usize].as_deref(), Some(GENERAL));
    }

    /// The SDK reads this variable by itself, so ours must be the same.
    #[test]
    fn the_streams_of_tables_have_an_endpoint_of_their_own() {
        let variables = [("AWS_ENDPOINT_URL_DYNAMODB", GENERAL), ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", OWN)];
        let endpoints = endpoints(&SdkConfig::builder().build(), environment(&variables)).unwrap();
        assert_eq!(endpoints[Service::DynamodbStreams as usize].as_deref(), Some(OWN));
    }

    #[test]
    fn ignored_endpoints_are_not_reported() {
        let variables = [("AWS_ENDPOINT_URL_SQS", OWN), (IGNORE_ENDPOINTS_VARIABLE, "TRUE")];
        let endpoints = endpoints(&SdkConfig::builder().build(), environment(&variables)).unwrap();
        assert_eq!(endpoints, [const { None::<String> }; 6]);
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_refused_by_name() {
        let error = endpoints(&SdkConfig::builder().build(), environment(&[("AWS_ENDPOINT_URL_KINESIS", "localhost")]))
            .unwrap_err();
        assert!(error.to_string().contains("\"localhost\" for Kinesis"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_region_names_the_remedy() {
        let loader = loader().region(NoRegion).credentials_provider(credentials());
        let error = Aws::from_loader(loader).await.unwrap_err();
        assert!(error.to_string().contains("AWS_REGION"), "{error}");
    }

    #[tokio::test]
    async fn missing_credentials_name_the_remedy() {
        let error = Aws::from_loader(loader().region(Region::new("eu-west-1")).no_credentials()).await.unwrap_err();
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    }

    #[tokio::test]
    async fn region_and_endpoint_are_what_was_configured() {
        let loader =
            loader().region(Region::new("eu-west-1")).credentials_provider(credentials()).endpoint_url(GENERAL);
        let aws = Aws::from_loader(loader).await.unwrap();
        assert_eq!(aws.region(), "eu-west-1");
        assert_eq!(aws.endpoint(Service::Sqs), Some(GENERAL));
    }

    fn credentials() -> Credentials {
        Credentials::new("test", "test", None, None, "test")
    }

    fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        move |wanted| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    }

    #[derive(Debug)]
    struct NoRegion;

    impl aws_config::meta::region::ProvideRegion for NoRegion {
        fn region(&self) -> aws_config::meta::region::future::ProvideRegion<'_> {
            aws_config::meta::region::future::ProvideRegion::ready(None)
        }
    }
}
