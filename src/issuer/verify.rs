//! `/verify`: whether the request that a proxy asks about may pass (RFC 6750; forward-auth).
//!
//! The proxy sends a request's credentials and says what the route demands; the answer is one of four verdicts, and no
//! mistake of a token's sender is ever anything else.

mod cache;
mod settings;

use hyper::header::HeaderValue;

use crate::issuer::Issuer;
use crate::keys::KeySet;
use crate::protocol::time::UnixSeconds;
use crate::token::verify::{check_audience, check_time};
use crate::token::{Refused, Requirements, Typ, Verified};

pub(super) use cache::Verdicts;
pub use settings::{Asked, Demand, IdentityHeaders, Misconfigured, VerifySettings, cookie_name, identity_header};

/// Both types of access token; which one is issued is a setting that may have changed since.
const TYPES: &[Typ] = &[Typ::AtJwt, Typ::Jwt];

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// No credentials of a kind we know (RFC 6750 section 3.1).
    Nothing,
    /// One token.
    Token(&'a str),
    /// Credentials that hold no token, or more than one.
    Unreadable,
}

/// The answer to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Allowed(Identity),
    /// It shows no token: 401 without an error code (RFC 6750 section 3.1).
    Unauthenticated,
    /// Its token is not good, whatever the reason: 401 `invalid_token`.
    Invalid(Invalid),
    /// Its token is good but not for this: 403 `insufficient_scope`, with the scope the route demands.
    Insufficient,
}

/// Who asks, as header values that are ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `sub`.
    pub subject: HeaderValue,
    /// `client_id`.
    pub client: HeaderValue,
    /// `scope`; empty if there is none.
    pub scope: HeaderValue,
    /// `exp`, in whole seconds since 1970.
    pub expires: HeaderValue,
}

/// Why a token is not good; for logs and metrics, never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// There is no one token.
    Unreadable,
    /// The gate refused it.
    Refused(Refused),
    /// It was revoked.
    Revoked,
    /// The route demands another issuer than this one.
    OtherIssuer,
    /// A claim cannot be a header value.
    Unsendable,
}

impl Invalid {
    /// One word for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Refused(refused) => refused.name(),
            Self::Revoked => "revoked",
            Self::OtherIssuer => "iss",
            Self::Unsendable => "unsendable",
        }
    }
}

/// A token that passed the gate once, and the headers made from it.
#[derive(Debug)]
struct Known {
    verified: Verified,
    identity: Identity,
}

impl Known {
    fn new(verified: Verified) -> Option<Self> {
        let claims = &verified.claims;
        // Refuses control characters, so nothing in a claim can end a header or begin another.
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
        let identity = Identity {
            subject: value(claims.subject.as_str())?,
            client: value(claims.client.as_str())?,
            scope: value(claims.scope.as_str())?,
            expires: HeaderValue::from(claims.expires_at.0),
        };
        Some(Self { verified, identity })
    }
}

impl Issuer {
    /// Judges what a request shows against what the route demands.
    ///
    /// 1. Is there a token?
    /// 2. Did this very token pass the gate before? If not, it passes it now: form, key, signature, claims.
    /// 3. Does it still hold: its key, its time, and has nothing been revoked?
    /// 4. Is it meant for this route: audience, then scope?
    ///
    /// Step 3 is asked at each request, whatever step 2 remembers.
    #[must_use]
    pub fn judge(&self, shown: Shown<'_>, demand: &Demand) -> Verdict {
        let now = self.now();
        // 1
        let token = match shown {
            Shown::Nothing => return Verdict::Unauthenticated,
            Shown::Unreadable => return Verdict::Invalid(Invalid::Unreadable),
            Shown::Token(token) => token,
        };
        match self.pass(token, demand, now) {
            Ok(verdict) => verdict,
            Err(invalid) => Verdict::Invalid(invalid),
        }
    }

    fn pass(&self, token: &str, demand: &Demand, now: UnixSeconds) -> Result<Verdict, Invalid> {
        if demand.issuer.as_deref().is_some_and(|issuer| issuer != self.name()) {
            return Err(Invalid::OtherIssuer);
        }
        let requirements = Requirements {
            issuer: self.name(),
            audience: demand.audience.as_deref(),
            typ: TYPES,
            leeway: std::time::Duration::ZERO,
        };
        // 2
        let keys = self.keyring.peek();
        let name = Verdicts::name(token);
        let known = match self.verdicts.find(&name) {
            Some(known) => known,
            None => self.verdicts.insert(name, self.open_gate(token, &keys, now)?),
        };
        // 3
        let Verified { claims, kid, .. } = &known.verified;
        if keys.verify_key(kid.as_str()).is_none() {
            return Err(Invalid::Refused(Refused::UnknownKey));
        }
        check_time(claims, &requirements, now).map_err(Invalid::Refused)?;
        if self.is_revoked(claims, kid, now) {
            return Err(Invalid::Revoked);
        }
        // 4: RFC 7519 section 4.1.3; RFC 6750 section 3.1
        check_audience(claims, &requirements).map_err(Invalid::Refused)?;
        if !claims.scope.covers(&demand.scope) {
            return Ok(Verdict::Insufficient);
        }
        Ok(Verdict::Allowed(known.identity.clone()))
    }

    /// The gate, audience aside: that differs from route to route.
    fn open_gate(&self, token: &str, keys: &KeySet, now: UnixSeconds) -> Result<Known, Invalid> {
        let any_audience =
            Requirements { issuer: self.name(), audience: None, typ: TYPES, leeway: std::time::Duration::ZERO };
        let verified = crate::token::verify(token, keys, &any_audience, now).map_err(Invalid::Refused)?;
        Known::new(verified).ok_or(Invalid::Unsendable)
    }

    /// The settings of `/verify`.
    #[must_use]
    pub fn verify_settings(&self) -> std::sync::Arc<VerifySettings> {
        std::sync::Arc::clone(&self.settings.load().verify)
    }
}
