//! How a client proves who it is (RFC 6749 section 2.3): a header or a form, a secret or nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::client::file::SECRETS_MAX;
use crate::client::registry::Registry;
use crate::client::{Client, ClientKind, digest};
use crate::protocol::error::{ClientReason, OAuthError, RequestReason};
use crate::protocol::params::{Params, form_decode};
use crate::protocol::time::UnixSeconds;

/// Longest `Authorization` header read, in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 2_048;

/// Base64 as clients write it: some leave the padding away, which changes nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An id and a secret as one request carried them.
pub struct Credentials {
    /// `client_id`.
    pub id: String,
    /// `client_secret`, wiped when dropped.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a request shows of its client. Never printed: its `Debug` leaves the secret out.
#[derive(Debug)]
pub enum Presented {
    /// Nothing at all.
    None,
    /// `client_secret_basic`: the header, its parts form-decoded.
    Basic {
        /// The parts as RFC 6749 section 2.3.1 reads them.
        decoded: Credentials,
        /// The parts as they stand, when that is something else: many clients do not encode them.
        raw: Option<Credentials>,
    },
    /// `client_secret_post`: both in the form.
    Post(Credentials),
    /// `none`: a `client_id` alone.
    Public {
        /// `client_id`.
        id: String,
    },
}

impl Presented {
    /// Reads the `Authorization` header and the form.
    ///
    /// # Errors
    /// `InvalidRequest(ManyCredentials)` for two methods or two different ids, `InvalidClient` for a header that is
    /// not well-formed Basic, a secret without an id, or a method that is not offered.
    pub fn from_parts(authorization: Option<&[u8]>, params: &Params) -> Result<Self, OAuthError> {
        let id = params.value("client_id");
        let secret = params.value("client_secret");
        let assertion = params.value("client_assertion").or_else(|| params.value("client_assertion_type"));
        // RFC 6749 section 2.3: not more than one authentication method in each request.
        let methods = [authorization.is_some(), secret.is_some(), assertion.is_some()];
        if methods.into_iter().filter(|used| *used).count() > 1 {
            return Err(OAuthError::InvalidRequest(RequestReason::ManyCredentials));
        }
        // Not offered yet; a client that meant to prove itself must never pass as a public one.
        if assertion.is_some() {
            return Err(OAuthError::InvalidClient(ClientReason::WrongMethod));
        }
        if let Some(header) = authorization {
            let (decoded, raw) = parse_basic(header).ok_or(OAuthError::InvalidClient(ClientReason::Malformed))?;
            // `client_id` beside the header is harmless while both say the same.
            let same = |id: &str| decoded.id == id || raw.as_ref().is_some_and(|raw| raw.id == id);
            if id.is_some_and(|id| !same(id)) {
                return Err(OAuthError::InvalidRequest(RequestReason::ManyCredentials));
            }
            return Ok(Self::Basic { decoded, raw });
        }
        match (id, secret) {
            (Some(id), Some(secret)) => {
                Ok(Self::Post(Credentials { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) }))
            }
            (Some(id), None) => Ok(Self::Public { id: id.to_owned() }),
            (None, Some(_)) => Err(OAuthError::InvalidClient(ClientReason::Absent)),
            (None, None) => Ok(Self::None),
        }
    }

    /// Whether the `Authorization` header was used; the refusal then carries a challenge (RFC 6749 section 5.2).
    #[must_use]
    pub fn is_header(&self) -> bool {
        matches!(self, Self::Basic { .. })
    }
}

/// The credentials of a Basic header (RFC 7617 section 2): form-decoded, and raw if that differs.
fn parse_basic(header: &[u8]) -> Option<(Credentials, Option<Credentials>)> {
    if header.len() > AUTHORIZATION_BYTES_MAX {
        return None;
    }
    let header = std::str::from_utf8(header).ok()?;
    // RFC 9110 section 11.1: the scheme's case does not matter.
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(BASE64.decode(token.trim_matches(' ')).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    // RFC 7617 section 2: no control characters; the first colon ends the user-id.
    if text.chars().any(char::is_control) {
        return None;
    }
    let (id, secret) = text.split_once(':')?;
    let raw = Credentials { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) };
    // RFC 6749 section 2.3.1 and appendix B: both parts are form-encoded.
    match (form_decode(id), form_decode(secret)) {
        (Some(own_id), Some(own_secret)) if own_id != id || own_secret != secret => {
            let secret = Zeroizing::new(own_secret.into_owned());
            Some((Credentials { id: own_id.into_owned(), secret }, Some(raw)))
        }
        _ => Some((raw, None)),
    }
}

/// Says which client it is.
///
/// Pure. An unknown id costs the same work as a known one with a wrong secret: one SHA-256 and
/// [`SECRETS_MAX`] comparisons in constant time.
///
/// # Errors
/// [`ClientReason`], for the log only: the answer is the same `invalid_client` for every reason.
pub fn authenticate(registry: &Registry, presented: &Presented, now: UnixSeconds) -> Result<Arc<Client>, ClientReason> {
    match presented {
        Presented::None => Err(ClientReason::Absent),
        Presented::Post(credentials) => prove(registry, credentials, now),
        Presented::Basic { decoded, raw } => {
            let first = prove(registry, decoded, now);
            // Both readings are always tried, each with its own id and secret: which one fits does not show.
            match raw.as_ref().map(|raw| prove(registry, raw, now)) {
                Some(Ok(client)) if first.is_err() => Ok(client),
                _ => first,
            }
        }
        Presented::Public { id } => {
            let client = registry.find(id).ok_or(ClientReason::Unknown)?;
            // RFC 6749 section 3.2.1: a confidential client must authenticate.
            if client.kind != ClientKind::Public {
                return Err(ClientReason::WrongMethod);
            }
            enabled(client)
        }
    }
}

fn prove(registry: &Registry, credentials: &Credentials, now: UnixSeconds) -> Result<Arc<Client>, ClientReason> {
    let client = registry.find(&credentials.id);
    let offered = digest(&credentials.secret);
    let mut known = [([0_u8; 32], Choice::from(0)); SECRETS_MAX];
    if let Some(client) = client {
        for (slot, secret) in known.iter_mut().zip(&client.secrets) {
            let works = secret.ends_at.is_none_or(|end| !end.has_passed(now));
            *slot = (secret.sha256, Choice::from(u8::from(works)));
        }
    }
    let matches =
        known.iter().fold(Choice::from(0), |found, (sha256, works)| found | (sha256.ct_eq(&offered) & *works));
    let client = client.ok_or(ClientReason::Unknown)?;
    // A public client has nothing to prove with; whoever sends a secret takes it for another kind of client.
    if client.kind != ClientKind::Confidential {
        return Err(ClientReason::WrongMethod);
    }
    if !bool::from(matches) {
        return Err(ClientReason::WrongSecret);
    }
    enabled(client)
}

/// Last of all: only who holds the secret learns (from the log's reason) that the client is switched off.
fn enabled(client: &Arc<Client>) -> Result<Arc<Client>, ClientReason> {
    if client.enabled { Ok(Arc::clone(client)) } else { Err(ClientReason::Disabled) }
}
