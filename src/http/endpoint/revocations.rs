//! `GET /revocations`.

use crate::http::endpoint::Answered;
use crate::http::extract::caller;
use crate::http::router::Shared;
use crate::http::{Peer, Request, respond};
use crate::keys::census::Fetched;
use crate::protocol::error::{OAuthError, RequestReason};
use crate::protocol::params::Params;

/// Answers with what was revoked after `?since=N`; without it, with everything that has not ended.
pub fn get(shared: &Shared, request: &Request, peer: Peer) -> Answered {
    shared.issuer.note(&caller(request, peer), Fetched::Feed);
    let document = since(request.uri().query().unwrap_or_default())
        .map_err(OAuthError::InvalidRequest)
        .and_then(|since| shared.issuer.revocations(since));
    match document {
        Ok(document) => Answered::plain(respond::document(&document, request.method(), request.headers())),
        Err(error) => Answered::refused(error),
    }
}

fn since(query: &str) -> Result<u64, RequestReason> {
    let params = Params::parse(query.as_bytes())?;
    params.value("since").map_or(Ok(0), |text| text.parse().map_err(|_| RequestReason::Malformed))
}
