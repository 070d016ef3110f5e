//! Walks the checks of the gate one by one and says what each means, for people who hold a refused token.

use crate::keys::VerifyKey;
use crate::protocol::claims::AccessClaims;
use crate::protocol::jws::Compact;
use crate::protocol::time::UnixSeconds;
use crate::token::verify::{
    KeySource, Refused, Requirements, check_algorithm, check_audience, check_issuer, check_signature, check_time,
    check_type, find_key, read_claims,
};

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed(Refused),
    /// It could not be asked, because something it needs failed.
    NotReached,
}

/// One check of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is checked, in a word.
    pub name: &'static str,
    /// What the check means.
    pub meaning: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// The checks in the order [`verify`](crate::token::verify::verify) makes them: name, meaning, source.
const STEPS: [(&str, &str, &str); 9] = [
    ("form", "three parts of base64url, a header without forbidden members", "RFC 7515 sections 4 and 7.1"),
    ("key", "the kid names a key this gateway still verifies with", "RFC 7515 section 4.1.4"),
    ("alg", "the header agrees with the algorithm of the key", "RFC 8725 section 3.1"),
    ("typ", "the token is of the kind expected", "RFC 9068 section 4"),
    ("signature", "header and claims are as the key signed them", "RFC 7515 section 5.2"),
    ("claims", "every required claim is there and has its type", "RFC 9068 section 2.2"),
    ("iss", "it names this gateway as its issuer", "RFC 9068 section 4"),
    ("aud", "it is meant for the audience that asks", "RFC 7519 section 4.1.3"),
    ("time", "not expired, and not from the future", "RFC 7519 sections 4.1.4 to 4.1.6"),
];

/// Makes every check that can be made, and goes on after a failure. It accepts exactly what
/// [`verify`](crate::token::verify::verify) accepts: all steps passed.
#[must_use]
pub fn explain(token: &str, keys: &dyn KeySource, requirements: &Requirements<'_>, now: UnixSeconds) -> Vec<Step> {
    let compact = Compact::parse(token).map_err(Refused::from);
    let on_compact = |check: &dyn Fn(&Compact<'_>) -> Result<(), Refused>| match &compact {
        Ok(compact) => outcome(check(compact)),
        Err(_) => Outcome::NotReached,
    };
    let key: Option<&VerifyKey> = compact.as_ref().ok().and_then(|compact| find_key(compact, keys).ok());
    let on_key = |check: &dyn Fn(&Compact<'_>, &VerifyKey) -> Result<(), Refused>| match (&compact, key) {
        (Ok(compact), Some(key)) => outcome(check(compact, key)),
        _ => Outcome::NotReached,
    };
    // What an unverified token says is shown as such; only all nine together mean anything.
    let claims: Option<AccessClaims> = compact.as_ref().ok().and_then(|compact| read_claims(compact).ok());
    let on_claims = |check: &dyn Fn(&AccessClaims) -> Result<(), Refused>| match &claims {
        Some(claims) => outcome(check(claims)),
        None => Outcome::NotReached,
    };
    let outcomes = [
        outcome(compact.as_ref().map(|_| ()).map_err(|refused| *refused)),
        on_compact(&|compact| find_key(compact, keys).map(|_| ())),
        on_key(&check_algorithm),
        on_compact(&|compact| check_type(compact, requirements).map(|_| ())),
        // A signature under another algorithm than the key's is no signature of this key.
        on_key(&|compact, key| check_algorithm(compact, key).and_then(|()| check_signature(compact, key))),
        on_compact(&|compact| read_claims(compact).map(|_| ())),
        on_claims(&|claims| check_issuer(claims, requirements)),
        on_claims(&|claims| check_audience(claims, requirements)),
        on_claims(&|claims| check_time(claims, requirements, now)),
    ];
    let step = |((name, meaning, source), outcome)| Step { name, meaning, source, outcome };
    STEPS.into_iter().zip(outcomes).map(step).collect()
}

fn outcome(result: Result<(), Refused>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(refused) => Outcome::Failed(refused),
    }
}
