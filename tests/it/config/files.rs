//! The files a configuration names.

use mintgate::config::files::{Findings, check_files};
use mintgate::config::{Config, Inputs, load};

use crate::support::scratch::{Scratch, chmod};

/// Breaks one thing.
type Break = fn(&Scratch);

const CLIENT: &str = "[[client]]\nid = \"a\"\ngrants = []\naudiences = [\"x\"]\n";

fn good() -> (Scratch, Config) {
    let scratch = Scratch::new();
    let text = "issuer = \"https://auth.example\"\n[tls]\ncertificate = \"crt\"\nkey = \"key\"\n";
    let path = scratch.write("mintgate.toml", text);
    scratch.write("crt", "certificate");
    scratch.write("key", "key");
    scratch.write("clients.toml", CLIENT);
    scratch.write("users.toml", "");
    let config = load(&path, &Inputs::default()).expect("loads").config;
    (scratch, config)
}

#[test]
fn each_row_breaks_one_file() {
    let rows: [(&str, Break, &str); 8] = [
        ("world-readable key", |s| chmod(&s.path("key"), 0o604), "key: readable by others"),
        ("group-readable key", |s| chmod(&s.path("key"), 0o640), "key: readable by others"),
        ("no certificate", |s| std::fs::remove_file(s.path("crt")).unwrap(), "crt: no such file"),
        (
            "group-writable users",
            |s| chmod(&s.path("users.toml"), 0o620),
            "users.toml: others than its owner can write",
        ),
        (
            "damaged users",
            |s| drop(s.write("users.toml", "[[user]]\nnme = \"a\"\n")),
            "users.toml:2:1: unknown field `nme`",
        ),
        ("damaged clients", |s| drop(s.write("clients.toml", "\n[[client]]\n")), "clients.toml:2:1: missing field"),
        (
            "a client above the bound",
            |s| drop(s.write("clients.toml", &format!("{CLIENT}access_lifetime = \"2h\"\n"))),
            "client `a`: access_lifetime is above tokens.lifetime_max, 1h",
        ),
        (
            "a directory for a file",
            |s| {
                std::fs::remove_file(s.path("users.toml")).unwrap();
                std::fs::create_dir(s.path("users.toml")).unwrap();
            },
            "users.toml: cannot be read",
        ),
    ];
    for (name, break_one_thing, said) in rows {
        let (scratch, config) = good();
        break_one_thing(&scratch);
        let findings = check_files(&config, &|_| Ok(()));
        assert_eq!(findings.problems.len(), 1, "{name}: {findings:?}");
        assert!(findings.problems[0].contains(said), "{name}: {findings:?}");
    }
}

#[test]
fn absent_files_are_remarked_on_and_keys_are_asked_about() {
    let (scratch, config) = good();
    assert_eq!(check_files(&config, &|_| Ok(())), Findings { clients: 1, ..Findings::default() });
    std::fs::remove_file(scratch.path("users.toml")).unwrap();
    chmod(&scratch.path("clients.toml"), 0o604);
    let findings = check_files(&config, &|config| Err(vec![format!("{}: open", config.keys.directory.display())]));
    assert_eq!(findings.warnings.len(), 2, "{findings:?}");
    assert!(findings.problems.len() == 1 && findings.problems[0].ends_with("keys: open"), "{findings:?}");
}
