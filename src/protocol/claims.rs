//! The claims of an access token, read with their types (RFC 7519 section 4.1, RFC 9068 section 2.2).
//!
//! A claim of the wrong JSON type is refused, required or not: a parser that shrugs at `"exp": "soon"` lets a token
//! live for ever.

use serde_json::{Map, Value};

use crate::protocol::id::{Audience, ClientId, FamilyId, ID_CHARS_MAX, Jti, Subject, is_client_id};
use crate::protocol::json::{self, JsonError};
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

/// Most members of `aud`.
pub const AUDIENCES_MAX: usize = 16;

/// The last date a token may carry: the end of the year 9999, where RFC 3339 ends too.
pub const DATE_MAX: UnixSeconds = UnixSeconds(253_402_300_799);

/// Why a payload is not an access token's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// The payload is not one strict JSON object.
    #[error("the claims are not a strict JSON object: {0}")]
    Json(JsonError),
    /// A claim that must be there is not.
    #[error("the claim `{0}` is missing")]
    Missing(&'static str),
    /// A claim has the wrong JSON type, is empty, too long, or out of range.
    #[error("the claim `{0}` has the wrong type or is out of range")]
    Invalid(&'static str),
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: Subject,
    /// `aud`, a string or an array on the wire; never empty.
    pub audiences: Vec<Audience>,
    /// `exp`.
    pub expires_at: UnixSeconds,
    /// `iat`.
    pub issued_at: UnixSeconds,
    /// `nbf`.
    pub not_before: Option<UnixSeconds>,
    /// `jti`.
    pub jti: Jti,
    /// `client_id`.
    pub client: ClientId,
    /// `scope`; empty if the claim is absent.
    pub scope: Scope,
    /// `sid`: the family of the login, if there was one.
    pub session: Option<FamilyId>,
    /// `auth_time`.
    pub auth_time: Option<UnixSeconds>,
}

impl AccessClaims {
    /// Reads a decoded payload. Claims nobody knows are ignored (RFC 7519 section 4).
    ///
    /// # Errors
    /// [`ClaimsError`], naming the first claim that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, ClaimsError> {
        let claims = json::object(bytes).map_err(ClaimsError::Json)?;
        let required = |name| text(&claims, name)?.ok_or(ClaimsError::Missing(name));
        let issuer = required("iss")?;
        let client = required("client_id")?;
        if !is_client_id(client) {
            return Err(ClaimsError::Invalid("client_id"));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            subject: Subject::from(short("sub", required("sub")?)?),
            audiences: audiences(claims.get("aud").ok_or(ClaimsError::Missing("aud"))?)?,
            expires_at: date(&claims, "exp")?.ok_or(ClaimsError::Missing("exp"))?,
            issued_at: date(&claims, "iat")?.ok_or(ClaimsError::Missing("iat"))?,
            not_before: date(&claims, "nbf")?,
            jti: required("jti")?.parse().map_err(|_| ClaimsError::Invalid("jti"))?,
            client: ClientId::from(client),
            scope: text(&claims, "scope")?.unwrap_or("").parse().map_err(|_| ClaimsError::Invalid("scope"))?,
            session: match text(&claims, "sid")? {
                None => None,
                Some(sid) => Some(sid.parse().map_err(|_| ClaimsError::Invalid("sid"))?),
            },
            auth_time: date(&claims, "auth_time")?,
        })
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, ClaimsError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ClaimsError::Invalid(name)),
    }
}

fn short<'a>(name: &'static str, text: &'a str) -> Result<&'a str, ClaimsError> {
    if (1..=ID_CHARS_MAX).contains(&text.len()) { Ok(text) } else { Err(ClaimsError::Invalid(name)) }
}

/// RFC 7519 section 4.1.3: a string, or an array of strings.
fn audiences(aud: &Value) -> Result<Vec<Audience>, ClaimsError> {
    let one = |value: &Value| match value {
        Value::String(text) => short("aud", text).map(Audience::from),
        _ => Err(ClaimsError::Invalid("aud")),
    };
    match aud {
        Value::Array(many) if (1..=AUDIENCES_MAX).contains(&many.len()) => many.iter().map(one).collect(),
        Value::Array(_) => Err(ClaimsError::Invalid("aud")),
        value => Ok(vec![one(value)?]),
    }
}

/// RFC 7519 section 2 lets a NumericDate have a fraction. Ours never have one, so one that has is not ours.
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixSeconds>, ClaimsError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let date = value.as_u64().map(UnixSeconds).filter(|date| *date <= DATE_MAX);
    date.map(Some).ok_or(ClaimsError::Invalid(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "iss": "https://auth.example", "sub": "usr_1", "aud": ["https://api.example"], "exp": 1_300, "iat": 1_000,
            "nbf": 1_000, "jti": "AAAAAAAAAAAAAAAAAAAAAA", "client_id": "web", "scope": "read",
            "sid": "AAAAAAAAAAAAAAAAAAAAAA", "auth_time": 900,
        })
    }

    #[test]
    fn every_claim_refuses_every_other_json_type() {
        let claims = AccessClaims::read(good().to_string().as_bytes()).expect("good");
        assert_eq!((claims.expires_at, claims.audiences.len()), (UnixSeconds(1_300), 1));
        let others =
            [json!(null), json!(true), json!(1.5), json!(-1), json!(1e30), json!({}), json!([]), json!([1]), json!("")];
        for name in good().as_object().expect("object").keys() {
            for other in &others {
                // An empty scope is a scope; RFC 7519 knows no empty anything else.
                if (name.as_str(), other) == ("scope", &json!("")) || (name.as_str(), other) == ("iss", &json!("")) {
                    continue;
                }
                let mut bad = good();
                bad[name] = other.clone();
                let refused = AccessClaims::read(bad.to_string().as_bytes());
                assert!(matches!(refused, Err(ClaimsError::Invalid(_))), "{name} = {other}: {refused:?}");
            }
        }
    }

    #[test]
    fn required_claims_are_required() {
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
            let mut bad = good();
            bad.as_object_mut().expect("object").remove(name);
            assert_eq!(
                AccessClaims::read(bad.to_string().as_bytes()).map(|_| ()),
                Err(ClaimsError::Missing(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn dates_end_with_the_year_9999() {
        for (exp, ok) in [(DATE_MAX.0, true), (DATE_MAX.0 + 1, false), (u64::MAX, false)] {
            let mut claims = good();
            claims["exp"] = json!(exp);
            assert_eq!(AccessClaims::read(claims.to_string().as_bytes()).is_ok(), ok, "{exp}");
        }
        // An integral float is still another spelling of the date; we write integers only.
        let float = good().to_string().replace("1300", "1300.0");
        assert!(AccessClaims::read(float.as_bytes()).is_err());
    }
}
