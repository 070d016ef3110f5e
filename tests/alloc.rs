//! Counts allocations. A binary of its own: the counting allocator counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use mintgate::keys::{SigningKey, VerifyKey};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::{Audience, ClientId, FamilyId, Jti, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::token::{Checked, Draft, Limits, Requirements, Typ, mint, verify};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn draft() -> Draft {
    Draft {
        issuer: Arc::from("https://auth.example"),
        subject: Subject::from("usr_AAAAAAAAAAAAAAAAAAAAAA"),
        client: ClientId::from("web"),
        audiences: vec![Audience::from("https://api.example"), Audience::from("https://files.example")],
        scope: "read write".parse().expect("scope"),
        lifetime: Duration::from_secs(300),
        session: Some(FamilyId([1; 16])),
        auth_time: Some(NOW),
        typ: Typ::AtJwt,
        status: None,
    }
}

fn limits() -> Limits {
    Limits::new(Duration::from_secs(3_600))
}

fn count(work: impl FnOnce()) -> AllocationInfo {
    measure(work)
}

/// PERFORMANCE, targets: at most 6 allocations a token, 2 aimed at. Minting takes a parsed key, so it parses none:
/// parsing one alone would allocate more than this whole budget (checked below).
#[test]
fn minting_allocates_the_claims_and_the_token() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let key = SigningKey::from_der(algorithm, &SigningKey::generate(algorithm).expect("key")).expect("key");
        let checked: Checked = draft().check(&limits(), NOW).expect("checked");
        // The first signature lets ring look at the processor.
        mint(&checked, &key, Jti([0; 16]), NOW).expect("minted");
        let info = count(|| drop(mint(&checked, &key, Jti([7; 16]), NOW).expect("minted")));
        println!("{algorithm}: {} allocations, {} bytes", info.count_total, info.bytes_total);
        assert_eq!(info.count_total, 2, "{algorithm}: the claims, the token");
        assert_eq!(info.count_current, 0);
    }
}

#[test]
fn checking_a_draft_allocates_nothing() {
    let draft = draft();
    let mut checked = None;
    let info = count(|| checked = Some(draft.check(&limits(), NOW)));
    assert!(checked.is_some_and(|checked| checked.is_ok()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn parsing_a_key_is_what_minting_never_does() {
    let der = SigningKey::generate(Algorithm::Es256).expect("key");
    let info = count(|| drop(SigningKey::from_der(Algorithm::Es256, &der).expect("key")));
    assert!(info.count_total > 2, "a parsed key would show in the count of minting: {}", info.count_total);
}

/// THREATS section 4, row 11: what is too long or has the wrong shape costs no memory.
#[test]
fn a_megabyte_of_dots_allocates_nothing() {
    let keys: Vec<VerifyKey> = Vec::new();
    let requirements =
        Requirements { issuer: "https://auth.example", audience: None, typ: &Typ::ALL, leeway: Duration::ZERO };
    let dots = ".".repeat(1_000_000);
    let few_dots = ".".repeat(8_000);
    let letters = "A".repeat(1_000_000);
    for token in [&dots, &few_dots, &letters] {
        let info = count(|| assert!(verify(token, &keys, &requirements, NOW).is_err()));
        assert_eq!(info.bytes_total, 0);
    }
}

/// A token of 8 KiB is the most an attacker can make us read: 2 MiB would be an amplification.
#[test]
fn the_largest_header_costs_little() {
    let keys: Vec<VerifyKey> = Vec::new();
    let requirements =
        Requirements { issuer: "https://auth.example", audience: None, typ: &Typ::ALL, leeway: Duration::ZERO };
    let members: Vec<String> = (0..500).map(|n| format!("\"{n}\":[[]]")).collect();
    let header = format!("{{\"alg\":\"ES256\",{}}}", members.join(","));
    let token = format!("{}.e30.AA", mintgate::protocol::base64url::encode(header.as_bytes()));
    assert!(token.len() < 8_192);
    let info = count(|| assert!(verify(&token, &keys, &requirements, NOW).is_err()));
    println!("{} bytes of token: {} bytes at most", token.len(), info.bytes_max);
    assert!(info.bytes_max < 256 * 1_024, "{}", info.bytes_max);
}
