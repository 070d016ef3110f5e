//! The store that is memory alone: for tests and `dev`. It forgets with the process (see [`Settings::knows_since`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Applied, Change, EpochOf, FamilyFacts, Full, Quota, Rotated, Rotation, Space, State};
use crate::store::{Figures, Health, Pending, Settings, Spent, Store, StoreError};

/// Shards of what is found by a random id: enough that requests on different families rarely meet.
const SHARDS: usize = 64;

/// State in memory, sharded: readers of one shard share its lock, different shards share nothing.
///
/// Epochs lie apart, under one lock that a rotation holds for reading while it changes its family's shard. So an
/// epoch moves either before the rotation, which then sees it, or after the rotation is done. Locks are always taken in
/// this order: epochs, then one shard; never two shards.
#[derive(Debug)]
pub struct MemoryStore {
    settings: Settings,
    quota: Arc<Quota>,
    epochs: RwLock<State>,
    shards: Vec<RwLock<State>>,
    /// The latest wall time seen, by anyone.
    latest: AtomicU64,
    /// The wall time of the last tick, which may be earlier.
    ticked: AtomicU64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let quota = Arc::new(Quota::new(settings.entries_max));
        let shard = || RwLock::new(State::new(Arc::clone(&quota)));
        Self {
            settings,
            epochs: shard(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            latest: AtomicU64::new(0),
            ticked: AtomicU64::new(0),
            quota,
        }
    }

    /// The shard of a random id, by its last byte.
    fn shard(&self, id: [u8; 16]) -> &RwLock<State> {
        let [.., last] = id;
        // There is a shard for each remainder; the other arm only spares a panic that cannot happen.
        self.shards.get(usize::from(last) % SHARDS).unwrap_or(&self.epochs)
    }

    /// The time to decide with: never earlier than one it decided with before, so a clock that goes back revives
    /// nothing. Writes only when a second has passed, so readers do not fight for the line.
    fn observe(&self, now: UnixSeconds) -> UnixSeconds {
        let latest = self.latest.load(Ordering::Acquire);
        if now.0 <= latest {
            return UnixSeconds(latest);
        }
        UnixSeconds(self.latest.fetch_max(now.0, Ordering::AcqRel).max(now.0))
    }

    fn is_behind(&self, now: UnixSeconds, latest: UnixSeconds) -> bool {
        now.after(self.settings.clock_tolerance) < latest
    }

    fn rotate_now(&self, order: &Rotation, now: UnixSeconds) -> Result<Rotated, StoreError> {
        let latest = self.observe(now);
        if self.is_behind(now, latest) {
            return Err(StoreError::ClockBehind);
        }
        if order.auth_time < self.settings.knows_since {
            return Ok(Rotated::Revoked);
        }
        let epochs = read(&self.epochs);
        if epochs.is_over(order) {
            return Ok(Rotated::Revoked);
        }
        let mut shard = write(self.shard(order.family.0));
        Ok(shard.rotate(order, latest)?)
    }

    fn apply(&self, change: &Change, now: UnixSeconds) -> Result<Applied, Full> {
        let lock = match change {
            Change::RotateFamily { family, .. } | Change::RevokeFamily { family } => self.shard(family.0),
            Change::DenyJti { jti, .. } | Change::DenyUndatedJti { jti, .. } => self.shard(jti.0),
            Change::SpendId { id, .. } => self.shard(*id),
            Change::MoveEpoch { .. } => &self.epochs,
        };
        write(lock).apply(change, now)
    }

    fn spend_now(&self, change: &Change, now: UnixSeconds) -> Result<Spent, StoreError> {
        let latest = self.observe(now);
        if change.ends_at().has_passed(latest) {
            return Ok(Spent::Again);
        }
        Ok(match self.apply(change, latest)? {
            Applied::New => Spent::First,
            Applied::Known | Applied::Ended => Spent::Again,
        })
    }
}

impl Store for MemoryStore {
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated> {
        Box::pin(async move { self.rotate_now(&order, now) })
    }

    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()> {
        Box::pin(async move {
            let latest = self.observe(now);
            for change in &changes {
                self.apply(change, latest)?;
            }
            Ok(())
        })
    }

    fn spend(&self, space: Space, id: [u8; 16], ends_at: UnixSeconds, now: UnixSeconds) -> Pending<'_, Spent> {
        Box::pin(async move { self.spend_now(&Change::SpendId { space, id, ends_at }, now) })
    }

    fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        let latest = self.observe(now);
        read(self.shard(family.0)).family(family, latest)
    }

    fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        let latest = self.observe(now);
        read(self.shard(jti.0)).is_denied(jti, expires_at, latest)
    }

    fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        read(&self.epochs).epoch(of)
    }

    fn revocations(&self) -> Vec<Change> {
        let all = self.shards.iter().chain([&self.epochs]).flat_map(|shard| read(shard).to_changes());
        all.filter(|change| !matches!(change, Change::RotateFamily { .. } | Change::SpendId { .. })).collect()
    }

    fn figures(&self) -> Figures {
        let shards = self.shards.iter().map(|shard| read(shard).figures());
        let state = shards.fold(read(&self.epochs).figures(), crate::state::Figures::plus);
        Figures { state, entries_max: self.settings.entries_max }
    }

    fn health(&self) -> Health {
        let ticked = UnixSeconds(self.ticked.load(Ordering::Acquire));
        let latest = UnixSeconds(self.latest.load(Ordering::Acquire));
        if self.is_behind(ticked, latest) && ticked > UnixSeconds(0) {
            return Health::ClockBehind;
        }
        if self.quota.used() >= self.quota.entries_max() { Health::Full } else { Health::Ready }
    }

    fn tick(&self, now: UnixSeconds) {
        self.ticked.store(now.0, Ordering::Release);
        let latest = self.observe(now);
        for lock in self.shards.iter().chain([&self.epochs]) {
            // The guard is gone at the end of this statement; freeing the memory keeps nobody waiting.
            let ended = write(lock).detach_ended(latest);
            drop(ended);
        }
    }
}

/// A panic under the lock leaves nothing half done: a change is one merge into one table. So the state behind a
/// poisoned lock is whole, and refusing it would turn one failed request into an outage.
fn read(lock: &RwLock<State>) -> RwLockReadGuard<'_, State> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(lock: &RwLock<State>) -> RwLockWriteGuard<'_, State> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
