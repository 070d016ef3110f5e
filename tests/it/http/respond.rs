//! Answers by the letter.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use mintgate::http::Response;
use mintgate::http::respond::{Challenge, document, json, method_not_allowed, oauth_error};
use mintgate::issuer::Document;
use mintgate::protocol::error::{ClientReason, GrantReason, OAuthError, UnavailableReason};

use http_body_util::BodyExt;

async fn body(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn rfc6749_5_1_json_is_never_stored() {
    let response = json(StatusCode::OK, &serde_json::json!({ "a": 1 }));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(header(&response, "pragma"), Some("no-cache"));
    assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
    assert_eq!(body(response).await, "{\"a\":1}");
}

#[tokio::test]
async fn rfc6749_5_2_errors() {
    let client = OAuthError::InvalidClient(ClientReason::WrongSecret);
    let response = oauth_error(client, Some(Challenge::Basic));
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "www-authenticate"), Some("Basic realm=\"mintgate\", charset=\"UTF-8\""));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(
        body(response).await,
        "{\"error\":\"invalid_client\",\"error_description\":\"client authentication failed\"}"
    );
    assert_eq!(header(&oauth_error(client, None), "www-authenticate"), None);
    let grant = OAuthError::InvalidGrant(GrantReason::Reused);
    assert_eq!(header(&oauth_error(grant, Some(Challenge::Basic)), "www-authenticate"), None, "401 only");
}

#[test]
fn retry_after_is_rounded_up() {
    for (millis, seconds) in [(0, "1"), (1000, "1"), (1001, "2"), (30_000, "30")] {
        let error = OAuthError::Unavailable(UnavailableReason::Store, Duration::from_millis(millis));
        assert_eq!(header(&oauth_error(error, None), "retry-after"), Some(seconds), "{millis} ms");
    }
}

#[test]
fn rfc9110_15_5_6_allow() {
    let response = method_not_allowed("GET, HEAD");
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn documents_are_cached_and_revalidated() {
    let keys = Document {
        body: Bytes::from_static(b"{\"keys\":[]}"),
        content_type: HeaderValue::from_static("application/jwk-set+json"),
        etag: HeaderValue::from_static("\"one\""),
        cache_control: HeaderValue::from_static("public, max-age=300"),
    };
    let none = HeaderMap::new();
    let got = document(&keys, &Method::GET, &none);
    assert_eq!((got.status().as_u16(), header(&got, "etag")), (200, Some("\"one\"")));
    assert_eq!(header(&got, "access-control-allow-origin"), Some("*"));
    assert_eq!(body(got).await, "{\"keys\":[]}");

    let head = document(&keys, &Method::HEAD, &none);
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, Some("11")));
    assert_eq!(body(head).await, "");

    // RFC 9110 section 13.1.2: several lines are one list.
    let mut request = HeaderMap::new();
    request.append(IF_NONE_MATCH, HeaderValue::from_static("\"zero\""));
    request.append(IF_NONE_MATCH, HeaderValue::from_static("W/\"one\""));
    let known = document(&keys, &Method::GET, &request);
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, Some("\"one\"")));
    assert_eq!(header(&known, "cache-control"), Some("public, max-age=300"));
    assert_eq!(header(&known, "content-type"), None);
    assert_eq!(body(known).await, "");
}
