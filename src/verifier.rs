//! For services in Rust: verify access tokens locally, and know what was revoked.
//!
//! The same gate as the gateway's own ([`token::verify`](mod@crate::token::verify)), behind a cache of the key set that
//! follows rotations, and a follower of the revocation feed (`manual::feed`). No server is compiled in:
//!
//! ```toml
//! mintgate = { version = "0.1", default-features = false }
//! ```
//!
//! How bytes are fetched is the service's own choice, as a [`Fetch`] of a few lines around the HTTP client it has anyway:
//!
//! ```no_run
//! use mintgate::ambient::SystemClock;
//! use mintgate::verifier::{Demand, Denied, Fetch, Settings, Verifier};
//! use std::sync::Arc;
//!
//! async fn serve(client: Arc<dyn Fetch>, token: &str) -> Result<(), Denied> {
//!     let settings = Settings::new("https://auth.example").following("https://auth.example/revocations");
//!     let verifier = Arc::new(Verifier::new(settings, client, Arc::new(SystemClock::new())));
//!     // In the background: `follow` makes one round and says when the next is due. A revocation is known within ten
//!     // seconds; with `.waiting(Duration::from_secs(45))`, and a client that waits as long for an answer, in a moment.
//!     let follower = Arc::clone(&verifier);
//!     tokio::spawn(async move {
//!         loop {
//!             tokio::time::sleep(follower.follow().await).await;
//!         }
//!     });
//!     // For each request:
//!     let demand = Demand { audience: "https://api.example".to_owned(), scope: "read".parse().unwrap_or(mintgate::protocol::scope::Scope::empty()) };
//!     let verified = verifier.verify(token, &demand).await?;
//!     println!("{} may read", verified.claims.subject);
//!     Ok(())
//! }
//! ```

mod feed;
mod keys;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::ambient::Clock;
use crate::protocol::jws::Typ;
use crate::protocol::scope::Scope;
use crate::token::{KeySource, Refused, Requirements, Verified};
use feed::Follower;
use keys::KeyCache;

/// An answer on its way.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + 'a>>;

/// Gets documents. Give it a time limit of its own: nothing here waits for less.
pub trait Fetch: Send + Sync {
    /// `GET url`; anything but status 200 is an error.
    fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a>;
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The whole body.
    pub body: Vec<u8>,
    /// `max-age` of its `Cache-Control` (RFC 9111 section 5.2.2.1), if it has one.
    pub max_age: Option<Duration>,
}

/// Why a document could not be had; for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// What happens while the feed cannot be reached for longer than its last document is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedLost {
    /// Every token is refused with [`Denied::Unavailable`].
    Refuse,
    /// Tokens are good until they expire; what was known to be revoked stays refused.
    TrustExpiry,
}

/// Whom to trust, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// Where the key set is.
    pub jwks_url: String,
    /// Where the revocation feed is, if it is followed.
    pub feed_url: Option<String>,
    /// How long the gateway may hold a question for news of the feed, in whole seconds; zero to ask every few seconds
    /// instead. The gateway grants 50 at the most. What fetches must be more patient than this.
    pub feed_wait: Duration,
    /// What happens when it is lost.
    pub feed_lost: FeedLost,
    /// The types of token that are taken.
    pub typ: Vec<Typ>,
    /// Added to `exp` for clocks that differ; at most a minute is granted.
    pub leeway: Duration,
    /// The least time between two fetches of the key set, whatever tokens name as their key.
    pub cool_down: Duration,
}

impl Settings {
    /// For an issuer at its usual addresses: `at+jwt` alone, no leeway, ten seconds between fetches, no feed.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks_url: format!("{}/jwks.json", issuer.trim_end_matches('/')),
            feed_url: None,
            feed_wait: Duration::ZERO,
            feed_lost: FeedLost::TrustExpiry,
            typ: vec![Typ::AtJwt],
            leeway: Duration::ZERO,
            cool_down: Duration::from_secs(10),
        }
    }

    /// Follows the feed at `url`.
    #[must_use]
    pub fn following(self, url: &str) -> Self {
        Self { feed_url: Some(url.to_owned()), ..self }
    }

    /// Lets the gateway hold each question about the feed for up to `wait`, so that a revocation is known a moment after it
    /// was made, not a few seconds. One connection is in use all the time; a gateway that has no place for one more is asked
    /// every few seconds as before.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { feed_wait: wait, ..self }
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Must be one of `aud`.
    pub audience: String,
    /// Every token of it must be in the scope; may be empty.
    pub scope: Scope,
}

/// Why a request may not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token is not good: 401 `invalid_token` (RFC 6750 section 3.1).
    #[error("{0}")]
    Token(Refused),
    /// The token was revoked: 401 `invalid_token`.
    #[error("the token was revoked")]
    Revoked,
    /// The token is good, but not for this: 403 `insufficient_scope`.
    #[error("the token's scope is not enough")]
    Scope,
    /// There is no key set, or the feed is lost and [`FeedLost::Refuse`] is asked for: 503.
    #[error("what is needed to judge the token cannot be had right now")]
    Unavailable,
}

/// Verifies tokens of one issuer.
pub struct Verifier {
    settings: Settings,
    keys: KeyCache,
    follower: Option<Follower>,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// Fetches nothing yet.
    #[must_use]
    pub fn new(settings: Settings, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        let keys = KeyCache::new(&settings, Arc::clone(&fetch), Arc::clone(&clock));
        let follower = settings.feed_url.as_ref().map(|url| Follower::new(url.clone(), settings.feed_wait, fetch));
        Self { settings, keys, follower, clock }
    }

    /// Verifies one token. Fetches the key set if it is not there, is stale, or lacks the token's key and the cool-down
    /// has passed; however many ask at once, one fetches and the others wait for it.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn verify(&self, token: &str, demand: &Demand) -> Result<Verified, Denied> {
        let mut keys = self.keys.current().await.ok_or(Denied::Unavailable)?;
        let mut verdict = self.open(token, keys.as_ref(), demand);
        if verdict == Err(Refused::UnknownKey) {
            // A rotation we have not seen, or anybody's invention: asked for at most once in a cool-down.
            keys = self.keys.newer_than(&keys).await.ok_or(Denied::Unavailable)?;
            verdict = self.open(token, keys.as_ref(), demand);
        }
        let verified = verdict.map_err(Denied::Token)?;
        if let Some(follower) = &self.follower {
            if follower.is_revoked(&verified.claims, verified.kid.as_str()) {
                return Err(Denied::Revoked);
            }
            if self.settings.feed_lost == FeedLost::Refuse && !follower.is_current(self.clock.now()) {
                return Err(Denied::Unavailable);
            }
        }
        if verified.claims.scope.covers(&demand.scope) { Ok(verified) } else { Err(Denied::Scope) }
    }

    /// One round of following the feed: reads what is new. Says when the next is due; without a feed, in an hour. With
    /// [`Settings::waiting`] a round takes as long as there is nothing new, and the next is due at once.
    pub async fn follow(&self) -> Duration {
        let Some(follower) = &self.follower else { return Duration::from_secs(3_600) };
        match follower.round(&self.settings.issuer, &self.keys, self.clock.as_ref()).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "the revocation feed could not be read");
                feed::PAUSE_AFTER_ERROR
            }
        }
    }

    fn open(&self, token: &str, keys: &dyn KeySource, demand: &Demand) -> Result<Verified, Refused> {
        let requirements = Requirements {
            issuer: &self.settings.issuer,
            audience: Some(&demand.audience),
            typ: &self.settings.typ,
            leeway: self.settings.leeway,
        };
        crate::token::verify(token, keys, &requirements, self.clock.now())
    }
}
