//! Who may call. A caller shows that it knows a secret: it signs its request with an access key, as every AWS client
//! does (Signature Version 4), or, where AWS's clients are not asked for, hands in a token. Knows requests, no routes.
//! Invariant: what is compared with a secret is compared in constant time, and no secret is in an error or a log.

pub mod secrets;
mod signature;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::clock::Clock;
use secrets::Secrets;
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
    /// What it says is not whole.
    #[error("{0}")]
    Incomplete(String),
    /// Nobody has this access key or token.
    #[error("The security token included in the request is invalid.")]
    Unknown,
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
        let Some(authorization) = authorization(&parts.headers)? else { return Err(Denied::Missing) };
        if let Some(token) = bearer(authorization) {
            return match accepted {
                Accepted::Signature => Err(Denied::Token),
                Accepted::SignatureOrToken if self.secrets.knows_token(token) => Ok(Pending { claim: None }),
                Accepted::SignatureOrToken => Err(Denied::Unknown),
            };
        }
        let claim = Claim::read(authorization, &parts.headers)?;
        let secret = self.secrets.secret_of(claim.access_key_id).ok_or(Denied::Unknown)?;
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

/// The header that says who calls; two of them say nothing.
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => {
            let text =
                only.to_str().map_err(|_| Denied::Incomplete("Authorization header is not ASCII.".to_owned()))?;
            Ok(Some(text.trim()).filter(|text| !text.is_empty()))
        }
        (Some(_), Some(_)) => Err(Denied::Incomplete("Authorization header must stand once.".to_owned())),
    }
}

/// The token of a `Bearer` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}
