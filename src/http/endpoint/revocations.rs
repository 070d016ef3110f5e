//! `GET /revocations`: the document, at once or when there is news, or one event after another.

use std::time::Duration;

use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, VARY};
use hyper::{Method, StatusCode};

use crate::http::endpoint::Answered;
use crate::http::events::{Events, Held};
use crate::http::extract::caller;
use crate::http::router::Shared;
use crate::http::{Peer, Request, Response, respond};
use crate::issuer::{Delta, Reach, WAIT_SECONDS_MAX, Way};
use crate::keys::census::Fetched;
use crate::protocol::error::{OAuthError, RequestReason, UnavailableReason};
use crate::protocol::params::Params;

/// What who finds no place to wait is told: the pause of those who poll, which works on.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(crate::issuer::MAX_AGE_SECONDS);

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The last event a client has seen, as it says when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx keeps the answers of an upstream back until a buffer is full, unless the answer says this.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What the query and the headers ask for.
struct Asked {
    since: u64,
    wait: Duration,
    is_stream: bool,
}

/// Answers with what was revoked after `?since=N`; without it, with everything that has not ended. With `&wait=SECONDS`
/// the answer is held while there is nothing new; `Accept: text/event-stream` asks for one event after another.
pub async fn get(shared: &Shared, request: Request, peer: Peer) -> Answered {
    shared.issuer.note(&caller(&request, peer), Fetched::Feed);
    let (head, _) = request.into_parts();
    let asked = match Asked::read(&head.method, head.uri.query().unwrap_or_default(), &head.headers) {
        Ok(asked) => asked,
        Err(reason) => return Answered::refused(OAuthError::InvalidRequest(reason)),
    };
    if asked.is_stream {
        return stream(shared, asked.since);
    }
    let (mut way, mut waited) = (Way::Poll, Duration::ZERO);
    if asked.wait > Duration::ZERO {
        let Some(held) = shared.followers.hold(Way::LongPoll) else { return full() };
        let began = shared.clock.monotonic();
        // Boxed: most requests do not wait, and need not carry the room for it.
        Box::pin(wait(shared, held, &asked)).await;
        (way, waited) = (Way::LongPoll, shared.clock.monotonic().saturating_sub(began));
    }
    let reach = if way == Way::Poll { Reach::Latest } else { Reach::Announced };
    match shared.issuer.revocations(asked.since, reach) {
        Ok(delta) => {
            let response = respond::document(&delta.document, &head.method, &head.headers);
            if response.status() == StatusCode::OK && head.method == Method::GET {
                shared.issuer.note_lag(way, asked.since);
            }
            let mut response = respond::with(response, VARY, HeaderValue::from_static("accept"));
            if way == Way::LongPoll {
                // From a cache the next held request would be answered at once, and so would the one after that.
                response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
            }
            Answered { waited, ..Answered::plain(response) }
        }
        Err(error) => Answered { waited, ..Answered::refused(error) },
    }
}

/// Returns when there is something after the number that is asked for, or the time is up, or the server stops.
async fn wait(shared: &Shared, held: Held, asked: &Asked) {
    if !shared.issuer.is_given(asked.since) {
        return;
    }
    let mut announced = shared.issuer.announced();
    let news = tokio::time::timeout(asked.wait, announced.wait_for(|latest| *latest > asked.since));
    tokio::select! {
        // News, time, or an issuer that is gone: the document says which.
        _ = news => {}
        () = held.stopped() => {}
    }
}

fn stream(shared: &Shared, since: u64) -> Answered {
    let Some(held) = shared.followers.hold(Way::Stream) else { return full() };
    // The first event is made before the status is said: what cannot be had is refused as it is everywhere else.
    let first: Delta = match shared.issuer.revocations(since, Reach::Latest) {
        Ok(first) => first,
        Err(error) => return Answered::refused(error),
    };
    let events = Events::new(std::sync::Arc::clone(&shared.issuer), std::sync::Arc::clone(&shared.clock), held, first);
    let mut response: Response = respond::stream(Box::new(events), HeaderValue::from_static("text/event-stream"));
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    Answered::plain(response)
}

fn full() -> Answered {
    Answered::refused(OAuthError::Unavailable(UnavailableReason::Overload, FULL_RETRY_AFTER))
}

impl Asked {
    fn read(method: &Method, query: &str, headers: &HeaderMap) -> Result<Self, RequestReason> {
        let params = Params::parse(query.as_bytes())?;
        let number = |name: &str| {
            params.value(name).map(|text| text.parse::<u64>().map_err(|_| RequestReason::Malformed)).transpose()
        };
        let (since, wait) = (number("since")?, number("wait")?.unwrap_or(0));
        let is_get = method == Method::GET;
        let is_stream = is_get && headers.get_all(ACCEPT).iter().any(|line| asks_for_events(line.as_bytes()));
        // A client that comes back repeats its first URL, and says in the header where it is now.
        let seen = headers
            .get(LAST_EVENT_ID)
            .filter(|_| is_stream)
            .map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or(RequestReason::Malformed));
        Ok(Self {
            since: seen.transpose()?.or(since).unwrap_or(0),
            wait: Duration::from_secs(if is_get { wait.min(WAIT_SECONDS_MAX) } else { 0 }),
            is_stream,
        })
    }
}

/// Whether a list of media ranges (RFC 9110 section 12.5.1) names the event stream.
fn asks_for_events(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"text/event-stream"));
        is_named && !parts.any(|part| part.eq_ignore_ascii_case(b"q=0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let events = "text/event-stream";
        type Row = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, Read);
        type Read = Result<(u64, u64, bool), RequestReason>;
        let rows: [Row; 13] = [
            ("GET", "", None, None, Ok((0, 0, false))),
            ("GET", "since=7&wait=5", None, None, Ok((7, 5, false))),
            ("GET", "since=7&wait=5000", Some("*/*"), None, Ok((7, WAIT_SECONDS_MAX, false))),
            ("HEAD", "since=7&wait=5", Some(events), None, Ok((7, 0, false))),
            ("GET", "wait=-1", None, None, Err(RequestReason::Malformed)),
            ("GET", "wait=&since=", None, None, Ok((0, 0, false))),
            ("GET", "wait=0.5", None, None, Err(RequestReason::Malformed)),
            ("GET", "since=7", Some("a/b, Text/Event-Stream;q=0.5"), None, Ok((7, 0, true))),
            ("GET", "since=7", Some("text/event-stream;q=0, */*"), None, Ok((7, 0, false))),
            ("GET", "since=7", Some(events), Some("9"), Ok((9, 0, true))),
            ("GET", "since=7", Some(events), Some("x"), Err(RequestReason::Malformed)),
            ("GET", "since=7", None, Some("9"), Ok((7, 0, false))),
            ("GET", "since=7", Some("text/event-streams"), None, Ok((7, 0, false))),
        ];
        for (method, query, accept, seen, expected) in rows {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            if let Some(seen) = seen {
                headers.insert(LAST_EVENT_ID, HeaderValue::from_static(seen));
            }
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let asked = Asked::read(&method, query, &headers);
            let asked = asked.map(|asked| (asked.since, asked.wait.as_secs(), asked.is_stream));
            assert_eq!(asked, expected, "{method} {query} {accept:?} {seen:?}");
        }
    }
}
