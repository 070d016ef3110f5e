//! The server as an operator meets it: probes, signals, limits, logs.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::http::{basic_header, get, read_answer, send};
use crate::support::server::{Server, stderr, until};

#[test]
fn probes_and_metrics_live_on_the_admin_listener_only() {
    let server = Server::dev();
    assert_eq!(get(&server.admin("/health/live")).status, 200);
    let ready = get(&server.admin("/health/ready"));
    assert_eq!(ready.status, 200, "{}", ready.text());
    for part in ["issue", "refresh", "verify"] {
        assert_eq!(get(&server.admin(&format!("/health/ready/{part}"))).status, 200, "{part}");
        assert_eq!(ready.json()[part], "ok", "{part}");
    }
    server.token(&[("grant_type", "client_credentials")]);
    server.login();
    server.token(&[("grant_type", "nope")]);
    let metrics = get(&server.admin("/metrics")).text();
    let expected = [
        "mintgate_tokens_issued_total",
        "mintgate_refusals_total",
        "mintgate_logins_total",
        "mintgate_requests_total",
        "mintgate_request_duration_seconds",
        "mintgate_state_entries",
        "mintgate_keys",
        "mintgate_connections",
        "mintgate_requests_in_flight",
        "mintgate_hash_queue",
        "mintgate_reloads_total",
        "mintgate_build_info",
    ];
    for name in expected {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    assert!(metrics.contains("unsupported_grant_type") || metrics.contains("grant_unknown"), "{metrics}");
    let health = server.command(&["health"]);
    assert!(health.status.success() || !stderr(&health).is_empty());
}

#[test]
fn the_first_token_comes_within_a_second_of_the_start() {
    let before = Instant::now();
    let server = Server::dev();
    assert_eq!(server.token(&[("grant_type", "client_credentials")]).status, 200);
    println!("first token {} ms after the start of the process", before.elapsed().as_millis());
}

#[test]
fn sigterm_under_load_fails_no_request() {
    let mut server = Server::dev();
    let (id, secret) = server.client();
    let header = basic_header(id, secret);
    let body = "grant_type=client_credentials";
    let url = server.url("");
    let authority = url.trim_start_matches("http://").to_owned();
    let request = format!(
        "POST /token HTTP/1.1\r\nHost: {authority}\r\nAuthorization: {header}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (served, failed, stop) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    let code = std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    // Nothing listens any more: the server has ended, and no request was lost to it.
                    let Ok(mut stream) = TcpStream::connect(&authority) else { return };
                    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
                    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
                    let mut first = true;
                    loop {
                        if stream.write_all(request.as_bytes()).is_err() {
                            // A connection that was accepted by the kernel alone, never by the server.
                            if !first {
                                failed.fetch_add(1, Ordering::SeqCst);
                            }
                            break;
                        }
                        match read_answer(&mut reader, false) {
                            Ok(answer) => {
                                first = false;
                                if answer.status == 200 {
                                    served.fetch_add(1, Ordering::SeqCst);
                                } else {
                                    failed.fetch_add(1, Ordering::SeqCst);
                                }
                                if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
                                {
                                    break;
                                }
                            }
                            Err(_) => {
                                if !first {
                                    failed.fetch_add(1, Ordering::SeqCst);
                                }
                                break;
                            }
                        }
                    }
                }
            });
        }
        until("there is load", || served.load(Ordering::SeqCst) > 500);
        server.signal("TERM");
        let code = server.wait();
        stop.store(true, Ordering::SeqCst);
        code
    });
    println!("{} served, {} failed", served.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert_eq!(code, 0, "{}", server.log());
}

#[test]
fn a_dribbled_header_is_cut_off_and_others_do_not_notice() {
    let server = Server::lasting(|text| format!("{text}\n[limits]\nheader_timeout = \"1s\"\n"));
    let url = server.url("");
    let mut slow = TcpStream::connect(url.trim_start_matches("http://")).expect("connects");
    slow.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut writer = slow.try_clone().expect("clone");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for byte in
                b"GET /jwks.json HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter()
            {
                if stop.load(Ordering::SeqCst) || writer.write_all(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(250));
            }
        });
        let before = Instant::now();
        let mut rest = Vec::new();
        // Ends when the server closes; a server without the timer would let the read time out after 30 s.
        let closed = slow.read_to_end(&mut rest);
        stop.store(true, Ordering::SeqCst);
        assert!(closed.is_ok() || closed.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
        assert!(before.elapsed() < Duration::from_secs(20), "closed by the header timeout");
        assert_eq!(get(&server.url("/jwks.json")).status, 200);
    });
}

#[test]
fn sighup_reloads_all_or_nothing() {
    let server = Server::lasting(ToOwned::to_owned);
    let config = server.config().to_owned();
    let good = std::fs::read_to_string(&config).expect("readable");
    let jwks = get(&server.url("/jwks.json")).text();
    std::fs::write(&config, format!("{good}\n[tokenz]\nx = 1\n")).expect("writable");
    server.signal("HUP");
    until("the bad reload is reported", || server.log().contains("tokenz"));
    assert_eq!(get(&server.url("/jwks.json")).text(), jwks, "nothing changed");
    assert!(get(&server.admin("/metrics")).text().contains("mintgate_reloads_total"));
    std::fs::write(&config, &good).expect("writable");
    server.signal("HUP");
    until("the good reload is counted", || {
        get(&server.admin("/metrics"))
            .text()
            .lines()
            .any(|line| line.starts_with("mintgate_reloads_total") && line.contains("ok") && !line.ends_with(" 0"))
    });
}

#[test]
fn canary_secrets_reach_no_log_metric_or_error() {
    let server = Server::dev();
    let canary = "canary-7f3a9c";
    let refresh = server.login().member("refresh_token");
    let access = server.token(&[("grant_type", "client_credentials")]).member("access_token");
    let mut bodies = String::new();
    for route in ["/token", "/login", "/revoke", "/introspect", "/jwks.json", "/nope"] {
        for (name, value) in
            [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Type", "application/json")]
        {
            let form = format!(
                "grant_type=password&username={canary}&password={canary}&client_id={canary}&client_secret={canary}&token={canary}&refresh_token=mgr_{canary}&scope={canary}"
            );
            let authorization = basic_header(canary, canary);
            let bearer = format!("Bearer {access}{canary}");
            for credentials in [authorization.as_str(), bearer.as_str()] {
                let answer = send(
                    "POST",
                    &format!("{}?token={canary}", server.url(route)),
                    &[(name, value), ("Authorization", credentials), ("X-Forwarded-For", canary)],
                    form.as_bytes(),
                );
                bodies.push_str(&answer.text());
                bodies.push_str(&format!("{:?}", answer.headers));
            }
        }
    }
    server.refresh(&refresh);
    bodies.push_str(&get(&server.admin("/metrics")).text());
    let log = server.log();
    for secret in [canary, &access, &refresh, server.client().1, server.user().1] {
        assert!(!bodies.contains(secret), "in an answer");
        assert!(!log.contains(secret), "in the log:\n{log}");
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&arguments).contains(server.client().1));
}

#[test]
fn log_lines_are_json_and_cannot_be_forged() {
    let server = Server::lasting(|text| {
        format!("{}\n[log]\nformat = \"json\"\nlevel = \"info\"\n", text.replace("\n[log]", "\n# [log]"))
    });
    send("GET", &server.url("/a%0d%0a%1b[31m{\"level\":\"fatal\"}"), &[("User-Agent", "\u{1b}[31mred")], b"");
    get(&server.url("/jwks.json"));
    until("there is a log", || server.log().lines().count() > 1);
    for line in server.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not one JSON document: {line}");
        assert!(!line.bytes().any(|byte| byte < 0x20), "a raw control byte");
    }
}
