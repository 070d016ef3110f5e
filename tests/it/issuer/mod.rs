//! The assembled authority, in process: a clock that is held, a store and a randomness that can be made to fail.

mod clock;
mod commit;
mod login;
mod readiness;
mod revoke;
mod status_list;
mod token;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mintgate::ambient::{Clock, Entropy, EntropyError, ManualClock, SystemEntropy};
use mintgate::client::registry::Registry;
use mintgate::client::{Client, ClientKind, GrantType, SecretDigest, digest};
use mintgate::issuer::{Call, Issuer, Parts, Settings};
use mintgate::keys::{Keyring, initialise};
use mintgate::policy::lifetime::Lifetimes;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::error::OAuthError;
use mintgate::protocol::id::{Audience, ClientId, FamilyId, Jti, Subject};
use mintgate::protocol::params::Params;
use mintgate::protocol::reply::{Introspection, TokenReply};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, FamilyFacts, RetryRules, Rotated, Rotation, Space};
use mintgate::store::{self, Figures, Health, MemoryStore, Pending, Reading, Spent, Store, StoreError};
use mintgate::telemetry::metrics::Metrics;
use mintgate::token::{Limits, Typ};
use mintgate::user::Profile;
use mintgate::user::directory::Account;
use mintgate::user::directory::file::{FileDirectory, Users};
use mintgate::user::hash::{HashPool, HashSettings};
use mintgate::user::phc::{Cost, Memory, Phc};
use mintgate::user::slowdown::{Slowdown, SlowdownSettings};

use crate::support::temp::TempDir;

pub const START: UnixSeconds = UnixSeconds(1_800_000_000);
pub const SECRET: &str = "mgs_made-up-for-this-test";
pub const PASSWORD: &str = "correct horse battery";
/// Cheap on purpose: these tests are about decisions, not about hashing.
const COST: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

/// A store whose disk can be made to fail.
pub struct Fragile {
    inner: MemoryStore,
    broken: AtomicBool,
}

impl Fragile {
    fn answer<'a, T: Send + 'a>(&'a self, real: Pending<'a, T>) -> Pending<'a, T> {
        if self.broken.load(Ordering::SeqCst) { Box::pin(async { Err(StoreError::Unavailable) }) } else { real }
    }
}

impl Store for Fragile {
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated> {
        self.answer(self.inner.rotate(order, now))
    }

    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()> {
        self.answer(self.inner.commit(changes, now))
    }

    fn spend(&self, space: Space, id: [u8; 16], ends_at: UnixSeconds, now: UnixSeconds) -> Pending<'_, Spent> {
        self.answer(self.inner.spend(space, id, ends_at, now))
    }

    fn read_clock(&self, now: UnixSeconds) -> Reading {
        self.inner.read_clock(now)
    }

    fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        self.inner.family(family, now)
    }

    fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        self.inner.is_denied(jti, expires_at, now)
    }

    fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        self.inner.epoch(of)
    }

    fn figures(&self) -> Figures {
        self.inner.figures()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn revocations(&self) -> (UnixSeconds, Vec<Change>) {
        self.inner.revocations()
    }

    fn tick(&self, now: UnixSeconds) {
        self.inner.tick(now);
    }
}

/// Randomness that can dry up.
#[derive(Default)]
pub struct Spring {
    dry: AtomicBool,
}

impl Entropy for Spring {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        if self.dry.load(Ordering::SeqCst) { Err(EntropyError) } else { SystemEntropy.fill(out) }
    }
}

/// An authority with a service, an app, another app, and a user.
pub struct Bench {
    pub issuer: Issuer,
    pub clock: Arc<ManualClock>,
    pub store: Arc<Fragile>,
    pub spring: Arc<Spring>,
    pub directory: Arc<FileDirectory>,
    _keys: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let keys = TempDir::new();
        let settings = mintgate::keys::Settings::new(keys.join("keys"));
        initialise(&settings, START, &SystemEntropy).expect("keys");
        let clock = Arc::new(ManualClock::at(START));
        let store = Arc::new(Fragile {
            inner: MemoryStore::new(store::Settings { entries_max: 1_000, ..store::Settings::default() }),
            broken: AtomicBool::new(false),
        });
        let spring = Arc::new(Spring::default());
        let directory =
            Arc::new(FileDirectory::new("users.toml".into(), [ada(true, UnixSeconds(0))].into_iter().collect()));
        let hash = HashSettings { threads: 1, cost: COST, ..HashSettings::default() };
        let issuer = Issuer::new(Parts {
            issuer: Arc::from("https://auth.example"),
            settings: policy(),
            keyring: Arc::new(Keyring::load(&settings).expect("keys")),
            clients: clients(),
            directory: Arc::clone(&directory) as _,
            passwords: HashPool::start(hash, Arc::clone(&clock) as Arc<dyn Clock>, &SystemEntropy).expect("threads"),
            slowdown: Slowdown::new(SlowdownSettings::default()),
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::clone(&spring) as _,
            metrics: Metrics::new(START),
        });
        Self { issuer, clock, store, spring, directory, _keys: keys }
    }

    pub fn clock_now(&self) -> UnixSeconds {
        self.clock.now()
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn break_store(&self, broken: bool) {
        self.store.broken.store(broken, Ordering::SeqCst);
    }

    pub fn dry(&self, dry: bool) {
        self.spring.dry.store(dry, Ordering::SeqCst);
    }

    pub fn users(&self, account: Option<Account>) {
        self.directory.replace(account.into_iter().collect::<Users>());
    }

    pub fn token(&self, form: &str) -> Result<TokenReply, OAuthError> {
        wait(self.issuer.token(&call(&Params::parse(form.as_bytes()).expect("a form"))))
    }

    pub fn service(&self) -> Result<TokenReply, OAuthError> {
        self.token(&format!("grant_type=client_credentials&client_id=service&client_secret={SECRET}"))
    }

    pub fn login_with(&self, password: &str) -> Result<TokenReply, OAuthError> {
        let form = format!("client_id=app&username=ada&password={}", password.replace(' ', "+"));
        wait(self.issuer.login(&call(&Params::parse(form.as_bytes()).expect("a form"))))
    }

    pub fn login(&self) -> TokenReply {
        self.login_with(PASSWORD).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub fn refresh(&self, token: &str) -> Result<TokenReply, OAuthError> {
        self.token(&format!("grant_type=refresh_token&client_id=app&refresh_token={token}"))
    }

    pub fn revoke(&self, token: &str) -> Result<(), OAuthError> {
        let form = format!("client_id=app&token={token}");
        wait(self.issuer.revoke(&call(&Params::parse(form.as_bytes()).expect("a form"))))
    }

    pub fn is_active(&self, token: &str) -> bool {
        let form = format!("client_id=service&client_secret={SECRET}&token={token}");
        let answer = self.issuer.introspect(&call(&Params::parse(form.as_bytes()).expect("a form"))).expect("allowed");
        answer != Introspection::INACTIVE
    }
}

/// The refresh token of an answer.
pub fn renewal(reply: &TokenReply) -> String {
    reply.refresh_token.clone().expect("a refresh token")
}

pub fn call<'a>(params: &'a Params<'a>) -> Call<'a> {
    Call { params, authorization: None, source: IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

/// Runs a story to its end.
pub fn wait<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(story)
}

pub fn policy() -> Settings {
    Settings {
        grant: mintgate::grant::Settings {
            lifetimes: Lifetimes {
                access: Duration::from_secs(300),
                idle: Duration::from_secs(14 * 86_400),
                absolute: Duration::from_secs(90 * 86_400),
            },
            retry: RetryRules::default(),
        },
        algorithm: Algorithm::Es256,
        typ: Typ::AtJwt,
        limits: Limits::new(Duration::from_secs(3_600)),
        password_grant: false,
        verify: Arc::default(),
        status_list: Arc::default(),
    }
}

pub fn clients() -> Registry {
    let service = Client {
        id: ClientId::from("service"),
        kind: ClientKind::Confidential,
        first_party: false,
        enabled: true,
        secrets: vec![SecretDigest { sha256: digest(SECRET), created_at: START, ends_at: None }],
        grants: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from("https://api.example")],
        access_lifetime: None,
    };
    let app = |id: &str| Client {
        id: ClientId::from(id),
        kind: ClientKind::Public,
        first_party: true,
        secrets: Vec::new(),
        grants: vec![GrantType::RefreshToken],
        ..service.clone()
    };
    [app("app"), app("other"), service.clone()].into_iter().collect()
}

/// The user, with her password.
pub fn ada(enabled: bool, password_changed_at: UnixSeconds) -> Account {
    let phc = Phc::new(PASSWORD, COST, &SystemEntropy, &mut Memory::default()).expect("a hash");
    Account {
        name: "ada".into(),
        profile: Profile {
            subject: Subject::from("usr_ada"),
            enabled,
            scope: None,
            password_changed_at,
            credential: None,
        },
        password: Some(phc.to_string().into()),
    }
}
