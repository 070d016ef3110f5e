//! jsonwebtoken's cryptography, done by ring: no second crypto stack in the binary.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use signature::{Error as SignatureError, Signer, Verifier};

use crate::keys::signing::SigningKey;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;

/// Makes ring the provider of this process. Any number of calls; the first one counts.
pub fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An error means that the process installed one before us; ours or not, that one is in use.
        let _ = PROVIDER.install_default();
    });
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let own = own_algorithm(*algorithm)?;
        let key = SigningKey::from_der(own, key.as_bytes()).map_err(|_| Error::from(ErrorKind::InvalidKeyFormat))?;
        Ok(Box::new(RingSigner { key, algorithm: *algorithm }))
    },
    verifier_factory: |algorithm, key| {
        own_algorithm(*algorithm)?;
        Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
    },
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        rsa_pub_components_from_public_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ec_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ed_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        compute_digest: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
};

/// Our name for jsonwebtoken's algorithm; everything else, HMAC above all, is refused here.
fn own_algorithm(algorithm: JwtAlgorithm) -> Result<Algorithm, Error> {
    match algorithm {
        JwtAlgorithm::ES256 => Ok(Algorithm::Es256),
        JwtAlgorithm::ES384 => Ok(Algorithm::Es384),
        JwtAlgorithm::EdDSA => Ok(Algorithm::EdDsa),
        JwtAlgorithm::RS256 => Ok(Algorithm::Rs256),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct RingSigner {
    key: SigningKey,
    algorithm: JwtAlgorithm,
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let mut out = message.to_vec();
        self.key.sign_onto(0, &mut out).map_err(|_| SignatureError::new())?;
        out.get(message.len() + 1..).and_then(base64url::decode).ok_or_else(SignatureError::new)
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }
}

struct RingVerifier {
    algorithm: JwtAlgorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let verdict = match (self.algorithm, self.key.kind()) {
            (JwtAlgorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => by(&ECDSA_P256_SHA256_FIXED, point),
            (JwtAlgorithm::ES384, DecodingKeyKind::SecretOrDer(point)) => by(&ECDSA_P384_SHA384_FIXED, point),
            (JwtAlgorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => by(&ED25519, point),
            (JwtAlgorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            _ => return Err(SignatureError::new()),
        };
        verdict.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }
}

/// jsonwebtoken's form of a private key, for the differential tests.
#[must_use]
pub fn encoding_key(algorithm: Algorithm, der: &[u8]) -> EncodingKey {
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => EncodingKey::from_ec_der(der),
        Algorithm::EdDsa => EncodingKey::from_ed_der(der),
        Algorithm::Rs256 => EncodingKey::from_rsa_der(der),
    }
}
