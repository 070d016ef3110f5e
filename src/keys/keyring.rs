//! The current key set, replaced as a whole or not at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::ambient::Entropy;
use crate::keys::backend::file::FileBackend;
use crate::keys::backend::{BackendError, KeyBackend, Patience, Stamp};
use crate::keys::census::{self, Census};
use crate::keys::change::{ChangeError, Changer, Done};
use crate::keys::keyset::KeySet;
use crate::keys::lifecycle::{Automatic, KeyUse, Rules};
use crate::keys::plan::{Plan, Step, Takeover, plan_with};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// How far clocks may differ, and how late another gateway may learn of a rotation.
pub const SKEW: Duration = Duration::from_secs(60);

/// Checked values of the `[keys]` part of the configuration, and the lifetimes that keys must outlive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the keys are.
    pub directory: PathBuf,
    /// The algorithms to sign with; the first is the default.
    pub algorithms: Vec<Algorithm>,
    /// How long a key is active. Zero: until somebody rotates.
    pub rotate_every: Duration,
    /// How long a key is published before it signs.
    pub publish_ahead: Duration,
    /// The longest life of a signed token.
    pub token_lifetime_max: Duration,
    /// The longest life of a family, so of anything sealed.
    pub family_lifetime_max: Duration,
    /// Whether the calendar replaces keys.
    pub automatic: Automatic,
    /// How verifiers are counted, and how long a key waits for them.
    pub census: census::Settings,
}

impl Settings {
    /// The defaults: ES256, a new key every 30 days, published one hour ahead; tokens live an hour at most,
    /// families 90 days.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        const HOUR: u64 = 3_600;
        Self {
            directory: directory.into(),
            algorithms: vec![Algorithm::Es256],
            rotate_every: Duration::from_secs(30 * 24 * HOUR),
            publish_ahead: Duration::from_secs(HOUR),
            token_lifetime_max: Duration::from_secs(HOUR),
            family_lifetime_max: Duration::from_secs(90 * 24 * HOUR),
            automatic: Automatic::On,
            census: census::Settings::default(),
        }
    }

    /// The rules of the plan.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            algorithms: self.algorithms.clone(),
            rotate_every: self.rotate_every,
            publish_ahead: self.publish_ahead,
            token_lifetime_max: self.token_lifetime_max,
            family_lifetime_max: self.family_lifetime_max,
            skew: SKEW,
            automatic: self.automatic,
        }
    }
}

/// Why a key set was not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// It could not be read whole.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// It lacks a key whose tokens may be alive.
    #[error("refused: the new key set lacks key {0}, whose tokens may still be alive; bring it back, or taint it")]
    Lost(Kid),
    /// It brings back a key that has ended.
    #[error("refused: the new key set brings back key {0}, which was retired or tainted")]
    Revived(Kid),
    /// Nothing would sign: not a set to start with.
    #[error("the key set has no active signing key; run `mintgate keys generate`")]
    NoSigner,
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The set is as it was.
    Unchanged,
    /// A new set is served.
    Changed,
}

/// Holds the current key set. Reading it takes no lock.
pub struct Keyring {
    current: ArcSwap<KeySet>,
    backend: Box<dyn KeyBackend>,
    rules: ArcSwap<Rules>,
    census: Census,
    /// Of the manifest that was taken last. Reloads go one at a time.
    seen: Mutex<Option<Stamp>>,
}

/// Reads that meet a change in the middle are repeated this often.
const READ_ATTEMPTS: u32 = 3;

impl Keyring {
    /// Reads the key set from the configured directory.
    ///
    /// # Errors
    /// A [`KeyringError`] that names the file: the server does not start on a doubtful key set.
    pub fn load(settings: &Settings) -> Result<Self, KeyringError> {
        let keyring = Self::with_backend(Box::new(FileBackend::new(&settings.directory)), settings.rules())?;
        keyring.census.configure(settings.census);
        Ok(keyring)
    }

    /// Reads the key set from any backend.
    ///
    /// # Errors
    /// As [`Keyring::load`].
    pub fn with_backend(backend: Box<dyn KeyBackend>, rules: Rules) -> Result<Self, KeyringError> {
        let stamp = backend.stamp()?;
        let set = read(backend.as_ref(), &rules)?;
        if set.default_signer().is_none() {
            return Err(KeyringError::NoSigner);
        }
        Ok(Self {
            current: ArcSwap::from_pointee(set),
            backend,
            rules: ArcSwap::from_pointee(rules),
            census: Census::new(census::Settings::default()),
            seen: Mutex::new(Some(stamp)),
        })
    }

    /// The current set. Take it once for each request: it does not change under the reader.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        self.current.load_full()
    }

    /// The current set without touching its reference count; for short uses.
    #[must_use]
    pub fn peek(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// The rules this keyring lives by.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Who has fetched the key set.
    #[must_use]
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// What is to be done now: from the current records, the rules, and who is behind.
    #[must_use]
    pub fn plan(&self, now: UnixSeconds) -> Plan {
        let current = self.peek();
        plan_with(current.records(), &self.rules.load(), &self.census.lag(current.records(), now), now)
    }

    /// Lives by other rules from now on, and serves the key set that follows from them. The directory stays the one
    /// it was loaded from. `manual/rotation.rs` says what shortening `publish_ahead` asks for.
    ///
    /// # Errors
    /// As [`Keyring::reload`]; the old rules stay in force then.
    pub fn change_rules(&self, rules: Rules, now: UnixSeconds) -> Result<Reloaded, KeyringError> {
        let before = self.rules.swap(Arc::new(rules));
        self.reload(now).inspect_err(|_| self.rules.store(before))
    }

    /// Takes the set that the backend holds now, all of it or nothing.
    ///
    /// # Errors
    /// A [`KeyringError`]; the current set stays in service.
    pub fn reload(&self, now: UnixSeconds) -> Result<Reloaded, KeyringError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The stamp first: a manifest that is replaced while we read is looked at again.
        let stamp = self.backend.stamp()?;
        let next = read(self.backend.as_ref(), &self.rules.load())?;
        let current = self.current.load();
        if let Some(lost) = current.lost_in(&next, now) {
            return Err(KeyringError::Lost(lost.id.clone()));
        }
        if let Some(revived) = current.revived_in(&next) {
            return Err(KeyringError::Revived(revived.id.clone()));
        }
        // A set without a signer is taken: a tainted key must go, even if nothing can sign in its place.
        // A refused set is looked at again each time: a missing file may come back, a live token may end.
        *seen = Some(stamp);
        let same_plan = next.records() == current.records() && next.jwks() == current.jwks();
        if next.serial() == current.serial() && same_plan && next.algorithms().eq(current.algorithms()) {
            return Ok(Reloaded::Unchanged);
        }
        self.current.store(Arc::new(next));
        Ok(Reloaded::Changed)
    }

    /// Reloads if the manifest is another one than the one that was taken last.
    ///
    /// # Errors
    /// As [`Keyring::reload`].
    pub fn follow(&self, now: UnixSeconds) -> Result<Reloaded, KeyringError> {
        let stamp = self.backend.stamp()?;
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen == Some(stamp) { Ok(Reloaded::Unchanged) } else { self.reload(now) }
    }

    /// Changes the stored keys as the plan says, if nobody changed them since the current set was read.
    ///
    /// # Errors
    /// A [`ChangeError`]; `Backend(Busy)` if somebody else is changing them right now.
    pub fn advance(&self, entropy: &dyn Entropy, now: UnixSeconds) -> Result<Done, ChangeError> {
        let serial = self.peek().serial();
        let rules = self.rules();
        let changer = Changer { backend: self.backend.as_ref(), rules: &rules, entropy, now };
        changer.carry_out(Patience::None, Vec::new(), |manifest| {
            // Another set than the one in service, or none at all: it is for `follow` to judge it first.
            let same = manifest.serial == serial;
            let lag = || self.census.lag(&manifest.records, now);
            Ok(if same { plan_with(&manifest.records, &rules, &lag(), now).steps } else { Vec::new() })
        })
    }

    /// Deletes private parts that a crash left behind after their keys ended.
    ///
    /// # Errors
    /// A [`BackendError`].
    pub fn sweep(&self) -> Result<(), BackendError> {
        let current = self.peek();
        let nobody = crate::ambient::SystemEntropy;
        let rules = self.rules();
        let changer = Changer { backend: self.backend.as_ref(), rules: &rules, entropy: &nobody, now: UnixSeconds(0) };
        if current.records().iter().any(|record| record.state.has_ended()) {
            changer.sweep(Patience::None)?;
        }
        Ok(())
    }
}

fn read(backend: &dyn KeyBackend, rules: &Rules) -> Result<KeySet, BackendError> {
    let mut attempt = 1;
    loop {
        let manifest = backend.manifest()?;
        match KeySet::build(&manifest, backend, rules) {
            // A key ended between our reading of the manifest and of its file: the next manifest knows.
            Err(BackendError::Missing(_)) if attempt < READ_ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

/// The keys of a new gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// The signing keys, the default first.
    pub signing: Vec<Kid>,
    /// The sealing key.
    pub sealing: Kid,
}

/// Makes the directory with one active signing key for each algorithm and an active sealing key.
///
/// RS256 keys cannot be generated; they are left out if another algorithm is named, to be imported later.
///
/// # Errors
/// `Exists` (of the backend) if there is a key set already: nothing is touched then. `Key(RsaGenerate)` if RS256 is
/// the only algorithm.
pub fn initialise(settings: &Settings, now: UnixSeconds, entropy: &dyn Entropy) -> Result<Initialised, ChangeError> {
    let backend = FileBackend::new(&settings.directory);
    backend.create()?;
    let rules = settings.rules();
    let possible = rules.algorithms.iter().filter(|algorithm| **algorithm != Algorithm::Rs256);
    let mut uses: Vec<KeyUse> = possible.map(|algorithm| KeyUse::Sign(*algorithm)).collect();
    if uses.is_empty() {
        return Err(ChangeError::Key(crate::keys::signing::KeyError::RsaGenerate));
    }
    uses.push(KeyUse::Seal);
    let changer = Changer { backend: &backend, rules: &rules, entropy, now };
    let done = changer.carry_out(Patience::Seconds, Vec::new(), |manifest| {
        if manifest.serial > 0 {
            return Err(ChangeError::Backend(BackendError::Exists(settings.directory.clone())));
        }
        Ok(uses.into_iter().map(|usage| Step::Prepare(usage, Takeover::Now)).collect())
    })?;
    let ids = |seal: bool| {
        let records = done.manifest.records.iter().filter(move |one| (one.usage == KeyUse::Seal) == seal);
        records.map(|record| record.id.clone())
    };
    let sealing = ids(true).next().ok_or(ChangeError::Key(crate::keys::signing::KeyError::Entropy))?;
    Ok(Initialised { signing: ids(false).collect(), sealing })
}
