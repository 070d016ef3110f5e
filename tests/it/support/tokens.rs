//! Keys made at run time and the tokens they sign.

use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mintgate::ambient::{Entropy as _, SystemEntropy};
use mintgate::keys::{SigningKey, VerifyKey};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::id::{Audience, ClientId, FamilyId, Jti, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::token::{Checked, Draft, Limits, Minted, Requirements, Typ, mint};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://auth.example";
pub const AUDIENCE: &str = "https://api.example";
pub const CLIENT: &str = "web";
pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// A signing key with the bytes it came from, for oracles that parse it themselves.
pub struct TestKey {
    pub der: Vec<u8>,
    pub signing: SigningKey,
    pub verify: VerifyKey,
}

impl TestKey {
    pub fn from_der(algorithm: Algorithm, der: Vec<u8>) -> Self {
        let signing = SigningKey::from_der(algorithm, &der).expect("key");
        let verify = VerifyKey::new(signing.public().clone());
        Self { der, signing, verify }
    }

    pub fn generate(algorithm: Algorithm) -> Self {
        Self::from_der(algorithm, SigningKey::generate(algorithm).expect("generated").to_vec())
    }
}

/// An RSA key that openssl makes once per run; none, and a loud line, where openssl is absent.
pub fn rsa_key() -> Option<&'static TestKey> {
    static KEY: OnceLock<Option<TestKey>> = OnceLock::new();
    KEY.get_or_init(|| {
        let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"];
        match Command::new("openssl").args(arguments).output() {
            Ok(output) if output.status.success() => Some(TestKey::from_der(Algorithm::Rs256, output.stdout)),
            other => {
                eprintln!("SKIPPED: RS256, because openssl made no key: {other:?}");
                None
            }
        }
    })
    .as_ref()
}

/// One key of every algorithm that can be had here.
pub fn every_key() -> Vec<TestKey> {
    let mut keys: Vec<TestKey> =
        [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa].into_iter().map(TestKey::generate).collect();
    keys.extend(rsa_key().map(|key| TestKey::from_der(Algorithm::Rs256, key.der.clone())));
    keys
}

pub fn draft() -> Draft {
    Draft {
        issuer: Arc::from(ISSUER),
        subject: Subject::from("usr_AAAAAAAAAAAAAAAAAAAAAA"),
        client: ClientId::from(CLIENT),
        audiences: vec![Audience::from(AUDIENCE)],
        scope: "read write".parse().expect("scope"),
        lifetime: Duration::from_secs(300),
        session: Some(FamilyId([1; 16])),
        auth_time: Some(UnixSeconds(NOW.0 - 5)),
        typ: Typ::AtJwt,
        status: None,
    }
}

pub fn limits() -> Limits {
    Limits::new(Duration::from_secs(3_600))
}

pub fn checked(draft: Draft) -> Checked {
    draft.check(&limits(), NOW).expect("checked")
}

pub fn minted(key: &SigningKey, draft: Draft) -> Minted {
    mint(&checked(draft), key, Jti(SystemEntropy.bytes().expect("entropy")), NOW).expect("minted")
}

pub fn requirements() -> Requirements<'static> {
    Requirements { issuer: ISSUER, audience: Some(AUDIENCE), typ: &[Typ::AtJwt], leeway: Duration::ZERO }
}

/// Header and claims of a token, decoded.
pub fn decoded(token: &str) -> (Value, Value) {
    let part = |n: usize| {
        let text = token.split('.').nth(n).expect("part");
        serde_json::from_slice(&base64url::decode(text.as_bytes()).expect("base64url")).expect("JSON")
    };
    (part(0), part(1))
}

/// The claims of a good token, to break.
pub fn good_claims(issuer: &str, audience: &str, client: &str, now: UnixSeconds) -> Value {
    json!({
        "iss": issuer, "sub": client, "aud": audience, "exp": now.0 + 300, "iat": now.0,
        "jti": "AAAAAAAAAAAAAAAAAAAAAA", "client_id": client, "scope": "read",
    })
}

/// Signs any header and any claims, as they stand.
pub fn sign_text(key: &SigningKey, header: &str, claims: &[u8]) -> String {
    let mut out = Vec::new();
    base64url::append(header.as_bytes(), &mut out);
    out.push(b'.');
    base64url::append(claims, &mut out);
    key.sign_onto(0, &mut out).expect("signed");
    String::from_utf8(out).expect("ASCII")
}
