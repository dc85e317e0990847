//! What an error of SQS, SNS or S3 means for a delivery: one place that knows statuses and codes. Invariant: whatever
//! says nothing about the request itself is [`DeliveryError::Transient`].

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use super::DeliveryError;
use crate::aws::cause;

/// What a failed call means. A request that the SDK would not even build can never succeed as it is.
pub(super) fn delivery_error<E>(error: SdkError<E>) -> DeliveryError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let is_refused = match &error {
        SdkError::ServiceError(refused) => {
            is_refusal(refused.raw().status().as_u16(), refused.err().code().unwrap_or_default())
        }
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    };
    if is_refused { DeliveryError::Refused(cause(error)) } else { DeliveryError::Transient(cause(error)) }
}

/// Whether an answer blames the request. A redirect does: the bucket is in another region.
fn is_refusal(status: u16, code: &str) -> bool {
    match status {
        307 | 408 | 429 => false,
        300..=499 => !PASSING_CODES.contains(&code),
        _ => false,
    }
}

/// Codes that come with a 4xx and pass by themselves.
const PASSING_CODES: [&str; 12] = [
    "RequestThrottled",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "KmsThrottled",
    "KMS.ThrottlingException",
    "KMSThrottling",
    "SlowDown",
    "OperationAborted",
    "RequestTimeout",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blames_the_request_is_a_refusal() {
        for (status, code) in [
            (400, "AWS.SimpleQueueService.NonExistentQueue"),
            (400, "InvalidParameter"),
            (400, ""),
            (301, "PermanentRedirect"),
            (403, "AccessDenied"),
            (403, "AuthorizationError"),
            (404, "NotFound"),
            (404, "NoSuchBucket"),
        ] {
            assert!(is_refusal(status, code), "{status} {code}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_none() {
        for (status, code) in [
            (400, "RequestThrottled"),
            (400, "KMS.ThrottlingException"),
            (400, "RequestTimeout"),
            (403, "ThrottlingException"),
            (409, "OperationAborted"),
            (429, "Throttled"),
            (307, "TemporaryRedirect"),
            (408, ""),
            (500, "InternalError"),
            (503, "SlowDown"),
            (200, ""),
        ] {
            assert!(!is_refusal(status, code), "{status} {code}");
        }
    }
}
