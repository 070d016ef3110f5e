//! The library for services, against a real gateway and against one that misbehaves.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mintgate::ambient::{Clock, ManualClock, SystemClock};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::token::Refused;
use mintgate::verifier::{Demand, Denied, FeedLost, Fetch, FetchError, Fetched, Pending, Settings, Verifier};
use serde_json::json;

use crate::support::attacks::{Target, corpus, genuine};
use crate::support::http::{get, peek, post_form};
use crate::support::server::{Server, configured, stderr, until};
use crate::support::tokens::{TestKey, good_claims, sign_text};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn demand(scope: &str) -> Demand {
    Demand { audience: "https://api.example".to_owned(), scope: scope.parse().expect("scope") }
}

/// Asks a real gateway, and counts.
#[derive(Default)]
struct Web {
    key_sets: AtomicUsize,
    is_down: AtomicBool,
}

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a> {
        Box::pin(async move {
            if url.ends_with("/jwks.json") {
                self.key_sets.fetch_add(1, Ordering::SeqCst);
            }
            if self.is_down.load(Ordering::SeqCst) {
                return Err(FetchError("down".to_owned()));
            }
            let answer = get(url);
            if answer.status != 200 {
                return Err(FetchError(answer.status.to_string()));
            }
            let cache = answer.header("cache-control").unwrap_or_default();
            let max_age = cache.split("max-age=").nth(1).and_then(|rest| rest.split([',', ' ']).next()?.parse().ok());
            Ok(Fetched { body: answer.body, max_age: max_age.map(Duration::from_secs) })
        })
    }
}

/// Answers with what a test gives it, a moment later, so that others can come in between.
struct Canned {
    body: Mutex<Vec<u8>>,
    fetches: AtomicUsize,
}

impl Canned {
    fn keys(keys: &[&TestKey]) -> Arc<Self> {
        let canned = Arc::new(Self { body: Mutex::default(), fetches: AtomicUsize::new(0) });
        canned.publish(keys);
        canned
    }

    fn publish(&self, keys: &[&TestKey]) {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                let mut jwk = key.signing.public().to_json();
                jwk["kid"] = json!(key.signing.kid().as_str());
                jwk
            })
            .collect();
        *self.body.lock().expect("lock") = json!({"keys": keys}).to_string().into_bytes();
    }

    fn count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Fetch for Canned {
    fn fetch<'a>(&'a self, _: &'a str) -> Pending<'a> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            Ok(Fetched { body: self.body.lock().expect("lock").clone(), max_age: Some(Duration::from_secs(300)) })
        })
    }
}

fn wait<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(story)
}

fn real(server: &Server, web: &Arc<Web>) -> Verifier {
    let settings = Settings { cool_down: Duration::from_millis(200), ..Settings::new(server.issuer()) };
    let settings = settings.following(&server.url("/revocations"));
    Verifier::new(settings, Arc::clone(web) as _, Arc::new(SystemClock::new()))
}

#[test]
fn tokens_of_a_real_gateway_pass_and_demands_are_kept() {
    let (server, web) = (Server::dev(), Arc::new(Web::default()));
    let verifier = real(&server, &web);
    let token = server.token(&[GRANT, ("scope", "read")]).member("access_token");
    let verified = wait(verifier.verify(&token, &demand("read"))).expect("good");
    assert_eq!(verified.claims.client.as_str(), server.client().0);
    assert_eq!(wait(verifier.verify(&token, &demand("read write"))).map(drop), Err(Denied::Scope));
    let elsewhere = Demand { audience: "https://other.example".to_owned(), ..demand("") };
    assert_eq!(wait(verifier.verify(&token, &elsewhere)).map(drop), Err(Denied::Token(Refused::Audience)));
    assert_eq!(web.key_sets.load(Ordering::SeqCst), 1, "the key set is cached");
}

#[test]
fn the_attack_corpus_is_refused_by_the_library() {
    let (server, web) = (Server::dev(), Arc::new(Web::default()));
    let verifier = real(&server, &web);
    let keys =
        mintgate::keys::Keyring::load(&mintgate::keys::Settings::new(server.directory().join("keys"))).expect("keys");
    let keys = keys.current();
    let target = Target {
        key: keys.signer(Algorithm::Es256).expect("a signer"),
        issuer: server.issuer(),
        audience: server.audience(),
        client: server.client().0,
        now: SystemClock::new().now(),
    };
    assert!(wait(verifier.verify(&genuine(&target), &demand("read"))).is_ok(), "what the corpus bends is good");
    let corpus = corpus(&target);
    for (name, token) in &corpus {
        let verdict = wait(verifier.verify(token, &demand("")));
        assert!(matches!(verdict, Err(Denied::Token(_))), "{name}: {verdict:?}");
    }
    println!("the library: {} attacks refused", corpus.len());
}

#[test]
fn a_rotation_is_followed_by_the_key_that_a_token_names() {
    let (server, web) = (Server::dev(), Arc::new(Web::default()));
    let verifier = real(&server, &web);
    let old = server.token(&[GRANT]).member("access_token");
    assert!(wait(verifier.verify(&old, &demand(""))).is_ok());
    let kid = peek(&old).0["kid"].clone();
    // A taint is the one rotation that no cache header announces.
    let output = server.command(&["keys", "taint", kid.as_str().expect("kid"), "--yes"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut fresh = old.clone();
    until("another key signs", || {
        let answer = server.token(&[GRANT]);
        if answer.status == 200 {
            fresh = answer.member("access_token");
        }
        peek(&fresh).0["kid"] != kid
    });
    until("the new key is fetched", || wait(verifier.verify(&fresh, &demand(""))).is_ok());
    assert_eq!(wait(verifier.verify(&old, &demand(""))).map(drop), Err(Denied::Token(Refused::UnknownKey)));
}

#[test]
fn many_at_once_fetch_once_and_invented_keys_cost_one_fetch_a_cool_down() {
    let key = TestKey::generate(Algorithm::Es256);
    let canned = Canned::keys(&[&key]);
    let clock = Arc::new(ManualClock::at(mintgate::protocol::time::UnixSeconds(1_800_000_000)));
    let settings = Settings::new("https://auth.example");
    let verifier = Verifier::new(settings, Arc::clone(&canned) as _, Arc::clone(&clock) as _);
    let claims = good_claims("https://auth.example", "https://api.example", "svc", clock.now()).to_string();
    let token = |kid: &str| {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
        sign_text(&key.signing, &header, claims.as_bytes())
    };
    let good = token(key.signing.kid().as_str());
    wait(async {
        let demand = demand("read");
        let mut many: Vec<_> = (0..50).map(|_| Box::pin(verifier.verify(&good, &demand))).collect();
        // All are started before any is finished.
        let mut verdicts = Vec::new();
        std::future::poll_fn(|context| {
            many.retain_mut(|one| match one.as_mut().poll(context) {
                std::task::Poll::Ready(verdict) => {
                    verdicts.push(verdict.is_ok());
                    false
                }
                std::task::Poll::Pending => true,
            });
            if many.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert_eq!(verdicts, [true; 50]);
    });
    assert_eq!(canned.count(), 1, "single flight");
    for n in 0..1_000 {
        let verdict = wait(verifier.verify(&token(&format!("invented{n}")), &demand("")));
        assert_eq!(verdict.map(drop), Err(Denied::Token(Refused::UnknownKey)));
    }
    assert_eq!(canned.count(), 1, "the cool-down began with the first fetch");
    clock.advance(Duration::from_secs(10));
    for n in 0..1_000 {
        assert!(wait(verifier.verify(&token(&format!("another{n}")), &demand(""))).is_err());
    }
    assert_eq!(canned.count(), 2);
    // The real thing: a new key is there after one more cool-down at the latest.
    let successor = TestKey::generate(Algorithm::Es256);
    canned.publish(&[&key, &successor]);
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": successor.signing.kid().as_str()}).to_string();
    let fresh = sign_text(&successor.signing, &header, claims.as_bytes());
    assert!(wait(verifier.verify(&fresh, &demand(""))).is_err());
    clock.advance(Duration::from_secs(10));
    assert!(wait(verifier.verify(&fresh, &demand(""))).is_ok());
    // A set that cannot be read leaves the one before in use.
    *canned.body.lock().expect("lock") = b"{\"keys\": []}".to_vec();
    clock.advance(Duration::from_secs(20));
    assert!(wait(verifier.verify(&fresh, &demand(""))).is_ok());
}

#[test]
fn revocations_are_known_after_a_round_and_a_lost_feed_is_as_chosen() {
    let (server, web) = (Server::dev(), Arc::new(Web::default()));
    let verifier = real(&server, &web);
    assert_eq!(wait(verifier.follow()), Duration::from_secs(5));
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let refused = |what: &str, token: &str, args: &[&str]| {
        assert!(wait(verifier.verify(token, &demand(""))).is_ok(), "{what}");
        let output = server.command(args);
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        let began = Instant::now();
        assert_eq!(wait(verifier.follow()), Duration::from_secs(5), "{what}");
        assert_eq!(wait(verifier.verify(token, &demand(""))).map(drop), Err(Denied::Revoked), "{what}");
        println!("{what}: one round took {:?}", began.elapsed());
    };
    let token = server.token(&[GRANT]).member("access_token");
    refused("jti", &token, &["revoke", "--jti", &text(&peek(&token).1["jti"])]);
    let token = server.login().member("access_token");
    refused("family", &token, &["revoke", "--family", &text(&peek(&token).1["sid"])]);
    let token = server.login().member("access_token");
    refused("subject", &token, &["revoke", "--subject", &text(&peek(&token).1["sub"])]);
    let token = server.token(&[GRANT]).member("access_token");
    refused("client", &token, &["revoke", "--client", server.client().0]);

    let login = server.login();
    // In the very second of the revocation before, a log-in of the same user is over too.
    let mut live = login;
    until("a log-in after the revocation", || {
        live = server.login();
        live.status == 200 && server.introspect(&live.member("access_token"))["active"] == true
    });
    let live = live.member("access_token");
    let strict = Settings { feed_lost: FeedLost::Refuse, ..Settings::new(server.issuer()) };
    let strict = strict.following(&server.url("/revocations"));
    let strict = Verifier::new(strict, Arc::clone(&web) as _, Arc::new(SystemClock::new()));
    assert_eq!(wait(strict.verify(&live, &demand(""))).map(drop), Err(Denied::Unavailable), "never heard of the feed");
    wait(strict.follow());
    assert!(wait(strict.verify(&live, &demand(""))).is_ok());
    web.is_down.store(true, Ordering::SeqCst);
    assert_eq!(wait(verifier.follow()), Duration::from_secs(5), "it tries again");
    assert!(wait(verifier.verify(&live, &demand(""))).is_ok(), "what is known stays known");
    assert_eq!(wait(verifier.verify(&token, &demand(""))).map(drop), Err(Denied::Revoked));
    drop(server);
}

/// Must-show: T and the measured lag of the library, polling and waiting, beside that of `/verify`.
#[test]
fn a_revocation_is_known_within_the_stated_time() {
    let server = Server::dev();
    let metadata = get(&server.url("/.well-known/oauth-authorization-server")).json();
    let bound = Duration::from_secs(metadata["mintgate_revocation_latency_max"].as_u64().expect("T"));
    let settings = Settings::new(server.issuer()).following(&server.url("/revocations"));
    for (how, settings) in [("polls", settings.clone()), ("waits", settings.waiting(Duration::from_secs(20)))] {
        let verifier = Arc::new(Verifier::new(settings, Arc::new(Web::default()) as _, Arc::new(SystemClock::new())));
        let token = server.token(&[GRANT]).member("access_token");
        wait(verifier.follow());
        assert!(wait(verifier.verify(&token, &demand(""))).is_ok());
        let stop = Arc::new(AtomicBool::new(false));
        let (follower, stopped) = (Arc::clone(&verifier), Arc::clone(&stop));
        let following = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                std::thread::sleep(wait(follower.follow()));
            }
        });
        let form = [("token", token.as_str())];
        assert_eq!(post_form(&server.url("/revoke"), Some(server.client()), &form).status, 200);
        let began = Instant::now();
        let bearer = format!("Bearer {token}");
        let url = server.url("/verify?aud=https://api.example");
        let verify = crate::support::http::send("GET", &url, &[("Authorization", &bearer)], b"");
        let at_verify = began.elapsed();
        assert_eq!(verify.status, 401);
        until("the library knows", || wait(verifier.verify(&token, &demand(""))).map(drop) == Err(Denied::Revoked));
        let lag = began.elapsed();
        println!("T = {bound:?}; lag of /verify {at_verify:?}, of the library that {how} {lag:?}");
        assert!(lag <= bound, "{lag:?} is over {bound:?}");
        stop.store(true, Ordering::SeqCst);
        // Its last question may be held for a while; news ends it.
        let other = server.token(&[GRANT]).member("access_token");
        let form = [("token", other.as_str())];
        assert_eq!(post_form(&server.url("/revoke"), Some(server.client()), &form).status, 200);
        following.join().expect("ends");
    }
}

#[test]
fn a_gateway_that_cannot_hold_a_question_is_polled() {
    let (server, web) =
        (Server::lasting(|text| configured(text, "limits", "followers_max = 0")), Arc::new(Web::default()));
    let settings = Settings::new(server.issuer()).following(&server.url("/revocations"));
    // The issuer's name is not its address here.
    let settings = Settings { jwks_url: server.url("/jwks.json"), ..settings.waiting(Duration::from_secs(20)) };
    let verifier = Verifier::new(settings, Arc::clone(&web) as _, Arc::new(SystemClock::new()));
    let began = Instant::now();
    assert_eq!(wait(verifier.follow()), Duration::from_secs(5), "the pause of who polls");
    assert_eq!(wait(verifier.follow()), Duration::from_secs(5));
    assert!(began.elapsed() < Duration::from_secs(20), "it did not wait: {:?}", began.elapsed());
}

#[test]
fn without_a_key_set_nothing_passes() {
    let (server, web) = (Server::dev(), Arc::new(Web::default()));
    let token = server.token(&[GRANT]).member("access_token");
    web.is_down.store(true, Ordering::SeqCst);
    let verifier = real(&server, &web);
    for _ in 0..100 {
        assert_eq!(wait(verifier.verify(&token, &demand(""))).map(drop), Err(Denied::Unavailable));
    }
    assert!(web.key_sets.load(Ordering::SeqCst) < 100, "the cool-down holds for failures too");
    web.is_down.store(false, Ordering::SeqCst);
    until("it comes back", || wait(verifier.verify(&token, &demand(""))).is_ok());
    let form = [("token", token.as_str())];
    assert_eq!(post_form(&server.url("/revoke"), Some(server.client()), &form).status, 200);
}

/// A key set at one address, a feed at the other.
struct Forger {
    keys: Arc<Canned>,
    feed: Mutex<String>,
}

impl Fetch for Forger {
    fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a> {
        if url.ends_with("/jwks.json") {
            return self.keys.fetch(url);
        }
        Box::pin(async { Ok(Fetched { body: self.feed.lock().expect("lock").clone().into_bytes(), max_age: None }) })
    }
}

#[test]
fn a_feed_that_is_not_the_issuers_own_changes_nothing() {
    let now = mintgate::protocol::time::UnixSeconds(1_800_000_000);
    let (key, stranger) = (TestKey::generate(Algorithm::Es256), TestKey::generate(Algorithm::Es256));
    let forger = Arc::new(Forger { keys: Canned::keys(&[&key]), feed: Mutex::default() });
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
    let settings = Settings::new("https://auth.example").following("https://auth.example/revocations");
    let kid = key.signing.kid().as_str();
    let header = json!({"alg": "ES256", "typ": "revocations+jwt", "kid": kid});
    let good = json!({
        "iss": "https://auth.example", "iat": now.0, "exp": now.0 + 300, "from": 0, "to": 7, "more": false, "max_age": 9,
        "revoked": {"jti": [["AAAAAAAAAAAAAAAAAAAAAA", now.0 + 300]], "sid": [], "news": [["x"]]},
    });
    let claims = good_claims("https://auth.example", "https://api.example", "svc", now).to_string();
    let token_header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
    let token = sign_text(&key.signing, &token_header, claims.as_bytes());
    let rows: [(&str, fn(&mut serde_json::Value, &mut serde_json::Value)); 9] = [
        ("an access token", |header, _| header["typ"] = json!("at+jwt")),
        ("no type", |header, _| drop(header.as_object_mut().expect("object").remove("typ"))),
        ("another algorithm", |header, _| header["alg"] = json!("HS256")),
        ("another issuer", |_, claims| claims["iss"] = json!("https://other.example")),
        ("ended", |_, claims| claims["exp"] = json!(1_800_000_000)),
        ("no end", |_, claims| drop(claims.as_object_mut().expect("object").remove("exp"))),
        ("a gap", |_, claims| claims["from"] = json!(1)),
        ("an entry of another form", |_, claims| claims["revoked"]["jti"][0] = json!(["AAAAAAAAAAAAAAAAAAAAAA"])),
        ("no entries at all", |_, claims| claims["revoked"] = json!(7)),
    ];
    let told = |document: String| {
        *forger.feed.lock().expect("lock") = document;
        let verifier = Verifier::new(settings.clone(), Arc::clone(&forger) as _, Arc::clone(&clock));
        wait(verifier.follow());
        wait(verifier.verify(&token, &demand("read"))).map(drop)
    };
    assert_eq!(told(sign_text(&key.signing, &header.to_string(), good.to_string().as_bytes())), Err(Denied::Revoked));
    for (name, bend) in rows {
        let (mut header, mut claims) = (header.clone(), good.clone());
        bend(&mut header, &mut claims);
        assert_eq!(told(sign_text(&key.signing, &header.to_string(), claims.to_string().as_bytes())), Ok(()), "{name}");
    }
    let forged = sign_text(&stranger.signing, &header.to_string(), good.to_string().as_bytes());
    assert_eq!(told(forged), Ok(()), "a stranger's signature");
}
