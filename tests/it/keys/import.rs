//! Keys from openssl, in every form it writes, and keys as JWK.

use std::process::{Command, Stdio};

use mintgate::keys::SigningKey;
use mintgate::keys::import::{ImportError, Imported, read, to_pem, to_private_jwk, to_public_pem};
use mintgate::protocol::algorithm::Algorithm;
use serde_json::{Map, Value};

use crate::keys::signing::check_with_jsonwebtoken;
use crate::support::temp::TempDir;

/// Runs openssl in `dir`; false, and loudly, where there is none.
fn openssl(dir: &TempDir, line: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(line.split_whitespace()).current_dir(dir.path()).stdin(Stdio::null()).stderr(Stdio::null());
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "openssl {line}");
            true
        }
        Err(error) => {
            eprintln!("SKIPPED: no openssl here ({error}); `openssl {line}` was not tried");
            false
        }
    }
}

fn file(dir: &TempDir, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

#[test]
fn every_form_that_openssl_writes() {
    let dir = TempDir::new();
    if !openssl(&dir, "version") {
        return;
    }
    for line in [
        "ecparam -name prime256v1 -genkey -out p256-sec1.pem",
        "pkcs8 -topk8 -nocrypt -in p256-sec1.pem -out p256-pkcs8.pem",
        "ec -in p256-sec1.pem -outform DER -out p256-sec1.der",
        "pkcs8 -topk8 -nocrypt -in p256-sec1.pem -outform DER -out p256-pkcs8.der",
        "ecparam -name secp384r1 -genkey -noout -out p384-sec1.pem",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384-pkcs8.pem",
        "genpkey -algorithm ed25519 -out ed.pem",
        "pkey -in ed.pem -outform DER -out ed.der",
        "genrsa -out rsa-pkcs8.pem 2048",
        "rsa -in rsa-pkcs8.pem -traditional -out rsa-pkcs1.pem",
        "rsa -in rsa-pkcs8.pem -traditional -outform DER -out rsa-pkcs1.der",
        "pkcs8 -topk8 -nocrypt -in rsa-pkcs8.pem -outform DER -out rsa-pkcs8.der",
    ] {
        assert!(openssl(&dir, line));
    }
    let rows = [
        (Algorithm::Es256, &["p256-sec1.pem", "p256-pkcs8.pem", "p256-sec1.der", "p256-pkcs8.der"][..]),
        (Algorithm::Es384, &["p384-sec1.pem"][..]),
        (Algorithm::Es384, &["p384-pkcs8.pem"][..]),
        (Algorithm::EdDsa, &["ed.pem", "ed.der"][..]),
        (Algorithm::Rs256, &["rsa-pkcs8.pem", "rsa-pkcs1.pem", "rsa-pkcs1.der", "rsa-pkcs8.der"][..]),
    ];
    for (algorithm, names) in rows {
        let keys: Vec<Imported> =
            names.iter().map(|name| read(&file(&dir, name)).unwrap_or_else(|e| panic!("{name}: {e}"))).collect();
        for (key, name) in keys.iter().zip(names) {
            assert_eq!(key.key.algorithm(), algorithm, "{name}");
            assert_eq!(key.key.kid(), keys[0].key.kid(), "{name}: one key, one thumbprint, whatever the form");
            check_with_jsonwebtoken(&key.key);
            round_trips(key);
            public_half_agrees(&dir, key, name);
        }
    }
}

/// Out as PEM and as JWK and in again: the same key.
fn round_trips(key: &Imported) {
    assert_eq!(read(to_pem(&key.pkcs8).as_bytes()).unwrap().key.kid(), key.key.kid());
    let jwk = to_private_jwk(key).unwrap();
    assert_eq!(read(jwk.as_bytes()).unwrap().key.kid(), key.key.kid());
}

/// openssl derives the same public PEM from the private key as we write.
fn public_half_agrees(dir: &TempDir, key: &Imported, name: &str) {
    std::fs::write(dir.join("again.pem"), to_pem(&key.pkcs8).as_bytes()).unwrap();
    assert!(openssl(dir, "pkey -in again.pem -pubout -out again.pub"), "{name}");
    assert_eq!(String::from_utf8(file(dir, "again.pub")).unwrap(), *to_public_pem(key.key.public()), "{name}");
}

#[test]
fn what_openssl_writes_and_we_refuse() {
    let dir = TempDir::new();
    if !openssl(&dir, "version") {
        return;
    }
    for line in [
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out good.pem",
        "pkey -in good.pem -pubout -out public.pem",
        "pkcs8 -topk8 -in good.pem -passout pass:x -out encrypted.pem",
        "ec -in good.pem -aes128 -passout pass:x -out encrypted-sec1.pem",
        "ec -in good.pem -no_public -out bare.pem",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.pem",
        "genpkey -algorithm ed448 -out ed448.pem",
        "genrsa -out small.pem 1024",
        "req -x509 -new -key good.pem -subj /CN=x -out certificate.pem",
    ] {
        assert!(openssl(&dir, line));
    }
    let both = [file(&dir, "good.pem"), file(&dir, "p521.pem")].concat();
    std::fs::write(dir.join("two.pem"), both).unwrap();
    let rows = [
        ("public.pem", ImportError::NoPrivatePart),
        ("certificate.pem", ImportError::NoPrivatePart),
        ("encrypted.pem", ImportError::Encrypted),
        ("encrypted-sec1.pem", ImportError::Encrypted),
        ("bare.pem", ImportError::NoPublicHalf),
        ("p521.pem", ImportError::Unsupported),
        ("ed448.pem", ImportError::Unsupported),
        ("two.pem", ImportError::Several),
    ];
    for (name, error) in rows {
        assert_eq!(read(&file(&dir, name)).unwrap_err(), error, "{name}");
    }
    assert!(matches!(read(&file(&dir, "small.pem")), Err(ImportError::Key(_))));
}

fn private_jwk(algorithm: Algorithm) -> Map<String, Value> {
    let imported = read(&SigningKey::generate(algorithm).unwrap()).unwrap();
    let text = to_private_jwk(&imported).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text(jwk: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(jwk).unwrap()
}

#[test]
fn jwks_whose_halves_do_not_belong_together_are_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let (mut one, other) = (private_jwk(algorithm), private_jwk(algorithm));
        assert!(read(&text(&one)).is_ok(), "{algorithm}");
        one.insert("d".to_owned(), other["d"].clone());
        assert!(read(&text(&one)).is_err(), "{algorithm}: another key's private part");
    }
}

#[test]
fn jwks_that_are_no_private_key() {
    type Break = fn(&mut Map<String, Value>);
    let rows: [(&str, Break); 8] = [
        ("no d", |jwk| drop(jwk.remove("d"))),
        ("short d", |jwk| drop(jwk.insert("d".to_owned(), "AAAA".into()))),
        ("padded d", |jwk| {
            let d = format!("{}=", jwk["d"].as_str().unwrap());
            jwk.insert("d".to_owned(), d.into());
        }),
        ("a number for d", |jwk| drop(jwk.insert("d".to_owned(), 5.into()))),
        ("for encryption", |jwk| drop(jwk.insert("use".to_owned(), "enc".into()))),
        ("another algorithm", |jwk| drop(jwk.insert("alg".to_owned(), "HS256".into()))),
        ("a secret", |jwk| drop(jwk.insert("kty".to_owned(), "oct".into()))),
        ("a set", |jwk| drop(jwk.insert("keys".to_owned(), Value::Array(Vec::new())))),
    ];
    for (name, break_one_thing) in rows {
        let mut jwk = private_jwk(Algorithm::Es256);
        break_one_thing(&mut jwk);
        assert!(read(&text(&jwk)).is_err(), "{name}");
    }
}

#[test]
fn noise_is_refused_without_a_panic() {
    let der = SigningKey::generate(Algorithm::Es384).unwrap();
    for length in 0..der.len() {
        assert!(read(&der[..length]).is_err(), "cut to {length}");
    }
    for bit in 0..der.len() * 8 {
        let mut bent = der.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        // Some bits do not matter (PKCS#8 version, attributes); what is read must still be a key that signs.
        if let Ok(imported) = read(&bent) {
            check_with_jsonwebtoken(&imported.key);
        }
    }
    let pem = to_pem(&der);
    for cut in 0..pem.len() {
        let _ = read(&pem.as_bytes()[..cut]);
    }
    let rows: [&[u8]; 7] = [b"", b"{", b"{}", b"-----BEGIN PRIVATE KEY-----", b"\x30", b"\x30\x80", &[0x30; 70_000]];
    for bytes in rows {
        assert!(read(bytes).is_err());
    }
}
