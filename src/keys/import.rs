//! Private keys from elsewhere: PEM, DER and JWK, brought into the one form mintgate stores (PKCS#8 DER).

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{Error as PemError, PemObject as _};
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::der::{self, Reader};
use crate::keys::signing::{KeyError, SigningKey};
use crate::keys::verifying::VerifyKey;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::jwk::{JwkError, PublicJwk};

/// Largest key file: an RSA key of 4096 bits as a JWK is about 6 KiB.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// Why a file holds no key we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Over [`FILE_BYTES_MAX`].
    #[error("a key file has at most 64 KiB")]
    TooLarge,
    /// Neither PEM nor DER nor a JWK.
    #[error("not a private key: expected PEM (PKCS#8, PKCS#1, SEC1), DER, or a private JWK")]
    Unrecognised,
    /// Protected by a passphrase.
    #[error("the key is protected by a passphrase; decrypt it first: openssl pkey -in FILE -out PLAIN (umask 077)")]
    Encrypted,
    /// A public key or a certificate.
    #[error("the file holds no private key, only a public key or a certificate")]
    NoPrivatePart,
    /// A JWK set, or several keys.
    #[error("the file holds a set of keys; import one key at a time")]
    Several,
    /// The key type or curve is not one mintgate signs with.
    #[error("the key type or curve is not supported; use EC P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits")]
    Unsupported,
    /// An elliptic-curve private key without its point.
    #[error("the file lacks the public half of the key; `openssl pkey -in FILE -out NEW` adds it")]
    NoPublicHalf,
    /// The private part does not belong to the public one.
    #[error("the private part does not belong to the public part")]
    Mismatch,
    /// The members of the JWK are wrong.
    #[error("the JWK: {0}")]
    Jwk(#[from] JwkError),
    /// The key itself is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A private key that has proved itself: it signed, and its public half verified.
#[derive(Debug)]
pub struct Imported {
    /// The key, ready to sign.
    pub key: SigningKey,
    /// PKCS#8 DER, the form that is stored.
    pub pkcs8: Zeroizing<Vec<u8>>,
}

/// The OID of id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// The OID of secp256r1 (RFC 5480 section 2.1.1.1).
const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The OID of secp384r1 (RFC 5480 section 2.1.1.1).
const P384: [u8; 5] = [0x2b, 0x81, 0x04, 0x00, 0x22];
/// The OID of id-Ed25519 (RFC 8410 section 3).
const ED25519: [u8; 3] = [0x2b, 0x65, 0x70];
/// The OID of rsaEncryption (RFC 8017 appendix A.1).
const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Reads a private key, whatever form it is in, and proves that its two halves belong together.
///
/// # Errors
/// An [`ImportError`] that says what the file is instead.
pub fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let pkcs8 = match std::str::from_utf8(bytes).map(str::trim_start) {
        Ok(text) if text.starts_with('{') => from_jwk_text(text)?,
        Ok(text) if text.contains("-----BEGIN ") => from_pem(text)?,
        _ => from_der(bytes)?,
    };
    from_pkcs8(pkcs8)
}

/// A PKCS#8 document of any supported algorithm.
fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Imported, ImportError> {
    let (algorithm, inner) = inspect(&pkcs8)?;
    if matches!(algorithm, Algorithm::Es256 | Algorithm::Es384) && ec_parts(inner).is_some_and(|ec| ec.point.is_none())
    {
        return Err(ImportError::NoPublicHalf);
    }
    let key = SigningKey::from_der(algorithm, &pkcs8)?;
    // The proof does not depend on what the parser checked: sign something, verify it with the public half.
    let mut jws = b"mintgate.import".to_vec();
    let length = jws.len();
    key.sign_onto(0, &mut jws).map_err(|_| ImportError::Mismatch)?;
    let (message, signature) = jws.split_at_checked(length + 1).ok_or(ImportError::Mismatch)?;
    let message = message.get(..length).ok_or(ImportError::Mismatch)?;
    let signature = std::str::from_utf8(signature).map_err(|_| ImportError::Mismatch)?;
    if !VerifyKey::new(key.public().clone()).verifies(message, signature) {
        return Err(ImportError::Mismatch);
    }
    Ok(Imported { key, pkcs8 })
}

fn from_pem(text: &str) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(ImportError::Encrypted);
    }
    if text.matches("PRIVATE KEY-----").count() > 2 {
        return Err(ImportError::Several);
    }
    let mut key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        PemError::NoItemsFound => ImportError::NoPrivatePart,
        _ => ImportError::Unrecognised,
    })?;
    let wrapped = match &key {
        PrivateKeyDer::Pkcs8(der) => Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec())),
        PrivateKeyDer::Pkcs1(der) => Ok(wrap_rsa(der.secret_pkcs1_der())),
        PrivateKeyDer::Sec1(der) => wrap_sec1(der.secret_sec1_der()),
        _ => Err(ImportError::Unrecognised),
    };
    match &mut key {
        PrivateKeyDer::Pkcs8(der) => der.zeroize(),
        PrivateKeyDer::Pkcs1(der) => der.zeroize(),
        PrivateKeyDer::Sec1(der) => der.zeroize(),
        _ => {}
    }
    wrapped
}

/// Tells the three DER forms apart by what follows the version number.
fn from_der(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let mut reader = der::whole_sequence(bytes).ok_or(ImportError::Unrecognised)?;
    let Some((der::INTEGER, _)) = reader.next() else {
        // A certificate or a SubjectPublicKeyInfo begins with a sequence.
        return Err(ImportError::Unrecognised);
    };
    match reader.next() {
        Some((der::SEQUENCE, _)) => Ok(Zeroizing::new(bytes.to_vec())),
        Some((der::INTEGER, _)) => Ok(wrap_rsa(bytes)),
        Some((der::OCTET_STRING, _)) => wrap_sec1(bytes),
        _ => Err(ImportError::Unrecognised),
    }
}

/// The algorithm of a PKCS#8 document and the key inside it.
fn inspect(pkcs8: &[u8]) -> Result<(Algorithm, &[u8]), ImportError> {
    let parts = || {
        let mut reader = der::whole_sequence(pkcs8)?;
        reader.expect(der::INTEGER)?;
        let mut identifier = Reader::new(reader.expect(der::SEQUENCE)?);
        let oid = identifier.expect(der::OID)?;
        let parameters = identifier.next();
        Some((oid, parameters, reader.expect(der::OCTET_STRING)?))
    };
    let (oid, parameters, inner) = parts().ok_or(ImportError::Unrecognised)?;
    let curve = parameters.filter(|(tag, _)| *tag == der::OID).map(|(_, oid)| oid);
    let algorithm = match (oid, curve) {
        (oid, Some(curve)) if oid == EC_PUBLIC_KEY && curve == P256 => Algorithm::Es256,
        (oid, Some(curve)) if oid == EC_PUBLIC_KEY && curve == P384 => Algorithm::Es384,
        (oid, _) if oid == ED25519 => Algorithm::EdDsa,
        (oid, _) if oid == RSA => Algorithm::Rs256,
        _ => return Err(ImportError::Unsupported),
    };
    Ok((algorithm, inner))
}

/// PKCS#8 (RFC 5208 section 5): version 0, algorithm, key.
fn wrap(identifier: &[&[u8]], key: &[u8]) -> Zeroizing<Vec<u8>> {
    der::sequence(&[&der::unsigned(&[0]), &der::sequence(identifier), &der::value(der::OCTET_STRING, key)])
}

fn wrap_rsa(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    // RFC 8017 appendix A.1: the parameters are NULL.
    wrap(&[&der::value(der::OID, &RSA), &[5, 0]], pkcs1)
}

fn wrap_ec(curve: &[u8], sec1: &[u8]) -> Zeroizing<Vec<u8>> {
    wrap(&[&der::value(der::OID, &EC_PUBLIC_KEY), &der::value(der::OID, curve)], sec1)
}

/// SEC1 (RFC 5915 section 3): the curve is named inside, or follows from the length of the scalar.
fn wrap_sec1(sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let ec = ec_parts(sec1).ok_or(ImportError::Unrecognised)?;
    match ec.curve {
        Some(curve) if curve == P256 || curve == P384 => Ok(wrap_ec(curve, sec1)),
        Some(_) => Err(ImportError::Unsupported),
        None => match ec.scalar.len() {
            32 => Ok(wrap_ec(&P256, sec1)),
            48 => Ok(wrap_ec(&P384, sec1)),
            _ => Err(ImportError::Unsupported),
        },
    }
}

struct EcParts<'a> {
    scalar: &'a [u8],
    curve: Option<&'a [u8]>,
    point: Option<&'a [u8]>,
}

fn ec_parts(sec1: &[u8]) -> Option<EcParts<'_>> {
    const CONTEXT_0: u8 = 0xa0;
    let mut reader = der::whole_sequence(sec1)?;
    reader.expect(der::INTEGER)?;
    let mut parts = EcParts { scalar: reader.expect(der::OCTET_STRING)?, curve: None, point: None };
    while let Some((tag, contents)) = reader.next() {
        match tag {
            CONTEXT_0 => parts.curve = Reader::new(contents).expect(der::OID),
            der::CONTEXT_1 => parts.point = Reader::new(contents).expect(der::BIT_STRING),
            _ => {}
        }
    }
    Some(parts)
}

/// Parsed JSON holds copies of the private members, so they are wiped afterwards.
fn from_jwk_text(text: &str) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let mut jwk: Map<String, Value> = serde_json::from_str(text).map_err(|_| ImportError::Unrecognised)?;
    let outcome = from_jwk(&jwk);
    for value in jwk.values_mut() {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
    outcome
}

fn from_jwk(jwk: &Map<String, Value>) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    if jwk.contains_key("keys") {
        return Err(ImportError::Several);
    }
    let public = PublicJwk::from_json(jwk)?;
    if !jwk.contains_key("d") {
        return Err(ImportError::NoPrivatePart);
    }
    let member = |name: &str| {
        let text = jwk.get(name).and_then(Value::as_str).ok_or(ImportError::Jwk(JwkError::Malformed))?;
        let bytes = base64url::decode(text.as_bytes()).ok_or(ImportError::Jwk(JwkError::Malformed))?;
        Ok::<_, ImportError>(Zeroizing::new(bytes))
    };
    let d = member("d")?;
    // RFC 7518 section 6.2.2.1, RFC 8037 section 2: `d` has the full length of the curve.
    let of_length = |length: usize| (d.len() == length).then_some(()).ok_or(ImportError::Jwk(JwkError::Malformed));
    Ok(match &public {
        PublicJwk::P256 { x, y } => {
            of_length(32)?;
            wrap_ec(&P256, &sec1(&d, x, y))
        }
        PublicJwk::P384 { x, y } => {
            of_length(48)?;
            wrap_ec(&P384, &sec1(&d, x, y))
        }
        PublicJwk::Ed25519 { x } => {
            of_length(32)?;
            // RFC 5958 section 2: version 1 carries the public key, so that the parser compares the two.
            let public = der::value(0x81, &[&[0], x.as_slice()].concat());
            let seed = der::value(der::OCTET_STRING, &der::value(der::OCTET_STRING, &d));
            let identifier = der::sequence(&[&der::value(der::OID, &ED25519)]);
            der::sequence(&[&der::unsigned(&[1]), &identifier, &seed, &public])
        }
        PublicJwk::Rsa { n, e } => {
            // RFC 7518 section 6.3.2: d alone is legal, but the primes are needed to sign.
            let mut parts = vec![der::unsigned(&[0]), der::unsigned(n), der::unsigned(e), der::unsigned(&d)];
            for name in ["p", "q", "dp", "dq", "qi"] {
                parts.push(der::unsigned(&member(name)?));
            }
            wrap_rsa(&der::sequence(&parts.iter().map(|part| part.as_slice()).collect::<Vec<_>>()))
        }
    })
}

/// An EC private key with its point (RFC 5915 section 3).
fn sec1(d: &[u8], x: &[u8], y: &[u8]) -> Zeroizing<Vec<u8>> {
    let point = der::value(der::BIT_STRING, &[&[0, 4], x, y].concat());
    der::sequence(&[&der::unsigned(&[1]), &der::value(der::OCTET_STRING, d), &der::value(der::CONTEXT_1, &point)])
}

/// The private JWK of a stored key (RFC 7518 section 6, RFC 8037 section 2).
///
/// # Errors
/// `Unrecognised` if the document is not one that [`read`] accepts.
pub fn to_private_jwk(imported: &Imported) -> Result<Zeroizing<String>, ImportError> {
    let (algorithm, inner) = inspect(&imported.pkcs8)?;
    let malformed = ImportError::Unrecognised;
    let mut members: Vec<(&str, &[u8])> = Vec::new();
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => members.push(("d", ec_parts(inner).ok_or(malformed)?.scalar)),
        Algorithm::EdDsa => members.push(("d", Reader::new(inner).expect(der::OCTET_STRING).ok_or(malformed)?)),
        Algorithm::Rs256 => {
            let mut reader = der::whole_sequence(inner).ok_or(malformed)?;
            for name in ["version", "n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                let number = reader.unsigned().ok_or(malformed)?;
                if !matches!(name, "version" | "n" | "e") {
                    members.push((name, number));
                }
            }
        }
    }
    // Public members are plain text; the private ones are joined by hand so that one buffer holds them.
    let public = imported.key.public().to_json().to_string();
    // Room for all of it at once: a growing buffer would leave copies behind.
    let mut out = Zeroizing::new(String::with_capacity(public.len() + imported.pkcs8.len() * 2 + 128));
    out.push_str(public.trim_end_matches('}'));
    for (name, bytes) in members {
        out.push_str(&format!(",\"{name}\":\""));
        out.push_str(&Zeroizing::new(base64url::encode(bytes)));
        out.push('"');
    }
    out.push('}');
    Ok(out)
}

/// PEM (RFC 7468 section 10) of a PKCS#8 document.
#[must_use]
pub fn to_pem(pkcs8: &[u8]) -> Zeroizing<String> {
    pem("PRIVATE KEY", pkcs8)
}

/// PEM (RFC 7468 section 13) of a public key: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
#[must_use]
pub fn to_public_pem(public: &PublicJwk) -> Zeroizing<String> {
    let oid = |oid: &[u8]| der::value(der::OID, oid);
    let ec = |curve: &[u8]| der::sequence(&[&oid(&EC_PUBLIC_KEY), &oid(curve)]);
    let bits = |bytes: &[&[u8]]| der::value(der::BIT_STRING, &[&[0], bytes.concat().as_slice()].concat());
    let (identifier, key) = match public {
        PublicJwk::P256 { x, y } => (ec(&P256), bits(&[&[4], x, y])),
        PublicJwk::P384 { x, y } => (ec(&P384), bits(&[&[4], x, y])),
        // RFC 8410 section 3: no parameters.
        PublicJwk::Ed25519 { x } => (der::sequence(&[&oid(&ED25519)]), bits(&[x])),
        PublicJwk::Rsa { n, e } => {
            let key = der::sequence(&[&der::unsigned(n), &der::unsigned(e)]);
            (der::sequence(&[&oid(&RSA), &[5, 0]]), bits(&[&key]))
        }
    };
    pem("PUBLIC KEY", &der::sequence(&[&identifier, &key]))
}

fn pem(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    use base64::Engine as _;
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(bytes));
    let mut out = Zeroizing::new(String::with_capacity(body.len() * 66 / 64 + 96));
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}
