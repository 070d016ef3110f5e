//! The scenarios, by name.

use std::path::PathBuf;
use std::sync::Arc;

use crate::Options;
use crate::beside::{durable, flood, idle, refreshes};
use crate::client::{Answer, Script, Wire, get};
use crate::compare::Comparison;
use crate::floor::{Kind, Reply};
use crate::process::Process;
use crate::target::{Setup, Target};
use crate::tls::Certificate;
use crate::unit::Unit;

pub const ALL: [&str; 19] = [
    "client_credentials",
    "client_credentials_eddsa",
    "client_credentials_rs256",
    "refresh",
    "durable",
    "verify_cached",
    "verify_first",
    "introspect",
    "revoke",
    "revoke_durable",
    "jwks",
    "jwks_304",
    "feed",
    "tls",
    "http2",
    "fresh",
    "floor",
    "flood",
    "idle",
];

/// Tokens of the scenarios that need one not seen before: the verdict cache is set to hold an eighth of them.
const TOKENS: usize = 8_000;

/// What stands in for mintgate's answers: about a token response.
fn stand_in() -> Reply {
    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("etag", "\"0123456789abcdef\""),
    ];
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = format!("{{\"refresh_token\":\"mgr_x\",\"access_token\":\"{}\"}}", "a".repeat(600));
    Reply { status: 200, headers, body, form: true, unit: None, tls: None, http2: false }
}

/// The twin's reply: the very bytes of `answer`, but for what hyper adds by itself.
fn same_reply(answer: &Answer, form: bool) -> Reply {
    let headers = answer
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !["date", "content-length", "connection"].contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Reply { status: answer.status, headers, body: answer.body.clone(), form, ..stand_in() }
}

/// Runs what was asked for; gives the number of failures.
pub async fn run(options: &Options) -> u64 {
    let mut failed = 0;
    for name in ALL.into_iter().filter(|name| options.scenarios.iter().any(|wanted| wanted == name)) {
        failed += one(options, name).await;
    }
    failed
}

/// A running server: mintgate, or with `--bare` our HTTP server alone.
fn start(options: &Options, setup: &Setup<'_>) -> Target {
    if options.bare { Target::bare(&stand_in()) } else { Target::start(setup) }
}

async fn one(options: &Options, name: &'static str) -> u64 {
    let plain = || start(options, &Setup::default());
    match name {
        "client_credentials" => issue(options, &plain(), name, Wire::Kept, Unit::Es256).await,
        "client_credentials_eddsa" => other_key(options, name, "EdDSA", &["-algorithm", "ed25519"], Unit::EdDsa).await,
        "client_credentials_rs256" => {
            let key = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
            other_key(options, name, "RS256", key, Unit::Rs256).await
        }
        "refresh" => refresh(options, &plain()).await,
        "durable" => durable(options).await,
        "verify_cached" => {
            let target = plain();
            let token = target.tokens(1).await.remove(0);
            fixed(options, &target, name, &Target::verify_request(&token), None).await
        }
        "verify_first" | "introspect" | "revoke" | "revoke_durable" => many_tokens(options, name).await,
        "jwks" => fixed(options, &plain(), name, &get("/jwks.json", ""), None).await,
        "jwks_304" => {
            let target = plain();
            let answer = target.ask(&get("/jwks.json", ""), &Wire::Kept).await;
            let etag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag");
            let request = get("/jwks.json", &format!("if-none-match: {etag}\r\n"));
            fixed(options, &target, name, &request, None).await
        }
        "feed" => fixed(options, &plain(), name, &get("/revocations", ""), None).await,
        "tls" => tls(options, name).await,
        "http2" => issue(options, &plain(), name, Wire::Http2, Unit::Es256).await,
        "fresh" => issue(options, &plain(), name, Wire::Fresh, Unit::Es256).await,
        "floor" => {
            // The twin against itself: what the method itself is worth today.
            let twin = Process::ours(Kind::Twin, &Reply { form: false, ..stand_in() });
            let address = twin.address("url");
            let (process, address) = (&twin, address.as_str());
            let scripts = vec![Script::Fixed(get("/", "").into()); options.connections];
            let reply = Reply { form: false, ..stand_in() };
            Comparison { name, process, address, wire: Wire::Kept, scripts, reply, unit: None }.run(options).await
        }
        "flood" => flood(options, &plain()).await,
        _ => idle(options, &plain()).await,
    }
}

async fn compare(
    options: &Options,
    target: &Target,
    name: &'static str,
    scripts: Vec<Script>,
    reply: Reply,
    unit: Option<Unit>,
) -> u64 {
    let (process, address) = (&target.process, target.address.as_str());
    Comparison { name, process, address, wire: Wire::Kept, scripts, reply, unit }.run(options).await
}

async fn fixed(options: &Options, target: &Target, name: &'static str, request: &[u8], unit: Option<Unit>) -> u64 {
    let answer = target.ask(request, &Wire::Kept).await;
    assert!(matches!(answer.status, 200 | 304), "{name}: {} {}", answer.head, answer.body);
    let scripts = vec![Script::Fixed(request.into()); options.connections];
    let form = request.starts_with(b"POST");
    compare(options, target, name, scripts, same_reply(&answer, form), unit).await
}

/// `client_credentials`, whichever way the request travels.
async fn issue(options: &Options, target: &Target, name: &'static str, wire: Wire, unit: Unit) -> u64 {
    let request = target.token_request();
    let answer = target.ask(&request, &wire).await;
    assert_eq!(answer.status, 200, "{name}: {} {}", answer.head, answer.body);
    let reply = Reply { http2: matches!(wire, Wire::Http2), ..same_reply(&answer, true) };
    let scripts = vec![Script::Fixed(request.into()); options.connections];
    let (process, address) = (&target.process, target.address.as_str());
    Comparison { name, process, address, wire, scripts, reply, unit: Some(unit) }.run(options).await
}

async fn other_key(
    options: &Options,
    name: &'static str,
    algorithm: &str,
    key: &'static [&'static str],
    unit: Unit,
) -> u64 {
    let settings = vec![("MINTGATE_TOKENS_ALGORITHM", algorithm.to_owned())];
    let target = Target::start(&Setup { settings, key: Some(key), ..Setup::default() });
    let jwks = target.ask(&get("/jwks.json", ""), &Wire::Kept).await;
    // The active key comes first.
    let keys: serde_json::Value = serde_json::from_str(&jwks.body).expect("a key set");
    assert_eq!(keys["keys"][0]["alg"], algorithm, "{}", jwks.body);
    issue(options, &target, name, Wire::Kept, unit).await
}

async fn refresh(options: &Options, target: &Target) -> u64 {
    let scripts = refreshes(options, target).await;
    // A log-in answers what a refresh answers.
    let reply = same_reply(&target.ask(&target.login_request(), &Wire::Kept).await, true);
    compare(options, target, "refresh", scripts, reply, Some(Unit::Es256)).await
}

/// Requests about many tokens in turn: each is new to the verdict cache when it comes round again.
async fn many_tokens(options: &Options, name: &'static str) -> u64 {
    let settings = vec![("MINTGATE_VERIFY_CACHE_ENTRIES_MAX", (TOKENS / 8).to_string())];
    let target = start(options, &Setup { settings, durable: name == "revoke_durable", ..Setup::default() });
    let tokens = target.tokens(TOKENS).await;
    let request = |token: &String| match name {
        "verify_first" => Target::verify_request(token),
        "introspect" => target.about("/introspect", token),
        _ => target.about("/revoke", token),
    };
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(tokens.iter().map(request).collect());
    let answer = target.ask(&requests[0], &Wire::Kept).await;
    assert_eq!(answer.status, 200, "{name}: {} {}", answer.head, answer.body);
    let start = |connection| connection * TOKENS / options.connections;
    let scripts = (0..options.connections).map(|own| Script::Each(Arc::clone(&requests), start(own))).collect();
    let form = requests[0].starts_with(b"POST");
    compare(options, &target, name, scripts, same_reply(&answer, form), Some(Unit::Es256Check)).await
}

async fn tls(options: &Options, name: &'static str) -> u64 {
    let Some(certificate) = Certificate::make() else { return 0 };
    let target = Target::start(&Setup { certificate: Some(&certificate), ..Setup::default() });
    let wire = Wire::Tls(certificate.connector());
    let request = target.token_request();
    let answer = target.ask(&request, &wire).await;
    assert_eq!(answer.status, 200, "{name}: {} {}", answer.head, answer.body);
    let files: [PathBuf; 2] = [certificate.certificate.clone(), certificate.key.clone()];
    let reply = Reply { tls: Some(files), ..same_reply(&answer, true) };
    let scripts = vec![Script::Fixed(request.into()); options.connections];
    let (process, address) = (&target.process, target.address.as_str());
    Comparison { name, process, address, wire, scripts, reply, unit: Some(Unit::Es256) }.run(options).await
}
