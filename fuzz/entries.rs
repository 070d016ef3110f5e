//! Where strange bytes enter: one function a parser, with what must hold whatever comes in. The fuzz targets call these,
//! and so does `tests/it/fuzz.rs`, which needs no nightly compiler.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mintgate::ambient::{Clock, ManualClock};
use mintgate::client::authenticate::Presented;
use mintgate::config::{self, Inputs};
use mintgate::keys::{SigningKey, VerifyKey, import};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::json;
use mintgate::protocol::jwk::PublicJwk;
use mintgate::protocol::jws::{KID_BYTES_MAX, TOKEN_BYTES_MAX};
use mintgate::protocol::params::{PARAMS_MAX, Params};
use mintgate::protocol::time::UnixSeconds;
use mintgate::store::embedded;
use mintgate::token::{Outcome, Requirements, Typ, explain, verify};
use mintgate::verifier::{Demand, Fetch, Fetched, Pending, Settings, Verifier};
use serde_json::json;

const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "https://api.example";
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// An entry: its name, what it does with bytes, and bytes to begin with.
pub type Entry = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

pub const ALL: [Entry; 8] = [
    ("gate", gate, gate_seeds),
    ("key_set", key_set, key_set_seeds),
    ("key_file", key_file, key_file_seeds),
    ("form", form, form_seeds),
    ("basic", basic, basic_seeds),
    ("config", config, config_seeds),
    ("recovery", recovery, recovery_seeds),
    ("feed", feed, feed_seeds),
];

/// A key of this process alone.
fn key() -> &'static (SigningKey, Vec<VerifyKey>) {
    static KEY: OnceLock<(SigningKey, Vec<VerifyKey>)> = OnceLock::new();
    KEY.get_or_init(|| {
        let der = SigningKey::generate(Algorithm::EdDsa).expect("a key");
        let key = SigningKey::from_der(Algorithm::EdDsa, &der).expect("a key");
        let verify = VerifyKey::new(key.public().clone());
        (key, vec![verify])
    })
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    let mut out = Vec::new();
    base64url::append(header, &mut out);
    out.push(b'.');
    base64url::append(claims, &mut out);
    key().0.sign_onto(0, &mut out).expect("signed");
    String::from_utf8(out).expect("ASCII")
}

fn header(typ: &str) -> Vec<u8> {
    json!({"alg": "EdDSA", "typ": typ, "kid": key().0.kid().as_str()}).to_string().into_bytes()
}

fn claims() -> Vec<u8> {
    let claims = json!({
        "iss": ISSUER, "sub": "usr_1", "aud": AUDIENCE, "exp": NOW.0 + 300, "iat": NOW.0,
        "jti": "AAAAAAAAAAAAAAAAAAAAAA", "client_id": "web", "scope": "read",
    });
    claims.to_string().into_bytes()
}

/// A whole token; then the same bytes as a header and as claims under a genuine signature.
pub fn gate(bytes: &[u8]) {
    let keys = &key().1;
    let requirements =
        Requirements { issuer: ISSUER, audience: Some(AUDIENCE), typ: &[Typ::AtJwt], leeway: Duration::ZERO };
    let whole = String::from_utf8_lossy(bytes).into_owned();
    for token in [whole, sign(bytes, &claims()), sign(&header("at+jwt"), bytes)] {
        let verdict = verify(&token, keys, &requirements, NOW);
        let steps = explain(&token, keys, &requirements, NOW);
        let passed = steps.iter().all(|step| step.outcome == Outcome::Passed);
        assert_eq!(passed, verdict.is_ok(), "the explanation says the same: {verdict:?}, {steps:?}");
        if let Ok(verified) = verdict {
            assert!(token.len() <= TOKEN_BYTES_MAX);
            assert_eq!(verified.claims.issuer, ISSUER);
            assert!(verified.claims.audiences.iter().any(|audience| audience.as_str() == AUDIENCE));
            assert!(verified.expires_at > NOW && verified.kid == *keys[0].kid());
        }
    }
}

fn gate_seeds() -> Vec<Vec<u8>> {
    vec![sign(&header("at+jwt"), &claims()).into_bytes(), header("at+jwt"), claims(), b"..".to_vec(), b"{}".to_vec()]
}

/// A JWK, and a key set as a verifier fetches it.
pub fn key_set(bytes: &[u8]) {
    if let Ok(members) = json::object(bytes)
        && let Ok(public) = PublicJwk::from_json(&members)
    {
        let published = public.to_json();
        let again = PublicJwk::from_json(published.as_object().expect("an object")).expect("what we publish, we read");
        assert_eq!(again.thumbprint(), public.thumbprint());
        assert!(public.thumbprint().as_str().len() <= KID_BYTES_MAX);
        assert!(published.get("d").is_none() && published.get("k").is_none());
        // A key of any origin refuses what it did not sign.
        assert!(!VerifyKey::new(public).verifies(b"a.b", "AAAA"));
    }
    let verdict = judge(&sign(&header("at+jwt"), &claims()), bytes, b"");
    assert!(verdict == Err(Refusal::NoKeys) || verdict == Err(Refusal::Token) || bytes_hold_our_key(bytes));
}

fn bytes_hold_our_key(bytes: &[u8]) -> bool {
    let kid = key().0.kid().as_str();
    json::object(bytes).is_ok_and(|set| set.get("keys").is_some_and(|keys| keys.to_string().contains(kid)))
}

fn key_set_seeds() -> Vec<Vec<u8>> {
    let algorithms = [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let public = |algorithm| {
        let der = SigningKey::generate(algorithm).expect("a key");
        SigningKey::from_der(algorithm, &der).expect("a key").public().to_json()
    };
    let mut keys: Vec<_> = algorithms.map(public).to_vec();
    keys.push(json!({"kty": "RSA", "e": "AQAB", "n": "s".repeat(342)}));
    keys.push(json!({"kty": "oct", "k": "AAAA"}));
    let own = json!({"keys": [key().0.public().to_json()]});
    let set = json!({"keys": keys});
    keys.iter().chain([&own, &set]).map(|value| value.to_string().into_bytes()).collect()
}

/// A private key from elsewhere: PEM, DER or JWK.
pub fn key_file(bytes: &[u8]) {
    let Ok(imported) = import::read(bytes) else { return };
    let again = import::read(&imported.pkcs8).expect("what we store, we read");
    assert_eq!(again.key.kid(), imported.key.kid());
    let jwk = import::to_private_jwk(&imported).expect("every key has a JWK");
    assert_eq!(import::read(jwk.as_bytes()).expect("the JWK").key.kid(), imported.key.kid());
    let pem = import::to_pem(&imported.pkcs8);
    assert_eq!(import::read(pem.as_bytes()).expect("the PEM").key.kid(), imported.key.kid());
}

fn key_file_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let der = SigningKey::generate(algorithm).expect("a key");
        let imported = import::read(&der).expect("our own key");
        seeds.push(import::to_private_jwk(&imported).expect("a JWK").as_bytes().to_vec());
        seeds.push(import::to_pem(&der).as_bytes().to_vec());
        seeds.push(import::to_public_pem(imported.key.public()).as_bytes().to_vec());
        seeds.push(der.to_vec());
    }
    seeds.push(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_vec());
    seeds
}

/// The body of a form.
pub fn form(bytes: &[u8]) {
    let Ok(params) = Params::parse(bytes) else { return };
    let names: Vec<&str> = params.names().collect();
    assert!(names.len() <= PARAMS_MAX);
    for name in &names {
        // A parameter without a value is as if it were not there.
        assert!(params.value(name).is_none_or(|value| !value.is_empty()));
    }
    let _ = Presented::from_parts(None, &params);
    let _ = Presented::from_parts(Some(b"Basic YTpi"), &params);
}

fn form_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "grant_type=client_credentials&client_id=web&client_secret=s%20e+c&scope=read%20write",
        "grant_type=refresh_token&refresh_token=mgr_AAAA&client_id=app&resource=a&resource=b",
        "a=&=b&&c&%41=%zz&d=%ff",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// The `Authorization` header of a client.
pub fn basic(bytes: &[u8]) {
    let params = Params::parse(b"client_id=web").expect("a form");
    if let Ok(presented) = Presented::from_parts(Some(bytes), &params) {
        assert!(presented.is_header(), "credentials in a header are taken for nothing else");
    }
}

fn basic_seeds() -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let pairs = ["web:secret", "web:a%20b+c", "%77eb:x", "web:", ":", "other:x", "web:\u{e9}:y"];
    let encoded = |pair: &str| base64::engine::general_purpose::STANDARD.encode(pair);
    pairs.iter().map(|pair| format!("Basic {}", encoded(pair)).into_bytes()).chain([b"Bearer x".to_vec()]).collect()
}

/// The text of `mintgate.toml`.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match config::check(Path::new("mintgate.toml"), text, &Inputs::default()) {
        Ok(loaded) => assert!(loaded.config.issuer.starts_with("http"), "no configuration without an issuer"),
        // Every refusal can be shown: where it points must lie in the text.
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn config_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "issuer = \"https://auth.example\"\n",
        "issuer = \"https://auth.example\"\n[tokens]\nalgorithm = \"ES256\"\naccess_lifetime = \"5m\"\n",
        "issuer = \"http://127.0.0.1:1\"\n[listen]\npublic = \"127.0.0.1:0\"\n[verify.policies.a]\naudience = \"x\"\n",
        "isuer = 1\n[refesh]\nretry_window = 10\n",
        "issuer = \"\u{e9}\n[[keys]]\na.b.c = { d = 1, e = [2] }\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A record of the log: the first byte is how many changes it says it has.
pub fn recovery(bytes: &[u8]) {
    let Some((count, content)) = bytes.split_first() else { return };
    if let Ok((changes, again)) = embedded::recover(u32::from(*count), content) {
        assert_eq!(changes.len(), usize::from(*count));
        assert_eq!(again, content, "one spelling for each change");
    }
}

fn recovery_seeds() -> Vec<Vec<u8>> {
    let id = |tag: u8| [&[1, tag][..], &[7; 16], &NOW.0.to_be_bytes()].concat();
    let dates = [NOW.0.to_be_bytes(), (NOW.0 + 60).to_be_bytes()].concat();
    vec![
        [&[1, 1][..], &[7; 16], &5_u32.to_be_bytes(), &NOW.0.to_be_bytes()].concat(),
        [&[1, 2][..], &[7; 16]].concat(),
        id(3),
        id(4),
        [&id(5)[..], &[2]].concat(),
        [&[1, 6, 1][..], &dates, &3_u32.to_be_bytes(), b"usr"].concat(),
        [&[2, 2][..], &[7; 16], &[2], &[8; 16]].concat(),
    ]
}

/// A document of the revocation feed as it came; then the same bytes as its claims, signed by the issuer.
pub fn feed(bytes: &[u8]) {
    let keys = json!({"keys": [key().0.public().to_json()]}).to_string();
    let token = sign(&header("at+jwt"), &claims());
    assert_ne!(judge(&token, keys.as_bytes(), bytes), Err(Refusal::Token), "a feed revokes; it spoils no token");
    let signed = sign(&header("revocations+jwt"), bytes);
    let verdict = judge(&token, keys.as_bytes(), signed.as_bytes());
    let names_it = || json::object(bytes).is_ok_and(|claims| claims.contains_key("revoked"));
    assert!(verdict == Ok(()) || (verdict == Err(Refusal::Revoked) && names_it()), "{verdict:?}");
}

fn feed_seeds() -> Vec<Vec<u8>> {
    let document = |revoked: serde_json::Value| {
        json!({
            "iss": ISSUER, "iat": NOW.0, "exp": NOW.0 + 300, "from": 0, "to": 7, "more": false, "max_age": 5,
            "revoked": revoked,
        })
    };
    let end = NOW.0 + 300;
    let documents = [
        document(json!({"jti": [["AAAAAAAAAAAAAAAAAAAAAA", end]]})),
        document(json!({"sid": [["AAAAAAAAAAAAAAAAAAAAAA", end]], "client_id": [["web", NOW.0, end]]})),
        document(json!({"sub": [["x", NOW.0, end]], "kid": [[key().0.kid().as_str(), NOW.0, end]]})),
        document(json!([])),
    ];
    let texts = documents.iter().map(|document| document.to_string().into_bytes());
    texts.chain([sign(&header("revocations+jwt"), documents[0].to_string().as_bytes()).into_bytes()]).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NoKeys,
    Token,
    Revoked,
}

/// What the library for services says of a token, with this key set and after one round of this feed.
fn judge(token: &str, keys: &[u8], feed: &[u8]) -> Result<(), Refusal> {
    struct Canned(Vec<u8>, Vec<u8>);
    impl Fetch for Canned {
        fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a> {
            let body = if url.ends_with("/jwks.json") { &self.0 } else { &self.1 };
            Box::pin(async { Ok(Fetched { body: body.clone(), max_age: None }) })
        }
    }
    let settings = Settings::new(ISSUER).following("https://auth.example/revocations");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let verifier = Verifier::new(settings, Arc::new(Canned(keys.to_vec(), feed.to_vec())), clock);
    let demand = Demand { audience: AUDIENCE.to_owned(), scope: "read".parse().expect("a scope") };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let pause = verifier.follow().await;
        assert!(pause <= Duration::from_secs(3_600));
        match verifier.verify(token, &demand).await {
            Ok(_) => Ok(()),
            Err(mintgate::verifier::Denied::Unavailable) => Err(Refusal::NoKeys),
            Err(mintgate::verifier::Denied::Revoked) => Err(Refusal::Revoked),
            Err(_) => Err(Refusal::Token),
        }
    })
}
