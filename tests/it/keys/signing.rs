//! Every algorithm: what we sign, jsonwebtoken verifies; what it signs, we verify.

use mintgate::keys::provider::{encoding_key, install};
use mintgate::keys::{SigningKey, VerifyKey};
use mintgate::protocol::algorithm::Algorithm;

const GENERATED: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

fn jwt_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.name().parse().unwrap()
}

#[test]
fn we_sign_and_jsonwebtoken_verifies_from_the_jwk() {
    for algorithm in GENERATED {
        let der = SigningKey::generate(algorithm).unwrap();
        let key = SigningKey::from_der(algorithm, &der).unwrap();
        check_with_jsonwebtoken(&key);
    }
}

/// Verifies a signature of `key` with jsonwebtoken, from the published JWK alone.
pub fn check_with_jsonwebtoken(key: &SigningKey) {
    install();
    let message = "eyJhbGciOiJub25lIn0.e30";
    let mut jws = message.as_bytes().to_vec();
    key.sign_onto(0, &mut jws).unwrap();
    let signature = String::from_utf8(jws[message.len() + 1..].to_vec()).unwrap();
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public().to_json()).unwrap();
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let algorithm = jwt_algorithm(key.algorithm());
    let good = jsonwebtoken::crypto::verify(&signature, message.as_bytes(), &decoding, algorithm);
    assert!(good.unwrap(), "{}", key.algorithm());
    let bad = jsonwebtoken::crypto::verify(&signature, b"eyJhbGciOiJub25lIn0.e31", &decoding, algorithm);
    assert!(!bad.unwrap_or(false), "{}", key.algorithm());
}

#[test]
fn jsonwebtoken_signs_and_we_verify() {
    install();
    for algorithm in GENERATED {
        let der = SigningKey::generate(algorithm).unwrap();
        let key = VerifyKey::new(SigningKey::from_der(algorithm, &der).unwrap().public().clone());
        let signature =
            jsonwebtoken::crypto::sign(b"message", &encoding_key(algorithm, &der), jwt_algorithm(algorithm)).unwrap();
        assert!(key.verifies(b"message", &signature), "{algorithm}");
        assert!(!key.verifies(b"massage", &signature), "{algorithm}");
        assert!(!key.verifies(b"message", &format!("{signature}=")), "{algorithm}: padding");
    }
}

#[test]
fn a_key_verifies_for_its_own_algorithm_only() {
    let pairs: Vec<(SigningKey, VerifyKey)> = GENERATED
        .iter()
        .map(|algorithm| {
            let key = SigningKey::from_der(*algorithm, &SigningKey::generate(*algorithm).unwrap()).unwrap();
            let verify = VerifyKey::new(key.public().clone());
            (key, verify)
        })
        .collect();
    for (signer, own) in &pairs {
        let mut jws = b"m".to_vec();
        signer.sign_onto(0, &mut jws).unwrap();
        let signature = std::str::from_utf8(&jws[2..]).unwrap();
        for (_, verify) in &pairs {
            assert_eq!(verify.verifies(b"m", signature), verify.kid() == own.kid());
        }
    }
}

#[test]
fn rsa_is_not_generated() {
    let error = SigningKey::generate(Algorithm::Rs256).unwrap_err().to_string();
    assert!(error.contains("keys import"), "{error}");
}
