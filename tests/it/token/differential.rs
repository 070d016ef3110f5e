//! The gate against three other libraries: jsonwebtoken, PyJWT and jose judge the corpus of attacks, good tokens and
//! thousands of bent ones. Every difference has a cause in [`STRICTER`] or [`WIDER`], or the test fails.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use mintgate::ambient::{Clock as _, SystemClock};
use mintgate::keys::{VerifyKey, provider};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::base64url;
use mintgate::protocol::claims::ClaimsError;
use mintgate::protocol::jws::JwsError;
use mintgate::protocol::time::UnixSeconds;
use mintgate::token::{Refused, verify};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::attacks::{Target, corpus, genuine};
use crate::support::server::until;
use crate::support::tokens::{AUDIENCE, CLIENT, ISSUER, TestKey, every_key, good_claims, requirements, sign_text};

/// A case, and the token.
type Case = (String, String);
/// What a library said: taken, or why not.
type Verdict = Result<(), String>;

const JSONWEBTOKEN: &str = "jsonwebtoken";
const PYJWT: &str = "PyJWT";
const JOSE: &str = "jose";

/// How many bent tokens of each kind.
const BENT: usize = 700;

struct Bench {
    keys: Vec<TestKey>,
    now: UnixSeconds,
}

impl Bench {
    fn key(&self, algorithm: Algorithm) -> &TestKey {
        self.keys.iter().find(|key| key.signing.algorithm() == algorithm).expect("a key")
    }

    fn header(&self, key: &TestKey) -> Value {
        json!({"alg": key.signing.algorithm().name(), "typ": "at+jwt", "kid": key.signing.kid().as_str()})
    }

    fn claims(&self) -> Value {
        good_claims(ISSUER, AUDIENCE, CLIENT, self.now)
    }

    fn sign(&self, key: &TestKey, header: &Value, claims: &Value) -> String {
        sign_text(&key.signing, &header.to_string(), claims.to_string().as_bytes())
    }

    /// Tokens the gate takes.
    fn good(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for key in &self.keys {
            let alg = key.signing.algorithm();
            cases.push((format!("good: {alg}"), self.sign(key, &self.header(key), &self.claims())));
            for typ in ["AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
                let mut header = self.header(key);
                header["typ"] = json!(typ);
                cases.push((format!("good: {alg} typ {typ}"), self.sign(key, &header, &self.claims())));
            }
            let now = self.now.0;
            let claims = [
                ("aud", json!([AUDIENCE])),
                ("aud", json!(["https://other.example", AUDIENCE])),
                ("nbf", json!(now - 10)),
                ("nbf", json!(now + 8)),
                ("iat", json!(now + 8)),
                ("scope", json!("")),
                ("sub", json!("\u{1f511} \u{0}")),
                ("unknown", json!({"a": [1, 2.5, null, {"b": "\u{e9}"}]})),
                ("exp", json!(253_402_300_799_u64)),
            ];
            for (name, value) in claims {
                let mut claims = self.claims();
                claims[name] = value.clone();
                cases.push((format!("good: {alg} {name} = {value}"), self.sign(key, &self.header(key), &claims)));
            }
            for (name, value) in [("unknown", json!([1])), ("cty", json!("x")), ("cty", json!(7))] {
                let mut header = self.header(key);
                header[name] = value.clone();
                cases.push((format!("good: {alg} header {name} = {value}"), self.sign(key, &header, &self.claims())));
            }
        }
        let key = self.key(Algorithm::EdDsa);
        let mut header = self.header(key);
        header["alg"] = json!("Ed25519");
        cases.push(("good: EdDSA called Ed25519".to_owned(), self.sign(key, &header, &self.claims())));
        cases
    }

    /// Bent tokens: characters changed, and members changed under a genuine signature. The seed is fixed.
    fn bent(&self) -> Vec<Case> {
        let mut runner = TestRunner::deterministic();
        let mut draw = |count: usize| -> Vec<(usize, usize, usize, Value)> {
            let one = (any::<usize>(), any::<usize>(), any::<usize>(), values(self.now.0));
            (0..count).map(|_| one.new_tree(&mut runner).expect("drawn").current()).collect()
        };
        let mut cases = Vec::new();
        for (at, bit, which, _) in draw(BENT) {
            let key = &self.keys[which % self.keys.len()];
            let mut bytes = self.sign(key, &self.header(key), &self.claims()).into_bytes();
            let at = at % bytes.len();
            match bit % 4 {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, b'A' + (bit / 4 % 26) as u8),
                2 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << (bit / 4 % 7),
            }
            cases.push((format!("bent: character {at}"), String::from_utf8(bytes).expect("ASCII")));
        }
        let claims = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "auth_time", "x"];
        for (name, which, _, value) in draw(BENT) {
            let (name, key) = (claims[name % claims.len()], &self.keys[which % self.keys.len()]);
            let mut claims = self.claims();
            claims[name] = value.clone();
            cases.push((format!("bent: claim {name} = {value}"), self.sign(key, &self.header(key), &claims)));
        }
        let members = ["alg", "typ", "kid", "crit", "jwk", "jku", "x5c", "b64", "zip", "cty", "x"];
        for (name, which, other, value) in draw(BENT) {
            let (name, key) = (members[name % members.len()], &self.keys[which % self.keys.len()]);
            let mut header = self.header(key);
            // Now and then a value that another key really has.
            let stranger = self.header(&self.keys[other % self.keys.len()]);
            header[name] = if other % 3 == 0 && name.len() == 3 { stranger[name].clone() } else { value.clone() };
            cases.push((format!("bent: header {name} = {}", header[name]), self.sign(key, &header, &self.claims())));
        }
        cases
    }
}

fn values(now: u64) -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!({}),
            json!([]),
            json!([1]),
            json!(""),
            json!(ISSUER),
            json!([ISSUER]),
            json!(AUDIENCE),
            json!([[AUDIENCE]]),
            json!([AUDIENCE, 1]),
            json!("ES256"),
            json!("none"),
            json!("at+jwt"),
            json!(["exp"]),
            json!(now + 200),
            json!(now as f64 + 200.5),
            json!((now + 200).to_string()),
            json!(now - 5),
            json!(now + 5_000),
        ]),
        any::<i64>().prop_map(|number| json!(number)),
        "[ -~]{0,12}".prop_map(|text| json!(text)),
        prop::collection::vec("[a-z]{1,4}", 0..3).prop_map(|texts| json!(texts)),
    ]
}

/// jsonwebtoken, with the key by `kid`, the algorithm by the key, the `typ` by the caller.
fn jsonwebtoken(bench: &Bench, token: &str) -> Verdict {
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let key =
        bench.keys.iter().find(|key| Some(key.signing.kid().as_str()) == header.kid.as_deref()).ok_or("no key")?;
    let typ = header.typ.unwrap_or_default().to_ascii_lowercase();
    if !["at+jwt", "application/at+jwt"].contains(&typ.as_str()) {
        return Err("typ".to_owned());
    }
    let jwk: Jwk = serde_json::from_value(key.signing.public().to_json()).expect("our JWK reads");
    let decoding = DecodingKey::from_jwk(&jwk).expect("our JWK is a key");
    let mut validation = Validation::new(key.signing.algorithm().name().parse().expect("an algorithm both know"));
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    (validation.leeway, validation.validate_nbf) = (0, true);
    jsonwebtoken::decode::<Value>(token, &decoding, &validation).map(drop).map_err(|error| error.to_string())
}

/// One process judges all; nothing if `tests/run` has not installed its library.
fn outside(name: &str, bench: &Bench, cases: &[Case]) -> Option<Vec<Verdict>> {
    let script = |file: &str| format!("{}/tests/outside/{file}", env!("CARGO_MANIFEST_DIR"));
    let installed = std::env::var_os(if name == PYJWT { "MINTGATE_PYTHON" } else { "MINTGATE_NODE_MODULES" });
    let Some(installed) = installed else {
        println!("skipped: {name} is not installed; tests/run installs it");
        return None;
    };
    let mut command = if name == PYJWT { Command::new(installed) } else { Command::new("node") };
    command.arg(script(if name == PYJWT { "judge.py" } else { "judge.mjs" }));
    let jwks: Vec<Value> = bench.keys.iter().map(|key| key.signing.public().to_json()).collect();
    let mut input =
        json!({"jwks": {"keys": jwks}, "issuer": ISSUER, "audience": AUDIENCE, "now": bench.now.0}).to_string();
    for (_, token) in cases {
        input.push('\n');
        input.push_str(&json!(token).to_string());
    }
    input.push('\n');
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).expect("writes"));
    let output = child.wait_with_output().expect("ends");
    writer.join().expect("written");
    assert!(output.status.success(), "{name}");
    let said = String::from_utf8(output.stdout).expect("text");
    let verdicts = said.lines().map(|line| if line == "ok" { Ok(()) } else { Err(line.to_owned()) });
    Some(verdicts.collect())
}

/// A cause of differences: what it is, whose, and whether this case has it.
type Cause<C> = (&'static str, &'static [&'static str], fn(&C) -> bool);

const ALL: &[&str] = &[JSONWEBTOKEN, PYJWT, JOSE];

/// A case that we refuse.
struct Denied {
    refused: Refused,
    token: String,
}

/// What others take and we refuse.
const STRICTER: [Cause<Denied>; 14] = [
    ("`crit` is not looked at", &[JSONWEBTOKEN, PYJWT], |c| c.refused == header("crit")),
    ("a key offered in the header is passed over, not refused", ALL, |c| {
        ["jwk", "jku", "x5u", "x5c"].map(header).contains(&c.refused)
    }),
    ("`zip`, `enc` and a `b64` that is not critical are passed over", ALL, |c| {
        ["zip", "enc", "b64"].map(header).contains(&c.refused)
    }),
    ("a name twice, a byte order mark or depth in the header", &[PYJWT, JOSE], |c| c.refused.name() == "header_json"),
    ("a name twice, a byte order mark or depth in the claims", ALL, |c| c.refused.name() == "claims_json"),
    ("characters outside the alphabet are skipped by the decoder", &[PYJWT, JOSE], |c| c.refused.name() == "form"),
    // The same signature in another spelling, never another signature: it is the strict decoder that refuses.
    ("other trailing bits of the signature", &[PYJWT, JOSE], |c| {
        let signature = c.token.rsplit('.').next().unwrap_or_default();
        c.refused == Refused::Signature && base64url::decode(signature.as_bytes()).is_none()
    }),
    ("claims of an access token that a general library does not read", ALL, |c| {
        ["client_id", "jti", "scope", "sid", "auth_time"].map(invalid).contains(&c.refused)
    }),
    ("claims that it cannot be told to demand", &[JSONWEBTOKEN], |c| c.refused.name() == "claim_missing"),
    ("`sub` is empty, too long or no string", ALL, |c| c.refused == invalid("sub")),
    ("`iss` is an array", &[JSONWEBTOKEN], |c| c.refused == invalid("iss")),
    ("`aud` has members that are no strings", &[JOSE], |c| c.refused == invalid("aud")),
    ("dates that are no whole seconds up to the year 9999", ALL, |c| {
        ["exp", "nbf", "iat"].map(invalid).contains(&c.refused)
    }),
    ("`iat` in the future", &[JSONWEBTOKEN, JOSE], |c| c.refused == Refused::IssuedInFuture),
];

/// A case that we take: its header, its claims, the time.
struct Taken {
    header: Value,
    claims: Value,
    now: UnixSeconds,
}

/// What we take and others refuse. None is about a signature or a form.
const WIDER: [Cause<Taken>; 4] = [
    ("`nbf` a few seconds ahead, which FAPI 2.0 accepts", ALL, |c| c.claims["nbf"].as_u64() > Some(c.now.0)),
    ("`iat` a few seconds ahead, which FAPI 2.0 accepts", &[PYJWT], |c| c.claims["iat"].as_u64() > Some(c.now.0)),
    ("the name Ed25519 of RFC 9864", &[JSONWEBTOKEN, PYJWT], |c| c.header["alg"] == "Ed25519"),
    ("a `cty` that is no string, which we do not read", &[JSONWEBTOKEN], |c| {
        c.header.get("cty").is_some_and(|cty| !cty.is_string())
    }),
];

fn header(name: &'static str) -> Refused {
    Refused::Form(JwsError::HeaderForbidden(name))
}

fn invalid(name: &'static str) -> Refused {
    Refused::Claims(ClaimsError::Invalid(name))
}

/// What a genuine token says of itself.
fn said(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).expect("three parts");
    serde_json::from_slice(&base64url::decode(text.as_bytes()).expect("base64url")).expect("JSON")
}

/// How often each cause was met, by library; and what has no cause.
#[derive(Default)]
struct Differences {
    met: BTreeMap<(&'static str, &'static str), usize>,
    unexplained: Vec<String>,
}

impl Differences {
    fn note<C>(&mut self, causes: &[Cause<C>], oracle: &'static str, case: &C, otherwise: impl FnOnce() -> String) {
        match causes.iter().find(|(_, whose, is_it)| whose.contains(&oracle) && is_it(case)) {
            Some((cause, ..)) => *self.met.entry((cause, oracle)).or_default() += 1,
            None => self.unexplained.push(otherwise().chars().take(300).collect()),
        }
    }

    fn print<C>(&self, title: &str, causes: &[Cause<C>], oracles: &[&str]) {
        println!("{title}");
        for (cause, whose, _) in causes {
            let counts = oracles.iter().map(|oracle| {
                let count = self.met.get(&(*cause, *oracle)).copied().unwrap_or_default();
                assert!(count > 0 || !whose.contains(oracle), "{cause}: listed for {oracle}, and never met");
                format!("{oracle} {count}")
            });
            println!("  {cause}: {}", counts.collect::<Vec<_>>().join(", "));
        }
    }
}

#[test]
fn every_difference_to_three_other_libraries_has_a_cause() {
    provider::install();
    let bench = Bench { keys: every_key(), now: SystemClock::new().now() };
    let ours: Vec<VerifyKey> = bench.keys.iter().map(|key| key.verify.clone()).collect();
    let key = &bench.key(Algorithm::Es256).signing;
    let target = Target { key, issuer: ISSUER, audience: AUDIENCE, client: CLIENT, now: bench.now };
    // The good ones first: jsonwebtoken looks at the system's clock, and some are good for a moment only.
    let mut cases = bench.good();
    cases.push(("good: what the corpus bends".to_owned(), genuine(&target)));
    let good = cases.len();
    let mut by_jsonwebtoken: Vec<Verdict> = cases.iter().map(|(_, token)| jsonwebtoken(&bench, token)).collect();
    cases.extend(corpus(&target));
    let attacks = cases.len() - good;
    cases.extend(bench.bent());
    let bent = cases.len() - attacks - good;
    // It takes a token in the very second in which it ends: that one has to be over.
    until("a second is over", || SystemClock::new().now() > bench.now);
    by_jsonwebtoken.extend(cases.iter().skip(good).map(|(_, token)| jsonwebtoken(&bench, token)));
    let mut oracles: Vec<(&'static str, Vec<Verdict>)> = vec![(JSONWEBTOKEN, by_jsonwebtoken)];
    for name in [PYJWT, JOSE] {
        oracles.extend(outside(name, &bench, &cases).map(|verdicts| (name, verdicts)));
    }
    for (name, verdicts) in &oracles {
        assert_eq!(verdicts.len(), cases.len(), "{name} judged every case");
    }

    let mut differences = Differences::default();
    let mut accepted = 0;
    for (n, (name, token)) in cases.iter().enumerate() {
        let own = verify(token, &ours, &requirements(), bench.now).map(drop);
        accepted += usize::from(own.is_ok());
        assert!(n >= good || own.is_ok(), "{name}: {own:?}");
        assert!(!(good..good + attacks).contains(&n) || own.is_err(), "{name}: an attack was accepted");
        for (oracle, verdicts) in &oracles {
            let verdict = &verdicts[n];
            let otherwise = || format!("{oracle}: {name}: we {own:?}, it {verdict:?}");
            match (own, verdict) {
                (Err(refused), Ok(())) => {
                    differences.note(&STRICTER, oracle, &Denied { refused, token: token.clone() }, otherwise);
                }
                (Ok(()), Err(_)) => {
                    let case = Taken { header: said(token, 0), claims: said(token, 1), now: bench.now };
                    differences.note(&WIDER, oracle, &case, otherwise);
                }
                (Ok(()), Ok(())) | (Err(_), Err(_)) => {}
            }
        }
    }
    println!("{attacks} attacks, {good} good tokens, {bent} bent ones: {accepted} accepted by the gate");
    assert!(differences.unexplained.is_empty(), "no cause:\n{}", differences.unexplained.join("\n"));
    let names: Vec<&str> = oracles.iter().map(|(name, _)| *name).collect();
    differences.print("we refuse, it accepts:", &STRICTER, &names);
    differences.print("we accept, it refuses:", &WIDER, &names);
    assert!(attacks >= 500 && bent >= 2_000, "{attacks}, {bent}");
}
