//! `clients.toml`: what is refused, and edits that neither damage nor lose anything.

use std::path::Path;

use mintgate::ambient::document::{FileError, Intent};
use mintgate::client::file::{self, EditError};
use mintgate::client::registry::Registry;
use mintgate::client::{Client, ClientKind, GrantType, SecretDigest, digest};
use mintgate::protocol::id::{Audience, ClientId};
use mintgate::protocol::time::UnixSeconds;

use crate::support::scratch::{Scratch, chmod, mode};

const GOOD: &str = r#"# Ours. Ask Kim before touching.

# the nightly job
[[client]]
id = "backend"   # do not rename
grants = ["client_credentials"]
scope = "read write"
audiences = ["https://api.example"]
enabled = true   # since June
secrets = [{ sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", created_at = 2026-01-01T00:00:00Z }]

[[client]]
id = "app"
kind = "public"
first_party = true
grants = ["refresh_token"]
audiences = ["https://api.example"]
access_lifetime = "10m"
"#;

fn new_client(id: &str) -> Client {
    let sha256 = digest(id);
    Client {
        id: ClientId::from(id),
        kind: ClientKind::Confidential,
        first_party: false,
        enabled: true,
        secrets: vec![SecretDigest { sha256, created_at: UnixSeconds(1_000), ends_at: Some(UnixSeconds(2_000)) }],
        grants: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
        scope: "read".parse().unwrap(),
        audiences: vec![Audience::from("https://api.example"), Audience::from("other")],
        access_lifetime: Some(std::time::Duration::from_secs(60)),
    }
}

#[test]
fn a_good_file_reads() {
    let registry = Registry::parse(Path::new("clients.toml"), GOOD).expect("reads");
    assert_eq!(registry.len(), 2);
    let app = registry.find("app").expect("there");
    assert!(app.first_party && app.enabled && app.kind == ClientKind::Public && app.scope.is_empty());
    assert_eq!(registry.find("backend").expect("there").secrets.len(), 1);
    assert!(Registry::parse(Path::new("x"), "").expect("empty").is_empty());
}

#[test]
fn each_row_breaks_one_thing() {
    let rows = [
        ("id = \"app\"", "id = \"usr_x\"", (13, 6), "does not start with `usr_`"),
        ("id = \"app\"", "id = \"a b\"", (13, 6), "visible ASCII"),
        ("id = \"app\"", "id = \"backend\"", (13, 6), "second client"),
        ("id = \"app\"", "idd = \"app\"", (13, 1), "unknown field `idd`"),
        ("id = \"app\"", "", (12, 1), "missing field `id`"),
        ("\"public\"", "\"secret\"", (14, 8), "unknown variant"),
        ("= true   #", "= 1 #", (9, 11), "expected a boolean"),
        ("[\"refresh_token\"]", "[\"implicit\"]", (16, 11), "unknown variant `implicit`"),
        ("[\"refresh_token\"]", "[\"client_credentials\"]", (16, 10), "a public client cannot use client_credentials"),
        ("\"10m\"", "\"25h\"", (18, 19), "1s to 24h"),
        ("\"10m\"", "10", (18, 19), "expected a"),
        (
            "\"10m\"",
            "\"10m\"\nsecrets = [{ sha256 = \"x\", created_at = 2026-01-01T00:00:00Z }]",
            (19, 12),
            "no secret",
        ),
        ("audiences = [\"https://api.example\"]\naccess", "audiences = []\naccess", (17, 13), "at least one audience"),
        (
            "audiences = [\"https://api.example\"]\naccess",
            "audiences = [\"a#b\"]\naccess",
            (17, 13),
            "without a fragment",
        ),
        ("\"read write\"", "\"re\\\"ad\"", (7, 9), "scope token"),
        ("AAAA\", created", "\", created", (10, 12), "43 characters"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", (10, 12), "with its offset"),
        ("[[client]]\nid = \"app\"", "[[clients]]\nid = \"app\"", (12, 3), "unknown field `clients`"),
        ("[[client]]\nid = \"app\"", "[[client]\nid = \"app\"", (12, 10), ""),
    ];
    let mut wrong = Vec::new();
    for (from, to, place, said) in rows {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let Err(FileError::Malformed { line, column, detail, .. }) = Registry::parse(Path::new("clients.toml"), &text)
        else {
            panic!("{from} -> {to} was accepted");
        };
        if !detail.contains(said) || (line, column) != place {
            wrong.push(format!("{from} -> {to}: {line}:{column}: {detail}"));
        }
        assert!(!detail.contains("AAAAAAAA"), "a digest is shown: {detail}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn edits_keep_comments_and_close_the_file() {
    let scratch = Scratch::new();
    let path = scratch.write("clients.toml", GOOD);
    chmod(&path, 0o644);
    let added = new_client("new");
    file::add(&path, &added, Intent::DryRun).expect("could be added");
    assert_eq!(scratch.read("clients.toml"), GOOD, "a dry run changes nothing");
    file::add(&path, &added, Intent::Write).expect("added");
    assert_eq!(mode(&path), 0o600);
    assert!(scratch.read("clients.toml").starts_with(GOOD));
    assert_eq!(**Registry::read(&path).unwrap().find("new").unwrap(), added, "what is written reads back");
    file::set_enabled(&path, &ClientId::from("backend"), false, Intent::Write).expect("disabled");
    assert!(scratch.read("clients.toml").contains("enabled = false   # since June"));
    file::set_enabled(&path, &ClientId::from("app"), false, Intent::Write).expect("disabled");
    file::remove(&path, &ClientId::from("new"), Intent::Write).expect("removed");
    file::remove(&path, &ClientId::from("backend"), Intent::Write).expect("removed");
    let text = scratch.read("clients.toml");
    assert!(text.starts_with("# Ours. Ask Kim before touching.\n\n[[client]]\nid = \"app\""), "{text}");
    assert_eq!(scratch.names(), ["clients.toml"], "nothing is left lying about");
}

#[test]
fn refusals_of_edits() {
    let scratch = Scratch::new();
    let path = scratch.write("clients.toml", GOOD);
    let (nobody, app) = (ClientId::from("nobody"), ClientId::from("app"));
    let fresh = SecretDigest { sha256: [1; 32], created_at: UnixSeconds(5), ends_at: None };
    let exists = file::add(&path, &new_client("app"), Intent::Write);
    assert!(matches!(exists, Err(EditError::Exists(_))), "{exists:?}");
    let bad = file::add(&path, &new_client("usr_x"), Intent::Write);
    assert!(matches!(bad, Err(EditError::File(FileError::Malformed { .. }))), "{bad:?}");
    assert!(matches!(file::remove(&path, &nobody, Intent::Write), Err(EditError::NotFound(_))));
    assert!(matches!(file::set_enabled(&path, &nobody, true, Intent::Write), Err(EditError::NotFound(_))));
    let rotate = |id| file::rotate_secret(&path, id, &fresh, UnixSeconds(9), Intent::Write);
    assert!(matches!(rotate(&nobody), Err(EditError::NotFound(_))));
    assert!(matches!(rotate(&app), Err(EditError::Refused(_))));
    assert_eq!(scratch.read("clients.toml"), GOOD);
    let damaged = scratch.write("damaged.toml", "[[client]]\nid = 1\n");
    assert!(file::add(&damaged, &new_client("x"), Intent::Write).is_err());
    assert_eq!(scratch.read("damaged.toml"), "[[client]]\nid = 1\n", "a damaged file is left to people");
}

#[test]
fn two_secrets_overlap_and_never_three() {
    let scratch = Scratch::new();
    let path = scratch.path("clients.toml");
    file::add(&path, &new_client("svc"), Intent::Write).expect("a new file");
    let id = ClientId::from("svc");
    let ends = |path: &Path| -> Vec<(u8, Option<u64>)> {
        let registry = Registry::read(path).unwrap();
        let secrets = registry.find("svc").unwrap().secrets.clone();
        secrets.iter().map(|secret| (secret.sha256[0], secret.ends_at.map(|end| end.0))).collect()
    };
    for (number, at, overlap_ends_at) in [(1, 1_100, 1_500), (2, 1_200, 1_600), (3, 1_300, 1_300)] {
        let fresh = SecretDigest { sha256: [number; 32], created_at: UnixSeconds(at), ends_at: None };
        file::rotate_secret(&path, &id, &fresh, UnixSeconds(overlap_ends_at), Intent::Write).expect("rotated");
        match number {
            1 => assert_eq!(ends(&path), [(1, None), (digest("svc")[0], Some(1_500))]),
            2 => assert_eq!(ends(&path), [(2, None), (1, Some(1_600))]),
            _ => assert_eq!(ends(&path), [(3, None)], "no overlap: the old one ends now"),
        }
    }
}

#[test]
fn concurrent_edits_lose_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("clients.toml");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..5 {
                    file::add(path, &new_client(&format!("c{thread}-{number}")), Intent::Write).expect("added");
                    // A reader meets a whole file at any moment.
                    Registry::read(path).expect("whole");
                }
            });
        }
    });
    assert_eq!(Registry::read(&path).unwrap().len(), 20);
}

#[test]
fn a_torn_temporary_file_is_ignored() {
    let scratch = Scratch::new();
    let path = scratch.write("clients.toml", GOOD);
    scratch.write(".clients.toml.new", "[[client]]\nid = \"hal");
    assert_eq!(Registry::read(&path).expect("reads").len(), 2);
    file::add(&path, &new_client("new"), Intent::Write).expect("added");
    assert_eq!(Registry::read(&path).expect("reads").len(), 3);
    assert_eq!(scratch.names(), ["clients.toml"]);
    // Nor is a link in its place followed.
    let precious = scratch.write("precious", "keep");
    std::os::unix::fs::symlink(&precious, scratch.path(".clients.toml.new")).unwrap();
    file::add(&path, &new_client("newer"), Intent::Write).expect("added");
    assert_eq!(scratch.read("precious"), "keep");
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let scratch = Scratch::new();
    scratch.write("real.toml", GOOD);
    std::os::unix::fs::symlink(scratch.path("real.toml"), scratch.path("clients.toml")).unwrap();
    file::add(&scratch.path("clients.toml"), &new_client("new"), Intent::Write).expect("added");
    assert!(scratch.path("clients.toml").is_symlink());
    assert_eq!(Registry::read(&scratch.path("real.toml")).expect("reads").len(), 3);
}
