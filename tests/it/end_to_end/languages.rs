//! The examples in `examples/`, each started for real with what `mintgate gen-config` prints, against one gateway: they
//! verify by themselves. Each cell of their matrix in docs/verifiers.md comes from here.

mod start;

use std::time::{Duration, Instant};

use mintgate::ambient::{Clock as _, SystemClock};
use serde_json::Value;

use crate::support::http::{Answer, get, peek, post_form, send};
use crate::support::matrix::{self, AUDIENCE, Row, bent_tokens, invented};
use crate::support::server::{Server, run, stderr, stdout};
use crate::support::temp::TempDir;
use start::Running;

/// Name, and whether it follows the revocation feed.
const EXAMPLES: [(&str, bool); 7] = [
    ("Rust (`mintgate::verifier`, hyper)", true),
    ("Node (jose, Express)", true),
    ("Python (PyJWT)", false),
    ("Django REST framework (PyJWT)", false),
    ("Go (golang-jwt, keyfunc)", false),
    ("Java (Nimbus)", false),
    ("Spring Boot (Nimbus)", false),
];

const CASES: [&str; 15] = [
    "good",
    "no token",
    "expired",
    "wrong audience",
    "wrong issuer",
    "foreign key",
    "alg none",
    "another typ",
    "no exp",
    "too little scope",
    "spoofed identity",
    "invented keys",
    "revoked",
    "key rotation",
    "mintgate down",
];

/// Leeway that the examples give to clocks that differ, in seconds.
const LEEWAY: u64 = 5;

struct Trial {
    server: Server,
    secret: String,
    /// The client `brief`, whose tokens live for twenty seconds.
    brief: String,
    examples: Vec<(Running, bool, Row)>,
}

impl Running {
    fn with_token(&self, token: &str) -> Answer {
        self.ask(&[("Authorization", &format!("Bearer {token}"))])
    }

    fn ask(&self, headers: &[(&str, &str)]) -> Answer {
        send("GET", &format!("{}/orders", self.url), headers, b"")
    }

    fn passes(&self, token: &str, why: &str) {
        let answer = self.with_token(token);
        assert_eq!(answer.status, 200, "{}: {why}: {}\n{}", self.name, answer.text(), self.log());
        assert_eq!(subject(&answer), peek(token).1["sub"], "{}", self.name);
    }

    fn refuses(&self, token: &str, why: &str) {
        let answer = self.with_token(token);
        assert_eq!(answer.status, 401, "{}: {why}: {}\n{}", self.name, answer.text(), self.log());
        assert_eq!(challenge(&answer), "invalid_token", "{}: {why}", self.name);
    }
}

/// The error code of the one challenge (RFC 6750 section 3); empty if it has none.
fn challenge(answer: &Answer) -> String {
    let all: Vec<&str> =
        answer.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value.as_str()).collect();
    let [one] = all[..] else { panic!("one challenge, not {all:?}") };
    assert!(one == "Bearer" || one.starts_with("Bearer "), "{one}");
    one.split("error=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// Who the example thinks is asking; some send their answer in chunks, with the lengths between.
fn subject(answer: &Answer) -> Value {
    let text = answer.text();
    let object = text.find('{').zip(text.rfind('}')).map(|(from, to)| &text[from..=to]).unwrap_or_default();
    let body: Value = serde_json::from_str(object).unwrap_or_else(|error| panic!("{error}: {text}"));
    body["subject"].clone()
}

impl Trial {
    fn token(&self, scope: &str) -> String {
        matrix::token(&self.server, &self.secret, scope)
    }

    /// The same case for each, and the cell it fills.
    fn each(&mut self, case: &'static str, mut story: impl FnMut(&Running, &Server) -> String) {
        for (running, _, row) in &mut self.examples {
            let seen = story(running, &self.server);
            row.push((case, seen));
        }
    }

    fn judgements(&mut self) {
        let tokens = bent_tokens(&self.server, LEEWAY + 1);
        let good = self.token("read write");
        self.each("good", |running, _| {
            running.passes(&good, "good");
            running.passes(&tokens[0].1, "what the cases bend is good");
            "200".to_owned()
        });
        self.each("no token", |running, _| {
            let answer = running.ask(&[]);
            assert_eq!((answer.status, challenge(&answer).as_str()), (401, ""), "{}", running.name);
            "401".to_owned()
        });
        for (case, token) in &tokens[1..] {
            self.each(case, |running, _| {
                running.refuses(token, case);
                "401 invalid_token".to_owned()
            });
        }
        let little = self.token("write");
        self.each("too little scope", |running, _| {
            let answer = running.with_token(&little);
            let seen = (answer.status, challenge(&answer));
            assert_eq!(seen, (403, "insufficient_scope".to_owned()), "{}\n{}", running.name, running.log());
            "403 insufficient_scope".to_owned()
        });
        self.each("spoofed identity", |running, _| {
            let bearer = format!("Bearer {good}");
            let lies = [("X-Auth-Subject", "root"), ("X_Auth_Subject", "root"), ("Remote-User", "root")];
            let answer = running.ask(&[&lies[..], &[("Authorization", bearer.as_str())]].concat());
            assert_eq!((answer.status, subject(&answer)), (200, Value::from("svc")), "{}", running.name);
            assert_eq!(running.ask(&lies).status, 401, "{}", running.name);
            "ignored".to_owned()
        });
    }

    /// Tokens that name keys nobody has must not become as many fetches of the key set.
    fn invented_keys(&mut self) {
        let good = self.token("read");
        self.each("invented keys", |running, server| {
            let before = key_set_requests(server);
            for _ in 0..20 {
                running.refuses(&invented(server), "an invented key");
            }
            running.passes(&good, "among invented keys");
            let fetched = key_set_requests(server) - before;
            println!("{}: 20 invented keys, the key set fetched {fetched} times", running.name);
            // One or two of its own, and one for its age, or for another example's.
            assert!(fetched <= 3, "{}: {fetched} fetches", running.name);
            "fetches bounded".to_owned()
        });
    }

    /// One token, revoked at once for all: followers of the feed refuse it within T, the others at its `exp`.
    fn revocation(&mut self) {
        let metadata = get(&self.server.url("/.well-known/oauth-authorization-server")).json();
        let bound = Duration::from_secs(metadata["mintgate_revocation_latency_max"].as_u64().expect("T"));
        let form = [("grant_type", "client_credentials"), ("scope", "read")];
        let client = Some(("brief", self.brief.as_str()));
        let token = post_form(&self.server.url("/token"), client, &form).member("access_token");
        let ends_at = peek(&token).1["exp"].as_u64().expect("exp");
        for (running, ..) in &self.examples {
            running.passes(&token, "before its revocation");
        }
        assert_eq!(post_form(&self.server.url("/revoke"), client, &[("token", token.as_str())]).status, 200);
        let began = Instant::now();
        let mut refused: Vec<Option<(Duration, u64)>> = vec![None; self.examples.len()];
        while refused.contains(&None) {
            assert!(began.elapsed() < Duration::from_secs(60), "a token of twenty seconds ends within a minute");
            for ((running, ..), lag) in self.examples.iter().zip(&mut refused) {
                if lag.is_none() && running.with_token(&token).status == 401 {
                    *lag = Some((began.elapsed(), SystemClock::new().now().0));
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for ((running, follows, row), lag) in self.examples.iter_mut().zip(refused) {
            let (lag, at) = lag.expect("refused");
            let seen = if *follows {
                assert!(lag <= bound && at < ends_at, "{}: {lag:?} of {bound:?}", running.name);
                println!("{}: T is {bound:?}, revoked and refused after {lag:.1?}", running.name);
                format!("401 within {} s", bound.as_secs())
            } else {
                assert!(at >= ends_at && at <= ends_at + LEEWAY + 2, "{}: {at}, exp {ends_at}", running.name);
                "works until `exp`".to_owned()
            };
            row.push(("revoked", seen));
        }
    }

    /// Two rotations for all at once, and not one good token refused.
    fn rotation(&mut self) {
        let (mut kids, mut asked) = (Vec::new(), 0);
        let oldest = self.token("read");
        let deadline = Instant::now() + Duration::from_secs(120);
        while kids.len() < 3 {
            assert!(Instant::now() < deadline, "two rotations in two minutes");
            let fresh = self.token("read");
            let kid = peek(&fresh).0["kid"].as_str().expect("kid").to_owned();
            if kids.last() != Some(&kid) {
                kids.push(kid);
                if kids.len() < 3 {
                    let output = self.server.command(&["keys", "rotate"]);
                    assert!(output.status.success(), "{}", stderr(&output));
                }
            }
            for (running, ..) in &self.examples {
                for token in [&fresh, &oldest] {
                    running.passes(token, "during rotations");
                    asked += 1;
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{} languages at once: {asked} requests over 2 rotations, 0 refused", self.examples.len());
        self.each("key rotation", |_, _| "0 refused".to_owned());
    }

    fn gateway_down(self) -> Vec<(Running, Row)> {
        let good = self.token("read");
        let unknown = invented(&self.server);
        let Self { server, examples, .. } = self;
        drop(server);
        let down = |(running, _, mut row): (Running, bool, Row)| {
            running.passes(&good, "mintgate is down");
            // Whoever sends a token of an unknown key must not make the service forget the keys it has.
            running.refuses(&unknown, "mintgate is down");
            running.passes(&good, "mintgate is down, after a token of an unknown key");
            row.push(("mintgate down", "200".to_owned()));
            (running, row)
        };
        examples.into_iter().map(down).collect()
    }
}

fn key_set_requests(server: &Server) -> u64 {
    let text = get(&server.admin("/metrics")).text();
    let lines = text.lines().filter(|line| line.starts_with("mintgate_jwks_requests_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn add_brief(config: &str) -> String {
    let output = run(&[
        "clients",
        "add",
        "brief",
        "--grant",
        "client_credentials",
        "--scope",
        "read",
        "--audience",
        AUDIENCE,
        "--access-lifetime",
        "20s",
        "--json",
        "--config",
        config,
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let added: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    added["client_secret"].as_str().expect("a secret").to_owned()
}

/// Must-show: the languages by the cases, every cell from this run, and the document says the same.
#[test]
fn every_language_verifies_locally_and_the_matrix_in_the_docs_is_what_just_ran() {
    let mut brief = String::new();
    let (server, secret) = matrix::gateway("6s", |config| brief = add_brief(config));
    // A virtual machine takes a while to start: all at once.
    let examples: Vec<(Running, bool, Row)> = std::thread::scope(|scope| {
        let begun: Vec<_> = EXAMPLES
            .map(|(name, follows)| {
                let server = &server;
                (scope.spawn(move || Running::start(name, server)), follows)
            })
            .into_iter()
            .collect();
        let started = begun.into_iter().filter_map(|(thread, follows)| match thread.join().expect("started") {
            Ok(running) => Some((running, follows, Row::new())),
            Err(why) => {
                println!("skipped: {why}; tests/run installs it");
                None
            }
        });
        started.collect()
    });
    let mut trial = Trial { server, secret, brief, examples };
    trial.judgements();
    trial.invented_keys();
    trial.revocation();
    trial.rotation();
    let done = trial.gateway_down();
    let mut seen = matrix::head(&CASES);
    for (running, row) in &done {
        let cases: Vec<&str> = row.iter().map(|(case, _)| *case).collect();
        assert_eq!(cases, CASES);
        seen.push_str(&matrix::line(running.name, row));
    }
    println!("{seen}");
    if done.len() < EXAMPLES.len() {
        println!("skipped: the matrix of languages in docs/verifiers.md needs every example");
        return;
    }
    matrix::stands_in_the_document("languages", &seen);
}

/// What `gen-config` prints stands in `examples/`, for https://auth.example; `MINTGATE_UPDATE=1` writes it.
#[test]
fn the_examples_hold_what_gen_config_prints() {
    let directory = TempDir::new();
    let config = directory.join("mintgate.toml");
    std::fs::write(&config, "issuer = \"https://auth.example\"\n").expect("written");
    for (target, file) in [
        ("drf", "drf/mintgate_auth.py"),
        ("express", "node/mintgate.mjs"),
        ("go", "go/mintgate.go"),
        ("spring", "spring/src/main/resources/application.yml"),
        ("spring-java", "spring/src/main/java/orders/MintgateSecurity.java"),
        ("rust", "rust/main.rs"),
        ("env", "mintgate.env"),
    ] {
        let config = config.to_string_lossy();
        let output = run(&["gen-config", target, "--audience", AUDIENCE, "--scope", "read", "--config", &config]);
        assert!(output.status.success(), "{}", stderr(&output));
        let path = start::example(file);
        if std::env::var_os("MINTGATE_UPDATE").is_some() {
            std::fs::write(&path, stdout(&output)).expect("written");
        } else {
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), stdout(&output), "{}", path.display());
        }
    }
}

/// Type, algorithm and a path of the issuer come from the configuration, the address from `--gateway`.
#[test]
fn what_is_configured_is_what_is_printed() {
    let directory = TempDir::new();
    let config = directory.join("mintgate.toml");
    let text = "issuer = \"https://auth.example/tenant\"\n[tokens]\ntyp = \"JWT\"\nalgorithm = \"EdDSA\"\naudience = \"a:b\"\n";
    std::fs::write(&config, text).expect("written");
    let config = config.to_string_lossy();
    for target in ["drf", "express", "go", "spring", "rust", "env"] {
        let printed = |extra: &[&str]| {
            let output = run(&[&["gen-config", target, "--config", &config], extra].concat());
            assert!(output.status.success(), "{target}: {}", stderr(&output));
            stdout(&output)
        };
        let text = printed(&[]);
        for value in ["https://auth.example/tenant", "https://auth.example/tenant/jwks.json", "a:b"] {
            let quoted = ['"', '\''].iter().any(|quote| text.contains(&format!("{quote}{value}{quote}")));
            assert!(quoted, "{target} lacks {value}: {text}");
        }
        let typ = if target == "rust" { "vec![Typ::Jwt]" } else { "JWT" };
        assert!(text.contains(typ) && !text.contains("AtJwt"), "{target}: {text}");
        // The Rust library takes the algorithm from the key.
        assert!(target == "rust" || text.contains("EdDSA"), "{target}: {text}");
        let near = printed(&["--gateway", "127.0.0.1:8080"]);
        assert!(near.contains("http://127.0.0.1:8080/jwks.json"), "{target}: {near}");
        assert!(near.contains("https://auth.example/tenant"), "{target}: the issuer stays: {near}");
    }
}

/// A value that is printed into source code must not be able to end the text it stands in.
#[test]
fn what_means_something_in_source_code_is_refused() {
    let directory = TempDir::new();
    let config = directory.join("mintgate.toml");
    std::fs::write(&config, "issuer = \"https://auth.example\"\n").expect("written");
    let config = config.to_string_lossy();
    for audience in ["a'b", "a`b", "${jndi:x}", "$HOME", "a*/b", "a\"b", "a\\b", "a b", "a\nb"] {
        for target in ["drf", "express", "go", "spring", "spring-java", "rust", "env"] {
            let output = run(&["gen-config", target, "--audience", audience, "--config", &config]);
            assert_eq!(output.status.code(), Some(2), "{target} {audience}: {}", stdout(&output));
        }
    }
}
