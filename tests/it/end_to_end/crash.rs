//! `kill -9` of the real server under load. The clients' own list of acknowledged acts is the oracle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::http::{Answer, encode_form, post_form, raw};
use crate::support::server::{Server, run, run_with_input, stderr, until};

const PASSWORD: &str = "correct horse battery";
const CLIENTS: usize = 8;

/// What one client holds, and what it was told.
#[derive(Clone, Debug, Default)]
struct Client {
    /// The newest refresh token it was given.
    token: String,
    /// Those it was given before, oldest first.
    used: Vec<String>,
    access: String,
}

/// What must never work again.
#[derive(Debug, Default)]
struct Gone {
    refresh: Vec<String>,
    access: Vec<String>,
}

fn gateway() -> (Server, String) {
    let secret = Mutex::new(String::new());
    let server = Server::lasting_with(
        |text| {
            text.replace("\n[refresh]", "\n[refresh]\nretry_window = \"60s\"").replace("\nretry_window = \"10s\"", "")
        },
        |config| {
            let add = |args: &[&str], input: &str| {
                let output = run_with_input(&[args, &["--config", config]].concat(), input);
                assert!(output.status.success(), "{}", stderr(&output));
                output.stdout
            };
            add(&["clients", "add", "app", "--public", "--first-party", "--audience", "https://api.example"], "");
            let service = ["clients", "add", "svc", "--grant", "client_credentials", "--scope", "read", "--json"];
            let added = add(&[&service[..], &["--audience", "https://api.example"]].concat(), "");
            let added: serde_json::Value = serde_json::from_slice(&added).expect("JSON");
            *secret.lock().expect("lock") = added["client_secret"].as_str().expect("a secret").to_owned();
            add(&["users", "add", "ada", "--password-stdin"], PASSWORD);
        },
    );
    (server, secret.into_inner().expect("lock"))
}

/// Kills the process by its id, with SIGKILL, and starts another on the same files.
fn kill_and_start(server: &mut Server) -> Duration {
    let (directory, config) = (server.directory.take(), server.config().to_owned());
    server.signal("KILL");
    server.wait();
    let before = Instant::now();
    *server = Server::start(&["serve", "--json", "--config", &config], directory);
    server.started["config"] = serde_json::Value::from(config);
    until("ready", || crate::support::http::get(&server.admin("/health/ready")).status == 200);
    before.elapsed()
}

/// Asks without a promise of an answer: the server may die meanwhile.
fn ask(url: &str, path: &str, form: &[(&str, &str)]) -> Option<Answer> {
    let body = encode_form(form);
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw(url, request.as_bytes()).ok()
}

fn refresh(url: &str, token: &str) -> Option<Answer> {
    ask(url, "/token", &[("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", token)])
}

fn log_in(url: &str) -> Client {
    let form = [("client_id", "app"), ("username", "ada"), ("password", PASSWORD)];
    let mut answer = post_form(&format!("{url}/login"), None, &form);
    // Too many at once, or a log-in in the very second of an epoch: the server says to come back.
    until("logged in", || {
        if answer.status == 503 {
            answer = post_form(&format!("{url}/login"), None, &form);
        }
        answer.status == 200
    });
    Client { token: answer.member("refresh_token"), used: Vec::new(), access: answer.member("access_token") }
}

/// Refreshes until the server is gone, and notes only what was acknowledged.
fn use_until_gone(url: &str, client: &mut Client, gone: &Mutex<Gone>, acts: &AtomicU64, stop: &AtomicBool) {
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        if turn % 8 == 7 {
            let access = client.access.clone();
            let Some(answer) = ask(url, "/revoke", &[("client_id", "app"), ("token", &access)]) else { return };
            assert_eq!(answer.status, 200, "{}", answer.text());
            gone.lock().expect("lock").access.push(access);
        } else {
            let Some(answer) = refresh(url, &client.token) else { return };
            // Each start moves the feed's clock on by a second; starts in quick succession get ahead of the wall's.
            if answer.status == 503 {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            assert_eq!(answer.status, 200, "an honest client is logged out: {}", answer.text());
            client.used.push(std::mem::replace(&mut client.token, answer.member("refresh_token")));
            client.access = answer.member("access_token");
        }
        acts.fetch_add(1, Ordering::SeqCst);
    }
}

/// After a start: everything acknowledged is in force.
fn check(server: &Server, secret: &str, clients: &mut [Client], gone: &Gone, round: u64) {
    let url = server.url("");
    for client in clients.iter_mut() {
        // A rotation that was lost would leave this token one ahead of the state, and that is refused.
        let mut answer = refresh(&url, &client.token).expect("an answer");
        // Not now is not lost; see `use_until_gone`.
        until("refreshes work", || {
            if answer.status == 503 {
                answer = refresh(&url, &client.token).expect("an answer");
            }
            answer.status != 503
        });
        assert_eq!(answer.status, 200, "round {round}: an acknowledged rotation is lost: {}", answer.text());
        client.used.push(std::mem::replace(&mut client.token, answer.member("refresh_token")));
    }
    for token in gone.refresh.iter().rev().take(20) {
        let answer = refresh(&url, token).expect("an answer");
        assert_eq!((answer.status, answer.error()), (400, "invalid_grant".to_owned()), "round {round}: revoked");
    }
    for token in gone.access.iter().rev().take(20) {
        let answer = post_form(&server.url("/introspect"), Some(("svc", secret)), &[("token", token)]);
        assert_eq!(answer.json()["active"], false, "round {round}: a revoked access token is live again");
    }
}

/// Twenty kills; as many as `MINTGATE_KILLS` says, if it is set.
#[test]
fn kill_dash_nine_under_load_loses_nothing_acknowledged() {
    let kills = std::env::var("MINTGATE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let (mut server, secret) = gateway();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| log_in(&server.url(""))).collect();
    let mut gone = Gone::default();
    let (acts, mut slowest) = (AtomicU64::new(0), Duration::ZERO);
    for round in 0..kills {
        // Where the kill falls: spread over everything the server does, the same in every run.
        let after = round * 7_919 % 97;
        let (url, goal) = (server.url(""), acts.load(Ordering::SeqCst) + after);
        let (stop, shared) = (AtomicBool::new(false), Mutex::new(std::mem::take(&mut gone)));
        std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| use_until_gone(&url, client, &shared, &acts, &stop));
            }
            until("enough acts", || acts.load(Ordering::SeqCst) >= goal);
            slowest = slowest.max(kill_and_start(&mut server));
            stop.store(true, Ordering::SeqCst);
        });
        gone = shared.into_inner().expect("lock");
        check(&server, &secret, &mut clients, &gone, round);
        // One family is revoked and another takes its place.
        let url = server.url("");
        let place = usize::try_from(round).expect("small") % CLIENTS;
        let token = std::mem::replace(&mut clients[place], log_in(&url)).token;
        assert_eq!(ask(&url, "/revoke", &[("client_id", "app"), ("token", &token)]).expect("an answer").status, 200);
        gone.refresh.push(token);
    }
    println!(
        "{kills} kills, {} acts acknowledged, {} families and {} tokens revoked, slowest start {} ms",
        acts.load(Ordering::SeqCst),
        gone.refresh.len(),
        gone.access.len(),
        slowest.as_millis()
    );
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    // At the end, the oldest token of each family: refused, and its family with it.
    for client in clients.iter().filter(|client| client.used.len() > 1) {
        let answer = refresh(&server.url(""), &client.used[0]).expect("an answer");
        assert_eq!((answer.status, answer.error()), (400, "invalid_grant".to_owned()));
        assert_eq!(refresh(&server.url(""), &client.token).expect("an answer").status, 400);
    }
}

/// A small disk of its own that fills up. Needs the right to mount; says so if it has none.
#[test]
fn a_full_disk_stops_refreshes_and_nothing_else() {
    let folder = crate::support::temp::TempDir::new();
    let small = folder.path().to_string_lossy().into_owned();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs", &small]).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no right to mount a small tmpfs here");
        return;
    }
    let _unmount = Unmount(small.clone());
    let config_path = Mutex::new(String::new());
    let mut server = Server::lasting_with(
        |text| text.replace("directory = \"state\"", &format!("directory = \"{small}\"")),
        |config| {
            *config_path.lock().expect("lock") = config.to_owned();
            for (args, input) in [
                (&["clients", "add", "app", "--public", "--first-party", "--audience", "https://api.example"][..], ""),
                (&["users", "add", "ada", "--password-stdin"][..], PASSWORD),
            ] {
                let output = run_with_input(&[args, &["--config", config]].concat(), input);
                assert!(output.status.success(), "{}", stderr(&output));
            }
        },
    );
    let url = server.url("");
    let mut client = log_in(&url);
    let ballast = folder.path().join("ballast");
    // Takes what is left of the disk; the log has to grow into nothing.
    let _ = std::fs::write(&ballast, vec![1; 4 << 20]);
    let mut refused = None;
    until("the disk is full", || {
        let answer = refresh(&url, &client.token).expect("an answer");
        if answer.status == 200 {
            client.token = answer.member("refresh_token");
            return false;
        }
        refused = Some(answer);
        true
    });
    let refused = refused.expect("refused");
    assert_eq!((refused.status, refused.error()), (503, "temporarily_unavailable".to_owned()), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let revoke = ask(&url, "/revoke", &[("client_id", "app"), ("token", &client.token)]).expect("an answer");
    assert_eq!(revoke.status, 503, "{}", revoke.text());
    assert!(revoke.header("retry-after").is_some());
    for path in ["/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(crate::support::http::get(&server.url(path)).status, 200, "{path}");
    }
    assert_eq!(log_in(&url).used.len(), 0, "logging in writes nothing, so it goes on");
    let ready = crate::support::http::get(&server.admin("/health/ready"));
    assert_eq!((ready.status, ready.json()["refresh"].as_str()), (503, Some("poisoned")), "{}", ready.text());
    assert!(server.log().contains("the state cannot be written"), "{}", server.log());

    // Room is back: it needs a start, as it said, and then the same token works.
    std::fs::remove_file(&ballast).expect("removed");
    assert_eq!(refresh(&url, &client.token).expect("an answer").status, 503);
    let (directory, config) = (server.directory.take(), config_path.into_inner().expect("lock"));
    server.signal("TERM");
    assert_eq!(server.wait(), 0, "{}", server.log());
    drop(server);
    let server = Server::start(&["serve", "--json", "--config", &config], directory);
    assert_eq!(refresh(&server.url(""), &client.token).expect("an answer").status, 200);
    drop(server);
    assert!(run(&["--version"]).status.success());
}

struct Unmount(String);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l", &self.0]).status();
    }
}

#[test]
fn state_show_tells_what_is_remembered_and_config_check_what_it_may_take() {
    let (server, _) = gateway();
    let url = server.url("");
    let client = log_in(&url);
    let shown = || {
        let output = server.command(&["state", "show", "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    assert_eq!(shown()["families"], 0, "logging in writes nothing");
    assert_eq!(refresh(&url, &client.token).expect("an answer").status, 200);
    let after = shown();
    assert_eq!((after["families"].as_u64(), after["log_bytes"].as_u64()), (Some(1), Some(42)), "{after}");
    let output = server.command(&["state", "show"]);
    let text = crate::support::server::stdout(&output);
    assert!(text.contains("families 1 "), "{text}");
    let output = server.command(&["config", "check"]);
    let text = crate::support::server::stdout(&output);
    assert!(text.contains("state at most"), "{text}");
}

/// The issue's own words: after the acknowledgement not one new token.
#[test]
fn sixty_four_clients_of_a_subject_get_nothing_after_its_revocation() {
    let (server, _) = gateway();
    let url = server.url("");
    let clients: Vec<Client> = (0..64).map(|_| log_in(&url)).collect();
    let subject = crate::support::http::peek(&clients[0].access).1["sub"].as_str().expect("sub").to_owned();
    let (acknowledged, before, after) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in &clients {
            let (url, acknowledged, before, after) = (&url, &acknowledged, &before, &after);
            scope.spawn(move || {
                let mut token = client.token.clone();
                loop {
                    let began_after = acknowledged.load(Ordering::SeqCst);
                    let answer = refresh(url, &token).expect("an answer");
                    if answer.status != 200 {
                        assert_eq!((answer.status, answer.error()), (400, "invalid_grant".to_owned()));
                        return;
                    }
                    if began_after { after } else { before }.fetch_add(1, Ordering::SeqCst);
                    token = answer.member("refresh_token");
                }
            });
        }
        until("everybody refreshes", || before.load(Ordering::SeqCst) > 300);
        let output = server.command(&["revoke", "--subject", &subject]);
        acknowledged.store(true, Ordering::SeqCst);
        assert!(output.status.success(), "{}", stderr(&output));
    });
    println!("{} refreshes before, {} after", before.load(Ordering::SeqCst), after.load(Ordering::SeqCst));
    assert_eq!(after.load(Ordering::SeqCst), 0);
}
