//! The key set: RFC 7517, RFC 7638, RFC 9110, RFC 9111.

use crate::support::http::{get, post_form, send};
use crate::support::server::{Server, stderr, stdout, until};

#[test]
fn rfc7517_4_members_and_never_a_private_one() {
    let server = Server::dev();
    for path in ["/jwks.json", "/.well-known/jwks.json"] {
        let answer = get(&server.url(path));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"), "RFC 7517 section 8.5.2");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let keys = answer.json()["keys"].as_array().expect("keys").clone();
        assert!(!keys.is_empty());
        for key in keys {
            let names: Vec<&str> = key.as_object().expect("object").keys().map(String::as_str).collect();
            for name in ["kty", "kid", "use", "alg"] {
                assert!(names.contains(&name), "{name} in {key}");
            }
            for name in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
                assert!(!names.contains(&name), "{name} in {key}");
            }
            assert_eq!(key["use"], "sig");
        }
    }
}

#[test]
fn rfc9110_13_1_2_conditional_requests_and_head() {
    let server = Server::dev();
    let url = server.url("/jwks.json");
    let full = get(&url);
    let etag = full.header("etag").expect("ETag").to_owned();
    assert!(etag.starts_with('"'), "strong");
    for value in [etag.as_str(), "*", &format!("\"other\", {etag}"), &format!("W/{etag}")] {
        let answer = send("GET", &url, &[("If-None-Match", value)], b"");
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{value}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()), "RFC 9110 section 15.4.5");
        assert!(answer.header("cache-control").is_some());
    }
    assert_eq!(send("GET", &url, &[("If-None-Match", "\"other\"")], b"").status, 200);
    let head = send("HEAD", &url, &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), full.header("content-length"));
    assert_eq!(send("POST", &url, &[], b"").status, 405);
}

#[test]
fn rfc9111_5_2_cache_control_is_planned() {
    let server = Server::dev();
    let answer = get(&server.url("/jwks.json"));
    let value = answer.header("cache-control").expect("Cache-Control");
    for directive in ["public", "max-age=", "stale-while-revalidate=", "stale-if-error="] {
        assert!(value.contains(directive), "{directive} in {value}");
    }
}

#[test]
fn dpl_5_active_key_first_prepared_key_published_and_promotion_changes_the_signer() {
    let server = Server::dev();
    let first = get(&server.url("/jwks.json")).json()["keys"][0]["kid"].clone();
    let output = server.command(&["keys", "rotate"]);
    assert!(output.status.success(), "{}", stderr(&output));
    until("the prepared key is published within two seconds", || {
        get(&server.url("/jwks.json")).json()["keys"].as_array().is_some_and(|keys| keys.len() == 2)
    });
    assert_eq!(get(&server.url("/jwks.json")).json()["keys"][0]["kid"], first, "the active key comes first");
    let prepared = get(&server.url("/jwks.json")).json()["keys"][1]["kid"].as_str().expect("kid").to_owned();
    let early = server.command(&["keys", "activate", &prepared]);
    assert_eq!(early.status.code(), Some(4), "before the overlap has passed: {}", stderr(&early));
    let forced = server.command(&["keys", "activate", &prepared, "--force"]);
    assert!(forced.status.success(), "{}", stderr(&forced));
    until("the new key signs", || {
        let token = server.token(&[("grant_type", "client_credentials")]).member("access_token");
        crate::support::http::peek(&token).0["kid"] == prepared.as_str()
    });
    let keys = get(&server.url("/jwks.json")).json()["keys"].clone();
    assert_eq!(keys[0]["kid"], prepared.as_str());
    assert_eq!(keys.as_array().expect("keys").len(), 2, "the old key stays until its last token has ended");
}

#[test]
fn a_tainted_key_leaves_at_once_and_its_tokens_are_refused() {
    let server = Server::dev();
    let token = server.token(&[("grant_type", "client_credentials")]).member("access_token");
    assert_eq!(server.introspect(&token)["active"], true);
    let kid = crate::support::http::peek(&token).0["kid"].as_str().expect("kid").to_owned();
    let without_yes = server.command(&["keys", "taint", &kid]);
    assert_eq!(without_yes.status.code(), Some(2), "what destroys asks first");
    let output = server.command(&["keys", "taint", &kid, "--yes"]);
    assert!(output.status.success(), "{}", stderr(&output));
    until("the key has left the set", || !get(&server.url("/jwks.json")).text().contains(&kid));
    assert_eq!(server.introspect(&token), serde_json::json!({"active": false}));
    let fresh = server.token(&[("grant_type", "client_credentials")]);
    assert_eq!(fresh.status, 200, "another key took over: {}", fresh.text());
    assert_eq!(server.introspect(&fresh.member("access_token"))["active"], true);
}

#[test]
fn the_attack_corpus_is_refused_by_introspect_and_token_verify() {
    let server = Server::dev();
    let good = server.token(&[("grant_type", "client_credentials")]).member("access_token");
    // The corpus is signed with the server's own key where an attack needs a good signature.
    let keys =
        mintgate::keys::Keyring::load(&mintgate::keys::Settings::new(server.directory().join("keys"))).expect("keys");
    let keys = keys.current();
    let target = crate::support::attacks::Target {
        key: keys.signer(mintgate::protocol::algorithm::Algorithm::Es256).expect("a signer"),
        issuer: server.issuer(),
        audience: server.audience(),
        client: server.client().0,
        now: mintgate::ambient::Clock::now(&mintgate::ambient::SystemClock::new()),
    };
    let corpus = crate::support::attacks::corpus(&target);
    assert!(corpus.len() >= 50, "{} attacks", corpus.len());
    // Introspection judges the audience by who asks, and a client may always look at its own tokens.
    for (name, token) in corpus.iter().filter(|(name, _)| !name.starts_with("aud:")) {
        let answer = post_form(&server.url("/introspect"), Some(server.client()), &[("token", token)]);
        if answer.status == 200 {
            assert_eq!(answer.json(), serde_json::json!({"active": false}), "{name}");
        } else {
            assert!([400, 413].contains(&answer.status), "{name}: {}", answer.status);
        }
    }
    // `token verify` is told the audience, so none is spared there. White space around what is typed is no part of it.
    let verify = ["token", "verify", "-", "--audience", server.audience()];
    let mut refused = 0;
    for (name, token) in corpus.iter().filter(|(_, token)| !token.is_empty() && token.trim() == token) {
        let output = server.command_with_input(&verify, token);
        assert_eq!(output.status.code(), Some(4), "{name}: {}", stdout(&output));
        refused += 1;
    }
    assert!(refused > corpus.len() - 16, "{refused} of {}", corpus.len());
    println!("{} attacks at /introspect; {refused} refused by `token verify`", corpus.len());
    assert_eq!(server.introspect(&good)["active"], true);
}
