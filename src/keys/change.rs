//! Changing the keys: decide under the lock, store the private parts, then the manifest, then delete what ended.

use zeroize::Zeroizing;

use crate::ambient::Entropy;
use crate::keys::backend::{BackendError, KeyBackend, Patience};
use crate::keys::import::Imported;
use crate::keys::lifecycle::{Forbidden, KeyRecord, KeyUse, Rules};
use crate::keys::manifest::Manifest;
use crate::keys::plan::{self, Step, Takeover, Warning};
use crate::keys::sealing::SealingKey;
use crate::keys::signing::{KeyError, SigningKey};
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// Why the keys were not changed. Nothing was then.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The backend refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The records do not allow it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is in the set already; a tainted or retired one does not come back.
    #[error("key {0} is in the set already, as {1}")]
    Exists(Kid, crate::keys::lifecycle::KeyState),
}

/// A key that has its private part and is not stored yet.
pub struct NewKey {
    /// Its record, prepared.
    pub record: KeyRecord,
    /// PKCS#8 DER, or 32 bytes of a sealing key.
    pub private: Zeroizing<Vec<u8>>,
}

impl NewKey {
    /// Generates a key.
    ///
    /// # Errors
    /// `RsaGenerate` for RS256, `Entropy`.
    pub fn generate(usage: KeyUse, entropy: &dyn Entropy, now: UnixSeconds) -> Result<Self, KeyError> {
        match usage {
            KeyUse::Sign(algorithm) => {
                let private = SigningKey::generate(algorithm)?;
                let key = SigningKey::from_der(algorithm, &private)?;
                let public = Some(key.public().clone());
                Ok(Self { record: KeyRecord::prepared(key.kid().clone(), usage, public, now), private })
            }
            KeyUse::Seal => {
                let secret = SealingKey::generate(entropy).map_err(|_| KeyError::Entropy)?;
                let id = Kid::from(SealingKey::new(&secret).id().to_string());
                let private = Zeroizing::new(secret.to_vec());
                Ok(Self { record: KeyRecord::prepared(id, usage, None, now), private })
            }
        }
    }

    /// A key from elsewhere.
    #[must_use]
    pub fn imported(imported: Imported, now: UnixSeconds) -> Self {
        let key = &imported.key;
        let usage = KeyUse::Sign(key.algorithm());
        let record = KeyRecord::prepared(key.kid().clone(), usage, Some(key.public().clone()), now);
        Self { record, private: imported.pkcs8 }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The steps, in order; those that made a key name it as `Adopt`.
    pub steps: Vec<Step>,
    /// What could not be done and needs a person.
    pub warnings: Vec<Warning>,
    /// The set afterwards.
    pub manifest: Manifest,
}

/// What carries out a change.
pub struct Changer<'a> {
    /// Where the keys are.
    pub backend: &'a dyn KeyBackend,
    /// How they live.
    pub rules: &'a Rules,
    /// Where new sealing keys come from.
    pub entropy: &'a dyn Entropy,
    /// The time of the change.
    pub now: UnixSeconds,
}

impl Changer<'_> {
    /// Decides under the lock, on the newest manifest, and carries the steps out in an order that survives a crash:
    /// 1. private parts of new keys are stored (nobody names them yet),
    /// 2. the manifest is replaced (the change happens here, all of it or nothing),
    /// 3. private parts of keys that ended are deleted (nobody names them any more).
    ///
    /// A use that the steps leave without an active key gets another one in the same change.
    ///
    /// # Errors
    /// Whatever `decide` says, or a [`ChangeError`]. The set is unchanged then.
    pub fn carry_out<E: From<ChangeError>>(
        &self,
        patience: Patience,
        mut new_keys: Vec<NewKey>,
        decide: impl FnOnce(&Manifest) -> Result<Vec<Step>, E>,
    ) -> Result<Done, E> {
        let lock = self.backend.lock(patience).map_err(ChangeError::from)?;
        let (done, before) = self.rehearse_with(&mut new_keys, decide)?;
        if done.steps.is_empty() {
            return Ok(done);
        }
        for new in &new_keys {
            self.backend.write_private(&new.record, &new.private).map_err(ChangeError::from)?;
        }
        self.backend.write_manifest(&done.manifest).map_err(ChangeError::from)?;
        let ended_before = |id: &Kid| before.iter().any(|record| record.id == *id && record.state.has_ended());
        for record in done.manifest.records.iter().filter(|one| one.state.has_ended() && !ended_before(&one.id)) {
            // The change has happened. What could not be deleted now is found by `sweep` and by `keys doctor`.
            if let Err(error) = self.backend.delete_private(record) {
                tracing::warn!(kid = %record.id, %error, "the private part of an ended key was not deleted");
            }
        }
        drop(lock);
        Ok(done)
    }

    /// What [`Changer::carry_out`] would do now; nothing is stored, and keys it makes are thrown away.
    ///
    /// # Errors
    /// As [`Changer::carry_out`].
    pub fn rehearse<E: From<ChangeError>>(
        &self,
        mut new_keys: Vec<NewKey>,
        decide: impl FnOnce(&Manifest) -> Result<Vec<Step>, E>,
    ) -> Result<Done, E> {
        self.rehearse_with(&mut new_keys, decide).map(|(done, _)| done)
    }

    /// The outcome, and the records before.
    fn rehearse_with<E: From<ChangeError>>(
        &self,
        new_keys: &mut Vec<NewKey>,
        decide: impl FnOnce(&Manifest) -> Result<Vec<Step>, E>,
    ) -> Result<(Done, Vec<KeyRecord>), E> {
        let mut manifest = match self.backend.manifest() {
            Ok(manifest) => manifest,
            // The first key of all makes the set.
            Err(BackendError::NotInitialised(_)) => Manifest::default(),
            Err(error) => return Err(ChangeError::from(error).into()),
        };
        let steps = decide(&manifest)?;
        let before = manifest.records.clone();
        let mut done = Done::default();
        self.apply_all(steps, &mut manifest.records, new_keys, &mut done.steps)?;
        if !done.steps.is_empty() {
            let (urgent, warnings) = plan::takeover(&manifest.records, self.rules, self.now);
            self.apply_all(urgent, &mut manifest.records, new_keys, &mut done.steps)?;
            done.warnings = warnings;
            manifest.serial = manifest.serial.saturating_add(1);
        }
        done.manifest = manifest;
        Ok((done, before))
    }

    fn apply_all(
        &self,
        steps: Vec<Step>,
        records: &mut Vec<KeyRecord>,
        new_keys: &mut Vec<NewKey>,
        done: &mut Vec<Step>,
    ) -> Result<(), ChangeError> {
        for step in steps {
            let Step::Prepare(usage, when) = step else {
                if let Step::Adopt(record) = &step
                    && let Some(known) = records.iter().find(|known| known.id == record.id)
                {
                    return Err(ChangeError::Exists(known.id.clone(), known.state));
                }
                plan::apply(records, &step, self.rules, self.now)?;
                done.push(step);
                continue;
            };
            let new = NewKey::generate(usage, self.entropy, self.now)?;
            let id = new.record.id.clone();
            let then = match when {
                Takeover::WhenDue => None,
                Takeover::WhenReady => Some(Step::Schedule(id)),
                Takeover::Now => Some(Step::Activate(id)),
            };
            for step in [Some(Step::Adopt(Box::new(new.record.clone()))), then].into_iter().flatten() {
                plan::apply(records, &step, self.rules, self.now)?;
                done.push(step);
            }
            new_keys.push(new);
        }
        Ok(())
    }

    /// Deletes private parts that a crash left behind after their keys ended.
    ///
    /// # Errors
    /// A [`BackendError`].
    pub fn sweep(&self, patience: Patience) -> Result<(), BackendError> {
        let _lock = self.backend.lock(patience)?;
        let manifest = self.backend.manifest()?;
        manifest.records.iter().filter(|one| one.state.has_ended()).try_for_each(|one| self.backend.delete_private(one))
    }
}
