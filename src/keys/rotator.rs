//! The loop that carries the plan out, and notices what others changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::ambient::{Clock, Entropy};
use crate::keys::backend::BackendError;
use crate::keys::change::ChangeError;
use crate::keys::keyring::{Keyring, Reloaded};
use crate::keys::plan::Step;

/// How often the manifest is looked at and the plan asked. Well inside [`crate::keys::caching::PICKUP`].
pub const TICK: Duration = Duration::from_millis(500);

/// A complaint that stays true is repeated this often.
const REPEAT_AFTER: Duration = Duration::from_secs(3_600);

/// Most complaints remembered; past it the oldest may be repeated early.
const COMPLAINTS_MAX: usize = 64;

/// Runs until `shutdown` turns true (or its sender is gone). Never fails: what goes wrong is logged, the current set
/// stays in service, and the next tick tries again.
pub async fn run(
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rotator = Rotator::new(keyring, clock, entropy);
    while !*shutdown.borrow() {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = shutdown.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
        }
        // File system calls block; a stuck disk must not hold up a worker that answers requests.
        let turn = tokio::task::spawn_blocking(move || {
            rotator.tick();
            rotator
        });
        match turn.await {
            Ok(back) => rotator = back,
            Err(error) => {
                tracing::error!(%error, "key rotation stopped");
                return;
            }
        }
    }
}

/// One gateway's hand on the keys. [`run`] ticks it; tests tick it by themselves.
pub struct Rotator {
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    complaints: Vec<(String, Duration)>,
    swept: bool,
}

impl Rotator {
    /// A rotator for this keyring.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keyring, clock, entropy, complaints: Vec::new(), swept: false }
    }

    /// Looks once: takes what changed, does what is due.
    pub fn tick(&mut self) {
        let now = self.clock.now();
        match self.keyring.follow(now) {
            Ok(Reloaded::Changed) => self.announce("another process changed the keys"),
            Ok(Reloaded::Unchanged) => {}
            Err(error) => self.complain(format!("key set not taken, the old one stays: {error}")),
        }
        if !self.swept {
            self.swept = true;
            if let Err(error) = self.keyring.sweep() {
                self.complain(format!("private parts of ended keys were not swept: {error}"));
            }
        }
        let plan = self.keyring.plan(now);
        for warning in &plan.warnings {
            self.complain(warning.to_string());
        }
        if plan.steps.is_empty() {
            return;
        }
        match self.keyring.advance(self.entropy.as_ref(), now) {
            Ok(done) => {
                for step in &done.steps {
                    report(step);
                }
                // At once, so that a key is published from the moment its record names.
                match self.keyring.reload(self.clock.now()) {
                    Ok(Reloaded::Changed) => self.announce("the plan changed the keys"),
                    Ok(Reloaded::Unchanged) => {}
                    Err(error) => self.complain(format!("key set not taken, the old one stays: {error}")),
                }
            }
            // Somebody else is at it; what is left to do will be due half a second later.
            Err(ChangeError::Backend(BackendError::Busy(_))) => {}
            Err(error) => self.complain(format!("the key plan could not be carried out: {error}")),
        }
    }

    fn announce(&self, why: &str) {
        let set = self.keyring.peek();
        let active = set.default_signer().map(|key| key.kid().to_string()).unwrap_or_default();
        tracing::info!(serial = set.serial(), active, "{why}");
    }

    /// Logs a complaint, but the same one only once an hour.
    fn complain(&mut self, what: String) {
        let now = self.clock.monotonic();
        self.complaints.retain(|(_, at)| now.saturating_sub(*at) < REPEAT_AFTER);
        if self.complaints.iter().all(|(known, _)| *known != what) {
            tracing::warn!("{what}");
            if self.complaints.len() >= COMPLAINTS_MAX {
                self.complaints.remove(0);
            }
            self.complaints.push((what, now));
        }
    }
}

fn report(step: &Step) {
    match step {
        Step::Adopt(record) => tracing::info!(kid = %record.id, usage = %record.usage, "key prepared"),
        Step::Activate(id) => tracing::info!(kid = %id, "key activated"),
        Step::Retire(id) => tracing::info!(kid = %id, "key retired"),
        Step::Taint(id) => tracing::warn!(kid = %id, "key tainted"),
        Step::Prepare(..) | Step::Schedule(_) | Step::Widen(_) | Step::Forget(_) => {}
    }
}
