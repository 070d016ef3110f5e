//! `mintgate users` and `mintgate hash-password`, run in this process.

use clap::Parser;
use mintgate::cli::ask::{PasswordFrom, read_password};
use mintgate::cli::failure::Exit;
use mintgate::cli::hash_password;
use mintgate::cli::users::{Command, run_asking};
use mintgate::protocol::time::UnixSeconds;
use mintgate::user::directory::file::Users;
use mintgate::user::phc::{Cost, Memory, Phc};

use crate::cli::{Desk, Person, code};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn run(desk: &Desk, line: &[&str], person: &mut Person) -> Option<Exit> {
    let line = Line::try_parse_from(std::iter::once(&"users").chain(line)).expect("parses");
    code(run_asking(line.command, &desk.context(), person))
}

fn opens(desk: &Desk, name: &str, password: &str) -> bool {
    let users = Users::read(&desk.scratch.path("users.toml")).unwrap();
    let stored = users.find(name).expect(name).password.clone().expect("a hash");
    Phc::parse(&stored, Cost::MAX).unwrap().verify(password, &mut Memory::default()).unwrap()
}

#[test]
fn a_user_from_first_to_last() {
    let desk = Desk::new();
    let mut person = Person::typing("correct horse battery");
    assert_eq!(run(&desk, &["add", "alice", "--password-stdin", "--dry-run"], &mut person), None);
    assert!(!desk.scratch.path("users.toml").exists());
    assert_eq!(run(&desk, &["add", "alice", "--scope", "read", "--password-stdin"], &mut person), None);
    assert!(opens(&desk, "alice", "correct horse battery") && !opens(&desk, "alice", "correct horse"));
    assert_eq!(run(&desk, &["list"], &mut person), None);
    let subject = |desk: &Desk| {
        let users = Users::read(&desk.scratch.path("users.toml")).unwrap();
        users.find("alice").unwrap().profile.clone()
    };
    let before = subject(&desk);
    assert!(before.subject.as_str().starts_with("usr_") && before.subject.as_str().len() == 26);
    assert_eq!(before.scope.as_ref().unwrap().as_str(), "read");

    desk.clock.set(UnixSeconds(2_000));
    assert_eq!(run(&desk, &["passwd", "alice"], &mut Person::typing("another long one")), None);
    assert!(opens(&desk, "alice", "another long one") && !opens(&desk, "alice", "correct horse battery"));
    // Two seconds on: until a running server has taken the change, the old password still logs in.
    assert_eq!(subject(&desk).password_changed_at, UnixSeconds(2_002));
    assert_eq!(subject(&desk).subject, before.subject);

    assert_eq!(run(&desk, &["disable", "alice"], &mut person), None);
    assert!(!subject(&desk).enabled);
    assert_eq!(run(&desk, &["enable", "alice"], &mut person), None);
    assert!(subject(&desk).enabled);
    assert_eq!(
        run(&desk, &["remove", "alice"], &mut Person { agrees: false, ..Person::typing("") }),
        Some(Exit::Refused)
    );
    assert_eq!(run(&desk, &["remove", "alice", "--yes"], &mut Person { agrees: false, ..Person::typing("") }), None);
    assert!(Users::read(&desk.scratch.path("users.toml")).unwrap().is_empty());
}

#[test]
fn exit_codes() {
    let desk = Desk::new();
    assert_eq!(run(&desk, &["add", "alice"], &mut Person::typing("correct horse battery")), None);
    let before = desk.scratch.read("users.toml");
    let rows: [(&[&str], &'static str, Exit); 9] = [
        (&["add", "alice"], "correct horse battery", Exit::Conflict),
        (&["add", " bob"], "correct horse battery", Exit::Usage),
        (&["add", "bob"], "short", Exit::Refused),
        (&["add", "bobby.tables"], "Bobby.Tables", Exit::Refused),
        (&["passwd", "alice"], "password1", Exit::Refused),
        (&["passwd", "nobody"], "correct horse battery", Exit::NotFound),
        (&["disable", "nobody"], "", Exit::NotFound),
        (&["enable", "ALICE"], "", Exit::NotFound),
        (&["remove", "nobody", "--yes"], "", Exit::NotFound),
    ];
    for (line, password, exit) in rows {
        assert_eq!(run(&desk, line, &mut Person::typing(password)), Some(exit), "{line:?}");
    }
    let mut person = Person::typing("x");
    run(&desk, &["add", "alice"], &mut person);
    assert_eq!(person.asked, 0, "nobody types a password for nothing");
    assert_eq!(desk.scratch.read("users.toml"), before);
    assert!(Line::try_parse_from(["users", "add", "bob", "--password", "x"]).is_err(), "never as an argument");
}

#[test]
fn passwords_from_standard_input() {
    let rows: [(&[u8], Option<&str>); 6] = [
        (b"correct horse\n", Some("correct horse")),
        (b"correct horse\r\n", Some("correct horse")),
        (b"correct horse", Some("correct horse")),
        (b" two \n\n", Some(" two \n")),
        (b"\xff\n", None),
        (&[b'x'; 1_025], None),
    ];
    for (mut input, password) in rows {
        assert_eq!(read_password(&mut input).ok().as_ref().map(|read| read.as_str()), password);
    }
    let mut longest: &[u8] = &[&[b'x'; 1_024][..], b"\r\n"].concat();
    assert_eq!(read_password(&mut longest).expect("fits").len(), 1_024);
}

#[test]
fn hash_password_refuses_nothing_but_nothing() {
    let desk = Desk::new();
    let arguments = hash_password::Arguments::default();
    let run = |person: &mut Person| hash_password::run_asking(arguments, &desk.context(), person, PasswordFrom::Stdin);
    assert_eq!(code(run(&mut Person::typing(""))), Some(Exit::Usage));
    assert_eq!(code(run(&mut Person::typing("x"))), None);
}
