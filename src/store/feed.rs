//! What has been revoked and has not ended, as one numbered log for those who verify elsewhere.
//!
//! [`Published`] stands in front of an engine: whatever the engine has made lasting is numbered afterwards, and what it
//! knew already when the process started is numbered then. So the log can never name a revocation that a crash
//! forgets, and never lacks one that was acknowledged.
//!
//! Numbers only grow, also over a restart: they begin at a second that no earlier run has written down, shifted left,
//! plus a random part. A follower that asks for
//! what came after a number of an earlier run gets everything, because everything has been numbered anew since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf, FamilyFacts, Rotated, Rotation, Space};
use crate::store::{Figures, Health, Pending, Reading, Spent, Store};

/// Bits of a number below the second of the start: a million revocations a second before two runs could meet. What is
/// above leaves every number a safe integer in JSON (RFC 8259 section 6) for centuries.
const BITS_A_SECOND: u32 = 20;

/// The random part of the first number: two starts in one second hardly share a number.
const SALT_MASK: u32 = (1 << 19) - 1;

/// Most entries of the log; see [`FeedFull`].
pub const ENTRIES_MAX: usize = 1_000_000;

/// There was more to publish than the log may hold, so it is not complete and must not be shown: whoever follows it
/// would take its silence for innocence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more has been revoked than the feed may hold")]
pub struct FeedFull;

/// A part of the log: everything in it with a number above `from` and up to `to` that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// After this number; 0 is before the first.
    pub from: u64,
    /// Up to this number.
    pub to: u64,
    /// Whether there is more after `to`.
    pub more: bool,
    /// What was revoked, in the order of the numbers.
    pub entries: Vec<Change>,
}

/// What an entry is about; a later one about the same replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    Jti(Jti),
    Family(FamilyId),
    Epoch(EpochOf),
}

fn about(change: &Change) -> Option<About> {
    match change {
        Change::DenyJti { jti, .. } | Change::DenyUndatedJti { jti, .. } => Some(About::Jti(*jti)),
        Change::RevokeFamily { family } => Some(About::Family(*family)),
        Change::MoveEpoch { of, .. } => Some(About::Epoch(of.clone())),
        Change::RotateFamily { .. } | Change::SpendId { .. } => None,
    }
}

/// Whether `old` says everything that `new` says.
fn covers(old: &Change, new: &Change) -> bool {
    match (old, new) {
        (
            Change::MoveEpoch { not_before: old_mark, ends_at: old_end, .. },
            Change::MoveEpoch { not_before: new_mark, ends_at: new_end, .. },
        ) => old_mark >= new_mark && old_end >= new_end,
        _ => old.ends_at() >= new.ends_at(),
    }
}

/// The log.
#[derive(Debug)]
pub struct Feed {
    log: Mutex<Log>,
    entries_max: usize,
}

#[derive(Debug)]
struct Log {
    latest: u64,
    entries: BTreeMap<u64, Change>,
    numbers: HashMap<About, u64>,
    ends: BTreeSet<(UnixSeconds, u64)>,
    is_full: bool,
}

impl Feed {
    /// An empty log of a process that starts now; `salt` tells it from another that starts in the same second.
    #[must_use]
    pub fn new(entries_max: usize, now: UnixSeconds, salt: u32) -> Self {
        let log = Log {
            latest: (now.0 << BITS_A_SECOND) | u64::from(salt & SALT_MASK),
            entries: BTreeMap::new(),
            numbers: HashMap::new(),
            ends: BTreeSet::new(),
            is_full: false,
        };
        Self { log: Mutex::new(log), entries_max }
    }

    /// A panic under the lock leaves at worst an entry without its end; refusing the log for it would help nobody.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers what revokes something, unless that is known. Everything else is passed over.
    pub fn append<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, now: UnixSeconds) {
        let mut log = self.lock();
        for change in changes {
            log.append(change, self.entries_max, now);
        }
    }

    /// Forgets what has ended.
    pub fn drop_ended(&self, now: UnixSeconds) {
        self.lock().drop_ended(now);
    }

    /// The number of the last entry, there or ended.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.lock().latest
    }

    /// What came after `since`, at most `entries_max` of it. A number that was never given is taken for 0.
    ///
    /// # Errors
    /// [`FeedFull`].
    pub fn page(&self, since: u64, entries_max: usize, now: UnixSeconds) -> Result<Page, FeedFull> {
        let log = self.lock();
        if log.is_full {
            return Err(FeedFull);
        }
        let from = if since > log.latest { 0 } else { since };
        let mut page = Page { from, to: log.latest, more: false, entries: Vec::new() };
        let mut last = from;
        for (number, change) in log.entries.range(from.saturating_add(1)..) {
            if change.ends_at().has_passed(now) {
                continue;
            }
            if page.entries.len() == entries_max {
                page.to = last;
                page.more = true;
                break;
            }
            page.entries.push(change.clone());
            last = *number;
        }
        Ok(page)
    }
}

impl Log {
    fn append(&mut self, change: &Change, entries_max: usize, now: UnixSeconds) {
        let Some(about) = about(change) else { return };
        if change.ends_at().has_passed(now) {
            return;
        }
        if let Some(number) = self.numbers.get(&about).copied() {
            if self.entries.get(&number).is_some_and(|old| covers(old, change)) {
                return;
            }
            if let Some(old) = self.entries.remove(&number) {
                self.ends.remove(&(old.ends_at(), number));
            }
        } else if self.entries.len() >= entries_max {
            self.is_full = true;
            return;
        }
        self.latest += 1;
        self.entries.insert(self.latest, change.clone());
        self.ends.insert((change.ends_at(), self.latest));
        self.numbers.insert(about, self.latest);
    }

    fn drop_ended(&mut self, now: UnixSeconds) {
        while let Some((end, number)) = self.ends.first().copied() {
            if !end.has_passed(now) {
                return;
            }
            self.ends.pop_first();
            if let Some(about) = self.entries.remove(&number).as_ref().and_then(about) {
                self.numbers.remove(&about);
            }
        }
    }
}

/// An engine whose revocations are published.
pub struct Published {
    engine: Arc<dyn Store>,
    feed: Arc<Feed>,
}

impl Published {
    /// Publishes what `engine` knows already, and from now on what it makes lasting.
    #[must_use]
    pub fn new(engine: Arc<dyn Store>, entries_max: usize, now: UnixSeconds, salt: u32) -> Self {
        let (latest, known) = engine.revocations();
        // After every second that was seen before, also where the clock was set back meanwhile.
        let feed = Feed::new(entries_max, now.max(latest.after(Duration::from_secs(1))), salt);
        feed.append(&known, now);
        Self { engine, feed: Arc::new(feed) }
    }

    /// The log.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
}

impl Store for Published {
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated> {
        Box::pin(async move {
            let family = order.family;
            let rotated = self.engine.rotate(order, now).await?;
            if rotated == Rotated::Reused {
                self.feed.append(&[Change::RevokeFamily { family }], now);
            }
            Ok(rotated)
        })
    }

    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()> {
        Box::pin(async move {
            self.engine.commit(changes.clone(), now).await?;
            self.feed.append(&changes, now);
            Ok(())
        })
    }

    fn spend(&self, space: Space, id: [u8; 16], ends_at: UnixSeconds, now: UnixSeconds) -> Pending<'_, Spent> {
        self.engine.spend(space, id, ends_at, now)
    }

    fn read_clock(&self, now: UnixSeconds) -> Reading {
        self.engine.read_clock(now)
    }

    fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        self.engine.family(family, now)
    }

    fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        self.engine.is_denied(jti, expires_at, now)
    }

    fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        self.engine.epoch(of)
    }

    fn revocations(&self) -> (UnixSeconds, Vec<Change>) {
        self.engine.revocations()
    }

    fn figures(&self) -> Figures {
        self.engine.figures()
    }

    fn health(&self) -> Health {
        self.engine.health()
    }

    fn tick(&self, now: UnixSeconds) {
        self.engine.tick(now);
        self.feed.drop_ended(now);
    }
}
