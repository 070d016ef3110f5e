//! Refresh tokens: RFC 6749 section 6, RFC 9700 section 4.14.2, FAPI 2.0 section 5.3.2.1.

use crate::support::http::{peek, post_form};
use crate::support::server::{Server, configured, stderr, until};

#[test]
fn rfc6749_1_5_opaque_prefixed_and_rotated() {
    let server = Server::dev();
    let first = server.login().member("refresh_token");
    let answer = server.refresh(&first);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let second = answer.member("refresh_token");
    assert_ne!(first, second);
    for token in [first, second] {
        assert!(token.starts_with("mgr_"));
        assert!(!token.contains('.'), "not a JWT");
        assert!(token.len() < 512, "{} bytes", token.len());
    }
}

#[test]
fn rfc6749_6_narrowing_keeps_the_full_grant() {
    let server = Server::dev();
    let login = server.login().json();
    let full = login["scope"].as_str().expect("scope").to_owned();
    assert!(full.contains(' '), "dev's public client has more than one scope token: {full}");
    let narrow = full.split(' ').next().expect("a token");
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", server.public_client()),
        ("refresh_token", login["refresh_token"].as_str().expect("token")),
        ("scope", narrow),
    ];
    let narrowed = post_form(&server.url("/token"), None, &form);
    assert_eq!(narrowed.status, 200, "{}", narrowed.text());
    assert_eq!(narrowed.member("scope"), narrow);
    assert_eq!(peek(&narrowed.member("access_token")).1["scope"], narrow);
    let again = server.refresh(&narrowed.member("refresh_token"));
    assert_eq!(peek(&again.member("access_token")).1["scope"], full.as_str(), "the grant itself did not shrink");
    let wider = [
        ("grant_type", "refresh_token"),
        ("client_id", server.public_client()),
        ("refresh_token", &again.member("refresh_token")),
        ("scope", "everything"),
    ];
    let refused = post_form(&server.url("/token"), None, &wider);
    assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_scope"));
    assert_eq!(server.refresh(&again.member("refresh_token")).status, 200, "a refusal does not burn the token");
}

#[test]
fn rfc6749_10_4_another_client_can_neither_use_nor_hurt_it() {
    let server = Server::dev();
    let token = server.login().member("refresh_token");
    let stolen = server.token(&[("grant_type", "refresh_token"), ("refresh_token", &token)]);
    assert_eq!((stolen.status, stolen.error().as_str()), (400, "invalid_grant"), "{}", stolen.text());
    assert_eq!(server.refresh(&token).status, 200, "the owner did not notice");
}

#[test]
fn rfc9700_4_14_2_replay_after_the_successor_was_used_revokes_the_family() {
    let server = Server::dev();
    let first = server.login().member("refresh_token");
    let second = server.refresh(&first).member("refresh_token");
    let third = server.refresh(&second).member("refresh_token");
    let replay = server.refresh(&first);
    assert_eq!((replay.status, replay.error().as_str()), (400, "invalid_grant"));
    assert_eq!(server.refresh(&third).status, 400, "the live token is out too");
}

#[test]
fn fapi2_5_3_2_1_a_lost_response_can_be_asked_for_again() {
    let server = Server::dev();
    let first = server.login().member("refresh_token");
    let lost = server.refresh(&first);
    let again = server.refresh(&first);
    assert_eq!((lost.status, again.status), (200, 200), "{}", again.text());
    assert_eq!(server.refresh(&again.member("refresh_token")).status, 200);
}

#[test]
fn after_the_retry_window_a_replay_revokes_the_family() {
    let server = lasting("retry_window = \"0s\"");
    let first = login(&server);
    let second = refresh(&server, &first).member("refresh_token");
    assert_eq!(refresh(&server, &first).status, 400, "no window, no retry");
    assert_eq!(refresh(&server, &second).status, 400, "thief or victim, both are out");
}

#[test]
fn sixty_four_parallel_presentations_share_one_successor() {
    let server = Server::dev();
    let token = server.login().member("refresh_token");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..64).map(|_| scope.spawn(|| server.refresh(&token))).collect();
        workers.into_iter().map(|worker| worker.join().expect("answer")).collect()
    });
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // One successor generation: whichever copy is used next, all the other copies then count as that generation
    // too, and each is still inside the window.
    let next = server.refresh(&answers[63].member("refresh_token"));
    assert_eq!(next.status, 200);
    assert_eq!(server.refresh(&answers[0].member("refresh_token")).status, 200, "the same generation, retried");
    // The successor was used, so the first token is now two behind.
    assert_eq!(server.refresh(&token).status, 400);
    assert_eq!(server.refresh(&next.member("refresh_token")).status, 400, "everyone is out");
}

#[test]
fn a_public_client_refreshes_a_thousand_times_and_state_holds_one_entry() {
    let server = Server::dev();
    let mut token = server.login().member("refresh_token");
    for turn in 0..1_000 {
        let answer = server.refresh(&token);
        assert_eq!(answer.status, 200, "turn {turn}: {}", answer.text());
        token = answer.member("refresh_token");
    }
    let metrics = crate::support::http::get(&server.admin("/metrics")).text();
    let families = metrics
        .lines()
        .find(|line| line.starts_with("mintgate_state_entries") && line.contains("kind=\"family\""))
        .unwrap_or_else(|| panic!("no family gauge in\n{metrics}"));
    assert!(families.ends_with(" 1"), "{families}");
    let log = server.log();
    for secret in [&token, server.client().1, server.user().1] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    assert!(!log.contains("eyJ") && !log.contains("mgr_"), "a token is in the log");
}

#[test]
fn malformed_altered_and_foreign_tokens_share_one_body() {
    let server = Server::dev();
    let other = Server::dev();
    let token = server.login().member("refresh_token");
    let mut altered = token.clone();
    altered.replace_range(20..21, if altered.as_bytes()[20] == b'A' { "B" } else { "A" });
    let cut = token[..token.len() - 1].to_owned();
    let padded = format!("{token}A");
    let foreign = other.login().member("refresh_token");
    let access = server.login().member("access_token");
    let mut bodies: Vec<String> = ["mgr_", "x", &altered, &cut, &padded, &foreign, &access]
        .into_iter()
        .map(|token| {
            let answer = server.refresh(token);
            assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_grant"), "{token}");
            answer.text()
        })
        .collect();
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(server.refresh(&token).status, 200, "nothing of that hurt the owner");
}

#[test]
fn idle_and_absolute_lifetimes_end_a_login() {
    let server = lasting("idle_lifetime = \"1s\"\nabsolute_lifetime = \"1h\"");
    let token = login(&server);
    // A token that is not used for a second has ended; how long that takes is the server's clock's business.
    let mut tokens = vec![token];
    until("the idle lifetime has passed", || {
        let fresh = login(&server);
        tokens.push(fresh);
        let oldest = tokens.remove(0);
        refresh(&server, &oldest).status == 400 || {
            tokens.truncate(1);
            std::thread::sleep(std::time::Duration::from_millis(1_100));
            false
        }
    });
}

/// A lasting server with one `[refresh]` setting changed, a public client and a user.
fn lasting(refresh: &str) -> Server {
    Server::lasting_with(
        |text| configured(text, "refresh", refresh),
        |config| {
            let client = crate::support::server::run(&[
                "clients",
                "add",
                "app",
                "--public",
                "--first-party",
                "--grant",
                "refresh_token",
                "--scope",
                "read write",
                "--audience",
                "https://api.example",
                "--config",
                config,
            ]);
            assert!(client.status.success(), "{}", stderr(&client));
            let user = crate::support::server::run_with_input(
                &["users", "add", "ada", "--password-stdin", "--config", config],
                "correct horse battery",
            );
            assert!(user.status.success(), "{}", stderr(&user));
        },
    )
}

fn login(server: &Server) -> String {
    let form = [("client_id", "app"), ("username", "ada"), ("password", "correct horse battery")];
    post_form(&server.url("/login"), None, &form).member("refresh_token")
}

fn refresh(server: &Server, token: &str) -> crate::support::http::Answer {
    let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", token)];
    post_form(&server.url("/token"), None, &form)
}
