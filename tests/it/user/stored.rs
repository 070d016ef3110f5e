//! Passwords as Django stores them: verified as they are, refused when damaged, and never dearer than allowed.

use mintgate::user::phc::{Memory, PhcError};
use mintgate::user::stored::Stored;

/// Made by Django 5.2's own hashers from `correct horse`, at small cost.
const DJANGO: [&str; 6] = [
    "pbkdf2_sha256$1000$seasalt12$LJ9fn3pQS/rsdXPFQk/Wuje22q/pjlmcegWRwgq7lw8=",
    "pbkdf2_sha1$1000$seasalt12$+8QNnDWgp5cjMrCjkXwvAzI6QgQ=",
    "argon2$argon2id$v=19$m=64,t=1,p=2$c2Vhc2FsdDEy$eW33pceBbseGGI+o0nKj/nYxYu2RpSifTGcwOWicSwU",
    "bcrypt_sha256$$2b$04$m3Lz086PCT3K3Jhwc37..OerWfHCqksHhISjU/poQXDV4V8CrY.VC",
    "bcrypt$$2b$04$uYgMmrzklOywg2OrDeqcDeG8ySAFUENIBCD1l7kyGUGTFnXglqVZm",
    "scrypt$1024$seasalt12$8$2$wKnc8FufRtVYMb9IXyFUaElVHsifp7Lze0kSEcqkDwp0i5OdGJB04vT6g8k2JDvvP5nNqNP2pgLQRuIfHDct7g==",
];

fn verify(stored: &Stored, password: &str) -> bool {
    stored.verify(password, &mut Memory::default()).expect("compared")
}

#[test]
fn each_of_djangos_forms_knows_its_password_and_no_other() {
    for text in DJANGO {
        let stored = Stored::parse(text).expect(text);
        assert!(verify(&stored, "correct horse"), "{text}");
        // A zero at the end would not do: HMAC fills a short key with zeros, so PBKDF2 does not see it.
        for wrong in ["correct hors", "correct horse ", "Correct horse", "", "\0", "\0correct horse"] {
            assert!(!verify(&stored, wrong), "{text}: {wrong:?}");
        }
    }
}

#[test]
fn one_changed_character_is_another_password_or_no_password_at_all() {
    for text in DJANGO {
        let at = text.len() - 8;
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        assert!(!verify(&Stored::parse(&changed).expect("the form is right"), "correct horse"), "{changed}");
        for damaged in [&text[..text.len() / 2], &format!("{text}$"), &format!(" {text}"), &format!("{text}\n")] {
            assert_eq!(Stored::parse(damaged), Err(PhcError::Form), "{damaged}");
        }
    }
}

#[test]
fn what_is_no_password_or_too_dear_is_refused_before_any_work() {
    for (text, why) in [
        // `make_password(None)`: Django's unusable password.
        ("!I8iveh6R6zzEYSxuU8dYUUfOGKBmgqtRzFmqLhPY", PhcError::Form),
        ("", PhcError::Form),
        ("correct horse", PhcError::Form),
        ("sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8", PhcError::Form),
        ("pbkdf2_sha256$0$s$LJ9fn3pQS/rsdXPFQk/Wuje22q/pjlmcegWRwgq7lw8=", PhcError::Form),
        ("pbkdf2_sha256$1000$$LJ9fn3pQS/rsdXPFQk/Wuje22q/pjlmcegWRwgq7lw8=", PhcError::Form),
        ("pbkdf2_sha256$1000$s$+8QNnDWgp5cjMrCjkXwvAzI6QgQ=", PhcError::Form),
        ("pbkdf2_sha256$10000001$s$LJ9fn3pQS/rsdXPFQk/Wuje22q/pjlmcegWRwgq7lw8=", PhcError::Cost),
        ("pbkdf2_sha256$99999999999$s$LJ9fn3pQS/rsdXPFQk/Wuje22q/pjlmcegWRwgq7lw8=", PhcError::Form),
        ("bcrypt$$2b$03$uYgMmrzklOywg2OrDeqcDeG8ySAFUENIBCD1l7kyGUGTFnXglqVZm", PhcError::Cost),
        ("bcrypt$$2b$16$uYgMmrzklOywg2OrDeqcDeG8ySAFUENIBCD1l7kyGUGTFnXglqVZm", PhcError::Cost),
        ("bcrypt$$2x$04$uYgMmrzklOywg2OrDeqcDeG8ySAFUENIBCD1l7kyGUGTFnXglqVZm", PhcError::Form),
        ("bcrypt$$2b$04$\u{e9}YgMmrzklOywg2OrDeqcDeG8ySAFUENIBCD1l7kyGUGTFnXglqVZ", PhcError::Form),
    ] {
        assert_eq!(Stored::parse(text), Err(why), "{text}");
    }
    let scrypt = DJANGO[5];
    for (from, to, why) in [
        ("$1024$", "$1000$", PhcError::Form),
        ("$1024$", "$1$", PhcError::Form),
        ("$1024$", "$524288$", PhcError::Cost),
        ("$8$2$", "$8$17$", PhcError::Cost),
        ("$8$2$", "$0$2$", PhcError::Form),
    ] {
        assert_eq!(Stored::parse(&scrypt.replace(from, to)), Err(why), "{from} -> {to}");
    }
}

#[test]
fn a_dummy_costs_the_same_and_is_opened_by_nothing() {
    let random = std::array::from_fn(|at| (at as u8).wrapping_mul(5) ^ 3);
    for text in DJANGO {
        let stored = Stored::parse(text).expect(text);
        let dummy = stored.dummy_like(&random);
        assert!(stored.costs_like(&dummy) && stored.work() == dummy.work(), "{text}");
        assert_ne!(stored, dummy);
        assert!(!verify(&dummy, "correct horse"), "{text}");
    }
    for (one, other) in [(0, 1), (2, 5), (3, 4)] {
        let read = |at: usize| Stored::parse(DJANGO[at]).unwrap();
        assert!(!read(one).costs_like(&read(other)));
    }
}

#[test]
fn a_password_of_more_than_72_bytes_is_cut_by_plain_bcrypt_alone() {
    // Django's `bcrypt` keeps bcrypt's own limit; `bcrypt_sha256` was made to lift it.
    let long = "x".repeat(72);
    let text = format!("bcrypt${}", bcrypt::hash(&long, 4).expect("hashed"));
    let stored = Stored::parse(&text).unwrap();
    assert!(verify(&stored, &long) && verify(&stored, &format!("{long}y")));
    assert!(!verify(&stored, &long[..71]));
}
