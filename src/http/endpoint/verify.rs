//! `/verify`: forward-auth for proxies, by any method.
//!
//! A proxy allows on 2xx, denies on 401 and 403, and takes anything else for a failure of its own. So every refusal is
//! one of those two. The token is read from `Authorization` or a configured cookie, never from a URL (RFC 6750 section
//! 2.3, RFC 9700 section 4.3.2), and no `Forwarded` or `X-Forwarded-...` header is read at all: what a route demands
//! stands in the proxy's own configuration, where no client can write.

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use crate::http::endpoint::Answered;
use crate::http::router::Shared;
use crate::http::{Request, Response, respond};
use crate::issuer::{Asked, Demand, Identity, IdentityHeaders, Misconfigured, Shown, Verdict, VerifySettings};

/// Below this the name of a policy is a piece of the path, and what follows it is the proxied request's own path: for
/// proxies that put the path of the request behind ours (Envoy).
pub const BY_POLICY: &str = "/verify/policy/";

/// RFC 6750 section 3: what is needed.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"mintgate\"");
/// RFC 6750 section 3.1. One text for every reason.
const INVALID: HeaderValue = HeaderValue::from_static(
    "Bearer realm=\"mintgate\", error=\"invalid_token\", \
     error_description=\"the access token is malformed, expired, revoked or meant for another resource\"",
);

/// Answers whether the request that the proxy asks about may pass.
pub fn any(shared: &Shared, request: &Request) -> Answered {
    let settings = shared.issuer.verify_settings();
    let demand = match settings.demand(asked(request)) {
        Ok(demand) => demand,
        Err(error) => return misconfigured(error),
    };
    let verdict = shared.issuer.judge(shown(request.headers(), &settings), &demand);
    match verdict {
        Verdict::Allowed(identity) => Answered::plain(allowed(identity, &settings.headers)),
        Verdict::Unauthenticated => Answered::because("no_token", denied(StatusCode::UNAUTHORIZED, CHALLENGE)),
        Verdict::Invalid(invalid) => Answered::because(invalid.name(), denied(StatusCode::UNAUTHORIZED, INVALID)),
        Verdict::Insufficient => {
            Answered::because("insufficient_scope", denied(StatusCode::FORBIDDEN, insufficient(&demand)))
        }
    }
}

fn asked(request: &Request) -> Asked<'_> {
    let uri = request.uri();
    match uri.path().split_once(BY_POLICY) {
        Some((_, rest)) => Asked::Policy(rest.split('/').next().unwrap_or_default()),
        None => Asked::Query(uri.query().unwrap_or_default()),
    }
}

/// The one token of a request.
fn shown<'a>(headers: &'a HeaderMap, settings: &VerifySettings) -> Shown<'a> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let in_header = match (values.next(), values.next()) {
        (None, _) => Shown::Nothing,
        (Some(value), None) => bearer(value, settings),
        // RFC 9110 section 11.6.2 knows one Authorization header.
        (Some(_), Some(_)) => Shown::Unreadable,
    };
    match (in_header, &settings.cookie) {
        (Shown::Nothing, Some(name)) => cookie(headers, name),
        (shown, _) => shown,
    }
}

fn bearer<'a>(value: &'a HeaderValue, settings: &VerifySettings) -> Shown<'a> {
    let bytes = value.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    let (scheme, credentials) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
    // RFC 9110 section 11.1: the scheme is case-insensitive.
    let ours =
        scheme.eq_ignore_ascii_case(b"bearer") || (settings.token_scheme && scheme.eq_ignore_ascii_case(b"token"));
    if !ours {
        // RFC 6750 section 3.1: another method is no authentication at all.
        return Shown::Nothing;
    }
    // The gate judges the text itself: nothing is trimmed but the blanks between scheme and token.
    let from = credentials.iter().position(|byte| *byte != b' ').unwrap_or(credentials.len());
    readable(credentials.get(from..).unwrap_or_default())
}

/// RFC 6265 section 5.4: `name=value` pairs with `; ` between them. A name that is there twice was set by two, and
/// nobody can tell whose is first.
fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Shown<'a> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut found = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        (name == wanted.as_bytes()).then(|| value.get(1..).unwrap_or_default())
    });
    match (found.next(), found.next()) {
        (None, _) => Shown::Nothing,
        // An application that ends a session leaves an empty cookie behind.
        (Some(b""), None) => Shown::Nothing,
        (Some(value), None) => readable(value),
        (Some(_), Some(_)) => Shown::Unreadable,
    }
}

fn readable(bytes: &[u8]) -> Shown<'_> {
    match std::str::from_utf8(bytes) {
        Ok(token) if !token.is_empty() => Shown::Token(token),
        _ => Shown::Unreadable,
    }
}

/// 200 and who asks; no body. All four headers are always there, so that a proxy that copies them leaves nothing of
/// what a client may have sent under the same names.
fn allowed(identity: Identity, names: &IdentityHeaders) -> Response {
    let mut response = respond::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(names.subject.clone(), identity.subject);
    headers.insert(names.client.clone(), identity.client);
    headers.insert(names.scope.clone(), identity.scope);
    headers.insert(names.expires.clone(), identity.expires);
    response
}

fn denied(status: StatusCode, challenge: HeaderValue) -> Response {
    respond::with(respond::empty(status), WWW_AUTHENTICATE, challenge)
}

/// RFC 6750 section 3.1: the scope that is needed.
fn insufficient(demand: &Demand) -> HeaderValue {
    // A scope has neither quotes nor backslashes (RFC 6749 section 3.3), so it stands in quotes as it is.
    let text = format!("Bearer realm=\"mintgate\", error=\"insufficient_scope\", scope=\"{}\"", demand.scope);
    HeaderValue::from_str(&text).unwrap_or(CHALLENGE)
}

/// The proxy's own mistake. It denies, and the text says what to mend: no client's doing changes it.
fn misconfigured(error: Misconfigured) -> Answered {
    Answered::because(error.name(), respond::text(StatusCode::FORBIDDEN, format!("{error}\n")))
}
