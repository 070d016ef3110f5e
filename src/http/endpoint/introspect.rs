//! `POST /introspect`.

use hyper::StatusCode;

use crate::http::endpoint::{Answered, Read};
use crate::http::router::Shared;
use crate::http::{Peer, Request, respond};
use crate::protocol::error::OAuthError;
use crate::protocol::reply::Introspection;

/// Answers an introspection request (RFC 7662 section 2).
pub async fn post(shared: &Shared, request: Request, peer: Peer) -> Answered {
    match answer(shared, request, peer).await {
        Ok(reply) => Answered::plain(respond::json(StatusCode::OK, &reply)),
        Err(error) => Answered::refused(error),
    }
}

async fn answer(shared: &Shared, request: Request, peer: Peer) -> Result<Introspection, OAuthError> {
    let read = Read::form(request, &shared.limits).await?;
    let params = read.params()?;
    shared.issuer.introspect(&read.call(&params, peer))
}
