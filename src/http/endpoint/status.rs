//! `GET /status/{list}` and `GET /status` (draft-ietf-oauth-status-list-17, sections 8 and 9).

use std::sync::Arc;

use hyper::StatusCode;

use crate::http::endpoint::Answered;
use crate::http::router::Shared;
use crate::http::{Request, respond};
use crate::issuer::STATUS_LISTS_PATH;

/// The name of the list that a path asks for.
#[must_use]
pub fn list_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix(STATUS_LISTS_PATH)?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Answers with one list, as it was signed last.
pub async fn list(shared: &Shared, request: &Request) -> Answered {
    let path = request.uri().path();
    // Behind the prefix of an issuer with a path: the last segment is the name either way.
    let name = path.rsplit('/').next().unwrap_or_default();
    bring_up_to_date(shared, Some(name)).await;
    match shared.issuer.status_list(name) {
        Ok(Some(document)) => Answered::plain(respond::document(&document, request.method(), request.headers())),
        Ok(None) => Answered::plain(respond::empty(StatusCode::NOT_FOUND)),
        Err(error) => Answered::refused(error),
    }
}

/// Answers with the addresses of all lists.
pub async fn aggregation(shared: &Shared, request: &Request) -> Answered {
    if shared.issuer.has_status_lists() {
        bring_up_to_date(shared, None).await;
    }
    match shared.issuer.status_aggregation() {
        Some(document) => Answered::plain(respond::document(&document, request.method(), request.headers())),
        None => Answered::plain(respond::empty(StatusCode::NOT_FOUND)),
    }
}

/// A background task keeps the lists current. A list that is asked for before that has seen its first token is built now,
/// on a thread that may block.
async fn bring_up_to_date(shared: &Shared, name: Option<&str>) {
    if shared.issuer.is_status_list_due(name) {
        let issuer = Arc::clone(&shared.issuer);
        // Should the building stop, what was published before is served; its `exp` bounds how long.
        let _ = tokio::task::spawn_blocking(move || issuer.build_status_lists()).await;
    }
}
