//! Families: one entry a login that refreshed or was revoked, however often.

use std::time::Duration;

use crate::protocol::id::{FamilyId, Generation};
use crate::protocol::time::UnixSeconds;
use crate::state::bucket::{self, Buckets};
use crate::state::change::{Applied, Change};
use crate::state::dense::{Dense, Slot};
use crate::state::quota::{Full, Quota, Room};
use crate::state::retry::{Retries, RetryRules};

/// The grain of [`FamilyId::ends_by`].
const FAMILY_BUCKET: Duration = Duration::from_secs(3_600);

/// What is known of a family. The default is a family without an entry: generation 0 is live, a log-in wrote nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FamilyFacts {
    /// The live generation.
    pub generation: Generation,
    /// When it became live; the epoch for generation 0.
    pub rotated_at: UnixSeconds,
    /// Nothing of it is issued any more.
    pub revoked: bool,
    /// Retries already answered.
    pub retries: Retries,
    /// The latest time the state had seen when this was read. A judgement never uses an earlier one.
    pub seen_at: UnixSeconds,
}

/// What to do with a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the live one: advance.
    Current,
    /// It is the one before, in time: its holder lost the answer, and gets the same successor again.
    Retry {
        /// The live generation.
        successor: Generation,
    },
    /// It was used before and this is no retry, or it claims a generation that never was: revoke the family.
    Reused,
    /// The family is revoked or over.
    Revoked,
}

impl FamilyFacts {
    /// Judges a presented token of generation `presented` (RFC 9700 section 4.14.2, FAPI 2.0 section 5.3.2.1).
    ///
    /// A generation above the live one cannot come from a whole state: the successor's number is recorded before the
    /// token leaves. It means the state was lost (a memory store restarted), and then nobody can tell the newest
    /// token from one stolen long ago. Refusing costs a log-in; accepting would revive what was rotated away.
    #[must_use]
    pub fn judge(&self, presented: Generation, rules: &RetryRules, now: UnixSeconds) -> Verdict {
        // The last generation has no successor, so it cannot rotate: the family is over.
        if self.revoked || presented.next() == presented {
            return Verdict::Revoked;
        }
        if presented == self.generation {
            return Verdict::Current;
        }
        // Only the immediately preceding one. That it is the preceding one says that the successor is still unused.
        let retried = presented.next() == self.generation;
        if retried && self.is_in_window(rules, now) && rules.allow(self.retries) {
            return Verdict::Retry { successor: self.generation };
        }
        Verdict::Reused
    }

    /// Whether `now` lies within the retry window. Parts of a second count as a whole one; zero means never.
    ///
    /// The time used is never earlier than what the state has seen, so setting the clock back reopens no window. What
    /// is left below `rotated_at` is another gateway's clock running ahead: up to one window of that is forgiven,
    /// more is outside.
    fn is_in_window(&self, rules: &RetryRules, now: UnixSeconds) -> bool {
        let now = now.max(self.seen_at);
        let window_seconds = rules.window.as_nanos().div_ceil(1_000_000_000);
        let distance = self.rotated_at.0.abs_diff(now.0);
        u128::from(distance) < window_seconds
    }
}

/// The families by the hour they end by. The hour is in the bucket, so the key is only the random part of the name.
#[derive(Debug)]
pub(super) struct Families {
    buckets: Buckets<Dense<Named>>,
}

pub(super) type Detached = bucket::Detached<Dense<Named>>;

/// Eight bytes: the generation; and the rotation's time with the revoked bit on top.
///
/// The time is kept as seconds before the family's end, so the greater number is the earlier time. 31 bits reach 68
/// years; a family that lives longer would only find its retry window closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    generation: u32,
    before_end: u32,
}

const REVOKED: u32 = 1 << 31;

impl Entry {
    fn new(generation: Generation, at: UnixSeconds, ends_by: UnixSeconds) -> Self {
        let before = u32::try_from(ends_by.since(at).as_secs()).unwrap_or(u32::MAX).min(REVOKED - 1);
        Self { generation: generation.0, before_end: before }
    }

    fn revoked() -> Self {
        Self { generation: 0, before_end: REVOKED }
    }

    fn facts(self, ends_by: UnixSeconds) -> FamilyFacts {
        let before = Duration::from_secs(u64::from(self.before_end & !REVOKED));
        let never_rotated = self.generation == 0;
        FamilyFacts {
            generation: Generation(self.generation),
            rotated_at: if never_rotated { UnixSeconds(0) } else { ends_by.before(before) },
            revoked: self.before_end & REVOKED != 0,
            ..FamilyFacts::default()
        }
    }

    /// The join of two entries: highest generation with its earliest time, revoked if either is.
    fn join(&mut self, other: &Self) {
        let revoked = (self.before_end | other.before_end) & REVOKED;
        let own = (self.generation, self.before_end & !REVOKED);
        let (generation, before) = own.max((other.generation, other.before_end & !REVOKED));
        *self = Self { generation, before_end: before | revoked };
    }
}

/// A family in its table: 20 bytes. The name is kept whole (96 random bits), because two families that were taken for one
/// would end each other. An entry says at least that the family rotated once or is revoked, so an empty place needs
/// no mark of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    random: [u8; 12],
    entry: Entry,
}

impl Slot for Named {
    type Key = [u8; 12];
    type Value = Entry;
    const EMPTY: Self = Self { random: [0; 12], entry: Entry { generation: 0, before_end: 0 } };

    fn new(key: &[u8; 12], value: Entry) -> Self {
        Self { random: *key, entry: value }
    }

    fn is_empty(&self) -> bool {
        self.entry.generation == 0 && self.entry.before_end & REVOKED == 0
    }

    fn bits(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.random;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    fn holds(&self, other: &Self) -> bool {
        self.random == other.random && !self.is_empty()
    }

    fn key(&self) -> [u8; 12] {
        self.random
    }

    fn value(&self) -> Entry {
        self.entry
    }

    fn set(&mut self, value: Entry) {
        self.entry = value;
    }

    fn probe(key: &[u8; 12]) -> Self {
        Self { random: *key, ..Self::EMPTY }
    }
}

impl Families {
    pub(super) fn new() -> Self {
        Self { buckets: Buckets::new(FAMILY_BUCKET) }
    }

    pub(super) fn find(&self, family: FamilyId) -> Option<FamilyFacts> {
        let ends_by = family.ends_by();
        self.buckets.find(ends_by, &random_part(family)).map(|entry| entry.facts(ends_by))
    }

    pub(super) fn rotate(
        &mut self,
        family: FamilyId,
        to: Generation,
        at: UnixSeconds,
        room: &Room,
    ) -> Result<Applied, Full> {
        // Generation 0 is what a family without an entry says; there is nothing to write down.
        if to == Generation(0) {
            return Ok(Applied::Known);
        }
        self.join(family, Entry::new(to, at, family.ends_by()), room)
    }

    pub(super) fn revoke(&mut self, family: FamilyId, room: &Room) -> Result<Applied, Full> {
        self.join(family, Entry::revoked(), room)
    }

    fn join(&mut self, family: FamilyId, entry: Entry, room: &Room) -> Result<Applied, Full> {
        self.buckets.merge(family.ends_by(), random_part(family), entry, room, Entry::join)
    }

    /// Before `changes` are made: room for their entries, and their places brought into the cache. Changes nothing that
    /// anybody can ask for.
    pub(super) fn prepare(&mut self, changes: &[Change]) {
        let mut read = 0;
        for change in changes {
            let (Change::RotateFamily { family, .. } | Change::RevokeFamily { family }) = change else { continue };
            if let Some(table) = self.buckets.table_mut(family.ends_by()) {
                table.make_ample_room(changes.len());
                read ^= table.touch(&random_part(*family));
            }
        }
        // Else a compiler would see that nobody needs what was read, and not read it.
        std::hint::black_box(read);
    }

    /// Gives back the room that [`Families::prepare`] made and nobody took.
    pub(super) fn trim(&mut self) {
        self.buckets.tables_mut().for_each(Dense::trim);
    }

    pub(super) fn detach(&mut self, now: UnixSeconds, quota: &Quota) -> Detached {
        self.buckets.detach(now, quota)
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.buckets()
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets.bytes()
    }

    pub(super) fn next_end(&self) -> Option<UnixSeconds> {
        self.buckets.next_end()
    }

    pub(super) fn to_changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (ends_by, random, entry) in self.buckets.iter() {
            let family = FamilyId::new(random, ends_by);
            let facts = entry.facts(ends_by);
            if let Some(from) = facts.generation.0.checked_sub(1) {
                let (to, at) = (facts.generation, facts.rotated_at);
                changes.push(Change::RotateFamily { family, from: Generation(from), to, at });
            }
            if facts.revoked {
                changes.push(Change::RevokeFamily { family });
            }
        }
        changes
    }
}

/// The family's name without its hour, which the bucket has.
fn random_part(family: FamilyId) -> [u8; 12] {
    let [_, _, _, _, random @ ..] = family.0;
    random
}
