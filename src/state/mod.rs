//! The one small state: what must not happen twice, or not any more.
//!
//! Everything else travels with the client, sealed. Here is what cannot travel: a refresh family has moved on or is
//! revoked, an access token is denied, a one-time id is spent, an epoch has moved.
//!
//! Three rules hold for all of it.
//!
//! * **It only grows until it expires.** Every fact has an end and lies in the bucket of that end. A look-up knows the
//!   end (it is in the token, or in the family's name) and so touches one bucket; a bucket whose time has passed is
//!   detached whole, without a look at its entries.
//! * **Every merge is monotone.** The highest generation wins, revoked stays revoked, the latest epoch wins. So the
//!   same changes, in any order and any number of times, from a log or from another gateway, give the same state.
//! * **It is bounded, and the bound forgets nothing.** At `entries_max` a change that needs a new entry answers
//!   [`Full`]; changes to entries that exist go on.
//!
//! Pure: no clock, no disk, and no lock but the [`Denylist`]'s own. `store/` puts locks around the rest and a log behind
//! it all. The structure inside is free to change; the methods of [`State`] and [`Denylist`] are all that the rest of the
//! house sees of it.

mod bucket;
mod change;
mod denied;
mod dense;
mod epoch;
mod family;
mod quota;
mod retry;
mod rotation;
mod segment;
pub(crate) mod sync;
mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use change::{Applied, Change, EpochOf, Space};
pub use denied::{Denylist, DenylistWriter, EndedDenied, forget_denied};
pub use family::{FamilyFacts, Verdict};
pub use quota::{Full, Quota};
pub use retry::{Retries, RetryRules};
pub use rotation::{Rotated, Rotation};

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use bucket::Buckets;
use epoch::Epochs;
use family::Families;
use retry::Ledger;

/// How long, at the least, entries of one bucket of the denylist and of spent ids lie together: one minute.
pub const TOKEN_BUCKET: Duration = Duration::from_secs(60);
/// The grain of entries that are looked up in every bucket, so there must be few buckets: one hour.
const COARSE_BUCKET: Duration = Duration::from_secs(3_600);
/// How many changes a start makes together: enough to wait for memory once, few enough to stay in the cache until then.
const LOADED_TOGETHER: usize = 32;

/// The state, or one shard of it.
#[derive(Debug)]
pub struct State {
    families: Families,
    denied: Denylist,
    undated: Buckets<HashMap<Jti, ()>>,
    spent: Buckets<HashMap<(Space, [u8; 16]), ()>>,
    epochs: Epochs,
    retries: Ledger,
    quota: Arc<Quota>,
}

/// What a state holds, exactly but for `bytes`. Shards add up with [`Figures::plus`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Families that refreshed or were revoked and have not ended.
    pub families: usize,
    /// Denied access tokens.
    pub jtis: usize,
    /// Spent one-time ids.
    pub spent: usize,
    /// Subjects, clients and keys whose epoch has moved.
    pub epochs: usize,
    /// Families whose retries are counted today.
    pub retries: usize,
    /// Buckets over all kinds.
    pub buckets: usize,
    /// Estimate of the memory the entries take, in bytes, from the capacity of the tables.
    pub bytes: usize,
    /// When the next bucket ends; `None` if there is none.
    pub next_expiry: Option<UnixSeconds>,
}

impl Figures {
    /// Everything that counts against `entries_max`.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.families + self.jtis + self.spent + self.epochs + self.retries
    }

    /// The sum of two shards.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            families: self.families + other.families,
            jtis: self.jtis + other.jtis,
            spent: self.spent + other.spent,
            epochs: self.epochs + other.epochs,
            retries: self.retries + other.retries,
            buckets: self.buckets + other.buckets,
            bytes: self.bytes + other.bytes,
            next_expiry: [self.next_expiry, other.next_expiry].into_iter().flatten().min(),
        }
    }
}

/// Buckets taken out of a [`State`]. Dropping it frees their memory, so drop it where nobody waits.
#[derive(Debug)]
#[must_use = "drop it after releasing the lock"]
pub struct Ended {
    _families: family::Detached,
    _denied: EndedDenied,
    _undated: bucket::Detached<HashMap<Jti, ()>>,
    _spent: bucket::Detached<HashMap<(Space, [u8; 16]), ()>>,
    _retries: retry::Detached,
}

impl State {
    /// An empty state that takes its entries from `quota`; shards share one quota.
    #[must_use]
    pub fn new(quota: Arc<Quota>) -> Self {
        Self {
            families: Families::new(),
            denied: Denylist::new(TOKEN_BUCKET),
            undated: Buckets::new(COARSE_BUCKET),
            spent: Buckets::new(TOKEN_BUCKET),
            epochs: Epochs::new(COARSE_BUCKET),
            retries: Ledger::default(),
            quota,
        }
    }

    /// Merges `change` into the state. Cost: one bucket, one hash operation. Applying a change again changes nothing.
    ///
    /// # Errors
    /// [`Full`] if the change needs a new entry and the quota is used up; nothing is changed then.
    pub fn apply(&mut self, change: &Change, now: UnixSeconds) -> Result<Applied, Full> {
        let room = self.quota.at(now);
        match change {
            Change::RotateFamily { family, to, at, .. } => self.families.rotate(*family, *to, *at, &room),
            Change::RevokeFamily { family } => self.families.revoke(*family, &room),
            Change::DenyJti { jti, expires_at } => self.denied.writer().deny(*jti, *expires_at, &self.quota, now),
            Change::DenyUndatedJti { jti, until } => self.undated.insert(*until, *jti, &room),
            Change::SpendId { space, id, ends_at } => self.spent.insert(*ends_at, (*space, *id), &room),
            Change::MoveEpoch { of, not_before, ends_at } => self.epochs.advance(of, *not_before, *ends_at, &room),
        }
    }

    /// As [`State::apply`] for each of `changes`, for a start that makes millions of them: they wait for memory and ask
    /// for quota together. [`State::trim`] follows when all have come.
    ///
    /// # Errors
    /// [`Full`] if there is no room for all: some of them are made then, and the state is of no use.
    pub fn load(&mut self, changes: &[Change], now: UnixSeconds) -> Result<(), Full> {
        for changes in changes.chunks(LOADED_TOGETHER) {
            self.families.prepare(changes);
            let counted = Quota::new(usize::MAX);
            let room = counted.at(now);
            for change in changes {
                match change {
                    Change::RotateFamily { family, to, at, .. } => self.families.rotate(*family, *to, *at, &room)?,
                    Change::RevokeFamily { family } => self.families.revoke(*family, &room)?,
                    // Few, and an epoch gives back as well.
                    _ => self.apply(change, now)?,
                };
            }
            self.quota.take_all(counted.used())?;
        }
        Ok(())
    }

    /// Gives back the memory that [`State::load`] took ahead.
    pub fn trim(&mut self) {
        self.families.trim();
    }

    /// Judges a presented refresh token and, in the same breath, makes the change the verdict calls for: one
    /// compare-and-set. The caller holds this shard alone, and has compared the epochs under the same roof.
    ///
    /// # Errors
    /// [`Full`] if the verdict needs a new entry and there is no room: the token is not burned, nothing is changed.
    pub fn rotate(&mut self, order: &Rotation, now: UnixSeconds) -> Result<Rotated, Full> {
        let family = order.family;
        match self.family(family, now).judge(order.from, &order.retry, now) {
            Verdict::Current => {
                let to = order.from.next();
                self.apply(&Change::RotateFamily { family, from: order.from, to, at: now }, now)?;
                Ok(Rotated::Advanced { to })
            }
            Verdict::Retry { successor } => {
                self.retries.count(family, successor, now, &self.quota)?;
                Ok(Rotated::Retry { successor })
            }
            Verdict::Reused => {
                self.apply(&Change::RevokeFamily { family }, now)?;
                Ok(Rotated::Reused)
            }
            Verdict::Revoked => Ok(Rotated::Revoked),
        }
    }

    /// What is known of `family`. A family that has ended is reported as revoked: its entry may be gone, and a clock
    /// that went back must not revive it.
    #[must_use]
    pub fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        let mut facts = if family.ends_by().has_passed(now) {
            FamilyFacts { revoked: true, ..FamilyFacts::default() }
        } else {
            self.families.find(family).unwrap_or_default()
        };
        facts.retries = self.retries.of(family, facts.generation, now);
        facts.seen_at = now;
        facts
    }

    /// Whether the access token `jti`, which expires at `expires_at` (its own `exp`), is denied. One that has expired
    /// is: its bucket may be gone.
    #[must_use]
    pub fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        expires_at.has_passed(now) || self.denied.holds(jti, expires_at) || self.denies_undated(jti)
    }

    /// Whether `jti` was denied without a known end. Cost: one hash look-up a bucket, and there are few.
    #[must_use]
    pub fn denies_undated(&self, jti: Jti) -> bool {
        self.undated.any_holds(&jti)
    }

    /// How many were denied without a known end.
    #[must_use]
    pub fn undated(&self) -> usize {
        self.undated.len()
    }

    /// How many epochs have moved.
    #[must_use]
    pub fn moved(&self) -> usize {
        self.epochs.len()
    }

    /// The epoch of a subject, client or key: what was authenticated or issued at or before it is over.
    ///
    /// Seconds are the grain of every date in a token, so what came earlier in the very second of the revocation
    /// cannot be told from what came later in it. Both are over: the later one asks again a second later.
    #[must_use]
    pub fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        self.epochs.find(of)
    }

    /// Whether an epoch ends the login of `order`, be it the subject's or the client's.
    #[must_use]
    pub fn is_over(&self, order: &Rotation) -> bool {
        let subject = self.epoch(&EpochOf::Subject(order.subject.clone()));
        let client = self.epoch(&EpochOf::Client(order.client.clone()));
        [subject, client].into_iter().flatten().any(|epoch| order.auth_time <= epoch)
    }

    /// Takes out every bucket that has ended, in time that does not depend on how many entries live on.
    pub fn detach_ended(&mut self, now: UnixSeconds) -> Ended {
        self.epochs.drop_ended(now, &self.quota);
        self.denied.detach_ended(now, &self.quota);
        Ended {
            _families: self.families.detach(now, &self.quota),
            _denied: self.denied.reclaim(),
            _undated: self.undated.detach(now, &self.quota),
            _spent: self.spent.detach(now, &self.quota),
            _retries: self.retries.detach(now, &self.quota),
        }
    }

    /// What is in it. Cost: one step a bucket.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let denied = self.denied.figures();
        let ends = [
            self.families.next_end(),
            denied.next_expiry,
            self.undated.next_end(),
            self.spent.next_end(),
            self.epochs.next_end(),
        ];
        Figures {
            families: self.families.len(),
            jtis: denied.jtis + self.undated.len(),
            spent: self.spent.len(),
            epochs: self.epochs.len(),
            retries: self.retries.len(),
            buckets: self.families.buckets()
                + denied.buckets
                + self.undated.buckets()
                + self.spent.buckets()
                + self.epochs.buckets(),
            bytes: self.families.bytes()
                + denied.bytes
                + self.undated.bytes()
                + self.spent.bytes()
                + self.epochs.bytes()
                + self.retries.bytes(),
            next_expiry: ends.into_iter().flatten().min(),
        }
    }

    /// The state as the shortest list of changes that rebuilds it, in one canonical order: equal lists, equal states.
    /// Retry counts are not part of it (see [`Retries`]).
    #[must_use]
    pub fn to_changes(&self) -> Vec<Change> {
        let mut changes = self.families.to_changes();
        let denied = self.denied.writer();
        changes.extend(denied.iter().map(|(expires_at, jti)| Change::DenyJti { jti, expires_at }));
        changes.extend(self.undated.iter().map(|(until, jti, ())| Change::DenyUndatedJti { jti, until }));
        let spent = self.spent.iter();
        changes.extend(spent.map(|(ends_at, (space, id), ())| Change::SpendId { space, id, ends_at }));
        changes.extend(self.epochs.to_changes());
        changes.sort_unstable();
        changes
    }
}
