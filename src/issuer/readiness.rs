//! Readiness, split by what works: a balancer keeps sending what can be answered.

use serde::Serialize;

use crate::issuer::Issuer;

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
    /// Looks at keys and store.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let keys = self.keyring.current();
        let health = self.store.health();
        Readiness {
            issue: if keys.default_signer().is_some() { "ok" } else { "no_key" },
            refresh: match (keys.sealer().is_some(), health.is_ready()) {
                (false, _) => "no_key".to_owned(),
                (true, true) => "ok".to_owned(),
                (true, false) => health.to_string(),
            },
            verify: if keys.algorithms().next().is_some() { "ok" } else { "no_key" },
        }
    }
}
