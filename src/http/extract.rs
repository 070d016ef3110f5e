//! What is taken from a request: its body within bounds, its media type, who asks.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};

use crate::http::limits::BodyLimits;
use crate::http::{Peer, Request};
use crate::issuer::Caller;
use crate::protocol::error::RequestReason;

/// Who asks, for the census.
#[must_use]
pub fn caller(request: &Request, peer: Peer) -> Caller<'_> {
    Caller {
        query: request.uri().query(),
        agent: request.headers().get(USER_AGENT).map(HeaderValue::as_bytes),
        address: peer.address.ip(),
    }
}

/// Reads the whole body within `limits`.
///
/// A body that arrives in one piece is not copied.
///
/// # Errors
/// `ContentEncoding` if it is encoded in any way (RFC 9110 section 8.4), `TooLarge` as soon as its announced or
/// actual length passes the bound (RFC 9110 section 15.5.14), `Incomplete` if it broke off or came too late.
pub async fn read_body<B>(headers: &HeaderMap, body: B, limits: &BodyLimits) -> Result<Bytes, RequestReason>
where
    B: Body<Data = Bytes> + Unpin,
{
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(RequestReason::ContentEncoding);
    }
    if announced(headers).is_some_and(|length| length > limits.body_bytes_max as u64) {
        return Err(RequestReason::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(limits.body_timeout, collect(body, limits.body_bytes_max)).await {
        Ok(result) => result,
        Err(_) => Err(RequestReason::Incomplete),
    }
}

async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Bytes, RequestReason>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers carry nothing we would read.
        let Ok(data) = frame.map_err(|_| RequestReason::Incomplete)?.into_data() else { continue };
        if first.len() + more.len() + data.len() > bytes_max {
            return Err(RequestReason::TooLarge);
        }
        if first.is_empty() && more.is_empty() {
            first = data;
            continue;
        }
        if more.is_empty() {
            more.extend_from_slice(&first);
            first = Bytes::new();
        }
        more.extend_from_slice(&data);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// The length the client announced; the server has checked that it is one number (RFC 9112 section 6.3).
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The media types that an endpoint may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// The media type of the body. Parameters such as `charset=utf-8` are allowed, another charset is not.
///
/// # Errors
/// `MediaType` if the header is absent, given twice, or names anything else.
pub fn media_type(headers: &HeaderMap) -> Result<MediaType, RequestReason> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(RequestReason::MediaType) };
    let text = value.to_str().map_err(|_| RequestReason::MediaType)?;
    // The common case, byte for byte, without a look at parameters.
    if text == "application/x-www-form-urlencoded" {
        return Ok(MediaType::Form);
    }
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let foreign_charset = parts.filter_map(|part| part.trim().split_once('=')).any(|(name, value)| {
        name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if foreign_charset {
        return Err(RequestReason::MediaType);
    }
    // RFC 9110 section 8.3.1: type and subtype are case-insensitive.
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(MediaType::Form)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Ok(MediaType::Json)
    } else {
        Err(RequestReason::MediaType)
    }
}
