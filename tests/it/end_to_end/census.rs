//! Who is behind: verifiers that fetch, one that is held back, and what rotation does about it.

use crate::support::http::{get, peek, post_form, send};
use crate::support::server::{Server, add_service, configured, initialised, run, stderr, stdout, until};

/// A gateway whose new keys may sign a second after they were published.
fn gateway(behind: &str) -> (Server, String) {
    let mut secret = String::new();
    let server = Server::lasting_with(
        |text| configured(text, "keys", &format!("publish_ahead = \"1s\"\n{behind}")),
        |config| secret = add_service(config),
    );
    (server, secret)
}

/// Both verifiers have the first key set.
fn both_fetch(server: &Server) {
    for label in ["a", "b"] {
        assert_eq!(get(&server.url(&format!("/jwks.json?v={label}"))).status, 200);
    }
}

/// Publishes a new key by `command`, and lets verifier `a` have it. Gives its id.
fn publish(server: &Server, command: &str) -> String {
    let output = server.command(&["keys", command, "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let kid = told["keys"][0]["kid"].as_str().expect("kid").to_owned();
    until("verifier a has the new key", || get(&server.url("/jwks.json?v=a")).text().contains(&kid));
    kid
}

fn signer(server: &Server, secret: &str) -> String {
    let answer = post_form(&server.url("/token"), Some(("svc", secret)), &[("grant_type", "client_credentials")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    peek(&answer.member("access_token")).0["kid"].as_str().expect("kid").to_owned()
}

fn metric(server: &Server, name: &str) -> Option<u64> {
    let text = get(&server.admin("/metrics")).text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn activate_names_who_is_behind_and_goes_on_when_it_has_caught_up() {
    let (server, secret) = gateway("behind = \"wait\"");
    both_fetch(&server);
    let first = signer(&server, &secret);
    let kid = publish(&server, "prepare");
    let order = ["keys", "activate", kid.as_str()];
    let names_b = "verifiers that have not fetched";
    let mut said = String::new();
    until("the overlap has passed", || {
        let output = server.command(&order);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        said = stderr(&output);
        assert!(said.contains(names_b) && said.contains(": b"), "while caches may lack it too: {said}");
        !said.contains("caches may lack it")
    });
    println!("{said}");
    assert!(said.contains("--force"), "{said}");
    let rehearsed = server.command(&["keys", "activate", &kid, "--dry-run"]);
    assert_eq!((rehearsed.status.code(), stderr(&rehearsed)), (Some(4), said), "a dry run says the same");
    assert_eq!(signer(&server, &secret), first);
    let census = stdout(&server.command(&["keys", "census"]));
    println!("{census}");
    assert!(census.contains(&format!("1 of 2 verifiers have seen the prepared key ES256 {kid}")), "{census}");
    assert!(census.lines().any(|line| line.starts_with("b ") && line.contains("behind") && line.contains(&kid)));
    assert!(census.lines().any(|line| line.starts_with("a ") && line.contains("current")), "{census}");
    assert_eq!(
        (metric(&server, "mintgate_verifiers_known "), metric(&server, "mintgate_verifiers_behind ")),
        (Some(2), Some(1))
    );
    get(&server.url("/jwks.json?v=b"));
    let output = server.command(&order);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("fetched"), "{}", stderr(&output));
    until("the new key signs", || signer(&server, &secret) == kid);
    assert_eq!(metric(&server, "mintgate_verifiers_behind "), Some(0));
}

#[test]
fn activate_by_force_or_with_warn_still_names_who_is_behind() {
    for (behind, force) in [("behind = \"wait\"", true), ("behind = \"warn\"", false)] {
        let (server, secret) = gateway(behind);
        both_fetch(&server);
        let kid = publish(&server, "prepare");
        let mut order = vec!["keys", "activate", kid.as_str(), "--json"];
        if force {
            order.push("--force");
        }
        let mut output = server.command(&order);
        until("it goes through", || {
            if !output.status.success() {
                output = server.command(&order);
            }
            output.status.success()
        });
        let told: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        let warning = told["warnings"][0].as_str().expect("a warning");
        assert!(warning.ends_with(": b"), "{behind}: {warning}");
        assert!(stderr(&output).contains(warning), "{behind}: for people too");
        until("the new key signs", || signer(&server, &secret) == kid);
    }
}

#[test]
fn a_rotation_waits_for_who_is_behind() {
    let (server, secret) = gateway("behind = \"wait\"");
    both_fetch(&server);
    let first = signer(&server, &secret);
    let kid = publish(&server, "rotate");
    until("the key is due and waits", || metric(&server, "mintgate_keys_waiting ") == Some(1));
    until("the log says for whom", || {
        server
            .log()
            .lines()
            .any(|line| line.contains(&kid) && line.contains("is due, and waits") && line.contains(": b;"))
    });
    assert_eq!(signer(&server, &secret), first);
    let etag = get(&server.url("/jwks.json")).header("etag").expect("ETag").to_owned();
    let held = send("GET", &server.url("/jwks.json?v=b"), &[("If-None-Match", &etag)], b"");
    assert_eq!(held.status, 304, "a revalidation says what it holds as well");
    until("the new key signs", || signer(&server, &secret) == kid);
    assert_eq!(metric(&server, "mintgate_keys_waiting "), Some(0));
}

#[test]
fn a_rotation_waits_no_longer_than_its_bound_and_names_whom_it_leaves_behind() {
    for behind in ["behind = \"wait\"\nbehind_wait_max = \"1s\"", "behind = \"warn\""] {
        let (server, secret) = gateway(behind);
        both_fetch(&server);
        let kid = publish(&server, "rotate");
        until("the new key signs", || signer(&server, &secret) == kid);
        // Verifier a may not have come in time either.
        let named =
            |line: &str| line.contains("takes over although") && line.contains("tokens: ") && line.contains(" b\"");
        until("the log names verifier b", || server.log().lines().any(named));
    }
}

#[test]
fn rotating_at_once_names_everybody_that_is_known() {
    let (server, _) = gateway("behind = \"wait\"");
    both_fetch(&server);
    let output = server.command(&["keys", "rotate", "--now", "--dry-run"]);
    assert!(
        output.status.success() && stderr(&output).contains("not fetched the new key: a, b"),
        "{}",
        stderr(&output)
    );
    let asked = server.command(&["keys", "rotate", "--now"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(stderr(&asked).contains("not fetched the new key: a, b."), "{}", stderr(&asked));
    assert!(server.command(&["keys", "rotate", "--now", "--yes"]).status.success(), "a leak waits for nobody");
}

#[test]
fn without_a_running_gateway_activate_says_that_it_could_not_ask() {
    let directory = initialised();
    let config = directory.path().join("mintgate.toml").to_string_lossy().into_owned();
    let at = |args: &[&str]| run(&[args, &["--config", &config]].concat());
    assert_eq!(at(&["keys", "census"]).status.code(), Some(3), "nobody to ask");
    let told: serde_json::Value = serde_json::from_str(&stdout(&at(&["keys", "prepare", "--json"]))).expect("JSON");
    let kid = told["keys"][0]["kid"].as_str().expect("kid");
    let output = at(&["keys", "activate", kid, "--force"]);
    assert!(
        output.status.success() && stderr(&output).contains("could not ask a running gateway"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_restart_does_not_forget_who_is_behind() {
    let (mut server, secret) = gateway("behind = \"wait\"");
    both_fetch(&server);
    let kid = publish(&server, "prepare");
    server.signal("TERM");
    assert_eq!(server.wait(), 0, "{}", server.log());
    let config = server.config().to_owned();
    let mut again = Server::start(&["serve", "--json", "--config", &config], None);
    again.started["config"] = serde_json::Value::from(config);
    until("the overlap has passed", || {
        let output = again.command(&["keys", "activate", &kid]);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains(": b\n"), "{}", stderr(&output));
        !stderr(&output).contains("caches may lack it")
    });
    get(&again.url("/jwks.json?v=b"));
    assert!(again.command(&["keys", "activate", &kid]).status.success());
    until("the new key signs", || signer(&again, &secret) == kid);
}
