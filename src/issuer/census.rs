//! Who fetches what verifiers live by, and where they stand.

use std::net::IpAddr;

use crate::issuer::Issuer;
use crate::keys::census::survey::Survey;
use crate::keys::census::{Fetched, Who};
use crate::keys::plan::Warning;

/// A request by a verifier, as far as it says who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The query as it was written; `v=NAME` in it is a label.
    pub query: Option<&'a str>,
    /// The `User-Agent` header.
    pub agent: Option<&'a [u8]>,
    /// The peer.
    pub address: IpAddr,
}

impl Issuer {
    /// Counts a fetch of the key set or the feed.
    pub fn note(&self, caller: &Caller<'_>, fetched: Fetched<'_>) {
        let who = Who::of(caller.query, caller.agent, caller.address);
        self.keyring.census().note(&who, fetched, self.clock.now());
    }

    /// Who has fetched which key set.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let keys = self.keyring.peek();
        self.keyring.census().survey(keys.records(), &keys.jwks().etag, self.clock.now())
    }

    /// How many keys are due and wait for verifiers.
    #[must_use]
    pub fn keys_waiting(&self) -> usize {
        let warnings = self.keyring.plan(self.clock.now()).warnings;
        warnings.iter().filter(|warning| matches!(warning, Warning::Waiting(..))).count()
    }
}
