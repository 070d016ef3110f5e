//! Rotation while a verifier that honours the cache headers verifies in a loop.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mintgate::keys::VerifyKey;
use mintgate::protocol::jwk::PublicJwk;
use mintgate::token::verify_signature;

use crate::support::http::{get, peek, post_form};
use crate::support::server::{Server, add_service, configured};

/// A verifier with a cache: it fetches the key set only when `max-age` has passed.
struct CachingVerifier {
    keys: HashMap<String, VerifyKey>,
    fresh_until: Instant,
    fetches: u32,
}

impl CachingVerifier {
    fn new() -> Self {
        Self { keys: HashMap::new(), fresh_until: Instant::now(), fetches: 0 }
    }

    /// Whether the token verifies with a key of the cached set.
    fn verifies(&mut self, server: &Server, token: &str) -> bool {
        if Instant::now() >= self.fresh_until {
            let asked_at = Instant::now();
            let answer = get(&server.url("/jwks.json"));
            let max_age: u64 = answer
                .header("cache-control")
                .and_then(|value| value.split("max-age=").nth(1))
                .and_then(|rest| rest.split([',', ' ']).next())
                .and_then(|digits| digits.parse().ok())
                .expect("max-age");
            let keys = answer.json()["keys"].as_array().expect("keys").clone();
            let parsed = keys
                .iter()
                .map(|jwk| VerifyKey::new(PublicJwk::from_json(jwk.as_object().expect("a JWK")).expect("a key")));
            self.keys = parsed.map(|key| (key.kid().to_string(), key)).collect();
            self.fresh_until = asked_at + Duration::from_secs(max_age);
            self.fetches += 1;
        }
        let kid = peek(token).0["kid"].as_str().expect("a kid").to_owned();
        self.keys.get(&kid).is_some_and(|key| verify_signature(token, key).is_ok())
    }
}

#[test]
fn twenty_rotations_and_no_unknown_kid_for_a_verifier_that_honours_max_age() {
    let secret = std::cell::OnceCell::new();
    let server = Server::lasting_with(
        |text| {
            let text = configured(text, "keys", "rotate_every = \"7s\"\npublish_ahead = \"6s\"");
            configured(&text, "tokens", "access_lifetime = \"3s\"")
        },
        |config| secret.set(add_service(config)).expect("once"),
    );
    let secret = secret.into_inner().expect("registered");
    let mut verifier = CachingVerifier::new();
    let mut signers = Vec::new();
    let mut verified = 0_u32;
    let deadline = Instant::now() + Duration::from_secs(300);
    while signers.len() < 21 {
        assert!(Instant::now() < deadline, "{} rotations in five minutes", signers.len());
        let answer = post_form(&server.url("/token"), Some(("svc", &secret)), &[("grant_type", "client_credentials")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let token = answer.member("access_token");
        assert!(
            verifier.verifies(&server, &token),
            "not verified after {} rotations:\n{}",
            signers.len(),
            server.log()
        );
        verified += 1;
        let kid = peek(&token).0["kid"].as_str().expect("kid").to_owned();
        if signers.last() != Some(&kid) {
            signers.push(kid);
        }
    }
    let fetches = verifier.fetches;
    println!("{} rotations, {verified} tokens verified, {fetches} key set fetches, 0 unknown kids", signers.len() - 1);
    assert!(verified > fetches, "the cache was used");
}
