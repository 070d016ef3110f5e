//! The scenarios, and the A B A B of each.

use std::process::Command;
use std::time::{Duration, Instant};

use mintgate::ambient::entropy::ring_source;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use crate::Options;
use crate::client::{Answer, Connection, Outcome, Script, drive, get, post};
use crate::floor::{Kind, Reply};
use crate::process::Process;
use crate::report::{Flood, Idle, Ratio, Spread, print};

const FORM: &str = "application/x-www-form-urlencoded";

/// Where to ask, and as whom.
struct Target {
    process: Process,
    address: String,
    client: [String; 3],
    public_client: String,
    user: [String; 2],
}

impl Target {
    fn start(options: &Options) -> Self {
        if options.bare {
            let reply = stand_in();
            let process = Process::ours(Kind::Bare, &reply);
            let address = process.address("url");
            let text = |text: &str| text.to_owned();
            let client = [text("client"), text("secret-secret-secret-secret-secret-secret-43"), text("read write")];
            return Self { process, address, client, public_client: text("app"), user: [text("ada"), text("pw")] };
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_mintgate"));
        let process = Process::start(command.args(["dev", "--json", "--port", "0"]));
        let text = |object: &str, member: &str| {
            process.said[object][member].as_str().unwrap_or_else(|| panic!("no {object}.{member}")).to_owned()
        };
        let address = process.address("url");
        let client = [text("client", "client_id"), text("client", "client_secret"), text("client", "scope")];
        let user = [text("user", "username"), text("user", "password")];
        let public_client = text("public_client", "client_id");
        Self { process, address, client, public_client, user }
    }

    fn token_request(&self) -> Vec<u8> {
        let [id, secret, scope] = &self.client;
        let scope = scope.replace(' ', "+");
        let form =
            format!("grant_type=client_credentials&client_id={id}&client_secret={}&scope={scope}", encoded(secret));
        post("/token", &form, FORM)
    }

    fn login_request(&self) -> Vec<u8> {
        let [name, password] = &self.user;
        let form =
            format!("client_id={}&username={}&password={}", self.public_client, encoded(name), encoded(password));
        post("/login", &form, FORM)
    }

    async fn ask(&self, request: &[u8]) -> Answer {
        let mut connection = Connection::open(&self.address).await.expect("the server listens");
        connection.ask(request).await.expect("the server answers")
    }
}

/// Form encoding of what a generated name or password may hold.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

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
    Reply { status: 200, headers, body, form: true }
}

/// The twin's reply: the very bytes of `answer`, but for what hyper adds by itself.
fn same_reply(answer: &Answer, form: bool) -> Reply {
    let headers = answer
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !matches!(*name, "date" | "content-length" | "connection"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Reply { status: answer.status, headers, body: answer.body.clone(), form }
}

/// Microseconds of one raw ES256 signature with a parsed key, on this machine, now.
fn signature_us() -> f64 {
    const SIGNATURES: u32 = 1000;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ring_source()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), ring_source()).unwrap();
    let message = [7; 400];
    // CPU time, not wall time: the machine may be busy.
    let before = own_cpu();
    for _ in 0..SIGNATURES {
        std::hint::black_box(key.sign(ring_source(), &message).unwrap());
    }
    (own_cpu() - before).as_secs_f64() * 1e6 / f64::from(SIGNATURES)
}

fn own_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

pub async fn run(options: &Options) {
    if !options.json {
        println!(
            "{} connections, {} rounds of {:?} a side; CPU is user + system time of the server, from the kernel",
            options.connections, options.rounds, options.phase
        );
    }
    let mut failed = 0;
    for name in &options.scenarios {
        let target = Target::start(options);
        match name.as_str() {
            "client_credentials" => {
                let request = target.token_request();
                failed += fixed(options, &target, "client_credentials", &request, true).await;
            }
            "refresh" => failed += refresh(options, &target).await,
            "jwks" => failed += fixed(options, &target, "jwks", &get("/jwks.json", ""), false).await,
            "jwks_304" => {
                let answer = target.ask(&get("/jwks.json", "")).await;
                let etag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag");
                let request = get("/jwks.json", &format!("if-none-match: {etag}\r\n"));
                failed += fixed(options, &target, "jwks_304", &request, false).await;
            }
            "floor" => {
                // The twin against itself: what the method itself is worth today.
                let twin = Process::ours(Kind::Twin, &Reply { form: false, ..stand_in() });
                let address = twin.address("url");
                let own = Target { process: twin, address, ..target };
                failed += fixed(options, &own, "floor", &get("/", ""), false).await;
            }
            "flood" => failed += flood(options, &target).await,
            _ => failed += idle(options, &target).await,
        }
    }
    if failed > 0 {
        eprintln!("{failed} requests failed");
        std::process::exit(1);
    }
}

async fn fixed(options: &Options, target: &Target, name: &'static str, request: &[u8], signs: bool) -> u64 {
    let answer = target.ask(request).await;
    assert!(matches!(answer.status, 200 | 304), "{name}: {} {}", answer.head, answer.body);
    let scripts = vec![Script::Fixed(request.into()); options.connections];
    let form = request.starts_with(b"POST");
    compare(options, target, name, scripts, &same_reply(&answer, form), signs).await
}

async fn refresh(options: &Options, target: &Target) -> u64 {
    let mut scripts = Vec::with_capacity(options.connections);
    let mut connection = Connection::open(&target.address).await.expect("the server listens");
    for _ in 0..options.connections {
        let answer = connection.ask(&target.login_request()).await.expect("a log-in");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let token = body["refresh_token"].as_str().unwrap_or_else(|| panic!("log-in: {} {}", answer.head, answer.body));
        scripts.push(Script::Refresh { client_id: target.public_client.clone(), token: token.to_owned() });
    }
    // A log-in answers what a refresh answers.
    let reply = same_reply(&connection.ask(&target.login_request()).await.expect("a log-in"), true);
    compare(options, target, "refresh", scripts, &reply, true).await
}

/// One side of a round: requests a second and CPU microseconds a request.
async fn side(
    process: &Process,
    address: &str,
    scripts: &mut Vec<Script>,
    status: u16,
    phase: Duration,
) -> (Outcome, f64) {
    let before = process.cpu();
    let outcome = drive(address, scripts, status, phase).await;
    let used = process.cpu().saturating_sub(before);
    let each = used.as_secs_f64() * 1e6 / outcome.good.max(1) as f64;
    (outcome, each)
}

async fn compare(
    options: &Options,
    target: &Target,
    name: &'static str,
    mut scripts: Vec<Script>,
    reply: &Reply,
    signs: bool,
) -> u64 {
    let floor = Process::ours(Kind::Twin, reply);
    let floor_address = floor.address("url");
    let mut floor_scripts = scripts.clone();
    let warm_up = options.phase / 4;
    drive(&target.address, &mut scripts, reply.status, warm_up).await;
    drive(&floor_address, &mut floor_scripts, reply.status, warm_up).await;

    let (mut rates, mut cpus, mut floor_rates, mut floor_cpus) = (vec![], vec![], vec![], vec![]);
    let (mut signatures, mut ratios, mut failed) = (vec![], vec![], 0);
    for _ in 0..options.rounds {
        let (outcome, cpu) = side(&target.process, &target.address, &mut scripts, reply.status, options.phase).await;
        let (floor_outcome, floor_cpu) =
            side(&floor, &floor_address, &mut floor_scripts, reply.status, options.phase).await;
        let signature = if signs && !options.bare { signature_us() } else { 0.0 };
        ratios.push(cpu / (floor_cpu + signature));
        rates.push(outcome.per_second());
        cpus.push(cpu);
        floor_rates.push(floor_outcome.per_second());
        floor_cpus.push(floor_cpu);
        signatures.push(signature);
        failed += outcome.failed + outcome.busy + floor_outcome.failed + floor_outcome.busy;
    }
    let result = Ratio {
        scenario: name,
        requests_per_second: Spread::of(rates),
        cpu_us: Spread::of(cpus),
        floor_requests_per_second: Spread::of(floor_rates),
        floor_cpu_us: Spread::of(floor_cpus),
        signature_us: signs.then(|| Spread::of(signatures)),
        ratio: Spread::of(ratios),
        failed,
    };
    print(options.json, &result.line(), &result);
    failed
}

/// 16 connections log in while the others ask for tokens; compared with the tokens alone, in turn.
async fn flood(options: &Options, target: &Target) -> u64 {
    const FLOODERS: usize = 16;
    let mut tokens = vec![Script::Fixed(target.token_request().into()); options.connections];
    let mut logins = vec![Script::Fixed(target.login_request().into()); FLOODERS];
    drive(&target.address, &mut tokens, 200, options.phase / 4).await;
    let rss_before = target.process.rss();
    let (mut alone_rates, mut flooded_rates, mut ratios) = (vec![], vec![], vec![]);
    let (mut alone_p99, mut flooded_p99, mut p99_ratios, mut login_rates) = (vec![], vec![], vec![], vec![]);
    let (mut failed, mut logins_busy, mut rss_after) = (0, 0, 0);
    for _ in 0..options.rounds {
        let alone = drive(&target.address, &mut tokens, 200, options.phase).await;
        let (flooded, storm) = tokio::join!(
            drive(&target.address, &mut tokens, 200, options.phase),
            drive(&target.address, &mut logins, 200, options.phase),
        );
        rss_after = target.process.rss().max(rss_after);
        ratios.push(flooded.per_second() / alone.per_second());
        p99_ratios.push(flooded.quantile(0.99) / alone.quantile(0.99));
        alone_rates.push(alone.per_second());
        flooded_rates.push(flooded.per_second());
        alone_p99.push(alone.quantile(0.99));
        flooded_p99.push(flooded.quantile(0.99));
        login_rates.push(storm.per_second());
        logins_busy += storm.busy;
        failed += alone.failed + alone.busy + flooded.failed + flooded.busy + storm.failed;
    }
    let result = Flood {
        scenario: "flood",
        tokens_per_second_alone: Spread::of(alone_rates),
        tokens_per_second_flooded: Spread::of(flooded_rates),
        throughput_ratio: Spread::of(ratios),
        p99_us_alone: Spread::of(alone_p99),
        p99_us_flooded: Spread::of(flooded_p99),
        p99_ratio: Spread::of(p99_ratios),
        logins_per_second: Spread::of(login_rates),
        logins_busy,
        failed,
        rss_before,
        rss_after,
    };
    print(options.json, &result.line(), &result);
    failed
}

/// Many connections that asked once and then say nothing, and one good client among them.
async fn idle(options: &Options, target: &Target) -> u64 {
    let request = get("/jwks.json", "");
    let mut good = vec![Script::Fixed(request.clone().into())];
    drive(&target.address, &mut good, 200, options.phase / 4).await;
    let alone = drive(&target.address, &mut good, 200, options.phase).await;
    let rss_before = target.process.rss();
    let mut connections = Vec::with_capacity(options.idle);
    for _ in 0..options.idle {
        match Connection::open(&target.address).await {
            Ok(mut connection) => match connection.ask(&request).await {
                Ok(answer) if answer.status == 200 => connections.push(connection),
                _ => break,
            },
            Err(error) => {
                eprintln!("idle: only {} connections: {error}", connections.len());
                break;
            }
        }
    }
    let rss_with = target.process.rss();
    let (cpu, started) = (target.process.cpu(), Instant::now());
    tokio::time::sleep(options.phase).await;
    let idle_cpu = (target.process.cpu().saturating_sub(cpu)).as_secs_f64() * 1e3 / started.elapsed().as_secs_f64();
    let among = drive(&target.address, &mut good, 200, options.phase).await;
    let opened = connections.len();
    let mut still_open = 0;
    for connection in &mut connections {
        still_open += usize::from(matches!(connection.ask(&request).await, Ok(answer) if answer.status == 200));
    }
    let result = Idle {
        scenario: "idle",
        connections: opened,
        rss_before,
        rss_with,
        bytes_per_connection: rss_with.saturating_sub(rss_before) as f64 / opened.max(1) as f64,
        good_client_p50_us_alone: alone.quantile(0.5),
        good_client_p99_us_alone: alone.quantile(0.99),
        good_client_p50_us_among: among.quantile(0.5),
        good_client_p99_us_among: among.quantile(0.99),
        idle_cpu_ms_per_second: idle_cpu,
        still_open,
    };
    print(options.json, &result.line(), &result);
    alone.failed + among.failed + (options.idle - still_open) as u64
}
