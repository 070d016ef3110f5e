//! The state in memory, behind locks: what every engine on one machine asks and changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Applied, Change, EpochOf, FamilyFacts, Full, Quota, Rotated, Rotation, State};
use crate::store::{Figures, Health, Reading, Settings, Spent, StoreError};

/// Shards of what is found by a random id: enough that requests on different families rarely meet.
const SHARDS: usize = 64;

/// Is told each change that was made, while the lock it was made under is still held. So two changes of one entry come
/// in the order in which they happened, and whoever has seen a change in memory comes after it.
pub(super) trait Journal {
    /// Takes a note of `change`. Short, and never waits for a disk.
    fn note(&self, change: &Change, now: UnixSeconds);
}

/// Keeps no journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoJournal;

impl Journal for NoJournal {
    fn note(&self, _: &Change, _: UnixSeconds) {}
}

/// State in memory, sharded: readers of one shard share its lock, different shards share nothing.
///
/// Epochs lie apart, under one lock that a rotation holds for reading while it changes its family's shard. So an
/// epoch moves either before the rotation, which then sees it, or after the rotation is done. Locks are always taken in
/// this order: epochs, then one shard, then the journal's own; never two shards.
#[derive(Debug)]
pub(super) struct Shards {
    settings: Settings,
    quota: Arc<Quota>,
    epochs: RwLock<State>,
    shards: Vec<RwLock<State>>,
    /// The latest wall time seen, by anyone.
    latest: AtomicU64,
    /// The wall time of the last tick, which may be earlier.
    ticked: AtomicU64,
}

impl Shards {
    pub(super) fn new(settings: Settings) -> Self {
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

    /// A log-in before `since` is refused from now on; for engines that learn it when they open.
    pub(super) fn know_since(&mut self, since: UnixSeconds) {
        self.settings.knows_since = self.settings.knows_since.max(since);
    }

    /// The shard of a random id, by its last byte.
    fn shard(&self, id: [u8; 16]) -> &RwLock<State> {
        let [.., last] = id;
        // There is a shard for each remainder; the other arm only spares a panic that cannot happen.
        self.shards.get(usize::from(last) % SHARDS).unwrap_or(&self.epochs)
    }

    /// The time to decide with: never earlier than one it decided with before, so a clock that goes back revives
    /// nothing. Writes only when a second has passed, so readers do not fight for the line.
    pub(super) fn observe(&self, now: UnixSeconds) -> UnixSeconds {
        let latest = self.latest.load(Ordering::Acquire);
        if now.0 <= latest {
            return UnixSeconds(latest);
        }
        UnixSeconds(self.latest.fetch_max(now.0, Ordering::AcqRel).max(now.0))
    }

    fn is_behind(&self, now: UnixSeconds, latest: UnixSeconds) -> bool {
        now.after(self.settings.clock_tolerance) < latest
    }

    pub(super) fn read_clock(&self, now: UnixSeconds) -> Reading {
        let time = self.observe(now);
        Reading { time, behind: self.is_behind(now, time).then(|| time.since(now)) }
    }

    pub(super) fn rotate(
        &self,
        order: &Rotation,
        now: UnixSeconds,
        journal: &impl Journal,
    ) -> Result<Rotated, StoreError> {
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
        let (family, from) = (order.family, order.from);
        let mut shard = write(self.shard(family.0));
        let rotated = shard.rotate(order, latest)?;
        match rotated {
            Rotated::Advanced { to } => journal.note(&Change::RotateFamily { family, from, to, at: latest }, latest),
            Rotated::Reused => journal.note(&Change::RevokeFamily { family }, latest),
            Rotated::Retry { .. } | Rotated::Revoked => (),
        }
        Ok(rotated)
    }

    fn apply(&self, change: &Change, now: UnixSeconds, journal: &impl Journal) -> Result<Applied, Full> {
        let lock = match change {
            Change::RotateFamily { family, .. } | Change::RevokeFamily { family } => self.shard(family.0),
            Change::DenyJti { jti, .. } | Change::DenyUndatedJti { jti, .. } => self.shard(jti.0),
            Change::SpendId { id, .. } => self.shard(*id),
            Change::MoveEpoch { .. } => &self.epochs,
        };
        let mut state = write(lock);
        let applied = state.apply(change, now)?;
        // One that is known is noted again: what it found may have been put there by a change that is not lasting yet,
        // and its own entry in the log costs less than finding that out.
        if applied != Applied::Ended {
            journal.note(change, now);
        }
        Ok(applied)
    }

    pub(super) fn commit(&self, changes: &[Change], now: UnixSeconds, journal: &impl Journal) -> Result<(), Full> {
        let latest = self.observe(now);
        changes.iter().try_for_each(|change| self.apply(change, latest, journal).map(drop))
    }

    pub(super) fn spend(&self, change: &Change, now: UnixSeconds, journal: &impl Journal) -> Result<Spent, Full> {
        let latest = self.observe(now);
        if change.ends_at().has_passed(latest) {
            return Ok(Spent::Again);
        }
        Ok(match self.apply(change, latest, journal)? {
            Applied::New => Spent::First,
            Applied::Known | Applied::Ended => Spent::Again,
        })
    }

    pub(super) fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        let latest = self.observe(now);
        read(self.shard(family.0)).family(family, latest)
    }

    pub(super) fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        let latest = self.observe(now);
        read(self.shard(jti.0)).is_denied(jti, expires_at, latest)
    }

    pub(super) fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        read(&self.epochs).epoch(of)
    }

    pub(super) fn figures(&self) -> Figures {
        let shards = self.shards.iter().map(|shard| read(shard).figures());
        let state = shards.fold(read(&self.epochs).figures(), crate::state::Figures::plus);
        Figures { state, entries_max: self.settings.entries_max, log_bytes: 0 }
    }

    /// How many entries there are, without a lock.
    pub(super) fn entries(&self) -> usize {
        self.quota.used()
    }

    pub(super) fn health(&self) -> Health {
        let ticked = UnixSeconds(self.ticked.load(Ordering::Acquire));
        let latest = UnixSeconds(self.latest.load(Ordering::Acquire));
        if self.is_behind(ticked, latest) && ticked > UnixSeconds(0) {
            return Health::ClockBehind;
        }
        if self.quota.used() >= self.quota.entries_max() { Health::Full } else { Health::Ready }
    }

    /// Takes note of the wall time, frees what has ended, and gives the time that counts.
    pub(super) fn tick(&self, now: UnixSeconds) -> UnixSeconds {
        let before = self.health();
        self.ticked.store(now.0, Ordering::Release);
        let latest = self.observe(now);
        match (before, self.health()) {
            (Health::ClockBehind, Health::ClockBehind) => (),
            (_, Health::ClockBehind) => tracing::error!(
                clock = %now.to_rfc3339(), seen = %latest.to_rfc3339(),
                "the clock is behind the latest time the state has seen: nothing is issued until it has caught up"
            ),
            (Health::ClockBehind, _) => tracing::info!("the clock has caught up: tokens are issued again"),
            _ => (),
        }
        for lock in self.shards.iter().chain([&self.epochs]) {
            // The guard is gone at the end of this statement; freeing the memory keeps nobody waiting.
            let ended = write(lock).detach_ended(latest);
            drop(ended);
        }
        latest
    }

    /// How many parts [`Shards::snapshot`] has.
    pub(super) fn parts(&self) -> usize {
        self.shards.len() + 1
    }

    /// What was revoked and has not ended, but for denied tokens with a known end: of those the state keeps half of the
    /// id, which is enough to know them again and not enough to name them to others. With the latest time seen.
    pub(super) fn revocations(&self) -> (UnixSeconds, Vec<Change>) {
        let all = (0..self.parts()).flat_map(|part| self.snapshot(part));
        let named = |change: &Change| {
            matches!(change, Change::RevokeFamily { .. } | Change::DenyUndatedJti { .. } | Change::MoveEpoch { .. })
        };
        (self.observe(UnixSeconds(0)), all.filter(named).collect())
    }

    /// One part of the state as changes that rebuild it. What a part says holds from the moment it is asked; all parts
    /// together hold everything that was there before the first was asked, and has not ended.
    pub(super) fn snapshot(&self, part: usize) -> Vec<Change> {
        read(self.shards.get(part).unwrap_or(&self.epochs)).to_changes()
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
