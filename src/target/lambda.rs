//! Lambda functions, wherever they run: AWS or a local server that speaks Invoke.
//!
//! Invokes and waits; what an answer means, `event::response` says. The function's timeout and role come from the
//! server where it can tell them and from the mapping where it cannot. A call is given more time than the function, so
//! that the function's own timeout is what ends it (`docs/semantics.md` 3).

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::operation::get_function_configuration::{
    GetFunctionConfigurationError, GetFunctionConfigurationOutput,
};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{DescribeError, Function, Target};
use crate::aws::{cause, within};
use crate::clock::Clock;
use crate::core::Timestamp;
use crate::event::response::Reply;
use crate::telemetry::chain;

/// What a mapping says of its function.
#[derive(Clone, Debug)]
pub struct LambdaSettings {
    /// The name as the mapping gives it: bare, partial or full ARN, with or without qualifier.
    pub name: String,
    /// What holds where the server cannot describe functions; see [`presumed_function`].
    pub presumed: Function,
}

/// A function behind the Lambda API.
pub struct LambdaTarget {
    client: Client,
    settings: LambdaSettings,
    /// What the server last said of the function, and when.
    described: Mutex<Option<(Function, Timestamp)>>,
    clock: Clock,
}

/// The function as it is presumed to be where its server does not describe functions, from the full `arn` with exactly
/// the mapping's qualifier and from the mapping's `Esmd` options.
///
/// Without `FunctionTimeout` it is 900 s, the longest that Lambda knows: a call that is cut off would be repeated while
/// its function still runs. Without `InvokeIdentityArn` the role is `arn:<partition>:iam::<account>:role/<name>`, with
/// partition, account and name of the function.
#[must_use]
pub fn presumed_function(arn: String, timeout: Option<Duration>, role_arn: Option<String>) -> Function {
    let role_arn = role_arn.unwrap_or_else(|| {
        let part = |index| arn.split(':').nth(index).unwrap_or_default();
        format!("arn:{}:iam::{}:role/{}", part(1), part(4), part(6))
    });
    Function { timeout: timeout.unwrap_or(FUNCTION_TIMEOUT_MAX), role_arn, arn }
}

/// The function's timeout as its server knows it; none if the server does not describe functions, or leaves it out.
pub async fn described_timeout(client: &Client, name: &str) -> Result<Option<Duration>, DescribeError> {
    match get_configuration(client, name).await {
        Ok(answer) => Ok(timeout_of(&answer)),
        Err(error) => match Refusal::of(&error) {
            Refusal::Missing => Err(DescribeError::Missing),
            Refusal::NoSuchCall => {
                tracing::warn!(function = name, "the server does not describe functions: it may not exist");
                Ok(None)
            }
            Refusal::Other => Err(DescribeError::Transient(cause(error))),
        },
    }
}

async fn get_configuration(
    client: &Client,
    name: &str,
) -> Result<GetFunctionConfigurationOutput, SdkError<GetFunctionConfigurationError>> {
    within(DESCRIBE_TIMEOUT, client.get_function_configuration().function_name(name).send()).await
}

fn timeout_of(answer: &GetFunctionConfigurationOutput) -> Option<Duration> {
    answer.timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}

impl LambdaTarget {
    /// Does no I/O.
    pub fn new(client: Client, settings: LambdaSettings, clock: Clock) -> Self {
        Self { client, settings, described: Mutex::default(), clock }
    }

    async fn ask(&self) -> Result<Function, DescribeError> {
        let function = match get_configuration(&self.client, &self.settings.name).await {
            Ok(answer) => described_function(answer, &self.settings.presumed),
            Err(error) => match Refusal::of(&error) {
                Refusal::Missing => return Err(DescribeError::Missing),
                Refusal::NoSuchCall => self.presumed(),
                Refusal::Other => return Err(DescribeError::Transient(cause(error))),
            },
        };
        *self.described() = Some((function.clone(), self.clock.now()));
        Ok(function)
    }

    /// What holds while the server does not describe the function: what it last said, else what is presumed.
    fn presumed(&self) -> Function {
        if let Some((function, _)) = &*self.described() {
            return function.clone();
        }
        let Function { arn, timeout, role_arn } = &self.settings.presumed;
        tracing::info!(function = arn, ?timeout, role = role_arn, "the server does not describe functions: presuming");
        self.settings.presumed.clone()
    }

    fn timeout(&self) -> Duration {
        self.described().as_ref().map_or(self.settings.presumed.timeout, |(function, _)| function.timeout)
    }

    fn described(&self) -> MutexGuard<'_, Option<(Function, Timestamp)>> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target for LambdaTarget {
    fn describe(&self) -> BoxFuture<'_, Result<Function, DescribeError>> {
        async move {
            let known = self.described().clone();
            match known {
                Some((function, at)) if self.clock.now().since(at) < DESCRIPTION_LIFETIME => Ok(function),
                _ => self.ask().await,
            }
        }
        .boxed()
    }

    fn invoke(&self, payload: Bytes, start_before: Option<Timestamp>) -> BoxFuture<'_, Reply> {
        async move {
            if start_before.is_some_and(|end| end <= self.clock.now()) {
                return Reply::NotStarted;
            }
            let call = self
                .client
                .invoke()
                .function_name(&self.settings.name)
                .invocation_type(InvocationType::RequestResponse)
                .log_type(LogType::None)
                .payload(Blob::new(payload));
            match within(self.timeout() + INVOKE_MARGIN, call.send()).await {
                Ok(answer) => Reply::Answered {
                    request_id: answer.request_id().map(str::to_owned),
                    payload: answer.payload.map(Blob::into_inner).unwrap_or_default().into(),
                    function_error: answer.function_error,
                    executed_version: answer.executed_version,
                },
                Err(error) => error_reply(&error),
            }
        }
        .boxed()
    }
}

/// The server's description. Its ARN may carry another qualifier or none; the mapping's counts. What it leaves out is
/// presumed.
fn described_function(answer: GetFunctionConfigurationOutput, presumed: &Function) -> Function {
    let timeout = timeout_of(&answer).unwrap_or(presumed.timeout);
    let qualifier = presumed.arn.splitn(ARN_PARTS + 1, ':').nth(ARN_PARTS);
    let arn = answer.function_arn.map_or_else(
        || presumed.arn.clone(),
        |arn| {
            let unqualified = arn.split(':').take(ARN_PARTS);
            unqualified.chain(qualifier).collect::<Vec<_>>().join(":")
        },
    );
    Function { arn, timeout, role_arn: answer.role.unwrap_or_else(|| presumed.role_arn.clone()) }
}

/// Why a function was not described.
enum Refusal {
    /// The server says that the function does not exist.
    Missing,
    /// The server does not describe functions, or not to us.
    NoSuchCall,
    /// It may be described later.
    Other,
}

impl Refusal {
    fn of(error: &SdkError<GetFunctionConfigurationError>) -> Self {
        let Some(response) = error.raw_response() else { return Self::Other };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
        match (response.status().as_u16(), code) {
            (404, "ResourceNotFoundException") => Self::Missing,
            // Success without a description comes from a server that says yes to anything.
            (404 | 405 | 501 | 200..=299, _)
            | (403, "" | "AccessDenied" | "AccessDeniedException")
            | (_, "UnknownOperation" | "UnknownOperationException") => Self::NoSuchCall,
            _ => Self::Other,
        }
    }
}

fn error_reply(error: &SdkError<InvokeError>) -> Reply {
    match error {
        SdkError::TimeoutError(_) => Reply::TimedOut,
        SdkError::ServiceError(refused) => {
            let (status, body) = (refused.raw().status().as_u16(), refused.raw().body().bytes().unwrap_or_default());
            let message = refused.err().message().map_or_else(|| excerpt(body), Cow::Borrowed);
            Reply::from_error(status, refused.err().code().unwrap_or_default(), &message, body)
        }
        error => Reply::Unreachable { message: chain(error) },
    }
}

/// The beginning of an answer that does not come from Lambda, such as a proxy's page.
fn excerpt(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES_MAX)])
}

/// `arn:partition:lambda:region:account:function:name`; a qualifier may follow.
const ARN_PARTS: usize = 7;

/// The longest timeout that a function can have.
const FUNCTION_TIMEOUT_MAX: Duration = Duration::from_mins(15);

/// How much longer than its function a call may take.
const INVOKE_MARGIN: Duration = Duration::from_secs(10);

const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

const DESCRIPTION_LIFETIME: Duration = Duration::from_mins(1);

const EXCERPT_BYTES_MAX: usize = 200;
