//! Reading everything anew: all or nothing, and what is different.

use mintgate::config::Inputs;
use mintgate::config::reload::Reloadable;

use crate::support::scratch::Scratch;

/// Breaks one thing.
type Break = fn(&Scratch);

const CONFIG: &str = "issuer = \"https://auth.example\"\n";
const CLIENT: &str = "[[client]]\nid = \"a\"\ngrants = []\naudiences = [\"x\"]\n";
const USER: &str =
    "[[user]]\nname = \"alice\"\nid = \"usr_AAAAAAAAAAAAAAAAAAAAAA\"\npassword_changed_at = 2026-01-01T00:00:00Z\n";

fn start() -> (Scratch, Reloadable) {
    let scratch = Scratch::new();
    let path = scratch.write("mintgate.toml", CONFIG);
    scratch.write("clients.toml", CLIENT);
    scratch.write("users.toml", USER);
    let running = Reloadable::read(&path, &Inputs::default()).expect("reads");
    (scratch, running)
}

#[test]
fn differences_are_listed_without_secrets() {
    let (scratch, running) = start();
    let path = scratch.path("mintgate.toml");
    assert_eq!(running.read_again(&path, &Inputs::default()).expect("reads").1, []);
    scratch.write(
        "mintgate.toml",
        &format!("{CONFIG}[listen]\npublic = \"127.0.0.1:1\"\n[tokens]\naccess_lifetime = \"1m\"\n"),
    );
    let secret =
        "secrets = [{ sha256 = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", created_at = 2026-01-01T00:00:00Z }]\n";
    scratch.write("clients.toml", &format!("{CLIENT}{secret}{}", CLIENT.replace("\"a\"", "\"b\"")));
    scratch.write("users.toml", &USER.replace("alice", "bob"));
    let (fresh, differences) = running.read_again(&path, &Inputs::default()).expect("reads");
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "listen.public: \"0.0.0.0:8080\" -> \"127.0.0.1:1\" (needs a restart)",
            "tokens.access_lifetime: \"5m\" -> \"1m\"",
            "client a: secrets changed",
            "client b: added",
            "users: 1 added, 1 removed, 0 changed",
        ]
    );
    assert_eq!(fresh.registry.len(), 2);
}

#[test]
fn a_bad_file_changes_nothing() {
    let rows: [(&str, Break); 5] = [
        ("configuration", |s| drop(s.write("mintgate.toml", "issuer = 1\n"))),
        ("clients", |s| drop(s.write("clients.toml", "[[client]]\n"))),
        ("users", |s| drop(s.write("users.toml", "[[user]]\n"))),
        ("no clients", |s| std::fs::remove_file(s.path("clients.toml")).unwrap()),
        ("no users", |s| std::fs::remove_file(s.path("users.toml")).unwrap()),
    ];
    for (name, break_one_thing) in rows {
        let (scratch, running) = start();
        break_one_thing(&scratch);
        assert!(running.read_again(&scratch.path("mintgate.toml"), &Inputs::default()).is_err(), "{name}");
        assert_eq!((running.registry.len(), running.users.len()), (1, 1), "{name}");
    }
}
