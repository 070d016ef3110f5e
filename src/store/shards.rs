//! The state in memory, behind locks: what every engine on one machine asks and changes.

use std::sync::{Arc, PoisonError};

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::sync::{AtomicU64, AtomicUsize, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::state::{
    Applied, Change, Denylist, EpochOf, FamilyFacts, Full, Quota, Rotated, Rotation, State, TOKEN_BUCKET,
};
use crate::store::{Figures, Health, Reading, Settings, Spent, StoreError};

/// Shards of what is found by a random id: enough that requests on different families rarely meet.
const SHARDS: usize = 64;

/// Is told each change that was made, while the lock it was made under is still held. So two changes of one entry come
/// in the order in which they happened, and whoever has seen a change in memory comes after it.
pub(crate) trait Journal {
    /// Takes a note of `change`. Short, and never waits for a disk.
    fn note(&self, change: &Change, now: UnixSeconds);
}

/// Keeps no journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoJournal;

impl Journal for NoJournal {
    fn note(&self, _: &Change, _: UnixSeconds) {}
}

/// State in memory, sharded: readers of one shard share its lock, different shards share nothing.
///
/// Epochs lie apart, under one lock that a rotation holds for reading while it changes its family's shard. So an
/// epoch moves either before the rotation, which then sees it, or after the rotation is done. Locks are always taken in
/// this order: epochs, then one shard or the denylist's right to write, then the journal's own; never two shards.
///
/// Denied tokens lie apart too, because each request may ask for one: that look-up takes no lock.
#[derive(Debug)]
pub(crate) struct Shards {
    settings: Settings,
    quota: Arc<Quota>,
    epochs: RwLock<State>,
    shards: Vec<RwLock<State>>,
    denied: Denylist,
    /// How many tokens the shards deny without a known end: only if there are any does a look-up ask its shard.
    undated: AtomicUsize,
    /// How many epochs have moved: only if any has does a look-up take their lock, which all requests share.
    moved: AtomicUsize,
    /// The latest wall time seen, by anyone.
    latest: AtomicU64,
    /// The wall time of the last tick, which may be earlier.
    ticked: AtomicU64,
}

impl Shards {
    pub(crate) fn new(settings: Settings) -> Self {
        let quota = Arc::new(Quota::new(settings.entries_max));
        let shard = || RwLock::new(State::new(Arc::clone(&quota)));
        Self {
            settings,
            epochs: shard(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            denied: Denylist::new(TOKEN_BUCKET),
            undated: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
            latest: AtomicU64::new(0),
            ticked: AtomicU64::new(0),
            quota,
        }
    }

    /// A log-in before `since` is refused from now on; for engines that learn it when they open.
    pub(crate) fn know_since(&mut self, since: UnixSeconds) {
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
    pub(crate) fn observe(&self, now: UnixSeconds) -> UnixSeconds {
        let latest = self.latest.load(Ordering::Acquire);
        if now.0 <= latest {
            return UnixSeconds(latest);
        }
        UnixSeconds(self.latest.fetch_max(now.0, Ordering::AcqRel).max(now.0))
    }

    fn is_behind(&self, now: UnixSeconds, latest: UnixSeconds) -> bool {
        now.after(self.settings.clock_tolerance) < latest
    }

    pub(crate) fn read_clock(&self, now: UnixSeconds) -> Reading {
        let time = self.observe(now);
        Reading { time, behind: self.is_behind(now, time).then(|| time.since(now)) }
    }

    pub(crate) fn rotate(
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
        self.apply_all(std::slice::from_ref(change), self.part(change), now, journal)
    }

    /// Makes changes that all belong to one part, and says what became of the last.
    fn apply_all(
        &self,
        changes: &[Change],
        part: Part,
        now: UnixSeconds,
        journal: &impl Journal,
    ) -> Result<Applied, Full> {
        match part {
            Part::Denied => {
                let mut denied = self.denied.writer();
                apply_each(changes, now, journal, |change| match change {
                    // A look-up may see it before it is noted, and says so: a denial that is seen early does no harm.
                    Change::DenyJti { jti, expires_at } => denied.deny(*jti, *expires_at, &self.quota, now),
                    _ => Ok(Applied::Ended),
                })
            }
            Part::Locked(lock) => {
                let mut state = write(lock);
                apply_each(changes, now, journal, |change| {
                    let applied = state.apply(change, now)?;
                    // Before the lock is released and so before anybody is told: who asks later finds the count, and
                    // then waits for this lock.
                    match (change, applied) {
                        (Change::DenyUndatedJti { .. }, Applied::New) => {
                            _ = self.undated.fetch_add(1, Ordering::Release)
                        }
                        (Change::MoveEpoch { .. }, Applied::New) => _ = self.moved.fetch_add(1, Ordering::Release),
                        _ => (),
                    }
                    Ok(applied)
                })
            }
        }
    }

    /// Where a change is made.
    fn part(&self, change: &Change) -> Part<'_> {
        Part::Locked(match change {
            Change::RotateFamily { family, .. } | Change::RevokeFamily { family } => self.shard(family.0),
            Change::DenyJti { .. } => return Part::Denied,
            Change::DenyUndatedJti { jti, .. } => self.shard(jti.0),
            Change::SpendId { id, .. } => self.shard(*id),
            Change::MoveEpoch { .. } => &self.epochs,
        })
    }

    pub(crate) fn commit(&self, changes: &[Change], now: UnixSeconds, journal: &impl Journal) -> Result<(), Full> {
        let latest = self.observe(now);
        changes.iter().try_for_each(|change| self.apply(change, latest, journal).map(drop))
    }

    pub(crate) fn spend(&self, change: &Change, now: UnixSeconds, journal: &impl Journal) -> Result<Spent, Full> {
        let latest = self.observe(now);
        if change.ends_at().has_passed(latest) {
            return Ok(Spent::Again);
        }
        Ok(match self.apply(change, latest, journal)? {
            Applied::New => Spent::First,
            Applied::Known | Applied::Ended => Spent::Again,
        })
    }

    pub(crate) fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        let latest = self.observe(now);
        read(self.shard(family.0)).family(family, latest)
    }

    pub(crate) fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        let latest = self.observe(now);
        // One that has expired is denied: its bucket may be gone.
        expires_at.has_passed(latest)
            || self.denied.holds(jti, expires_at)
            || (self.undated.load(Ordering::Acquire) > 0 && read(self.shard(jti.0)).denies_undated(jti))
    }

    pub(crate) fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        if self.moved.load(Ordering::Acquire) == 0 {
            return None;
        }
        read(&self.epochs).epoch(of)
    }

    pub(crate) fn figures(&self) -> Figures {
        let shards = self.shards.iter().map(|shard| read(shard).figures());
        let state = shards.fold(read(&self.epochs).figures(), crate::state::Figures::plus).plus(self.denied.figures());
        Figures { state, entries_max: self.settings.entries_max, log_bytes: 0 }
    }

    /// How many entries there are, without a lock.
    pub(crate) fn entries(&self) -> usize {
        self.quota.used()
    }

    pub(crate) fn health(&self) -> Health {
        let ticked = UnixSeconds(self.ticked.load(Ordering::Acquire));
        let latest = UnixSeconds(self.latest.load(Ordering::Acquire));
        if self.is_behind(ticked, latest) && ticked > UnixSeconds(0) {
            return Health::ClockBehind;
        }
        if self.quota.used() >= self.quota.entries_max() { Health::Full } else { Health::Ready }
    }

    /// Takes note of the wall time, frees what has ended, and gives the time that counts.
    pub(crate) fn tick(&self, now: UnixSeconds) -> UnixSeconds {
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
            let mut state = write(lock);
            let (undated, moved) = (state.undated(), state.moved());
            let ended = state.detach_ended(latest);
            self.undated.fetch_sub(undated.saturating_sub(state.undated()), Ordering::Relaxed);
            self.moved.fetch_sub(moved.saturating_sub(state.moved()), Ordering::Relaxed);
            // Freeing the memory keeps nobody waiting.
            drop(state);
            drop(ended);
        }
        self.denied.detach_ended(latest, &self.quota);
        drop(self.denied.reclaim());
        latest
    }

    /// Gives back the memory that a start took ahead, once everything is [`Gathered`].
    pub(crate) fn trim(&self) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.shards.iter().for_each(|shard| write(shard).trim()));
            self.denied.writer().trim();
            drop(self.denied.reclaim());
        });
    }

    /// How many parts [`Shards::snapshot`] has.
    pub(crate) fn parts(&self) -> usize {
        self.shards.len() + 1
    }

    /// What was revoked and has not ended, but for denied tokens with a known end: of those the state keeps half of the
    /// id, which is enough to know them again and not enough to name them to others. With the latest time seen.
    pub(crate) fn revocations(&self) -> (UnixSeconds, Vec<Change>) {
        let all = (0..self.parts()).flat_map(|part| self.snapshot(part));
        let named = |change: &Change| {
            matches!(change, Change::RevokeFamily { .. } | Change::DenyUndatedJti { .. } | Change::MoveEpoch { .. })
        };
        (self.observe(UnixSeconds(0)), all.filter(named).collect())
    }

    /// One part of the state as changes that rebuild it. What a part says holds from the moment it is asked; all parts
    /// together hold everything that was there before the first was asked and has not ended, but for denied tokens with
    /// a known end.
    pub(crate) fn snapshot(&self, part: usize) -> Vec<Change> {
        read(self.shards.get(part).unwrap_or(&self.epochs)).to_changes()
    }
}

/// Where a change is made: the denylist, or behind a lock.
#[derive(Clone, Copy)]
enum Part<'a> {
    Denied,
    Locked(&'a RwLock<State>),
}

/// Notes each change that was made, also one that was known: what it found may have been put there by a change that is
/// not lasting yet, and its own entry in the log costs less than finding that out.
fn apply_each(
    changes: &[Change],
    now: UnixSeconds,
    journal: &impl Journal,
    mut apply: impl FnMut(&Change) -> Result<Applied, Full>,
) -> Result<Applied, Full> {
    let mut last = Applied::Ended;
    for change in changes {
        last = apply(change)?;
        if last != Applied::Ended {
            journal.note(change, now);
        }
    }
    Ok(last)
}

/// Takes changes in any order and makes those together that lie near each other, because they share a lock and what is in
/// the processor's cache. For a start, before anybody else is there.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    shards: &'a Shards,
    now: UnixSeconds,
    /// One for each shard, one for each region of the denylist, and one for the rest.
    bins: Vec<Vec<Change>>,
}

/// Regions of the denylist that are told apart: so few that what waits stays in the processor's cache.
const REGIONS: usize = 64;
/// Changes that are made together.
const GATHERED: usize = 128;

impl<'a> Gathered<'a> {
    pub(crate) fn new(shards: &'a Shards, now: UnixSeconds) -> Self {
        let bins = (0..SHARDS + REGIONS + 1).map(|_| Vec::new()).collect();
        Self { shards, now: shards.observe(now), bins }
    }

    /// Takes a change.
    pub(crate) fn add(&mut self, change: Change) -> Result<(), Full> {
        let shard = |[.., last]: [u8; 16]| 1 + usize::from(last) % SHARDS;
        let place = match &change {
            Change::RotateFamily { family, .. } | Change::RevokeFamily { family } => shard(family.0),
            Change::DenyJti { jti, .. } => 1 + SHARDS + usize::from(Denylist::region(*jti)) * REGIONS / 256,
            Change::DenyUndatedJti { jti, .. } => shard(jti.0),
            Change::SpendId { id, .. } => shard(*id),
            Change::MoveEpoch { .. } => 0,
        };
        let Some(bin) = self.bins.get_mut(place) else { return Ok(()) };
        bin.push(change);
        if bin.len() < GATHERED {
            return Ok(());
        }
        let full = std::mem::take(bin);
        self.make(&full)?;
        if let Some(bin) = self.bins.get_mut(place) {
            *bin = full;
            bin.clear();
        }
        Ok(())
    }

    /// Makes what is left.
    pub(crate) fn finish(mut self) -> Result<(), Full> {
        std::mem::take(&mut self.bins).iter().try_for_each(|bin| self.make(bin))
    }

    fn make(&self, changes: &[Change]) -> Result<(), Full> {
        let Some(first) = changes.first() else { return Ok(()) };
        match self.shards.part(first) {
            Part::Denied => self.shards.denied.writer().load(changes, &self.shards.quota, self.now),
            Part::Locked(lock) => {
                let mut state = write(lock);
                let (undated, moved) = (state.undated(), state.moved());
                state.load(changes, self.now)?;
                self.shards.undated.fetch_add(state.undated().saturating_sub(undated), Ordering::Release);
                self.shards.moved.fetch_add(state.moved().saturating_sub(moved), Ordering::Release);
                Ok(())
            }
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
