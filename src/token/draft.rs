//! What an access token shall say, and the checks before anything is signed (RFC 9068 section 2.2).

use std::sync::Arc;
use std::time::Duration;

pub use crate::protocol::jws::Typ;

use crate::protocol::claims::{AUDIENCES_MAX, DATE_MAX};
use crate::protocol::id::{Audience, ClientId, FamilyId, ID_CHARS_MAX, Subject, is_client_id};
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

/// What every user's `sub` starts with and no client id does (RFC 9068 section 5).
pub const USER_SUBJECT_PREFIX: &str = "usr_";

/// Header, dots and signature of the largest key, RSA with 4096 bits: 109 + 683 + 2 bytes, rounded up.
const ENVELOPE_BYTES_MAX: usize = 800;

/// What bounds every access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest lifetime; the key plan keeps a retiring key this long.
    pub lifetime_max: Duration,
    /// Longest token, in bytes of its compact form.
    pub token_bytes_max: usize,
}

impl Limits {
    /// The default of `token_bytes_max`: half of the 8 KiB that proxies commonly allow for all headers.
    pub const TOKEN_BYTES_MAX: usize = 4_096;

    /// Limits with the default size.
    #[must_use]
    pub fn new(lifetime_max: Duration) -> Self {
        Self { lifetime_max, token_bytes_max: Self::TOKEN_BYTES_MAX }
    }
}

/// Where a token's status is found (draft-ietf-oauth-status-list-17, section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReference {
    /// `uri`: the list.
    pub uri: Arc<str>,
    /// `idx`: the place in it, from 0.
    pub index: u32,
}

/// An access token as somebody would like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// `iss`: byte-equal to the configured issuer.
    pub issuer: Arc<str>,
    /// `sub`: the user, or the client id for a client alone.
    pub subject: Subject,
    /// `client_id`.
    pub client: ClientId,
    /// `aud`: one is written as a string, several as an array. Never empty, at most [`AUDIENCES_MAX`].
    pub audiences: Vec<Audience>,
    /// `scope`; left out if empty.
    pub scope: Scope,
    /// `exp` minus `iat`, in whole seconds, at least one.
    pub lifetime: Duration,
    /// `sid`: the family of the login; none for a client alone.
    pub session: Option<FamilyId>,
    /// `auth_time`: when the user logged in; none for a client alone.
    pub auth_time: Option<UnixSeconds>,
    /// The header's `typ`.
    pub typ: Typ,
    /// `status`: its place in a status list, where its audience wants one.
    pub status: Option<StatusReference>,
}

/// Why a draft is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// No issuer.
    #[error("the issuer is empty")]
    Issuer,
    /// No audience, too many, or one that is empty, too long or has control characters.
    #[error("a token has 1 to {AUDIENCES_MAX} audiences of 1 to {ID_CHARS_MAX} printable bytes")]
    Audience,
    /// The subject is empty, too long or has control characters.
    #[error("a subject has 1 to {ID_CHARS_MAX} printable bytes")]
    Subject,
    /// The client id is malformed, or looks like a user's subject.
    #[error(
        "a client id is 1 to {ID_CHARS_MAX} visible ASCII characters and does not start with `{USER_SUBJECT_PREFIX}`"
    )]
    Client,
    /// A client alone has no login to speak of.
    #[error("a token whose subject is its client has neither `sid` nor `auth_time`")]
    ClientAlone,
    /// Shorter than a second or longer than the limit.
    #[error("the lifetime is under a second or over the longest allowed")]
    Lifetime,
    /// A date is beyond the calendar, or the login is in the future.
    #[error("a date is out of range")]
    Date,
    /// The token could be longer than the limit.
    #[error("the token would be longer than the limit")]
    Size,
}

/// A draft that passed every check; the only thing that is minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    draft: Draft,
    claims_bytes_max: usize,
}

impl Draft {
    /// Checks everything that does not need the key. Cost: linear in the texts; allocates nothing.
    ///
    /// # Errors
    /// [`DraftError`], the first that applies.
    pub fn check(self, limits: &Limits, now: UnixSeconds) -> Result<Checked, DraftError> {
        if self.issuer.is_empty() {
            return Err(DraftError::Issuer);
        }
        // RFC 9068 section 2.2: `aud` is required.
        let audiences = &self.audiences;
        if !(1..=AUDIENCES_MAX).contains(&audiences.len()) || !audiences.iter().all(|aud| is_name(aud.as_str())) {
            return Err(DraftError::Audience);
        }
        if !is_name(self.subject.as_str()) {
            return Err(DraftError::Subject);
        }
        // RFC 9068 section 5: a client must not be able to pass for a user.
        if !is_client_id(self.client.as_str()) || self.client.as_str().starts_with(USER_SUBJECT_PREFIX) {
            return Err(DraftError::Client);
        }
        // RFC 9068 section 2.2.1: `auth_time` and its like speak of a user's login.
        let alone = self.subject.as_str() == self.client.as_str();
        if alone && (self.session.is_some() || self.auth_time.is_some()) {
            return Err(DraftError::ClientAlone);
        }
        if self.lifetime < Duration::from_secs(1) || self.lifetime > limits.lifetime_max {
            return Err(DraftError::Lifetime);
        }
        if now.after(self.lifetime) > DATE_MAX || self.auth_time.is_some_and(|login| login > now) {
            return Err(DraftError::Date);
        }
        let claims_bytes_max = claims_bytes_max(&self);
        // Three bytes become four characters (RFC 4648 section 5).
        if claims_bytes_max.div_ceil(3) * 4 + ENVELOPE_BYTES_MAX > limits.token_bytes_max {
            return Err(DraftError::Size);
        }
        Ok(Checked { draft: self, claims_bytes_max })
    }
}

impl Checked {
    /// What was checked.
    #[must_use]
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The most bytes its claims can have as JSON.
    #[must_use]
    pub fn claims_bytes_max(&self) -> usize {
        self.claims_bytes_max
    }
}

/// 1 to [`ID_CHARS_MAX`] bytes without control characters.
fn is_name(text: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b >= 0x20 && b != 0x7f)
}

/// An upper bound for the claims as JSON.
fn claims_bytes_max(draft: &Draft) -> usize {
    // All names, quotes and separators, two ids of 22 characters, three dates of at most 12 digits: under 230.
    const FIXED: usize = 240;
    // Without control characters JSON escapes only the quote and the backslash, by one byte each.
    let string = |text: &str| text.len() + text.bytes().filter(|b| matches!(b, b'"' | b'\\')).count() + 3;
    let issuer = draft.issuer.bytes().map(|b| if b < 0x20 { 6 } else { 2 }).sum::<usize>() + 3;
    // Names, quotes, brackets and an index of at most ten digits: under 50.
    let status = draft.status.as_ref().map_or(0, |status| string(&status.uri) + 50);
    let audiences: usize = draft.audiences.iter().map(|audience| string(audience.as_str())).sum();
    FIXED
        + issuer
        + audiences
        + string(draft.subject.as_str())
        + string(draft.client.as_str())
        + string(draft.scope.as_str())
        + status
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn draft() -> Draft {
        Draft {
            issuer: Arc::from("https://auth.example"),
            subject: Subject::from("usr_1"),
            client: ClientId::from("web"),
            audiences: vec![Audience::from("https://api.example")],
            scope: "read".parse().expect("scope"),
            lifetime: Duration::from_secs(300),
            session: Some(FamilyId([1; 16])),
            auth_time: Some(NOW),
            typ: Typ::AtJwt,
            status: None,
        }
    }

    #[test]
    fn refusals() {
        type Row = (&'static str, fn(&mut Draft), DraftError);
        let rows: [Row; 18] = [
            ("no issuer", |d| d.issuer = Arc::from(""), DraftError::Issuer),
            ("no audience", |d| d.audiences.clear(), DraftError::Audience),
            ("empty audience", |d| d.audiences = vec![Audience::from("")], DraftError::Audience),
            ("audience with a line break", |d| d.audiences = vec![Audience::from("a\nb")], DraftError::Audience),
            ("17 audiences", |d| d.audiences = vec![Audience::from("a"); 17], DraftError::Audience),
            ("empty subject", |d| d.subject = Subject::from(""), DraftError::Subject),
            ("long subject", |d| d.subject = Subject::from("x".repeat(256)), DraftError::Subject),
            ("subject with NUL", |d| d.subject = Subject::from("a\0"), DraftError::Subject),
            ("empty client", |d| d.client = ClientId::from(""), DraftError::Client),
            ("client with a space", |d| d.client = ClientId::from("a b"), DraftError::Client),
            ("client like a user", |d| d.client = ClientId::from("usr_2"), DraftError::Client),
            ("client alone, logged in", |d| d.subject = Subject::from("web"), DraftError::ClientAlone),
            ("no lifetime", |d| d.lifetime = Duration::ZERO, DraftError::Lifetime),
            ("half a second", |d| d.lifetime = Duration::from_millis(500), DraftError::Lifetime),
            ("too long a life", |d| d.lifetime = Duration::from_secs(3_601), DraftError::Lifetime),
            ("login in the future", |d| d.auth_time = Some(UnixSeconds(NOW.0 + 1)), DraftError::Date),
            (
                "long audiences",
                |d| d.audiences = (0..12).map(|n| Audience::from(format!("{n:0>240}"))).collect(),
                DraftError::Size,
            ),
            ("long issuer", |d| d.issuer = Arc::from("x".repeat(3_000)), DraftError::Size),
        ];
        let limits = Limits::new(Duration::from_secs(3_600));
        draft().check(&limits, NOW).expect("the good one passes");
        for (name, break_one_thing, error) in rows {
            let mut bad = draft();
            break_one_thing(&mut bad);
            assert_eq!(bad.check(&limits, NOW), Err(error), "{name}");
        }
        assert_eq!(draft().check(&limits, DATE_MAX).map(|_| ()), Err(DraftError::Date), "the calendar ends");
    }
}
