//! Entries that expire together lie together.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::protocol::time::UnixSeconds;
use crate::state::change::Applied;
use crate::state::quota::{Full, Quota, Room};

/// What a bucket is made of: entries are made and merged, and leave together.
pub(super) trait Table: Default {
    type Key;
    type Value;

    fn find(&self, key: &Self::Key) -> Option<Self::Value>;
    /// Changes the value of `key`, if there is one, and says so.
    fn update(&mut self, key: &Self::Key, change: impl FnOnce(&mut Self::Value)) -> bool;
    /// Makes an entry for a key that has none.
    fn insert(&mut self, key: Self::Key, value: Self::Value);
    fn len(&self) -> usize;
    fn bytes(&self) -> usize;
    fn entries(&self) -> impl Iterator<Item = (Self::Key, Self::Value)>;
}

/// For the kinds of which there are few.
impl<K: Eq + Hash + Clone, V: Clone> Table for HashMap<K, V> {
    type Key = K;
    type Value = V;

    fn find(&self, key: &K) -> Option<V> {
        self.get(key).cloned()
    }

    fn update(&mut self, key: &K, change: impl FnOnce(&mut V)) -> bool {
        self.get_mut(key).map(change).is_some()
    }

    fn insert(&mut self, key: K, value: V) {
        HashMap::insert(self, key, value);
    }

    fn len(&self) -> usize {
        HashMap::len(self)
    }

    /// One control byte and one pair for each place, whether it is taken or not.
    fn bytes(&self) -> usize {
        self.capacity() * (size_of::<(K, V)>() + 1)
    }

    fn entries(&self) -> impl Iterator<Item = (K, V)> {
        self.iter().map(|(key, value)| (key.clone(), value.clone()))
    }
}

/// Which bucket an end belongs to: it is rounded up to a multiple of the width, so no entry leaves early.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    width_seconds: u64,
}

impl Grid {
    pub(super) fn new(width: Duration) -> Self {
        Self { width_seconds: width.as_secs().max(1) }
    }

    pub(super) fn slot(self, end: UnixSeconds) -> u64 {
        end.0.div_ceil(self.width_seconds)
    }

    pub(super) fn end_of(self, slot: u64) -> UnixSeconds {
        UnixSeconds(slot.saturating_mul(self.width_seconds))
    }

    /// The first slot that has not ended: ended means `end <= now`, and a bucket's end is a multiple of the width.
    pub(super) fn first_kept(self, now: UnixSeconds) -> u64 {
        (now.0 / self.width_seconds).saturating_add(1)
    }
}

/// Tables by their end.
#[derive(Debug)]
pub(super) struct Buckets<T> {
    grid: Grid,
    tables: BTreeMap<u64, T>,
    entries: usize,
}

/// Tables taken out; dropping it frees them.
pub(super) type Detached<T> = BTreeMap<u64, T>;

impl<T: Table> Buckets<T> {
    pub(super) fn new(width: Duration) -> Self {
        Self { grid: Grid::new(width), tables: BTreeMap::new(), entries: 0 }
    }

    /// The entry of `key` in the bucket of `end`; looks at no other bucket.
    pub(super) fn find(&self, end: UnixSeconds, key: &T::Key) -> Option<T::Value> {
        self.tables.get(&self.grid.slot(end))?.find(key)
    }

    /// Whether any bucket has `key`: for kinds with few buckets, because it asks each.
    pub(super) fn any_holds(&self, key: &T::Key) -> bool {
        self.tables.values().any(|table| table.find(key).is_some())
    }

    /// Merges into the entry of `key`, or makes it; in a bucket that has ended it does neither. What counts is the
    /// bucket's end and not the entry's, so an entry that comes late and one that came early fare alike.
    pub(super) fn merge(
        &mut self,
        end: UnixSeconds,
        key: T::Key,
        value: T::Value,
        room: &Room,
        join: impl FnOnce(&mut T::Value, &T::Value),
    ) -> Result<Applied, Full> {
        let slot = self.grid.slot(end);
        if self.grid.end_of(slot).has_passed(room.now) {
            return Ok(Applied::Ended);
        }
        if self.tables.get_mut(&slot).is_some_and(|table| table.update(&key, |own| join(own, &value))) {
            return Ok(Applied::Known);
        }
        // Room first: at the bound not even an empty table is made.
        room.quota.take()?;
        self.tables.entry(slot).or_default().insert(key, value);
        self.entries += 1;
        Ok(Applied::New)
    }

    /// The table of the bucket of `end`, if there is one. Whoever has it must not change the number of its entries.
    pub(super) fn table_mut(&mut self, end: UnixSeconds) -> Option<&mut T> {
        self.tables.get_mut(&self.grid.slot(end))
    }

    /// Every table; as [`Buckets::table_mut`].
    pub(super) fn tables_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.tables.values_mut()
    }

    /// Takes out every bucket that has ended: one split of the tree, no look at an entry.
    pub(super) fn detach(&mut self, now: UnixSeconds, quota: &Quota) -> Detached<T> {
        let kept = self.tables.split_off(&self.grid.first_kept(now));
        let gone = std::mem::replace(&mut self.tables, kept);
        let entries = gone.values().map(T::len).sum();
        self.entries = self.entries.saturating_sub(entries);
        quota.give_back(entries);
        gone
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn buckets(&self) -> usize {
        self.tables.len()
    }

    pub(super) fn next_end(&self) -> Option<UnixSeconds> {
        self.tables.keys().next().map(|slot| self.grid.end_of(*slot))
    }

    pub(super) fn bytes(&self) -> usize {
        self.tables.values().map(T::bytes).sum()
    }

    /// Every entry with the end of its bucket; for snapshots, never on a request's path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (UnixSeconds, T::Key, T::Value)> {
        let tables = self.tables.iter();
        tables.flat_map(|(slot, table)| table.entries().map(|(key, value)| (self.grid.end_of(*slot), key, value)))
    }
}

impl<T: Table<Value = ()>> Buckets<T> {
    /// Adds `key` to the bucket of `end`.
    pub(super) fn insert(&mut self, end: UnixSeconds, key: T::Key, room: &Room) -> Result<Applied, Full> {
        self.merge(end, key, (), room, |(), ()| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_until_its_end_and_leaves_within_a_width_of_it() {
        for end in [1, 59, 60, 61, 119, 120, 121] {
            let quota = Quota::new(9);
            let mut buckets: Buckets<HashMap<char, ()>> = Buckets::new(Duration::from_secs(60));
            buckets.insert(UnixSeconds(end), 'x', &quota.at(UnixSeconds(0))).expect("room");
            drop(buckets.detach(UnixSeconds(end - 1), &quota));
            assert!(buckets.find(UnixSeconds(end), &'x').is_some(), "{end}: still needed");
            drop(buckets.detach(UnixSeconds(end + 59), &quota));
            assert_eq!((buckets.len(), buckets.buckets(), quota.used()), (0, 0, 0), "{end}: gone and given back");
        }
    }

    #[test]
    fn the_far_end_does_not_overflow() {
        let quota = Quota::new(9);
        let mut buckets: Buckets<HashMap<char, ()>> = Buckets::new(Duration::from_secs(60));
        buckets.insert(UnixSeconds::NEVER, 'x', &quota.at(UnixSeconds(0))).expect("room");
        drop(buckets.detach(UnixSeconds(u64::MAX - 1), &quota));
        assert!(buckets.find(UnixSeconds::NEVER, &'x').is_some());
        assert_eq!(buckets.next_end(), Some(UnixSeconds::NEVER));
    }
}
