//! A parsed private key that signs (RFC 7515 section 5.1).

use std::fmt;

use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256,
};
use zeroize::Zeroizing;

use crate::ambient::entropy::ring_source;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::id::Kid;
use crate::protocol::jwk::{JwkError, PublicJwk};
use crate::protocol::jws::Typ;

/// Why a private key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a PKCS#8 (or, for RSA, PKCS#1) key of this algorithm.
    #[error("the bytes are not a private key for {0}")]
    Malformed(Algorithm),
    /// RSA outside 2048 to 4096 bits (RFC 7518 section 3.3).
    #[error("an RSA key has 2048 to 4096 bits and an exponent of at least 65537")]
    RsaSize,
    /// RSA from a generator known to be broken (CVE-2017-15361).
    #[error("the RSA key comes from a broken generator (CVE-2017-15361) and can be factored; make a new one")]
    RsaWeak,
    /// RSA keys are imported, not generated.
    #[error("RSA keys are imported, not generated; make one with `openssl genrsa 3072` and use `mintgate keys import`")]
    RsaGenerate,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Entropy,
}

/// The signature could not be made: the system gave no random bytes, or the key is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature could not be made")]
pub struct SignError;

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A signing key, parsed once; signing parses nothing and draws its nonce from ring's hedged generator.
pub struct SigningKey {
    kid: Kid,
    algorithm: Algorithm,
    public: PublicJwk,
    pair: Pair,
    /// `base64url(header) .` for each type, in the order of [`Typ::ALL`]: encoded once, copied into every token.
    heads: [Box<[u8]>; 2],
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Generates a private key and returns it as PKCS#8 DER, wiped when dropped.
    ///
    /// # Errors
    /// `RsaGenerate` for RS256: ring does not generate RSA keys. `Entropy` if the system gives no random bytes.
    pub fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let random = ring_source();
        let document = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random),
            Algorithm::Es384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, random),
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(random),
            Algorithm::Rs256 => return Err(KeyError::RsaGenerate),
        };
        let document = document.map_err(|_| KeyError::Entropy)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Parses PKCS#8 DER (RFC 5208, RFC 5958); for RS256 also PKCS#1 DER (RFC 8017 appendix A.1.2).
    ///
    /// # Errors
    /// `Malformed` or `RsaSize`.
    pub fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let malformed = |_| KeyError::Malformed(algorithm);
        let (pair, public) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, ring_source())
                    .map_err(malformed)?;
                let (x, y) = coordinates(pair.public_key().as_ref()).ok_or(KeyError::Malformed(algorithm))?;
                (Pair::Ecdsa(pair), PublicJwk::P256 { x, y })
            }
            Algorithm::Es384 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der, ring_source())
                    .map_err(malformed)?;
                let (x, y) = coordinates(pair.public_key().as_ref()).ok_or(KeyError::Malformed(algorithm))?;
                (Pair::Ecdsa(pair), PublicJwk::P384 { x, y })
            }
            Algorithm::EdDsa => {
                // OpenSSL writes version 1 without the public key, ring version 2 with it: both are read.
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(malformed)?;
                let x = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed(algorithm))?;
                (Pair::Ed25519(pair), PublicJwk::Ed25519 { x })
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).map_err(malformed)?;
                let components = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let public = PublicJwk::rsa(components.n, components.e).map_err(|error| match error {
                    JwkError::WeakRsa => KeyError::RsaWeak,
                    _ => KeyError::RsaSize,
                })?;
                (Pair::Rsa(Box::new(pair)), public)
            }
        };
        let kid = public.thumbprint();
        let heads = Typ::ALL.map(|typ| head(algorithm, typ, &kid));
        Ok(Self { kid, algorithm, public, pair, heads })
    }

    /// The RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// The encoded header of a token of this type, and its dot.
    #[must_use]
    pub fn head(&self, typ: Typ) -> &[u8] {
        let [at_jwt, jwt] = &self.heads;
        match typ {
            Typ::AtJwt => at_jwt,
            Typ::Jwt => jwt,
        }
    }

    /// Signs what stands in `out` from `message_start` on, and appends `.` and the base64url signature: header and
    /// claims become a finished compact JWS in one buffer (RFC 7515 section 3.1). ECDSA signatures are r and s, side
    /// by side (RFC 7518 section 3.4).
    ///
    /// # Errors
    /// [`SignError`]; `out` is unchanged then.
    pub fn sign_onto(&self, message_start: usize, out: &mut Vec<u8>) -> Result<(), SignError> {
        let message = out.get(message_start..).ok_or(SignError)?;
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(ring_source(), message).map_err(|_| SignError)?;
                out.push(b'.');
                base64url::append(signature.as_ref(), out);
            }
            Pair::Ed25519(pair) => {
                let signature = pair.sign(message);
                out.push(b'.');
                base64url::append(signature.as_ref(), out);
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, ring_source(), message, &mut signature).map_err(|_| SignError)?;
                out.push(b'.');
                base64url::append(&signature, out);
            }
        }
        Ok(())
    }
}

/// Every value is a constant or base64url, so nothing here needs escaping.
fn head(algorithm: Algorithm, typ: Typ, kid: &Kid) -> Box<[u8]> {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"{}","kid":"{kid}"}}"#, typ.name());
    let mut out = Vec::new();
    base64url::append(header.as_bytes(), &mut out);
    out.push(b'.');
    out.into_boxed_slice()
}

/// The two halves of an uncompressed point `04 || x || y` (SEC 1 section 2.3.3).
fn coordinates<const N: usize>(point: &[u8]) -> Option<([u8; N], [u8; N])> {
    let (tag, rest) = point.split_first()?;
    if *tag != 4 || rest.len() != 2 * N {
        return None;
    }
    let (x, y) = rest.split_at(N);
    Some((x.try_into().ok()?, y.try_into().ok()?))
}
