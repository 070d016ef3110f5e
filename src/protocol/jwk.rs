//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use ring::digest;
use serde_json::{Map, Value, json};

use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::id::Kid;

/// A public key: raw coordinates, big-endian, at their full length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicJwk {
    /// P-256: x and y, 32 bytes each.
    P256 {
        /// The affine x coordinate.
        x: [u8; 32],
        /// The affine y coordinate.
        y: [u8; 32],
    },
    /// P-384: x and y, 48 bytes each.
    P384 {
        /// The affine x coordinate.
        x: [u8; 48],
        /// The affine y coordinate.
        y: [u8; 48],
    },
    /// Ed25519: the 32-byte public key.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
    /// RSA: modulus and exponent without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
}

/// Why a JWK was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// A member is missing, of the wrong type, or not canonical base64url.
    #[error("a member is missing, of the wrong type, or not canonical base64url")]
    Malformed,
    /// The key type or curve is not one mintgate uses.
    #[error("the key type or curve is not supported; use EC P-256 or P-384, OKP Ed25519, or RSA")]
    Unsupported,
    /// `alg`, `use` or `key_ops` say that the key is not for this.
    #[error("the key's alg, use or key_ops forbid verifying signatures with it")]
    Purpose,
    /// RSA below 2048 or above 4096 bits, or an even or tiny exponent (RFC 7518 section 3.3).
    #[error("an RSA key has 2048 to 4096 bits and an odd exponent of at least 65537")]
    RsaSize,
    /// An RSA modulus with the fingerprint of a broken generator (CVE-2017-15361): it can be factored.
    #[error("the RSA key comes from a broken generator (CVE-2017-15361) and can be factored; make a new one")]
    WeakRsa,
    /// An Ed25519 point of small order: anybody can sign for it.
    #[error("the Ed25519 key is a point of small order")]
    SmallOrder,
}

impl PublicJwk {
    /// The one algorithm this key is for: one key, one algorithm (RFC 8725 section 3.1).
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256 { .. } => Algorithm::Es256,
            Self::P384 { .. } => Algorithm::Es384,
            Self::Ed25519 { .. } => Algorithm::EdDsa,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The RFC 7638 section 3 thumbprint with SHA-256: the required members only, in lexicographic order.
    #[must_use]
    pub fn thumbprint(&self) -> Kid {
        let b64 = base64url::encode;
        // Every value is base64url or a constant, so nothing here needs escaping.
        let canonical = match self {
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            Self::P384 { x, y } => {
                format!(r#"{{"crv":"P-384","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            // RFC 8037 section 2 gives the members of OKP.
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
        };
        Kid::from(b64(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref()))
    }

    /// The JWK to publish: `kty`, `kid`, `use`, `alg` and the public members (RFC 7517 section 4).
    #[must_use]
    pub fn to_json(&self) -> Value {
        let b64 = |bytes: &[u8]| base64url::encode(bytes);
        let mut jwk = match self {
            Self::P256 { x, y } => json!({"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}),
            Self::P384 { x, y } => json!({"kty": "EC", "crv": "P-384", "x": b64(x), "y": b64(y)}),
            Self::Ed25519 { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(x)}),
            Self::Rsa { n, e } => json!({"kty": "RSA", "n": b64(n), "e": b64(e)}),
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), json!(self.thumbprint().as_str()));
            members.insert("use".to_owned(), json!("sig"));
            members.insert("alg".to_owned(), json!(self.algorithm().name()));
        }
        jwk
    }

    /// Reads the public part of a JWK; other members are ignored, private ones included.
    ///
    /// # Errors
    /// A [`JwkError`] for keys that are malformed, of another type, of another purpose, or too weak.
    pub fn from_json(jwk: &Map<String, Value>) -> Result<Self, JwkError> {
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(JwkError::Malformed),
        };
        let bytes = |name: &str| {
            let text = text(name)?.ok_or(JwkError::Malformed)?;
            base64url::decode(text.as_bytes()).ok_or(JwkError::Malformed)
        };
        let kty = text("kty")?.ok_or(JwkError::Malformed)?;
        let key = match (kty, text("crv")?) {
            ("EC", Some("P-256")) => Self::P256 { x: fixed(bytes("x")?)?, y: fixed(bytes("y")?)? },
            ("EC", Some("P-384")) => Self::P384 { x: fixed(bytes("x")?)?, y: fixed(bytes("y")?)? },
            ("OKP", Some("Ed25519")) => Self::ed25519(fixed(bytes("x")?)?)?,
            ("RSA", _) => Self::rsa(bytes("n")?, bytes("e")?)?,
            _ => return Err(JwkError::Unsupported),
        };
        // RFC 7517 sections 4.2 to 4.4: a key says what it is for, and is used for nothing else.
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(JwkError::Purpose);
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or(JwkError::Malformed)?;
            if !operations.iter().any(|operation| operation == "verify" || operation == "sign") {
                return Err(JwkError::Purpose);
            }
        }
        let accepted: &[&str] = match key.algorithm() {
            Algorithm::EdDsa => &["EdDSA", "Ed25519"],
            Algorithm::Es256 => &["ES256"],
            Algorithm::Es384 => &["ES384"],
            Algorithm::Rs256 => &["RS256"],
        };
        if text("alg")?.is_some_and(|name| !accepted.contains(&name)) {
            return Err(JwkError::Purpose);
        }
        Ok(key)
    }

    /// An Ed25519 key.
    ///
    /// # Errors
    /// `SmallOrder` for the points anybody can sign for.
    pub fn ed25519(x: [u8; 32]) -> Result<Self, JwkError> {
        if is_small_order(&x) {
            return Err(JwkError::SmallOrder);
        }
        Ok(Self::Ed25519 { x })
    }

    /// An RSA key; leading zeros are dropped (RFC 7518 section 6.3.1).
    ///
    /// # Errors
    /// `RsaSize` outside 2048 to 4096 bits or with a weak exponent (RFC 7518 section 3.3); `WeakRsa` for a modulus
    /// of a generator known to be broken.
    pub fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, JwkError> {
        let trim = |bytes: Vec<u8>| bytes.into_iter().skip_while(|b| *b == 0).collect::<Vec<u8>>();
        let (n, e) = (trim(n), trim(e));
        let top_bits = n.first().map_or(0, |top| 8 - top.leading_zeros() as usize);
        let bits = n.len().saturating_sub(1) * 8 + top_bits;
        let exponent = e.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        if !(2_048..=4_096).contains(&bits) || e.len() > 4 || exponent < 65_537 || exponent % 2 == 0 {
            return Err(JwkError::RsaSize);
        }
        if has_roca_fingerprint(&n) {
            return Err(JwkError::WeakRsa);
        }
        Ok(Self::Rsa { n, e })
    }
}

fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], JwkError> {
    bytes.try_into().map_err(|_| JwkError::Malformed)
}

/// Whether a modulus bears the mark of the generator of CVE-2017-15361 ("ROCA"): its primes were powers of 65537
/// modulo the product of the first primes, so the modulus is one modulo each of them. For an honest modulus the
/// chance of that is 2^-27.8.
fn has_roca_fingerprint(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let remainder = n.iter().fold(0, |sum, byte| (sum * 256 + u32::from(*byte)) % prime);
        // The powers of 65537 modulo a prime come back to 1 after at most prime - 1 steps.
        let powers = std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime));
        powers.take(prime as usize).any(|power| power == remainder)
    })
}

/// The y coordinates of the eight points whose order divides 8, and their non-canonical spellings, little-endian
/// (RFC 8032 section 5.1: p = 2^255 - 19). The sign bit is masked before the comparison.
fn is_small_order(encoded: &[u8; 32]) -> bool {
    const ORDER_8_A: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    const ORDER_8_B: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    let mut y = *encoded;
    if let Some(top) = y.last_mut() {
        *top &= 0x7f;
    }
    let middle_all = |value: u8| y.iter().skip(1).take(30).all(|byte| *byte == value);
    let first = y.first().copied().unwrap_or(0);
    let last = y.last().copied().unwrap_or(0);
    // y = 0 and y = 1.
    let tiny = middle_all(0) && last == 0 && first <= 1;
    // y = p - 1, p and p + 1: the last two are 0 and 1 spelled a second way.
    let near_p = middle_all(0xff) && last == 0x7f && (0xec..=0xee).contains(&first);
    tiny || near_p || y == ORDER_8_A || y == ORDER_8_B
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let key = PublicJwk::from_json(jwk.as_object().expect("object")).expect("valid");
        assert_eq!(key.thumbprint().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a_3() {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = PublicJwk::from_json(jwk.as_object().expect("object")).expect("valid");
        assert_eq!(key.thumbprint().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn refusals() {
        let good_x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let rows = [
            ("secret key", json!({"kty": "oct", "k": "AAAA"}), JwkError::Unsupported),
            ("other curve", json!({"kty": "EC", "crv": "P-521", "x": "", "y": ""}), JwkError::Unsupported),
            ("padding", json!({"kty": "OKP", "crv": "Ed25519", "x": format!("{good_x}=")}), JwkError::Malformed),
            ("short", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), JwkError::Malformed),
            ("no x", json!({"kty": "OKP", "crv": "Ed25519"}), JwkError::Malformed),
            ("for encryption", json!({"kty": "OKP", "crv": "Ed25519", "x": good_x, "use": "enc"}), JwkError::Purpose),
            ("other alg", json!({"kty": "OKP", "crv": "Ed25519", "x": good_x, "alg": "HS256"}), JwkError::Purpose),
            ("small RSA", json!({"kty": "RSA", "n": base64url::encode(&[0xff; 128]), "e": "AQAB"}), JwkError::RsaSize),
            ("exponent 1", json!({"kty": "RSA", "n": base64url::encode(&[0xff; 256]), "e": "AQ"}), JwkError::RsaSize),
        ];
        for (name, jwk, error) in rows {
            assert_eq!(PublicJwk::from_json(jwk.as_object().expect("object")), Err(error), "{name}");
        }
    }

    #[test]
    fn a_modulus_with_the_roca_fingerprint_is_refused() {
        // The product of the primes from 3 to 167 times a power of two, plus one: it is 65537^0 modulo each of them.
        let product: [u8; 28] = [
            0x92, 0x4c, 0xba, 0x6a, 0xe9, 0x9d, 0xfa, 0x08, 0x45, 0x37, 0xfa, 0xcc, 0x54, 0x94, 0x8d, 0xf0, 0xc2, 0x3d,
            0xa0, 0x44, 0xd8, 0xca, 0xbe, 0x0e, 0xdd, 0x75, 0xbc, 0x60,
        ];
        let mut modulus = [&product[..], &vec![0; 256 - product.len()]].concat();
        let even = modulus.clone();
        modulus[255] = 1;
        assert_eq!(PublicJwk::rsa(modulus.clone(), vec![1, 0, 1]), Err(JwkError::WeakRsa));
        modulus[255] = 3;
        assert!(PublicJwk::rsa(modulus, vec![1, 0, 1]).is_ok(), "its neighbour is not one");
        assert!(PublicJwk::rsa(even, vec![1, 0, 1]).is_ok(), "zero is no power");
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let mut one = [0_u8; 32];
        one[0] = 1;
        let mut minus_one = [0xff_u8; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        let mut one_negative = one;
        one_negative[31] = 0x80;
        for point in [[0; 32], one, minus_one, one_negative, [0xff; 32].map(|b: u8| b)] {
            let refused = PublicJwk::ed25519(point).is_err();
            // All ones is no small-order point: 2^255 - 1 = p + 18.
            assert_eq!(refused, point != [0xff; 32], "{point:?}");
        }
    }
}
