//! `POST /login`.

use std::borrow::Cow;

use serde_json::Value;

use crate::http::endpoint::{Answered, Read};
use crate::http::extract::MediaType;
use crate::http::router::Shared;
use crate::http::{Peer, respond};
use crate::protocol::error::{OAuthError, RequestReason};
use crate::protocol::json;
use crate::protocol::params::Params;
use crate::protocol::reply::TokenReply;

/// Answers a log-in: JSON or form, answered like the token endpoint.
pub async fn post(shared: &Shared, read: &Read, peer: Peer) -> Answered {
    match answer(shared, read, peer).await {
        Ok(reply) => Answered::plain(respond::token(&reply)),
        Err(error) => Answered::refused(error),
    }
}

async fn answer(shared: &Shared, read: &Read, peer: Peer) -> Result<TokenReply, OAuthError> {
    let params = match read.kind {
        MediaType::Form => read.params()?,
        MediaType::Json => from_json(&read.body).map_err(OAuthError::InvalidRequest)?,
    };
    shared.issuer.login(&read.call(&params, peer)).await
}

/// The members of a JSON object as parameters: strings only, each once.
fn from_json(body: &[u8]) -> Result<Params<'static>, RequestReason> {
    let object = json::object(body).map_err(|_| RequestReason::Malformed)?;
    let mut pairs = Vec::with_capacity(object.len());
    for (name, value) in object {
        let Value::String(text) = value else { return Err(RequestReason::Malformed) };
        // As in a form: NUL reaches no directory.
        if text.contains('\0') {
            return Err(RequestReason::Malformed);
        }
        pairs.push((Cow::Owned(name), Cow::Owned(text)));
    }
    Params::from_pairs(pairs)
}
