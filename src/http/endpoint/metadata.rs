//! `GET /.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.

use crate::http::endpoint::Answered;
use crate::http::router::{Route, Shared};
use crate::http::{Request, respond};

/// Serves a metadata document (RFC 8414 section 3, OpenID Connect Discovery 1.0 section 4).
pub fn get(shared: &Shared, request: &Request, route: Route) -> Answered {
    let documents = shared.issuer.documents();
    let document = if route == Route::OpenidMetadata { &documents.openid } else { &documents.oauth };
    Answered::plain(respond::document(document, request.method(), request.headers()))
}
