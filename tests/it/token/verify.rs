//! The gate, condition by condition: each row breaks one thing, under the genuine key.

use std::collections::HashMap;
use std::time::Duration;

use mintgate::keys::VerifyKey;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::time::UnixSeconds;
use mintgate::token::verify::LEEWAY_MAX;
use mintgate::token::{Outcome, Refused, Requirements, Typ, explain, verify, verify_signature};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::tokens::{AUDIENCE, CLIENT, ISSUER, NOW, TestKey, good_claims, requirements, sign_text};

struct Case {
    header: Value,
    claims: Value,
    requirements: Requirements<'static>,
    now: UnixSeconds,
}

impl Case {
    fn accepted(key: &TestKey) -> Self {
        Self {
            header: json!({"alg": "ES256", "typ": "at+jwt", "kid": key.signing.kid().as_str()}),
            claims: good_claims(ISSUER, AUDIENCE, CLIENT, NOW),
            requirements: requirements(),
            now: NOW,
        }
    }

    fn verify(&self, key: &TestKey) -> Result<(), Refused> {
        let token = sign_text(&key.signing, &self.header.to_string(), self.claims.to_string().as_bytes());
        let keys: HashMap<_, VerifyKey> = [(key.signing.kid().clone(), key.verify.clone())].into();
        let verdict = verify(&token, &keys, &self.requirements, self.now).map(|_| ());
        let steps = explain(&token, &keys, &self.requirements, self.now);
        assert_eq!(steps.iter().all(|step| step.outcome == Outcome::Passed), verdict.is_ok(), "{steps:?}");
        verdict
    }
}

#[test]
fn refusals_and_edges() {
    type Row = (&'static str, fn(&mut Case), Result<(), Refused>);
    let rows: [Row; 27] = [
        ("nothing", |_| {}, Ok(())),
        ("the last second", |c| c.now = UnixSeconds(NOW.0 + 299), Ok(())),
        ("expires at this very second", |c| c.now = UnixSeconds(NOW.0 + 300), Err(Refused::Expired)),
        ("leeway", |c| (c.now, c.requirements.leeway) = (UnixSeconds(NOW.0 + 309), Duration::from_secs(10)), Ok(())),
        (
            "leeway over",
            |c| (c.now, c.requirements.leeway) = (UnixSeconds(NOW.0 + 310), Duration::from_secs(10)),
            Err(Refused::Expired),
        ),
        (
            "leeway is capped",
            |c| (c.now, c.requirements.leeway) = (UnixSeconds(NOW.0 + 360), Duration::MAX),
            Err(Refused::Expired),
        ),
        ("the clock stands at 1970", |c| c.now = UnixSeconds(0), Err(Refused::IssuedInFuture)),
        ("issued 10 s ahead", |c| c.claims["iat"] = json!(NOW.0 + 10), Ok(())),
        ("issued 11 s ahead", |c| c.claims["iat"] = json!(NOW.0 + 11), Err(Refused::IssuedInFuture)),
        (
            "issued 60 s ahead, with leeway",
            |c| (c.claims["iat"], c.requirements.leeway) = (json!(NOW.0 + 60), LEEWAY_MAX),
            Ok(()),
        ),
        (
            "issued 61 s ahead, with all the leeway there is",
            |c| (c.claims["iat"], c.requirements.leeway) = (json!(NOW.0 + 61), Duration::MAX),
            Err(Refused::IssuedInFuture),
        ),
        ("not before, 10 s ahead", |c| c.claims["nbf"] = json!(NOW.0 + 10), Ok(())),
        ("not before, 11 s ahead", |c| c.claims["nbf"] = json!(NOW.0 + 11), Err(Refused::NotYet)),
        ("not before, past", |c| c.claims["nbf"] = json!(1), Ok(())),
        ("another issuer", |c| c.requirements.issuer = "https://auth.example/", Err(Refused::Issuer)),
        ("another audience", |c| c.requirements.audience = Some("https://other.example"), Err(Refused::Audience)),
        ("no audience asked for", |c| c.requirements.audience = None, Ok(())),
        ("one of many audiences", |c| c.claims["aud"] = json!(["a", AUDIENCE]), Ok(())),
        ("typ in capitals", |c| c.header["typ"] = json!("AT+JWT"), Ok(())),
        ("typ with its prefix", |c| c.header["typ"] = json!("application/at+jwt"), Ok(())),
        ("typ JWT where at+jwt is asked for", |c| c.header["typ"] = json!("JWT"), Err(Refused::Type)),
        (
            "typ JWT where it is taken",
            |c| {
                (c.header["typ"], c.requirements.typ) = (json!("JWT"), &Typ::ALL);
            },
            Ok(()),
        ),
        ("no typ", |c| drop(c.header.as_object_mut().expect("object").remove("typ")), Err(Refused::Type)),
        ("an unknown kid", |c| c.header["kid"] = json!("AAAA"), Err(Refused::UnknownKey)),
        ("another algorithm", |c| c.header["alg"] = json!("EdDSA"), Err(Refused::Algorithm)),
        ("a header member nobody knows", |c| c.header["x"] = json!([1]), Ok(())),
        ("a claim nobody knows", |c| c.claims["x"] = json!({"y": [1.5]}), Ok(())),
    ];
    let key = TestKey::generate(Algorithm::Es256);
    for (name, break_one_thing, verdict) in rows {
        let mut case = Case::accepted(&key);
        break_one_thing(&mut case);
        assert_eq!(case.verify(&key), verdict, "{name}");
    }
}

#[test]
fn a_named_key_is_the_only_one_tried() {
    let (first, second) = (TestKey::generate(Algorithm::Es256), TestKey::generate(Algorithm::Es256));
    let keys = vec![first.verify.clone(), second.verify.clone()];
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": first.signing.kid().as_str()}).to_string();
    let claims = good_claims(ISSUER, AUDIENCE, CLIENT, NOW).to_string();
    let token = sign_text(&second.signing, &header, claims.as_bytes());
    assert_eq!(verify(&token, &keys, &requirements(), NOW), Err(Refused::Signature));
}

#[test]
fn eddsa_goes_by_both_of_its_names() {
    let key = TestKey::generate(Algorithm::EdDsa);
    for (alg, taken) in [("EdDSA", true), ("Ed25519", true), ("Ed448", false), ("ES256", false)] {
        let token = sign_text(&key.signing, &json!({"alg": alg}).to_string(), b"any bytes at all");
        assert_eq!(verify_signature(&token, &key.verify).is_ok(), taken, "{alg}");
    }
}

#[test]
fn explain_goes_on_after_a_failure() {
    let key = TestKey::generate(Algorithm::Es256);
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": key.signing.kid().as_str()}).to_string();
    let mut claims = good_claims("https://other.example", AUDIENCE, CLIENT, NOW);
    claims["exp"] = json!(1);
    let token = sign_text(&key.signing, &header, claims.to_string().as_bytes());
    let steps = explain(&token, &vec![key.verify], &requirements(), NOW);
    let failed: Vec<&str> =
        steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).map(|step| step.name).collect();
    assert_eq!(failed, ["typ", "iss", "time"]);
    let steps = explain("nonsense", &Vec::<VerifyKey>::new(), &requirements(), NOW);
    assert_eq!(steps.iter().filter(|step| step.outcome == Outcome::NotReached).count(), 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_comes_in_is_refused_without_a_panic(text in "\\PC{0,300}", dotted in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
        let keys = Vec::<VerifyKey>::new();
        prop_assert!(verify(&text, &keys, &requirements(), NOW).is_err());
        prop_assert!(verify(&dotted, &keys, &requirements(), NOW).is_err());
        let _ = explain(&dotted, &keys, &requirements(), NOW);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_genuine_signature_over_any_json_never_panics(name in "[a-z_]{1,9}", number in any::<f64>(), text in "\\PC{0,20}") {
        let key = signer();
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key.signing.kid().as_str()}).to_string();
        for value in [json!(number), json!(text), json!([text]), json!({"a": number})] {
            for claim in ["exp", "iat", "nbf", "aud", "jti", name.as_str()] {
                let mut claims = good_claims(ISSUER, AUDIENCE, CLIENT, NOW);
                claims[claim] = value.clone();
                let token = sign_text(&key.signing, &header, claims.to_string().as_bytes());
                let verdict = verify(&token, &vec![key.verify.clone()], &requirements(), NOW);
                if ["exp", "iat", "nbf"].contains(&claim) {
                    prop_assert!(verdict.is_err(), "{claim} = {value}");
                }
            }
        }
    }
}

fn signer() -> &'static TestKey {
    static KEY: std::sync::OnceLock<TestKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| TestKey::generate(Algorithm::EdDsa))
}
