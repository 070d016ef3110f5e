//! Public vectors against the gate: Wycheproof's JSON Web files, RFC 7520, RFC 8037, RFC 7797.
//!
//! No invalid vector is accepted; every valid one of a supported algorithm is. Deviations are listed in
//! [`STRICTER`], with the reason; the test fails for one that is not there, and for one that is there for nothing.

use mintgate::keys::VerifyKey;
use mintgate::protocol::jwk::PublicJwk;
use mintgate::token::{Refused, verify_signature};
use serde_json::Value;

use crate::support::vectors;

/// Valid vectors that we refuse although the algorithm is supported: file, test, reason. None.
const STRICTER: [(&str, u64, &str); 0] = [];

/// The keys of a JWK or a JWKS that we would take; others are skipped, as RFC 7517 section 5 says.
fn keys(jwk_or_set: &Value) -> Vec<VerifyKey> {
    let jwks = jwk_or_set["keys"].as_array().cloned().unwrap_or_else(|| vec![jwk_or_set.clone()]);
    let object = |jwk: &Value| PublicJwk::from_json(jwk.as_object()?).ok();
    jwks.iter().filter_map(object).map(VerifyKey::new).collect()
}

/// Whether the algorithm of the vector is one of ours: the key's `alg`, or the header's where the key has none.
fn is_supported(jwk_or_set: &Value) -> bool {
    let jwk = jwk_or_set["keys"].get(0).unwrap_or(jwk_or_set);
    matches!(jwk["alg"].as_str(), Some("ES256" | "ES384" | "EdDSA" | "RS256"))
}

fn refused_or_taken(token: &str, keys: &[VerifyKey]) -> Result<(), Vec<Refused>> {
    let verdicts: Vec<_> = keys.iter().map(|key| verify_signature(token, key)).collect();
    if verdicts.iter().any(Result::is_ok) {
        return Ok(());
    }
    Err(verdicts.into_iter().filter_map(Result::err).collect())
}

#[derive(Debug, Default)]
struct Count {
    accepted: usize,
    refused: usize,
    other_algorithm: usize,
}

fn wycheproof(file: &str, token_member: &str) -> Option<Count> {
    let all = vectors::read(&format!("wycheproof/{file}"))?;
    let mut count = Count::default();
    for group in all["testGroups"].as_array().expect("groups") {
        let public = &group["public"];
        let keys = keys(public);
        for test in group["tests"].as_array().expect("tests") {
            let id = test["tcId"].as_u64().expect("tcId");
            let name = format!("{file} {id} {} {}", group["comment"], test["comment"]);
            // JWE files call their token `jwe`; some vectors are JSON serialisations, which are refused as such.
            let token = match &test[token_member] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let verdict = refused_or_taken(&token, &keys);
            let is_valid = test["result"] == "valid";
            let is_stricter = STRICTER.iter().any(|(own, number, _)| *own == file && *number == id);
            match (is_valid, is_supported(public)) {
                (false, _) => {
                    assert!(verdict.is_err(), "{name}: invalid and accepted");
                    count.refused += 1;
                }
                (true, true) => {
                    assert_eq!(verdict.is_err(), is_stricter, "{name}: valid and refused: {verdict:?}");
                    count.accepted += usize::from(verdict.is_ok());
                }
                (true, false) => {
                    assert!(verdict.is_err(), "{name}: accepted under an algorithm we do not have");
                    count.other_algorithm += 1;
                }
            }
        }
    }
    println!("{file}: {count:?}");
    Some(count)
}

#[test]
fn wycheproof_json_web_signature() {
    let Some(count) = wycheproof("json_web_signature_test.json", "jws") else { return };
    assert!(count.accepted >= 9 && count.refused >= 350, "{count:?}");
}

#[test]
fn wycheproof_json_web_key() {
    let Some(count) = wycheproof("json_web_key_test.json", "jws") else { return };
    assert!(count.accepted >= 1 && count.refused >= 20, "{count:?}");
}

#[test]
fn wycheproof_json_web_crypto() {
    let Some(count) = wycheproof("json_web_crypto_test.json", "jws") else { return };
    assert!(count.accepted >= 2 && count.refused >= 70, "{count:?}");
}

#[test]
fn wycheproof_json_web_encryption_is_refused_as_a_whole() {
    // THREATS section 4, row 4: encrypted is not signed. Valid or not, no JWE is read.
    let Some(all) = vectors::read("wycheproof/json_web_encryption_test.json") else { return };
    let mut count = 0;
    for group in all["testGroups"].as_array().expect("groups") {
        for test in group["tests"].as_array().expect("tests") {
            let token = test["jwe"].as_str().map_or_else(|| test["jwe"].to_string(), str::to_owned);
            for key in keys(&group["public"]).iter().chain(keys(&group["private"]).iter()) {
                assert!(verify_signature(&token, key).is_err(), "{}", test["tcId"]);
            }
            assert!(mintgate::protocol::jws::Compact::parse(&token).is_err(), "{}", test["tcId"]);
            count += 1;
        }
    }
    println!("json_web_encryption_test.json: {count} refused");
    assert!(count >= 139);
}

#[test]
fn rfc_7520_rfc_8037_and_rfc_7797() {
    // Name, whether the algorithm is ours, whether a compact form exists.
    let files = [
        ("rfc7520/jws/4_1.rsa_v15_signature.json", true),
        ("rfc7520/jws/4_2.rsa-pss_signature.json", false),
        ("rfc7520/jws/4_3.ecdsa_signature.json", false),
        ("rfc7520/jws/4_4.hmac-sha2_integrity_protection.json", false),
        ("rfc7520/jws/4_5.signature_with_detached_content.json", false),
        ("rfc7520/jws/4_6.protecting_specific_header_fields.json", false),
        ("rfc7520/jws/4_7.protecting_content_only.json", false),
        ("rfc7520/jws/4_8.multiple_signatures.json", false),
        ("rfc7520/curve25519/jws.json", true),
        ("rfc7520/rfc7797/hmac-sha2_b64_false.json", false),
        ("rfc7520/rfc7797/4.2.hmac-sha2_b64_false.json", false),
    ];
    let mut accepted = 0;
    for (file, is_ours) in files {
        let Some(vector) = vectors::read(file) else { continue };
        let key = &vector["input"]["key"];
        let keys = keys(key);
        for (form, output) in vector["output"].as_object().expect("output") {
            let token = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
            let expected = is_ours && form == "compact";
            assert_eq!(refused_or_taken(&token, &keys).is_ok(), expected, "{file} {form}");
            accepted += usize::from(expected);
        }
        if is_ours {
            let token = vector["output"]["compact"].as_str().expect("compact");
            let payload = verify_signature(token, &keys[0]).expect("verified");
            assert_eq!(
                String::from_utf8(payload).expect("text"),
                vector["input"]["payload"].as_str().expect("payload")
            );
        }
    }
    println!("RFC 7520 and RFC 8037: {accepted} accepted, every other form and algorithm refused");
}

#[test]
fn rfc_7520_keys() {
    let files = [
        ("rfc7520/jwk/3_1.ec_public_key.json", false), // P-521
        ("rfc7520/jwk/3_2.ec_private_key.json", false),
        ("rfc7520/jwk/3_3.rsa_public_key.json", true),
        ("rfc7520/jwk/3_4.rsa_private_key.json", true), // its public part
        ("rfc7520/jwk/3_5.symmetric_key_mac_computation.json", false),
        ("rfc7520/jwk/3_6.symmetric_key_encryption.json", false),
    ];
    for (file, is_ours) in files {
        let Some(jwk) = vectors::read(file) else { continue };
        let read = PublicJwk::from_json(jwk.as_object().expect("object"));
        assert_eq!(read.is_ok(), is_ours, "{file}: {read:?}");
        if let Ok(public) = read {
            assert!(public.to_json().get("d").is_none(), "no private member comes out again");
        }
    }
}
