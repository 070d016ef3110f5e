//! `mintgate clients`, run in this process.

use clap::Parser;
use mintgate::cli::clients::{Command, run_asking};
use mintgate::cli::failure::{Exit, Failure};
use mintgate::client::registry::Registry;
use mintgate::client::{Client, ClientKind, GrantType};
use mintgate::protocol::time::UnixSeconds;

use crate::cli::{Desk, Person, code};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn run(desk: &Desk, line: &[&str]) -> Result<(), Failure> {
    let line = Line::try_parse_from(std::iter::once(&"clients").chain(line)).expect("parses");
    run_asking(line.command, &desk.context(), &mut Person::typing(""))
}

fn client(desk: &Desk, id: &str) -> Client {
    Client::clone(Registry::read(&desk.scratch.path("clients.toml")).unwrap().find(id).expect(id))
}

const ADD: [&str; 4] = ["add", "svc", "--audience", "https://api.example"];

#[test]
fn a_client_from_first_to_last() {
    let desk = Desk::new();
    let flags = ["--grant", "refresh_token", "--grant", "client_credentials", "--scope", "read write"];
    run(&desk, &[&ADD[..], &flags, &["--first-party", "--access-lifetime", "10m"]].concat()).expect("added");
    let svc = client(&desk, "svc");
    assert_eq!(svc.grants, [GrantType::ClientCredentials, GrantType::RefreshToken]);
    assert_eq!((svc.kind, svc.scope.as_str(), svc.first_party), (ClientKind::Confidential, "read write", true));
    assert_eq!(svc.secrets.len(), 1);
    assert!(!desk.scratch.read("clients.toml").contains("mgs_"), "only the digest is kept");

    desk.clock.set(UnixSeconds(2_000));
    run(&desk, &["rotate-secret", "svc", "--dry-run"]).expect("could be");
    assert_eq!(client(&desk, "svc").secrets.len(), 1);
    run(&desk, &["rotate-secret", "svc", "--overlap", "1h"]).expect("rotated");
    let secrets = client(&desk, "svc").secrets;
    assert_eq!((secrets[0].ends_at, secrets[1].ends_at), (None, Some(UnixSeconds(5_600))));

    run(&desk, &["disable", "svc"]).expect("disabled");
    assert!(!client(&desk, "svc").enabled);
    run(&desk, &["enable", "svc"]).expect("enabled");
    assert!(client(&desk, "svc").enabled);
    run(&desk, &["show", "svc"]).expect("shown");
    run(&desk, &["list"]).expect("listed");
    run(&desk, &["remove", "svc", "--dry-run"]).expect("could be");
    run(&desk, &["remove", "svc"]).expect("asked, and removed");
    assert!(Registry::read(&desk.scratch.path("clients.toml")).unwrap().is_empty());
}

#[test]
fn a_public_client_has_no_secret() {
    let desk = Desk::new();
    run(&desk, &[&ADD[..], &["--public", "--first-party"]].concat()).expect("added");
    let app = client(&desk, "svc");
    assert_eq!((app.kind, app.grants.as_slice()), (ClientKind::Public, &[GrantType::RefreshToken][..]));
    assert!(app.secrets.is_empty());
    assert_eq!(code(run(&desk, &["rotate-secret", "svc"])), Some(Exit::Refused));
}

#[test]
fn exit_codes() {
    let desk = Desk::new();
    run(&desk, &ADD).expect("added");
    let rows: [(&[&str], Exit); 13] = [
        (&ADD, Exit::Conflict),
        (&["add", "usr_x", "--audience", "x"], Exit::Usage),
        (&["add", "a b", "--audience", "x"], Exit::Usage),
        (&["add", "new"], Exit::Usage),
        (&["add", "new", "--audience", "a#b"], Exit::Usage),
        (&["add", "new", "--audience", "x", "--public", "--grant", "client_credentials"], Exit::Usage),
        (&["add", "new", "--audience", "x", "--access-lifetime", "2h"], Exit::Usage),
        (&["show", "nobody"], Exit::NotFound),
        (&["rotate-secret", "nobody"], Exit::NotFound),
        (&["disable", "nobody"], Exit::NotFound),
        (&["enable", "nobody", "--dry-run"], Exit::NotFound),
        (&["remove", "nobody", "--yes"], Exit::NotFound),
        (&["remove", "nobody", "--dry-run"], Exit::NotFound),
    ];
    let before = desk.scratch.read("clients.toml");
    for (line, exit) in rows {
        assert_eq!(code(run(&desk, line)), Some(exit), "{line:?}");
    }
    assert_eq!(desk.scratch.read("clients.toml"), before);
    let mut no = Person { agrees: false, ..Person::typing("") };
    let remove = Line::try_parse_from(["clients", "remove", "svc"]).expect("parses").command;
    assert_eq!(code(run_asking(remove, &desk.context(), &mut no)), Some(Exit::Refused));
    desk.scratch.write("clients.toml", "[[client]]\n");
    assert_eq!(code(run(&desk, &["list"])), Some(Exit::Usage), "a damaged file");
    desk.scratch.write("mintgate.toml", "isuer = 1\n");
    assert_eq!(code(run(&desk, &["list"])), Some(Exit::Usage), "a wrong configuration");
    assert!(Line::try_parse_from(["clients", "add", "x", "--grant", "implicit"]).is_err());
}

#[test]
fn the_configured_audience_is_the_default() {
    let desk = Desk::new();
    desk.scratch.write("mintgate.toml", "issuer = \"https://auth.example\"\n[tokens]\naudience = \"https://api\"\n");
    run(&desk, &["add", "new"]).expect("added");
    assert_eq!(client(&desk, "new").audiences[0].as_str(), "https://api");
    assert_eq!(client(&desk, "new").grants, [GrantType::ClientCredentials]);
}
