//! esmd's API by AWS's SDK, which signs, sends and reads errors. Documents and answers are handed over as they are, to
//! and from esmd's own routes, so that nothing is lost that the SDK does not know.

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_lambda::config::http::HttpRequest;
use aws_sdk_lambda::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_lambda::config::{ConfigBag, Credentials, Intercept, Region, RuntimeComponents};
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::SdkBody;
use serde_json::Value;

use crate::mapping::document::MappingDocument;
use crate::source::BoxError;

/// Speaks to one esmd.
pub(super) struct Client {
    lambda: aws_sdk_lambda::Client,
    endpoint: String,
}

/// Why a call brought nothing. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// What was given is no address.
    #[error("--endpoint-url {endpoint}: give a full URL, such as http://127.0.0.1:9900")]
    BadEndpoint { endpoint: String },
    /// Nobody answered.
    #[error("no answer from {endpoint}: start esmd with `esmd run`, or say with --endpoint-url where it listens")]
    Unreachable { endpoint: String, source: BoxError },
    /// esmd, or whoever listens there, refused.
    #[error("{code}: {message}{}", remedy(code))]
    Refused { code: String, message: String },
    /// Whoever listens there is somebody else.
    #[error("what listens at {endpoint} does not answer as esmd does: say with --endpoint-url where esmd listens")]
    NotEsmd { endpoint: String },
}

/// What to do about an error of this name.
fn remedy(code: &str) -> &'static str {
    match code {
        "ResourceNotFoundException" => ". `esmd mapping list` shows what there is",
        "ResourceInUseException" => " Ask again when its state is steady; --wait waits for that after a change",
        "MissingAuthenticationTokenException" | "UnrecognizedClientException" => {
            " Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an access key that esmd knows"
        }
        "InvalidSignatureException" => " Set AWS_REGION to esmd's own region, and see that secret and clock are right",
        _ => "",
    }
}

impl Client {
    /// Region and credentials come from the environment or a profile. Where there are none, requests are signed with
    /// what nobody knows: an esmd on loopback does not look.
    pub(super) async fn new(endpoint: String, region: Option<&str>) -> Result<Self, CallError> {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(CallError::BadEndpoint { endpoint });
        }
        let region = RegionProviderChain::first_try(region.map(|region| Region::new(region.to_owned())))
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::from_static("us-east-1"));
        let providers = ProviderConfig::default().with_http_client(crate::aws::http_client());
        let profile = ProfileFileCredentialsProvider::builder().configure(&providers).build();
        let credentials =
            CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("profile", profile)
                .or_else("nobody", Credentials::new("nobody", "nobody", None, None, "nobody"));
        let loader = crate::aws::loader().region(region).credentials_provider(credentials);
        let config = aws_sdk_lambda::config::Builder::from(&loader.load().await)
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&endpoint);
        Ok(Self { lambda: aws_sdk_lambda::Client::from_conf(config.build()), endpoint })
    }

    /// All of them, whatever pages they come in.
    pub(super) async fn list(&self, source: Option<&str>, function: Option<&str>) -> Result<Vec<Value>, CallError> {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let answer = Answer::default();
            let call = self.lambda.list_event_source_mappings();
            let call = call.set_event_source_arn(source.map(str::to_owned)).set_marker(marker);
            let call = call.set_function_name(function.map(str::to_owned)).customize();
            let sent = call.interceptor(answer.clone()).mutate_request(own_route).send().await;
            let mut page = self.answered(&answer, sent)?;
            match page["EventSourceMappings"].take() {
                Value::Array(mappings) => found.extend(mappings),
                _ => return Err(self.not_esmd()),
            }
            marker = page["NextMarker"].as_str().map(str::to_owned);
            if marker.is_none() {
                return Ok(found);
            }
        }
    }

    pub(super) async fn get(&self, uuid: &str) -> Result<Value, CallError> {
        let answer = Answer::default();
        let call = self.lambda.get_event_source_mapping().uuid(uuid).customize();
        let sent = call.interceptor(answer.clone()).mutate_request(own_route).send().await;
        self.answered(&answer, sent)
    }

    pub(super) async fn create(&self, document: &MappingDocument) -> Result<Value, CallError> {
        let answer = Answer::default();
        let call = self.lambda.create_event_source_mapping().customize();
        let sent = call.interceptor(answer.clone()).mutate_request(with_body(document)).send().await;
        self.answered(&answer, sent)
    }

    pub(super) async fn update(&self, uuid: &str, change: &MappingDocument) -> Result<Value, CallError> {
        let answer = Answer::default();
        let call = self.lambda.update_event_source_mapping().uuid(uuid).customize();
        let sent = call.interceptor(answer.clone()).mutate_request(with_body(change)).send().await;
        self.answered(&answer, sent)
    }

    pub(super) async fn delete(&self, uuid: &str) -> Result<Value, CallError> {
        let answer = Answer::default();
        let call = self.lambda.delete_event_source_mapping().uuid(uuid).customize();
        let sent = call.interceptor(answer.clone()).mutate_request(own_route).send().await;
        self.answered(&answer, sent)
    }

    fn answered<T, E>(&self, answer: &Answer, sent: Result<T, SdkError<E>>) -> Result<Value, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match sent {
            Ok(_) => serde_json::from_slice(&answer.bytes()).map_err(|_| self.not_esmd()),
            Err(SdkError::ServiceError(refused)) => match (refused.err().code(), refused.err().message()) {
                (Some(code), Some(message)) => {
                    Err(CallError::Refused { code: code.to_owned(), message: message.to_owned() })
                }
                _ => Err(self.not_esmd()),
            },
            Err(SdkError::ResponseError(_)) => Err(self.not_esmd()),
            Err(failed) => Err(CallError::Unreachable { endpoint: self.endpoint.clone(), source: failed.into() }),
        }
    }

    fn not_esmd(&self) -> CallError {
        CallError::NotEsmd { endpoint: self.endpoint.clone() }
    }
}

/// From Lambda's route to esmd's own of the same form. Done before the request is signed.
fn own_route(request: &mut HttpRequest) {
    let uri = request.uri().replacen("/2015-03-31/event-source-mappings", "/esmd/v1/mappings", 1);
    request.set_uri(uri).expect("a path of letters takes the place of another");
}

fn with_body(document: &MappingDocument) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    let body = serde_json::to_vec(document).expect("a document holds nothing that JSON lacks");
    move |request| {
        own_route(request);
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body.clone());
    }
}

/// The body of an answer, kept as it came.
#[derive(Clone, Debug, Default)]
struct Answer(Arc<Mutex<Vec<u8>>>);

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for Answer {
    fn name(&self) -> &'static str {
        "Answer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.to_vec();
        Ok(())
    }
}
