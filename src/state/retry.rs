//! Retries: how often a lost answer may be asked for again.

use std::collections::HashMap;
use std::time::Duration;

use crate::protocol::id::{FamilyId, Generation};
use crate::protocol::time::UnixSeconds;
use crate::state::quota::{Full, Quota};

/// When a refresh token may be presented again (FAPI 2.0 section 5.3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// How long after a rotation its token may be presented again. Zero: never.
    pub window: Duration,
    /// Most retries answered for one generation. Beyond it the family is revoked.
    pub per_generation_max: u32,
    /// Most generations of one family that may be retried in one UTC day. Beyond it the family is revoked: this bounds a
    /// thief and a victim who both refresh inside the window every time. It counts generations and not retries, so a
    /// burst of one token counts once. Two honest tabs that always refresh together look the same: keep it above the
    /// number of access token lifetimes in a day.
    pub per_day_max: u32,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), per_generation_max: 64, per_day_max: 1_000 }
    }
}

impl RetryRules {
    pub(super) fn allow(&self, used: Retries) -> bool {
        let counted_today = used.of_generation > 0;
        used.of_generation < self.per_generation_max && (counted_today || used.today < self.per_day_max)
    }
}

/// Retries answered so far. Hints, kept in memory only: they are in no change, and a restart starts at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Retries {
    /// For the live generation.
    pub of_generation: u32,
    /// Generations of the family that were retried today (UTC).
    pub today: u32,
}

/// Today's counts, for the families that retried at all. The day's table is dropped whole when the day is over, and
/// with it the counts of a generation whose window spans midnight.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    day: u64,
    counts: HashMap<FamilyId, Count>,
}

/// Yesterday's table; dropping it frees it.
pub(super) type Detached = HashMap<FamilyId, Count>;

#[derive(Debug, Default)]
pub(super) struct Count {
    generation: Generation,
    retries: Retries,
}

const DAY_SECONDS: u64 = 86_400;

impl Ledger {
    /// The retries of `family` that count against `generation`, the live one.
    pub(super) fn of(&self, family: FamilyId, generation: Generation, now: UnixSeconds) -> Retries {
        // A day that has ended counts no more, dropped or not. A clock that went back stays in the day it left.
        if self.day < now.0 / DAY_SECONDS {
            return Retries::default();
        }
        match self.counts.get(&family) {
            Some(count) if count.generation == generation => count.retries,
            Some(count) => Retries { of_generation: 0, today: count.retries.today },
            None => Retries::default(),
        }
    }

    /// Counts one retry that was answered with `successor`.
    pub(super) fn count(
        &mut self,
        family: FamilyId,
        successor: Generation,
        now: UnixSeconds,
        quota: &Quota,
    ) -> Result<(), Full> {
        drop(self.detach(now, quota));
        if !self.counts.contains_key(&family) {
            quota.take()?;
        }
        let count = self.counts.entry(family).or_default();
        if count.generation != successor {
            let today = count.retries.today.saturating_add(1);
            *count = Count { generation: successor, retries: Retries { of_generation: 0, today } };
        }
        count.retries.of_generation = count.retries.of_generation.saturating_add(1);
        Ok(())
    }

    /// Opens a new day if the old one is over, and hands out the old table.
    pub(super) fn detach(&mut self, now: UnixSeconds, quota: &Quota) -> Detached {
        let today = now.0 / DAY_SECONDS;
        if today <= self.day {
            return HashMap::new();
        }
        self.day = today;
        quota.give_back(self.counts.len());
        std::mem::take(&mut self.counts)
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.counts.capacity() * (size_of::<(FamilyId, Count)>() + 1)
    }
}
