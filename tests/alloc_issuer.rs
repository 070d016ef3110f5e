//! Counts what a request costs in allocations, from its form to the JSON of its answer. A gate that no clock and no busy
//! machine disturbs: a cost that creeps in shows as a count. A binary of its own: see `alloc.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use mintgate::ambient::{Clock, Entropy as _, ManualClock, SystemEntropy};
use mintgate::client::{Client, ClientKind, GrantType, SecretDigest, digest};
use mintgate::issuer::{Asked, Call, Issuer, Parts, Settings, Shown, Verdict};
use mintgate::keys::{Keyring, initialise};
use mintgate::policy::lifetime::Lifetimes;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::{Audience, ClientId, Subject};
use mintgate::protocol::params::Params;
use mintgate::protocol::reply::TokenReply;
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::RetryRules;
use mintgate::store::{self, MemoryStore};
use mintgate::telemetry::metrics::Metrics;
use mintgate::token::{Limits, Typ};
use mintgate::user::Profile;
use mintgate::user::directory::Account;
use mintgate::user::directory::file::FileDirectory;
use mintgate::user::hash::{HashPool, HashSettings};
use mintgate::user::phc::{Cost, Memory, Phc};
use mintgate::user::slowdown::{Slowdown, SlowdownSettings};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const SECRET: &str = "mgs_made-up-for-this-test";
const COST: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings() -> Settings {
    let day = 86_400;
    let lifetimes = Lifetimes {
        access: Duration::from_secs(300),
        idle: Duration::from_secs(14 * day),
        absolute: Duration::from_secs(90 * day),
    };
    Settings {
        grant: mintgate::grant::Settings { lifetimes, retry: RetryRules::default() },
        algorithm: Algorithm::Es256,
        typ: Typ::AtJwt,
        limits: Limits::new(Duration::from_secs(3_600)),
        password_grant: false,
        verify: Arc::default(),
        status_list: Arc::default(),
    }
}

fn clients() -> [Client; 2] {
    let service = Client {
        id: ClientId::from("service"),
        kind: ClientKind::Confidential,
        first_party: false,
        enabled: true,
        secrets: vec![SecretDigest { sha256: digest(SECRET), created_at: NOW, ends_at: None }],
        grants: vec![GrantType::ClientCredentials],
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from("https://api.example")],
        access_lifetime: None,
    };
    let app = Client {
        id: ClientId::from("app"),
        kind: ClientKind::Public,
        first_party: true,
        secrets: Vec::new(),
        grants: vec![GrantType::RefreshToken],
        ..service.clone()
    };
    [service, app]
}

/// An authority with a service, an app, and a user.
fn issuer() -> (Issuer, Scratch) {
    let random: [u8; 8] = SystemEntropy.bytes().expect("entropy");
    let scratch = Scratch(std::env::temp_dir().join(format!("mintgate-alloc-{:016x}", u64::from_be_bytes(random))));
    let keys = mintgate::keys::Settings::new(scratch.0.join("keys"));
    std::fs::create_dir(&scratch.0).expect("a directory");
    initialise(&keys, NOW, &SystemEntropy).expect("keys");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let phc = Phc::new("password", COST, &SystemEntropy, &mut Memory::default()).expect("a hash");
    let profile = Profile {
        subject: Subject::from("usr_ada"),
        enabled: true,
        scope: None,
        password_changed_at: UnixSeconds(0),
        credential: None,
    };
    let ada = Account { name: "ada".into(), profile, password: Some(phc.to_string().into()) };
    let hash = HashSettings { threads: 1, cost: COST, ..HashSettings::default() };
    let issuer = Issuer::new(Parts {
        issuer: Arc::from("https://auth.example"),
        settings: settings(),
        keyring: Arc::new(Keyring::load(&keys).expect("keys")),
        clients: clients().into_iter().collect(),
        directory: Arc::new(FileDirectory::new("users.toml".into(), [ada].into_iter().collect())),
        passwords: HashPool::start(hash, Arc::clone(&clock), &SystemEntropy).expect("threads"),
        slowdown: Slowdown::new(SlowdownSettings::default()),
        store: Arc::new(MemoryStore::new(store::Settings::default())),
        clock,
        entropy: Arc::new(SystemEntropy),
        metrics: Metrics::new(NOW),
    });
    (issuer, scratch)
}

fn call<'a>(params: &'a Params<'a>) -> Call<'a> {
    Call { params, authorization: None, source: IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

/// From the form to the answer and its JSON. Nothing waits: the store is memory.
fn token(issuer: &Issuer, form: &str) -> TokenReply {
    let params = Params::parse(form.as_bytes()).expect("a form");
    let call = call(&params);
    let mut story = std::pin::pin!(issuer.token(&call));
    let Poll::Ready(reply) = story.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("memory does not wait")
    };
    let reply = reply.expect("a token");
    std::hint::black_box(reply.to_json().expect("JSON"));
    reply
}

fn renewal(reply: &TokenReply) -> String {
    format!("grant_type=refresh_token&client_id=app&refresh_token={}", reply.refresh_token.as_deref().expect("one"))
}

fn log_in(issuer: &Issuer) -> TokenReply {
    let params = Params::parse(b"client_id=app&username=ada&password=password").expect("a form");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(issuer.login(&call(&params))).expect("a log-in")
}

/// The stored counts may be undercut, and are lowered then.
fn check(what: &str, most: u64, work: impl FnOnce()) {
    let info = measure(work);
    println!("{what}: {} allocations, {} bytes", info.count_total, info.bytes_total);
    assert!(info.count_total <= most, "{what}: {} allocations, at most {most} are allowed", info.count_total);
}

#[test]
fn a_request_allocates_no_more_than_it_did() {
    let (issuer, _scratch) = issuer();
    let service = format!("grant_type=client_credentials&client_id=service&client_secret={SECRET}&scope=read+write");
    // What is made once (tables, thread-locals, the first entry of a map) is made before counting.
    let access = token(&issuer, &service).access_token;
    check("client_credentials", CLIENT_CREDENTIALS, || drop(token(&issuer, &service)));

    let first = token(&issuer, &renewal(&log_in(&issuer)));
    let form = renewal(&first);
    check("refresh", REFRESH, || drop(token(&issuer, &form)));

    let settings = issuer.verify_settings();
    let judge = || {
        let demand = settings.demand(Asked::Query("aud=https://api.example")).expect("a demand");
        assert!(matches!(issuer.judge(Shown::Token(&access), &demand), Verdict::Allowed(_)));
    };
    judge();
    check("verify, seen before", VERIFY, judge);
}

/// Each step that hands it on copies it whole, and above a kilobyte it leaves the allocator's fast path (glibc).
#[test]
fn the_future_of_a_request_is_small() {
    let (issuer, _scratch) = issuer();
    let params = Params::default();
    let call = call(&params);
    let bytes = std::mem::size_of_val(&issuer.token(&call));
    println!("Issuer::token: {bytes} bytes");
    assert!(bytes <= FUTURE_BYTES, "{bytes} bytes, at most {FUTURE_BYTES} are allowed");
}

const CLIENT_CREDENTIALS: u64 = 13;
const REFRESH: u64 = 24;
const VERIFY: u64 = 3;
/// Without optimisation, which changes nothing about it.
const FUTURE_BYTES: usize = 1_048;
