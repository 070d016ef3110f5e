//! `mintgate doctor verifier` against verifiers that are right, careless, and closed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mintgate::ambient::SystemClock;
use mintgate::keys::VerifyKey;
use mintgate::protocol::jwk::PublicJwk;
use mintgate::token::verify_signature;
use mintgate::verifier::{Demand, Fetch, FetchError, Fetched, Pending, Settings, Verifier};
use serde_json::Value;

use crate::support::http::get;
use crate::support::server::{Server, binary, configured, run, stderr};
use crate::support::temp::TempDir;

const AUDIENCE: &str = "https://doctor.mintgate.example";

/// What a route says of the `Authorization` header, once the issuer is known.
type Rule = Box<dyn Fn(&str, Option<&str>) -> bool + Send + Sync>;

/// A protected route: it learns its issuer after it was started, as a deployed verifier is configured.
struct Route {
    url: String,
    issuer: Arc<OnceLock<String>>,
}

impl Route {
    fn start(rule: Rule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/protected", listener.local_addr().expect("bound"));
        let issuer = Arc::new(OnceLock::<String>::new());
        let (known, rule) = (Arc::clone(&issuer), Arc::new(rule));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, rule) = (Arc::clone(&known), Arc::clone(&rule));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    let (mut line, mut header) = (String::new(), None);
                    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                        if let Some((name, value)) = line.split_once(':')
                            && name.eq_ignore_ascii_case("authorization")
                        {
                            header = Some(value.trim().to_owned());
                        }
                        line.clear();
                    }
                    let passes = known.get().is_some_and(|issuer| rule(issuer, header.as_deref()));
                    let status = if passes { "200 OK" } else { "401 Unauthorized" };
                    let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                    let _ = reader.get_mut().write_all(answer.as_bytes());
                });
            }
        });
        Self { url, issuer }
    }

    /// Examines it, and lets it trust the issuer that the command names.
    fn examine(&self, extra: &[&str]) -> (Output, Value) {
        let mut child = Command::new(binary())
            .args(["doctor", "verifier", &self.url, "--json", "--wait", "30s"])
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut text = String::new();
        while said.read_line(&mut text).expect("readable") > 0 {
            if let Some(issuer) = text.lines().find_map(|line| line.trim().strip_prefix("issuer ")) {
                self.issuer.set(issuer.trim().to_owned()).expect("once");
                break;
            }
        }
        said.read_to_string(&mut text).expect("readable");
        let mut output = child.wait_with_output().expect("ends");
        output.stderr = text.into_bytes();
        let found = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output, found)
    }
}

struct Web;

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a> {
        let answer = get(url);
        Box::pin(async move {
            if answer.status != 200 {
                return Err(FetchError(answer.status.to_string()));
            }
            Ok(Fetched { body: answer.body, max_age: Some(Duration::from_secs(300)) })
        })
    }
}

fn bearer(header: Option<&str>) -> Option<&str> {
    header?.strip_prefix("Bearer ").map(str::trim)
}

/// `mintgate::verifier`, as a service would use it.
fn library() -> Rule {
    let verifier = OnceLock::new();
    Box::new(move |issuer, header| {
        let verifier = verifier.get_or_init(|| {
            let settings = Settings { cool_down: Duration::from_secs(2), ..Settings::new(issuer) };
            Verifier::new(settings, Arc::new(Web), Arc::new(SystemClock::new()))
        });
        let demand = Demand { audience: AUDIENCE.to_owned(), scope: "".parse().expect("empty") };
        let Some(token) = bearer(header) else { return false };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(verifier.verify(token, &demand)).is_ok()
    })
}

/// A signature that fits one of the keys, whatever the token says; the key set fetched each time.
fn careless() -> Rule {
    Box::new(|issuer, header| {
        let set = get(&format!("{issuer}/jwks.json")).json();
        let keys = set["keys"].as_array().expect("keys").iter();
        let keys = keys.filter_map(|key| PublicJwk::from_json(key.as_object()?).ok()).map(VerifyKey::new);
        bearer(header).is_some_and(|token| keys.into_iter().any(|key| verify_signature(token, &key).is_ok()))
    })
}

fn of<'a>(found: &'a Value, case: &str) -> &'a str {
    let cases = found["cases"].as_array().unwrap_or_else(|| panic!("no cases in {found}"));
    let case = cases.iter().find(|own| own["case"] == case).unwrap_or_else(|| panic!("no case {case:?}"));
    case["verdict"].as_str().expect("a verdict")
}

#[test]
fn a_right_verifier_is_found_right() {
    let (output, found) = Route::start(library()).examine(&[]);
    let wrong: Vec<&Value> = found["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|case| !["right", "noted"].contains(&case["verdict"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(output.status.code(), Some(0), "{wrong:?}\n{}", stderr(&output));
    assert!(wrong.is_empty() && found["ok"] == true, "{wrong:?}");
    let cases = found["cases"].as_array().expect("cases");
    println!("a verifier made with the library: {} cases, all right or noted", cases.len());
    assert!(cases.len() >= 50, "{}", cases.len());
    assert!(stderr(&output).contains("key set") && stderr(&output).contains(AUDIENCE));
}

#[test]
fn a_careless_verifier_is_caught_in_what_it_does_not_check() {
    let (output, found) = Route::start(careless()).examine(&[]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    for case in [
        "expired an hour ago",
        "no exp",
        "exp is a text",
        "not valid for an hour yet (nbf)",
        "another audience",
        "no audience",
        "another issuer",
        "no issuer",
    ] {
        assert_eq!(of(&found, case), "wrongly_accepted", "{case}");
    }
    for case in [
        "a stranger's key under our kid",
        "alg none",
        "HS256 with our public key (PEM) as the secret",
        "half of the signature",
        "no header",
        "addresses in tokens are not fetched",
        "a new key, published, then signing",
    ] {
        assert_eq!(of(&found, case), "right", "{case}");
    }
    assert_eq!(of(&found, "20 invented keys"), "floods");
    assert!(found["wrongly_accepted"].as_u64() > Some(8) && found["ok"] == false);
    assert!(stderr(&output).contains("bad requests were accepted"));
}

#[test]
fn a_verifier_that_knows_one_key_for_ever_is_caught_by_the_rotation() {
    // It keeps the first key set it saw, as code with a key pasted in does.
    let first = OnceLock::new();
    let rule: Rule = Box::new(move |issuer, header| {
        let key = first.get_or_init(|| {
            let set = get(&format!("{issuer}/jwks.json")).json();
            VerifyKey::new(PublicJwk::from_json(set["keys"][0].as_object().expect("a key")).expect("ours"))
        });
        let demands = |claims: Vec<u8>| {
            let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
            let now = mintgate::ambient::Clock::now(&SystemClock::new()).0;
            let audience = claims["aud"].as_str() == Some(AUDIENCE)
                || claims["aud"].as_array().is_some_and(|many| many.iter().any(|one| one == AUDIENCE));
            let in_time = claims["exp"].as_u64() > Some(now) && claims["nbf"].as_u64().is_none_or(|from| from <= now);
            claims["iss"] == issuer && audience && in_time
        };
        bearer(header).is_some_and(|token| verify_signature(token, key).is_ok_and(demands))
    });
    let (output, found) = Route::start(rule).examine(&["--rotation-wait", "2s"]);
    assert_eq!(output.status.code(), Some(1), "{found}\n{}", stderr(&output));
    assert_eq!(of(&found, "a new key, published, then signing"), "wrongly_refused");
    assert_eq!((&found["wrongly_accepted"], &found["wrongly_refused"]), (&0.into(), &1.into()));
}

#[test]
fn a_verifier_that_never_trusts_the_issuer_is_not_judged() {
    let closed = Route::start(Box::new(|_, _| false));
    let output = run(&["doctor", "verifier", &closed.url, "--wait", "1s"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("never passed: 401") && said.contains("the key set was never fetched"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_visited_is_refused_with_the_reason() {
    for (arguments, reason) in [
        (vec!["ftp://localhost/"], "expected http://"),
        (vec!["http://user@localhost/"], "names a user"),
        (vec!["http://localhost/", "--issuer", "no url"], "--issuer"),
        (vec!["http://localhost/", "--header", "a b"], "no header's name"),
        (vec!["https://localhost/", "--ca", "/nowhere.pem"], "/nowhere.pem"),
        (vec!["http://localhost/", "--listen", "localhost"], "--listen"),
    ] {
        let output = run(&[&["doctor", "verifier"], arguments.as_slice()].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    }
    let output = run(&["doctor", "verifier", "http://192.0.2.1/", "--wait", "0s"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("only loopback and private addresses"), "{}", stderr(&output));
}

/// A self-signed certificate for 127.0.0.1 that is no authority; false if there is no openssl.
fn certificate(directory: &Path, name: &str) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(directory.join(format!("{name}.key")))
        .arg("-out")
        .arg(directory.join(format!("{name}.crt")))
        .output();
    made.is_ok_and(|output| output.status.success())
}

#[test]
fn over_tls_the_certificate_is_checked() {
    let directory = TempDir::new();
    if !certificate(directory.path(), "own") || !certificate(directory.path(), "other") {
        println!("skipped: openssl is not installed; tests/run installs it");
        return;
    }
    let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let settings = format!("certificate = \"{}\"\nkey = \"{}\"", at("own.crt"), at("own.key"));
    let server = Server::lasting(|text| configured(text, "tls", &settings));
    let url = server.url("/verify?aud=x");
    assert!(url.starts_with("https://"), "{url}");
    for (ca, reason) in [("own.crt", "never passed: 401"), ("other.crt", "certificate")] {
        let output = run(&["doctor", "verifier", &url, "--ca", &at(ca), "--wait", "0s"]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{ca}: {}", stderr(&output));
    }
}
