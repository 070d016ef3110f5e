//! The store that is memory alone: for tests and `dev`. It forgets with the process (see [`Settings::knows_since`]).

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf, FamilyFacts, Rotated, Rotation, Space};
use crate::store::shards::{NoJournal, Shards};
use crate::store::{Figures, Health, Pending, Reading, Settings, Spent, Store};

/// State in memory and nowhere else: every verb answers at once.
#[derive(Debug)]
pub struct MemoryStore {
    shards: Shards,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { shards: Shards::new(settings) }
    }
}

impl Store for MemoryStore {
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated> {
        Box::pin(async move { self.shards.rotate(&order, now, &NoJournal) })
    }

    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()> {
        Box::pin(async move { Ok(self.shards.commit(&changes, now, &NoJournal)?) })
    }

    fn spend(&self, space: Space, id: [u8; 16], ends_at: UnixSeconds, now: UnixSeconds) -> Pending<'_, Spent> {
        Box::pin(async move { Ok(self.shards.spend(&Change::SpendId { space, id, ends_at }, now, &NoJournal)?) })
    }

    fn read_clock(&self, now: UnixSeconds) -> Reading {
        self.shards.read_clock(now)
    }

    fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        self.shards.family(family, now)
    }

    fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        self.shards.is_denied(jti, expires_at, now)
    }

    fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        self.shards.epoch(of)
    }

    fn revocations(&self) -> (UnixSeconds, Vec<Change>) {
        self.shards.revocations()
    }

    fn figures(&self) -> Figures {
        self.shards.figures()
    }

    fn health(&self) -> Health {
        self.shards.health()
    }

    fn tick(&self, now: UnixSeconds) {
        self.shards.tick(now);
    }
}
