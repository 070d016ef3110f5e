//! Sealed tokens: one key, one kind, one spelling.

use mintgate::keys::{SealingKey, SealingKeyId};
use mintgate::protocol::base64url;
use mintgate::token::seal::{SEALED_TEXT_BYTES_MAX, named_key};
use mintgate::token::{OpenError, SealError, SealedKind, open, seal};
use proptest::prelude::*;
use zeroize::Zeroizing;

const KIND: SealedKind = SealedKind::RefreshToken;

fn key(n: u8) -> SealingKey {
    SealingKey::new(&[n; 32])
}

fn sealed(key: &SealingKey, payload: &[u8]) -> String {
    seal(KIND, key, [7; 24], Zeroizing::new(payload.to_vec())).expect("sealed")
}

/// Opens with whatever key the text names, if it is one of these.
fn opened(keys: &[&SealingKey], text: &str) -> Result<Vec<u8>, OpenError> {
    open(KIND, text, |id| keys.iter().copied().find(|key| key.id() == id)).map(|payload| payload.to_vec())
}

#[test]
fn opens_with_the_key_it_names() {
    let (one, two) = (key(1), key(2));
    let text = sealed(&one, b"attack at dawn");
    assert!(text.starts_with("mgr_") && text.len() == 4 + (5 + 24 + 14 + 16) * 4 / 3 + 1, "{text}");
    assert_eq!(opened(&[&two, &one], &text), Ok(b"attack at dawn".to_vec()));
    assert_eq!(opened(&[&two], &text), Err(OpenError));
    assert_eq!(named_key(KIND, &text), Some(one.id()));
    // A finder that answers with another key than was asked for gets nothing.
    assert!(open(KIND, &text, |_| Some(&two)).is_err());
}

#[test]
fn every_prefix_suffix_and_bit_is_refused() {
    let key = key(1);
    let text = sealed(&key, b"payload");
    for length in 0..text.len() {
        assert_eq!(opened(&[&key], &text[..length]), Err(OpenError), "cut to {length}");
        assert_eq!(opened(&[&key], &text[length + 1..]), Err(OpenError), "the first {length} gone");
    }
    for more in ["A", "=", "\n", " ", "\0", ".", "AAAA", "mgr_", "\u{e9}"] {
        assert_eq!(opened(&[&key], &format!("{text}{more}")), Err(OpenError), "{more:?} behind");
        assert_eq!(opened(&[&key], &format!("{more}{text}")), Err(OpenError), "{more:?} in front");
    }
    for position in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            let Ok(bent) = String::from_utf8(bytes) else { continue };
            assert_eq!(opened(&[&key], &bent), Err(OpenError), "bit {bit} of character {position}");
        }
    }
    let raw = base64url::decode(&text.as_bytes()[4..]).expect("base64url");
    for position in 0..raw.len() {
        for value in 0..=255 {
            let mut bent = raw.clone();
            if std::mem::replace(&mut bent[position], value) == value {
                continue;
            }
            let bent = format!("mgr_{}", base64url::encode(&bent));
            // Whatever the bytes now name, the key that answers is ours: nothing but the seal refuses it.
            assert!(open(KIND, &bent, |_| Some(&key)).is_err(), "byte {position} = {value}");
        }
    }
}

#[test]
fn other_prefixes_and_versions_are_refused() {
    let key = key(1);
    let text = sealed(&key, b"payload");
    for prefix in ["", "mgr", "MGR_", "mgc_", "mgr-", "mgr__", "mgr_mgr_"] {
        assert_eq!(opened(&[&key], &format!("{prefix}{}", &text[4..])), Err(OpenError), "{prefix:?}");
    }
}

#[test]
fn the_length_is_bounded_on_both_sides() {
    let key = key(1);
    let largest = (SEALED_TEXT_BYTES_MAX - 4) * 3 / 4 - 45;
    let text = sealed(&key, &vec![1; largest]);
    assert!(text.len() <= SEALED_TEXT_BYTES_MAX);
    assert!(opened(&[&key], &text).is_ok());
    assert_eq!(seal(KIND, &key, [7; 24], Zeroizing::new(vec![1; largest + 1])), Err(SealError));
    let mut asked = false;
    let long = format!("mgr_{}", "A".repeat(SEALED_TEXT_BYTES_MAX));
    assert!(
        open(KIND, &long, |_: SealingKeyId| {
            asked = true;
            None
        })
        .is_err()
    );
    assert!(!asked, "no key is looked up for a text that is too long");
}

proptest! {
    #[test]
    fn round_trip(secret in any::<[u8; 32]>(), salt in any::<[u8; 24]>(), payload in proptest::collection::vec(any::<u8>(), 0..500)) {
        let key = SealingKey::new(&secret);
        let text = seal(KIND, &key, salt, Zeroizing::new(payload.clone())).expect("sealed");
        prop_assert_eq!(opened(&[&key], &text), Ok(payload));
    }

    #[test]
    fn random_text_is_refused(text in "(mgr_)?\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let key = key(1);
        prop_assert!(open(KIND, &text, |_| Some(&key)).is_err());
        let text = format!("mgr_{}", base64url::encode(&bytes));
        prop_assert!(open(KIND, &text, |_| Some(&key)).is_err());
    }
}
