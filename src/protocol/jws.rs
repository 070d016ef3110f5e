//! Compact JWS (RFC 7515 section 7.1): strict about its form, deaf to headers that choose keys.

use serde_json::{Map, Value};

use crate::protocol::base64url;
use crate::protocol::json::{self, JsonError};

/// Longest token read, in bytes. Longer ones break proxies anyway: common header limits are 8 KiB.
pub const TOKEN_BYTES_MAX: usize = 8_192;

/// Longest `kid` looked up, in bytes; a thumbprint has 43.
pub const KID_BYTES_MAX: usize = 64;

/// The `typ` of an access token's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Typ {
    /// `at+jwt` (RFC 9068 section 2.1): cannot be taken for an ID token.
    #[default]
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// `JWT`, for audiences whose verifier takes nothing else.
    #[serde(rename = "JWT")]
    Jwt,
}

impl Typ {
    /// Both, in the order a signing key keeps its headers.
    pub const ALL: [Self; 2] = [Self::AtJwt, Self::Jwt];

    /// As written into the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AtJwt => "at+jwt",
            Self::Jwt => "JWT",
        }
    }

    /// Whether `written` says this type.
    ///
    /// A media type compares without case, and `application/` may stand in front (RFC 7515 section 4.1.9); RFC 9068
    /// section 4 asks verifiers to take `application/at+jwt` too.
    #[must_use]
    pub fn is_written(self, written: &str) -> bool {
        const PREFIX: &str = "application/";
        let short = match written.get(..PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => written.get(PREFIX.len()..).unwrap_or(""),
            _ => written,
        };
        short.eq_ignore_ascii_case(self.name())
    }
}

/// Why a text is not a token we look at any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts of base64url between two dots: JSON form, five-part JWE, padding, white space, NUL.
    #[error("the token is not header.claims.signature in base64url without padding")]
    Form,
    /// The header is not one strict JSON object.
    #[error("the header is not a strict JSON object: {0}")]
    HeaderJson(JsonError),
    /// `alg`, `kid` or `typ` is not a string, or `alg` is missing.
    #[error("the header member `{0}` is missing or not a string")]
    HeaderMember(&'static str),
    /// A member that would choose the key, the form or an extension.
    #[error("the header member `{0}` is not allowed")]
    HeaderForbidden(&'static str),
    /// `kid` is missing, too long, or not base64url.
    #[error("`kid` is missing, longer than {KID_BYTES_MAX} bytes, or not base64url")]
    Kid,
}

/// Header members that end the reading at once, whatever they say.
const FORBIDDEN: [&str; 8] = [
    "crit", // RFC 7515 section 4.1.11: an extension we do not know must be refused; we know none.
    "jku", "jwk", "x5u", "x5c", // RFC 8725 section 3.10: the token does not choose its key.
    "b64", // RFC 7797 section 3: another signing input.
    "zip", "enc", // RFC 7516 sections 4.1.2 and 4.1.3: encrypted or compressed, not signed.
];

/// The header of a JWS, past the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `alg` as written. It is compared with the key's algorithm, never obeyed (RFC 8725 section 3.1).
    pub alg: String,
    /// `kid` as written, unchecked; see [`Header::kid`].
    kid: Option<String>,
    /// `typ` as written.
    pub typ: Option<String>,
}

impl Header {
    /// Reads a decoded header. Members nobody knows are ignored (RFC 7515 section 4).
    ///
    /// # Errors
    /// `HeaderJson`, `HeaderForbidden` or `HeaderMember`.
    pub fn read(bytes: &[u8]) -> Result<Self, JwsError> {
        let mut members = json::object(bytes).map_err(JwsError::HeaderJson)?;
        if let Some(name) = FORBIDDEN.into_iter().find(|name| members.contains_key(*name)) {
            return Err(JwsError::HeaderForbidden(name));
        }
        Ok(Self {
            // RFC 7515 section 4.1.1: `alg` must be present.
            alg: text(&mut members, "alg")?.ok_or(JwsError::HeaderMember("alg"))?,
            kid: text(&mut members, "kid")?,
            typ: text(&mut members, "typ")?,
        })
    }

    /// The `kid`, safe to look up and to log.
    ///
    /// # Errors
    /// `Kid` if it is missing or could not be one of our thumbprints: never a path, never a query.
    pub fn kid(&self) -> Result<&str, JwsError> {
        let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        self.kid
            .as_deref()
            .filter(|kid| (1..=KID_BYTES_MAX).contains(&kid.len()) && kid.bytes().all(is_base64url))
            .ok_or(JwsError::Kid)
    }
}

fn text(members: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, JwsError> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::HeaderMember(name)),
    }
}

/// A compact JWS taken apart; nothing in it is trusted yet.
#[derive(Clone, Debug)]
pub struct Compact<'a> {
    /// The header, past the gate.
    pub header: Header,
    /// The signing input: `header.claims` as received (RFC 7515 section 5.2).
    pub message: &'a [u8],
    /// The claims, base64url.
    pub payload: &'a str,
    /// The signature, base64url.
    pub signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes `token` apart. Allocates nothing before its length and its two dots are known.
    ///
    /// # Errors
    /// Every [`JwsError`] but `Kid`.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        Self::parse_within(token, TOKEN_BYTES_MAX)
    }

    /// As [`Compact::parse`], for a document that may be longer than a token.
    ///
    /// # Errors
    /// Every [`JwsError`] but `Kid`.
    pub fn parse_within(text: &'a str, bytes_max: usize) -> Result<Self, JwsError> {
        let Parts { header, payload, signature, message } = Parts::split_within(text, bytes_max)?;
        // RFC 7515 section 5.2: each part by itself must be canonical base64url.
        let header = base64url::decode(header.as_bytes()).ok_or(JwsError::Form)?;
        Ok(Self { header: Header::read(&header)?, message, payload, signature })
    }

    /// The claims, decoded but not yet read.
    ///
    /// # Errors
    /// `Form` if they are not canonical base64url.
    pub fn payload_bytes(&self) -> Result<Vec<u8>, JwsError> {
        base64url::decode(self.payload.as_bytes()).ok_or(JwsError::Form)
    }
}

/// The three parts as text, for those who show a token rather than believe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Everything before the first dot.
    pub header: &'a str,
    /// Everything between the dots.
    pub payload: &'a str,
    /// Everything after the second dot.
    pub signature: &'a str,
    /// Everything before the second dot.
    pub message: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits at exactly two dots, after the length and the alphabet are checked. Allocates nothing.
    ///
    /// # Errors
    /// `TooLong` or `Form`.
    pub fn split(token: &'a str) -> Result<Self, JwsError> {
        Self::split_within(token, TOKEN_BYTES_MAX)
    }

    fn split_within(token: &'a str, bytes_max: usize) -> Result<Self, JwsError> {
        if token.len() > bytes_max {
            return Err(JwsError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsError::Form);
        };
        // One alphabet for everything: `{`, `=`, white space, NUL and everything beyond ASCII end here.
        let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if [header, payload, signature].iter().any(|part| !part.bytes().all(is_base64url)) {
            return Err(JwsError::Form);
        }
        // RFC 8725 section 3.2: a signature there must be. An empty payload is caught when the claims are read.
        if header.is_empty() || signature.is_empty() {
            return Err(JwsError::Form);
        }
        let message = token.as_bytes().get(..header.len() + 1 + payload.len()).ok_or(JwsError::Form)?;
        Ok(Self { header, payload, signature, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_are_refused() {
        let long = format!("a.b.{}", "c".repeat(TOKEN_BYTES_MAX));
        let rows = [
            ("", JwsError::Form),
            ("a.b", JwsError::Form),
            ("a.b.c.d", JwsError::Form),
            ("a.b.c.d.e", JwsError::Form),
            ("a.b.", JwsError::Form),
            (".b.c", JwsError::Form),
            ("a.b.c=", JwsError::Form),
            ("a.b.c\n", JwsError::Form),
            (" a.b.c", JwsError::Form),
            ("a.b\0.c", JwsError::Form),
            ("a.b.\u{441}", JwsError::Form),
            (r#"{"payload":"a","signatures":[]}"#, JwsError::Form),
            (long.as_str(), JwsError::TooLong),
        ];
        for (token, error) in rows {
            assert_eq!(Parts::split(token), Err(error), "{token:?}");
        }
        assert_eq!(Parts::split("a.b.c").expect("three parts").message, b"a.b");
    }

    #[test]
    fn headers_that_are_refused() {
        let rows: [(&str, JwsError); 9] = [
            ("[]", JwsError::HeaderJson(JsonError::NotObject)),
            (r#"{"alg":"ES256","alg":"none"}"#, JwsError::HeaderJson(JsonError::Malformed)),
            (r#"{"typ":"JWT"}"#, JwsError::HeaderMember("alg")),
            (r#"{"alg":["ES256"]}"#, JwsError::HeaderMember("alg")),
            (r#"{"alg":"ES256","kid":1}"#, JwsError::HeaderMember("kid")),
            (r#"{"alg":"ES256","typ":null}"#, JwsError::HeaderMember("typ")),
            (r#"{"alg":"ES256","crit":[]}"#, JwsError::HeaderForbidden("crit")),
            (r#"{"alg":"ES256","jwk":null}"#, JwsError::HeaderForbidden("jwk")),
            (r#"{"alg":"ES256","b64":true}"#, JwsError::HeaderForbidden("b64")),
        ];
        for (text, error) in rows {
            assert_eq!(Header::read(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn a_kid_is_a_name_and_nothing_else() {
        let kid = |text: &str| Header { alg: "ES256".to_owned(), kid: Some(text.to_owned()), typ: None };
        assert_eq!(kid("NzbLsXh8uDCcd-6M").kid(), Ok("NzbLsXh8uDCcd-6M"));
        for bad in ["", "../../dev/null", "a' OR '1'='1", "a\0", "a b", &"k".repeat(KID_BYTES_MAX + 1)] {
            assert_eq!(kid(bad).kid(), Err(JwsError::Kid), "{bad:?}");
        }
    }

    #[test]
    fn typ_is_a_media_type() {
        for good in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert!(Typ::AtJwt.is_written(good), "{good}");
        }
        for bad in ["", "JWT", "at+jwt ", "application/", "application/application/at+jwt", "text/at+jwt", "\u{212a}"] {
            assert!(!Typ::AtJwt.is_written(bad), "{bad:?}");
        }
    }
}
