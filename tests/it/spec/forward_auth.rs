//! `/verify`, the resource side for proxies: RFC 6750, PROTOCOL section 9.

use crate::support::attacks::{Target, corpus, genuine};
use crate::support::http::{Answer, peek, post_form, send};
use crate::support::server::{Server, stderr, until};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const BARE: &str = "Bearer realm=\"mintgate\"";
const ROUTE: &str = "/verify?aud=https://api.example";

fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    send("GET", &server.url(path), headers, b"")
}

fn with_token(server: &Server, path: &str, token: &str) -> Answer {
    ask(server, path, &[("Authorization", &format!("Bearer {token}"))])
}

fn service_token(server: &Server) -> String {
    server.token(&[GRANT]).member("access_token")
}

/// Refused as RFC 6750 section 3.1 says of a token that is not good.
fn assert_invalid(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}");
    let challenge = answer.header("www-authenticate").unwrap_or_else(|| panic!("{what}: no challenge"));
    assert!(challenge.starts_with(&format!("{BARE}, error=\"invalid_token\"")), "{what}: {challenge}");
    assert!(answer.body.is_empty() && answer.header("x-auth-subject").is_none(), "{what}");
}

#[test]
fn a_good_token_passes_with_its_identity_and_an_empty_body() {
    let server = Server::dev();
    let token = server.login().member("access_token");
    let claims = peek(&token).1;
    // Twice: the gate, then what it remembers.
    for turn in ["first sight", "seen before"] {
        let answer = with_token(&server, "/verify?aud=https://api.example&scope=read", &token);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{turn}");
        assert_eq!(answer.header("x-auth-subject"), claims["sub"].as_str(), "{turn}");
        assert_eq!(answer.header("x-auth-client"), Some(server.public_client()), "{turn}");
        assert_eq!(answer.header("x-auth-scope"), claims["scope"].as_str(), "{turn}");
        assert_eq!(answer.header("x-auth-expires"), Some(claims["exp"].to_string().as_str()), "{turn}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{turn}");
    }
}

#[test]
fn every_method_is_answered_alike() {
    let server = Server::dev();
    let token = format!("Bearer {}", service_token(&server));
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let pass = send(method, &server.url(ROUTE), &[("Authorization", &token)], b"");
        assert_eq!(pass.status, 200, "{method}");
        assert_eq!(send(method, &server.url(ROUTE), &[], b"").status, 401, "{method}");
    }
    // A body is nobody's business here, whatever it claims to be.
    let headers = [("Authorization", token.as_str()), ("Content-Encoding", "br"), ("Content-Type", "text/x")];
    assert_eq!(send("POST", &server.url(ROUTE), &headers, &[b'x'; 100_000]).status, 200);
}

#[test]
fn rfc6750_3_1_no_credentials_get_a_bare_challenge() {
    let server = Server::dev();
    let absent: [&[(&str, &str)]; 4] = [
        &[],
        &[("Authorization", "Basic Zm9vOmJhcg==")],
        &[("Authorization", "Negotiate x")],
        &[("Cookie", "access_token=x"), ("X-Auth-Subject", "root")],
    ];
    for headers in absent {
        let answer = ask(&server, ROUTE, headers);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(BARE)), "{headers:?}");
        assert!(answer.body.is_empty());
    }
}

#[test]
fn rfc6750_3_1_a_bad_token_is_401_whatever_is_wrong_with_it() {
    let server = Server::dev();
    let good = service_token(&server);
    let longest = "x".repeat(15_500);
    for credentials in
        ["Bearer", "Bearer ", "bearer x", "Bearer x y", "Bearer a.b.c", "Bearer \u{e4}", "Bearer =", "BEARER ,"]
    {
        assert_invalid(&ask(&server, ROUTE, &[("Authorization", credentials)]), credentials);
    }
    for token in [format!("{good}x"), format!("{good} x"), good.replace('.', ","), longest] {
        assert_invalid(&with_token(&server, ROUTE, &token), &token);
    }
    let good = format!("Bearer {good}");
    assert_invalid(&ask(&server, ROUTE, &[("Authorization", &good), ("Authorization", &good)]), "two headers");
    assert_eq!(ask(&server, ROUTE, &[("authorization", &good.replacen("Bearer", "bEARER ", 1))]).status, 200);
}

#[test]
fn a_header_as_large_as_the_limit_allows_is_401_and_only_a_larger_one_is_the_servers_own_431() {
    let server = Server::dev();
    let header_bytes_max = 16_384;
    // The request line, Host, Connection and the name of the header take less than 200 bytes.
    let fits = with_token(&server, ROUTE, &"x".repeat(header_bytes_max - 200));
    assert_invalid(&fits, "within the limit");
    let beyond = with_token(&server, ROUTE, &"x".repeat(header_bytes_max));
    assert_eq!(beyond.status, 431, "beyond it the server answers before any endpoint: recipes pass on less");
}

#[test]
fn rfc7519_4_1_3_the_audience_is_the_routes_own() {
    let server = Server::dev();
    let token = service_token(&server);
    assert_eq!(with_token(&server, ROUTE, &token).status, 200);
    // Remembered or not: the audience is asked for at each request.
    assert_invalid(&with_token(&server, "/verify?aud=https://other.example", &token), "another audience");
    assert_invalid(&with_token(&server, "/verify?aud=https://api.example/", &token), "nearly the same");
    let issuer = server.issuer().to_owned();
    assert_eq!(with_token(&server, &format!("{ROUTE}&iss={issuer}"), &token).status, 200);
    assert_invalid(&with_token(&server, &format!("{ROUTE}&iss=https://other.example"), &token), "another issuer");
}

#[test]
fn rfc6750_3_1_too_little_scope_is_403_and_says_what_is_needed() {
    let server = Server::dev();
    let token = server.token(&[GRANT, ("scope", "read")]).member("access_token");
    assert_eq!(with_token(&server, "/verify?aud=https://api.example&scope=read", &token).status, 200);
    let answer = with_token(&server, "/verify?aud=https://api.example&scope=read%20write", &token);
    assert_eq!(answer.status, 403);
    let expected = format!("{BARE}, error=\"insufficient_scope\", scope=\"read write\"");
    assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()));
    assert!(answer.body.is_empty());
    // No token is no scope, but the first is what is wrong.
    assert_eq!(ask(&server, "/verify?aud=https://api.example&scope=admin", &[]).status, 401);
}

#[test]
fn rfc6750_2_3_a_token_in_the_url_or_the_body_is_not_read() {
    let server = Server::dev();
    let token = service_token(&server);
    let in_query = ask(&server, &format!("{ROUTE}&access_token={token}"), &[]);
    assert_eq!(in_query.status, 403, "a query that is not understood whole is refused whole");
    assert_eq!(post_form(&server.url(ROUTE), None, &[("access_token", &token)]).status, 401);
}

#[test]
fn a_route_that_makes_no_sense_lets_nobody_pass() {
    let server = Server::dev();
    let token = service_token(&server);
    for path in [
        "/verify",
        "/verify?",
        "/verify?scope=read",
        "/verify?aud=https://api.example&scop=write",
        "/verify?aud=https://api.example&aud=https://other.example",
        "/verify?aud=%zz",
        "/verify?policy=nobody",
        "/verify/policy/nobody",
        "/verify/policy/",
    ] {
        let answer = with_token(&server, path, &token);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().is_ascii() && !answer.text().contains("example"), "{path}: {}", answer.text());
    }
    assert_eq!(with_token(&server, "/verify/policies/x", &token).status, 404);
    assert_eq!(with_token(&server, "/verify/", &token).status, 404);
}

/// A server whose `[verify]` has these lines, with one service client.
fn configured(lines: &str) -> (Server, String) {
    configured_for("5m", lines)
}

fn configured_for(lifetime: &str, lines: &str) -> (Server, String) {
    let mut secret = String::new();
    let server = Server::lasting_with(
        |text| {
            let text = text.replace("[tokens]\n", &format!("[tokens]\naccess_lifetime = \"{lifetime}\"\n"));
            format!("{text}\n[verify]\n{lines}")
        },
        |config| {
            let added = crate::support::server::run(&[
                "clients",
                "add",
                "svc",
                "--grant",
                "client_credentials",
                "--scope",
                "read write",
                "--audience",
                "https://api.example",
                "--json",
                "--config",
                config,
            ]);
            assert!(added.status.success(), "{}", stderr(&added));
            let added: serde_json::Value = serde_json::from_slice(&added.stdout).expect("JSON");
            secret = added["client_secret"].as_str().expect("a secret").to_owned();
        },
    );
    let form = [GRANT, ("scope", "read")];
    let token = post_form(&server.url("/token"), Some(("svc", &secret)), &form).member("access_token");
    (server, token)
}

#[test]
fn policies_have_names_and_the_path_may_say_which() {
    let (server, token) = configured(
        "audience = \"https://other.example\"\n\
         [verify.policies.reader]\naudience = \"https://api.example\"\nscope = \"read\"\n\
         [verify.policies.writer]\naudience = \"https://api.example\"\nscope = \"write\"\n",
    );
    assert_invalid(&with_token(&server, "/verify", &token), "the configured audience is another");
    assert_eq!(with_token(&server, "/verify?policy=reader", &token).status, 200);
    assert_eq!(with_token(&server, "/verify?policy=writer", &token).status, 403);
    assert_eq!(with_token(&server, "/verify?policy=writer&scope=read", &token).status, 403, "a policy is not mixed");
    // Behind a policy's path stands the path and query of the request itself, which its sender writes.
    assert_eq!(with_token(&server, "/verify/policy/reader/any/path?policy=x&aud=y", &token).status, 200);
    assert_eq!(with_token(&server, "/verify/policy/writer/verify/policy/reader?policy=reader", &token).status, 403);
}

#[test]
fn cookie_and_token_scheme_are_read_only_where_configured() {
    let (server, token) = configured(
        "audience = \"https://api.example\"\ncookie = \"access\"\ntoken_scheme = true\nsubject_header = \"Remote-User\"\n",
    );
    let status = |headers: &[(&str, &str)]| ask(&server, "/verify", headers).status;
    let cookie = format!("a=b; access={token}; c=d");
    assert_eq!(status(&[("Cookie", &cookie)]), 200);
    assert_eq!(status(&[("Cookie", "a=b"), ("Cookie", &cookie)]), 200, "HTTP/2 sends them apart");
    assert_eq!(status(&[("Cookie", &cookie), ("Authorization", "Basic Zm9vOmJhcg==")]), 200, "Basic is no token");
    assert_eq!(status(&[("Cookie", &cookie), ("Authorization", "Bearer x")]), 401, "the header is what counts");
    assert_eq!(status(&[("Cookie", &format!("access={token}; access=x"))]), 401, "two of a name");
    assert_eq!(status(&[("Cookie", &format!("Access={token}"))]), 401, "names of cookies have a case");
    assert_eq!(status(&[("Authorization", &format!("Token {token}"))]), 200);
    let empty = ask(&server, "/verify", &[("Cookie", "access=")]);
    assert_eq!((empty.status, empty.header("www-authenticate")), (401, Some(BARE)));
    let answer = with_token(&server, "/verify", &token);
    assert_eq!(answer.header("remote-user"), Some("svc"));
    assert!(answer.header("x-auth-subject").is_none());

    let plain = Server::dev();
    let token = service_token(&plain);
    assert_eq!(ask(&plain, ROUTE, &[("Authorization", &format!("Token {token}"))]).status, 401);
    assert_eq!(ask(&plain, ROUTE, &[("Cookie", &format!("access={token}"))]).status, 401);
}

#[test]
fn a_remembered_token_ends_with_its_key_its_time_and_its_revocation() {
    let server = Server::dev();
    let revoked = |what: &str, token: &str, args: &[&str]| {
        assert_eq!(with_token(&server, ROUTE, token).status, 200, "{what}");
        let output = server.command(args);
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        assert_invalid(&with_token(&server, ROUTE, token), what);
    };
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let token = service_token(&server);
    revoked("by jti", &token, &["revoke", "--jti", &text(&peek(&token).1["jti"])]);
    let token = server.login().member("access_token");
    revoked("by family", &token, &["revoke", "--family", &text(&peek(&token).1["sid"])]);
    let login = server.login();
    let token = login.member("access_token");
    assert_eq!(with_token(&server, ROUTE, &token).status, 200);
    let form = [("client_id", server.public_client()), ("token", &login.member("refresh_token"))];
    assert_eq!(post_form(&server.url("/revoke"), None, &form).status, 200);
    assert_invalid(&with_token(&server, ROUTE, &token), "its refresh token was revoked");
    let token = server.login().member("access_token");
    revoked("by subject", &token, &["revoke", "--subject", &text(&peek(&token).1["sub"])]);
    let token = service_token(&server);
    let kid = text(&peek(&token).0["kid"]);
    assert_eq!(with_token(&server, ROUTE, &token).status, 200);
    assert!(server.command(&["keys", "taint", &kid, "--yes"]).status.success());
    until("the tainted key is let go", || with_token(&server, ROUTE, &token).status == 401);
    let token = service_token(&server);
    revoked("by client", &token, &["revoke", "--client", server.client().0]);
}

#[test]
fn a_remembered_token_ends_on_the_second() {
    let (server, token) = configured_for("3s", "audience = \"https://api.example\"\n");
    let exp = peek(&token).1["exp"].as_u64().expect("exp");
    assert_eq!(with_token(&server, "/verify", &token).status, 200);
    until("it has expired", || with_token(&server, "/verify", &token).status == 401);
    let now = mintgate::ambient::Clock::now(&mintgate::ambient::SystemClock::new());
    assert!(now.0 >= exp, "refused at {now:?}, {exp}");
}

#[test]
fn the_attack_corpus_is_401_or_403_at_verify() {
    let server = Server::dev();
    let keys =
        mintgate::keys::Keyring::load(&mintgate::keys::Settings::new(server.directory().join("keys"))).expect("keys");
    let keys = keys.current();
    let target = Target {
        key: keys.signer(mintgate::protocol::algorithm::Algorithm::Es256).expect("a signer"),
        issuer: server.issuer(),
        audience: server.audience(),
        client: server.client().0,
        now: mintgate::ambient::Clock::now(&mintgate::ambient::SystemClock::new()),
    };
    let good = genuine(&target);
    assert_eq!(with_token(&server, ROUTE, &good).status, 200, "the token the corpus bends is good");
    let corpus = corpus(&target);
    let (mut refused, mut unsendable, mut trimmed) = (0, 0, 0);
    for (name, token) in &corpus {
        // What cannot stand in a header line at all (line breaks, NUL) never comes so far; nor does what is larger than
        // all headers together may be.
        let sendable = !token.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) && token.len() < 15_000;
        if !sendable {
            unsendable += 1;
            continue;
        }
        // RFC 9110 sections 5.5 and 11.4: blanks around a token are not part of it.
        if token.trim_matches([' ', '\t']) != token {
            trimmed += 1;
            continue;
        }
        let answer = with_token(&server, ROUTE, token);
        assert!([401, 403].contains(&answer.status), "{name}: {}", answer.status);
        assert!(answer.header("www-authenticate").is_some(), "{name}");
        assert!(answer.header("x-auth-subject").is_none(), "{name}");
        refused += 1;
    }
    println!("/verify: {refused} attacks refused with 401 or 403, {unsendable} cannot stand in a header");
    assert!(refused >= 400 && unsendable < 30 && trimmed < 10, "{refused}, {unsendable}, {trimmed}");
    assert_eq!(with_token(&server, ROUTE, &good).status, 200);
}
