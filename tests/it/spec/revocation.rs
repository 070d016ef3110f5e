//! Revocation and introspection: RFC 7009, RFC 7662.

use crate::support::http::{post_form, send};
use crate::support::server::{Server, stderr};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn revoke(server: &Server, token: &str) -> u16 {
    let form = [("client_id", server.public_client()), ("token", token)];
    post_form(&server.url("/revoke"), None, &form).status
}

#[test]
fn rfc7009_2_1_a_revoked_refresh_token_ends_its_family_and_its_access_tokens() {
    let server = Server::dev();
    let login = server.login();
    let (access, refresh) = (login.member("access_token"), login.member("refresh_token"));
    assert_eq!(server.introspect(&access)["active"], true);
    assert_eq!(revoke(&server, &refresh), 200);
    assert_eq!(server.refresh(&refresh).status, 400);
    assert_eq!(server.introspect(&access), serde_json::json!({"active": false}));
    assert_eq!(server.introspect(&refresh), serde_json::json!({"active": false}));
}

#[test]
fn rfc7009_2_1_the_retry_window_never_covers_a_revoked_token() {
    let server = Server::dev();
    let first = server.login().member("refresh_token");
    let second = server.refresh(&first).member("refresh_token");
    assert_eq!(revoke(&server, &second), 200);
    assert_eq!(server.refresh(&first).status, 400);
}

#[test]
fn rfc7009_2_1_an_access_token_is_denied_until_it_ends() {
    let server = Server::dev();
    let login = server.login();
    let access = login.member("access_token");
    assert_eq!(revoke(&server, &access), 200);
    assert_eq!(server.introspect(&access), serde_json::json!({"active": false}));
    assert_eq!(server.refresh(&login.member("refresh_token")).status, 200, "only that token was revoked");
}

#[test]
fn rfc7009_2_1_the_hint_is_only_a_hint() {
    let server = Server::dev();
    let refresh = server.login().member("refresh_token");
    let form = [("client_id", server.public_client()), ("token", &refresh), ("token_type_hint", "access_token")];
    assert_eq!(post_form(&server.url("/revoke"), None, &form).status, 200);
    assert_eq!(server.refresh(&refresh).status, 400);
}

#[test]
fn rfc7009_2_1_another_clients_token_is_refused_and_not_revoked() {
    let server = Server::dev();
    let login = server.login();
    for name in ["refresh_token", "access_token"] {
        let token = login.member(name);
        let answer = post_form(&server.url("/revoke"), Some(server.client()), &[("token", &token)]);
        assert_eq!(answer.status, 200, "no oracle: {}", answer.text());
        assert_eq!(server.introspect(&login.member("access_token"))["active"], true, "{name}");
    }
    assert_eq!(server.refresh(&login.member("refresh_token")).status, 200);
}

#[test]
fn rfc7009_2_2_unknown_tokens_are_fine_and_the_caller_must_be_known() {
    let server = Server::dev();
    let ok = post_form(&server.url("/revoke"), Some(server.client()), &[("token", "never heard of")]);
    assert_eq!((ok.status, ok.body.len()), (200, 0));
    let nobody = post_form(&server.url("/revoke"), None, &[("token", "x")]);
    assert_eq!((nobody.status, nobody.error().as_str()), (401, "invalid_client"));
    let missing = post_form(&server.url("/revoke"), Some(server.client()), &[]);
    assert_eq!((missing.status, missing.error().as_str()), (400, "invalid_request"));
    assert_eq!(send("GET", &server.url("/revoke"), &[], b"").status, 405);
}

#[test]
fn rfc7662_2_1_the_caller_must_authenticate() {
    let server = Server::dev();
    let token = server.token(&[GRANT]).member("access_token");
    let nobody = post_form(&server.url("/introspect"), None, &[("token", &token)]);
    assert_eq!(nobody.status, 401);
    assert!(nobody.header("www-authenticate").is_some(), "RFC 7662 section 2.3 asks for the challenge");
    let public =
        post_form(&server.url("/introspect"), None, &[("token", &token), ("client_id", server.public_client())]);
    assert_eq!(public.status, 401, "a public client has proved nothing");
}

#[test]
fn rfc7662_2_2_active_tokens_show_their_claims_and_others_only_that_they_are_not() {
    let server = Server::dev();
    let token = server.token(&[GRANT]).member("access_token");
    let shown = server.introspect(&token);
    assert_eq!(shown["active"], true);
    for member in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "token_type"] {
        assert!(!shown[member].is_null(), "{member} in {shown}");
    }
    for token in ["", "x", "a.b.c", &format!("{token}x")] {
        let answer = post_form(&server.url("/introspect"), Some(server.client()), &[("token", token)]);
        if token.is_empty() {
            assert_eq!(answer.status, 400);
        } else {
            assert_eq!(answer.json(), serde_json::json!({"active": false}), "{token}");
        }
    }
}

#[test]
fn rfc7662_4_only_about_audiences_the_caller_may_ask_about() {
    let server = Server::dev();
    let token = server.token(&[GRANT]).member("access_token");
    let added = server.command(&[
        "clients",
        "add",
        "stranger",
        "--grant",
        "client_credentials",
        "--scope",
        "read",
        "--audience",
        "https://elsewhere.example",
        "--json",
    ]);
    assert!(added.status.success(), "{}", stderr(&added));
    let secret: serde_json::Value = serde_json::from_slice(&added.stdout).expect("JSON");
    let secret = secret["client_secret"].as_str().expect("a secret").to_owned();
    crate::support::server::until("the new client is known", || {
        let answer = post_form(&server.url("/introspect"), Some(("stranger", &secret)), &[("token", &token)]);
        if answer.status == 200 {
            assert_eq!(answer.json(), serde_json::json!({"active": false}));
        }
        answer.status == 200
    });
}

#[test]
fn the_command_line_revokes_by_token_jti_family_subject_and_client() {
    let server = Server::dev();
    let run = |args: &[&str], input: &str| {
        let output = server.command_with_input(args, input);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    };
    let claims = |token: &str| crate::support::http::peek(token).1;
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();

    let login = server.login();
    let access = login.member("access_token");
    run(&["token", "revoke", "-"], &access);
    assert_eq!(server.introspect(&access)["active"], false, "by token");

    let access = server.token(&[GRANT]).member("access_token");
    run(&["revoke", "--jti", &text(&claims(&access)["jti"])], "");
    assert_eq!(server.introspect(&access)["active"], false, "by jti");

    let login = server.login();
    run(&["revoke", "--family", &text(&claims(&login.member("access_token"))["sid"])], "");
    assert_eq!(server.refresh(&login.member("refresh_token")).status, 400, "by family");

    let login = server.login();
    run(&["revoke", "--subject", &text(&claims(&login.member("access_token"))["sub"])], "");
    assert_eq!(server.refresh(&login.member("refresh_token")).status, 400, "by subject");
    assert_eq!(server.introspect(&login.member("access_token"))["active"], false);

    let access = server.token(&[GRANT]).member("access_token");
    run(&["revoke", "--client", server.client().0, "--dry-run"], "");
    assert_eq!(server.introspect(&access)["active"], true, "a dry run changes nothing");
    run(&["revoke", "--client", server.client().0], "");
    assert_eq!(server.introspect(&access)["active"], false, "by client");
}
