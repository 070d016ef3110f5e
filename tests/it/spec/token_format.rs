//! PROTOCOL section 3: what an access token must look like.

use std::collections::HashSet;
use std::time::Duration;

use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::id::{ClientId, Subject};
use mintgate::token::{Draft, DraftError, Typ};

use crate::support::tokens::{AUDIENCE, CLIENT, ISSUER, NOW, TestKey, decoded, draft, every_key, limits, minted};

#[test]
fn rfc_9068_2_1_header_has_typ_at_jwt_an_asymmetric_alg_and_a_kid() {
    for key in every_key() {
        let (header, _) = decoded(&minted(&key.signing, draft()).token);
        assert_eq!(header["typ"], "at+jwt");
        assert_eq!(header["alg"], key.signing.algorithm().name());
        assert_eq!(header["kid"], key.signing.kid().as_str());
        assert_eq!(header.as_object().expect("object").len(), 3);
    }
}

#[test]
fn rfc_7515_4_1_9_an_audience_may_ask_for_typ_jwt() {
    let key = TestKey::generate(Algorithm::Es256);
    let (header, _) = decoded(&minted(&key.signing, Draft { typ: Typ::Jwt, ..draft() }).token);
    assert_eq!(header["typ"], "JWT");
}

#[test]
fn rfc_9068_2_2_required_claims() {
    let key = TestKey::generate(Algorithm::Es256);
    let (_, claims) = decoded(&minted(&key.signing, draft()).token);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], AUDIENCE);
    assert_eq!(claims["sub"], draft().subject.as_str());
    assert_eq!(claims["client_id"], CLIENT);
    assert_eq!(claims["exp"], NOW.0 + 300);
    assert_eq!(claims["iat"], NOW.0);
    assert!(claims["jti"].is_string());
}

#[test]
fn rfc_9068_2_2_1_auth_time_when_a_user_logged_in() {
    let key = TestKey::generate(Algorithm::Es256);
    let (_, claims) = decoded(&minted(&key.signing, draft()).token);
    assert_eq!(claims["auth_time"], NOW.0 - 5);
}

#[test]
fn rfc_9068_2_2_3_scope_is_there_unless_empty() {
    let key = TestKey::generate(Algorithm::Es256);
    assert_eq!(decoded(&minted(&key.signing, draft()).token).1["scope"], "read write");
    let bare = Draft { scope: mintgate::protocol::scope::Scope::empty(), ..draft() };
    assert!(decoded(&minted(&key.signing, bare).token).1.get("scope").is_none());
}

#[test]
fn rfc_9068_2_2_a_client_alone_is_its_own_subject() {
    let alone = Draft { subject: Subject::from(CLIENT), session: None, auth_time: None, ..draft() };
    assert!(alone.check(&limits(), NOW).is_ok());
}

#[test]
fn rfc_9068_5_a_client_cannot_pass_for_a_user() {
    let bad = Draft { client: ClientId::from("usr_AAAAAAAAAAAAAAAAAAAAAA"), ..draft() };
    assert_eq!(bad.check(&limits(), NOW), Err(DraftError::Client));
    let login = Draft { subject: Subject::from(CLIENT), ..draft() };
    assert_eq!(login.check(&limits(), NOW), Err(DraftError::ClientAlone));
}

#[test]
fn rfc_9068_3_a_token_always_has_an_audience() {
    let bad = Draft { audiences: Vec::new(), ..draft() };
    assert_eq!(bad.check(&limits(), NOW), Err(DraftError::Audience));
}

#[test]
fn rfc_9068_6_no_personal_data_by_default() {
    let key = TestKey::generate(Algorithm::Es256);
    let (_, claims) = decoded(&minted(&key.signing, draft()).token);
    let known = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid", "auth_time"];
    for name in claims.as_object().expect("object").keys() {
        assert!(known.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn rfc_7519_2_dates_are_integers() {
    let key = TestKey::generate(Algorithm::Es256);
    let (_, claims) = decoded(&minted(&key.signing, draft()).token);
    for name in ["exp", "iat", "auth_time"] {
        assert!(claims[name].is_u64(), "{name}");
    }
}

#[test]
fn rfc_7519_4_1_7_jti_is_128_random_bits() {
    let key = TestKey::generate(Algorithm::Es256);
    let mut seen = HashSet::new();
    for _ in 0..50 {
        let (_, claims) = decoded(&minted(&key.signing, draft()).token);
        let jti = claims["jti"].as_str().expect("text").to_owned();
        assert_eq!(base64url::decode(jti.as_bytes()).map(|bytes| bytes.len()), Some(16));
        assert!(seen.insert(jti));
    }
}

#[test]
fn rfc_7518_3_4_ecdsa_signatures_are_r_and_s_side_by_side() {
    for (algorithm, length) in [(Algorithm::Es256, 64), (Algorithm::Es384, 96)] {
        let key = TestKey::generate(algorithm);
        let token = minted(&key.signing, draft()).token;
        let signature = base64url::decode(token.rsplit('.').next().expect("signature").as_bytes()).expect("base64url");
        assert_eq!(signature.len(), length);
    }
}

#[test]
fn rfc_6749_5_1_exp_is_iat_plus_the_lifetime() {
    let key = TestKey::generate(Algorithm::Es256);
    let short = Draft { lifetime: Duration::from_secs(3), ..draft() };
    let (_, claims) = decoded(&minted(&key.signing, short).token);
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 3));
}
