//! The token endpoint: RFC 6749 sections 2.3, 3.2, 4.4, 5; RFC 8707; RFC 9700.

use crate::support::http::{basic_header, encode_form, post_form, send};
use crate::support::server::Server;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[test]
fn rfc6749_3_2_only_post() {
    let server = Server::dev();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = send(method, &server.url("/token"), &[], b"");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
}

#[test]
fn rfc6749_3_2_form_encoded_only() {
    let server = Server::dev();
    let (id, secret) = server.client();
    let header = basic_header(id, secret);
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let answer = send(
            "POST",
            &server.url("/token"),
            &[("Content-Type", kind), ("Authorization", &header)],
            b"grant_type=client_credentials",
        );
        assert_eq!((answer.status, answer.error().as_str()), (415, "invalid_request"), "{kind}");
    }
    let with_charset = send(
        "POST",
        &server.url("/token"),
        &[("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"), ("Authorization", &header)],
        b"grant_type=client_credentials",
    );
    assert_eq!(with_charset.status, 200, "a charset does not change the media type");
}

#[test]
fn rfc6749_3_2_parameters_once_empty_is_absent_unknown_is_ignored() {
    let server = Server::dev();
    let (id, secret) = server.client();
    let header = basic_header(id, secret);
    let post = |body: &str| send("POST", &server.url("/token"), &[FORM, ("Authorization", &header)], body.as_bytes());
    let rows = [
        ("grant_type=client_credentials&grant_type=client_credentials", 400, "invalid_request"),
        ("grant_type=client_credentials&scope=read&scope=read", 400, "invalid_request"),
        ("grant_type=", 400, "invalid_request"),
        ("", 400, "invalid_request"),
        ("grant_type=client_credentials&scope=%zz", 400, "invalid_request"),
        ("grant_type=client_credentials&scope=", 200, ""),
        ("grant_type=client_credentials&never_heard_of=1", 200, ""),
        ("grant_type=%E2%98%83", 400, "unsupported_grant_type"),
        ("grant_type=authorization_code", 400, "unsupported_grant_type"),
    ];
    for (body, status, error) in rows {
        let answer = post(body);
        assert_eq!((answer.status, answer.json()["error"].as_str().unwrap_or("")), (status, error), "{body}");
    }
}

#[test]
fn rfc6749_5_1_and_5_2_no_store_on_success_and_error() {
    let server = Server::dev();
    let answers = [
        server.token(&[GRANT]),
        server.token(&[("grant_type", "nope")]),
        post_form(&server.url("/token"), Some(("ghost", "x")), &[GRANT]),
        send("GET", &server.url("/token"), &[], b""),
        server.login(),
        post_form(&server.url("/introspect"), Some(server.client()), &[("token", "x")]),
        post_form(&server.url("/introspect"), None, &[("token", "x")]),
        post_form(&server.url("/revoke"), Some(server.client()), &[("token", "x")]),
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(answer.header("pragma"), Some("no-cache"), "{answer:?}");
        assert_eq!(answer.header("etag"), None, "{answer:?}");
    }
}

#[test]
fn rfc6749_5_1_token_type_expires_in_and_scope() {
    let server = Server::dev();
    let answer = server.token(&[GRANT]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    let (_, claims) = crate::support::http::peek(body["access_token"].as_str().expect("a token"));
    let lifetime = claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat");
    assert_eq!(body["expires_in"].as_u64(), Some(lifetime));
    assert_eq!(body["scope"], claims["scope"], "nothing was asked for, so what was granted is said");
    assert!(body.get("refresh_token").is_none(), "RFC 6749 section 4.4.3");
}

#[test]
fn rfc6749_3_3_scope_narrows_and_never_grows() {
    let server = Server::dev();
    let narrowed = server.token(&[GRANT, ("scope", "read")]);
    assert_eq!(narrowed.status, 200, "{}", narrowed.text());
    let (_, claims) = crate::support::http::peek(&narrowed.member("access_token"));
    assert_eq!(claims["scope"], "read");
    for scope in ["read admin", "admin", "re\"ad", "read\u{e9}"] {
        let answer = server.token(&[GRANT, ("scope", scope)]);
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_scope"), "{scope}");
    }
}

#[test]
fn rfc6749_5_2_invalid_client_is_401_with_a_challenge_for_basic() {
    let server = Server::dev();
    let (id, secret) = server.client();
    let rows = [("unknown", "ghost", secret), ("wrong secret", id, "mgs_wrong"), ("empty secret", id, "")];
    let mut bodies = Vec::new();
    for (name, id, secret) in rows {
        let basic = post_form(&server.url("/token"), Some((id, secret)), &[GRANT]);
        assert_eq!((basic.status, basic.error().as_str()), (401, "invalid_client"), "{name}");
        assert!(basic.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")), "{name}");
        let form = [GRANT, ("client_id", id), ("client_secret", secret)];
        let post = post_form(&server.url("/token"), None, &form);
        assert_eq!((post.status, post.error().as_str()), (401, "invalid_client"), "{name} in the body");
        bodies.push(basic.text());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "unknown and wrong look alike");
    let nobody = post_form(&server.url("/token"), None, &[GRANT]);
    assert_eq!((nobody.status, nobody.error().as_str()), (401, "invalid_client"));
}

#[test]
fn rfc6749_2_3_exactly_one_authentication_method() {
    let server = Server::dev();
    let (id, secret) = server.client();
    let both = [GRANT, ("client_id", id), ("client_secret", secret)];
    let answer = post_form(&server.url("/token"), Some((id, secret)), &both);
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"));
    let header = basic_header(id, secret);
    let twice = send(
        "POST",
        &server.url("/token"),
        &[FORM, ("Authorization", &header), ("Authorization", &header)],
        encode_form(&[GRANT]).as_bytes(),
    );
    assert!([400, 401].contains(&twice.status), "{}", twice.text());
    // RFC 6749 section 3.2.1 lets a client repeat its id beside the header.
    let same_id = post_form(&server.url("/token"), Some((id, secret)), &[GRANT, ("client_id", id)]);
    assert_eq!(same_id.status, 200, "{}", same_id.text());
    let other_id = post_form(&server.url("/token"), Some((id, secret)), &[GRANT, ("client_id", "other")]);
    assert_ne!(other_id.status, 200, "a header for one client and the id of another");
}

#[test]
fn rfc6749_2_3_1_secret_in_the_body_works_and_basic_parts_are_form_decoded() {
    let server = Server::dev();
    let (id, secret) = server.client();
    let form = [GRANT, ("client_id", id), ("client_secret", secret)];
    assert_eq!(post_form(&server.url("/token"), None, &form).status, 200);
    use base64::Engine as _;
    let encoded: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{encoded}")));
    let answer =
        send("POST", &server.url("/token"), &[FORM, ("Authorization", &value)], encode_form(&[GRANT]).as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    for broken in ["Basic", "Basic !!!", "Basic Zm9v", "Bearer abc", "Basic Og=="] {
        let answer =
            send("POST", &server.url("/token"), &[FORM, ("Authorization", broken)], encode_form(&[GRANT]).as_bytes());
        assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_client"), "{broken}");
    }
}

#[test]
fn rfc6749_4_4_public_clients_get_no_client_credentials() {
    let server = Server::dev();
    let form = [GRANT, ("client_id", server.public_client())];
    let answer = post_form(&server.url("/token"), None, &form);
    assert_eq!((answer.status, answer.error().as_str()), (400, "unauthorized_client"));
}

#[test]
fn rfc8707_2_resource_chooses_the_audience() {
    let server = Server::dev();
    let answer = server.token(&[GRANT, ("resource", server.audience())]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, claims) = crate::support::http::peek(&answer.member("access_token"));
    assert_eq!(claims["aud"], server.audience());
    let fragment = format!("{}#x", server.audience());
    for resource in ["https://elsewhere.example", "not a uri", "/relative", fragment.as_str()] {
        let answer = server.token(&[GRANT, ("resource", resource)]);
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_target"), "{resource}");
    }
}

#[test]
fn rfc9700_2_4_the_password_grant_is_off_unless_configured() {
    let server = Server::dev();
    let (username, password) = server.user();
    let form = [
        ("grant_type", "password"),
        ("client_id", server.public_client()),
        ("username", username),
        ("password", password),
    ];
    let answer = post_form(&server.url("/token"), None, &form);
    assert_eq!((answer.status, answer.error().as_str()), (400, "unsupported_grant_type"));
    let on = Server::lasting_with(
        |text| format!("{text}\n[compatibility]\npassword_grant = true\n").replace("\n[compatibility]\n# ", "\n# "),
        |config| {
            let add = crate::support::server::run(&[
                "clients",
                "add",
                "app",
                "--public",
                "--first-party",
                "--grant",
                "password",
                "--grant",
                "refresh_token",
                "--scope",
                "read",
                "--audience",
                "https://api.example",
                "--config",
                config,
            ]);
            assert!(add.status.success(), "{}", crate::support::server::stderr(&add));
            let add = crate::support::server::run_with_input(
                &["users", "add", "ada", "--password-stdin", "--config", config],
                "correct horse battery",
            );
            assert!(add.status.success(), "{}", crate::support::server::stderr(&add));
        },
    );
    let form =
        [("grant_type", "password"), ("client_id", "app"), ("username", "ada"), ("password", "correct horse battery")];
    let answer = post_form(&on.url("/token"), None, &form);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["refresh_token"].is_string());
    let metadata = crate::support::http::get(&on.url("/.well-known/oauth-authorization-server")).json();
    assert!(metadata["grant_types_supported"].as_array().expect("a list").contains(&"password".into()));
}

#[test]
fn rfc6749_3_2_bodies_and_parameters_are_bounded() {
    let server = Server::dev();
    let many: Vec<String> = (0..65).map(|n| format!("p{n}=1")).collect();
    let (id, secret) = server.client();
    let header = basic_header(id, secret);
    let post = |body: &[u8]| send("POST", &server.url("/token"), &[FORM, ("Authorization", &header)], body);
    let answer = post(many.join("&").as_bytes());
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"));
    let answer = post(&vec![b'a'; 64 * 1024 + 1]);
    assert_eq!((answer.status, answer.error().as_str()), (413, "invalid_request"));
    let packed = send(
        "POST",
        &server.url("/token"),
        &[FORM, ("Authorization", &header), ("Content-Encoding", "gzip")],
        b"grant_type=client_credentials",
    );
    assert_eq!((packed.status, packed.error().as_str()), (415, "invalid_request"));
}
