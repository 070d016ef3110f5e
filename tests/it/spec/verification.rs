//! PROTOCOL section 4: the verification rules. The whole corpus is in `token/attacks.rs`; here stands one test per rule.

use mintgate::keys::VerifyKey;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::jwk::{JwkError, PublicJwk};
use mintgate::token::{Refused, verify, verify_signature};
use serde_json::{Value, json};

use crate::support::attacks::hex;
use crate::support::tokens::{AUDIENCE, CLIENT, ISSUER, NOW, TestKey, good_claims, requirements, sign_text};

/// The name of the cause for which a token with these changes is refused.
fn refused(change: impl Fn(&mut Value, &mut Value)) -> &'static str {
    let key = TestKey::generate(Algorithm::Es256);
    let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.signing.kid().as_str()});
    let mut claims = good_claims(ISSUER, AUDIENCE, CLIENT, NOW);
    change(&mut header, &mut claims);
    let token = sign_text(&key.signing, &header.to_string(), claims.to_string().as_bytes());
    verify(&token, &vec![key.verify], &requirements(), NOW).map_or_else(Refused::name, |_| "accepted")
}

#[test]
fn the_unchanged_token_is_accepted() {
    assert_eq!(refused(|_, _| {}), "accepted");
}

#[test]
fn rfc_8725_3_1_the_key_says_the_algorithm() {
    assert_eq!(refused(|header, _| header["alg"] = json!("HS256")), "alg");
    assert_eq!(refused(|header, _| header["alg"] = json!("none")), "alg");
}

#[test]
fn rfc_7515_4_1_4_kid_selects_exactly_one_key() {
    assert_eq!(refused(|header, _| header["kid"] = json!("AAAAAAAA")), "unknown_key");
    assert_eq!(refused(|header, _| drop(header.as_object_mut().expect("object").remove("kid"))), "kid");
}

#[test]
fn rfc_7515_4_1_11_crit_is_refused() {
    assert_eq!(refused(|header, _| header["crit"] = json!(["exp"])), "header_forbidden");
}

#[test]
fn rfc_8725_3_10_the_token_does_not_choose_its_key() {
    for name in ["jku", "jwk", "x5u", "x5c"] {
        assert_eq!(refused(|header, _| header[name] = json!("https://attacker.example")), "header_forbidden", "{name}");
    }
}

#[test]
fn rfc_7797_3_b64_is_refused() {
    assert_eq!(refused(|header, _| header["b64"] = json!(false)), "header_forbidden");
}

#[test]
fn rfc_8725_3_6_compression_is_refused() {
    assert_eq!(refused(|header, _| header["zip"] = json!("DEF")), "header_forbidden");
}

#[test]
fn rfc_7515_4_duplicate_members_are_refused() {
    let key = TestKey::generate(Algorithm::EdDsa);
    let token = sign_text(&key.signing, r#"{"alg":"EdDSA","alg":"EdDSA"}"#, b"{}");
    assert_eq!(verify_signature(&token, &key.verify).map_err(Refused::name), Err("header_json"));
}

#[test]
fn rfc_7515_2_padding_white_space_and_other_spellings_are_refused() {
    let key = TestKey::generate(Algorithm::EdDsa);
    let token = sign_text(&key.signing, r#"{"alg":"EdDSA"}"#, b"four");
    assert!(verify_signature(&token, &key.verify).is_ok());
    for bent in [format!("{token}=="), format!("{token}\n"), format!(" {token}"), token.replace("Zm91cg", "Zm91ch")] {
        assert_ne!(bent, token);
        assert!(verify_signature(&bent, &key.verify).is_err(), "{bent:?}");
    }
    // A payload in another spelling is refused even when the signature covers that spelling.
    let mut out = format!("{}.{}", base64url::encode(br#"{"alg":"EdDSA"}"#), "Zm91ch").into_bytes();
    key.signing.sign_onto(0, &mut out).expect("signed");
    let lax = String::from_utf8(out).expect("ASCII");
    assert_eq!(verify_signature(&lax, &key.verify).map_err(Refused::name), Err("form"));
}

#[test]
fn rfc_9068_4_iss_is_the_exact_string() {
    assert_eq!(refused(|_, claims| claims["iss"] = json!("https://auth.example/")), "iss");
    assert_eq!(refused(|_, claims| claims["iss"] = json!("https://AUTH.example")), "iss");
}

#[test]
fn rfc_7519_4_1_3_aud_names_who_asks() {
    assert_eq!(refused(|_, claims| claims["aud"] = json!(["https://other.example"])), "aud");
}

#[test]
fn rfc_8725_3_11_typ_is_checked() {
    assert_eq!(refused(|header, _| header["typ"] = json!("logout+jwt")), "typ");
}

#[test]
fn rfc_7519_4_1_4_exp_is_required_and_ends_on_the_second() {
    assert_eq!(refused(|_, claims| drop(claims.as_object_mut().expect("object").remove("exp"))), "claim_missing");
    assert_eq!(refused(|_, claims| claims["exp"] = json!(NOW.0)), "expired");
    assert_eq!(refused(|_, claims| claims["exp"] = json!(NOW.0 + 1)), "accepted");
}

#[test]
fn fapi_2_0_5_3_2_1_ten_seconds_ahead_are_accepted_and_more_than_sixty_refused() {
    for (name, cause) in [("iat", "iat"), ("nbf", "nbf")] {
        assert_eq!(refused(|_, claims| claims[name] = json!(NOW.0 + 10)), "accepted", "{name}");
        assert_eq!(refused(|_, claims| claims[name] = json!(NOW.0 + 61)), cause, "{name}");
    }
}

#[test]
fn rfc_8037_3_1_ed25519_is_strict() {
    // A key of small order would verify anything; it never becomes a key.
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(PublicJwk::ed25519(one), Err(JwkError::SmallOrder));
    // S + L is another spelling of the same signature (RFC 8032 section 5.1.7 demands S < L).
    let key = TestKey::generate(Algorithm::EdDsa);
    let token = sign_text(&key.signing, r#"{"alg":"EdDSA"}"#, b"{}");
    let (message, signature) = token.rsplit_once('.').expect("signature");
    let mut raw = base64url::decode(signature.as_bytes()).expect("base64url");
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    for n in 0..32 {
        carry += u16::from(raw[32 + n]) + u16::from(order[n]);
        raw[32 + n] = carry as u8;
        carry >>= 8;
    }
    let bent = format!("{message}.{}", base64url::encode(&raw));
    assert_eq!(verify_signature(&bent, &key.verify).map_err(Refused::name), Err("signature"));
}

#[test]
fn rfc_7518_3_3_rsa_has_at_least_2048_bits() {
    let modulus = |bytes: usize| [&[0xc5][..], &vec![0x11; bytes - 1]].concat();
    assert_eq!(PublicJwk::rsa(modulus(128), vec![1, 0, 1]), Err(JwkError::RsaSize));
    assert!(PublicJwk::rsa(modulus(256), vec![1, 0, 1]).is_ok());
}

#[test]
fn rfc_8725_2_4_json_depth_is_capped() {
    let key = TestKey::generate(Algorithm::EdDsa);
    let keys: Vec<VerifyKey> = vec![key.verify.clone()];
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key.signing.kid().as_str()}).to_string();
    for (levels, cause) in [(7, "accepted"), (8, "claims_json"), (2_000, "claims_json")] {
        let good = good_claims(ISSUER, AUDIENCE, CLIENT, NOW).to_string();
        let body = good.strip_suffix('}').expect("object");
        let claims = format!("{body},\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let token = sign_text(&key.signing, &header, claims.as_bytes());
        let verdict = verify(&token, &keys, &requirements(), NOW).map_or_else(Refused::name, |_| "accepted");
        assert_eq!(verdict, cause, "{levels}");
    }
}
