//! Changes that are interrupted, and changes that meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mintgate::ambient::{Entropy, EntropyError, SystemEntropy};
use mintgate::keys::backend::file::FileBackend;
use mintgate::keys::backend::{BackendError, KeyBackend, Lock, Patience, Stamp, file_name};
use mintgate::keys::change::{ChangeError, Changer, Done};
use mintgate::keys::lifecycle::{self, KeyRecord, KeyState, KeyUse};
use mintgate::keys::manifest::Manifest;
use mintgate::keys::plan::{Step, Takeover};
use mintgate::keys::{Keyring, Settings, initialise};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::Kid;
use mintgate::protocol::time::UnixSeconds;
use zeroize::Zeroizing;

use crate::support::server::until;
use crate::support::temp::TempDir;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ES: KeyUse = KeyUse::Sign(Algorithm::Es256);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Crash {
    Before,
    After,
}

/// A backend that dies at its n-th write: before it happened, or after it happened and before anybody heard.
struct Dying {
    inner: FileBackend,
    left: AtomicUsize,
    crash: Crash,
}

impl Dying {
    fn write(&self, write: impl FnOnce() -> Result<(), BackendError>) -> Result<(), BackendError> {
        let dead = || BackendError::Io { path: "the machine".into(), error: std::io::Error::other("power loss") };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(1) if self.crash == Crash::After => write().and(Err(dead())),
            Ok(1) | Err(_) => {
                self.left.store(0, Ordering::SeqCst);
                Err(dead())
            }
            Ok(_) => write(),
        }
    }
}

impl KeyBackend for Dying {
    fn stamp(&self) -> Result<Stamp, BackendError> {
        self.inner.stamp()
    }
    fn manifest(&self) -> Result<Manifest, BackendError> {
        self.inner.manifest()
    }
    fn private(&self, record: &KeyRecord) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        self.inner.private(record)
    }
    fn lock(&self, patience: Patience) -> Result<Box<dyn Lock>, BackendError> {
        self.inner.lock(patience)
    }
    fn write_private(&self, record: &KeyRecord, private: &[u8]) -> Result<(), BackendError> {
        self.write(|| self.inner.write_private(record, private))
    }
    fn write_manifest(&self, manifest: &Manifest) -> Result<(), BackendError> {
        self.write(|| self.inner.write_manifest(manifest))
    }
    fn delete_private(&self, record: &KeyRecord) -> Result<(), BackendError> {
        self.write(|| self.inner.delete_private(record))
    }
}

fn change(backend: &dyn KeyBackend, settings: &Settings, steps: Vec<Step>) -> Result<Done, ChangeError> {
    let rules = settings.rules();
    Changer { backend, rules: &rules, entropy: &SystemEntropy, now: NOW }.carry_out(
        Patience::Seconds,
        Vec::new(),
        |_| Ok(steps),
    )
}

fn place(dir: &TempDir) -> (Settings, Kid) {
    let settings = Settings::new(dir.join("keys"));
    let made = initialise(&settings, NOW, &SystemEntropy).unwrap();
    (settings, made.signing[0].clone())
}

/// As the server does: whoever finds the lock held comes again. A process that another test starts holds every open file
/// of ours for a moment, the lock's too.
fn sweep(keyring: &Keyring) {
    until("nobody else holds the lock", || match keyring.sweep() {
        Err(BackendError::Busy(_)) => false,
        other => {
            other.unwrap();
            true
        }
    });
}

#[test]
fn power_loss_at_any_write_leaves_the_old_set_or_the_new_one() {
    type Order = fn(&Kid) -> Vec<Step>;
    let orders: [(&str, Order); 4] = [
        ("prepare", |_| vec![Step::Prepare(ES, Takeover::WhenDue)]),
        ("rotate at once", |_| vec![Step::Prepare(ES, Takeover::Now), Step::Prepare(KeyUse::Seal, Takeover::Now)]),
        ("taint", |kid| vec![Step::Taint(kid.clone())]),
        ("retire by force", |kid| vec![Step::Retire(kid.clone())]),
    ];
    for (name, order) in orders {
        for crash in [Crash::Before, Crash::After] {
            let mut completed = false;
            for writes in 1..10 {
                let dir = TempDir::new();
                let (settings, kid) = place(&dir);
                let files = FileBackend::new(&settings.directory);
                let before = files.manifest().unwrap();
                let dying = Dying { inner: files.clone(), left: AtomicUsize::new(writes), crash };
                let outcome = change(&dying, &settings, order(&kid));
                let after = files.manifest().unwrap();
                let moved = after.serial == before.serial + 1;
                assert!(moved || after == before, "{name} {writes} {crash:?}");
                // Whatever happened, a server starts on what is there, with one active key of each use.
                let keyring = Keyring::load(&settings).unwrap_or_else(|e| panic!("{name} {writes} {crash:?}: {e}"));
                assert!(keyring.current().signer(Algorithm::Es256).is_some());
                assert!(keyring.current().sealer().is_some());
                if outcome.is_ok() {
                    assert!(moved, "{name} {writes} {crash:?}: acknowledged, so it happened");
                }
                // And the same order by a living machine goes through, unless it happened already.
                if !moved {
                    change(&files, &settings, order(&kid)).unwrap();
                }
                sweep(&keyring);
                sweep(&Keyring::load(&settings).unwrap());
                let ended = files.manifest().unwrap();
                for record in ended.records.iter().filter(|record| record.state.has_ended()) {
                    assert!(!settings.directory.join(file_name(record)).exists(), "{name} {writes} {crash:?}");
                }
                completed |= outcome.is_ok() && dying.left.load(Ordering::SeqCst) > 0;
                if completed {
                    break;
                }
            }
            assert!(completed, "{name}: there are fewer than ten writes");
        }
    }
}

#[test]
fn many_writers_lose_nothing() {
    let dir = TempDir::new();
    let (settings, _) = place(&dir);
    let settings = Arc::new(settings);
    let writers: Vec<_> = (0..6)
        .map(|_| {
            let settings = Arc::clone(&settings);
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let backend = FileBackend::new(&settings.directory);
                    change(&backend, &settings, vec![Step::Prepare(ES, Takeover::Now)]).unwrap();
                    Keyring::load(&settings).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let manifest = FileBackend::new(&settings.directory).manifest().unwrap();
    assert_eq!(manifest.serial, 31);
    assert_eq!(manifest.records.len(), 32);
    let states = |state| manifest.records.iter().filter(|one| one.usage == ES && one.state == state).count();
    assert_eq!((states(KeyState::Active), states(KeyState::Retiring)), (1, 30));
}

#[test]
fn a_failing_generator_changes_nothing() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }
    let dir = TempDir::new();
    let (settings, _) = place(&dir);
    let backend = FileBackend::new(&settings.directory);
    let before = (backend.manifest().unwrap(), backend.entries().unwrap());
    let rules = settings.rules();
    let changer = Changer { backend: &backend, rules: &rules, entropy: &Dry, now: NOW };
    let steps = vec![Step::Prepare(ES, Takeover::Now), Step::Prepare(KeyUse::Seal, Takeover::Now)];
    let outcome: Result<Done, ChangeError> = changer.carry_out(Patience::None, Vec::new(), |_| Ok(steps));
    assert!(outcome.is_err());
    assert_eq!((backend.manifest().unwrap(), backend.entries().unwrap()), before);
}

#[test]
fn a_tainted_key_is_replaced_in_the_same_change() {
    let dir = TempDir::new();
    let (settings, kid) = place(&dir);
    let backend = FileBackend::new(&settings.directory);
    let done = change(&backend, &settings, vec![Step::Taint(kid.clone())]).unwrap();
    let active = lifecycle::active(&done.manifest.records, ES).unwrap();
    assert_ne!(active.id, kid);
    assert!(!settings.directory.join(format!("signing-{kid}.pem")).exists());
    // It does not come back, not even as an import.
    let record = KeyRecord::prepared(kid.clone(), ES, active.public.clone(), NOW);
    let again = change(&backend, &settings, vec![Step::Adopt(Box::new(record))]);
    assert!(matches!(again, Err(ChangeError::Exists(_, KeyState::Tainted))));
}
