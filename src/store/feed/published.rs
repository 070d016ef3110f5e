//! An engine with its revocations published: numbered after they are lasting, whoever is there to see it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ambient::Clock;
use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf, FamilyFacts, Rotated, Rotation, Space};
use crate::store::feed::Feed;
use crate::store::{Figures, Health, Pending, Reading, Spent, Store, StoreError};

/// Bits of a number below the second of the start. What is above leaves every number a safe integer in JSON (RFC 8259
/// section 6) for centuries.
const BITS_A_SECOND: u32 = 20;

/// The random part of the first number, for engines that cannot remember numbers: two starts in one second hardly share
/// one.
const SALT_MASK: u32 = (1 << 19) - 1;

/// Numbers set aside at once. They are four seconds of the clock's, so starts that follow faster run ahead of it.
const BLOCK: u64 = 4 << BITS_A_SECOND;

/// The least time between two looks at the whole state for what found no room.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Most changes whose fate was not seen; see [`Doubt`].
const DOUBTFUL_MAX: usize = 10_000;

/// An engine whose revocations are published.
pub struct Published {
    engine: Arc<dyn Store>,
    feed: Arc<Feed>,
    clock: Arc<dyn Clock>,
    /// Numbers below this one have been set aside.
    reserved: AtomicU64,
    /// When the state may be looked through again, in milliseconds of monotonic time.
    look_at: AtomicU64,
    doubtful: Mutex<Vec<Change>>,
}

/// Changes whose fate is not known yet. If nobody stays to see it, because the caller went away or the engine failed half
/// way, they are looked at again at the next tick: what the state knows then is published.
struct Doubt<'a> {
    published: &'a Published,
    changes: Vec<Change>,
    /// One that a rotation may have revoked; apart, so that a refresh allocates nothing for it.
    family: Option<FamilyId>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.changes.extend(self.family.map(|family| Change::RevokeFamily { family }));
        if self.changes.is_empty() {
            return;
        }
        let mut doubtful = self.published.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        for change in self.changes.drain(..) {
            if doubtful.len() < DOUBTFUL_MAX {
                doubtful.push(change);
            } else {
                self.published.feed.note_missing(&change);
            }
        }
    }
}

impl Published {
    /// Publishes what `engine` knows already, and from now on what it makes lasting. `salt` tells the numbers of this
    /// start from those of another in the same second, where the engine cannot remember them.
    #[must_use]
    pub fn new(engine: Arc<dyn Store>, entries_max: usize, clock: Arc<dyn Clock>, salt: u32) -> Self {
        let now = clock.now();
        let (latest, known) = engine.revocations();
        // After every second that was seen before, also where the clock was set back meanwhile.
        let second = now.max(latest.after(Duration::from_secs(1)));
        let least = (second.0 << BITS_A_SECOND) | u64::from(salt & SALT_MASK);
        let start = engine.reserve(least, BLOCK).unwrap_or_else(|error| {
            tracing::error!(%error, "the numbers of the revocation feed cannot be written down; they go by the clock");
            least
        });
        let feed = Feed::new(entries_max, start, Arc::clone(&clock));
        if known.len() > entries_max {
            // The engine stopped naming tokens somewhere; none that it did not name outlives the last that it did.
            known.iter().filter(|change| matches!(change, Change::DenyJti { .. })).for_each(|c| feed.note_missing(c));
        }
        feed.append(&known, now);
        feed.announced.send_replace(feed.latest());
        let reserved = AtomicU64::new(start.saturating_add(BLOCK));
        let (look_at, doubtful) = (AtomicU64::new(0), Mutex::default());
        Self { engine, feed: Arc::new(feed), clock, reserved, look_at, doubtful }
    }

    /// The log.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Sets more numbers aside before they run out: half a block is more than any half second can use.
    fn reserve_ahead(&self) {
        let latest = self.feed.latest();
        if latest.saturating_add(BLOCK / 2) < self.reserved.load(Ordering::Relaxed) {
            return;
        }
        match self.engine.reserve(latest, BLOCK) {
            Ok(start) => self.reserved.store(start.saturating_add(BLOCK), Ordering::Relaxed),
            Err(error) => tracing::error!(%error, "the numbers of the revocation feed cannot be written down"),
        }
    }

    /// Publishes what was made lasting while nobody stayed to see it.
    fn settle_doubts(&self, now: UnixSeconds) {
        let doubtful = std::mem::take(&mut *self.doubtful.lock().unwrap_or_else(PoisonError::into_inner));
        let known: Vec<Change> = doubtful.into_iter().filter(|change| self.is_known(change, now)).collect();
        self.feed.append(&known, now);
    }

    fn is_known(&self, change: &Change, now: UnixSeconds) -> bool {
        match change {
            Change::DenyJti { jti, expires_at: end } | Change::DenyUndatedJti { jti, until: end } => {
                self.engine.is_denied(*jti, *end, now)
            }
            Change::RevokeFamily { family } => self.engine.family(*family, now).revoked,
            Change::MoveEpoch { of, not_before, .. } => self.engine.epoch(of).is_some_and(|mark| mark >= *not_before),
            Change::RotateFamily { .. } | Change::SpendId { .. } => false,
        }
    }

    /// Reads the state again for what found no room in the log, at most twice a minute: it is a look at everything.
    fn heal(&self, now: UnixSeconds) {
        let time = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        if time < self.look_at.load(Ordering::Relaxed) || !self.feed.wants_reading() {
            return;
        }
        self.look_at.store(time.saturating_add(LOOK_EVERY.as_millis() as u64), Ordering::Relaxed);
        let (_, known) = self.engine.revocations();
        self.feed.fill(&known, now);
    }
}

impl Store for Published {
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated> {
        Box::pin(async move {
            let family = order.family;
            let mut doubt = Doubt { published: self, changes: Vec::new(), family: Some(family) };
            let rotated = self.engine.rotate(order, now).await?;
            doubt.family = None;
            if rotated == Rotated::Reused {
                self.feed.append(&[Change::RevokeFamily { family }], now);
            }
            Ok(rotated)
        })
    }

    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut doubt = Doubt { published: self, changes: changes.clone(), family: None };
            self.engine.commit(changes, now).await?;
            let changes = std::mem::take(&mut doubt.changes);
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

    fn reserve(&self, least: u64, count: u64) -> Result<u64, StoreError> {
        self.engine.reserve(least, count)
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
        self.settle_doubts(now);
        self.heal(now);
        self.reserve_ahead();
    }
}
