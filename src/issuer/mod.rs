//! The assembled authority: one file an endpoint, each a story in numbered steps.
//!
//! Everything that does something happens here, in one order: **refuse first; sign and hold; commit; release.** A
//! signer that fails burns no refresh token, and nothing signed leaves before its change is lasting.

mod census;
mod commit;
mod documents;
mod feed;
mod introspect;
mod login;
mod order;
mod readiness;
mod revoke;
mod status_list;
mod token;
mod verify;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::ambient::entropy::draw;
use crate::ambient::{Clock, Entropy};
use crate::client::authenticate::{Presented, authenticate};
use crate::client::registry::Registry;
use crate::client::{Client, GrantType};
use crate::grant::{self, EpochFacts};
use crate::keys::{KeySet, Keyring};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::claims::AccessClaims;
use crate::protocol::error::{OAuthError, UnavailableReason};
use crate::protocol::id::{ClientId, Kid, Subject};
use crate::protocol::params::Params;
use crate::protocol::time::UnixSeconds;
use crate::state::EpochOf;
use crate::store::feed::{ENTRIES_MAX, Feed, Published};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::token::{Limits, Requirements, Typ, Verified};
use crate::user::directory::Directory;
use crate::user::hash::HashPool;
use crate::user::slowdown::Slowdown;

pub use census::Caller;
pub use documents::{Document, Documents};
pub use feed::{Delta, LATENCY_MAX_SECONDS, MAX_AGE_SECONDS, RENEW, Reach, WAIT_SECONDS_MAX, Way};
pub use order::{Order, Outlook, UnreadableOrder};
pub use readiness::Readiness;
pub use status_list::{STATUS_LIST_TYP, STATUS_LISTS_PATH, StatusListSettings};
pub use verify::{
    Asked, Demand, Identity, IdentityHeaders, Invalid, Misconfigured, Shown, Verdict, VerifySettings, cookie_name,
    identity_header,
};

/// How long a client is told to wait when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest a client is told to wait for the clock: it may be set right at any moment.
const CLOCK_WAIT_MAX: Duration = Duration::from_secs(60);

/// What may change at a reload.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lifetimes and the retry rules.
    pub grant: grant::Settings,
    /// What access tokens are signed with.
    pub algorithm: Algorithm,
    /// The `typ` of access tokens.
    pub typ: Typ,
    /// The bounds of an access token.
    pub limits: Limits,
    /// Whether `grant_type=password` is offered (RFC 9700 section 2.4 says not to).
    pub password_grant: bool,
    /// How `/verify` works.
    pub verify: Arc<VerifySettings>,
    /// Who has status lists, and how.
    pub status_list: Arc<StatusListSettings>,
}

/// The parts an authority is made of.
pub struct Parts {
    /// `iss`, byte for byte.
    pub issuer: Arc<str>,
    /// What may change at a reload.
    pub settings: Settings,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The clients.
    pub clients: Registry,
    /// The users.
    pub directory: Arc<dyn Directory>,
    /// Where passwords are compared.
    pub passwords: HashPool,
    /// Who guessed wrong, and how often.
    pub slowdown: Slowdown,
    /// The state.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The token authority.
pub struct Issuer {
    issuer: Arc<str>,
    settings: ArcSwap<Settings>,
    keyring: Arc<Keyring>,
    clients: ArcSwap<Registry>,
    directory: Arc<dyn Directory>,
    passwords: HashPool,
    slowdown: Slowdown,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<Metrics>,
    documents: ArcSwap<Documents>,
    verdicts: verify::Verdicts,
    feed: Arc<Feed>,
    announced: watch::Receiver<u64>,
    ready: feed::Ready,
    status_lists: status_list::StatusLists,
}

/// One request's form and credentials.
pub struct Call<'a> {
    /// The parameters.
    pub params: &'a Params<'a>,
    /// The `Authorization` header, if there is exactly one.
    pub authorization: Option<&'a [u8]>,
    /// The address the request came from.
    pub source: IpAddr,
}

impl Issuer {
    /// Assembles the authority.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        // Without randomness nothing is issued anyway; the feed's numbers need none to be right.
        let salt = draw(parts.entropy.as_ref()).map_or(0, u32::from_be_bytes);
        let published = Published::new(parts.store, ENTRIES_MAX, Arc::clone(&parts.clock), salt);
        let verdicts = verify::Verdicts::new(parts.settings.verify.cache_entries_max);
        let documents = Documents::build(&parts.issuer, &parts.settings, &parts.keyring.current());
        Self {
            issuer: parts.issuer,
            settings: ArcSwap::from_pointee(parts.settings),
            keyring: parts.keyring,
            clients: ArcSwap::from_pointee(parts.clients),
            directory: parts.directory,
            passwords: parts.passwords,
            slowdown: parts.slowdown,
            feed: Arc::clone(published.feed()),
            announced: published.feed().announced(),
            store: Arc::new(published),
            ready: feed::Ready::default(),
            status_lists: status_list::StatusLists::default(),
            clock: parts.clock,
            entropy: parts.entropy,
            metrics: parts.metrics,
            documents: ArcSwap::from_pointee(documents),
            verdicts,
        }
    }

    /// The issuer identifier.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.issuer
    }

    /// Takes new settings and clients; requests under way finish with the old ones.
    pub fn reload(&self, settings: Settings, clients: Registry) {
        self.documents.store(Arc::new(Documents::build(&self.issuer, &settings, &self.keyring.current())));
        self.settings.store(Arc::new(settings));
        self.clients.store(Arc::new(clients));
    }

    /// Takes new clients alone.
    pub fn reload_clients(&self, clients: Registry) {
        self.clients.store(Arc::new(clients));
    }

    /// The store, for figures and ticks.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The password pool, for figures.
    #[must_use]
    pub fn passwords(&self) -> &HashPool {
        &self.passwords
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.keyring.current()
    }

    /// How many clients are registered.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.clients.load().len()
    }

    /// The time to decide with: never earlier than one that was decided with before. Nothing here asks the clock itself,
    /// or a clock set back would revive what has ended, and date a revocation before what it is to end.
    fn now(&self) -> UnixSeconds {
        self.store.read_clock(self.clock.now()).time
    }

    /// Which client asks (RFC 6749 section 2.3).
    fn authenticate(&self, call: &Call<'_>, now: UnixSeconds) -> Result<Arc<Client>, OAuthError> {
        let presented = Presented::from_parts(call.authorization, call.params)?;
        authenticate(&self.clients.load(), &presented, now).map_err(OAuthError::InvalidClient)
    }

    /// Which client asks, where only those that can prove it may.
    fn authenticate_confidential(&self, call: &Call<'_>, now: UnixSeconds) -> Result<Arc<Client>, OAuthError> {
        let client = self.authenticate(call, now)?;
        match client.kind {
            crate::client::ClientKind::Confidential => Ok(client),
            crate::client::ClientKind::Public => {
                Err(OAuthError::InvalidClient(crate::protocol::error::ClientReason::NotAllowed))
            }
        }
    }

    fn epochs(&self, subject: Option<&Subject>, client: &ClientId) -> EpochFacts {
        EpochFacts {
            subject: subject.and_then(|subject| self.store.epoch(&EpochOf::Subject(subject.clone()))),
            client: self.store.epoch(&EpochOf::Client(client.clone())),
        }
    }

    /// Opens the gate for one of our own access tokens; whether it was revoked is [`Issuer::is_revoked`]'s question.
    fn verify(&self, keys: &KeySet, token: &str, now: UnixSeconds) -> Option<Verified> {
        let requirements =
            Requirements { issuer: &self.issuer, audience: None, typ: &[Typ::AtJwt, Typ::Jwt], leeway: Duration::ZERO };
        crate::token::verify(token, keys, &requirements, now).ok()
    }

    /// Whether a verified access token was revoked: by id, by its family, by an epoch of its subject or client.
    fn is_revoked(&self, claims: &AccessClaims, kid: &Kid, now: UnixSeconds) -> bool {
        let issued = claims.auth_time.unwrap_or(claims.issued_at);
        let over = |of: EpochOf, at: UnixSeconds| self.store.epoch(&of).is_some_and(|epoch| at <= epoch);
        self.store.is_denied(claims.jti, claims.expires_at, now)
            || claims.session.is_some_and(|family| self.store.family(family, now).revoked)
            || over(EpochOf::Subject(claims.subject.clone()), issued)
            || over(EpochOf::Client(claims.client.clone()), issued)
            || over(EpochOf::Key(kid.clone()), claims.issued_at)
    }

    /// The grants that are on, as the metadata lists them.
    fn grants(settings: &Settings) -> Vec<&'static str> {
        let mut grants = vec![GrantType::ClientCredentials.name(), GrantType::RefreshToken.name()];
        if settings.password_grant {
            grants.push(GrantType::Password.name());
        }
        grants
    }
}

/// What a store's failure means on the wire: 503, never `invalid_grant`, on which clients throw their session away.
fn unavailable(error: StoreError) -> OAuthError {
    OAuthError::Unavailable(error.reason(), RETRY_AFTER)
}

/// How long to wait for a clock that is `behind`.
fn wait_for_clock(behind: Duration) -> OAuthError {
    OAuthError::Unavailable(UnavailableReason::ClockBehind, behind.min(CLOCK_WAIT_MAX))
}

/// No random bytes: 503, never a weak token.
fn no_entropy(_: crate::ambient::EntropyError) -> OAuthError {
    OAuthError::Unavailable(UnavailableReason::Entropy, RETRY_AFTER)
}
