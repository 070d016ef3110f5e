//! Epochs: a not-before mark for a subject, a client or a key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::protocol::time::UnixSeconds;
use crate::state::change::{Applied, Change, EpochOf};
use crate::state::quota::{Full, Quota, Room};

/// Marks by whom they concern, because a look-up knows the name and not the end; and the names by their end, so that
/// what has ended is found without a scan. A name stands in exactly one bucket, however often its mark moves.
#[derive(Debug)]
pub(super) struct Epochs {
    width_seconds: u64,
    marks: HashMap<EpochOf, Mark>,
    by_end: BTreeMap<u64, HashSet<EpochOf>>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    not_before: UnixSeconds,
    ends_at: UnixSeconds,
}

impl Epochs {
    pub(super) fn new(width: Duration) -> Self {
        Self { width_seconds: width.as_secs().max(1), marks: HashMap::new(), by_end: BTreeMap::new() }
    }

    fn slot(&self, end: UnixSeconds) -> u64 {
        end.0.div_ceil(self.width_seconds)
    }

    fn end_of(&self, slot: u64) -> UnixSeconds {
        UnixSeconds(slot.saturating_mul(self.width_seconds))
    }

    pub(super) fn find(&self, of: &EpochOf) -> Option<UnixSeconds> {
        self.marks.get(of).map(|mark| mark.not_before)
    }

    /// Moves the mark of `of`; never back.
    pub(super) fn advance(
        &mut self,
        of: &EpochOf,
        not_before: UnixSeconds,
        ends_at: UnixSeconds,
        room: &Room,
    ) -> Result<Applied, Full> {
        if self.end_of(self.slot(ends_at)).has_passed(room.now) {
            return Ok(Applied::Ended);
        }
        let Some(mark) = self.marks.get_mut(of) else {
            room.quota.take()?;
            self.marks.insert(of.clone(), Mark { not_before, ends_at });
            self.by_end.entry(self.slot(ends_at)).or_default().insert(of.clone());
            return Ok(Applied::New);
        };
        mark.not_before = mark.not_before.max(not_before);
        let earlier = mark.ends_at;
        mark.ends_at = earlier.max(ends_at);
        let (old, new) = (self.slot(earlier), self.slot(earlier.max(ends_at)));
        if old != new {
            if let Some(names) = self.by_end.get_mut(&old) {
                names.remove(of);
                if names.is_empty() {
                    self.by_end.remove(&old);
                }
            }
            self.by_end.entry(new).or_default().insert(of.clone());
        }
        Ok(Applied::Known)
    }

    /// Drops the marks that have ended; looks at no other.
    pub(super) fn drop_ended(&mut self, now: UnixSeconds, quota: &Quota) {
        let kept = self.by_end.split_off(&(now.0 / self.width_seconds).saturating_add(1));
        for of in std::mem::replace(&mut self.by_end, kept).into_values().flatten() {
            self.marks.remove(&of);
            quota.give_back(1);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn buckets(&self) -> usize {
        self.by_end.len()
    }

    pub(super) fn next_end(&self) -> Option<UnixSeconds> {
        self.by_end.keys().next().map(|slot| self.end_of(*slot))
    }

    /// Both tables, without the text of the names, which is shared with whoever holds the id.
    pub(super) fn bytes(&self) -> usize {
        let marks = self.marks.capacity() * (size_of::<(EpochOf, Mark)>() + 1);
        let ends: usize = self.by_end.values().map(|names| names.capacity() * (size_of::<EpochOf>() + 1)).sum();
        marks + ends
    }

    pub(super) fn to_changes(&self) -> impl Iterator<Item = Change> {
        self.marks.iter().map(|(of, mark)| Change::MoveEpoch {
            of: of.clone(),
            not_before: mark.not_before,
            ends_at: mark.ends_at,
        })
    }
}
