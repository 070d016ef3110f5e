//! The clock of a real server, moved under it by libfaketime.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::crash::{self, Client, client_credentials, gateway_with, log_in, refresh, verify};
use crate::support::http::{get, post_form};
use crate::support::server::{Server, binary, configured, until};

/// The library that `tests/run` installs.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let candidates = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    candidates.chain([PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1")]).find(|path| path.exists())
}

/// `serve` with a wall clock that follows what stands in the file `offset`, at once. The monotonic clock is the real one.
fn serve(config: &str, library: &Path, offset: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["serve", "--json", "--config", config]);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", offset).env("FAKETIME_NO_CACHE", "1");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    command
}

fn set(offset: &Path, text: &str) {
    // As a whole: the server may read it at any moment.
    let unfinished = offset.with_extension("new");
    std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, offset)).expect("writable");
}

fn ready(server: &Server) -> (u16, String, String, String) {
    let answer = get(&server.admin("/health/ready"));
    let json = answer.json();
    let part = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    (answer.status, part("issue"), part("refresh"), part("verify"))
}

/// Issue, rotate and revoke; kill -9; start with the clock an hour back; replay (THREATS rows 17 and 52).
#[test]
fn killed_and_started_with_the_clock_set_back_an_hour() {
    let Some(library) = library() else {
        println!("skipped: libfaketime is not installed; tests/run installs it");
        return;
    };
    let (mut server, secret) = gateway_with(|text| configured(text, "refresh", "retry_window = \"10s\""));
    let offset = server.directory().join("offset");
    set(&offset, "+0");
    let config = server.config().to_owned();
    server.kill_and_start_by(serve(&config, &library, &offset));
    until("ready", || crash::is_ready(&server));
    let url = server.url("");

    // Now, and an hour later.
    let early = log_in(&url);
    assert_eq!(verify(&server, &early.access), 200);
    set(&offset, "+1h");
    until("the hour has passed", || verify(&server, &early.access) == 401);
    let (replayed, goes_on, revoked) = (log_in(&url), log_in(&url), log_in(&url));
    let rotate = |client: &Client| refresh(&url, &client.token).expect("an answer").member("refresh_token");
    let (second, current) = (rotate(&replayed), rotate(&goes_on));
    let third = refresh(&url, &second).expect("an answer").member("refresh_token");
    let answer = crash::ask(&url, "/revoke", &[("client_id", "app"), ("token", &revoked.token)]).expect("an answer");
    assert_eq!(answer.status, 200);

    set(&offset, "+0");
    server.kill_and_start_by(serve(&config, &library, &offset));
    let url = server.url("");
    let behind = || "clock_behind".to_owned();
    assert_eq!(ready(&server), (503, behind(), behind(), "ok".to_owned()));
    // Nothing is revived.
    for (name, token) in [("rotated away", &replayed.token), ("revoked", &revoked.token)] {
        let answer = refresh(&url, token).expect("an answer");
        assert_eq!((answer.status, answer.error()), (400, "invalid_grant".to_owned()), "{name}: {}", answer.text());
    }
    assert_eq!(verify(&server, &early.access), 401, "it ended, though the clock says that it has minutes to live");
    let answer = post_form(&server.url("/introspect"), Some(("svc", &secret)), &[("token", &early.access)]);
    assert_eq!(answer.json()["active"], false);
    // Nothing is issued, and nothing burned.
    let form = [("client_id", "app"), ("username", "ada"), ("password", crash::PASSWORD)];
    for (name, answer) in [
        ("client_credentials", client_credentials(&server, &secret)),
        ("log-in", post_form(&server.url("/login"), None, &form)),
        ("refresh", refresh(&url, &current).expect("an answer")),
    ] {
        let said = (answer.status, answer.error());
        assert_eq!(said, (503, "temporarily_unavailable".to_owned()), "{name}: {}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("60"), "{name}");
    }
    // What is live is verified, what is to be revoked is revoked.
    assert_eq!(verify(&server, &goes_on.access), 200);
    assert_eq!(get(&server.url("/jwks.json")).status, 200);
    let answer = crash::ask(&url, "/revoke", &[("client_id", "app"), ("token", &goes_on.access)]).expect("an answer");
    assert_eq!((answer.status, verify(&server, &goes_on.access)), (200, 401));

    // The clock catches up, and the same process heals.
    set(&offset, "+1h");
    until("ready again", || crash::is_ready(&server));
    assert_eq!(client_credentials(&server, &secret).status, 200);
    assert_eq!(refresh(&url, &current).expect("an answer").status, 200, "it was not burned");
    assert_eq!(refresh(&url, &third).expect("an answer").status, 400, "the replay ended its family");
    until("the log says so", || server.log().contains("tokens are issued again"));
    assert_eq!(server.log().matches("nothing is issued until it has caught up").count(), 1, "{}", server.log());
}
