//! The follower of the revocation feed, as `manual::feed` describes it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::digest;
use serde_json::{Map, Value};

use crate::ambient::Clock;
use crate::protocol::base64url;
use crate::protocol::claims::AccessClaims;
use crate::protocol::json;
use crate::protocol::jws::Compact;
use crate::protocol::time::UnixSeconds;
use crate::token::verify::{check_algorithm, check_signature, find_key};
use crate::verifier::Fetch;
use crate::verifier::keys::KeyCache;

/// Longest document read, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most entries kept; a feed that has more is an error, never a silent gap.
const ENTRIES_MAX: usize = 2_000_000;
/// Most documents in one round.
const DOCUMENTS_MAX: usize = 100;
/// An answer without news that came sooner was not held.
const HELD_MIN: Duration = Duration::from_millis(500);
/// The wait after a round that failed.
pub(super) const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// What a round can meet.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error("{0}")]
    Fetch(#[from] crate::verifier::FetchError),
    #[error("the key set cannot be had")]
    NoKeys,
    #[error("the document is not a signed list of this issuer that is valid now")]
    Document,
    #[error("the document begins after the last number that is known: something is missing")]
    Gap,
    #[error("the feed has more entries than are kept")]
    TooMany,
}

/// How a follower asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As often as the document says.
    Poll,
    /// The gateway holds the question until there is news.
    Held,
}

pub(super) struct Follower {
    url: String,
    wait: Duration,
    fetch: Arc<dyn Fetch>,
    known: RwLock<Known>,
}

/// Each entry with its two dates: what is at or before the first is over; from the second on it may be forgotten.
#[derive(Default)]
struct Known {
    number: u64,
    valid_until: UnixSeconds,
    entries: HashMap<(&'static str, String), (UnixSeconds, UnixSeconds)>,
}

/// What has no date of its own is over altogether.
const ALWAYS: UnixSeconds = UnixSeconds(u64::MAX);
const DATED: [(&str, bool); 5] = [("jti", false), ("sid", false), ("sub", true), ("client_id", true), ("kid", true)];

impl Follower {
    /// `wait`: whole seconds the gateway may hold a question; zero for who polls.
    pub(super) fn new(url: String, wait: Duration, fetch: Arc<dyn Fetch>) -> Self {
        Self { url, wait, fetch, known: RwLock::default() }
    }

    /// Whether the last document is still valid.
    pub(super) fn is_current(&self, now: UnixSeconds) -> bool {
        !self.known.read().unwrap_or_else(PoisonError::into_inner).valid_until.has_passed(now)
    }

    pub(super) fn is_revoked(&self, claims: &AccessClaims, kid: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let over = |kind: &'static str, name: String, date: UnixSeconds| {
            known.entries.get(&(kind, name)).is_some_and(|(before, _)| date <= *before)
        };
        let date = claims.auth_time.unwrap_or(claims.issued_at);
        let hash = digest::digest(&digest::SHA256, claims.subject.as_str().as_bytes());
        let subject = base64url::encode(hash.as_ref().get(..16).unwrap_or_default());
        over("jti", claims.jti.to_string(), date)
            || claims.session.is_some_and(|family| over("sid", family.to_string(), date))
            || over("sub", subject, date)
            || over("client_id", claims.client.as_str().to_owned(), date)
            || over("kid", kid.to_owned(), claims.issued_at)
    }

    /// Reads documents until there is no more, and gives the time to wait.
    ///
    /// A gateway that cannot hold the question, because too many wait already, is polled instead. One that does not know
    /// how to, or a cache before it, answers at once with nothing new: then the pause is that of who polls.
    pub(super) async fn round(
        &self,
        issuer: &str,
        keys: &KeyCache,
        clock: &dyn Clock,
    ) -> Result<Duration, FollowError> {
        let mut manner = if self.wait.as_secs() > 0 { Manner::Held } else { Manner::Poll };
        for _ in 0..DOCUMENTS_MAX {
            let number = self.known.read().unwrap_or_else(PoisonError::into_inner).number;
            let began = clock.monotonic();
            let fetched = match self.fetch.fetch(&self.question(number, manner)).await {
                Err(_) if manner == Manner::Held => {
                    manner = Manner::Poll;
                    continue;
                }
                fetched => fetched?,
            };
            let claims = open(&fetched.body, issuer, keys, clock.now()).await?;
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.take(&claims, clock.now())?;
            if claims.get("more").and_then(Value::as_bool) == Some(true) {
                continue;
            }
            let was_held = known.number > number || clock.monotonic().saturating_sub(began) >= HELD_MIN;
            if manner == Manner::Held && was_held {
                return Ok(Duration::ZERO);
            }
            let pause = claims.get("max_age").and_then(Value::as_u64).unwrap_or(5).clamp(1, 3_600);
            return Ok(Duration::from_secs(pause));
        }
        Ok(Duration::ZERO)
    }

    fn question(&self, number: u64, manner: Manner) -> String {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let question = format!("{}{mark}since={number}", self.url);
        match manner {
            Manner::Poll => question,
            Manner::Held => format!("{question}&wait={}", self.wait.as_secs()),
        }
    }
}

/// Verifies a document like a token: key by `kid`, its algorithm, `typ`, signature, `iss`, `exp`.
async fn open(body: &[u8], issuer: &str, keys: &KeyCache, now: UnixSeconds) -> Result<Map<String, Value>, FollowError> {
    let text = std::str::from_utf8(body).map_err(|_| FollowError::Document)?;
    let compact = Compact::parse_within(text.trim_ascii_end(), BYTES_MAX).map_err(|_| FollowError::Document)?;
    let mut set = keys.current().await.ok_or(FollowError::NoKeys)?;
    if find_key(&compact, set.as_ref()).is_err() {
        set = keys.newer_than(&set).await.ok_or(FollowError::NoKeys)?;
    }
    let key = find_key(&compact, set.as_ref()).map_err(|_| FollowError::Document)?;
    let genuine = check_algorithm(&compact, key).and_then(|()| check_signature(&compact, key));
    let payload = compact.payload_bytes().map_err(|_| FollowError::Document)?;
    let claims = json::object(&payload).map_err(|_| FollowError::Document)?;
    let ends_at = claims.get("exp").and_then(Value::as_u64).map(UnixSeconds);
    let is_good = genuine.is_ok()
        && compact.header.typ.as_deref() == Some("revocations+jwt")
        && claims.get("iss").and_then(Value::as_str) == Some(issuer)
        && ends_at.is_some_and(|end| !end.has_passed(now));
    if is_good { Ok(claims) } else { Err(FollowError::Document) }
}

impl Known {
    /// All of a document or nothing of it.
    fn take(&mut self, claims: &Map<String, Value>, now: UnixSeconds) -> Result<(), FollowError> {
        let number = |name: &str| claims.get(name).and_then(Value::as_u64).ok_or(FollowError::Document);
        let (from, to, ends_at) = (number("from")?, number("to")?, number("exp")?);
        if from > self.number {
            self.number = 0;
            return Err(FollowError::Gap);
        }
        let revoked = claims.get("revoked").and_then(Value::as_object).ok_or(FollowError::Document)?;
        let mut fresh = Vec::new();
        for (kind, is_dated) in DATED {
            for entry in revoked.get(kind).and_then(Value::as_array).into_iter().flatten() {
                fresh.push((kind, read(entry, is_dated).ok_or(FollowError::Document)?));
            }
        }
        self.entries.retain(|_, (_, end)| !end.has_passed(now));
        if self.entries.len() + fresh.len() > ENTRIES_MAX {
            return Err(FollowError::TooMany);
        }
        for (kind, (name, before, end)) in fresh {
            let entry = self.entries.entry((kind, name)).or_default();
            *entry = (entry.0.max(before), entry.1.max(end));
        }
        self.number = to;
        self.valid_until = self.valid_until.max(UnixSeconds(ends_at));
        Ok(())
    }
}

fn read(entry: &Value, is_dated: bool) -> Option<(String, UnixSeconds, UnixSeconds)> {
    let date = |value: &Value| value.as_u64().map(UnixSeconds);
    match (entry.as_array()?.as_slice(), is_dated) {
        ([name, end], false) => Some((name.as_str()?.to_owned(), ALWAYS, date(end)?)),
        ([name, before, end], true) => Some((name.as_str()?.to_owned(), date(before)?, date(end)?)),
        _ => None,
    }
}
