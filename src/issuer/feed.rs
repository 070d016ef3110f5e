//! `GET /revocations`: the log of what has been revoked, signed, for those who verify by themselves.
//!
//! `manual::feed` describes the document for its readers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hyper::header::HeaderValue;
use ring::digest;
use serde::Serialize;

use crate::issuer::documents::value;
use crate::issuer::{Document, Issuer, RETRY_AFTER};
use crate::keys::{KeySet, KeyState, SigningKey};
use crate::protocol::base64url;
use crate::protocol::error::{OAuthError, UnavailableReason};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf};
use crate::store::feed::Page;

/// The `typ` of the document's header: never one of a token (RFC 8725 section 3.11).
pub const TYP: &str = "revocations+jwt";
/// How long a document may be cached, in whole seconds. A follower that asks as often knows of a revocation within
/// [`LATENCY_MAX_SECONDS`].
pub const MAX_AGE_SECONDS: u64 = 5;
/// The longest time from an acknowledged revocation to its knowledge in a follower that asks every
/// [`MAX_AGE_SECONDS`]: one cache life, one pause.
pub const LATENCY_MAX_SECONDS: u64 = 2 * MAX_AGE_SECONDS;
/// How long a document is valid: a follower that can get no newer one by then no longer knows what is revoked.
const LIFETIME_SECONDS: u64 = 300;
/// A document is signed anew when it is this old, though nothing has changed.
const RENEW_SECONDS: u64 = 60;
/// Most entries of one document: about two megabytes. What is more comes with the next request.
const ENTRIES_MAX: usize = 50_000;
/// Most documents kept ready, each for another `since`.
const READY_MAX: usize = 64;

/// Documents that were signed for the present state of log and keys.
#[derive(Debug, Default)]
pub(super) struct Ready {
    documents: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    state: (u64, u64),
    by_since: HashMap<u64, (UnixSeconds, Document)>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: UnixSeconds,
    exp: UnixSeconds,
    from: u64,
    to: u64,
    more: bool,
    max_age: u64,
    revoked: Revoked<'a>,
}

/// The entries by what they name; each ends with the second from which it may be forgotten.
#[derive(Default, Serialize)]
struct Revoked<'a> {
    jti: Vec<(String, UnixSeconds)>,
    sid: Vec<(String, UnixSeconds)>,
    sub: Vec<(String, UnixSeconds, UnixSeconds)>,
    client_id: Vec<(&'a str, UnixSeconds, UnixSeconds)>,
    kid: Vec<(&'a str, UnixSeconds, UnixSeconds)>,
}

impl Issuer {
    /// The document with what came after the number `since`.
    ///
    /// 1. A tainted key is a revocation too: note it, if it is new.
    /// 2. The same document was asked for before, and nothing has changed: give it again.
    /// 3. Otherwise write it, sign it, keep it.
    ///
    /// # Errors
    /// `Unavailable` if the log is not complete, or there is no key to sign with.
    pub fn revocations(&self, since: u64) -> Result<Document, OAuthError> {
        let unavailable = |reason| OAuthError::Unavailable(reason, RETRY_AFTER);
        let now = self.now();
        let keys = self.keyring.peek();
        // 1
        self.note_tainted_keys(&keys, now);
        // 2
        let state = (self.feed.latest(), keys.serial());
        if let Some(document) = self.ready.find(state, since, now) {
            return Ok(document);
        }
        // 3
        let page = self.feed.page(since, ENTRIES_MAX, now).map_err(|_| unavailable(UnavailableReason::StateFull))?;
        let algorithm = self.settings.load().algorithm;
        let key = keys.signer(algorithm).ok_or(unavailable(UnavailableReason::NoKey))?;
        let text = sign(self.name(), &page, key, now).ok_or(unavailable(UnavailableReason::Signer))?;
        let document = wrap(text);
        self.ready.keep(state, since, now, &document);
        Ok(document)
    }

    /// Puts the keys that are tainted into the log, unless they are in it.
    pub(super) fn note_tainted_keys(&self, keys: &KeySet, now: UnixSeconds) {
        let tainted = keys.records().iter().filter(|record| record.state == KeyState::Tainted);
        let cut_off = tainted.map(|record| {
            // None of its tokens outlives this, and none that names it is good, whatever date it bears.
            let ends_at = record.ended_at.unwrap_or(now).after(std::time::Duration::from_secs(record.lifetime_seconds));
            let ends_at = ends_at.after(crate::token::verify::LEEWAY_MAX);
            Change::MoveEpoch { of: EpochOf::Key(record.id.clone()), not_before: ends_at, ends_at }
        });
        self.feed.append(&cut_off.collect::<Vec<_>>(), now);
    }
}

fn sign(issuer: &str, page: &Page, key: &SigningKey, now: UnixSeconds) -> Option<Vec<u8>> {
    let header = serde_json::json!({"alg": key.algorithm().name(), "typ": TYP, "kid": key.kid().as_str()});
    let claims = Claims {
        iss: issuer,
        iat: now,
        exp: UnixSeconds(now.0 + LIFETIME_SECONDS),
        from: page.from,
        to: page.to,
        more: page.more,
        max_age: MAX_AGE_SECONDS,
        revoked: revoked(&page.entries),
    };
    let claims = serde_json::to_vec(&claims).ok()?;
    let mut out = Vec::with_capacity(claims.len() * 4 / 3 + 512);
    base64url::append(header.to_string().as_bytes(), &mut out);
    out.push(b'.');
    base64url::append(&claims, &mut out);
    key.sign_onto(0, &mut out).ok()?;
    Some(out)
}

fn revoked(entries: &[Change]) -> Revoked<'_> {
    let mut revoked = Revoked::default();
    for change in entries {
        match change {
            Change::DenyJti { jti, expires_at: end } | Change::DenyUndatedJti { jti, until: end } => {
                revoked.jti.push((jti.to_string(), *end));
            }
            Change::RevokeFamily { family } => revoked.sid.push((family.to_string(), family.ends_by())),
            Change::MoveEpoch { of, not_before, ends_at } => match of {
                EpochOf::Subject(subject) => {
                    revoked.sub.push((subject_name(subject.as_str()), *not_before, *ends_at));
                }
                EpochOf::Client(client) => revoked.client_id.push((client.as_str(), *not_before, *ends_at)),
                EpochOf::Key(kid) => revoked.kid.push((kid.as_str(), *not_before, *ends_at)),
            },
            Change::RotateFamily { .. } | Change::SpendId { .. } => {}
        }
    }
    revoked
}

/// A subject as the document names it: the first 128 bits of its SHA-256. Everybody may read the document, and who
/// logged out everywhere is nobody's business who has not that person's token in hand.
fn subject_name(subject: &str) -> String {
    let hash = digest::digest(&digest::SHA256, subject.as_bytes());
    base64url::encode(hash.as_ref().get(..16).unwrap_or_default())
}

fn wrap(text: Vec<u8>) -> Document {
    let hash = digest::digest(&digest::SHA256, &text);
    let tag = base64url::encode(hash.as_ref().get(..16).unwrap_or_default());
    Document {
        body: Bytes::from(text),
        content_type: HeaderValue::from_static("application/revocations+jwt"),
        etag: value(&format!("\"{tag}\"")),
        cache_control: value(&format!("public, max-age={MAX_AGE_SECONDS}")),
    }
}

impl Ready {
    fn find(&self, state: (u64, u64), since: u64, now: UnixSeconds) -> Option<Document> {
        let kept = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let (made_at, document) = kept.by_since.get(&since).filter(|_| kept.state == state)?;
        let is_fresh = now.since(*made_at).as_secs() < RENEW_SECONDS && now >= *made_at;
        is_fresh.then(|| document.clone())
    }

    fn keep(&self, state: (u64, u64), since: u64, now: UnixSeconds, document: &Document) {
        let mut kept = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.state != state || kept.by_since.len() >= READY_MAX {
            kept.by_since.clear();
            kept.state = state;
        }
        kept.by_since.insert(since, (now, document.clone()));
    }
}
