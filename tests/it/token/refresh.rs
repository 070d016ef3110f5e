//! Refresh tokens as bytes.

use mintgate::keys::SealingKey;
use mintgate::protocol::id::{Audience, ClientId, FamilyId, Generation, Subject};
use mintgate::protocol::refresh::{Credential, RefreshToken};
use mintgate::protocol::time::UnixSeconds;
use mintgate::token::refresh::{decode, encode};
use mintgate::token::{OpenError, SealError, open_refresh, seal_refresh};
use proptest::prelude::*;

fn token() -> RefreshToken {
    RefreshToken {
        family: FamilyId([9; 16]),
        generation: Generation(3),
        client: ClientId::from("web"),
        subject: Subject::from("usr_AAAAAAAAAAAAAAAAAAAAAA"),
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from("https://api.example"), Audience::from("files")],
        auth_time: UnixSeconds(1_800_000_000),
        issued_at: UnixSeconds(1_800_000_100),
        family_ends_at: UnixSeconds(1_807_776_000),
        credential: None,
    }
}

#[test]
fn round_trip_and_size() {
    let key = SealingKey::new(&[1; 32]);
    let text = seal_refresh(&token(), &key, [2; 24]).expect("sealed");
    assert_eq!(open_refresh(&text, |_| Some(&key)), Ok(token()));
    assert!(text.len() <= 250, "a refresh token is short: {}", text.len());
    for hidden in ["web", "usr_", "api.example"] {
        assert!(!text.contains(hidden));
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let bytes = encode(&token()).expect("encoded");
    assert_eq!(decode(&bytes), Some(token()));
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]), None, "cut to {length}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(decode(&longer), None, "a byte behind");
    let mut other = bytes.to_vec();
    other[0] = 3;
    assert_eq!(decode(&other), None, "another version");
    // The layout with the mark of a password is one of its own; neither is read as the other.
    let marked = RefreshToken { credential: Some(Credential([7; 8])), ..token() };
    let mut marked_bytes = encode(&marked).expect("encoded").to_vec();
    assert_eq!((marked_bytes[0], decode(&marked_bytes)), (2, Some(marked)));
    marked_bytes[0] = 1;
    other[0] = 2;
    assert_eq!((decode(&marked_bytes), decode(&other)), (None, None), "the other layout");
    // The same scope in another spelling: one token has one encoding.
    let mut respelled = bytes.to_vec();
    let scope = respelled.windows(10).position(|text| text == b"read write").expect("scope");
    respelled[scope + 3] = b' ';
    assert_eq!(decode(&respelled), None, "a scope with two blanks");
}

#[test]
fn what_is_out_of_bounds_is_not_sealed() {
    type Row = (&'static str, fn(&mut RefreshToken));
    let rows: [Row; 7] = [
        ("no client", |t| t.client = ClientId::from("")),
        ("client with a blank", |t| t.client = ClientId::from("a b")),
        ("no subject", |t| t.subject = Subject::from("")),
        ("long subject", |t| t.subject = Subject::from("x".repeat(256))),
        ("no audience", |t| t.audiences.clear()),
        ("17 audiences", |t| t.audiences = vec![Audience::from("a"); 17]),
        ("too much altogether", |t| t.audiences = vec![Audience::from("x".repeat(255)); 16]),
    ];
    let key = SealingKey::new(&[1; 32]);
    for (name, break_one_thing) in rows {
        let mut bad = token();
        break_one_thing(&mut bad);
        assert_eq!(seal_refresh(&bad, &key, [2; 24]), Err(SealError), "{name}");
    }
}

#[test]
fn sealed_content_of_another_layout_is_refused() {
    let key = SealingKey::new(&[1; 32]);
    let kind = mintgate::token::SealedKind::RefreshToken;
    for payload in [&b""[..], b"\x01", b"\x02rest", &[1; 500]] {
        let text =
            mintgate::token::seal(kind, &key, [2; 24], zeroize::Zeroizing::new(payload.to_vec())).expect("sealed");
        assert_eq!(open_refresh(&text, |_| Some(&key)), Err(OpenError));
    }
}

prop_compose! {
    fn any_token()(
        family in any::<[u8; 16]>(),
        generation in any::<u32>(),
        client in "[!-~]{1,255}",
        subject in "\\PC{1,60}",
        scope in proptest::collection::vec("[#-Z]{1,20}", 0..20),
        audiences in proptest::collection::vec("\\PC{1,60}", 1..8),
        dates in any::<[u64; 3]>(),
        credential in any::<Option<[u8; 8]>>(),
    ) -> RefreshToken {
        RefreshToken {
            family: FamilyId(family),
            generation: Generation(generation),
            client: ClientId::from(client),
            subject: Subject::from(subject),
            scope: scope.join(" ").parse().expect("scope"),
            audiences: audiences.into_iter().map(Audience::from).collect(),
            auth_time: UnixSeconds(dates[0]),
            issued_at: UnixSeconds(dates[1]),
            family_ends_at: UnixSeconds(dates[2]),
            credential: credential.map(Credential),
        }
    }
}

proptest! {
    #[test]
    fn any_token_survives_the_round_trip(token in any_token()) {
        let bytes = encode(&token).expect("encoded");
        prop_assert_eq!(decode(&bytes), Some(token));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(token in any_token(), position in any::<prop::sample::Index>(), value in any::<u8>()) {
        // One token, one spelling: if a bent encoding is read at all, writing it again gives the bent bytes.
        let mut bytes = encode(&token).expect("encoded").to_vec();
        let position = position.index(bytes.len());
        bytes[position] = value;
        if let Some(read) = decode(&bytes) {
            prop_assert_eq!(encode(&read).expect("encoded").to_vec(), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let mut versioned = vec![1];
        versioned.extend_from_slice(&bytes);
        let _ = decode(&versioned);
    }
}
