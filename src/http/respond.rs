//! Answers. Header values are prepared constants; the token path allocates the body and the header map.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, StatusCode};
use serde::Serialize;

use crate::http::{Body, Response, Source};
use crate::issuer::Document;
use crate::protocol::error::{OAuthError, RequestReason};
use crate::protocol::reply::TokenReply;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// The scheme a refusal names in `WWW-Authenticate` (RFC 9110 section 11.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// RFC 7617: the client used, or should use, the Authorization header (RFC 6749 section 5.2).
    Basic,
    /// RFC 6750 section 3, bare: the request carried no token.
    Bearer,
}

impl Challenge {
    const fn value(self) -> HeaderValue {
        match self {
            Self::Basic => HeaderValue::from_static("Basic realm=\"mintgate\", charset=\"UTF-8\""),
            Self::Bearer => HeaderValue::from_static("Bearer realm=\"mintgate\""),
        }
    }
}

/// A JSON answer that nobody may store (RFC 6749 section 5.1).
///
/// A value that cannot be serialised is our mistake; it is answered 500 without a body.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(256);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => json_bytes(status, bytes.into()),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A token answer (RFC 6749 section 5.1).
#[must_use]
pub fn token(reply: &TokenReply) -> Response {
    match reply.to_json() {
        Ok(bytes) => json_bytes(StatusCode::OK, bytes.into()),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// [`json`] from bytes that are JSON already.
#[must_use]
pub fn json_bytes(status: StatusCode, body: Bytes) -> Response {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
        let mut headers = prepared();
        headers.insert(CONTENT_TYPE, JSON);
        unstored(&mut headers);
        headers
    });
    with_headers(status, body, HEADERS.clone())
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    error_description: &'static str,
}

/// The error answer of RFC 6749 section 5.2. `challenge` is used with status 401 only.
#[must_use]
pub fn oauth_error(error: OAuthError, challenge: Option<Challenge>) -> Response {
    let (name, status) = error.wire();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, &ErrorBody { error: name, error_description: error.description() });
    let headers = response.headers_mut();
    if let Some(challenge) = challenge
        && status == StatusCode::UNAUTHORIZED
    {
        headers.insert(WWW_AUTHENTICATE, challenge.value());
    }
    if let Some(after) = error.retry_after() {
        // RFC 9110 section 10.2.3: whole seconds; rounded up, so that the client is never early.
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs() + u64::from(after.subsec_nanos() > 0)));
    }
    response
}

/// 405 with the methods that are allowed (RFC 9110 section 15.5.6), as `"GET, HEAD"`.
#[must_use]
pub fn method_not_allowed(allow: &'static str) -> Response {
    let mut response = oauth_error(OAuthError::InvalidRequest(RequestReason::Method), None);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// A status without a body; not stored.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
        let mut headers = prepared();
        unstored(&mut headers);
        headers
    });
    with_headers(status, Bytes::new(), HEADERS.clone())
}

/// Plain text; not stored.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Cow<'static, str>>) -> Response {
    let bytes = match body.into() {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    let mut response = answer(status, bytes);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    unstored(headers);
    response
}

/// Serves a document by GET or HEAD: 200, or 304 if the client has it (RFC 9110 section 13.1.2).
/// Any origin may read it: it is public.
#[must_use]
pub fn document(document: &Document, method: &Method, request: &HeaderMap) -> Response {
    let current = has_current(request, document.etag.as_bytes());
    let (status, body) = match (current, method) {
        (true, _) => (StatusCode::NOT_MODIFIED, Bytes::new()),
        (false, &Method::HEAD) => (StatusCode::OK, Bytes::new()),
        (false, _) => (StatusCode::OK, document.body.clone()),
    };
    let mut response = answer(status, body);
    let headers = response.headers_mut();
    // RFC 9110 section 15.4.5: a 304 repeats these two, and needs no more.
    headers.insert(ETAG, document.etag.clone());
    headers.insert(CACHE_CONTROL, document.cache_control.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    if !current {
        headers.insert(CONTENT_TYPE, document.content_type.clone());
        if *method == Method::HEAD {
            // RFC 9110 section 9.3.2: the fields a GET would have had.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(document.body.len()));
        }
    }
    response
}

/// An answer that goes on as time goes by; not stored, and any origin may read it.
#[must_use]
pub fn stream(source: Box<dyn Source>, content_type: HeaderValue) -> Response {
    let mut response = Response::new(Body::stream(source));
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    response
}

/// Sets one header of an answer; for the rare one that the builders do not know.
#[must_use]
pub fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

fn answer(status: StatusCode, body: Bytes) -> Response {
    with_headers(status, body, prepared())
}

/// The headers of every answer, with room for more: one allocation of the map instead of growing it header by header.
fn prepared() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers
}

fn with_headers(status: StatusCode, body: Bytes, headers: HeaderMap) -> Response {
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    // Whole maps are copied: that hashes no name.
    *response.headers_mut() = headers;
    response
}

fn unstored(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, NO_STORE);
    // RFC 6749 section 5.1 asks for it, for caches of HTTP/1.0.
    headers.insert(PRAGMA, NO_CACHE);
}

/// Whether `If-None-Match` names our tag (RFC 9110 section 13.1.2: weak comparison, a list, or `*`).
fn has_current(request: &HeaderMap, etag: &[u8]) -> bool {
    request.get_all(IF_NONE_MATCH).iter().any(|line| names(line.as_bytes(), etag))
}

/// Walks a list of entity tags. A comma may stand inside a tag, so the quotes are followed, not the commas.
fn names(list: &[u8], etag: &[u8]) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(inner) = rest.strip_prefix(b"\"") else { return false };
        let Some(length) = inner.iter().position(|byte| *byte == b'"') else { return false };
        let (tag, after) = rest.split_at_checked(length + 2).unwrap_or((rest, b""));
        if tag == etag {
            return true;
        }
        let Some(next) = after.trim_ascii_start().strip_prefix(b",") else { return false };
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_by_the_letter() {
        let rows: [(&str, bool); 10] = [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("*", true),
            (" \"x\" , W/\"y\",\"a\" ", true),
            ("\"x,\", \"a\"", true),
            ("\"b\"", false),
            ("a", false),
            ("\"a", false),
            ("\"x\" \"a\"", false),
            ("", false),
        ];
        for (list, expected) in rows {
            assert_eq!(names(list.as_bytes(), b"\"a\""), expected, "{list}");
        }
    }
}
