//! What the server serves, through reloads, rotations and leaks.

use std::sync::Arc;
use std::time::Duration;

use mintgate::ambient::{Clock as _, ManualClock, SystemEntropy};
use mintgate::keys::backend::KeyBackend as _;
use mintgate::keys::backend::file::{FileBackend, MANIFEST_NAME};
use mintgate::keys::change::{Changer, NewKey};
use mintgate::keys::keyring::{KeyringError, Reloaded};
use mintgate::keys::lifecycle::{KeyState, KeyUse};
use mintgate::keys::plan::{Step, Takeover};
use mintgate::keys::rotator::{Rotator, run};
use mintgate::keys::{KeySet, Keyring, SealingKey, Settings, initialise};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::Kid;
use mintgate::protocol::time::UnixSeconds;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::support::temp::TempDir;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ES: KeyUse = KeyUse::Sign(Algorithm::Es256);

struct Place {
    settings: Settings,
    clock: Arc<ManualClock>,
    keyring: Arc<Keyring>,
    rotator: Rotator,
    _dir: TempDir,
}

impl Place {
    fn new(adjust: impl FnOnce(&mut Settings)) -> Self {
        let dir = TempDir::new();
        let mut settings = Settings::new(dir.join("keys"));
        adjust(&mut settings);
        initialise(&settings, NOW, &SystemEntropy).unwrap();
        let keyring = Arc::new(Keyring::load(&settings).unwrap());
        let clock = Arc::new(ManualClock::at(NOW));
        let rotator = Rotator::new(Arc::clone(&keyring), Arc::clone(&clock) as _, Arc::new(SystemEntropy));
        Self { settings, clock, keyring, rotator, _dir: dir }
    }

    /// What a command in another process does.
    fn elsewhere(&self, new: Vec<NewKey>, steps: Vec<Step>) {
        let (backend, rules) = (FileBackend::new(&self.settings.directory), self.settings.rules());
        let changer = Changer { backend: &backend, rules: &rules, entropy: &SystemEntropy, now: self.clock.now() };
        changer
            .carry_out(mintgate::keys::backend::Patience::Seconds, new, |_| {
                Ok::<_, mintgate::keys::change::ChangeError>(steps)
            })
            .unwrap();
    }

    fn tick_after(&mut self, seconds: u64) -> Arc<KeySet> {
        self.clock.advance(Duration::from_secs(seconds));
        self.rotator.tick();
        self.keyring.current()
    }

    fn states(&self, usage: KeyUse) -> Vec<KeyState> {
        self.keyring.current().records().iter().filter(|one| one.usage == usage).map(|one| one.state).collect()
    }
}

fn jwks_kids(set: &KeySet) -> Vec<String> {
    let body: Value = serde_json::from_slice(&set.jwks().body).unwrap();
    body["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn signer(set: &KeySet) -> Kid {
    set.default_signer().unwrap().kid().clone()
}

#[test]
fn a_key_lives_its_life() {
    let mut place = Place::new(|s| {
        s.rotate_every = Duration::from_secs(1_000);
        s.publish_ahead = Duration::from_secs(100);
        s.token_lifetime_max = Duration::from_secs(50);
        s.family_lifetime_max = Duration::from_secs(100_000);
    });
    let first = signer(&place.keyring.current());
    assert_eq!(place.tick_after(899).serial(), 1);
    let prepared = place.tick_after(1);
    assert_eq!(place.states(ES), [KeyState::Active, KeyState::Prepared]);
    let second = Kid::from(jwks_kids(&prepared)[1].as_str());
    assert_eq!(signer(&prepared), first);
    assert!(prepared.verify_key(second.as_str()).is_some(), "published, so it verifies");
    let rotated = place.tick_after(100);
    assert_eq!(signer(&rotated), second);
    assert_eq!(jwks_kids(&rotated), [second.to_string(), first.to_string()], "the active one first");
    assert_ne!(rotated.jwks().etag, prepared.jwks().etag);
    assert!(place.tick_after(109).verify_key(first.as_str()).is_some(), "50 s of life and 60 s of skew");
    let retired = place.tick_after(1);
    assert!(retired.verify_key(first.as_str()).is_none());
    assert!(!place.settings.directory.join(format!("signing-{first}.pem")).exists());
    assert!(!retired.is_tainted(first.as_str()));
    assert_eq!(place.states(KeyUse::Seal), [KeyState::Retiring, KeyState::Active], "families live on");
}

#[test]
fn what_an_older_sealing_key_sealed_still_opens() {
    let mut place = Place::new(|s| s.rotate_every = Duration::from_secs(10_000));
    let old = Arc::clone(place.keyring.current().sealer().unwrap());
    let mut sealed = Vec::new();
    old.seal(b"p", &[7; 24], Zeroizing::new(b"family".to_vec()), &mut sealed).unwrap();
    place.tick_after(6_400);
    let set = place.tick_after(3_600);
    assert_ne!(set.sealer().unwrap().id(), old.id());
    assert_eq!(set.opener(old.id()).unwrap().open(b"p", &[7; 24], &sealed).unwrap().as_slice(), b"family");
    place.elsewhere(Vec::new(), vec![Step::Taint(Kid::from(old.id().to_string()))]);
    assert!(place.tick_after(1).opener(old.id()).is_none(), "tainted: those sessions are over");
}

#[test]
fn a_leak() {
    let mut place = Place::new(|_| {});
    let leaked = signer(&place.keyring.current());
    place.elsewhere(Vec::new(), vec![Step::Taint(leaked.clone())]);
    let set = place.tick_after(0);
    assert!(set.verify_key(leaked.as_str()).is_none());
    assert!(set.is_tainted(leaked.as_str()));
    assert!(!jwks_kids(&set).contains(&leaked.to_string()));
    assert!(set.default_signer().is_some_and(|key| *key.kid() != leaked));
}

#[test]
fn tainting_the_only_imported_key_takes_it_out_although_nothing_replaces_it() {
    let mut place = Place::new(|_| {});
    // An ES256 gateway whose configuration now says RS256, with no key for it.
    place.settings.algorithms = vec![Algorithm::Rs256];
    let leaked = signer(&place.keyring.current());
    place.elsewhere(Vec::new(), vec![Step::Taint(leaked.clone())]);
    assert_eq!(place.keyring.follow(NOW).unwrap(), Reloaded::Changed);
    let set = place.keyring.current();
    assert!(set.default_signer().is_none() && set.verify_key(leaked.as_str()).is_none());
    assert!(matches!(Keyring::load(&place.settings), Err(KeyringError::NoSigner)));
}

#[test]
fn algorithms_side_by_side_the_default_first() {
    let place = Place::new(|s| s.algorithms = vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384]);
    let set = place.keyring.current();
    assert_eq!(set.algorithms().collect::<Vec<_>>(), place.settings.algorithms);
    let body: Value = serde_json::from_slice(&set.jwks().body).unwrap();
    let algorithms: Vec<&str> =
        body["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(algorithms, ["EdDSA", "ES256", "ES384"]);
    assert!(body["keys"].as_array().unwrap().iter().all(|key| key["use"] == "sig" && key.get("d").is_none()));
}

#[test]
fn a_set_that_lacks_a_key_with_live_tokens_is_never_served() {
    type Break = fn(&Place);
    let rows: [(&str, Break); 5] = [
        ("another gateway's keys", |p| {
            std::fs::remove_dir_all(&p.settings.directory).unwrap();
            initialise(&p.settings, NOW, &SystemEntropy).unwrap();
        }),
        ("the private part is gone", |p| {
            let kid = signer(&p.keyring.current());
            std::fs::remove_file(p.settings.directory.join(format!("signing-{kid}.pem"))).unwrap();
            touch(p);
        }),
        ("the manifest is gone", |p| {
            std::fs::remove_file(p.settings.directory.join(MANIFEST_NAME)).unwrap();
        }),
        ("the manifest is torn", |p| {
            let path = p.settings.directory.join(MANIFEST_NAME);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("the record is gone", |p| {
            let backend = FileBackend::new(&p.settings.directory);
            p.elsewhere(Vec::new(), vec![Step::Prepare(ES, Takeover::Now)]);
            let mut manifest = backend.manifest().unwrap();
            manifest.records.retain(|record| record.state != KeyState::Retiring);
            backend.write_manifest(&manifest).unwrap();
        }),
    ];
    for (name, break_one_thing) in rows {
        let mut place = Place::new(|_| {});
        let before = place.keyring.current();
        break_one_thing(&place);
        assert!(place.keyring.follow(NOW).is_err(), "{name}");
        let after = place.tick_after(1);
        assert!(Arc::ptr_eq(&before, &after), "{name}: the old set stays");
    }
}

/// The same manifest again, written anew.
fn touch(place: &Place) {
    let backend = FileBackend::new(&place.settings.directory);
    backend.write_manifest(&backend.manifest().unwrap()).unwrap();
}

#[test]
fn a_refused_set_is_taken_once_it_is_whole_again() {
    let mut place = Place::new(|_| {});
    let kid = signer(&place.keyring.current());
    let path = place.settings.directory.join(format!("signing-{kid}.pem"));
    let bytes = std::fs::read(&path).unwrap();
    place.elsewhere(Vec::new(), vec![Step::Prepare(ES, Takeover::WhenDue)]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(place.tick_after(1).serial(), 1);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(place.tick_after(1).serial(), 2, "the manifest is the same, the file is back");
}

#[test]
fn a_key_retired_by_force_is_let_go() {
    let mut place = Place::new(|_| {});
    let first = signer(&place.keyring.current());
    place.elsewhere(Vec::new(), vec![Step::Retire(first.clone())]);
    let set = place.tick_after(1);
    assert!(set.verify_key(first.as_str()).is_none());
    assert_ne!(signer(&set), first);
}

#[test]
fn a_restored_backup_does_not_bring_a_leaked_key_back() {
    let mut place = Place::new(|_| {});
    let leaked = signer(&place.keyring.current());
    let names = [MANIFEST_NAME.to_owned(), format!("signing-{leaked}.pem")];
    let backup: Vec<Vec<u8>> =
        names.iter().map(|name| std::fs::read(place.settings.directory.join(name)).unwrap()).collect();
    // The successor never signed a token, so nothing live is lost by going back; only the taint is.
    place.elsewhere(Vec::new(), vec![Step::Taint(leaked.clone())]);
    let clean = place.tick_after(1);
    let successor = signer(&clean);
    place.elsewhere(Vec::new(), vec![Step::Taint(successor)]);
    let clean = place.tick_after(1);
    let third = clean.records().iter().find(|one| one.state == KeyState::Active && one.usage == ES).unwrap();
    let backend = FileBackend::new(&place.settings.directory);
    let mut manifest = mintgate::keys::manifest::Manifest::from_bytes(&backup[0]).unwrap();
    manifest.records.iter_mut().for_each(|one| {
        if one.usage == ES {
            one.state = KeyState::Prepared;
        }
    });
    manifest.records.push(third.clone());
    backend.write_manifest(&manifest).unwrap();
    let path = place.settings.directory.join(&names[1]);
    std::fs::write(&path, &backup[1]).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(place.keyring.follow(NOW), Err(KeyringError::Revived(kid)) if kid == leaked));
    assert!(place.keyring.current().is_tainted(leaked.as_str()));
}

#[test]
fn a_stray_private_part_is_ignored() {
    let mut place = Place::new(|_| {});
    let new = NewKey::generate(ES, &SystemEntropy, NOW).unwrap();
    // Killed between the two writes: the file is there, no manifest names it.
    FileBackend::new(&place.settings.directory).write_private(&new.record, &new.private).unwrap();
    assert_eq!(place.tick_after(1).records().len(), 2);
    assert!(Keyring::load(&place.settings).unwrap().current().verify_key(new.record.id.as_str()).is_none());
}

#[test]
fn the_clock_going_back_changes_nothing() {
    let mut place = Place::new(|s| s.rotate_every = Duration::from_secs(10_000));
    place.tick_after(6_400);
    let rotated = place.tick_after(3_600);
    place.clock.set(UnixSeconds(0));
    let after = place.tick_after(1);
    assert!(Arc::ptr_eq(&rotated, &after));
}

#[test]
fn the_cache_header_follows_publish_ahead() {
    let place = Place::new(|_| {});
    let expected = "public, max-age=1080, stale-while-revalidate=540, stale-if-error=1620";
    assert_eq!(place.keyring.current().jwks().cache_control, expected);
    let etag = place.keyring.current().jwks().etag.clone();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() == 24, "{etag}");
}

#[test]
fn new_rules_are_served_at_once_and_refused_as_a_whole() {
    let place = Place::new(|s| s.algorithms = vec![Algorithm::Es256, Algorithm::EdDsa]);
    let mut settings = place.settings.clone();
    assert_eq!(place.keyring.change_rules(settings.rules(), NOW).unwrap(), Reloaded::Unchanged);
    settings.publish_ahead = Duration::from_secs(10);
    settings.algorithms.reverse();
    assert_eq!(place.keyring.change_rules(settings.rules(), NOW).unwrap(), Reloaded::Changed);
    let set = place.keyring.current();
    assert_eq!(set.default_signer().unwrap().algorithm(), Algorithm::EdDsa);
    assert_eq!(set.jwks().caching.max_age, 3);
    std::fs::remove_file(place.settings.directory.join(MANIFEST_NAME)).unwrap();
    assert!(place.keyring.change_rules(place.settings.rules(), NOW).is_err());
    assert_eq!(*place.keyring.rules(), settings.rules());
}

#[test]
fn sealing_ids_name_their_files() {
    let place = Place::new(|_| {});
    let set = place.keyring.current();
    let id = set.sealer().unwrap().id();
    let line = std::fs::read_to_string(place.settings.directory.join(format!("sealing-{id}.key"))).unwrap();
    let secret: [u8; 32] = mintgate::protocol::base64url::decode_array(line.trim().as_bytes()).unwrap();
    assert_eq!(SealingKey::new(&secret).id(), id);
}

/// The loop itself, on a paused clock of the runtime: two seconds after a command, its change is served.
#[test]
fn the_loop_notices_within_two_seconds_and_stops_when_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let place = Place::new(|_| {});
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let before = place.keyring.current();
    place.elsewhere(Vec::new(), vec![Step::Prepare(ES, Takeover::Now)]);
    runtime.block_on(async {
        let (keyring, clock) = (Arc::clone(&place.keyring), Arc::clone(&place.clock));
        let task = tokio::spawn(run(keyring, clock, Arc::new(SystemEntropy), stopped));
        let served = tokio::time::timeout(Duration::from_secs(2), async {
            while place.keyring.current().serial() == before.serial() {
                tokio::task::yield_now().await;
            }
        });
        served.await.expect("within two seconds");
        stop.send(true).unwrap();
        task.await.unwrap();
    });
    assert_ne!(signer(&place.keyring.current()), signer(&before));
}
