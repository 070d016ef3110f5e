//! Flags over environment over file over defaults, and the template.

use std::net::SocketAddr;
use std::time::Duration;

use mintgate::config::{Inputs, Loaded, Origin, load, template};

use crate::support::scratch::Scratch;

fn inputs(environment: &[(&str, &str)]) -> Inputs {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Inputs { environment, ..Inputs::default() }
}

fn origin(loaded: &Loaded, key: &str) -> String {
    let setting = loaded.settings.iter().find(|setting| setting.key == key).expect(key);
    match &setting.origin {
        Origin::File { line, .. } => format!("{} line {line}", setting.as_toml()),
        other => format!("{} {other}", setting.as_toml()),
    }
}

#[test]
fn an_issuer_is_enough() {
    let scratch = Scratch::new();
    let path = scratch.write("mintgate.toml", "issuer = \"https://auth.example\"");
    let loaded = load(&path, &Inputs::default()).expect("loads");
    let config = &loaded.config;
    assert_eq!(config.issuer, "https://auth.example");
    assert_eq!(config.listen.public, "0.0.0.0:8080".parse::<SocketAddr>().unwrap());
    assert_eq!(config.listen.admin, "127.0.0.1:9090".parse::<SocketAddr>().unwrap());
    assert_eq!(config.tokens.access_lifetime, Duration::from_secs(300));
    assert_eq!(config.refresh.retry_window, Duration::from_secs(10));
    assert_eq!(config.state.entries_max, 100_000_000);
    assert_eq!(config.keys.directory, scratch.path("keys"));
    assert_eq!(config.clients.file, scratch.path("clients.toml"));
    assert!(config.tls.is_none() && !config.compatibility.password_grant);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn the_nearest_word_wins() {
    let scratch = Scratch::new();
    let text = "issuer = \"https://auth.example\"\n[listen]\npublic = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\n";
    let path = scratch.write("mintgate.toml", text);
    let inputs = inputs(&[
        ("MINTGATE_LISTEN_PUBLIC", "127.0.0.1:3"),
        ("MINTGATE_LISTEN_ADMIN", "127.0.0.1:4"),
        ("MINTGATE_STATE_ENTRIES_MAX", "5_000"),
        ("MINTGATE_COMPATIBILITY_PASSWORD_GRANT", "true"),
        ("MINTGATE_KEYS_ALGORITHMS", "ES256, EdDSA"),
    ]);
    let loaded = load(&path, &inputs.with_flag("listen.public", "127.0.0.1:0")).expect("loads");
    assert_eq!(origin(&loaded, "issuer"), "\"https://auth.example\" line 1");
    assert_eq!(origin(&loaded, "listen.public"), "\"127.0.0.1:0\" flag");
    assert_eq!(origin(&loaded, "listen.admin"), "\"127.0.0.1:4\" env MINTGATE_LISTEN_ADMIN");
    assert_eq!(origin(&loaded, "state.entries_max"), "5000 env MINTGATE_STATE_ENTRIES_MAX");
    assert_eq!(origin(&loaded, "keys.algorithms"), "[\"ES256\",\"EdDSA\"] env MINTGATE_KEYS_ALGORITHMS");
    assert_eq!(origin(&loaded, "tokens.typ"), "\"at+jwt\" default");
    assert_eq!(origin(&loaded, "tls.key"), "(none) default");
    assert!(loaded.config.compatibility.password_grant);
    assert_eq!(loaded.warnings.len(), 1, "the password grant is remarked on: {:?}", loaded.warnings);
}

#[test]
fn the_environment_alone_can_give_the_issuer() {
    let scratch = Scratch::new();
    let path = scratch.write("mintgate.toml", "");
    let loaded = load(&path, &inputs(&[("MINTGATE_ISSUER", "http://127.0.0.1:8080")])).expect("loads");
    assert_eq!(loaded.config.issuer, "http://127.0.0.1:8080");
    let told = load(&path, &inputs(&[("MINTGATE_ISSUER", "http://auth.example")])).expect_err("http").to_string();
    assert!(told.starts_with("environment variable MINTGATE_ISSUER: the value of `issuer`"), "{told}");
}

#[test]
fn an_unknown_variable_is_a_warning_and_an_unknown_flag_is_not() {
    let scratch = Scratch::new();
    let path = scratch.write("mintgate.toml", "issuer = \"https://auth.example\"");
    let others = [("MINTGATE_CONFIG", "x"), ("MINTGATE_VECTORS", "x"), ("MINTGATE_LOG", "x"), ("PATH", "x")];
    assert_eq!(load(&path, &inputs(&others)).expect("loads").warnings, [""; 0]);
    let warnings = load(&path, &inputs(&[("MINTGATE_LISTEN_PUBLC", "x")])).expect("loads").warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with("did you mean MINTGATE_LISTEN_PUBLIC?"), "{warnings:?}");
    assert!(load(&path, &Inputs::default().with_flag("listen.publc", "x")).is_err());
}

#[test]
fn the_template_loads_as_it_is() {
    let scratch = Scratch::new();
    let (public, admin) = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:9090".parse().unwrap());
    let text = template("http://127.0.0.1:8080", public, admin);
    assert!(text.lines().count() < 60);
    assert!(text.lines().all(|line| line.chars().count() <= 110));
    let written = load(&scratch.write("mintgate.toml", &text), &Inputs::default()).expect("loads");
    assert_eq!(written.config.listen.public, public);
    // What stands behind a # is the default: without the #, nothing changes (but TLS, which is off).
    let uncommented: String = text
        .lines()
        .filter(|line| !line.contains("tls") && !line.contains("audience"))
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let defaults = load(&scratch.write("all.toml", &uncommented), &Inputs::default()).expect("loads");
    let values = |loaded: &Loaded| -> Vec<_> {
        loaded.settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    assert_eq!(values(&written), values(&defaults));
    let with_tls = format!("{text}\n[tls]\ncertificate = \"a\"\nkey = \"b\"\n");
    assert!(load(&scratch.write("tls.toml", &with_tls), &Inputs::default()).expect("loads").config.tls.is_some());
}
