//! What the gateway says about itself (RFC 8414 section 2, OpenID Connect Discovery 1.0 section 3).

use serde::Serialize;

/// The facts the documents are made from: exactly what is on.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// The issuer identifier, byte for byte the `iss` of every token.
    pub issuer: &'a str,
    /// Grant types in use.
    pub grants: &'a [&'a str],
    /// Signature algorithms of the active keys.
    pub algorithms: &'a [&'a str],
    /// Seconds from a revocation to its knowledge in whoever follows the feed.
    pub revocation_latency_max: u64,
    /// Seconds for which a question about the feed is held at the most.
    pub revocations_wait_max: u64,
    /// The path of the list of status lists, if any audience has them.
    pub status_lists: Option<&'a str>,
}

/// An authorization server metadata document.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    // No registered members: the feed of revocations, and in how many seconds it tells who follows it.
    mintgate_revocations_uri: String,
    mintgate_revocation_latency_max: u64,
    mintgate_revocations_wait_max: u64,
    // draft-ietf-oauth-status-list-20, section 9.1
    #[serde(skip_serializing_if = "Option::is_none")]
    status_list_aggregation_endpoint: Option<String>,
    // RFC 8414 section 2 requires the member; there is no authorization endpoint, so no response type.
    response_types_supported: [&'static str; 0],
    grant_types_supported: Vec<String>,
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_types_supported: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_signing_alg_values_supported: Option<Vec<String>>,
}

/// The client authentication methods of the token endpoint (RFC 7591 section 2).
const WITH_PUBLIC: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];
/// Those of an endpoint that only confidential clients may use.
const CONFIDENTIAL: [&str; 2] = ["client_secret_basic", "client_secret_post"];

impl Metadata {
    /// The document of RFC 8414.
    #[must_use]
    pub fn oauth(offer: &Offer<'_>) -> Self {
        let at = |route: &str| format!("{}{route}", offer.issuer.trim_end_matches('/'));
        Self {
            issuer: offer.issuer.to_owned(),
            token_endpoint: at("/token"),
            jwks_uri: at("/jwks.json"),
            revocation_endpoint: at("/revoke"),
            introspection_endpoint: at("/introspect"),
            mintgate_revocations_uri: at("/revocations"),
            mintgate_revocation_latency_max: offer.revocation_latency_max,
            mintgate_revocations_wait_max: offer.revocations_wait_max,
            status_list_aggregation_endpoint: offer.status_lists.map(at),
            response_types_supported: [],
            grant_types_supported: offer.grants.iter().map(|grant| (*grant).to_owned()).collect(),
            token_endpoint_auth_methods_supported: WITH_PUBLIC,
            revocation_endpoint_auth_methods_supported: WITH_PUBLIC,
            introspection_endpoint_auth_methods_supported: CONFIDENTIAL,
            subject_types_supported: None,
            id_token_signing_alg_values_supported: None,
        }
    }

    /// The document of OpenID Connect Discovery: the same, with the two members that readers of it require.
    #[must_use]
    pub fn openid(offer: &Offer<'_>) -> Self {
        Self {
            subject_types_supported: Some(["public"]),
            id_token_signing_alg_values_supported: Some(
                offer.algorithms.iter().map(|name| (*name).to_owned()).collect(),
            ),
            ..Self::oauth(offer)
        }
    }
}

/// The path of the RFC 8414 document: well-known goes between host and path (RFC 8414 section 3).
#[must_use]
pub fn well_known_path(issuer_path: &str) -> String {
    format!("/.well-known/oauth-authorization-server{}", issuer_path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_list_what_is_on_and_nothing_else() {
        let offer = Offer {
            issuer: "https://auth.example/tenant",
            grants: &["client_credentials", "refresh_token"],
            algorithms: &["ES256"],
            revocation_latency_max: 10,
            revocations_wait_max: 50,
            status_lists: None,
        };
        let oauth = serde_json::to_value(Metadata::oauth(&offer)).expect("serialises");
        assert_eq!(oauth["issuer"], "https://auth.example/tenant");
        assert_eq!(oauth["jwks_uri"], "https://auth.example/tenant/jwks.json");
        assert_eq!(oauth["response_types_supported"], serde_json::json!([]));
        assert_eq!(oauth["grant_types_supported"], serde_json::json!(["client_credentials", "refresh_token"]));
        assert!(oauth.get("authorization_endpoint").is_none());
        assert!(oauth.get("subject_types_supported").is_none());
        assert!(oauth.get("status_list_aggregation_endpoint").is_none());
        let listed = serde_json::to_value(Metadata::oauth(&Offer { status_lists: Some("/status"), ..offer.clone() }));
        let endpoint = &listed.expect("serialises")["status_list_aggregation_endpoint"];
        assert_eq!(endpoint, "https://auth.example/tenant/status");
        let openid = serde_json::to_value(Metadata::openid(&offer)).expect("serialises");
        assert_eq!(openid["subject_types_supported"], serde_json::json!(["public"]));
        assert_eq!(well_known_path("/tenant/"), "/.well-known/oauth-authorization-server/tenant");
        assert_eq!(well_known_path(""), "/.well-known/oauth-authorization-server");
    }
}
