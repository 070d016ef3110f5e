//! The one gate for access tokens: `/introspect`, `/verify`, `mintgate token verify` and the library all come here.
//!
//! Cheap and untrusting first (length, form, header), then the key, then the signature, and only then what the token
//! says. No step is skipped and none is repeated elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use crate::keys::{KeySet, VerifyKey};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::claims::{AccessClaims, ClaimsError};
use crate::protocol::id::Kid;
use crate::protocol::jws::{Compact, JwsError, Typ};
use crate::protocol::time::UnixSeconds;

/// Most leeway granted, whatever is asked for (RFC 7519 section 4.1.4: "usually no more than a few minutes").
pub const LEEWAY_MAX: Duration = Duration::from_secs(60);

/// How far `iat` and `nbf` may always lie in the future: FAPI 2.0 Security Profile section 5.3.2.1 accepts up to 10 s
/// and refuses more than 60 s, which is [`LEEWAY_MAX`].
pub const FUTURE_ACCEPTED: Duration = Duration::from_secs(10);

/// What a token must be for this caller.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// Must be one of `aud`; `None` where the caller judges the audience itself.
    pub audience: Option<&'a str>,
    /// The `typ`s taken.
    pub typ: &'a [Typ],
    /// Added to `exp` for clocks that differ; at most [`LEEWAY_MAX`]. Our own tokens need none.
    pub leeway: Duration,
}

/// Where keys come from: exactly one for a `kid`, or none. Retired and tainted keys are none.
pub trait KeySource {
    /// The key named `kid`.
    fn verify_key(&self, kid: &str) -> Option<&VerifyKey>;
}

impl KeySource for KeySet {
    fn verify_key(&self, kid: &str) -> Option<&VerifyKey> {
        Self::verify_key(self, kid)
    }
}

impl KeySource for HashMap<Kid, VerifyKey> {
    fn verify_key(&self, kid: &str) -> Option<&VerifyKey> {
        self.get(kid)
    }
}

impl KeySource for [VerifyKey] {
    fn verify_key(&self, kid: &str) -> Option<&VerifyKey> {
        self.iter().find(|key| key.kid().as_str() == kid)
    }
}

impl KeySource for Vec<VerifyKey> {
    fn verify_key(&self, kid: &str) -> Option<&VerifyKey> {
        self.as_slice().verify_key(kid)
    }
}

/// A token that passed the gate. Whether it was revoked is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: AccessClaims,
    /// The key that signed it.
    pub kid: Kid,
    /// Its type.
    pub typ: Typ,
    /// Its `exp`.
    pub expires_at: UnixSeconds,
}

/// Why a token was refused: one variant per cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a compact JWS we read; see [`JwsError`].
    #[error("{0}")]
    Form(JwsError),
    /// No key has this `kid`, or its key is retired or tainted.
    #[error("no key of this gateway has this kid; it may be retired or tainted")]
    UnknownKey,
    /// The header's `alg` is not the key's.
    #[error("the header's alg is not the algorithm of the key it names")]
    Algorithm,
    /// The header's `typ` is missing or not one that is asked for.
    #[error("the header's typ is not the one expected here")]
    Type,
    /// The signature is not by this key.
    #[error("the signature does not match")]
    Signature,
    /// The claims are not an access token's; see [`ClaimsError`].
    #[error("{0}")]
    Claims(ClaimsError),
    /// `iss` is somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// `aud` does not name who asks.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` has come.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// `iat` is in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
}

impl Refused {
    /// One word for logs, metrics and audit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Form(JwsError::TooLong) => "too_long",
            Self::Form(JwsError::Form) => "form",
            Self::Form(JwsError::HeaderJson(_)) => "header_json",
            Self::Form(JwsError::HeaderMember(_)) => "header_member",
            Self::Form(JwsError::HeaderForbidden(_)) => "header_forbidden",
            Self::Form(JwsError::Kid) => "kid",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "alg",
            Self::Type => "typ",
            Self::Signature => "signature",
            Self::Claims(ClaimsError::Json(_)) => "claims_json",
            Self::Claims(ClaimsError::Missing(_)) => "claim_missing",
            Self::Claims(ClaimsError::Invalid(_)) => "claim_invalid",
            Self::Issuer => "iss",
            Self::Audience => "aud",
            Self::Expired => "expired",
            Self::NotYet => "nbf",
            Self::IssuedInFuture => "iat",
        }
    }
}

impl From<JwsError> for Refused {
    fn from(error: JwsError) -> Self {
        Self::Form(error)
    }
}

impl From<ClaimsError> for Refused {
    fn from(error: ClaimsError) -> Self {
        Self::Claims(error)
    }
}

/// Verifies an access token: form, key, algorithm, type, signature, claims, issuer, audience, time.
///
/// Cost: one look-up and one signature check; everything malformed is refused before either.
///
/// # Errors
/// [`Refused`], the first cause in the order above.
pub fn verify(
    token: &str,
    keys: &dyn KeySource,
    requirements: &Requirements<'_>,
    now: UnixSeconds,
) -> Result<Verified, Refused> {
    let compact = Compact::parse(token)?;
    let key = find_key(&compact, keys)?;
    check_algorithm(&compact, key)?;
    let typ = check_type(&compact, requirements)?;
    check_signature(&compact, key)?;
    let claims = read_claims(&compact)?;
    check_issuer(&claims, requirements)?;
    check_audience(&claims, requirements)?;
    check_time(&claims, requirements, now)?;
    Ok(Verified { kid: key.kid().clone(), typ, expires_at: claims.expires_at, claims })
}

/// Verifies a compact JWS of any payload under one key, and returns the payload: the signature alone, no `kid`, no
/// `typ`, no claims. For key checks and test vectors; an access token goes through [`verify`].
///
/// # Errors
/// `Form`, `Algorithm` or `Signature`.
pub fn verify_signature(token: &str, key: &VerifyKey) -> Result<Vec<u8>, Refused> {
    let compact = Compact::parse(token)?;
    check_algorithm(&compact, key)?;
    check_signature(&compact, key)?;
    Ok(compact.payload_bytes()?)
}

/// RFC 8725 section 3.10, PROTOCOL section 4: `kid` selects exactly one key; never another one after it.
pub(crate) fn find_key<'k>(compact: &Compact<'_>, keys: &'k dyn KeySource) -> Result<&'k VerifyKey, Refused> {
    keys.verify_key(compact.header.kid()?).ok_or(Refused::UnknownKey)
}

/// RFC 8725 section 3.1: the key says the algorithm; the header may only agree.
pub(crate) fn check_algorithm(compact: &Compact<'_>, key: &VerifyKey) -> Result<(), Refused> {
    let written = compact.header.alg.as_str();
    // RFC 9864 section 2.2 names the same signature `Ed25519`.
    let agrees = written == key.algorithm().name() || (key.algorithm() == Algorithm::EdDsa && written == "Ed25519");
    if agrees { Ok(()) } else { Err(Refused::Algorithm) }
}

/// RFC 8725 section 3.11, RFC 9068 section 4: the type is checked, and must be there.
pub(super) fn check_type(compact: &Compact<'_>, requirements: &Requirements<'_>) -> Result<Typ, Refused> {
    let written = compact.header.typ.as_deref().ok_or(Refused::Type)?;
    requirements.typ.iter().copied().find(|typ| typ.is_written(written)).ok_or(Refused::Type)
}

/// RFC 7515 section 5.2, step 8.
pub(crate) fn check_signature(compact: &Compact<'_>, key: &VerifyKey) -> Result<(), Refused> {
    if key.verifies(compact.message, compact.signature) { Ok(()) } else { Err(Refused::Signature) }
}

/// RFC 7519 section 7.2, with the types of section 4.1 and RFC 9068 section 2.2.
pub(super) fn read_claims(compact: &Compact<'_>) -> Result<AccessClaims, Refused> {
    Ok(AccessClaims::read(&compact.payload_bytes()?)?)
}

/// RFC 9068 section 4: `iss` is exactly the issuer.
pub(super) fn check_issuer(claims: &AccessClaims, requirements: &Requirements<'_>) -> Result<(), Refused> {
    if claims.issuer == requirements.issuer { Ok(()) } else { Err(Refused::Issuer) }
}

/// RFC 7519 section 4.1.3: whoever is not in `aud` must refuse.
pub(crate) fn check_audience(claims: &AccessClaims, requirements: &Requirements<'_>) -> Result<(), Refused> {
    let named = |wanted: &str| claims.audiences.iter().any(|audience| audience.as_str() == wanted);
    if requirements.audience.is_none_or(named) { Ok(()) } else { Err(Refused::Audience) }
}

/// `exp`, `nbf` and `iat` against the clock.
pub(crate) fn check_time(
    claims: &AccessClaims,
    requirements: &Requirements<'_>,
    now: UnixSeconds,
) -> Result<(), Refused> {
    let leeway = requirements.leeway.min(LEEWAY_MAX);
    // RFC 7519 section 4.1.4: "on or after" the date the token must not be accepted.
    if claims.expires_at.after(leeway).has_passed(now) {
        return Err(Refused::Expired);
    }
    // FAPI 2.0 Security Profile section 5.3.2.1; RFC 7519 sections 4.1.5 and 4.1.6.
    let latest = now.after(leeway.max(FUTURE_ACCEPTED));
    if claims.not_before.is_some_and(|not_before| not_before > latest) {
        return Err(Refused::NotYet);
    }
    if claims.issued_at > latest {
        return Err(Refused::IssuedInFuture);
    }
    Ok(())
}
