//! Signs a checked draft: the hot path of the whole gateway.
//!
//! The header stands encoded in the key, the claims are written once into one buffer, and base64url and signature are
//! appended straight to the output: two allocations, no key parsed.

use serde::{Serialize, Serializer};

use crate::keys::SigningKey;
use crate::keys::signing::SignError;
use crate::protocol::base64url;
use crate::protocol::id::{Audience, FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::token::draft::Checked;

/// Longest signature with its dot: RSA with 4096 bits.
const SIGNATURE_BYTES_MAX: usize = 684;

/// A signed access token.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// The compact JWS. A bearer secret: never log it.
    pub token: String,
    /// Its id, for logs and the denylist.
    pub jti: Jti,
    /// Its `exp`.
    pub expires_at: UnixSeconds,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted").field("jti", &self.jti).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The claims in the order they are written.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: Aud<'a>,
    exp: UnixSeconds,
    iat: UnixSeconds,
    jti: Jti,
    client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<FamilyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<UnixSeconds>,
}

/// RFC 7519 section 4.1.3: one audience may be written as a string, which every verifier reads.
struct Aud<'a>(&'a [Audience]);

impl Serialize for Aud<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

/// Mints an access token (RFC 9068 section 2) that is issued `now` and lives as long as the draft says.
///
/// `jti`: 128 random bits, drawn by the caller and used once. Cost: one signature; two allocations (RSA: three).
///
/// # Errors
/// [`SignError`] if the system gives no random bytes for the signature. Answer 503.
pub fn mint(checked: &Checked, key: &SigningKey, jti: Jti, now: UnixSeconds) -> Result<Minted, SignError> {
    let draft = checked.draft();
    let expires_at = now.after(draft.lifetime);
    let claims = Claims {
        iss: &draft.issuer,
        sub: draft.subject.as_str(),
        aud: Aud(&draft.audiences),
        exp: expires_at,
        iat: now,
        jti,
        client_id: draft.client.as_str(),
        scope: draft.scope.as_str(),
        sid: draft.session,
        auth_time: draft.auth_time,
    };
    let mut json = Vec::with_capacity(checked.claims_bytes_max());
    serde_json::to_writer(&mut json, &claims).map_err(|_| SignError)?;

    let head = key.head(draft.typ);
    let mut out = Vec::with_capacity(head.len() + json.len().div_ceil(3) * 4 + SIGNATURE_BYTES_MAX);
    out.extend_from_slice(head);
    base64url::append(&json, &mut out);
    key.sign_onto(0, &mut out)?;
    // Base64url and dots are ASCII, so this check of a few hundred bytes never fails.
    let token = String::from_utf8(out).map_err(|_| SignError)?;
    Ok(Minted { token, jti, expires_at })
}
