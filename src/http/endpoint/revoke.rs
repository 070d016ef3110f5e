//! `POST /revoke`.

use hyper::StatusCode;

use crate::http::endpoint::{Answered, Read};
use crate::http::router::Shared;
use crate::http::{Peer, Request, respond};
use crate::protocol::error::OAuthError;

/// Answers a revocation request: 200 and nothing else (RFC 7009 section 2.2).
pub async fn post(shared: &Shared, request: Request, peer: Peer) -> Answered {
    match answer(shared, request, peer).await {
        Ok(()) => Answered::plain(respond::empty(StatusCode::OK)),
        Err(error) => Answered::refused(error),
    }
}

async fn answer(shared: &Shared, request: Request, peer: Peer) -> Result<(), OAuthError> {
    let read = Read::form(request, &shared.limits).await?;
    let params = read.params()?;
    shared.issuer.revoke(&read.call(&params, peer)).await
}
