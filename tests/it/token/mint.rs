//! What minted tokens look like from outside.

use std::time::Duration;

use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::{Audience, Jti, Subject};
use mintgate::token::{Draft, DraftError, Requirements, Typ, mint, verify};

use proptest::prelude::*;

use crate::support::tokens::{AUDIENCE, CLIENT, NOW, TestKey, decoded, draft, every_key, limits, minted, requirements};

#[test]
fn every_algorithm_mints_what_the_gate_takes() {
    for key in every_key() {
        for typ in Typ::ALL {
            let token = minted(&key.signing, Draft { typ, ..draft() });
            let requirements = Requirements { typ: &[typ], ..requirements() };
            let verified = verify(&token.token, &vec![key.verify.clone()], &requirements, NOW).expect("verifies");
            assert_eq!(verified.claims.jti, token.jti);
            assert_eq!(verified.expires_at, token.expires_at);
            assert_eq!((verified.typ, &verified.kid), (typ, key.signing.kid()));
            assert_eq!(verified.claims.scope.as_str(), "read write");
            assert_eq!((verified.claims.session, verified.claims.auth_time), (draft().session, draft().auth_time));
        }
    }
}

#[test]
fn one_audience_is_a_string_and_several_an_array() {
    let key = TestKey::generate(Algorithm::EdDsa);
    let (_, claims) = decoded(&minted(&key.signing, draft()).token);
    assert_eq!(claims["aud"], AUDIENCE);
    let audiences = vec![Audience::from("https://a.example"), Audience::from(AUDIENCE)];
    let token = minted(&key.signing, Draft { audiences, ..draft() }).token;
    assert_eq!(decoded(&token).1["aud"], serde_json::json!(["https://a.example", AUDIENCE]));
    verify(&token, &vec![key.verify], &requirements(), NOW).expect("one of several audiences");
}

#[test]
fn texts_are_escaped_as_json() {
    let key = TestKey::generate(Algorithm::EdDsa);
    for subject in ["a\"b", "a\\b", "\u{e9}\u{4e16}\u{1f511}", "</script>", "a\u{2028}b", "{\"exp\":0}"] {
        let token = minted(&key.signing, Draft { subject: Subject::from(subject), ..draft() }).token;
        let verified = verify(&token, &vec![key.verify.clone()], &requirements(), NOW).expect(subject);
        assert_eq!(verified.claims.subject.as_str(), subject);
    }
}

#[test]
fn a_client_alone_has_no_session() {
    let key = TestKey::generate(Algorithm::Es256);
    let alone = Draft { subject: Subject::from(CLIENT), session: None, auth_time: None, ..draft() };
    let (_, claims) = decoded(&minted(&key.signing, alone).token);
    let names: Vec<&String> = claims.as_object().expect("object").keys().collect();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub"]);
}

#[test]
fn the_largest_draft_that_passes_stays_within_the_size_it_promised() {
    let key = every_key().pop().expect("RSA where openssl is there");
    let mut largest = None;
    for length in 1..=240 {
        let audiences = (0..10).map(|n| Audience::from(format!("{n}{}", "\"".repeat(length)))).collect();
        match (Draft { audiences, ..draft() }).check(&limits(), NOW) {
            Ok(checked) => largest = Some(checked),
            Err(error) => {
                assert_eq!(error, DraftError::Size);
                break;
            }
        }
    }
    let checked = largest.expect("some pass");
    let token = mint(&checked, &key.signing, Jti([255; 16]), NOW).expect("minted");
    assert!(token.token.len() <= limits().token_bytes_max, "{}", token.token.len());
    assert!(token.token.len() > limits().token_bytes_max - 1_000, "the bound is not far off: {}", token.token.len());
}

#[test]
fn a_minted_token_never_shows_in_debug_output() {
    let key = TestKey::generate(Algorithm::Es256);
    let token = minted(&key.signing, draft());
    assert!(!format!("{token:?}").contains(&token.token[..20]));
    assert_eq!(token.expires_at, NOW.after(Duration::from_secs(300)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The claims are written by hand; whatever the texts, strict JSON reads them back.
    #[test]
    fn any_text_comes_back(subject in "[\\PC\"\\\\]{1,60}", audiences in proptest::collection::vec("[\\PC\"\\\\]{1,30}", 1..5)) {
        let draft = Draft {
            subject: Subject::from(subject.as_str()),
            audiences: audiences.iter().map(|audience| Audience::from(audience.as_str())).collect(),
            ..draft()
        };
        let Ok(checked) = draft.check(&limits(), NOW) else { return Ok(()) };
        let key = TestKey::generate(Algorithm::EdDsa);
        let token = mint(&checked, &key.signing, Jti([3; 16]), NOW).expect("minted").token;
        let requirements = Requirements { audience: audiences.first().map(String::as_str), ..requirements() };
        let verified = verify(&token, &vec![key.verify], &requirements, NOW).expect("verified");
        prop_assert_eq!(verified.claims.subject.as_str(), subject);
        prop_assert_eq!(verified.claims.audiences.len(), audiences.len());
    }
}
