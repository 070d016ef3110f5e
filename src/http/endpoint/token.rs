//! `POST /token`.

use crate::http::endpoint::{Answered, Read};
use crate::http::router::Shared;
use crate::http::{Peer, respond};
use crate::protocol::error::OAuthError;
use crate::protocol::reply::TokenReply;

/// Answers a token request (RFC 6749 sections 3.2 and 5).
pub async fn post(shared: &Shared, read: &Read, peer: Peer) -> Answered {
    match answer(shared, read, peer).await {
        Ok(reply) => Answered::plain(respond::token(&reply)),
        Err(error) => Answered::refused(error),
    }
}

async fn answer(shared: &Shared, read: &Read, peer: Peer) -> Result<TokenReply, OAuthError> {
    let params = read.params()?;
    shared.issuer.token(&read.call(&params, peer)).await
}
