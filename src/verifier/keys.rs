//! The key set of the issuer: cached as its headers say, fetched by one at a time, never more often than the cool-down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::ambient::Clock;
use crate::keys::VerifyKey;
use crate::protocol::id::Kid;
use crate::protocol::json;
use crate::protocol::jwk::PublicJwk;
use crate::token::KeySource;
use crate::verifier::{Fetch, Settings};

/// Longest key set read, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// Most keys taken from it.
const KEYS_MAX: usize = 64;
/// How long a key set without `max-age` is fresh.
const AGE_DEFAULT: Duration = Duration::from_secs(300);
/// The longest it is fresh, whatever it says.
const AGE_MAX: Duration = Duration::from_secs(86_400);
/// How long after that its keys are still used when no newer set can be had.
const STALE_MAX: Duration = Duration::from_secs(86_400);

/// A key set as it was fetched.
pub(super) struct Keys {
    by_kid: HashMap<Kid, VerifyKey>,
    fresh_until: Duration,
}

impl KeySource for Keys {
    fn verify_key(&self, kid: &str) -> Option<&VerifyKey> {
        self.by_kid.get(kid)
    }
}

pub(super) struct KeyCache {
    url: String,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    cool_down: Duration,
    held: ArcSwapOption<Keys>,
    /// Who holds it fetches; inside, when somebody last tried.
    tried_at: Mutex<Option<Duration>>,
}

impl KeyCache {
    pub(super) fn new(settings: &Settings, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self {
            url: settings.jwks_url.clone(),
            fetch,
            clock,
            cool_down: settings.cool_down,
            held: ArcSwapOption::empty(),
            tried_at: Mutex::new(None),
        }
    }

    /// The keys, fetched first if there are none or they are stale.
    pub(super) async fn current(&self) -> Option<Arc<Keys>> {
        match self.held.load_full() {
            Some(keys) if self.clock.monotonic() < keys.fresh_until => Some(keys),
            seen => self.renew(seen.as_ref()).await,
        }
    }

    /// Keys that were fetched after `seen`, if the cool-down lets them be; otherwise the same again.
    pub(super) async fn newer_than(&self, seen: &Arc<Keys>) -> Option<Arc<Keys>> {
        self.renew(Some(seen)).await
    }

    async fn renew(&self, seen: Option<&Arc<Keys>>) -> Option<Arc<Keys>> {
        let mut tried_at = self.tried_at.lock().await;
        let held = self.held.load_full();
        let same = match (&held, seen) {
            (Some(held), Some(seen)) => Arc::ptr_eq(held, seen),
            (held, seen) => held.is_none() && seen.is_none(),
        };
        let now = self.clock.monotonic();
        let is_cooling = tried_at.is_some_and(|tried| now < tried + self.cool_down);
        // Somebody else has fetched meanwhile, or tried a moment ago.
        if !same || is_cooling {
            return self.usable(held, now);
        }
        *tried_at = Some(now);
        match self.fetch.fetch(&self.url).await {
            Ok(fetched) => {
                let age = fetched.max_age.unwrap_or(AGE_DEFAULT).min(AGE_MAX);
                match read(&fetched.body) {
                    Some(by_kid) => self.held.store(Some(Arc::new(Keys { by_kid, fresh_until: now + age }))),
                    None => tracing::warn!("the key set cannot be read; the one before stays in use"),
                }
            }
            Err(error) => tracing::warn!(%error, "the key set cannot be fetched; the one before stays in use"),
        }
        self.usable(self.held.load_full(), now)
    }

    fn usable(&self, held: Option<Arc<Keys>>, now: Duration) -> Option<Arc<Keys>> {
        held.filter(|keys| now < keys.fresh_until + STALE_MAX)
    }
}

/// RFC 7517 section 5: keys of a type that is not known are passed over. So is one whose `kid` is not its thumbprint:
/// it is not this gateway's. `None` if nothing is left.
fn read(body: &[u8]) -> Option<HashMap<Kid, VerifyKey>> {
    if body.len() > BYTES_MAX {
        return None;
    }
    let set = json::object(body).ok()?;
    let members = set.get("keys").and_then(Value::as_array)?;
    let mut keys = HashMap::new();
    for member in members.iter().take(KEYS_MAX).filter_map(Value::as_object) {
        let Ok(public) = PublicJwk::from_json(member) else { continue };
        let key = VerifyKey::new(public);
        if member.get("kid").and_then(Value::as_str) == Some(key.kid().as_str()) {
            keys.insert(key.kid().clone(), key);
        }
    }
    (!keys.is_empty()).then_some(keys)
}
