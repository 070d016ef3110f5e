//! HAProxy that verifies by itself, with the keys that `keys export --format haproxy` keeps up to date.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mintgate::ambient::{Clock as _, SystemClock};
use mintgate::keys::{Keyring, Settings};
use mintgate::protocol::algorithm::Algorithm;

use serde_json::{Value, json};

use crate::support::attacks::{Target, corpus, genuine};
use crate::support::http::{post_form, send};
use crate::support::server::{Server, add_service, configured, stderr, stdout, until};
use crate::support::tokens::{good_claims, sign_text};

const AUDIENCE: &str = "https://api.example";
const ISSUER: &str = "http://127.0.0.1:8080";

/// Attacks that HAProxy may pass, by how their names begin. Either nobody but the gateway could sign them, and it does
/// not (odd headers, members missing or of other types, names twice), or they are the genuine token spelled otherwise.
const HARMLESS: [&str; 6] =
    ["header: ", "claims: ", "form: ", "kid 21: ", "typ: \"at+jwt\\u0000\"", "signature: each half one longer"];

struct Haproxy {
    child: Child,
    address: String,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Haproxy {
    /// None, with a loud line, where HAProxy is not installed.
    fn start(directory: &Path) -> Option<Self> {
        let program = PathBuf::from("/usr/sbin/haproxy");
        if !program.is_file() {
            println!("skipped: HAProxy is not installed; tests/run installs it");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let address = format!("127.0.0.1:{port}");
        let own = directory.join("haproxy.cfg");
        let deny = "    http-request deny deny_status 401 unless";
        let text = format!(
            "frontend api from mintgate\n    bind {address}\n{deny} {{ var(txn.mintgate_verified) -m int 1 }}\n\
             {deny} {{ var(txn.mintgate_token),jwt_payload_query('$.iss') -m str {ISSUER} }}\n\
             {deny} {{ var(txn.mintgate_token),jwt_payload_query('$.aud') -m str {AUDIENCE} }}\n    \
             http-request return status 200 content-type text/plain string ok\n"
        );
        std::fs::write(&own, text).expect("written");
        let mut child = Command::new(program)
            .args(["-db", "-f"])
            .arg(directory.join("mintgate.cfg"))
            .arg("-f")
            .arg(&own)
            .stdin(Stdio::null())
            .spawn()
            .expect("HAProxy starts");
        until("HAProxy listens", || {
            assert!(child.try_wait().expect("waitable").is_none(), "HAProxy ended");
            TcpStream::connect(&address).is_ok()
        });
        Some(Self { child, address })
    }

    fn ask(&self, token: &str) -> u16 {
        send("GET", &format!("http://{}/", self.address), &[("Authorization", &format!("Bearer {token}"))], b"").status
    }
}

fn export(server: &Server, directory: &Path) -> (Vec<String>, bool) {
    let directory = directory.to_string_lossy();
    let output = server.command(&["keys", "export", "--public", "--format", "haproxy", "--out", &directory, "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let keys = told["keys"].as_array().expect("keys").iter().filter_map(|kid| kid.as_str()).map(str::to_owned);
    (keys.collect(), told["changed"].as_bool().expect("changed"))
}

fn pem_files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("readable");
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "pem")))
        .count()
}

#[test]
fn haproxy_verifies_by_itself_through_a_rotation() {
    let mut secret = String::new();
    let server = Server::lasting_with(
        |text| configured(text, "keys", "publish_ahead = \"2s\""),
        |config| secret = add_service(config),
    );
    let token = || {
        let answer = post_form(&server.url("/token"), Some(("svc", &secret)), &[("grant_type", "client_credentials")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.member("access_token")
    };
    let directory = server.directory().join("haproxy");
    let (first, changed) = export(&server, &directory);
    assert!(changed && first.len() == 1 && pem_files(&directory) == 1);
    assert!(!export(&server, &directory).1, "asked twice is once");
    let Some(haproxy) = Haproxy::start(&directory) else { return };
    let old = token();
    assert_eq!(haproxy.ask(&old), 200);
    assert_eq!(send("GET", &format!("http://{}/", haproxy.address), &[], b"").status, 401);
    the_corpus(&server, &haproxy);
    // The hook: export while the key is prepared, reload, and no token of either key is refused.
    assert!(server.command(&["keys", "rotate"]).status.success());
    let (both, changed) = export(&server, &directory);
    assert!(changed && both.len() == 2 && both.contains(&first[0]) && pem_files(&directory) == 2);
    drop(haproxy);
    let haproxy = Haproxy::start(&directory).expect("it was there before");
    let new = both.iter().find(|kid| **kid != first[0]).expect("the new key").clone();
    let mut last = old.clone();
    until("the new key signs", || {
        last = token();
        assert_eq!((haproxy.ask(&old), haproxy.ask(&last)), (200, 200));
        crate::support::http::peek(&last).0["kid"] == new.as_str()
    });
    let taint = server.command(&["keys", "taint", "--yes", &first[0]]);
    assert!(taint.status.success(), "{}", stderr(&taint));
    assert_eq!(export(&server, &directory), (vec![new], true));
    assert_eq!(pem_files(&directory), 1, "the leaked key's file is gone");
    drop(haproxy);
    let haproxy = Haproxy::start(&directory).expect("it was there before");
    assert_eq!((haproxy.ask(&old), haproxy.ask(&last)), (401, 200));
}

fn the_corpus(server: &Server, haproxy: &Haproxy) {
    let keys = Keyring::load(&Settings::new(server.directory().join("keys"))).expect("keys").current();
    let key = keys.signer(Algorithm::Es256).expect("a signer");
    let now = SystemClock::new().now();
    let target = Target { key, issuer: ISSUER, audience: AUDIENCE, client: "svc", now };
    assert_eq!(haproxy.ask(&genuine(&target)), 200, "what the attacks bend is good");
    let signed = |typ: &str, change: &dyn Fn(&mut Value)| {
        let mut claims = good_claims(ISSUER, AUDIENCE, "svc", now);
        change(&mut claims);
        let header = json!({"alg": "ES256", "typ": typ, "kid": key.kid().as_str()});
        sign_text(key, &header.to_string(), claims.to_string().as_bytes())
    };
    assert_eq!(haproxy.ask(&signed("JWT", &|_| {})), 200, "the other `typ` of access tokens");
    let rows: [(&str, String); 6] = [
        ("expired this second", signed("at+jwt", &|claims| claims["exp"] = json!(now.0))),
        ("no end", signed("at+jwt", &|claims| drop(claims.as_object_mut().expect("object").remove("exp")))),
        ("another audience", signed("at+jwt", &|claims| claims["aud"] = json!("https://other.example"))),
        ("another issuer", signed("at+jwt", &|claims| claims["iss"] = json!("https://other.example"))),
        ("no access token", signed("revocations+jwt", &|_| {})),
        ("no typ of ours", signed("secevent+jwt", &|_| {})),
    ];
    for (name, token) in rows {
        assert_eq!(haproxy.ask(&token), 401, "{name}");
    }
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for (name, token) in corpus(&target) {
        // What cannot stand in a line of a header, or in HAProxy's buffer.
        if !token.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) || token.len() > 7_000 {
            continue;
        }
        match haproxy.ask(&token) {
            200 => accepted.push(name),
            _ => refused += 1,
        }
    }
    println!("HAProxy by itself refuses {refused} attacks and passes {} that are harmless", accepted.len());
    let harmless = |name: &&String| HARMLESS.iter().any(|own| name.starts_with(own));
    let strange: Vec<&String> = accepted.iter().filter(|name| !harmless(name)).collect();
    assert!(strange.is_empty() && refused > 250, "{refused} refused, accepted: {strange:?}");
}
