//! The corpus of attacks against the gate (THREATS section 4, rows 1 to 14).

use std::collections::HashSet;

use mintgate::keys::VerifyKey;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::jws::TOKEN_BYTES_MAX;
use mintgate::token::{Outcome, Refused, explain, verify};

use crate::support::attacks::{Target, corpus, genuine, hex};
use crate::support::tokens::{AUDIENCE, CLIENT, ISSUER, NOW, TestKey, draft, minted, requirements};

fn target(key: &TestKey) -> Target<'_> {
    Target { key: &key.signing, issuer: ISSUER, audience: AUDIENCE, client: CLIENT, now: NOW }
}

#[test]
fn every_attack_is_refused_and_the_genuine_token_is_not() {
    let key = TestKey::generate(Algorithm::Es256);
    let keys: Vec<VerifyKey> = vec![key.verify.clone()];
    verify(&genuine(&target(&key)), &keys, &requirements(), NOW).expect("the token the corpus bends is good");
    let attacks = corpus(&target(&key));
    let mut causes = HashSet::new();
    for (name, token) in &attacks {
        let refused = verify(token, &keys, &requirements(), NOW).expect_err(name);
        causes.insert(refused.name());
        // The explanation says the same.
        let steps = explain(token, &keys, &requirements(), NOW);
        assert!(steps.iter().any(|step| step.outcome == Outcome::Failed(refused)), "{name}: {refused:?} in {steps:?}");
    }
    println!("{} attacks refused, for {} causes", attacks.len(), causes.len());
    assert!(attacks.len() >= 400, "the corpus shrank to {}", attacks.len());
    let mut names = HashSet::new();
    for (name, _) in &attacks {
        assert!(names.insert(name), "two attacks are called {name:?}");
    }
    for cause in [
        "too_long",
        "form",
        "header_json",
        "header_member",
        "header_forbidden",
        "kid",
        "unknown_key",
        "alg",
        "typ",
        "signature",
        "claims_json",
        "claim_missing",
        "claim_invalid",
        "iss",
        "aud",
        "expired",
        "nbf",
        "iat",
    ] {
        assert!(causes.contains(cause), "no attack is refused because of `{cause}`");
    }
}

#[test]
fn no_bit_of_a_token_can_be_turned() {
    let key = TestKey::generate(Algorithm::Es256);
    let keys = vec![key.verify.clone()];
    let token = minted(&key.signing, draft()).token;
    for position in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            let Ok(bent) = String::from_utf8(bytes) else { continue };
            assert!(verify(&bent, &keys, &requirements(), NOW).is_err(), "bit {bit} of character {position}");
        }
        assert!(verify(&token[..position], &keys, &requirements(), NOW).is_err(), "cut to {position}");
    }
}

/// ECDSA is malleable: (r, n - s) verifies too, and JWS has no low-s rule. So a token is denied by its `jti`, which
/// both spellings share, and never by its bytes or their hash.
#[test]
fn the_twin_of_an_ecdsa_signature_is_the_same_token() {
    let key = TestKey::generate(Algorithm::Es256);
    let keys = vec![key.verify.clone()];
    let token = minted(&key.signing, draft()).token;
    let (message, signature) = token.rsplit_once('.').expect("signature");
    let raw = base64url::decode(signature.as_bytes()).expect("base64url");
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut twin = raw.clone();
    let mut borrow = 0_i16;
    for n in (0..32).rev() {
        let digit = i16::from(order[n]) - i16::from(raw[32 + n]) - borrow;
        borrow = i16::from(digit < 0);
        twin[32 + n] = (digit + 256 * borrow) as u8;
    }
    let twin = format!("{message}.{}", base64url::encode(&twin));
    assert_ne!(twin, token);
    let jti = |token: &str| verify(token, &keys, &requirements(), NOW).expect("verifies").claims.jti;
    assert_eq!(jti(&twin), jti(&token));
}

#[test]
fn the_length_is_bounded_before_anything() {
    let key = TestKey::generate(Algorithm::Es256);
    let keys = vec![key.verify.clone()];
    let long = "A".repeat(TOKEN_BYTES_MAX + 1);
    let refused = verify(&long, &keys, &requirements(), NOW).expect_err("too long");
    assert_eq!(refused.name(), "too_long");
    assert!(matches!(refused, Refused::Form(_)));
}
