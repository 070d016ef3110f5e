//! What the endpoints answer when all is well.

use serde::Serialize;

use crate::protocol::claims::AccessClaims;
use crate::protocol::id::{Audience, ClientId, FamilyId, Jti, Subject};
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

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
