//! The access token: RFC 9068, RFC 7519, RFC 8725.

use crate::support::http::{get, peek};
use crate::support::server::Server;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[test]
fn rfc9068_2_1_header() {
    let server = Server::dev();
    let (header, _) = peek(&server.token(&[GRANT]).member("access_token"));
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "ES256");
    let jwks = get(&server.url("/jwks.json")).json();
    assert_eq!(header["kid"], jwks["keys"][0]["kid"]);
    assert_eq!(header.as_object().expect("object").len(), 3, "nothing but alg, typ, kid");
}

#[test]
fn rfc9068_2_2_claims_of_a_client_alone() {
    let server = Server::dev();
    let (_, claims) = peek(&server.token(&[GRANT]).member("access_token"));
    assert_eq!(claims["iss"], server.issuer());
    assert_eq!(claims["sub"], server.client().0, "RFC 9068 section 2.2: sub is the client id");
    assert_eq!(claims["client_id"], server.client().0);
    assert_eq!(claims["aud"], server.audience());
    for name in ["exp", "iat"] {
        assert!(claims[name].is_u64(), "{name} is an integer NumericDate (RFC 7519 section 2)");
    }
    assert_eq!(claims["jti"].as_str().map(str::len), Some(22), "128 random bits");
    assert!(claims["scope"].is_string());
    assert!(claims.get("auth_time").is_none(), "nobody logged in");
}

#[test]
fn rfc9068_2_2_1_claims_of_a_user_and_6_no_personal_data() {
    let server = Server::dev();
    let (_, claims) = peek(&server.login().member("access_token"));
    let subject = claims["sub"].as_str().expect("sub");
    assert!(subject.starts_with("usr_"), "{subject}");
    assert_ne!(subject, server.user().0);
    assert!(!claims.to_string().contains(server.user().0), "the user's name is not in the token");
    assert_eq!(claims["auth_time"], claims["iat"]);
    assert_eq!(claims["client_id"], server.public_client());
    assert!(claims["sid"].is_string(), "what it takes to match a revoked family");
}

#[test]
fn rfc9068_5_user_ids_never_equal_client_ids() {
    let server = Server::dev();
    let output = server.command(&["clients", "add", "usr_0123456789012345678901", "--grant", "client_credentials"]);
    assert_eq!(output.status.code(), Some(2), "{}", crate::support::server::stderr(&output));
}

#[test]
fn rfc7519_4_1_7_token_ids_are_unique() {
    let server = Server::dev();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let (_, claims) = peek(&server.token(&[GRANT]).member("access_token"));
        assert!(seen.insert(claims["jti"].to_string()));
    }
}

#[test]
fn size_budget_leaves_room_in_8_kib_headers() {
    let server = Server::dev();
    let token = server.login().member("access_token");
    assert!(token.len() < 1_024, "{} bytes", token.len());
}
