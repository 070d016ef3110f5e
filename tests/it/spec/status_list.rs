//! Token Status Lists (draft-ietf-oauth-status-list-20), on the wire and with libraries from outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::{get, peek, post_form, send};
use crate::support::server::{Server, add_service, configured, run_with_input, stderr, until};

const AUDIENCE: &str = "https://api.example";
const PASSWORD: &str = "correct horse battery";

/// A gateway with status lists for one audience, a service and a user.
struct Gateway {
    server: Server,
    secret: String,
}

impl Gateway {
    fn new() -> Self {
        let mut secret = String::new();
        let lists = format!("audiences = [\"{AUDIENCE}\"]");
        let server = Server::lasting_with(
            |text| configured(text, "status_list", &lists),
            |config| {
                secret = add_service(config);
                for (args, input) in [
                    (vec!["clients", "add", "app", "--public", "--first-party", "--audience", AUDIENCE], ""),
                    (vec!["users", "add", "ada", "--password-stdin"], PASSWORD),
                ] {
                    let output = run_with_input(&[&args[..], &["--config", config]].concat(), input);
                    assert!(output.status.success(), "{}", stderr(&output));
                }
            },
        );
        Self { server, secret }
    }

    fn service(&self) -> String {
        let form = [("grant_type", "client_credentials")];
        post_form(&self.server.url("/token"), Some(("svc", &self.secret)), &form).member("access_token")
    }

    fn person(&self) -> String {
        let form = [("client_id", "app"), ("username", "ada"), ("password", PASSWORD)];
        post_form(&self.server.url("/login"), None, &form).member("access_token")
    }

    fn revoke(&self, args: &[&str]) {
        let output = self.server.command(&[&["revoke"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }

    fn introspect(&self, token: &str) -> Value {
        let form = [("token", token)];
        post_form(&self.server.url("/introspect"), Some(("svc", &self.secret)), &form).json()["active"].clone()
    }

    /// The path of a token's list, and its place.
    fn place(&self, token: &str) -> (String, usize) {
        let place = peek(token).1["status"]["status_list"].clone();
        let uri = place["uri"].as_str().expect("an address");
        let path = uri.strip_prefix(self.server.issuer()).expect("below the issuer").to_owned();
        (path, usize::try_from(place["idx"].as_u64().expect("an index")).expect("small"))
    }

    fn is_valid(&self, token: &str) -> bool {
        let (path, index) = self.place(token);
        let answer = get(&self.server.url(&path));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let claims = peek(&answer.text()).1;
        let packed = claims["status_list"]["lst"].as_str().expect("text").as_bytes();
        let packed = mintgate::protocol::base64url::decode(packed).expect("base64url");
        let bits = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).expect("zlib");
        bits[index / 8] >> (index % 8) & 1 == 0
    }

    fn start_again(&mut self, signal: &str) {
        let (directory, config) = (self.server.directory.take(), self.server.config().to_owned());
        self.server.signal(signal);
        self.server.wait();
        self.server = Server::start(&["serve", "--json", "--config", &config], directory);
        self.server.started["config"] = Value::from(config);
    }
}

/// Sections 5.1 and 8.2.
#[test]
fn section_5_1_the_list_is_a_signed_jwt_of_its_own_type_with_cache_headers() {
    let gateway = Gateway::new();
    let token = gateway.service();
    let (path, index) = gateway.place(&token);
    let answer = get(&gateway.server.url(&path));
    assert_eq!(answer.status, 200, "at once, although nobody has built it yet");
    assert_eq!(answer.header("content-type"), Some("application/statuslist+jwt"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=4"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let (header, claims) = peek(&answer.text());
    assert_eq!((&header["typ"], &header["alg"]), (&json!("statuslist+jwt"), &json!("ES256")));
    let issuer = gateway.server.issuer();
    assert_eq!(claims["iss"], issuer);
    assert_eq!(claims["sub"], format!("{issuer}{path}"));
    assert_eq!(claims["ttl"], 5);
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 300));
    assert_eq!(claims["status_list"]["bits"], 1);
    assert_eq!(claims["status_list"]["aggregation_uri"], format!("{issuer}/status"));
    assert!(index < 1 << 20);
    assert!(answer.body.len() < 1_500, "a list of nobody revoked is short: {}", answer.body.len());
    // RFC 8725 section 3.11: it cannot be taken for a token.
    let bearer = format!("Bearer {}", answer.text());
    let verify =
        send("GET", &gateway.server.url("/verify?aud=https://api.example"), &[("Authorization", &bearer)], b"");
    assert_eq!(verify.status, 401);
    assert_eq!(gateway.introspect(&answer.text()), json!(false));
    // RFC 9110 section 13.1.2
    let etag = answer.header("etag").expect("a tag").to_owned();
    let same = send("GET", &gateway.server.url(&path), &[("If-None-Match", &etag)], b"");
    assert_eq!((same.status, same.body.len()), (304, 0));
    let head = send("HEAD", &gateway.server.url(&path), &[], b"");
    assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some(etag.as_str()), 0));
    assert_eq!(post_form(&gateway.server.url(&path), None, &[]).status, 405);
    for unknown in ["/status/x", "/status/", "/status/../jwks.json", &format!("{path}0"), &format!("{path}/")] {
        assert_eq!(get(&gateway.server.url(unknown)).status, 404, "{unknown}");
    }
}

/// Section 9.
#[test]
fn section_9_metadata_names_the_aggregation_and_that_names_the_lists_where_it_is_on() {
    let gateway = Gateway::new();
    let token = gateway.service();
    let metadata = get(&gateway.server.url("/.well-known/oauth-authorization-server")).json();
    assert_eq!(metadata["status_list_aggregation_endpoint"], format!("{}/status", gateway.server.issuer()));
    let uri = peek(&token).1["status"]["status_list"]["uri"].clone();
    until("the list is listed", || {
        let answer = get(&gateway.server.url("/status"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        answer.json()["status_lists"] == json!([uri])
    });
    let off = Server::dev();
    let metadata = get(&off.url("/.well-known/oauth-authorization-server")).json();
    assert!(metadata.get("status_list_aggregation_endpoint").is_none());
    assert_eq!(get(&off.url("/status")).status, 404);
    let token = off.token(&[("grant_type", "client_credentials")]).member("access_token");
    assert!(peek(&token).1.get("status").is_none());
}

/// Section 7.1, and the must-show of a restart: a stop loses nothing, `kill -9` makes no revoked token valid.
#[test]
fn every_kind_of_revocation_shows_also_after_a_stop_and_after_kill_9() {
    let mut gateway = Gateway::new();
    let (live, by_jti, by_family) = (gateway.service(), gateway.service(), gateway.person());
    gateway.revoke(&["--jti", peek(&by_jti).1["jti"].as_str().expect("text")]);
    gateway.revoke(&["--family", peek(&by_family).1["sid"].as_str().expect("text")]);
    let by_subject = gateway.person();
    let expect = |gateway: &Gateway, when: &str| {
        for (token, valid) in [(&live, true), (&by_jti, false), (&by_family, false)] {
            until(when, || gateway.is_valid(token) == valid);
            assert_eq!(gateway.introspect(token), json!(valid), "{when}");
        }
    };
    expect(&gateway, "before");
    assert!(gateway.is_valid(&by_subject));
    gateway.start_again("TERM");
    expect(&gateway, "after a stop");
    assert!(gateway.is_valid(&by_subject), "its last turn wrote down what was issued");
    gateway.start_again("KILL");
    expect(&gateway, "after kill -9");
    // Revoked by the third process, issued by the first.
    gateway.revoke(&["--subject", peek(&by_subject).1["sub"].as_str().expect("text")]);
    until("the subject's token is invalid", || !gateway.is_valid(&by_subject));
    assert_eq!(gateway.introspect(&by_subject), json!(false));
    expect(&gateway, "at the end");
}

#[test]
fn py_jwt_and_zlib_read_the_list_as_introspection_does() {
    let Some(python) = std::env::var_os("MINTGATE_PYTHON") else {
        println!("skipped: PyJWT is not installed; tests/run installs it");
        return;
    };
    let gateway = Gateway::new();
    let (by_jti, by_family, by_subject) = (gateway.service(), gateway.person(), gateway.person());
    gateway.revoke(&["--jti", peek(&by_jti).1["jti"].as_str().expect("text")]);
    gateway.revoke(&["--family", peek(&by_family).1["sid"].as_str().expect("text")]);
    gateway.revoke(&["--subject", peek(&by_subject).1["sub"].as_str().expect("text")]);
    let tokens = [(by_jti, 1), (by_family, 1), (by_subject, 1), (gateway.service(), 0), (gateway.service(), 0)];
    until("the lists know", || tokens.iter().all(|(token, status)| gateway.is_valid(token) == (*status == 0)));
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/status.py"))
        .args([gateway.server.url("").as_str(), gateway.server.issuer(), "ES256"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let input: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    child.stdin.take().expect("piped").write_all(input.join("\n").as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), tokens.len());
    for ((token, status), seen) in tokens.iter().zip(&lines) {
        assert_eq!(seen["status"], *status);
        assert_eq!(gateway.introspect(token), json!(*status == 0), "the same answer everywhere");
    }
    println!("PyJWT and zlib: {}", lines[0]);
}

/// Must-show: T and the measured lag. A list may be cached for `ttl` less a second, is built within a second, and is used
/// for `ttl`.
#[test]
fn a_reader_with_jose_and_zlib_knows_within_the_stated_time() {
    let Some(modules) = std::env::var_os("MINTGATE_NODE_MODULES") else {
        println!("skipped: jose is not installed; tests/run installs it");
        return;
    };
    let gateway = Gateway::new();
    let token = gateway.person();
    let mut child = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/status.mjs"))
        .args([gateway.server.url("").as_str(), gateway.server.issuer(), "ES256", &token])
        .env("MINTGATE_NODE_MODULES", modules)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("readable"), "valid");
    gateway.revoke(&["--family", peek(&token).1["sid"].as_str().expect("text")]);
    let began = Instant::now();
    assert_eq!(gateway.introspect(&token), json!(false));
    until("the list says so", || !gateway.is_valid(&token));
    let served = began.elapsed();
    assert_eq!(lines.next().expect("a line").expect("readable"), "invalid");
    let lag = began.elapsed();
    assert!(child.wait().expect("ends").success());
    let bound = Duration::from_secs(10);
    println!(
        "T = {bound:?}; the list is served with the bit after {served:?}; a reader with jose and zlib after {lag:?}"
    );
    assert!(lag <= bound, "{lag:?} is over {bound:?}");
}
