//! What a verifier is sent, and what it should say. Each bad token differs from the good one in one thing.

use ring::hmac;
use serde_json::{Value, json};

use crate::ambient::{Entropy, EntropyError, entropy};
use crate::cli::doctor::issuer::BAIT;
use crate::keys::import::to_public_pem;
use crate::keys::signing::SignError;
use crate::keys::{SigningKey, signing::KeyError};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::id::Jti;
use crate::protocol::time::UnixSeconds;

/// What should become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// It passes.
    Pass,
    /// It is refused.
    Refuse,
    /// Careful people differ; what it does is worth knowing.
    Either,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is tried, in a few words.
    pub name: &'static str,
    /// What should become of it.
    pub expected: Expected,
    /// What is sent.
    pub sent: Sent,
}

/// What carries the token.
#[derive(Clone, Debug)]
pub enum Sent {
    /// The header, behind its scheme.
    Token(String),
    /// The whole header, or none.
    Header(Option<String>),
    /// The query, as `access_token`.
    Query(String),
}

/// Why a token could not be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ForgeError {
    /// Making a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Signing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Drawing an id.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Makes tokens of the throw-away issuer, good and bad.
pub struct Forge<'a> {
    /// The key that is published.
    pub key: &'a SigningKey,
    /// A key that is not.
    pub stranger: &'a SigningKey,
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// `scope`.
    pub scope: &'a str,
    /// `typ`.
    pub typ: &'a str,
    /// Where ids come from.
    pub entropy: &'a dyn Entropy,
    /// The time.
    pub now: UnixSeconds,
}

/// How far a bad token's dates are off: more than any leeway.
const FAR: u64 = 3_600;
/// How long a good token lives.
const LIFETIME: u64 = 600;

impl Forge<'_> {
    fn header(&self) -> Value {
        json!({"alg": self.key.algorithm().name(), "typ": self.typ, "kid": self.key.kid().as_str()})
    }

    fn claims(&self) -> Result<Value, EntropyError> {
        let now = self.now.0;
        Ok(json!({
            "iss": self.issuer, "sub": "mintgate-doctor", "aud": self.audience, "exp": now + LIFETIME, "iat": now,
            "jti": Jti(entropy::draw(self.entropy)?).to_string(), "client_id": "mintgate-doctor", "scope": self.scope,
        }))
    }

    /// A token that must pass.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub fn good(&self) -> Result<String, ForgeError> {
        Ok(sign(self.key, &self.header(), &self.claims()?)?)
    }

    /// A token that names a key that never was.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub fn unknown_key(&self) -> Result<String, ForgeError> {
        let mut header = self.header();
        put(&mut header, "kid", json!(base64url::encode(&entropy::draw::<32>(self.entropy)?)));
        Ok(sign(self.stranger, &header, &self.claims()?)?)
    }

    /// Every case but those that need the key set to change.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub fn cases(&self) -> Result<Vec<Case>, ForgeError> {
        let mut cases = Vec::new();
        self.claim_cases(&mut cases)?;
        self.header_cases(&mut cases)?;
        self.signature_cases(&mut cases)?;
        self.request_cases(&mut cases)?;
        Ok(cases)
    }

    fn claim_cases(&self, out: &mut Vec<Case>) -> Result<(), ForgeError> {
        use Expected::{Either, Pass, Refuse};
        let (now, audience, issuer) = (self.now.0, self.audience, self.issuer);
        let rows: [(&'static str, Expected, &str, Value); 17] = [
            ("audience in an array", Pass, "aud", json!([format!("{audience}-other"), audience])),
            ("a claim nobody knows", Pass, "https://example/x", json!({"a": [1, null]})),
            ("expired an hour ago", Refuse, "exp", json!(now.saturating_sub(FAR))),
            ("expired 20 s ago (leeway)", Either, "exp", json!(now.saturating_sub(20))),
            ("no exp", Refuse, "exp", Value::Null),
            ("exp is a text", Refuse, "exp", json!("soon")),
            ("not valid for an hour yet (nbf)", Refuse, "nbf", json!(now + FAR)),
            ("issued in an hour (iat)", Either, "iat", json!(now + FAR)),
            ("another audience", Refuse, "aud", json!(format!("{audience}-other"))),
            ("another audience, ours its beginning", Refuse, "aud", json!(format!("{audience} other"))),
            ("no audience", Refuse, "aud", Value::Null),
            ("audience is an object", Refuse, "aud", json!({ audience: true })),
            ("audience is a number", Refuse, "aud", json!(1)),
            ("another issuer", Refuse, "iss", json!("https://attacker.example")),
            ("issuer with a slash behind", Refuse, "iss", json!(format!("{issuer}/"))),
            ("no issuer", Refuse, "iss", Value::Null),
            ("issuer in an array", Refuse, "iss", json!([issuer])),
        ];
        for (name, expected, claim, value) in rows {
            let mut claims = self.claims()?;
            put(&mut claims, claim, value);
            out.push(token(name, expected, sign(self.key, &self.header(), &claims)?));
        }
        let twice = self.claims()?.to_string().replacen('{', &format!("{{\"exp\":{},", now.saturating_sub(FAR)), 1);
        out.push(token("exp twice, expired first", Either, sign_text(self.key, &self.header(), twice.as_bytes())?));
        Ok(())
    }

    fn header_cases(&self, out: &mut Vec<Case>) -> Result<(), ForgeError> {
        use Expected::{Either, Refuse};
        let alg = self.key.algorithm().name();
        let bait = format!("{}{BAIT}", self.issuer);
        let stranger = self.stranger.public().to_json();
        let rows: [(&'static str, Expected, bool, &str, Value); 9] = [
            ("typ JWT instead of at+jwt", Either, true, "typ", json!("JWT")),
            ("typ of a log-out token", Either, true, "typ", json!("logout+jwt")),
            ("no typ", Either, true, "typ", Value::Null),
            ("crit names an extension nobody knows", Refuse, true, "crit", json!(["urn:example:unknown"])),
            ("a stranger's key under our kid", Refuse, false, "alg", json!(alg)),
            ("a stranger's key, given in jwk", Refuse, false, "jwk", stranger),
            ("a stranger's key, at an address in jku", Refuse, false, "jku", json!(bait)),
            ("a stranger's key, at an address in x5u", Refuse, false, "x5u", json!(bait)),
            ("the genuine signature, called another alg", Refuse, true, "alg", json!("RS256")),
        ];
        for (name, expected, is_genuine, member, value) in rows {
            let mut header = self.header();
            put(&mut header, member, value);
            let key = if is_genuine { self.key } else { self.stranger };
            out.push(token(name, expected, sign(key, &header, &self.claims()?)?));
        }
        let mut header = self.header();
        put(&mut header, "kid", Value::Null);
        out.push(token("no kid", Either, sign(self.key, &header, &self.claims()?)?));
        out.push(token("no kid, a stranger's key", Refuse, sign(self.stranger, &header, &self.claims()?)?));
        Ok(())
    }

    fn signature_cases(&self, out: &mut Vec<Case>) -> Result<(), ForgeError> {
        use Expected::Refuse;
        let good = self.good()?;
        let (message, signature) = good.rsplit_once('.').unwrap_or((&good, ""));
        let (_, payload) = message.split_once('.').unwrap_or((message, ""));
        for (name, alg) in
            [("alg none", "none"), ("alg nOnE", "nOnE"), ("alg none, with the genuine signature", "none")]
        {
            let mut header = self.header();
            put(&mut header, "alg", json!(alg));
            let head = base64url::encode(header.to_string().as_bytes());
            let behind = if name.ends_with("signature") { signature } else { "" };
            out.push(token(name, Refuse, format!("{head}.{payload}.{behind}")));
        }
        let pem = to_public_pem(self.key.public());
        let jwk = self.key.public().to_json().to_string();
        for (name, secret) in [
            ("HS256 with our public key (PEM) as the secret", pem.as_bytes()),
            ("HS256 with our public key (JWK) as the secret", jwk.as_bytes()),
            ("HS256 with the empty secret", &[][..]),
        ] {
            let mut header = self.header();
            put(&mut header, "alg", json!("HS256"));
            let message = format!("{}.{payload}", base64url::encode(header.to_string().as_bytes()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
            out.push(token(name, Refuse, format!("{message}.{}", base64url::encode(tag.as_ref()))));
        }
        let half = signature.get(..signature.len() / 2).unwrap_or_default();
        let other = self.good()?;
        let others = other.rsplit('.').next().unwrap_or_default();
        let root = json!({"iss": self.issuer, "sub": "root", "aud": self.audience, "exp": self.now.0 + LIFETIME});
        let changed = base64url::encode(root.to_string().as_bytes());
        let head = message.split('.').next().unwrap_or_default();
        for (name, text) in [
            ("half of the signature", format!("{message}.{half}")),
            ("no signature", format!("{message}.")),
            ("no signature and no dot", message.to_owned()),
            ("the signature of another token", format!("{message}.{others}")),
            ("other claims under a genuine signature", format!("{head}.{changed}.{signature}")),
            ("a signature of zeros", format!("{message}.{}", base64url::encode(&[0; 64]))),
            ("five parts", format!("{good}.{payload}.{signature}")),
            ("two dots", "..".to_owned()),
            ("no token, a word", "mintgate".to_owned()),
        ] {
            out.push(token(name, Refuse, text));
        }
        Ok(())
    }

    fn request_cases(&self, out: &mut Vec<Case>) -> Result<(), ForgeError> {
        use Expected::{Either, Refuse};
        let good = self.good()?;
        out.extend([
            Case { name: "no header", expected: Refuse, sent: Sent::Header(None) },
            Case { name: "the scheme alone", expected: Refuse, sent: Sent::Token(String::new()) },
            Case { name: "Basic", expected: Refuse, sent: Sent::Header(Some("Basic bWludGdhdGU6eA==".to_owned())) },
            Case { name: "a good token without a scheme", expected: Either, sent: Sent::Header(Some(good.clone())) },
            Case { name: "a good token in the query alone", expected: Either, sent: Sent::Query(good) },
            token("a token of 100 KB", Refuse, "A".repeat(100_000)),
        ]);
        Ok(())
    }
}

/// A key of this process alone.
///
/// # Errors
/// [`KeyError`].
pub fn new_key() -> Result<SigningKey, KeyError> {
    let der = SigningKey::generate(Algorithm::Es256)?;
    SigningKey::from_der(Algorithm::Es256, &der)
}

fn token(name: &'static str, expected: Expected, text: String) -> Case {
    Case { name, expected, sent: Sent::Token(text) }
}

/// Sets a member; null takes it away.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.remove(name);
        if !value.is_null() {
            members.insert(name.to_owned(), value);
        }
    }
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> Result<String, SignError> {
    sign_text(key, header, claims.to_string().as_bytes())
}

fn sign_text(key: &SigningKey, header: &Value, claims: &[u8]) -> Result<String, SignError> {
    let mut out = Vec::new();
    base64url::append(header.to_string().as_bytes(), &mut out);
    out.push(b'.');
    base64url::append(claims, &mut out);
    key.sign_onto(0, &mut out)?;
    String::from_utf8(out).map_err(|_| SignError)
}
