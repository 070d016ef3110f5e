//! Signs a checked draft: the hot path of the whole gateway.
//!
//! The header stands encoded in the key, the claims are written once into one buffer, and base64url and signature are
//! appended straight to the output: two allocations, no key parsed.

use crate::keys::SigningKey;
use crate::keys::signing::SignError;
use crate::protocol::base64url;
use crate::protocol::id::{Audience, Jti};
use crate::protocol::time::UnixSeconds;
use crate::token::draft::{Checked, Draft};

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

/// Mints an access token (RFC 9068 section 2) that is issued `now` and lives as long as the draft says.
///
/// `jti`: 128 random bits, drawn by the caller and used once. Cost: one signature; two allocations (RSA: three).
///
/// # Errors
/// [`SignError`] if the system gives no random bytes for the signature. Answer 503.
pub fn mint(checked: &Checked, key: &SigningKey, jti: Jti, now: UnixSeconds) -> Result<Minted, SignError> {
    let draft = checked.draft();
    let expires_at = now.after(draft.lifetime);
    let mut json = Vec::with_capacity(checked.claims_bytes_max());
    write_claims(draft, jti, now, expires_at, &mut json).map_err(|_| SignError)?;

    let head = key.head(draft.typ);
    let mut out = Vec::with_capacity(head.len() + json.len().div_ceil(3) * 4 + SIGNATURE_BYTES_MAX);
    out.extend_from_slice(head);
    base64url::append(&json, &mut out);
    key.sign_onto(0, &mut out)?;
    // Base64url and dots are ASCII, so this check of a few hundred bytes never fails.
    let token = String::from_utf8(out).map_err(|_| SignError)?;
    Ok(Minted { token, jti, expires_at })
}

/// Writes the claims in the order of [`crate::manual::formats`]. By hand, because a generic serialiser looks at every
/// byte of every name: it costs as much as all the rest beside the signature.
fn write_claims(
    draft: &Draft,
    jti: Jti,
    now: UnixSeconds,
    expires_at: UnixSeconds,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    out.extend_from_slice(b"{\"iss\":");
    string(&draft.issuer, out)?;
    out.extend_from_slice(b",\"sub\":");
    string(draft.subject.as_str(), out)?;
    out.extend_from_slice(b",\"aud\":");
    audiences(&draft.audiences, out)?;
    out.extend_from_slice(b",\"exp\":");
    serde_json::to_writer(&mut *out, &expires_at)?;
    out.extend_from_slice(b",\"iat\":");
    serde_json::to_writer(&mut *out, &now)?;
    out.extend_from_slice(b",\"jti\":\"");
    out.extend_from_slice(&base64url::encode_id(&jti.0));
    out.extend_from_slice(b"\",\"client_id\":");
    string(draft.client.as_str(), out)?;
    // RFC 6749 section 3.3: a scope has at least one token; an empty one is left out.
    if !draft.scope.is_empty() {
        out.extend_from_slice(b",\"scope\":");
        string(draft.scope.as_str(), out)?;
    }
    if let Some(family) = draft.session {
        out.extend_from_slice(b",\"sid\":\"");
        out.extend_from_slice(&base64url::encode_id(&family.0));
        out.push(b'"');
    }
    if let Some(auth_time) = draft.auth_time {
        out.extend_from_slice(b",\"auth_time\":");
        serde_json::to_writer(&mut *out, &auth_time)?;
    }
    // draft-ietf-oauth-status-list-17, section 6.2
    if let Some(status) = &draft.status {
        out.extend_from_slice(b",\"status\":{\"status_list\":{\"idx\":");
        serde_json::to_writer(&mut *out, &status.index)?;
        out.extend_from_slice(b",\"uri\":");
        string(&status.uri, out)?;
        out.extend_from_slice(b"}}");
    }
    out.push(b'}');
    Ok(())
}

/// RFC 7519 section 4.1.3: one audience may be written as a string, which every verifier reads.
fn audiences(audiences: &[Audience], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match audiences {
        [one] => string(one.as_str(), out),
        many => serde_json::to_writer(out, many),
    }
}

/// A JSON string (RFC 8259 section 7). Nearly every text needs no escape and is copied whole.
fn string(text: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    // Without an early exit: the loop over all bytes is one the compiler vectorises.
    let needs_escape = text.bytes().fold(false, |found, b| found | (b < 0x20) | (b == b'"') | (b == b'\\'));
    if needs_escape {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}
