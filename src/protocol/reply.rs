//! What the endpoints answer when all is well.

use serde::Serialize;

use crate::protocol::claims::AccessClaims;
use crate::protocol::id::{Audience, ClientId, FamilyId, Jti, Subject};
use crate::protocol::json;
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

/// Room for the names, the type and the lifetime of a [`TokenReply`] in JSON.
const NAMES_BYTES: usize = 128;

/// The answer of the token endpoint (RFC 6749 section 5.1). Holds secrets: never log it.
#[derive(Clone, Serialize)]
pub struct TokenReply {
    /// The access token.
    pub access_token: String,
    /// Always `Bearer` (RFC 6750).
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// The refresh token, if one is issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// What was granted; sent always, so that it is there whenever it differs from what was asked.
    pub scope: Scope,
}

impl TokenReply {
    /// The answer as JSON, as serde would write it. By hand: a token is some hundred bytes that need no escape, and a
    /// general serialiser looks at each of them.
    ///
    /// # Errors
    /// As [`json::append_string`].
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let texts = [self.access_token.len(), self.refresh_token.as_ref().map_or(0, String::len)];
        let mut out = Vec::with_capacity(NAMES_BYTES + texts.iter().sum::<usize>() + self.scope.as_str().len());
        out.extend_from_slice(b"{\"access_token\":");
        json::append_string(&self.access_token, &mut out)?;
        out.extend_from_slice(b",\"token_type\":");
        json::append_string(self.token_type, &mut out)?;
        out.extend_from_slice(b",\"expires_in\":");
        serde_json::to_writer(&mut out, &self.expires_in)?;
        if let Some(token) = &self.refresh_token {
            out.extend_from_slice(b",\"refresh_token\":");
            json::append_string(token, &mut out)?;
        }
        out.extend_from_slice(b",\"scope\":");
        json::append_string(self.scope.as_str(), &mut out)?;
        out.push(b'}');
        Ok(out)
    }
}

/// The answer of the introspection endpoint (RFC 7662 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Introspection {
    /// A live access token.
    Access(Box<ActiveAccess>),
    /// A live refresh token.
    Refresh(Box<ActiveRefresh>),
    /// Anything else: one member and nothing that tells why.
    Inactive {
        /// Always false.
        active: bool,
    },
}

impl Introspection {
    /// The answer for everything that is not good.
    pub const INACTIVE: Self = Self::Inactive { active: false };
}

/// A live access token, as RFC 7662 section 2.2 shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveAccess {
    active: bool,
    iss: String,
    sub: Subject,
    aud: Vec<Audience>,
    exp: UnixSeconds,
    iat: UnixSeconds,
    jti: Jti,
    client_id: ClientId,
    #[serde(skip_serializing_if = "Scope::is_empty")]
    scope: Scope,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<FamilyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<UnixSeconds>,
}

impl From<AccessClaims> for ActiveAccess {
    fn from(claims: AccessClaims) -> Self {
        Self {
            active: true,
            iss: claims.issuer,
            sub: claims.subject,
            aud: claims.audiences,
            exp: claims.expires_at,
            iat: claims.issued_at,
            jti: claims.jti,
            client_id: claims.client,
            scope: claims.scope,
            token_type: "Bearer",
            sid: claims.session,
            auth_time: claims.auth_time,
        }
    }
}

/// A live refresh token; only the client that owns it is shown one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveRefresh {
    /// Always true.
    pub active: bool,
    /// The issuer.
    pub iss: String,
    /// Who logged in.
    pub sub: Subject,
    /// When it ends unless it is used: idle or absolute end, whichever is sooner.
    pub exp: UnixSeconds,
    /// When it was sealed.
    pub iat: UnixSeconds,
    /// Its client.
    pub client_id: ClientId,
    /// Everything that was granted.
    pub scope: Scope,
    /// Its family.
    pub sid: FamilyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reply_is_what_serde_would_write() {
        let plain = TokenReply {
            access_token: "a.b-c_d.e".to_owned(),
            token_type: "Bearer",
            expires_in: 300,
            refresh_token: None,
            scope: "read write".parse().expect("scope"),
        };
        let renewable =
            TokenReply { refresh_token: Some("mgr_x\"\\y".to_owned()), expires_in: u64::MAX, ..plain.clone() };
        let empty = TokenReply { scope: Scope::empty(), ..plain.clone() };
        for reply in [plain, renewable, empty] {
            assert_eq!(reply.to_json().expect("JSON"), serde_json::to_vec(&reply).expect("JSON"));
        }
    }
}
