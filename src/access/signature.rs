//! Signature Version 4, checked by signing again: the request is signed with the caller's secret over the headers that
//! it says it signed, and both signatures are compared. Everything of a request counts: method, path, query, those
//! headers and the body. A header that is signed must be there; `host` and the date must be signed.

use std::time::{Duration, SystemTime};

use aws_sdk_lambda::config::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq as _;

use super::Denied;
use crate::clock::Clock;

/// What a request says of its signature.
pub(super) struct Claim<'request> {
    pub(super) access_key_id: &'request str,
    /// The day, as text, in the credential's scope.
    day: &'request str,
    region: &'request str,
    service: &'request str,
    signed_headers: Vec<&'request str>,
    signature: &'request str,
    /// The date as the request writes it.
    written: &'request str,
    signed_at: Timestamp,
}

impl<'request> Claim<'request> {
    /// Reads the `Authorization` header, and the date beside it.
    pub(super) fn read(authorization: &'request str, headers: &'request HeaderMap) -> Result<Self, Denied> {
        let Some(parameters) = authorization.strip_prefix(ALGORITHM) else {
            return Err(incomplete("Authorization header must begin with AWS4-HMAC-SHA256."));
        };
        let named: Vec<_> = parameters.split(',').filter_map(|part| part.trim().split_once('=')).collect();
        let find = |name: &str| {
            let value = named.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
            value.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let (credential, signed_headers, signature) = (find("Credential")?, find("SignedHeaders")?, find("Signature")?);
        let mut scope = credential.rsplitn(5, '/');
        let mut part = || scope.next().unwrap_or_default();
        let (terminator, service, region, day, access_key_id) = (part(), part(), part(), part(), part());
        if terminator != TERMINATOR || access_key_id.is_empty() {
            return Err(incomplete("Credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request."));
        }
        let written = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(written) = written else {
            return Err(incomplete("Authorization header requires existence of an 'X-Amz-Date' header."));
        };
        let Some(signed_at) = instant(written) else {
            return Err(incomplete("X-Amz-Date must be in ISO-8601 'basic format', YYYYMMDD'T'HHMMSS'Z'."));
        };
        let signed_headers: Vec<_> = signed_headers.split(';').collect();
        if let Some(unsigned) = [HOST, DATE].into_iter().find(|name| !signed_headers.contains(name)) {
            return Err(incomplete(&format!("'{unsigned}' must be a signed header.")));
        }
        Ok(Self { access_key_id, day, region, service, signed_headers, signature, written, signed_at })
    }

    /// A signature for another region or service is none for here.
    pub(super) fn refuse_other_scope(&self, region: &str) -> Result<(), Denied> {
        if self.region != region {
            let message = format!("Credential should be scoped to a valid region, not '{}'. ", self.region);
            return Err(Denied::Signature(message + &format!("This one is '{region}'.")));
        }
        if self.service != SERVICE {
            return Err(Denied::Signature(format!("Credential should be scoped to correct service: '{SERVICE}'.")));
        }
        if Some(self.day) != self.written.get(..DAY_LENGTH) {
            return Err(Denied::Signature("Date in Credential scope does not match that of 'X-Amz-Date'.".to_owned()));
        }
        Ok(())
    }

    /// A signature is valid for a quarter of an hour before and after its date, so that clocks may differ.
    pub(super) fn refuse_other_time(&self, clock: &Clock) -> Result<(), Denied> {
        let now = clock.now().to_utc().unwrap_or(Timestamp::MAX);
        let age = now.duration_since(self.signed_at);
        let (written, now) = (self.written, now.strftime("%Y%m%dT%H%M%SZ"));
        if age > SKEW {
            return Err(Denied::Signature(format!("Signature expired: {written} is more than 15 min. before {now}")));
        }
        if age < -SKEW {
            let message = format!("Signature not yet current: {written} is more than 15 min. after {now}");
            return Err(Denied::Signature(message));
        }
        Ok(())
    }

    /// Signs again and compares.
    pub(super) fn verify(&self, secret: &str, parts: &Parts, body: &Bytes) -> Result<(), Denied> {
        let expected = self.signed_again(secret, parts, body).ok_or_else(mismatch)?;
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) { Ok(()) } else { Err(mismatch()) }
    }

    /// The signature that the request should have; none if it could not have been signed at all.
    fn signed_again(&self, secret: &str, parts: &Parts, body: &Bytes) -> Option<String> {
        let mut headers = Vec::new();
        for name in &self.signed_headers {
            let values = parts.headers.get_all(*name);
            let before = headers.len();
            for value in values {
                headers.push((*name, value.to_str().ok()?));
            }
            if headers.len() == before {
                return None;
            }
        }
        headers.retain(|(name, _)| *name != DATE); // the signer adds it
        let path_and_query = parts.uri.path_and_query()?.as_str();
        let request =
            SignableRequest::new(parts.method.as_str(), path_and_query, headers.into_iter(), SignableBody::Bytes(body));
        let identity = Credentials::new(self.access_key_id, secret, None, None, "caller").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::try_from(self.signed_at.as_duration()).ok()?)
            .settings(settings())
            .build()
            .ok()?;
        Some(sign(request.ok()?, &parameters.into()).ok()?.signature().to_owned())
    }
}

/// Every header that is handed in is signed. Paths are taken as they are: one that must be normalised is no route here.
fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.excluded_headers = None;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings
}

fn instant(written: &str) -> Option<Timestamp> {
    let moment = DateTime::strptime("%Y%m%dT%H%M%SZ", written).ok()?;
    let moment = moment.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (moment >= Timestamp::UNIX_EPOCH).then_some(moment)
}

fn incomplete(message: &str) -> Denied {
    Denied::Incomplete(message.to_owned())
}

fn mismatch() -> Denied {
    Denied::Signature(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
            .to_owned(),
    )
}

/// A space must follow, or it is another algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256 ";
const TERMINATOR: &str = "aws4_request";
const SERVICE: &str = "lambda";
const HOST: &str = "host";
const DATE: &str = "x-amz-date";
const DAY_LENGTH: usize = 8;
const SKEW: SignedDuration = SignedDuration::from_mins(15);
