//! `POST /introspect`.

use hyper::StatusCode;

use crate::http::endpoint::{Answered, Read};
use crate::http::router::Shared;
use crate::http::{Peer, respond};
use crate::protocol::error::OAuthError;
use crate::protocol::reply::Introspection;

/// Answers an introspection request (RFC 7662 section 2).
pub fn post(shared: &Shared, read: &Read, peer: Peer) -> Answered {
    match answer(shared, read, peer) {
        Ok(reply) => Answered::plain(respond::json(StatusCode::OK, &reply)),
        Err(error) => Answered::refused(error),
    }
}

fn answer(shared: &Shared, read: &Read, peer: Peer) -> Result<Introspection, OAuthError> {
    let params = read.params()?;
    shared.issuer.introspect(&read.call(&params, peer))
}
