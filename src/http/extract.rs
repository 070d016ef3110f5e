//! What is taken from a request: its body within bounds, its media type, its credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use zeroize::Zeroizing;

use crate::http::limits::BodyLimits;
use crate::protocol::error::{ClientReason, RequestReason};
use crate::protocol::params::form_decode;

/// Longest Authorization header we look into, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 8 * 1024;

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

/// Credentials of the Basic scheme (RFC 7617), as RFC 6749 section 2.3.1 encodes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// The user-id, form-decoded (RFC 6749 appendix B).
    pub id: String,
    /// The password, form-decoded.
    pub secret: Zeroizing<String>,
    /// The two as they were sent, if that differs: many clients forget to encode.
    pub raw: Option<(String, Zeroizing<String>)>,
}

impl std::fmt::Debug for Basic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Basic").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The Authorization header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// None was sent.
    Absent,
    /// RFC 7617.
    Basic(Basic),
    /// RFC 6750 section 2.1; the token as it was sent.
    Bearer(&'a str),
    /// Another scheme.
    Other,
}

/// Reads the Authorization header.
///
/// # Errors
/// `Malformed` if it is sent more than once (RFC 9110 section 11.6.2 knows one), is longer than 8 KiB, is not
/// text, or its credentials cannot be read.
pub fn authorization(headers: &HeaderMap) -> Result<Authorization<'_>, ClientReason> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Authorization::Absent) };
    if values.next().is_some() || value.len() > AUTHORIZATION_BYTES_MAX {
        return Err(ClientReason::Malformed);
    }
    let text = value.to_str().map_err(|_| ClientReason::Malformed)?;
    let (scheme, credentials) = text.split_once(' ').unwrap_or((text, ""));
    let credentials = credentials.trim_matches(' ');
    // RFC 9110 section 11.1: the scheme is case-insensitive.
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(credentials).map(Authorization::Basic);
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        // RFC 6750 section 2.1: one b64token.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let well_formed = !credentials.is_empty() && credentials.bytes().all(plain);
        return if well_formed { Ok(Authorization::Bearer(credentials)) } else { Err(ClientReason::Malformed) };
    }
    Ok(Authorization::Other)
}

fn basic(credentials: &str) -> Result<Basic, ClientReason> {
    let bytes = Zeroizing::new(STANDARD.decode(credentials).map_err(|_| ClientReason::Malformed)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| ClientReason::Malformed)?;
    // RFC 7617 section 2: the first colon divides; control characters are not allowed.
    let (id, secret) = text.split_once(':').ok_or(ClientReason::Malformed)?;
    if text.chars().any(char::is_control) {
        return Err(ClientReason::Malformed);
    }
    // Sent raw, a lone `%` is no encoding at all: then the raw form is the only one.
    let decoded = form_decode(id).zip(form_decode(secret));
    let sent = || (id.to_owned(), Zeroizing::new(secret.to_owned()));
    Ok(match decoded {
        Some((own, key)) if own == id && key == secret => {
            let (id, secret) = sent();
            Basic { id, secret, raw: None }
        }
        Some((own, key)) => Basic { id: own.into_owned(), secret: Zeroizing::new(key.into_owned()), raw: Some(sent()) },
        None => {
            let (id, secret) = sent();
            Basic { id, secret, raw: None }
        }
    })
}
