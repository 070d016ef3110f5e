//! A public key that verifies, pinned to its one algorithm (RFC 8725 section 3.1).

use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey};

use crate::keys::provider;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::id::Kid;
use crate::protocol::jwk::PublicJwk;

/// A verification key: the key says which algorithm, never the token's header.
#[derive(Clone, Debug)]
pub struct VerifyKey {
    kid: Kid,
    public: PublicJwk,
    decoding: DecodingKey,
}

impl VerifyKey {
    /// Prepares a public key for verifying.
    #[must_use]
    pub fn new(public: PublicJwk) -> Self {
        provider::install();
        let point = |tag: &[u8], x: &[u8], y: &[u8]| [tag, x, y].concat();
        let decoding = match &public {
            PublicJwk::P256 { x, y } => DecodingKey::from_ec_der(&point(&[4], x, y)),
            PublicJwk::P384 { x, y } => DecodingKey::from_ec_der(&point(&[4], x, y)),
            PublicJwk::Ed25519 { x } => DecodingKey::from_ed_der(x),
            PublicJwk::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
        };
        Self { kid: public.thumbprint(), public, decoding }
    }

    /// The RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The key itself.
    #[must_use]
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Whether `signature` (base64url) signs `message` (`header.claims`) under this key and its algorithm.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        // One spelling for each signature (RFC 7515 section 2): the strict decoder goes first.
        if base64url::decode(signature.as_bytes()).is_none() {
            return false;
        }
        let algorithm = match self.algorithm() {
            Algorithm::Es256 => JwtAlgorithm::ES256,
            Algorithm::Es384 => JwtAlgorithm::ES384,
            Algorithm::EdDsa => JwtAlgorithm::EdDSA,
            Algorithm::Rs256 => JwtAlgorithm::RS256,
        };
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }
}
