//! `mintgate keys`, from the command line's words to the files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use mintgate::ambient::{Clock as _, ManualClock, SystemEntropy};
use mintgate::cli::Context;
use mintgate::cli::failure::{Exit, Failure};
use mintgate::cli::keys::{Command, run};
use mintgate::cli::output::Output;
use mintgate::keys::backend::KeyBackend as _;
use mintgate::keys::backend::file::FileBackend;
use mintgate::keys::import::to_pem;
use mintgate::keys::lifecycle::{self, Automatic, KeyRecord, KeyState, KeyUse};
use mintgate::keys::manifest::Manifest;
use mintgate::keys::{Keyring, Settings, SigningKey};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::time::UnixSeconds;

use crate::support::temp::TempDir;

const ES: KeyUse = KeyUse::Sign(Algorithm::Es256);

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

struct Place {
    dir: TempDir,
    settings: Settings,
    clock: ManualClock,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new();
        let settings = Settings::new(dir.join("keys"));
        Self { dir, settings, clock: ManualClock::at(UnixSeconds(1_800_000_000)) }
    }

    /// With a first key.
    fn begun() -> Self {
        let place = Self::new();
        place.run("generate").unwrap();
        place
    }

    fn run(&self, line: &str) -> Result<(), Failure> {
        let words = std::iter::once("keys").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let context = Context {
            config_path: PathBuf::new(),
            json: true,
            output: Output::keeping(),
            clock: &self.clock,
            entropy: &SystemEntropy,
        };
        run(line.command, &context, &self.settings, self.dir.path())
    }

    fn code(&self, line: &str) -> Exit {
        self.run(line).expect_err(line).code
    }

    fn manifest(&self) -> Manifest {
        FileBackend::new(&self.settings.directory).manifest().unwrap()
    }

    fn only(&self, usage: KeyUse, state: KeyState) -> KeyRecord {
        let manifest = self.manifest();
        let mut found = manifest.records.iter().filter(|one| one.usage == usage && one.state == state);
        let record = found.next().unwrap_or_else(|| panic!("no {state} {usage} key")).clone();
        assert!(found.next().is_none(), "several {state} {usage} keys");
        record
    }

    fn serial(&self) -> u64 {
        self.manifest().serial
    }
}

#[test]
fn the_first_generate_makes_a_set_that_a_server_starts_on() {
    let place = Place::begun();
    let manifest = place.manifest();
    assert!(lifecycle::active(&manifest.records, ES).is_some());
    assert!(lifecycle::active(&manifest.records, KeyUse::Seal).is_some());
    Keyring::load(&place.settings).unwrap();
    place.run("generate").unwrap();
    place.only(ES, KeyState::Prepared);
    place.run("generate --algorithm EdDSA").unwrap();
    place.only(KeyUse::Sign(Algorithm::EdDsa), KeyState::Active);
    place.run("generate --sealing").unwrap();
    place.only(KeyUse::Seal, KeyState::Prepared);
    for line in ["list", "doctor", "export", "export --format pem"] {
        place.run(line).unwrap();
    }
}

#[test]
fn rotate_prepares_now_and_the_plan_activates_after_the_overlap() {
    let mut place = Place::begun();
    place.settings.automatic = Automatic::Off;
    place.run("rotate").unwrap();
    let next = place.only(ES, KeyState::Prepared);
    assert_eq!(next.activate_at, Some(UnixSeconds(1_800_003_600)));
    place.run("rotate").unwrap();
    assert_eq!(place.only(ES, KeyState::Prepared), next, "asked twice is once");
    let keyring = Keyring::load(&place.settings).unwrap();
    keyring.advance(&SystemEntropy, UnixSeconds(1_800_003_599)).unwrap();
    assert_eq!(place.only(ES, KeyState::Prepared).id, next.id);
    keyring.advance(&SystemEntropy, UnixSeconds(1_800_003_600)).unwrap();
    assert_eq!(place.only(ES, KeyState::Active).id, next.id);
    place.run("rotate --sealing").unwrap();
    assert!(place.only(KeyUse::Seal, KeyState::Prepared).activate_at.is_some());
}

#[test]
fn activate_waits_for_the_overlap_unless_forced() {
    let place = Place::begun();
    place.run("prepare").unwrap();
    let next = place.only(ES, KeyState::Prepared);
    let refused = place.run(&format!("activate {}", next.id)).unwrap_err();
    assert_eq!(refused.code, Exit::Refused);
    assert!(refused.message.contains("another 1h"), "{}", refused.message);
    place.clock.advance(Duration::from_secs(3_599));
    assert_eq!(place.code(&format!("activate {}", next.id)), Exit::Refused);
    place.clock.advance(Duration::from_secs(1));
    place.run(&format!("activate {}", &next.id.as_str()[..6])).unwrap();
    assert_eq!(place.only(ES, KeyState::Active).id, next.id);
    place.run("prepare").unwrap();
    let third = place.only(ES, KeyState::Prepared);
    place.run(&format!("activate --force {}", third.id)).unwrap();
    assert_eq!(place.only(ES, KeyState::Active).id, third.id);
}

#[test]
fn what_destroys_needs_a_yes() {
    let place = Place::begun();
    let first = place.only(ES, KeyState::Active);
    // The tests' standard input may be a terminal; then the questions would be asked there.
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        for line in ["rotate --now", "taint KID", "retire --force KID"] {
            assert_eq!(place.code(&line.replace("KID", first.id.as_str())), Exit::Usage, "{line}");
        }
    }
    assert_eq!(place.serial(), 1);
    place.run("rotate --now --yes").unwrap();
    assert_eq!(place.only(ES, KeyState::Retiring).id, first.id, "it goes on verifying");
    assert_eq!(place.code(&format!("retire {}", first.id)), Exit::Refused);
    place.run(&format!("retire --force --yes {}", first.id)).unwrap();
    assert_eq!(place.only(ES, KeyState::Retired).id, first.id);
    let second = place.only(ES, KeyState::Active);
    assert_eq!(place.code(&format!("retire {}", second.id)), Exit::Refused);
    place.run(&format!("taint --yes {}", second.id)).unwrap();
    assert_eq!(place.only(ES, KeyState::Tainted).id, second.id);
    assert_ne!(place.only(ES, KeyState::Active).id, second.id);
    place.run(&format!("taint --yes {}", second.id)).unwrap();
    place.run("doctor").unwrap();
}

#[test]
fn a_dry_run_changes_nothing() {
    let place = Place::begun();
    let first = place.only(ES, KeyState::Active).id;
    let before = (place.manifest(), FileBackend::new(&place.settings.directory).entries().unwrap());
    for line in [
        "generate --dry-run",
        "prepare --dry-run",
        "rotate --dry-run",
        "rotate --now --dry-run",
        "taint KID --dry-run",
        "retire KID --force --dry-run",
    ] {
        place.run(&line.replace("KID", first.as_str())).unwrap();
        let after = (place.manifest(), FileBackend::new(&place.settings.directory).entries().unwrap());
        assert_eq!(after, before, "{line}");
    }
    let fresh = Place::new();
    fresh.run("generate --dry-run").unwrap();
    assert!(!fresh.settings.directory.exists());
}

#[test]
fn keys_are_named_by_enough_of_their_id() {
    let place = Place::begun();
    let kid = place.only(ES, KeyState::Active).id;
    let kid = kid.as_str();
    place.run(&format!("show {kid}")).unwrap();
    place.run(&format!("show {}", &kid[..6])).unwrap();
    assert_eq!(place.code(&format!("show {}", &kid[..5])), Exit::Usage);
    assert_eq!(place.code("show ______________"), Exit::NotFound);
    assert_eq!(place.code("activate -A_A-A_A-A"), Exit::NotFound);
    assert_eq!(Place::new().code("list"), Exit::NotFound);
}

#[test]
fn import_and_export() {
    let place = Place::begun();
    let der = SigningKey::generate(Algorithm::Es384).unwrap();
    let path = place.dir.join("es384.pem");
    std::fs::write(&path, to_pem(&der).as_bytes()).unwrap();
    let line = format!("import {}", path.display());
    place.run(&format!("{line} --dry-run")).unwrap();
    assert_eq!(place.serial(), 1);
    place.run(&line).unwrap();
    let imported = place.only(KeyUse::Sign(Algorithm::Es384), KeyState::Active);
    assert_eq!(place.code(&line), Exit::Conflict);
    for options in ["", "--public", "--format pem", "--private", "--private --format pem"] {
        place.run(&format!("export {} {options}", imported.id)).unwrap();
    }
    assert_eq!(place.code("export --private"), Exit::Usage, "a private part is asked for by name");
    let sealing = place.only(KeyUse::Seal, KeyState::Active).id;
    assert_eq!(place.code(&format!("export --private {sealing}")), Exit::Usage);
    std::fs::write(&path, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
    assert_eq!(place.code(&line), Exit::Usage);
    assert_eq!(place.code("import /nonexistent/key.pem"), Exit::NotFound);
    place.run(&format!("taint --yes {}", imported.id)).unwrap();
    std::fs::write(&path, to_pem(&der).as_bytes()).unwrap();
    assert_eq!(place.code(&line), Exit::Conflict, "tainted for good");
}

#[test]
fn rs256_is_imported_not_generated() {
    let place = Place::begun();
    let failure = place.run("generate --algorithm RS256").unwrap_err();
    assert_eq!(failure.code, Exit::Usage);
    assert!(failure.message.contains("openssl"), "{}", failure.message);
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    type Break = fn(&mut Place);
    let rows: [(&str, Break); 9] = [
        ("readable key", |p| chmod(&key_file(p), 0o644)),
        ("missing key", |p| std::fs::remove_file(key_file(p)).unwrap()),
        ("stray key", |p| std::fs::write(p.settings.directory.join("signing-x.pem"), "").unwrap()),
        ("unfinished write", |p| std::fs::write(p.settings.directory.join(".keyset.json.tmp"), "").unwrap()),
        ("open directory", |p| chmod(&p.settings.directory, 0o777)),
        ("overdue rotation", |p| p.clock.advance(Duration::from_secs(40 * 86_400))),
        ("an algorithm without a key", |p| p.settings.algorithms.push(Algorithm::EdDsa)),
        ("a past that is yet to come", |p| p.clock.set(UnixSeconds(1_700_000_000))),
        ("no set at all", |p| std::fs::remove_dir_all(&p.settings.directory).unwrap()),
    ];
    for (name, break_one_thing) in rows {
        let mut place = Place::begun();
        place.run("doctor").unwrap();
        break_one_thing(&mut place);
        assert_eq!(place.code("doctor"), Exit::Failed, "{name}");
    }
    let place = Place::begun();
    assert_eq!(place.clock.now(), UnixSeconds(1_800_000_000));
    std::fs::write(place.settings.directory.join("README.md"), "").unwrap();
    place.run("doctor").unwrap();
}

fn key_file(place: &Place) -> PathBuf {
    place.settings.directory.join(format!("signing-{}.pem", place.only(ES, KeyState::Active).id))
}

fn chmod(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn an_rsa_key_from_openssl_signs_beside_the_others() {
    let place = Place::begun();
    let path = place.dir.join("rsa.pem");
    let made = std::process::Command::new("openssl").args(["genrsa", "-out"]).arg(&path).arg("2048").output();
    if let Err(error) = made {
        eprintln!("SKIPPED: no openssl here ({error})");
        return;
    }
    place.run(&format!("import {}", path.display())).unwrap();
    let set = Keyring::load(&place.settings).unwrap().current();
    let key = set.signer(Algorithm::Rs256).unwrap();
    crate::keys::signing::check_with_jsonwebtoken(key);
    assert_eq!(set.default_signer().unwrap().algorithm(), Algorithm::Es256);
    place.run(&format!("export --private {}", key.kid())).unwrap();
    place.run("doctor").unwrap();
}

#[test]
fn a_prepared_key_may_be_dropped_and_a_rotation_undone() {
    let place = Place::begun();
    let first = place.only(ES, KeyState::Active).id;
    place.run("prepare").unwrap();
    let unused = place.only(ES, KeyState::Prepared).id;
    place.run(&format!("retire {unused}")).unwrap();
    assert!(!place.settings.directory.join(format!("signing-{unused}.pem")).exists());
    place.run("rotate --now --yes").unwrap();
    place.run(&format!("activate {first}")).unwrap();
    assert_eq!(place.only(ES, KeyState::Active).id, first);
    place.only(ES, KeyState::Retiring);
    Keyring::load(&place.settings).unwrap();
}
