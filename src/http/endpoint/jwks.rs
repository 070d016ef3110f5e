//! `GET /jwks.json`, also at `/.well-known/jwks.json`.

use hyper::header::IF_NONE_MATCH;
use hyper::{Method, StatusCode};

use crate::http::endpoint::Answered;
use crate::http::extract::caller;
use crate::http::router::Shared;
use crate::http::{Peer, Request, respond};
use crate::keys::census::Fetched;

/// Serves the key set (RFC 7517 section 5): bytes prepared once, 304 for whoever has them. Counts who holds it now.
pub fn get(shared: &Shared, request: &Request, peer: Peer) -> Answered {
    let documents = shared.issuer.documents();
    let response = respond::document(&documents.jwks, request.method(), request.headers());
    let holds = match response.status() {
        // `*` is confirmed whatever the client has (RFC 9110 section 13.1.2).
        StatusCode::NOT_MODIFIED => request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag != "*"),
        _ => request.method() == Method::GET,
    };
    let fetched = if holds { Fetched::KeySet(&documents.edition) } else { Fetched::Header };
    shared.issuer.note(&caller(request, peer), fetched);
    shared.metrics.jwks_requests.inc(if response.status().is_success() { "200" } else { "304" });
    Answered::plain(response)
}
