//! `/login`: a first-party endpoint, not an OAuth grant.

use crate::support::http::{Answer, post_form, send};
use crate::support::server::{Server, stderr, until};

fn login(server: &Server, client: &str, username: &str, password: &str) -> Answer {
    let form = [("client_id", client), ("username", username), ("password", password)];
    post_form(&server.url("/login"), None, &form)
}

#[test]
fn answers_like_the_token_endpoint_in_json_and_form() {
    let server = Server::dev();
    let form = server.login();
    let (username, password) = server.user();
    let body = serde_json::json!({"client_id": server.public_client(), "username": username, "password": password});
    let json =
        send("POST", &server.url("/login"), &[("Content-Type", "application/json")], body.to_string().as_bytes());
    for answer in [form, json] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        for member in ["access_token", "token_type", "expires_in", "refresh_token", "scope"] {
            assert!(!body[member].is_null(), "{member} in {body}");
        }
        assert!(body["refresh_token"].as_str().expect("text").starts_with("mgr_"));
    }
}

#[test]
fn json_with_duplicates_wrong_types_or_depth_is_refused() {
    let server = Server::dev();
    let deep = format!("{{\"username\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let rows = [
        r#"{"username":"a","username":"b","password":"c","client_id":"d"}"#,
        r#"{"username":1,"password":"c","client_id":"d"}"#,
        r#"["username"]"#,
        r#"{"username":"a""#,
        deep.as_str(),
        "",
    ];
    for body in rows {
        let answer = send("POST", &server.url("/login"), &[("Content-Type", "application/json")], body.as_bytes());
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"), "{body}");
    }
}

#[test]
fn only_first_party_clients() {
    let server = Server::dev();
    let added = server.command(&[
        "clients",
        "add",
        "partner",
        "--public",
        "--grant",
        "refresh_token",
        "--scope",
        "read",
        "--audience",
        "https://api.example",
    ]);
    assert!(added.status.success(), "{}", stderr(&added));
    let (username, password) = server.user();
    until("the server knows the new client", || {
        login(&server, "partner", username, password).error() == "unauthorized_client"
    });
}

#[test]
fn unknown_wrong_and_disabled_look_alike() {
    let server = Server::dev();
    let (username, password) = server.user();
    let wrong = login(&server, server.public_client(), username, "wrong");
    let unknown = login(&server, server.public_client(), "nobody", "wrong");
    let disabled_output = server.command(&["users", "disable", username]);
    assert!(disabled_output.status.success(), "{}", stderr(&disabled_output));
    let mut disabled = wrong.clone();
    until("the user is disabled", || {
        disabled = login(&server, server.public_client(), username, password);
        disabled.status != 200
    });
    for answer in [&wrong, &unknown, &disabled] {
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_grant"));
        assert_eq!(answer.body, wrong.body);
        let names = |answer: &Answer| answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(answer), names(&wrong));
    }
}

#[test]
fn a_disabled_or_deleted_user_is_refused_at_the_next_refresh() {
    for (verb, extra) in [("disable", &[][..]), ("remove", &["--yes"][..])] {
        let server = Server::dev();
        let mut token = server.login().member("refresh_token");
        let mut args = vec!["users", verb, server.user().0];
        args.extend_from_slice(extra);
        let output = server.command(&args);
        assert!(output.status.success(), "{}", stderr(&output));
        until("the refresh is refused", || {
            let answer = server.refresh(&token);
            if answer.status == 200 {
                token = answer.member("refresh_token");
            } else {
                assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_grant"), "{verb}");
            }
            answer.status != 200
        });
    }
}

#[test]
fn rfc9700_4_14_2_a_changed_password_ends_the_login() {
    let server = Server::dev();
    let mut token = server.login().member("refresh_token");
    let output =
        server.command_with_input(&["users", "passwd", server.user().0, "--password-stdin"], "another long one");
    assert!(output.status.success(), "{}", stderr(&output));
    until("the old login is refused", || {
        let answer = server.refresh(&token);
        if answer.status == 200 {
            token = answer.member("refresh_token");
        }
        answer.status != 200
    });
    until("the new password works", || {
        login(&server, server.public_client(), server.user().0, "another long one").status == 200
    });
}

#[test]
fn rfc6585_4_guessing_is_slowed_down() {
    let server = Server::dev();
    let mut slowed = None;
    for _ in 0..40 {
        let answer = login(&server, server.public_client(), server.user().0, "wrong");
        if answer.status == 429 {
            slowed = Some(answer);
            break;
        }
    }
    let answer = slowed.expect("forty wrong passwords in a row are slowed down");
    let after: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!(after >= 1);
}

#[test]
fn hostile_user_names_do_no_harm() {
    let server = Server::dev();
    let long = "x".repeat(7_000);
    for name in ["' OR 1=1 --", "*)(uid=*", "\u{202e}abc", "\u{430}dmin", "..\\..", long.as_str(), "a\nb"] {
        let answer = login(&server, server.public_client(), name, "wrong");
        assert!([400, 413, 429].contains(&answer.status), "{name}: {}", answer.status);
    }
    assert_eq!(server.login().status, 200, "somebody else's failures do not lock the user out");
}

#[test]
fn rfc9110_10_2_3_a_full_hash_queue_answers_503_with_retry_after_and_tokens_go_on() {
    let server = Server::lasting_with(
        |text| format!("{text}\n[login]\nhash_threads = 1\nqueue_max = 1\n"),
        |config| {
            let run = |args: &[&str], input: &str| {
                let mut all = args.to_vec();
                all.extend_from_slice(&["--config", config]);
                let output = crate::support::server::run_with_input(&all, input);
                assert!(output.status.success(), "{}", stderr(&output));
            };
            run(&["clients", "add", "app", "--public", "--first-party", "--audience", "https://api.example"], "");
            run(&["users", "add", "ada", "--password-stdin"], "correct horse battery");
        },
    );
    // Each from its own address would be fairer; the right password is never slowed down anyway.
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..24).map(|_| scope.spawn(|| login(&server, "app", "ada", "correct horse battery"))).collect();
        workers.into_iter().map(|worker| worker.join().expect("answer")).collect()
    });
    let busy: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!busy.is_empty(), "24 at once and one place in the queue");
    for answer in &busy {
        assert_eq!(answer.error(), "temporarily_unavailable");
        let after: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!(after >= 1);
    }
    assert!(answers.iter().all(|answer| [200, 503].contains(&answer.status)));
    assert!(answers.iter().any(|answer| answer.status == 200));
}
