//! The corpus of attacks: tokens that every door of the gateway must refuse.
//!
//! Many are signed by the genuine key, so that only the check under attack can refuse them. Names that start with
//! `aud:` are refused only where an audience is asked for.

mod claims;
mod headers;

use mintgate::keys::SigningKey;
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::jwk::PublicJwk;
use mintgate::protocol::time::UnixSeconds;
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::tokens::{TestKey, good_claims, sign_text};

/// Whom the corpus attacks.
pub struct Target<'a> {
    /// The gateway's active key, ES256.
    pub key: &'a SigningKey,
    pub issuer: &'a str,
    pub audience: &'a str,
    /// A client the gateway knows.
    pub client: &'a str,
    pub now: UnixSeconds,
}

/// A named attack: what it tries, and the token.
pub type Attack = (String, String);

/// Every attack on `target`. All are to be refused.
pub fn corpus(target: &Target<'_>) -> Vec<Attack> {
    assert_eq!(target.key.algorithm(), Algorithm::Es256, "the corpus forges ECDSA signatures");
    let bench = Bench { target, good: good_claims(target.issuer, target.audience, target.client, target.now) };
    let mut attacks = Vec::new();
    bench.keys_as_secrets(&mut attacks);
    bench.unsigned(&mut attacks);
    bench.forged_signatures(&mut attacks);
    bench.forms(&mut attacks);
    bench.headers(&mut attacks);
    bench.kids(&mut attacks);
    bench.types(&mut attacks);
    bench.json(&mut attacks);
    bench.claims(&mut attacks);
    attacks
}

/// The genuine token that the corpus bends; it must be accepted, or the corpus proves nothing.
pub fn genuine(target: &Target<'_>) -> String {
    Bench { target, good: good_claims(target.issuer, target.audience, target.client, target.now) }.genuine()
}

struct Bench<'a> {
    target: &'a Target<'a>,
    good: Value,
}

impl Bench<'_> {
    fn kid(&self) -> &str {
        self.target.key.kid().as_str()
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid()})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        sign_text(self.target.key, &header.to_string(), claims.to_string().as_bytes())
    }

    fn genuine(&self) -> String {
        self.sign(&self.header(), &self.good)
    }

    /// The genuine claims under a header with this algorithm, and no signature yet.
    fn message(&self, alg: &str) -> String {
        let mut header = self.header();
        header["alg"] = json!(alg);
        format!("{}.{}", b64(header.to_string().as_bytes()), b64(self.good.to_string().as_bytes()))
    }

    /// THREATS 4 row 1: the public key as an HMAC secret, in every form an attacker can write it down.
    fn keys_as_secrets(&self, out: &mut Vec<Attack>) {
        let public = self.target.key.public();
        let der = spki(public);
        let pem = pem(&der);
        let jwk = public.to_json().to_string();
        let jwks = json!({"keys": [public.to_json()]}).to_string();
        let PublicJwk::P256 { x, y } = public else { panic!("P-256") };
        let secrets: [(&str, Vec<u8>); 12] = [
            ("PEM", pem.clone().into_bytes()),
            ("PEM without the last line break", pem.trim_end().as_bytes().to_vec()),
            ("PEM with leading blanks", format!("  \n{pem}").into_bytes()),
            ("PEM with CRLF", pem.replace('\n', "\r\n").into_bytes()),
            ("DER", der.clone()),
            ("base64 of DER", b64(&der).into_bytes()),
            ("JWK text", jwk.clone().into_bytes()),
            ("JWK text with leading blanks", format!(" \t{jwk}").into_bytes()),
            ("JWKS text", jwks.into_bytes()),
            ("raw point", [&[4][..], x, y].concat()),
            ("x", x.to_vec()),
            ("kid", self.kid().as_bytes().to_vec()),
        ];
        for (form, secret) in secrets {
            for (alg, hash) in
                [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
            {
                let message = self.message(alg);
                let tag = hmac::sign(&hmac::Key::new(hash, &secret), message.as_bytes());
                out.push((
                    format!("{alg} with the public key as secret: {form}"),
                    format!("{message}.{}", b64(tag.as_ref())),
                ));
            }
        }
        let message = self.message("HS256");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), message.as_bytes());
        out.push(("HS256 with the empty secret".to_owned(), format!("{message}.{}", b64(tag.as_ref()))));
        // A MAC under the algorithm the key really has.
        let message = self.message("ES256");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, pem.as_bytes()), message.as_bytes());
        out.push(("a 64-byte MAC called ES256".to_owned(), format!("{message}.{}", b64(tag.as_ref()))));
    }

    /// THREATS 4 row 2.
    fn unsigned(&self, out: &mut Vec<Attack>) {
        let genuine = self.genuine();
        let signature = genuine.rsplit('.').next().expect("signature");
        for alg in ["none", "None", "NONE", "nOnE", "noNE", "none ", "", "null", "HS256"] {
            let message = self.message(alg);
            out.push((format!("alg {alg:?}, no signature"), format!("{message}.")));
            out.push((format!("alg {alg:?}, no signature and no dot"), message.clone()));
            out.push((format!("alg {alg:?}, the genuine signature"), format!("{message}.{signature}")));
        }
        out.push(("the genuine message without its signature".to_owned(), format!("{}.", self.message("ES256"))));
        out.push(("one byte of signature".to_owned(), format!("{}.AA", self.message("ES256"))));
        // The genuine key signs a header that names another algorithm: only the pin refuses it.
        for alg in
            ["none", "HS256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "PS256", "es256", "ES256 ", "ES256K"]
        {
            let mut header = self.header();
            header["alg"] = json!(alg);
            out.push((format!("signed by the genuine key, called {alg:?}"), self.sign(&header, &self.good)));
        }
    }

    /// THREATS 4 row 3, and signatures of strangers.
    fn forged_signatures(&self, out: &mut Vec<Attack>) {
        let message = self.message("ES256");
        let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let prime = hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
        let (zero, mut one, mut below, mut above) = (vec![0; 32], vec![0; 32], order.clone(), order.clone());
        (one[31], below[31], above[31]) = (1, 0x50, 0x52);
        let values: [(&str, &[u8]); 7] = [
            ("0", &zero),
            ("1", &one),
            ("n-1", &below),
            ("n", &order),
            ("n+1", &above),
            ("p", &prime),
            ("2^256-1", &[0xff; 32]),
        ];
        for (r_name, r) in values {
            for (s_name, s) in values {
                let signature = b64(&[r, s].concat());
                out.push((format!("psychic signature r={r_name} s={s_name}"), format!("{message}.{signature}")));
            }
        }
        let genuine = self.genuine();
        let (head, signature) = genuine.rsplit_once('.').expect("signature");
        let raw = base64url::decode(signature.as_bytes()).expect("base64url");
        let (r, s) = raw.split_at(32);
        let forged: [(&str, Vec<u8>); 9] = [
            ("the signature in DER", der_signature(r, s)),
            ("r and s swapped", [s, r].concat()),
            ("r alone", r.to_vec()),
            ("a zero behind", [&raw[..], &[0]].concat()),
            ("a zero in front", [&[0], &raw[..]].concat()),
            ("each half one longer", [&[0], r, &[0], s].concat()),
            ("cut by one byte", raw[..63].to_vec()),
            ("twice", [&raw[..], &raw[..]].concat()),
            ("the hash of the message", digest::digest(&digest::SHA512, head.as_bytes()).as_ref().to_vec()),
        ];
        for (name, bytes) in forged {
            out.push((format!("signature: {name}"), format!("{head}.{}", b64(&bytes))));
        }
        let stranger = TestKey::generate(Algorithm::Es256);
        let claims = self.good.to_string();
        let by_stranger = |header: &Value| sign_text(&stranger.signing, &header.to_string(), claims.as_bytes());
        out.push(("a stranger's signature under our kid".to_owned(), by_stranger(&self.header())));
        let mut header = self.header();
        header["kid"] = json!(stranger.signing.kid().as_str());
        out.push(("a stranger's signature under the stranger's kid".to_owned(), by_stranger(&header)));
        for algorithm in [Algorithm::Es384, Algorithm::EdDsa] {
            let other = TestKey::generate(algorithm);
            let mut header = self.header();
            header["alg"] = json!(algorithm.name());
            let token = sign_text(&other.signing, &header.to_string(), claims.as_bytes());
            out.push((format!("a stranger's {algorithm} under our kid"), token));
        }
    }

    /// THREATS 4 rows 4, 5 and 11.
    fn forms(&self, out: &mut Vec<Attack>) {
        let genuine = self.genuine();
        let parts: Vec<&str> = genuine.split('.').collect();
        let (header, claims, signature) = (parts[0], parts[1], parts[2]);
        let mut push = |name: &str, token: String| out.push((format!("form: {name}"), token));
        push("empty", String::new());
        push("dots alone", "..".to_owned());
        push("five dots", ".....".to_owned());
        push("many dots", ".".repeat(8_000));
        push("a megabyte of dots", ".".repeat(1_000_000));
        push("a megabyte of letters in three parts", format!("{header}.{}.{signature}", "A".repeat(1_000_000)));
        push("four parts", format!("{genuine}.{signature}"));
        push("five parts, a JWE by its looks", format!("{header}.{signature}.{claims}.{claims}.{signature}"));
        push("a dot in front", format!(".{genuine}"));
        push("a dot behind", format!("{genuine}."));
        push("no header", format!(".{claims}.{signature}"));
        push("no claims", format!("{header}..{signature}"));
        push("header and claims swapped", format!("{claims}.{header}.{signature}"));
        push("claims and signature swapped", format!("{header}.{signature}.{claims}"));
        push("reversed", format!("{signature}.{claims}.{header}"));
        push(
            "general JSON serialisation",
            json!({"payload": claims, "signatures": [{"protected": header, "signature": signature}]}).to_string(),
        );
        push(
            "flattened JSON serialisation",
            json!({"payload": claims, "protected": header, "signature": signature}).to_string(),
        );
        push("JSON that holds the compact form", format!("{{\"{header}.\":0,\"payload\":\"{claims}\"}}.{signature}"));
        for (name, text) in [
            ("line break", "\n"),
            ("CRLF", "\r\n"),
            ("blank", " "),
            ("tab", "\t"),
            ("NUL", "\0"),
            ("no-break space", "\u{a0}"),
            ("zero width space", "\u{200b}"),
            ("byte order mark", "\u{feff}"),
            ("comma", ","),
            ("padding", "="),
            ("plus", "+"),
            ("slash", "/"),
            ("percent escape", "%2e"),
            ("full-width stop", "\u{ff0e}"),
            ("Cyrillic letter", "\u{430}"),
        ] {
            push(&format!("{name} behind"), format!("{genuine}{text}"));
            push(&format!("{name} in front"), format!("{text}{genuine}"));
            push(&format!("{name} in the signature"), format!("{header}.{claims}.{text}{signature}"));
            push(&format!("{name} behind the claims"), format!("{header}.{claims}{text}.{signature}"));
            push(&format!("{name} behind the header"), format!("{header}{text}.{claims}.{signature}"));
        }
        push("Bearer in front", format!("Bearer {genuine}"));
        push("two tokens", format!("{genuine},{genuine}"));
        push("full-width digits for the dots", genuine.replace('.', "\u{ff0e}"));
        push("standard alphabet", genuine.replace('-', "+").replace('_', "/") + "+");
        // Non-canonical trailing bits: 64 bytes leave four of them free.
        for step in 1..16 {
            push(&format!("trailing bits {step}"), format!("{header}.{claims}.{}", other_spelling(signature, step)));
        }
    }
}

fn b64(bytes: &[u8]) -> String {
    base64url::encode(bytes)
}

fn deep(levels: usize) -> String {
    format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
}

pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).expect("hex")).collect()
}

/// A spelling of the same bytes that only a lax decoder reads: other trailing bits.
fn other_spelling(text: &str, step: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (front, last) = text.split_at(text.len() - 1);
    let position = ALPHABET.iter().position(|c| *c == last.as_bytes()[0]).expect("alphabet");
    format!("{front}{}", char::from(ALPHABET[position + step]))
}

/// SubjectPublicKeyInfo (RFC 5480 section 2) of a P-256 key.
fn spki(public: &PublicJwk) -> Vec<u8> {
    let PublicJwk::P256 { x, y } = public else { panic!("P-256") };
    [&hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")[..], x, y].concat()
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len().div_ceil(64)).map(|n| &text[64 * n..(64 * n + 64).min(text.len())]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// ECDSA-Sig-Value (RFC 3279 section 2.2.3), which JWS does not use.
fn der_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
        if digits.first().is_none_or(|top| *top >= 0x80) {
            digits.insert(0, 0);
        }
        [&[2, digits.len() as u8][..], &digits].concat()
    };
    let body = [integer(r), integer(s)].concat();
    [&[0x30, body.len() as u8][..], &body].concat()
}
