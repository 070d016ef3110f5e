//! `cargo bench --bench feed`: what the revocation feed costs with 100,000 live revocations and 1,000 followers. See
//! `benches/README.md`. The gateway is the release `mintgate dev`, a process of its own, ended by its pid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, clippy::panic)]
#![allow(missing_docs, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use mintgate::ambient::SystemClock;
use mintgate::verifier::{Fetch, FetchError, Fetched, Pending, Settings, Verifier};
use serde_json::Value;

const REVOCATIONS: usize = 100_000;
const FOLLOWERS: usize = 1_000;
const WRITERS: usize = 8;

struct Gateway {
    child: Child,
    url: String,
    admin: String,
    token: String,
}

impl Gateway {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mintgate"));
        command.args(["dev", "--json", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let said: Value = serde_json::from_str(&line).expect("a line of JSON");
        let text = |name: &str| said[name].as_str().unwrap().trim_start_matches("http://").to_owned();
        let folder = std::path::Path::new(said["config"].as_str().unwrap()).parent().unwrap().to_owned();
        let door = std::fs::read(folder.join("state/admin.json")).expect("a door");
        let door: Value = serde_json::from_slice(&door).unwrap();
        Self { child, url: text("url"), admin: text("admin_url"), token: door["token"].as_str().unwrap().to_owned() }
    }

    fn rss(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Revokes tokens by made-up ids `from..to`, over one connection.
    fn revoke(&self, from: usize, to: usize) {
        let stream = TcpStream::connect(&self.admin).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        for n in from..to {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let body = format!("{{\"jti\":\"{}\"}}", mintgate::protocol::base64url::encode(&id));
            let head = format!(
                "POST /admin/revoke HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                self.token,
                body.len()
            );
            reader.get_mut().write_all(head.as_bytes()).unwrap();
            assert_eq!(answer(&mut reader).0, 200);
        }
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let mut reader = BufReader::new(TcpStream::connect(&self.url).unwrap());
        write!(reader.get_mut(), "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        answer(&mut reader)
    }

    fn figure(&self, name: &str) -> f64 {
        let mut reader = BufReader::new(TcpStream::connect(&self.admin).unwrap());
        reader.get_mut().write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let text = String::from_utf8(answer(&mut reader).1).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("0");
        line.split(' ').next_back().unwrap().parse().unwrap_or(0.0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> (u16, usize) {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim_end().is_empty() {
            return (status, length);
        }
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = rest.trim().parse().unwrap();
        }
    }
}

fn answer(reader: &mut BufReader<TcpStream>) -> (u16, Vec<u8>) {
    let (status, length) = head(reader);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (status, body)
}

fn claims(document: &[u8]) -> Value {
    let payload = document.split(|byte| *byte == b'.').nth(1).unwrap();
    serde_json::from_slice(&mintgate::protocol::base64url::decode(payload).unwrap()).unwrap()
}

/// The library's client here: asks the gateway, and notes how long that took.
struct Web(Arc<Gateway>, Arc<std::sync::Mutex<Duration>>);

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a> {
        let began = Instant::now();
        let (status, body) = self.0.get(&url["http://".len() + self.0.url.len()..]);
        *self.1.lock().unwrap() += began.elapsed();
        let result =
            if status == 200 { Ok(Fetched { body, max_age: None }) } else { Err(FetchError(status.to_string())) };
        Box::pin(std::future::ready(result))
    }
}

fn main() {
    mintgate::http::limits::raise_files_limit();
    let gateway = Arc::new(Gateway::start());
    let before = gateway.rss();
    let began = Instant::now();
    let share = REVOCATIONS / WRITERS;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let gateway = &gateway;
            scope.spawn(move || gateway.revoke(writer * share, (writer + 1) * share));
        }
    });
    println!("{REVOCATIONS} revocations by /admin/revoke: {:.1?}", began.elapsed());
    println!(
        "memory of the gateway: {} B a revocation, state and feed",
        gateway.rss().saturating_sub(before) / REVOCATIONS
    );
    sizes(&gateway);
    library(&gateway);
    node(&gateway);
    followers(&gateway);
}

fn sizes(gateway: &Gateway) {
    let (mut since, mut bytes) = (0, 0);
    for round in ["signed for this request", "signed before"] {
        let mut documents = 0;
        (since, bytes) = (0, 0);
        let began = Instant::now();
        loop {
            let (status, body) = gateway.get(&format!("/revocations?since={since}"));
            assert_eq!(status, 200);
            let claims = claims(&body);
            (since, bytes, documents) = (claims["to"].as_u64().unwrap(), bytes + body.len(), documents + 1);
            if claims["more"] == false {
                break;
            }
        }
        println!(
            "everything: {documents} documents, {bytes} bytes, fetched and parsed in {:.1?} ({round})",
            began.elapsed()
        );
    }
    println!("  {:.1} bytes a revocation on the wire", bytes as f64 / REVOCATIONS as f64);
    for news in [0, 1, 1_000] {
        gateway.revoke(REVOCATIONS + 10_000 * news, REVOCATIONS + 10_000 * news + news);
        let began = Instant::now();
        let (_, body) = gateway.get(&format!("/revocations?since={since}"));
        println!("delta with {news} new: {} bytes in {:.1?}, one request", body.len(), began.elapsed());
        since = claims(&body)["to"].as_u64().unwrap();
    }
}

fn library(gateway: &Arc<Gateway>) {
    let base = format!("http://{}", gateway.url);
    let on_the_way = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let web = Arc::new(Web(Arc::clone(gateway), Arc::clone(&on_the_way)));
    let issuer = claims(&gateway.get("/revocations?since=9000000000000000").1)["iss"].as_str().unwrap().to_owned();
    let settings = Settings { jwks_url: format!("{base}/jwks.json"), ..Settings::new(&issuer) };
    let verifier = Verifier::new(settings.following(&format!("{base}/revocations")), web, Arc::new(SystemClock::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let began = Instant::now();
    runtime.block_on(verifier.follow());
    let (took, fetching) = (began.elapsed(), *on_the_way.lock().unwrap());
    println!(
        "library: everything read, verified and applied in {took:.1?}, {fetching:.1?} of it the network and the gateway"
    );
}

fn node(gateway: &Gateway) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/outside/node/node_modules");
    let modules = std::env::var("MINTGATE_NODE_MODULES").unwrap_or_else(|_| folder.to_owned());
    if !std::path::Path::new(&modules).join("jose").exists() {
        return println!("Node: skipped, jose is not installed (tests/run installs it)");
    }
    let (base, script) =
        (format!("http://{}", gateway.url), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/follow.mjs"));
    let issuer = claims(&gateway.get("/revocations?since=9000000000000000").1)["iss"].as_str().unwrap().to_owned();
    let mut command = Command::new("node");
    command.args([
        script,
        &format!("{base}/jwks.json"),
        &issuer,
        &format!("{base}/revocations"),
        "ES256",
        "-",
        "measure",
    ]);
    let output = command.env("MINTGATE_NODE_MODULES", modules).output().expect("node runs");
    println!("Node with jose: {}", String::from_utf8_lossy(&output.stdout).trim());
}

fn followers(gateway: &Gateway) {
    let latest = claims(&gateway.get("/revocations?since=9000000000000000").1);
    let mut since = latest["to"].as_u64().unwrap();
    while claims(&gateway.get(&format!("/revocations?since={since}")).1)["more"] == true {
        since = claims(&gateway.get(&format!("/revocations?since={since}")).1)["to"].as_u64().unwrap();
    }
    let since = claims(&gateway.get(&format!("/revocations?since={since}")).1)["to"].as_u64().unwrap();
    let before = gateway.rss();
    let (tell, told) = mpsc::channel();
    let ready = Arc::new(Barrier::new(FOLLOWERS + 1));
    for _ in 0..FOLLOWERS {
        let (url, tell, ready) = (gateway.url.clone(), tell.clone(), Arc::clone(&ready));
        let follow = move || {
            let mut reader = BufReader::with_capacity(4096, TcpStream::connect(&url).unwrap());
            write!(
                reader.get_mut(),
                "GET /revocations?since={since} HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n"
            )
            .unwrap();
            assert_eq!(head(&mut reader).0, 200);
            let mut line = String::new();
            let mut next = || loop {
                line.clear();
                // It ends with the gateway.
                let read = reader.read_line(&mut line).unwrap_or(0);
                if read == 0 || line.starts_with("data: ") {
                    return line.len();
                }
            };
            next();
            ready.wait();
            loop {
                let bytes = next();
                if bytes == 0 || tell.send((Instant::now(), bytes)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().stack_size(128 * 1024).spawn(follow).unwrap();
    }
    ready.wait();
    let each = gateway.rss().saturating_sub(before) / FOLLOWERS;
    println!("{FOLLOWERS} event streams: {each} bytes of the gateway's memory each");
    for round in 0..5 {
        let signed = gateway.figure("mintgate_feed_documents_total");
        gateway.revoke(90_000_000 + round, 90_000_001 + round);
        let acknowledged = Instant::now();
        let mut lags: Vec<Duration> =
            (0..FOLLOWERS).map(|_| told.recv().unwrap().0.saturating_duration_since(acknowledged)).collect();
        lags.sort();
        println!(
            "one revocation: heard by half of them after {:.1?}, by 99 % after {:.1?}, by all {:.1?} after its acknowledgement; {} signatures",
            lags[FOLLOWERS / 2],
            lags[FOLLOWERS * 99 / 100],
            lags[FOLLOWERS - 1],
            gateway.figure("mintgate_feed_documents_total") - signed
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    println!(
        "the gateway's own measure: {} deliveries, {:.1} s in all",
        gateway.figure("mintgate_feed_lag_seconds_count{way=\"stream\"}"),
        gateway.figure("mintgate_feed_lag_seconds_sum{way=\"stream\"}")
    );
    println!("memory of the gateway with all of it: {} MB", gateway.rss() / 1_000_000);
}
