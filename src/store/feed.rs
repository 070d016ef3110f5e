//! What has been revoked and has not ended, as one numbered log for those who verify elsewhere.
//!
//! [`Published`] stands in front of an engine: whatever the engine has made lasting is numbered afterwards, and what it
//! knew already when the process started is numbered then. So the log can never name a revocation that a crash
//! forgets, and never lacks one that was acknowledged.
//!
//! Numbers only grow, also over a restart: the engine sets them aside in blocks, and writes a block down before its first
//! number is used ([`Store::reserve`](crate::store::Store::reserve)). A follower that asks for what came after a number of an earlier run gets everything,
//! because everything has been numbered anew since.
//!
//! Followers that wait are told of new numbers by [`Feed::announced`], all by one word: see [`Feed::announce_forever`].

mod published;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::ambient::Clock;
use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf};

pub use published::Published;

/// Most entries of the log; see [`FeedFull`]. One takes about 250 bytes of memory.
pub const ENTRIES_MAX: usize = 1_000_000;

/// A number further back than this is rounded down to a multiple of it: followers that were away then share documents,
/// and are told at most so many entries again.
const ROUNDED: u64 = 1_024;

/// Batches of which the log remembers when they were published.
const MOMENTS_MAX: usize = 4_096;

/// The least time between two announcements: what comes meanwhile goes into the next.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(50);

/// There was more to publish than the log may hold, so it is not complete and must not be shown: whoever follows it
/// would take its silence for innocence. It is whole again when the tokens that found no room have ended, and the rest
/// has found some.
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

/// When a batch was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic time, for intervals.
    pub monotonic: Duration,
    /// Milliseconds since the Unix epoch, for other machines.
    pub millis: u64,
}

/// The log.
pub struct Feed {
    log: Mutex<Log>,
    entries_max: usize,
    clock: Arc<dyn Clock>,
    appended: Notify,
    announced: watch::Sender<u64>,
}

struct Log {
    latest: u64,
    entries: BTreeMap<u64, Change>,
    numbers: HashMap<About, u64>,
    ends: BTreeSet<(UnixSeconds, u64)>,
    /// The last number of each batch, and when it came.
    moments: VecDeque<(u64, Moment)>,
    missing: Missing,
}

/// What found no room.
#[derive(Default)]
struct Missing {
    /// Tokens that are denied, until the last of them ends: the state keeps half of their ids, so they cannot be read again.
    tokens_until: UnixSeconds,
    /// Whether there is something else, which can.
    others: bool,
}

impl Missing {
    fn note(&mut self, change: &Change) {
        match change {
            Change::DenyJti { expires_at, .. } => self.tokens_until = self.tokens_until.max(*expires_at),
            _ => self.others = true,
        }
    }

    fn is_nothing(&self, now: UnixSeconds) -> bool {
        !self.others && self.tokens_until.has_passed(now)
    }
}

impl Feed {
    /// An empty log whose first entry gets the number after `start`.
    #[must_use]
    pub fn new(entries_max: usize, start: u64, clock: Arc<dyn Clock>) -> Self {
        let moment = Moment { monotonic: clock.monotonic(), millis: clock.now_millis() };
        let log = Log {
            latest: start,
            entries: BTreeMap::new(),
            numbers: HashMap::new(),
            ends: BTreeSet::new(),
            moments: VecDeque::from([(start, moment)]),
            missing: Missing::default(),
        };
        Self { log: Mutex::new(log), entries_max, clock, appended: Notify::new(), announced: watch::Sender::new(start) }
    }

    /// A panic under the lock leaves at worst an entry without its end; refusing the log for it would help nobody.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers what revokes something, unless that is known. Everything else is passed over.
    pub fn append<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, now: UnixSeconds) {
        let moment = Moment { monotonic: self.clock.monotonic(), millis: self.clock.now_millis() };
        let mut log = self.lock();
        let before = log.latest;
        for change in changes {
            log.append(change, self.entries_max, now);
        }
        if log.latest == before {
            return;
        }
        if log.moments.len() == MOMENTS_MAX {
            log.moments.pop_front();
        }
        let latest = log.latest;
        log.moments.push_back((latest, moment));
        drop(log);
        self.appended.notify_one();
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

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number up to which those who wait have been told. Wakes all of them at once when it moves.
    #[must_use]
    pub fn announced(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    /// Announces new numbers: the first at once, then at most one announcement in 50 milliseconds. So however fast
    /// revocations come, followers move together, from one announced number to the next, and one document serves all.
    /// Cancel to stop.
    pub async fn announce_forever(&self) {
        loop {
            self.appended.notified().await;
            let latest = self.latest();
            self.announced.send_replace(latest);
            tokio::time::sleep(ANNOUNCE_EVERY).await;
        }
    }

    /// When the batch with this number was published; `None` for one that is long ago, or to come.
    #[must_use]
    pub fn published_at(&self, number: u64) -> Option<Moment> {
        let log = self.lock();
        let at = log.moments.partition_point(|(last, _)| *last < number);
        // The first that is remembered may hold the end of a batch, or of many that are forgotten.
        let is_known = at > 0 || log.moments.front().is_some_and(|(last, _)| *last == number);
        log.moments.get(at).filter(|_| is_known).map(|(_, moment)| *moment)
    }

    /// The number from which a document for `since` may begin: there is nothing between the two, or `since` is far back.
    /// Whoever asks for what came after a number that was never given is told everything.
    #[must_use]
    pub fn beginning(&self, since: u64) -> u64 {
        let log = self.lock();
        if since == log.latest {
            return since;
        }
        let Some(behind) = log.latest.checked_sub(since) else { return 0 };
        let since = if behind > ROUNDED { since - since % ROUNDED } else { since };
        log.entries.range(..=since).next_back().map_or(0, |(number, _)| *number)
    }

    /// What came after `since` and up to `up_to`, at most `entries_max` of it. A number that was never given is taken for
    /// 0 as `since`, and for the latest as `up_to`.
    ///
    /// # Errors
    /// [`FeedFull`].
    pub fn page(&self, since: u64, up_to: u64, entries_max: usize, now: UnixSeconds) -> Result<Page, FeedFull> {
        let log = self.lock();
        if !log.missing.is_nothing(now) {
            return Err(FeedFull);
        }
        let from = if since > log.latest { 0 } else { since };
        let to = up_to.clamp(from, log.latest);
        let mut page = Page { from, to, more: false, entries: Vec::new() };
        let mut last = from;
        for (number, change) in log.entries.range(from.saturating_add(1)..).take_while(|(number, _)| **number <= to) {
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

    /// Whether something is missing that can be read from the state again, and there is room.
    fn wants_reading(&self) -> bool {
        let log = self.lock();
        log.missing.others && log.entries.len() < self.entries_max
    }

    /// Takes everything the state can name: what found no room before, and finds some now.
    fn fill(&self, known: &[Change], now: UnixSeconds) {
        self.lock().missing.others = false;
        self.append(known, now);
    }

    fn note_missing(&self, change: &Change) {
        self.lock().missing.note(change);
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
            self.missing.note(change);
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
