//! Who asks: registered clients (RFC 6749 section 2) and how they authenticate.

pub mod authenticate;
pub mod file;
pub mod registry;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use zeroize::Zeroizing;

use crate::ambient::entropy::draw;
use crate::ambient::{Entropy, EntropyError};
use crate::protocol::base64url;
use crate::protocol::id::{Audience, ClientId};
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

/// A grant a client may be allowed to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 6749 section 4.3; only with `compatibility.password_grant` (RFC 9700 section 2.4).
    Password,
}

impl GrantType {
    /// The `grant_type` value on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
        }
    }
}

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// Authenticates with a secret.
    Confidential,
    /// A browser or an installed app; identifies itself, proves nothing.
    Public,
}

/// The SHA-256 of a generated 256-bit client secret. A slow hash would add nothing: there is nothing to guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretDigest {
    /// SHA-256 of the secret's text.
    pub sha256: [u8; 32],
    /// When it was generated.
    pub created_at: UnixSeconds,
    /// When it stops working; two secrets overlap during a rotation.
    pub ends_at: Option<UnixSeconds>,
}

/// What every generated secret starts with, so that secret scanners know it.
pub const SECRET_PREFIX: &str = "mgs_";

/// Draws a client secret: `mgs_` and 43 characters of base64url, 256 random bits.
///
/// # Errors
/// [`EntropyError`] if the source fails.
pub fn generate_secret(entropy: &dyn Entropy) -> Result<Zeroizing<String>, EntropyError> {
    let bytes = Zeroizing::new(draw::<32>(entropy)?);
    let encoded = Zeroizing::new(base64url::encode(bytes.as_slice()));
    Ok(Zeroizing::new(format!("{SECRET_PREFIX}{}", encoded.as_str())))
}

/// The SHA-256 of a secret's text.
#[must_use]
pub fn digest(secret: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref());
    out
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: ClientId,
    /// Confidential or public.
    pub kind: ClientKind,
    /// Ours: may use `/login`.
    pub first_party: bool,
    /// Switched off clients get nothing, whatever they present.
    pub enabled: bool,
    /// The secrets that work now, at most two.
    pub secrets: Vec<SecretDigest>,
    /// The grants it may use.
    pub grants: Vec<GrantType>,
    /// The most it may be granted; also what it gets when it asks for nothing.
    pub scope: Scope,
    /// The audiences it may ask for; the first is the default. Never empty.
    pub audiences: Vec<Audience>,
    /// Lifetime of its access tokens, if it differs from the configured one.
    pub access_lifetime: Option<Duration>,
}

impl Client {
    /// Whether this client may use `grant`.
    #[must_use]
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.grants.contains(&grant)
    }
}
