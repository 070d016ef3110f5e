//! `/revocations`, the feed that `manual::feed` describes: its document, its headers, and followers from outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::{get, peek, post_form, send};
use crate::support::server::{Server, stderr, until};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn document(server: &Server, since: u64) -> Value {
    let answer = get(&server.url(&format!("/revocations?since={since}")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    peek(&answer.text()).1
}

fn revoke(server: &Server, args: &[&str]) {
    let output = server.command(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn the_document_is_a_signed_jwt_of_its_own_type_with_cache_headers() {
    let server = Server::dev();
    let answer = get(&server.url("/revocations"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/revocations+jwt"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=5"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let (header, claims) = peek(&answer.text());
    assert_eq!((text(&header["typ"]), text(&header["alg"])), ("revocations+jwt", "ES256"));
    assert_eq!(text(&claims["iss"]), server.issuer());
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 300));
    assert_eq!((&claims["from"], &claims["more"], &claims["max_age"]), (&json!(0), &json!(false), &json!(5)));
    assert_eq!(claims["revoked"], json!({"jti": [], "sid": [], "sub": [], "client_id": [], "kid": []}));
    // RFC 8725 section 3.11: it cannot be taken for a token.
    let bearer = format!("Bearer {}", answer.text());
    let verify = send("GET", &server.url("/verify?aud=https://api.example"), &[("Authorization", &bearer)], b"");
    assert_eq!(verify.status, 401);
    assert_eq!(server.introspect(&answer.text()), json!({"active": false}));
    // RFC 9110 section 13.1.2
    let etag = answer.header("etag").expect("a tag").to_owned();
    let same = send("GET", &server.url("/revocations"), &[("If-None-Match", &etag)], b"");
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(send("HEAD", &server.url("/revocations"), &[], b"").header("etag"), Some(etag.as_str()));
    assert_eq!(post_form(&server.url("/revocations"), None, &[]).status, 405);
    for bad in ["?since=x", "?since=-1", "?since=1&since=2", "?since=99999999999999999999999"] {
        assert_eq!(get(&server.url(&format!("/revocations{bad}"))).status, 400, "{bad}");
    }
    let metadata = get(&server.url("/.well-known/oauth-authorization-server")).json();
    assert_eq!(metadata["mintgate_revocations_uri"], format!("{}/revocations", server.issuer()));
    assert_eq!(metadata["mintgate_revocation_latency_max"], 10);
    assert_eq!(metadata["mintgate_revocations_wait_max"], 50);
}

#[test]
fn every_kind_of_revocation_is_in_it_and_a_delta_holds_the_new_ones_alone() {
    let server = Server::dev();
    let start = document(&server, 0)["to"].as_u64().expect("a number");
    let access = server.token(&[GRANT]).member("access_token");
    let claims = peek(&access).1;
    assert_eq!(post_form(&server.url("/revoke"), Some(server.client()), &[("token", &access)]).status, 200);
    let by_jti = document(&server, start);
    assert_eq!(by_jti["revoked"]["jti"], json!([[claims["jti"], claims["exp"]]]));
    let after_jti = by_jti["to"].as_u64().expect("a number");
    assert_eq!(after_jti, start + 1);

    let login = server.login();
    let session = peek(&login.member("access_token")).1["sid"].clone();
    let form = [("client_id", server.public_client()), ("token", &login.member("refresh_token"))];
    assert_eq!(post_form(&server.url("/revoke"), None, &form).status, 200);
    let by_family = document(&server, after_jti);
    assert_eq!(by_family["from"].as_u64(), Some(after_jti));
    assert_eq!(by_family["revoked"]["jti"], json!([]));
    assert_eq!(by_family["revoked"]["sid"][0][0], session);

    let subject = peek(&server.login().member("access_token")).1["sub"].clone();
    revoke(&server, &["revoke", "--subject", text(&subject)]);
    revoke(&server, &["revoke", "--client", server.client().0]);
    let kid = peek(&access).0["kid"].clone();
    revoke(&server, &["keys", "taint", text(&kid), "--yes"]);
    until("the key is in the feed", || document(&server, 0)["revoked"]["kid"] != json!([]));
    let whole = document(&server, 0);
    assert_eq!(whole["to"].as_u64(), Some(start + 5));
    assert_eq!(whole["revoked"]["client_id"][0][0], server.client().0);
    assert_eq!(whole["revoked"]["kid"][0][0], kid);
    assert!(whole["revoked"]["kid"][0][1].as_u64() >= peek(&access).1["exp"].as_u64());
    let hash = ring::digest::digest(&ring::digest::SHA256, text(&subject).as_bytes());
    assert_eq!(whole["revoked"]["sub"][0][0], mintgate::protocol::base64url::encode(&hash.as_ref()[..16]));
    assert!(!whole.to_string().contains(text(&subject)), "nobody is named");
    assert_eq!(document(&server, start + 5)["revoked"]["jti"], json!([]));
    assert_eq!(document(&server, u64::MAX)["from"], 0);
}

#[test]
fn rfc9700_4_14_2_a_reused_refresh_token_is_in_it() {
    let server = Server::lasting_with(
        |text| text.replace("[refresh]\n", "[refresh]\nretry_window = \"0s\"\n"),
        |config| {
            for args in [
                vec![
                    "clients",
                    "add",
                    "app",
                    "--public",
                    "--first-party",
                    "--grant",
                    "refresh_token",
                    "--scope",
                    "read",
                ],
                vec!["users", "add", "ada", "--password-stdin"],
            ] {
                let mut all = args.clone();
                all.extend(["--config", config]);
                if args[0] == "clients" {
                    all.extend(["--audience", "https://api.example"]);
                }
                let output = crate::support::server::run_with_input(&all, "correct horse battery staple\n");
                assert!(output.status.success(), "{}", stderr(&output));
            }
        },
    );
    let form = [("client_id", "app"), ("username", "ada"), ("password", "correct horse battery staple")];
    let mut login = post_form(&server.url("/login"), None, &form);
    // In the very second in which a password was set, a log-in is told to wait.
    until("the first log-in", || {
        if login.status != 200 {
            login = post_form(&server.url("/login"), None, &form);
        }
        login.status == 200
    });
    let refresh = login.member("refresh_token");
    let again = || {
        post_form(
            &server.url("/token"),
            None,
            &[("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &refresh)],
        )
    };
    assert_eq!(again().status, 200);
    assert_eq!(document(&server, 0)["revoked"]["sid"], json!([]));
    assert_eq!(again().status, 400, "used twice");
    assert_eq!(document(&server, 0)["revoked"]["sid"][0][0], peek(&login.member("access_token")).1["sid"]);
}

#[test]
fn a_follower_with_pyjwt_agrees_with_introspection() {
    let Some(python) = std::env::var_os("MINTGATE_PYTHON") else {
        println!("skipped: PyJWT is not installed; tests/run installs it");
        return;
    };
    let server = Server::dev();
    let service = || server.token(&[GRANT]).member("access_token");
    let person = || server.login().member("access_token");
    let (by_jti, by_family, by_subject) = (service(), person(), person());
    revoke(&server, &["revoke", "--jti", text(&peek(&by_jti).1["jti"])]);
    revoke(&server, &["revoke", "--family", text(&peek(&by_family).1["sid"])]);
    let live = service();
    revoke(&server, &["revoke", "--subject", text(&peek(&by_subject).1["sub"])]);
    let tokens =
        [(&by_jti, json!("jti")), (&by_family, json!("sid")), (&by_subject, json!("sub")), (&live, json!(null))];
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/follow.py"))
        .args([&server.url("/jwks.json"), server.issuer(), &server.url("/revocations"), "ES256"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let input: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    child.stdin.take().expect("piped").write_all(input.join("\n").as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    for ((token, expected), seen) in tokens.iter().zip(&lines) {
        assert_eq!(seen["revoked_by"], *expected);
        assert_eq!(server.introspect(token)["active"], json!(expected.is_null()), "the same answer everywhere");
    }
    println!("PyJWT: {}", lines[tokens.len()]);
    assert_eq!(lines[tokens.len()]["entries"], 3);
}

/// Must-show: T and the measured lag.
#[test]
fn a_follower_with_jose_knows_within_the_stated_time() {
    let Some(modules) = std::env::var_os("MINTGATE_NODE_MODULES") else {
        println!("skipped: jose is not installed; tests/run installs it");
        return;
    };
    let server = Server::dev();
    let metadata = get(&server.url("/.well-known/oauth-authorization-server")).json();
    let bound = Duration::from_secs(metadata["mintgate_revocation_latency_max"].as_u64().expect("T"));
    for how in ["poll", "wait", "events"] {
        follow_with_jose(&server, &modules, how, bound);
    }
}

fn follow_with_jose(server: &Server, modules: &std::ffi::OsStr, how: &str, bound: Duration) {
    let token = server.token(&[GRANT]).member("access_token");
    let mut child = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/follow.mjs"))
        .args([&server.url("/jwks.json"), server.issuer(), &server.url("/revocations"), "ES256", &token, how])
        .env("MINTGATE_NODE_MODULES", modules)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("readable"), "live");
    assert_eq!(post_form(&server.url("/revoke"), Some(server.client()), &[("token", &token)]).status, 200);
    let began = Instant::now();
    let bearer = format!("Bearer {token}");
    let verify = send("GET", &server.url("/verify?aud=https://api.example"), &[("Authorization", &bearer)], b"");
    let verify_lag = began.elapsed();
    assert_eq!(verify.status, 401);
    assert_eq!(lines.next().expect("a line").expect("readable"), "revoked");
    let lag = began.elapsed();
    let status = child.wait().expect("ends");
    assert!(status.success());
    println!("T = {bound:?}; lag of /verify {verify_lag:?}, of a follower with jose ({how}) {lag:?}");
    assert!(lag <= bound, "{lag:?} is over {bound:?}");
}

/// Must-show: the feed survives `kill -9` without forgetting a revocation or using a number twice, though three starts
/// fall into one or two seconds.
#[test]
fn it_survives_kill_9_and_no_number_comes_twice() {
    let mut server = Server::lasting(|text| text.to_owned());
    let config = server.config().to_owned();
    let jtis = ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA", "CCCCCCCCCCCCCCCCCCCCCA"];
    for jti in &jtis[..2] {
        revoke(&server, &["revoke", "--jti", jti]);
    }
    revoke(&server, &["revoke", "--client", "billing"]);
    let before = document(&server, 0);
    let names = |document: &Value| {
        let entries = document["revoked"]["jti"].as_array().expect("entries");
        let mut names: Vec<String> = entries.iter().map(|entry| text(&entry[0]).to_owned()).collect();
        names.sort();
        names
    };
    let mut last = before["to"].as_u64().expect("a number");
    let began = Instant::now();
    for _ in 0..2 {
        server.signal("KILL");
        server.wait();
        let directory = server.directory.take();
        drop(server);
        server = Server::start(&["serve", "--json", "--config", &config], directory);
        server.started["config"] = Value::from(config.clone());
        // A follower that was away asks for what came after the last number it knows, and one answer brings it up to date.
        let after = document(&server, last);
        assert_eq!(names(&after), names(&before));
        assert_eq!(after["revoked"]["client_id"], before["revoked"]["client_id"]);
        let start = after["to"].as_u64().expect("a number");
        assert!(start >= last + 3, "{start} after {last}: each entry has a number of this run's own");
        last = start;
    }
    println!("killed twice, started twice in {:?}", began.elapsed());
    revoke(&server, &["revoke", "--jti", jtis[2]]);
    assert_eq!(document(&server, last)["revoked"]["jti"][0][0], jtis[2]);
}
