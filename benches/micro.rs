//! Micro-benchmarks: what a token costs beside the signature in it. `cargo bench --bench micro`.
//!
//! Each pair is measured in turns (A B A B ...), so that a machine that slows down slows both; the medians and their
//! ratio are printed. Nothing is asserted: a busy machine is no failed test.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mintgate::ambient::{Entropy as _, SystemEntropy};
use mintgate::client::{Client, ClientKind, GrantType};
use mintgate::grant::{self, Asked, EpochFacts, refresh_token};
use mintgate::keys::{SealingKey, SigningKey, VerifyKey};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::{Audience, ClientId, FamilyId, Generation, Jti, Subject};
use mintgate::protocol::refresh::RefreshToken;
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::Rotated;
use mintgate::store::{MemoryStore, Settings as StoreSettings, Store as _};
use mintgate::token::{Draft, Limits, Requirements, Typ, mint, open_refresh, seal_refresh, verify, verify_signature};
use mintgate::user::Profile;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// Calls in one turn, and turns for each side.
const CALLS: u32 = 50;
const TURNS: usize = 400;

fn draft() -> Draft {
    Draft {
        issuer: Arc::from("https://auth.example"),
        subject: Subject::from("usr_AAAAAAAAAAAAAAAAAAAAAA"),
        client: ClientId::from("web"),
        audiences: vec![Audience::from("https://api.example")],
        scope: "read write".parse().expect("scope"),
        lifetime: Duration::from_secs(300),
        session: Some(FamilyId([1; 16])),
        auth_time: Some(NOW),
        typ: Typ::AtJwt,
        status: None,
    }
}

/// Medians of A and B in microseconds, measured in turns.
fn in_turns(mut a: impl FnMut(), mut b: impl FnMut()) -> (f64, f64) {
    let turn = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    };
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        of_a.push(turn(&mut a));
        of_b.push(turn(&mut b));
    }
    (median(of_a), median(of_b))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn report(what: &str, against: &str, (a, b): (f64, f64)) {
    println!("{what:<28} {a:>9.2} us   {against:<24} {b:>9.2} us   ratio {:.3}", a / b);
}

/// ring's signature alone over `message`, by the same private key.
fn raw_signer(algorithm: Algorithm, der: &[u8], message: Vec<u8>) -> Box<dyn FnMut()> {
    let random = SystemRandom::new();
    let ecdsa = |curve| EcdsaKeyPair::from_pkcs8(curve, der, &SystemRandom::new()).expect("key");
    match algorithm {
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8(der).expect("key");
            Box::new(move || {
                black_box(pair.sign(&message));
            })
        }
        Algorithm::Es384 => {
            let pair = ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING);
            Box::new(move || {
                black_box(pair.sign(&random, &message).expect("signed"));
            })
        }
        _ => {
            let pair = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING);
            Box::new(move || {
                black_box(pair.sign(&random, &message).expect("signed"));
            })
        }
    }
}

fn main() {
    let limits = Limits::new(Duration::from_secs(3_600));
    let requirements =
        Requirements { issuer: "https://auth.example", audience: None, typ: &[Typ::AtJwt], leeway: Duration::ZERO };
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let der = SigningKey::generate(algorithm).expect("generated");
        let key = SigningKey::from_der(algorithm, &der).expect("key");
        let checked = draft().check(&limits, NOW).expect("checked");
        let token = mint(&checked, &key, Jti([1; 16]), NOW).expect("minted").token;
        let message = token.rsplit_once('.').map(|(message, _)| message.as_bytes().to_vec()).unwrap_or_default();

        // From a draft to the finished text: check, random id, claims, base64url, signature.
        let template = draft();
        let issue = || {
            let checked = template.clone().check(&limits, NOW).expect("checked");
            let jti = Jti(SystemEntropy.bytes().expect("entropy"));
            drop(black_box(mint(&checked, &key, jti, NOW).expect("minted")));
        };
        report(
            &format!("{algorithm} issue"),
            "raw ring signature",
            in_turns(issue, raw_signer(algorithm, &der, message)),
        );

        let keys = vec![VerifyKey::new(key.public().clone())];
        let gate = || drop(black_box(verify(&token, &keys, &requirements, NOW).expect("verified")));
        let signature = || drop(black_box(keys.first().map(|key| verify_signature(&token, key))));
        report(&format!("{algorithm} verify"), "signature check alone", in_turns(gate, signature));
    }

    let key = SealingKey::new(&[1; 32]);
    let token = RefreshToken {
        family: FamilyId([1; 16]),
        generation: Generation(1),
        client: ClientId::from("web"),
        subject: Subject::from("usr_AAAAAAAAAAAAAAAAAAAAAA"),
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from("https://api.example")],
        auth_time: NOW,
        issued_at: NOW,
        family_ends_at: NOW.after(Duration::from_secs(7_776_000)),
        credential: None,
    };
    let text = seal_refresh(&token, &key, [1; 24]).expect("sealed");
    let seal = || {
        let salt = SystemEntropy.bytes().expect("entropy");
        drop(black_box(seal_refresh(&token, &key, salt).expect("sealed")));
    };
    let open = || drop(black_box(open_refresh(&text, |_| Some(&key)).expect("opened")));
    report("refresh token seal", "refresh token open", in_turns(seal, open));
    refresh();
}

/// A whole refresh but the wire: open, decide, sign, seal, rotate in memory.
fn refresh() {
    let der = SigningKey::generate(Algorithm::Es256).expect("generated");
    let signer = SigningKey::from_der(Algorithm::Es256, &der).expect("key");
    let sealer = SealingKey::new(&[2; 32]);
    let limits = Limits::new(Duration::from_secs(3_600));
    let store = MemoryStore::new(StoreSettings { entries_max: 1_000, ..StoreSettings::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let client = Client {
        id: ClientId::from("web"),
        kind: ClientKind::Public,
        first_party: true,
        enabled: true,
        secrets: Vec::new(),
        grants: vec![GrantType::RefreshToken],
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from("https://api.example")],
        access_lifetime: None,
    };
    let subject = Subject::from("usr_AAAAAAAAAAAAAAAAAAAAAA");
    let profile = Profile {
        subject: subject.clone(),
        enabled: true,
        scope: None,
        password_changed_at: UnixSeconds(0),
        credential: None,
    };
    let family_ends_at = NOW.after(Duration::from_secs(7_776_000));
    let first = RefreshToken {
        family: FamilyId::new([3; 12], family_ends_at),
        generation: Generation(0),
        client: client.id.clone(),
        subject,
        scope: client.scope.clone(),
        audiences: client.audiences.clone(),
        auth_time: NOW,
        issued_at: NOW,
        family_ends_at,
        credential: None,
    };
    let mut text = seal_refresh(&first, &sealer, [1; 24]).expect("sealed");
    let settings = grant::Settings::default();
    let whole = || {
        let token = open_refresh(&text, |_| Some(&sealer)).expect("opened");
        let facts = refresh_token::Facts {
            family: store.family(token.family, NOW),
            epochs: EpochFacts::default(),
            profile: Some(profile.clone()),
        };
        let asked = Asked::default();
        let decision = refresh_token::decide(&token, &asked, &facts, &client, &settings, NOW).expect("granted");
        let draft = Draft {
            issuer: "https://auth.example".into(),
            subject: decision.mint.subject.clone(),
            client: decision.mint.client.clone(),
            audiences: decision.mint.audiences.clone(),
            scope: decision.mint.scope.clone(),
            lifetime: decision.mint.lifetime,
            session: decision.mint.session,
            auth_time: decision.mint.auth_time,
            typ: Typ::AtJwt,
            status: None,
        };
        let checked = draft.check(&limits, NOW).expect("checked");
        let jti = Jti(SystemEntropy.bytes().expect("entropy"));
        drop(black_box(mint(&checked, &signer, jti, NOW).expect("minted")));
        let successor = decision.refresh.expect("a refresh token");
        text = seal_refresh(&successor, &sealer, SystemEntropy.bytes().expect("entropy")).expect("sealed");
        let rotated = runtime.block_on(store.rotate(decision.rotation.expect("a rotation"), NOW)).expect("rotated");
        assert!(matches!(rotated, Rotated::Advanced { .. }), "{rotated:?}");
    };
    let message = vec![b'x'; 400];
    report(
        "refresh, all but the wire",
        "raw ring signature",
        in_turns(whole, raw_signer(Algorithm::Es256, &der, message)),
    );
}
