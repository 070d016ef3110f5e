//! The census: what is counted at the addresses verifiers fetch from, and who may read it.

use serde_json::Value;

use crate::support::http::{Answer, get, send};
use crate::support::server::Server;

fn ask(server: &Server, method: &str, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("Authorization", value.as_str())).collect();
    send(method, &server.admin("/admin/census"), &headers, b"")
}

fn admin_token(server: &Server) -> String {
    let door = std::fs::read(server.directory().join("state/admin.json")).expect("the door of the running gateway");
    let door: Value = serde_json::from_slice(&door).expect("JSON");
    door["token"].as_str().expect("a token").to_owned()
}

fn verifiers(server: &Server) -> Vec<Value> {
    let answer = ask(server, "GET", Some(&admin_token(server)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["verifiers"].as_array().expect("verifiers").clone()
}

#[test]
fn the_census_is_for_the_admin_alone() {
    let server = Server::dev();
    for token in [None, Some("mga_made-up-for-this-test"), Some("")] {
        let answer = ask(&server, "GET", token);
        assert_eq!(answer.status, 401, "{token:?}");
        assert!(answer.header("www-authenticate").is_some(), "RFC 9110 section 15.5.2");
    }
    assert_eq!(ask(&server, "POST", Some(&admin_token(&server))).status, 405);
    assert_eq!(get(&server.url("/admin/census")).status, 404, "not on the public listener");
}

#[test]
fn every_address_counts_the_label_and_no_label_changes_the_answer() {
    let server = Server::dev();
    let plain = get(&server.url("/jwks.json"));
    for path in ["/jwks.json?v=one", "/.well-known/jwks.json?v=one", "/jwks.json?x=1&v=one"] {
        let answer = get(&server.url(path));
        assert_eq!((answer.status, &answer.body), (200, &plain.body), "{path}");
        assert_eq!(answer.header("etag"), plain.header("etag"), "{path}");
    }
    for path in ["/revocations?v=one", "/revocations?since=0&v=one"] {
        assert_eq!(get(&server.url(path)).status, 200, "{path}");
    }
    let long = "a".repeat(65);
    for label in ["", "a%20b", "%zz", "a/b", "%3Cscript%3E", long.as_str()] {
        let answer = get(&server.url(&format!("/jwks.json?v={label}")));
        assert_eq!((answer.status, &answer.body), (200, &plain.body), "{label}");
    }
    let found = verifiers(&server);
    let labelled: Vec<&Value> = found.iter().filter(|one| one["labelled"] == true).collect();
    assert_eq!(labelled.len(), 1, "{found:?}");
    assert_eq!(labelled[0]["name"], "one");
    assert_eq!(labelled[0]["key_set_fetches"], 3);
    assert_eq!(labelled[0]["feed_fetches"], 2);
    assert_eq!(labelled[0]["etag"], plain.header("etag").expect("ETag"));
    assert_eq!(found.len(), 2, "the others are one stranger: no user agent, one address");
    assert_eq!(found[1]["key_set_fetches"], 7);
}

#[test]
fn what_a_verifier_holds_is_what_it_was_given() {
    let server = Server::dev();
    let url = server.url("/jwks.json?v=");
    let etag = get(&server.url("/jwks.json")).header("etag").expect("ETag").to_owned();
    let rows: [(&str, &str, &[(&str, &str)], &str); 6] = [
        ("whole", "GET", &[], "current"),
        ("confirmed", "GET", &[("If-None-Match", &etag)], "current"),
        ("confirmed-by-head", "HEAD", &[("If-None-Match", &etag)], "current"),
        ("replaced", "GET", &[("If-None-Match", "\"old\"")], "current"),
        ("anything", "GET", &[("If-None-Match", "*")], "unknown"),
        ("header-alone", "HEAD", &[], "unknown"),
    ];
    for (label, method, headers, standing) in rows {
        send(method, &format!("{url}{label}"), headers, b"");
        let found = verifiers(&server);
        let one = found.iter().find(|one| one["name"] == label).expect(label);
        assert_eq!(one["key_set"], standing, "{label}");
    }
}

#[test]
fn a_stranger_is_shown_without_what_could_steer_a_terminal() {
    let server = Server::dev();
    send("GET", &server.url("/jwks.json"), &[("User-Agent", "evil\u{9b}31m/1")], b"");
    let found = verifiers(&server);
    let name = found[0]["name"].as_str().expect("name");
    assert!(name.starts_with("evil") && name.ends_with("m/1 at 127.0.0.1") && name.is_ascii(), "{name}");
}
