//! The durable store: the suite that every engine passes, and what only this one promises.

mod log;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Jti, Kid, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, RetryRules, Rotated, Rotation, Space};
use mintgate::store::embedded::{OpenError, Sync};
use mintgate::store::{EmbeddedStore, Health, Settings, Spent, Store, StoreError};

use crate::support::disk::Disk;
use crate::support::temp::TempDir;

mod suite_at_once {
    store_suite!(|settings| super::open(&super::Disk::default(), settings, super::Sync::AtOnce) as _);
}

mod suite_shared {
    store_suite!(|settings| super::open(&super::Disk::default(), settings, super::Sync::Shared) as _);
}

pub const NOW: UnixSeconds = UnixSeconds(1_000_000);
const FAR: UnixSeconds = UnixSeconds(9_000_000);

/// Opens `disk` as of the epoch, so that a new log knows every log-in.
fn open(disk: &Disk, settings: Settings, sync: Sync) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open_on(disk.clone(), settings, sync, UnixSeconds(0)).expect("opens"))
}

fn open_at(disk: &Disk, now: UnixSeconds) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open_on(disk.clone(), Settings::default(), Sync::AtOnce, now)
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

pub fn family(name: u8) -> FamilyId {
    FamilyId::new([name; 12], FAR)
}

pub fn order(name: u8, from: u32) -> Rotation {
    Rotation {
        family: family(name),
        from: Generation(from),
        subject: Subject::from("usr_a"),
        client: ClientId::from("app"),
        auth_time: NOW.before(Duration::from_secs(100)),
        retry: RetryRules::default(),
    }
}

fn later(seconds: u64) -> UnixSeconds {
    NOW.after(Duration::from_secs(seconds))
}

#[test]
fn everything_is_there_after_a_restart() {
    let directory = TempDir::new();
    let jti = Jti([1; 16]);
    let of = EpochOf::Subject(Subject::from("usr_b"));
    let changes = vec![
        Change::DenyJti { jti, expires_at: later(300) },
        Change::DenyUndatedJti { jti: Jti([2; 16]), until: later(3_600) },
        Change::RevokeFamily { family: family(2) },
        Change::MoveEpoch { of: of.clone(), not_before: NOW, ends_at: FAR },
    ];
    let open = |now| EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, now).expect("opens");
    let store = open(UnixSeconds(0));
    wait(store.commit(changes, NOW)).expect("commits");
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Ok(Rotated::Advanced { to: Generation(1) }));
    assert_eq!(wait(store.spend(Space::Code, [3; 16], later(60), NOW)), Ok(Spent::First));
    let figures = store.figures().state;
    drop(store);

    let store = open(later(30));
    let again = store.figures().state;
    assert_eq!((again.families, again.jtis, again.spent, again.epochs), (2, 2, 1, 1));
    assert_eq!(again.entries(), figures.entries());
    assert!(store.is_denied(jti, later(300), later(30)));
    assert!(store.is_denied(Jti([2; 16]), later(999), later(30)));
    assert_eq!(store.epoch(&of), Some(NOW));
    assert_eq!(wait(store.spend(Space::Code, [3; 16], later(60), later(30))), Ok(Spent::Again));
    assert_eq!(wait(store.rotate(order(2, 0), later(30))), Ok(Rotated::Revoked));
    assert_eq!(wait(store.rotate(order(1, 0), later(30))), Ok(Rotated::Reused), "the old token, after a restart");
    assert_eq!(wait(store.rotate(order(1, 1), later(30))), Ok(Rotated::Revoked));
}

/// Rotate, crash, set the clock back an hour, start, replay the old token (THREATS rows 17 and 52).
#[test]
fn a_clock_set_back_over_a_crash_revives_nothing() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Ok(Rotated::Advanced { to: Generation(1) }));
    let jti = Jti([1; 16]);
    wait(store.commit(vec![Change::DenyJti { jti, expires_at: later(30) }], NOW)).expect("commits");
    // An hour passes, in which only the clock is written down.
    store.tick(later(3_600));
    drop(store);
    let image = disk.durable();

    let back = NOW;
    let store = open_at(&image, back).expect("opens");
    assert_eq!(store.health(), Health::ClockBehind, "readiness is red at once");
    assert_eq!(wait(store.rotate(order(1, 0), back)), Err(StoreError::ClockBehind), "refused, nothing burned");
    assert!(store.is_denied(jti, later(30), back), "it had expired, and a clock set back does not revive it");
    assert!(store.is_denied(jti, later(30), later(29)));
    store.tick(later(3_601));
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(wait(store.rotate(order(1, 0), later(3_601))), Ok(Rotated::Reused));
}

#[test]
fn a_new_log_knows_no_login_from_before_it_was_made() {
    let disk = Disk::default();
    let auth_time = order(1, 0).auth_time;
    let store = open_at(&disk, auth_time.after(Duration::from_secs(1))).expect("opens");
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Ok(Rotated::Revoked));
    drop(store);
    let store = open_at(&disk, NOW).expect("opens");
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Ok(Rotated::Revoked), "also after a restart");
    let young = Rotation { auth_time: NOW, ..order(1, 0) };
    assert_eq!(wait(store.rotate(young, NOW)), Ok(Rotated::Advanced { to: Generation(1) }));
}

#[test]
fn two_gateways_do_not_share_a_log() {
    let directory = TempDir::new();
    let open = || EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, NOW);
    let first = open().expect("opens");
    assert!(matches!(open(), Err((_, OpenError::InUse))));
    drop(first);
    assert!(open().is_ok());
}

#[test]
fn a_lower_bound_than_what_is_kept_refuses_to_start() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    let revoke = (0..10).map(|name| Change::RevokeFamily { family: family(name) }).collect();
    wait(store.commit(revoke, NOW)).expect("commits");
    drop(store);
    let settings = |entries_max| Settings { entries_max, ..Settings::default() };
    let open = |entries_max| EmbeddedStore::open_on(disk.clone(), settings(entries_max), Sync::AtOnce, NOW);
    assert_eq!(open(9).err(), Some(OpenError::Full(9)));
    assert_eq!(open(10).expect("opens").figures().state.families, 10);
}

/// A write that fails: nobody is told that it worked, nothing is tried again, and reads go on.
#[test]
fn a_failed_write_poisons_the_store() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    wait(store.commit(vec![Change::RevokeFamily { family: family(2) }], NOW)).expect("commits");
    disk.fail_after(0);
    let unavailable = Err(StoreError::Unavailable);
    assert_eq!(wait(store.rotate(order(1, 0), NOW)).map(drop), unavailable);
    assert_eq!(store.health(), Health::Poisoned);
    let operations = disk.operations();
    disk.heal();
    assert_eq!(wait(store.rotate(order(1, 0), NOW)).map(drop), unavailable, "also when the disk would work again");
    assert_eq!(wait(store.rotate(order(2, 0), NOW)).map(drop), unavailable);
    assert_eq!(wait(store.commit(vec![Change::RevokeFamily { family: family(3) }], NOW)), unavailable);
    assert_eq!(wait(store.spend(Space::Code, [1; 16], later(60), NOW)).map(drop), unavailable);
    store.tick(later(100));
    assert!(store.family(family(2), NOW).revoked, "reads go on");
    assert!(!store.is_denied(Jti([1; 16]), later(300), NOW));
    let image = disk.durable();
    drop(store);
    assert_eq!(disk.operations() - operations, 0, "nothing is tried again");
    let store = open_at(&image, NOW).expect("opens");
    assert_eq!(store.health(), Health::Ready);
    assert!(store.family(family(2), NOW).revoked);
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Ok(Rotated::Advanced { to: Generation(1) }), "not burned");
}

/// What the log in `state-1.redb` was made from, and has to give back for ever.
fn version_1() -> Vec<Change> {
    let end = FAR;
    vec![
        Change::RotateFamily { family: family(1), from: Generation(0), to: Generation(1), at: NOW },
        Change::RotateFamily { family: family(1), from: Generation(1), to: Generation(2), at: later(300) },
        Change::RevokeFamily { family: family(2) },
        Change::DenyJti { jti: Jti([3; 16]), expires_at: end },
        Change::DenyUndatedJti { jti: Jti([4; 16]), until: end },
        Change::SpendId { space: Space::Code, id: [5; 16], ends_at: end },
        Change::SpendId { space: Space::PushedRequest, id: [5; 16], ends_at: end },
        Change::SpendId { space: Space::Assertion, id: [5; 16], ends_at: end },
        Change::SpendId { space: Space::Proof, id: [5; 16], ends_at: end },
        Change::MoveEpoch { of: EpochOf::Subject(Subject::from("usr_a")), not_before: NOW, ends_at: end },
        Change::MoveEpoch { of: EpochOf::Client(ClientId::from("app")), not_before: NOW, ends_at: end },
        Change::MoveEpoch { of: EpochOf::Key(Kid::from("kid")), not_before: NOW, ends_at: end },
    ]
}

/// The log of format version 1 as it was released; packed, because most of a small database is zeros.
const VERSION_1: &[u8] = include_bytes!("embedded/state-1.redb.packed");

/// Pairs of a run of zeros and bytes as they are, each with its length in front (four bytes, big-endian).
fn pack(bytes: &[u8]) -> Vec<u8> {
    let (mut packed, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        rest = &rest[zeros..];
        let plain = rest.windows(16).position(|window| window.iter().all(|byte| *byte == 0)).unwrap_or(rest.len());
        packed.extend_from_slice(&u32::try_from(zeros).expect("small").to_be_bytes());
        packed.extend_from_slice(&u32::try_from(plain).expect("small").to_be_bytes());
        packed.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
    }
    packed
}

fn unpack(mut packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((head, rest)) = packed.split_first_chunk::<8>() {
        let [a, b, c, d, e, f, g, h] = *head;
        let zeros = usize::try_from(u32::from_be_bytes([a, b, c, d])).expect("small");
        let plain = usize::try_from(u32::from_be_bytes([e, f, g, h])).expect("small");
        bytes.resize(bytes.len() + zeros, 0);
        bytes.extend_from_slice(&rest[..plain]);
        packed = &rest[plain..];
    }
    bytes
}

#[test]
fn a_log_of_format_version_1_opens() {
    let directory = TempDir::new();
    std::fs::write(directory.path().join("state.redb"), unpack(VERSION_1)).expect("writable");
    let store = EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, later(600)).expect("opens");
    let state = store.figures().state;
    assert_eq!((state.families, state.jtis, state.spent, state.epochs), (2, 2, 4, 3));
    let facts = store.family(family(1), later(600));
    assert_eq!((facts.generation, facts.rotated_at, facts.revoked), (Generation(2), later(300), false));
    assert!(store.family(family(2), later(600)).revoked);
    assert!(store.is_denied(Jti([3; 16]), FAR, later(600)));
    assert!(store.is_denied(Jti([4; 16]), later(999), later(600)));
    for space in [Space::Code, Space::PushedRequest, Space::Assertion, Space::Proof] {
        assert_eq!(wait(store.spend(space, [5; 16], FAR, later(600))), Ok(Spent::Again), "{space:?}");
    }
    for of in [EpochOf::Subject("usr_a".into()), EpochOf::Client("app".into()), EpochOf::Key("kid".into())] {
        assert_eq!(store.epoch(&of), Some(NOW), "{of:?}");
    }
    wait(store.commit(vec![Change::RevokeFamily { family: family(1) }], later(600))).expect("it can be written too");
}

/// Not a test: makes the file above. Run it when a version is released, under that version's name, and never again.
#[test]
#[ignore = "makes the fixture of a released format"]
fn make_the_fixture() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    for changes in version_1().chunks(6) {
        wait(store.commit(changes.to_vec(), later(500))).expect("commits");
    }
    drop(store);
    let bytes = disk.bytes();
    let packed = pack(&bytes);
    assert_eq!(unpack(&packed), bytes);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/store/embedded/state-1.redb.packed");
    std::fs::write(path, packed).expect("writable");
}
