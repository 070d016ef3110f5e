//! jsonwebtoken as the independent oracle: it takes what we mint, and we take what it encodes.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Header, Validation};
use mintgate::keys::provider;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::token::{Draft, Requirements, Typ, verify};
use serde_json::Value;

use crate::support::tokens::{
    AUDIENCE, CLIENT, ISSUER, NOW, decoded, draft, every_key, good_claims, minted, requirements,
};

fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.name().parse().expect("an algorithm both know")
}

#[test]
fn jsonwebtoken_takes_what_we_mint() {
    provider::install();
    for key in every_key() {
        let algorithm = key.signing.algorithm();
        let jwk: Jwk = serde_json::from_value(key.signing.public().to_json()).expect("our JWK reads");
        let decoding = DecodingKey::from_jwk(&jwk).expect("our JWK is a key");
        let mut validation = Validation::new(theirs(algorithm));
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        (validation.leeway, validation.validate_nbf) = (0, true);
        // Our tokens live at a fixed moment; the oracle looks at the system's clock.
        validation.validate_exp = false;
        for typ in Typ::ALL {
            let token = minted(&key.signing, Draft { typ, ..draft() }).token;
            let data = jsonwebtoken::decode::<Value>(&token, &decoding, &validation)
                .unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            assert_eq!(data.claims, decoded(&token).1);
            assert_eq!(data.header.typ.as_deref(), Some(typ.name()));
            assert_eq!(data.header.kid.as_deref(), Some(key.signing.kid().as_str()));
            let bent = format!("{}A", &token[..token.len() - 1]);
            assert_eq!(
                jsonwebtoken::decode::<Value>(&bent, &decoding, &validation).is_ok(),
                verify(&bent, &vec![key.verify.clone()], &Requirements { typ: &[typ], ..requirements() }, NOW).is_ok(),
                "{algorithm}"
            );
        }
    }
}

#[test]
fn we_take_what_jsonwebtoken_encodes() {
    provider::install();
    for key in every_key() {
        let algorithm = key.signing.algorithm();
        let mut header = Header::new(theirs(algorithm));
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some(key.signing.kid().to_string()));
        let claims = good_claims(ISSUER, AUDIENCE, CLIENT, NOW);
        let token =
            jsonwebtoken::encode(&header, &claims, &provider::encoding_key(algorithm, &key.der)).expect("encoded");
        let verified = verify(&token, &vec![key.verify.clone()], &requirements(), NOW).expect("verifies");
        assert_eq!(verified.claims.client.as_str(), CLIENT);
    }
}
