//! Status lists, held against introspection and the feed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mintgate::ambient::{Clock, ManualClock, SystemEntropy};
use mintgate::issuer::{Issuer, Order, Parts, Reach, Settings, StatusListSettings};
use mintgate::keys::backend::Patience;
use mintgate::keys::backend::file::FileBackend;
use mintgate::keys::change::{ChangeError, Changer};
use mintgate::keys::plan::Step as KeyStep;
use mintgate::keys::rotator::Rotator;
use mintgate::keys::{Keyring, initialise};
use mintgate::protocol::base64url;
use mintgate::protocol::error::{OAuthError, UnavailableReason};
use mintgate::protocol::id::{Audience, ClientId, Kid, Subject};
use mintgate::protocol::params::Params;
use mintgate::protocol::reply::Introspection;
use mintgate::store::allotted::Allotments;
use mintgate::store::embedded::Sync;
use mintgate::store::{self, EmbeddedStore};
use mintgate::telemetry::metrics::Metrics;
use mintgate::user::directory::file::FileDirectory;
use mintgate::user::hash::{HashPool, HashSettings};
use mintgate::user::slowdown::{Slowdown, SlowdownSettings};
use proptest::prelude::*;
use serde_json::Value;

use super::{COST, PASSWORD, SECRET, START, ada, call, clients, policy, wait};
use crate::support::http::peek;
use crate::support::temp::TempDir;

fn with_lists(change: impl FnOnce(&mut StatusListSettings)) -> Settings {
    let mut lists = StatusListSettings { audiences: vec![Audience::from("https://api.example")], ..Default::default() };
    change(&mut lists);
    Settings { status_list: Arc::new(lists), ..policy() }
}

/// A gateway on files, which can be started again.
struct Gateway {
    /// `None` only while it is started again.
    running: Option<Issuer>,
    clock: Arc<ManualClock>,
    keyring: Arc<Keyring>,
    settings: Settings,
    place: TempDir,
}

impl Gateway {
    fn new(settings: Settings) -> Self {
        let place = TempDir::new();
        initialise(&keys(place.path()), START, &SystemEntropy).expect("keys");
        let clock = Arc::new(ManualClock::at(START));
        let (issuer, keyring) = start(place.path(), &clock, &settings);
        Self { running: Some(issuer), clock, keyring, settings, place }
    }

    /// Starts again on the same files. `last_turn`: whether the old process had its last turn of building.
    fn restart(&mut self, last_turn: LastTurn) {
        if last_turn == LastTurn::Had {
            self.issuer().build_status_lists();
        }
        // The files are locked until the old one has gone.
        self.running = None;
        let (issuer, keyring) = start(self.place.path(), &self.clock, &self.settings);
        (self.running, self.keyring) = (Some(issuer), keyring);
    }

    fn issuer(&self) -> &Issuer {
        self.running.as_ref().expect("running")
    }

    fn token(&self, form: &str) -> Result<String, OAuthError> {
        let params = Params::parse(form.as_bytes()).expect("a form");
        wait(self.issuer().token(&call(&params))).map(|reply| reply.access_token)
    }

    fn service(&self) -> Result<String, OAuthError> {
        self.token(&format!("grant_type=client_credentials&client_id=service&client_secret={SECRET}"))
    }

    fn login(&self, client: &str) -> Option<(String, String)> {
        let form = format!("client_id={client}&username=ada&password={}", PASSWORD.replace(' ', "+"));
        let params = Params::parse(form.as_bytes()).expect("a form");
        let reply = wait(self.issuer().login(&call(&params))).ok()?;
        Some((reply.access_token, reply.refresh_token?))
    }

    fn refresh(&self, client: &str, token: &str) -> Option<(String, String)> {
        let form = format!("grant_type=refresh_token&client_id={client}&refresh_token={token}");
        let params = Params::parse(form.as_bytes()).expect("a form");
        let reply = wait(self.issuer().token(&call(&params))).ok()?;
        Some((reply.access_token, reply.refresh_token?))
    }

    fn revoke(&self, order: &Order) {
        wait(self.issuer().revoke_by_order(order)).expect("made lasting").expect("known");
    }

    fn taint(&self, kid: &Kid) {
        let settings = keys(self.place.path());
        let (backend, rules) = (FileBackend::new(&settings.directory), settings.rules());
        let now = self.clock.now();
        let changer = Changer { backend: &backend, rules: &rules, entropy: &SystemEntropy, now };
        let steps = |_: &_| Ok::<_, ChangeError>(vec![KeyStep::Taint(kid.clone())]);
        changer.carry_out(Patience::Seconds, Vec::new(), steps).expect("tainted");
        Rotator::new(Arc::clone(&self.keyring), Arc::clone(&self.clock) as _, Arc::new(SystemEntropy)).tick();
    }

    fn is_active(&self, token: &str) -> bool {
        let form = format!("client_id=service&client_secret={SECRET}&token={token}");
        let params = Params::parse(form.as_bytes()).expect("a form");
        self.issuer().introspect(&call(&params)).expect("allowed") != Introspection::INACTIVE
    }

    /// The lists of the aggregation, inflated, by address.
    fn lists(&self) -> BTreeMap<String, Vec<u8>> {
        self.issuer().build_status_lists();
        let aggregation = self.issuer().status_aggregation().expect("on");
        let aggregation: Value = serde_json::from_slice(&aggregation.body).expect("JSON");
        let addresses = aggregation["status_lists"].as_array().expect("addresses").clone();
        let mut lists = BTreeMap::new();
        for uri in addresses {
            let uri = uri.as_str().expect("text").to_owned();
            let document = self.issuer().status_list(name(&uri)).expect("complete").expect("listed, so it is there");
            let (header, claims) = peek(std::str::from_utf8(&document.body).expect("ASCII"));
            assert_eq!(header["typ"], "statuslist+jwt");
            assert_eq!(claims["sub"], uri.as_str());
            assert_eq!(claims["status_list"]["bits"], 1);
            let packed = base64url::decode(claims["status_list"]["lst"].as_str().expect("text").as_bytes());
            let bits = miniz_oxide::inflate::decompress_to_vec_zlib(&packed.expect("base64url")).expect("zlib");
            lists.insert(uri, bits);
        }
        lists
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastTurn {
    /// As when it was told to stop.
    Had,
    /// As after `kill -9`.
    Missed,
}

fn keys(place: &Path) -> mintgate::keys::Settings {
    mintgate::keys::Settings::new(place.join("keys"))
}

fn start(place: &Path, clock: &Arc<ManualClock>, settings: &Settings) -> (Issuer, Arc<Keyring>) {
    let keyring = Arc::new(Keyring::load(&keys(place)).expect("keys"));
    let directory = FileDirectory::new("users.toml".into(), [ada(true, START)].into_iter().collect());
    let hash = HashSettings { threads: 1, cost: COST, ..HashSettings::default() };
    let state = place.join("state");
    let store = EmbeddedStore::open(&state, store::Settings::default(), Sync::Shared, clock.now()).expect("opens");
    let issuer = Issuer::new(Parts {
        issuer: Arc::from("https://auth.example"),
        settings: settings.clone(),
        keyring: Arc::clone(&keyring),
        clients: clients(),
        directory: Arc::new(directory),
        passwords: HashPool::start(hash, Arc::clone(clock) as Arc<dyn Clock>, &SystemEntropy).expect("threads"),
        slowdown: Slowdown::new(SlowdownSettings::default()),
        store: Arc::new(store),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(SystemEntropy),
        metrics: Metrics::new(START),
    });
    issuer.keep_allotments(Allotments::new(state.join("status_lists"))).expect("readable");
    (issuer, keyring)
}

fn name(uri: &str) -> &str {
    uri.strip_prefix("https://auth.example/status/").expect("one of ours")
}

fn reference(token: &str) -> (String, usize) {
    let status = peek(token).1["status"]["status_list"].clone();
    let index = usize::try_from(status["idx"].as_u64().expect("an index")).expect("small");
    (status["uri"].as_str().expect("an address").to_owned(), index)
}

/// What the lists say; `None` if the token's list is not there.
fn is_valid(lists: &BTreeMap<String, Vec<u8>>, token: &str) -> Option<bool> {
    let (uri, index) = reference(token);
    lists.get(&uri).map(|bits| bits[index / 8] >> (index % 8) & 1 == 0)
}

/// A reader of the feed, as `manual::feed` says.
#[derive(Default)]
struct Follower {
    number: u64,
    known: HashMap<(String, String), Option<u64>>,
}

impl Follower {
    fn advance(&mut self, issuer: &Issuer) {
        let document = issuer.revocations(self.number, Reach::Latest).expect("complete").document;
        let claims = peek(std::str::from_utf8(&document.body).expect("ASCII")).1;
        assert_eq!(claims["more"], false);
        self.number = claims["to"].as_u64().expect("a number");
        for (kind, entries) in claims["revoked"].as_object().expect("kinds") {
            for entry in entries.as_array().expect("entries").iter().map(|entry| entry.as_array().expect("an entry")) {
                let before = (entry.len() == 3).then(|| entry[1].as_u64().expect("a date"));
                let name = entry[0].as_str().expect("a name").to_owned();
                let known = self.known.entry((kind.clone(), name)).or_insert(before);
                *known = (*known).max(before);
            }
        }
    }

    fn says_revoked(&self, token: &str) -> bool {
        let (header, claims) = peek(token);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let date = claims["auth_time"].as_u64().or(claims["iat"].as_u64());
        let hash = ring::digest::digest(&ring::digest::SHA256, text(&claims["sub"]).as_bytes());
        let named = |kind: &str, name: String| self.known.get(&(kind.to_owned(), name)).copied();
        let over = |kind: &str, name: String, at: Option<u64>| named(kind, name).is_some_and(|before| at <= before);
        named("jti", text(&claims["jti"])).is_some()
            || named("sid", text(&claims["sid"])).is_some()
            || over("sub", base64url::encode(&hash.as_ref()[..16]), date)
            || over("client_id", text(&claims["client_id"]), date)
            || over("kid", text(&header["kid"]), claims["iat"].as_u64())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Service,
    Login(usize),
    Refresh(usize),
    /// A refresh token that was used before: its family ends.
    Reuse(usize),
    Jti(usize),
    Family(usize),
    Subject,
    Client(usize),
    Taint,
    Pass(u64),
    Restart(LastTurn),
}

const APPS: [&str; 2] = ["app", "other"];
const CLIENTS: [&str; 3] = ["app", "other", "service"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Service),
        6 => (0..2_usize).prop_map(Step::Login),
        6 => any::<usize>().prop_map(Step::Refresh),
        1 => any::<usize>().prop_map(Step::Reuse),
        4 => any::<usize>().prop_map(Step::Jti),
        3 => any::<usize>().prop_map(Step::Family),
        1 => Just(Step::Subject),
        1 => (0..3_usize).prop_map(Step::Client),
        1 => Just(Step::Taint),
        6 => (1..90_u64).prop_map(Step::Pass),
        1 => Just(Step::Restart(LastTurn::Had)),
        1 => Just(Step::Restart(LastTurn::Missed)),
    ]
}

/// A history: what was issued, and what a crash may have made the lists forget.
struct History {
    gateway: Gateway,
    access: Vec<String>,
    /// Client, refresh tokens: the last one is the newest.
    logins: Vec<(&'static str, Vec<String>)>,
    follower: Follower,
    /// Issued after the last turn of building before a crash: their places may read INVALID.
    lost: Vec<String>,
    unbuilt: Vec<String>,
    compared: usize,
}

impl History {
    fn take(&mut self, step: &Step) {
        let pick = |length: usize, which: usize| (length > 0).then(|| which % length.max(1));
        let claim = |token: &str, name: &str| peek(token).1[name].as_str().map(str::to_owned);
        match step {
            Step::Service => self.gateway.service().ok().into_iter().for_each(|token| self.issued(token)),
            Step::Login(app) => {
                if let Some((access, refresh)) = self.gateway.login(APPS[*app]) {
                    self.issued(access);
                    self.logins.push((APPS[*app], vec![refresh]));
                }
            }
            Step::Refresh(which) => {
                let Some(at) = pick(self.logins.len(), *which) else { return };
                let (client, tokens) = self.logins[at].clone();
                if let Some((access, refresh)) = self.gateway.refresh(client, tokens.last().expect("one")) {
                    self.issued(access);
                    self.logins[at].1.push(refresh);
                }
            }
            Step::Reuse(which) => {
                let Some(at) = pick(self.logins.len(), *which) else { return };
                let (client, tokens) = self.logins[at].clone();
                if let Some((access, _)) = self.gateway.refresh(client, &tokens[0]) {
                    self.issued(access);
                }
            }
            Step::Jti(which) => {
                let Some(at) = pick(self.access.len(), *which) else { return };
                let jti = claim(&self.access[at], "jti").expect("a jti");
                self.gateway.revoke(&Order::Jti(jti.parse().expect("an id")));
            }
            Step::Family(which) => {
                let Some(at) = pick(self.access.len(), *which) else { return };
                let Some(family) = claim(&self.access[at], "sid") else { return };
                self.gateway.revoke(&Order::Family(family.parse().expect("an id")));
            }
            Step::Subject => self.gateway.revoke(&Order::Subject(Subject::from("usr_ada"))),
            Step::Client(which) => self.gateway.revoke(&Order::Client(ClientId::from(CLIENTS[*which]))),
            Step::Taint => {
                let kid = self.gateway.keyring.current().default_signer().map(|key| key.kid().clone());
                if let Some(kid) = kid {
                    self.gateway.taint(&kid);
                }
            }
            Step::Pass(seconds) => self.gateway.clock.advance(Duration::from_secs(*seconds)),
            Step::Restart(last_turn) => {
                self.gateway.restart(*last_turn);
                let unbuilt = std::mem::take(&mut self.unbuilt);
                if *last_turn == LastTurn::Missed {
                    self.lost.extend(unbuilt);
                }
            }
        }
    }

    fn issued(&mut self, token: String) {
        self.unbuilt.push(token.clone());
        self.access.push(token);
    }

    /// Every live token is judged the same by all three.
    fn compare(&mut self) {
        let now = self.gateway.clock.now().0;
        self.access.retain(|token| peek(token).1["exp"].as_u64().is_some_and(|exp| now < exp));
        self.follower.advance(self.gateway.issuer());
        let lists = self.gateway.lists();
        self.unbuilt.clear();
        for token in &self.access {
            let active = self.gateway.is_active(token);
            assert_eq!(!self.follower.says_revoked(token), active, "the feed: {:?}", peek(token));
            let listed = is_valid(&lists, token);
            if self.lost.contains(token) {
                // Nothing was written down about it, so it is refused; never the other way.
                assert_ne!(listed, Some(true), "a place nobody knows: {:?}", peek(token));
            } else {
                assert_eq!(listed, Some(active), "the list: {:?}", peek(token));
            }
            self.compared += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Must-show: introspection, feed and list cannot disagree, over restarts too. About two thousand steps a run, each
    /// followed by a comparison of every live token in every second step: the others leave work for a crash to lose.
    #[test]
    fn introspection_feed_and_list_judge_every_live_token_alike(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..64)
    ) {
        let mut history = History {
            gateway: Gateway::new(with_lists(|_| {})),
            access: Vec::new(),
            logins: Vec::new(),
            follower: Follower::default(),
            lost: Vec::new(),
            unbuilt: Vec::new(),
            compared: 0,
        };
        for (step, look) in &steps {
            history.take(step);
            if *look {
                history.compare();
            }
        }
        history.compare();
    }
}

/// A restart after `kill -9` at the worst moment: what was not written down reads INVALID, what was is exact.
#[test]
fn a_crash_makes_an_unknown_place_invalid_and_never_valid() {
    let mut gateway = Gateway::new(with_lists(|_| {}));
    let (kept, denied) = (gateway.service().expect("issued"), gateway.service().expect("issued"));
    gateway.issuer().build_status_lists();
    let forgotten = gateway.service().expect("issued");
    let jti = peek(&denied).1["jti"].as_str().expect("text").parse().expect("an id");
    gateway.revoke(&Order::Jti(jti));
    gateway.restart(LastTurn::Missed);
    let lists = gateway.lists();
    assert_eq!(lists.len(), 1, "the earlier process's");
    assert_eq!(is_valid(&lists, &kept), Some(true));
    assert_eq!(is_valid(&lists, &denied), Some(false), "revoked after the last turn, known from the log");
    assert_eq!(is_valid(&lists, &forgotten), Some(false));
    let fresh = gateway.service().expect("issued");
    let lists = gateway.lists();
    assert_eq!(lists.len(), 2, "a list of its own for each start");
    assert_eq!(is_valid(&lists, &fresh), Some(true));
}

#[test]
fn a_list_and_its_file_go_when_its_last_token_has_expired() {
    let gateway = Gateway::new(with_lists(|_| {}));
    gateway.service().expect("issued");
    let files = || std::fs::read_dir(gateway.place.join("state/status_lists")).map_or(0, Iterator::count);
    assert_eq!((gateway.lists().len(), files()), (1, 1));
    gateway.clock.advance(Duration::from_secs(299));
    assert_eq!(gateway.lists().len(), 1);
    gateway.clock.advance(Duration::from_secs(1_200));
    assert_eq!((gateway.lists().len(), files()), (0, 0));
}

#[test]
fn at_the_bound_a_token_is_refused_with_503_until_others_have_expired() {
    let gateway = Gateway::new(with_lists(|lists| lists.entries_max = 3));
    for _ in 0..3 {
        gateway.service().expect("issued");
    }
    let refused = gateway.service().expect_err("full");
    assert!(matches!(refused, OAuthError::Unavailable(UnavailableReason::StateFull, _)), "{refused:?}");
    gateway.clock.advance(Duration::from_secs(1_200));
    gateway.service().expect("there is room again");
}

#[test]
fn an_audience_that_did_not_ask_has_no_status_and_turning_it_off_keeps_the_lists() {
    let gateway = Gateway::new(with_lists(|lists| lists.audiences = vec![Audience::from("https://other.example")]));
    assert!(peek(&gateway.service().expect("issued")).1.get("status").is_none());
    gateway.issuer().reload(with_lists(|_| {}), clients());
    let token = gateway.service().expect("issued");
    assert_eq!(is_valid(&gateway.lists(), &token), Some(true));
    gateway.issuer().reload(policy(), clients());
    assert!(peek(&gateway.service().expect("issued")).1.get("status").is_none());
    let jti = peek(&token).1["jti"].as_str().expect("text").parse().expect("an id");
    gateway.revoke(&Order::Jti(jti));
    assert_eq!(is_valid(&gateway.lists(), &token), Some(false), "it is kept until the token has expired");
}

/// A document is signed when something changed, when it is a minute old, or when the keys changed; not for each reader.
#[test]
fn nothing_is_signed_twice() {
    let gateway = Gateway::new(with_lists(|_| {}));
    let token = gateway.service().expect("issued");
    let uri = reference(&token).0;
    let tag = || {
        gateway.issuer().build_status_lists();
        gateway.issuer().status_list(name(&uri)).expect("complete").expect("there").etag
    };
    let first = tag();
    gateway.service().expect("issued");
    gateway.clock.advance(Duration::from_secs(59));
    assert_eq!(tag(), first, "another token in it changes no bit");
    gateway.clock.advance(Duration::from_secs(1));
    let renewed = tag();
    assert_ne!(renewed, first);
    gateway.revoke(&Order::Client(ClientId::from("service")));
    let changed = tag();
    assert_ne!(changed, renewed);
    gateway.revoke(&Order::Client(ClientId::from("stranger")));
    assert_eq!(tag(), changed, "a revocation that concerns nobody in it");
    gateway.taint(&gateway.keyring.current().default_signer().expect("a key").kid().clone());
    assert_ne!(tag(), changed, "signed by a key that is not trusted any more");
}
