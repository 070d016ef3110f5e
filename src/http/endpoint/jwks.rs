//! `GET /jwks.json`, also at `/.well-known/jwks.json`.

use crate::http::endpoint::Answered;
use crate::http::router::Shared;
use crate::http::{Request, respond};

/// Serves the key set (RFC 7517 section 5): bytes prepared once, 304 for whoever has them.
pub fn get(shared: &Shared, request: &Request) -> Answered {
    let documents = shared.issuer.documents();
    let response = respond::document(&documents.jwks, request.method(), request.headers());
    shared.metrics.jwks_requests.inc(if response.status().is_success() { "200" } else { "304" });
    Answered::plain(response)
}
