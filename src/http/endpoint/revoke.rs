//! `POST /revoke`.

use hyper::StatusCode;

use crate::http::endpoint::{Answered, Read};
use crate::http::router::Shared;
use crate::http::{Peer, respond};
use crate::protocol::error::OAuthError;

/// Answers a revocation request: 200 and nothing else (RFC 7009 section 2.2).
pub async fn post(shared: &Shared, read: &Read, peer: Peer) -> Answered {
    match answer(shared, read, peer).await {
        Ok(()) => Answered::plain(respond::empty(StatusCode::OK)),
        Err(error) => Answered::refused(error),
    }
}

async fn answer(shared: &Shared, read: &Read, peer: Peer) -> Result<(), OAuthError> {
    let params = read.params()?;
    shared.issuer.revoke(&read.call(&params, peer)).await
}
