//! Metadata: RFC 8414, OpenID Connect Discovery 1.0.

use crate::support::http::{get, send};
use crate::support::server::Server;

#[test]
fn rfc8414_2_and_3_the_document_names_what_is_on() {
    let server = Server::dev();
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let answer = get(&server.url(path));
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let body = answer.json();
        assert_eq!(body["issuer"], server.issuer(), "byte-equal to iss");
        assert_eq!(body["grant_types_supported"], serde_json::json!(["client_credentials", "refresh_token"]));
        for endpoint in ["token_endpoint", "jwks_uri", "revocation_endpoint", "introspection_endpoint"] {
            let url = body[endpoint].as_str().expect(endpoint);
            let path = url.strip_prefix(server.issuer()).expect("below the issuer");
            let status = send("GET", &server.url(path), &[], b"").status;
            assert!([200, 405].contains(&status), "{endpoint} answers: {status}");
        }
        assert!(body.get("authorization_endpoint").is_none(), "there is none");
    }
}

#[test]
fn unknown_routes_are_404_and_say_nothing() {
    let server = Server::dev();
    for path in ["/", "/nope", "/admin/revoke", "/metrics", "/health/live", "/token/", "/%2e%2e/token"] {
        assert_eq!(get(&server.url(path)).status, 404, "{path}");
    }
}
