//! `users.toml` and the directory on top of it.

use std::path::Path;
use std::sync::Arc;

use mintgate::ambient::SystemEntropy;
use mintgate::ambient::document::{FileError, Intent};
use mintgate::protocol::id::Subject;
use mintgate::protocol::time::UnixSeconds;
use mintgate::user::Profile;
use mintgate::user::directory::file::{FileDirectory, Users};
use mintgate::user::directory::{Account, Directory};
use mintgate::user::file::{self, EditError, generate_subject};
use mintgate::user::phc::{Cost, Memory, Phc};

use crate::support::scratch::{Scratch, mode};

const GOOD: &str = r#"# Everybody here.

[[user]]
name = "alice"
id = "usr_AAAAAAAAAAAAAAAAAAAAAA"
password = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
scope = "read"
password_changed_at = 2026-01-01T00:00:00Z

[[user]]
name = "bob"
id = "usr_AQAAAAAAAAAAAAAAAAAAAA"
enabled = false # until June
password_changed_at = 2026-01-01T00:00:00Z
"#;

fn account(name: &str) -> Account {
    Account {
        name: Arc::from(name),
        profile: Profile {
            subject: generate_subject(&SystemEntropy).unwrap(),
            enabled: true,
            scope: None,
            password_changed_at: UnixSeconds(1_000),
            credential: None,
        },
        password: None,
    }
}

#[test]
fn each_row_breaks_one_thing() {
    let rows = [
        ("name = \"bob\"", "name = \"alice\"", (11, 8), "second user with this name"),
        ("usr_AQ", "usr_AA", (12, 6), "second user with this id"),
        ("name = \"bob\"", "name = \" bob\"", (11, 8), "white space"),
        ("name = \"bob\"", "name = \"b\\nob\"", (11, 8), "control"),
        ("name = \"bob\"", "nick = \"bob\"", (11, 1), "unknown field `nick`"),
        ("usr_AQ", "AQ", (12, 6), "`usr_` and 22"),
        ("usr_AQA", "usr_AQ", (12, 6), "`usr_` and 22"),
        ("= false", "= \"no\"", (13, 11), "expected a boolean"),
        ("00Z\n\n", "00\n\n", (8, 23), "with its offset"),
        ("argon2id", "argon2i", (6, 12), "not an Argon2id hash"),
        ("m=65536", "m=9999999", (6, 12), "out of bounds"),
        ("password = \"$argon2id", "password = \"hunter2hunter2", (6, 12), "hash-password"),
    ];
    for (from, to, place, said) in rows {
        let text = GOOD.replacen(from, to, 1);
        let Err(FileError::Malformed { line, column, detail, .. }) = Users::parse(Path::new("users.toml"), &text)
        else {
            panic!("{from} -> {to} was accepted");
        };
        assert!(detail.contains(said), "{from} -> {to}: {detail}");
        assert_eq!((line, column), place, "{from} -> {to}: {detail}");
        assert!(!detail.contains("hunter2") && !detail.contains("c29tZXNhbHQ"), "a password is shown: {detail}");
    }
    // A line broken right at the hash is not shown either.
    let torn = GOOD.replace("GRPPc\"", "GRPPc");
    let told = Users::parse(Path::new("users.toml"), &torn).expect_err("torn").to_string();
    assert!(!told.contains("argon2id"), "{told}");
}

#[tokio::test]
async fn finds_by_name_and_by_subject() {
    let scratch = Scratch::new();
    let directory = FileDirectory::open(scratch.write("users.toml", GOOD)).expect("opens");
    let alice = directory.find("alice").await.unwrap().expect("there");
    assert_eq!(alice.profile.subject.as_str(), "usr_AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(alice.profile.scope.as_ref().unwrap().as_str(), "read");
    assert!(alice.password.is_some() && !format!("{alice:?}").contains("argon2id"));
    for unknown in ["Alice", "alice ", ""] {
        assert!(directory.find(unknown).await.unwrap().is_none(), "{unknown}");
    }
    let bob = directory.profile(&Subject::from("usr_AQAAAAAAAAAAAAAAAAAAAA")).await.unwrap().expect("there");
    assert!(!bob.enabled, "a disabled user is found, and is disabled");
    assert!(directory.profile(&Subject::from("usr_none")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_reload_is_all_or_nothing() {
    let scratch = Scratch::new();
    let directory = FileDirectory::open(scratch.path("users.toml")).expect("a gateway without users");
    assert_eq!(directory.reload().expect("still none"), 0);
    scratch.write("users.toml", GOOD);
    assert_eq!(directory.reload().expect("reads"), 2);
    scratch.write("users.toml", "[[user]]\n");
    assert!(directory.reload().is_err());
    std::fs::remove_file(scratch.path("users.toml")).unwrap();
    assert!(matches!(directory.reload(), Err(FileError::Missing { .. })), "nobody is locked out by a lost volume");
    assert!(directory.find("alice").await.unwrap().is_some());
}

#[test]
fn edits() {
    let scratch = Scratch::new();
    let path = scratch.write("users.toml", GOOD);
    let carol = account("carol");
    file::add(&path, &carol, Intent::DryRun).expect("could be added");
    assert_eq!(scratch.read("users.toml"), GOOD);
    file::add(&path, &carol, Intent::Write).expect("added");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(**Users::read(&path).unwrap().find("carol").unwrap(), carol);
    assert!(matches!(file::add(&path, &carol, Intent::Write), Err(EditError::Exists(_))));

    let small = Cost { memory_kib: 64, passes: 1, lanes: 1 };
    let phc = Phc::new("correct horse", small, &SystemEntropy, &mut Memory::default()).unwrap();
    file::set_password(&path, "carol", &phc, UnixSeconds(2_000), Intent::Write).expect("set");
    let users = Users::read(&path).unwrap();
    let changed = users.find("carol").unwrap();
    assert_eq!(changed.password.as_deref(), Some(phc.to_string().as_str()));
    assert_eq!(changed.profile.password_changed_at, UnixSeconds(2_000));
    assert_eq!(changed.profile.subject, carol.profile.subject, "the subject stays");

    file::set_enabled(&path, "bob", true, Intent::Write).expect("enabled");
    assert!(scratch.read("users.toml").contains("enabled = true # until June"));
    file::remove(&path, "alice", Intent::Write).expect("removed");
    assert!(scratch.read("users.toml").starts_with("# Everybody here.\n\n[[user]]\nname = \"bob\""));
    for result in [
        file::remove(&path, "alice", Intent::Write),
        file::set_enabled(&path, "alice", true, Intent::Write),
        file::set_password(&path, "alice", &phc, UnixSeconds(1), Intent::Write),
    ] {
        assert!(matches!(result, Err(EditError::NotFound(_))), "{result:?}");
    }
}
