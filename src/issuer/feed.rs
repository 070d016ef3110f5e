//! `GET /revocations`: the log of what has been revoked, signed, for those who verify by themselves.
//!
//! `manual::feed` describes the document for its readers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use ring::digest;
use serde::Serialize;
use tokio::sync::watch;

use crate::issuer::documents::value;
use crate::issuer::{Document, Issuer, RETRY_AFTER};
use crate::keys::{KeySet, KeyState, SigningKey};
use crate::protocol::base64url;
use crate::protocol::error::{OAuthError, UnavailableReason};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf};

/// The `typ` of the document's header: never one of a token (RFC 8725 section 3.11).
pub const TYP: &str = "revocations+jwt";
/// How long a document may be cached, in whole seconds. A follower that asks as often knows of a revocation within
/// [`LATENCY_MAX_SECONDS`].
pub const MAX_AGE_SECONDS: u64 = 5;
/// The longest time from an acknowledged revocation to its knowledge in a follower that asks every
/// [`MAX_AGE_SECONDS`]: one cache life, one pause.
pub const LATENCY_MAX_SECONDS: u64 = 2 * MAX_AGE_SECONDS;
/// Longest time a question is held: below the patience of the usual proxies, a minute. Who asks for more gets this.
pub const WAIT_SECONDS_MAX: u64 = 50;
/// How long a document is valid: a follower that can get no newer one by then no longer knows what is revoked.
const LIFETIME_SECONDS: u64 = 300;
/// A document is signed anew when it is this old, though nothing has changed. Followers of the event stream get one as
/// often, so that what they hold stays valid.
pub const RENEW: Duration = Duration::from_secs(60);
/// Most entries of one document: about two megabytes. What is more comes with the next request.
const ENTRIES_MAX: usize = 50_000;
/// Most documents kept ready, and most bytes of them.
const READY_MAX: usize = 256;
const READY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A signed part of the log.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The document, with its headers.
    pub document: Document,
    /// The last number it covers: what to ask for next.
    pub to: u64,
    /// Whether there is more after `to`.
    pub more: bool,
}

/// Up to where a document is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the last number: for who asks now and then.
    Latest,
    /// To the last number that was announced: for who waits. All of them get the same document.
    Announced,
}

/// How a follower heard of a revocation; a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It asked.
    Poll,
    /// Its request was held.
    LongPoll,
    /// An event.
    Stream,
}

impl Way {
    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::LongPoll => "long_poll",
            Self::Stream => "stream",
        }
    }
}

/// Documents that were signed with the present keys, each by where it begins and where it was to end.
#[derive(Debug, Default)]
pub(super) struct Ready {
    documents: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: u64,
    by_span: HashMap<(u64, u64), Arc<Slot>>,
    bytes: usize,
}

/// One document; whoever comes first makes it, and the others wait for it: a thousand followers cost one signature.
#[derive(Debug, Default)]
struct Slot {
    made: Mutex<Option<(UnixSeconds, Delta)>>,
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
    // When the last of it was published, to the millisecond, where that is not too long ago: a follower's own lag.
    #[serde(skip_serializing_if = "Option::is_none")]
    published_ms: Option<u64>,
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
    /// 2. Where may the document begin, so that as many as possible share it?
    /// 3. The same document was asked for before, and nothing has changed: give it again.
    /// 4. Otherwise write it, sign it, keep it; whoever asks for the same meanwhile waits for this one.
    ///
    /// # Errors
    /// `Unavailable` if the log is not complete, or there is no key to sign with.
    pub fn revocations(&self, since: u64, reach: Reach) -> Result<Delta, OAuthError> {
        let now = self.now();
        let keys = self.keyring.current();
        // 1
        self.note_tainted_keys(&keys, now);
        // 2
        let from = self.feed.beginning(since);
        let up_to = match reach {
            Reach::Latest => self.feed.latest(),
            // Who knows more than was announced keeps it.
            Reach::Announced => since.max(*self.announced.borrow()),
        };
        // 3
        let slot = self.ready.slot(keys.serial(), from, up_to);
        let mut made = slot.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_at, delta)) = made.as_ref()
            && now >= *made_at
            && now.since(*made_at) < RENEW
        {
            return Ok(delta.clone());
        }
        // 4
        let delta = self.write_delta(from, up_to, &keys, now)?;
        self.ready.keep(made.as_ref().map_or(0, |(_, old)| old.document.body.len()), delta.document.body.len());
        *made = Some((now, delta.clone()));
        Ok(delta)
    }

    fn write_delta(&self, from: u64, up_to: u64, keys: &KeySet, now: UnixSeconds) -> Result<Delta, OAuthError> {
        let unavailable = |reason| OAuthError::Unavailable(reason, RETRY_AFTER);
        let page = self.feed.page(from, up_to, ENTRIES_MAX, now);
        let page = page.map_err(|_| unavailable(UnavailableReason::StateFull))?;
        let algorithm = self.settings.load().algorithm;
        let key = keys.signer(algorithm).ok_or(unavailable(UnavailableReason::NoKey))?;
        let claims = Claims {
            iss: self.name(),
            iat: now,
            exp: UnixSeconds(now.0 + LIFETIME_SECONDS),
            from: page.from,
            to: page.to,
            more: page.more,
            max_age: MAX_AGE_SECONDS,
            published_ms: self.feed.published_at(page.to).map(|moment| moment.millis),
            revoked: revoked(&page.entries),
        };
        let text = sign(&claims, key).ok_or(unavailable(UnavailableReason::Signer))?;
        self.metrics.feed_documents.inc();
        Ok(Delta { document: wrap(text), to: page.to, more: page.more })
    }

    /// The number up to which those who wait have been told; changes wake them all.
    #[must_use]
    pub fn announced(&self) -> watch::Receiver<u64> {
        self.announced.clone()
    }

    /// Whether this number was given in this run, so that there can be something to wait for after it.
    #[must_use]
    pub fn is_given(&self, number: u64) -> bool {
        number <= self.feed.latest()
    }

    /// Tells those who wait of new revocations. Cancel to stop; without it nobody who waits hears anything.
    pub async fn announce_forever(self: Arc<Self>) {
        self.feed.announce_forever().await;
    }

    /// How many entries the feed has.
    #[must_use]
    pub fn feed_len(&self) -> usize {
        self.feed.len()
    }

    /// Notes that a follower which knew everything up to `since` was handed what came next: the time since the first of
    /// that was published is this follower's lag.
    pub fn note_lag(&self, way: Way, since: u64) {
        if let Some(moment) = self.feed.published_at(since.saturating_add(1)) {
            self.metrics.feed_lag.observe(way.name(), self.clock.monotonic().saturating_sub(moment.monotonic));
        }
    }

    /// Puts the keys that are tainted into the log, unless they are in it.
    pub(super) fn note_tainted_keys(&self, keys: &KeySet, now: UnixSeconds) {
        let tainted = keys.records().iter().filter(|record| record.state == KeyState::Tainted);
        let cut_off = tainted.map(|record| {
            // None of its tokens outlives this, and none that names it is good, whatever date it bears.
            let ends_at = record.ended_at.unwrap_or(now).after(Duration::from_secs(record.lifetime_seconds));
            let ends_at = ends_at.after(crate::token::verify::LEEWAY_MAX);
            Change::MoveEpoch { of: EpochOf::Key(record.id.clone()), not_before: ends_at, ends_at }
        });
        self.feed.append(&cut_off.collect::<Vec<_>>(), now);
    }
}

fn sign(claims: &Claims<'_>, key: &SigningKey) -> Option<Vec<u8>> {
    let header = serde_json::json!({"alg": key.algorithm().name(), "typ": TYP, "kid": key.kid().as_str()});
    let claims = serde_json::to_vec(claims).ok()?;
    let mut out = Vec::with_capacity(claims.len() * 4 / 3 + 512);
    base64url::append(header.to_string().as_bytes(), &mut out);
    out.push(b'.');
    base64url::append(&claims, &mut out);
    key.sign_onto(0, &mut out).ok()?;
    out.shrink_to_fit();
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
    /// The place of the document that begins at `from` and was to reach `up_to`, made by anybody or not yet.
    fn slot(&self, keys: u64, from: u64, up_to: u64) -> Arc<Slot> {
        let mut kept = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.keys != keys {
            *kept = Kept { keys, ..Kept::default() };
        }
        if !kept.by_span.contains_key(&(from, up_to))
            && (kept.by_span.len() >= READY_MAX || kept.bytes >= READY_BYTES_MAX)
        {
            // Nobody who is up to date asks for these again; who is not makes them again.
            *kept = Kept { keys, ..Kept::default() };
        }
        Arc::clone(kept.by_span.entry((from, up_to)).or_default())
    }

    /// Counts a document of `fresh` bytes that takes the place of one of `old` bytes. A slot that was dropped meanwhile is
    /// counted too: too much is counted then, never too little.
    fn keep(&self, old: usize, fresh: usize) {
        let mut kept = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = kept.bytes.saturating_sub(old).saturating_add(fresh);
    }
}
