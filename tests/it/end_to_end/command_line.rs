//! The command line as scripts see it: output, exit codes, files.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::server::{Server, initialised, run, run_with_input, stderr, stdout};
use crate::support::temp::TempDir;

#[test]
fn help_and_version_fit_and_name_every_command() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    for command in [
        "dev",
        "init",
        "serve",
        "config",
        "keys",
        "users",
        "clients",
        "token",
        "revoke",
        "gen-config",
        "hash-password",
        "health",
        "completions",
        "man",
    ] {
        assert!(stdout(&help).contains(command), "{command}");
        let own = run(&[command, "--help"]);
        assert!(own.status.success(), "{command}: {}", stderr(&own));
    }
    assert!(stdout(&run(&["--version"])).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(run(&["dev", "--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn init_leaves_a_directory_that_serve_starts_on_as_it_is() {
    let directory = initialised();
    let config = std::fs::read_to_string(directory.path().join("mintgate.toml")).expect("a configuration");
    assert!(config.lines().count() < 60, "{} lines", config.lines().count());
    for name in ["keys", "users.toml", "clients.toml"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    for entry in std::fs::read_dir(directory.path().join("keys")).expect("keys/").flatten() {
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{} is open to others", entry.path().display());
    }
    let again = run(&["init", &directory.path().to_string_lossy(), "--issuer", "http://127.0.0.1:1"]);
    assert_eq!(again.status.code(), Some(6), "init never overwrites: {}", stderr(&again));
    let path = directory.path().join("mintgate.toml").to_string_lossy().into_owned();
    let check = run(&["config", "check", "--config", &path]);
    assert!(check.status.success(), "{}", stderr(&check));
    let show = run(&["config", "show", "--origin", "--config", &path]);
    assert!(show.status.success() && stdout(&show).contains("default"), "{}", stdout(&show));
    let server = Server::start(&["serve", "--json", "--config", &path], None);
    assert_eq!(crate::support::http::get(&server.url("/jwks.json")).status, 200);
}

#[test]
fn dev_keep_and_init_write_the_same_layout() {
    let kept = TempDir::new();
    let path = kept.path().join("data").to_string_lossy().into_owned();
    let names = |directory: &std::path::Path| {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .expect("a directory")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        names.sort();
        names
    };
    {
        let server = Server::dev_with(&["--keep", &path]);
        assert_eq!(server.token(&[("grant_type", "client_credentials")]).status, 200);
    }
    let dev = names(std::path::Path::new(&path));
    let init = names(initialised().path());
    for name in &init {
        assert!(dev.contains(name), "{name} of init is not in {dev:?}");
    }
    let config = format!("{path}/mintgate.toml");
    let server = Server::start(&["serve", "--json", "--config", &config], None);
    assert_eq!(crate::support::http::get(&server.url("/jwks.json")).status, 200);
}

#[test]
fn dev_json_has_the_promised_members() {
    let server = Server::dev();
    for pointer in [
        "/issuer",
        "/url",
        "/admin_url",
        "/config",
        "/client/client_id",
        "/client/client_secret",
        "/client/scope",
        "/client/audience",
        "/public_client/client_id",
        "/user/username",
        "/user/password",
    ] {
        assert!(server.started.pointer(pointer).is_some_and(Value::is_string), "{pointer} in {}", server.started);
    }
}

#[test]
fn dev_for_people_prints_curl_lines_and_a_warning() {
    use std::io::BufRead as _;
    let mut child = std::process::Command::new(crate::support::server::binary())
        .args(["dev", "--port", "0"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    let mut text = String::new();
    for line in std::io::BufReader::new(child.stdout.take().expect("piped")).lines() {
        text.push_str(&line.expect("readable"));
        text.push('\n');
        if text.contains("Ctrl-C") {
            break;
        }
    }
    child.kill().expect("ends");
    child.wait().expect("ends");
    for word in ["curl", "/token", "/login", "refresh_token", "/jwks.json", "/introspect", "not for production"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

#[test]
fn clients_add_prints_the_secret_once_and_stores_only_its_digest() {
    let directory = initialised();
    let config = directory.path().join("mintgate.toml").to_string_lossy().into_owned();
    let add = [
        "clients",
        "add",
        "svc",
        "--grant",
        "client_credentials",
        "--scope",
        "read",
        "--audience",
        "https://a.example",
        "--json",
        "--config",
        &config,
    ];
    let output = run(&add);
    let added: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let mut names: Vec<&String> = added.as_object().expect("object").keys().collect();
    names.sort();
    assert_eq!(names, ["client_id", "client_secret"]);
    let secret = added["client_secret"].as_str().expect("a secret");
    assert!(!std::fs::read_to_string(directory.path().join("clients.toml")).expect("readable").contains(secret));
    assert_eq!(run(&add).status.code(), Some(6), "it exists already");
    assert_eq!(run(&["clients", "show", "ghost", "--config", &config]).status.code(), Some(5));
    let shown = run(&["clients", "show", "svc", "--json", "--config", &config]);
    assert!(shown.status.success() && !stdout(&shown).contains(secret));
}

#[test]
fn tokens_are_minted_offline_inspected_verified_and_explained() {
    let server = Server::dev();
    let minted =
        server.command(&["token", "mint", "--client", server.client().0, "--scope", "read", "--lifetime", "30s"]);
    assert!(minted.status.success(), "{}", stderr(&minted));
    let token = stdout(&minted).trim().to_owned();
    assert_eq!(token.split('.').count(), 3, "the token alone: {token}");
    assert_eq!(server.introspect(&token)["active"], true);
    let inspected = server.command_with_input(&["token", "inspect", "-", "--json"], &token);
    assert!(inspected.status.success(), "{}", stderr(&inspected));
    assert!(stdout(&inspected).contains("at+jwt"));
    let verified = server.command_with_input(&["token", "verify", "-"], &token);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let refused = server.command_with_input(&["token", "verify", "-"], &format!("{token}x"));
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    let explained = server.command_with_input(&["token", "explain", "-"], &token);
    assert!(stdout(&explained).contains("signature"), "{}", stdout(&explained));
    let expired = server.command(&["token", "mint", "--client", server.client().0, "--lifetime", "400d"]);
    assert_eq!(expired.status.code(), Some(4), "longer than any access token may live: {}", stderr(&expired));
}

#[test]
fn hash_password_completions_and_manual_pages() {
    let hashed = run_with_input(&["hash-password"], "correct horse battery\n");
    assert!(hashed.status.success() && stdout(&hashed).starts_with("$argon2id$"), "{}", stderr(&hashed));
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("mintgate"), "{shell}");
    }
    let page = run(&["man"]);
    assert!(page.status.success() && stdout(&page).contains(".TH"), "{}", stderr(&page));
    let server = Server::dev();
    let health = run(&["health", "--config", server.config()]);
    assert!(health.status.success(), "{}", stderr(&health));
    let nobody = run(&["health", "--url", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(3), "{}", stderr(&nobody));
}
