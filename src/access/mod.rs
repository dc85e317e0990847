//! Who may call. A caller shows that it knows a secret: it signs its request with an access key, as every AWS client
//! does (Signature Version 4), or, where AWS's clients are not asked for, hands in a token. Knows requests, no routes.
//! Invariant: what is compared with a secret is compared in constant time, and no secret is in an error or a log.

pub mod secrets;
mod signature;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use subtle::ConstantTimeEq as _;

use crate::clock::Clock;
use secrets::{AccessKey, Secrets};
use signature::Claim;

/// Judges callers. Cloning shares it.
#[derive(Clone)]
pub struct Access {
    /// What callers may know.
    pub secrets: Secrets,
    /// The region that requests must be signed for.
    pub region: String,
    /// The time, for the age of signatures.
    pub clock: Clock,
}

/// What a caller may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A signature.
    Signature,
    /// A signature or a token.
    SignatureOrToken,
}

/// Why a caller is not served, in AWS's words where they are known (`docs/semantics.md` 1.13).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request says nothing of its caller.
    #[error("Missing Authentication Token")]
    Missing,
    /// It is a presigned URL.
    #[error("Authorization header must hold the signature: one in the query (a presigned URL) is not taken.")]
    Presigned,
    /// What it says is not whole.
    #[error("{0}")]
    Incomplete(String),
    /// Nobody has this access key or token.
    #[error("{INVALID}")]
    Unknown,
    /// A session token beside an access key that has none here.
    #[error("{INVALID} It came with a session token (X-Amz-Security-Token), which this access key does not have here.")]
    UnexpectedSession,
    /// No session token beside an access key that has one.
    #[error("{INVALID} This access key has a session token, which must come with it (X-Amz-Security-Token).")]
    MissingSession,
    /// The signature is another, or not one for here and now.
    #[error("{0}")]
    Signature(String),
    /// A token where only signatures are taken.
    #[error("tokens open /esmd/v1, /metrics and /version; Lambda's routes take requests signed with an access key")]
    Token,
}

/// A caller who is who it says, if the signature is right: it takes the body to know that.
pub struct Pending<'request> {
    claim: Option<(Claim<'request>, String)>,
}

impl Access {
    /// Judges what can be judged without the body, so that nobody's body is waited for before.
    pub fn begin<'request>(&self, parts: &'request Parts, accepted: Accepted) -> Result<Pending<'request>, Denied> {
        let Some(authorization) = only(&parts.headers, "Authorization")? else {
            return Err(if is_presigned(&parts.uri) { Denied::Presigned } else { Denied::Missing });
        };
        if let Some(token) = bearer(authorization) {
            return match accepted {
                Accepted::Signature => Err(Denied::Token),
                Accepted::SignatureOrToken if self.secrets.knows_token(token) => Ok(Pending { claim: None }),
                Accepted::SignatureOrToken => Err(Denied::Unknown),
            };
        }
        let claim = Claim::read(authorization, &parts.headers)?;
        let AccessKey { secret, session_token } =
            self.secrets.access_key(claim.access_key_id).ok_or(Denied::Unknown)?;
        refuse_other_session(session_token.as_deref(), only(&parts.headers, "X-Amz-Security-Token")?)?;
        claim.refuse_other_scope(&self.region)?;
        claim.refuse_other_time(&self.clock)?;
        Ok(Pending { claim: Some((claim, secret)) })
    }
}

impl Pending<'_> {
    /// Judges the rest.
    pub fn finish(self, parts: &Parts, body: &Bytes) -> Result<(), Denied> {
        match self.claim {
            None => Ok(()),
            Some((claim, secret)) => claim.verify(&secret, parts, body),
        }
    }
}

/// What a header says, if it says anything. Two of them contradict each other.
fn only<'request>(headers: &'request HeaderMap, name: &str) -> Result<Option<&'request str>, Denied> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => {
            let text = only.to_str().map_err(|_| Denied::Incomplete(format!("{name} header is not ASCII.")))?;
            Ok(Some(text.trim()).filter(|text| !text.is_empty()))
        }
        (Some(_), Some(_)) => Err(Denied::Incomplete(format!("{name} header must stand once."))),
    }
}

/// Whether the query holds a signature.
fn is_presigned(uri: &Uri) -> bool {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.split('=').next()).any(|name| name.eq_ignore_ascii_case("X-Amz-Signature"))
}

/// Whoever has temporary credentials shows their session token beside the signature.
fn refuse_other_session(known: Option<&str>, given: Option<&str>) -> Result<(), Denied> {
    match (known, given) {
        (None, None) => Ok(()),
        (Some(known), Some(given)) if bool::from(known.as_bytes().ct_eq(given.as_bytes())) => Ok(()),
        (Some(_), Some(_)) => Err(Denied::Unknown),
        (None, Some(_)) => Err(Denied::UnexpectedSession),
        (Some(_), None) => Err(Denied::MissingSession),
    }
}

/// The token of a `Bearer` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// AWS's words for whatever it does not know.
const INVALID: &str = "The security token included in the request is invalid.";
