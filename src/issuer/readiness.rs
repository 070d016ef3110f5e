//! Readiness, split by what works: a balancer keeps sending what can be answered.

use serde::Serialize;

use crate::issuer::Issuer;
use crate::store::Health;

/// What works right now; each is `ok` or the reason why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Signing access tokens.
    pub issue: &'static str,
    /// Refresh and revocation.
    pub refresh: String,
    /// Keys, introspection, verification.
    pub verify: &'static str,
}

impl Readiness {
    /// Whether all of it works.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issue == "ok" && self.refresh == "ok" && self.verify == "ok"
    }
}

impl Issuer {
    /// Tells the time to what lives by it, and publishes what nobody asked for. Call it about once a second.
    pub fn tick(&self) {
        self.store.tick(self.clock.now());
        self.note_tainted_keys(&self.keyring.peek(), self.now());
    }

    /// Looks at clock, keys and store. The clock itself, not what the last tick found: it may be set at any moment.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let keys = self.keyring.current();
        let behind = self.store.read_clock(self.clock.now()).behind.is_some();
        let health = match self.store.health() {
            Health::Ready | Health::ClockBehind if behind => Health::ClockBehind,
            // It has caught up since the last tick.
            Health::ClockBehind => Health::Ready,
            health => health,
        };
        Readiness {
            issue: match (keys.default_signer().is_some(), behind) {
                (false, _) => "no_key",
                (true, true) => "clock_behind",
                (true, false) => "ok",
            },
            refresh: match (keys.sealer().is_some(), health.is_ready()) {
                (false, _) => "no_key".to_owned(),
                (true, true) => "ok".to_owned(),
                (true, false) => health.to_string(),
            },
            verify: if keys.algorithms().next().is_some() { "ok" } else { "no_key" },
        }
    }
}
