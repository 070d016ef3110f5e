//! The table of families: flat, no pointers, no stored hash, no removal.
//!
//! Entries lie eight to a line, open addressing goes from line to line, and a line that is not full ends a search. At
//! most 88 in 100 places are taken; then the table is rebuilt an eighth larger, so at least 78 are. Ids are random
//! already, so they are spread by one multiplication. Tables are dropped whole with their bucket, so nothing is ever
//! removed and there are no tombstones. The state is in 64 shards, and a rebuild stops one. A start, which stops nobody,
//! grows tables by half and trims them at its end.

use crate::state::bucket::Table;

/// Places of a line.
const LINE: usize = 8;
/// Of 100 places at most this many are taken.
const LOAD_MAX: usize = 88;

/// One place: empty, or a key with its value.
pub(super) trait Slot: Copy {
    type Key;
    type Value;
    const EMPTY: Self;

    fn new(key: &Self::Key, value: Self::Value) -> Self;
    fn is_empty(&self) -> bool;
    /// Bits to place it by; the upper ones count.
    fn bits(&self) -> u64;
    fn holds(&self, other: &Self) -> bool;
    fn key(&self) -> Self::Key;
    fn value(&self) -> Self::Value;
    fn set(&mut self, value: Self::Value);
    /// An entry to compare with.
    fn probe(key: &Self::Key) -> Self;
}

/// A flat table of slots.
#[derive(Debug)]
pub(super) struct Dense<S> {
    lines: Vec<[S; LINE]>,
    entries: usize,
}

impl<S> Default for Dense<S> {
    fn default() -> Self {
        Self { lines: Vec::new(), entries: 0 }
    }
}

impl<S: Slot> Dense<S> {
    /// The line a search begins with: the bits, spread, scaled to the number of lines.
    fn first_line(&self, slot: &S) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let spread = u128::from(slot.bits().wrapping_mul(GOLDEN));
        // Below the number of lines, which is a usize.
        usize::try_from((spread * self.lines.len() as u128) >> 64).unwrap_or(0)
    }

    /// The lines in the order of a search for `slot`; each once.
    fn search(&self, slot: &S) -> impl Iterator<Item = &[S; LINE]> {
        let (before, after) = self.lines.split_at_checked(self.first_line(slot)).unwrap_or((&[], &[]));
        after.iter().chain(before)
    }

    fn search_mut(&mut self, slot: &S) -> impl Iterator<Item = &mut [S; LINE]> {
        let first = self.first_line(slot);
        let (before, after) = self.lines.split_at_mut_checked(first).unwrap_or((&mut [], &mut []));
        after.iter_mut().chain(before)
    }

    fn place(&mut self, slot: S) {
        for line in self.search_mut(&slot) {
            if let Some(free) = line.iter_mut().find(|place| place.is_empty()) {
                *free = slot;
                return;
            }
        }
    }

    fn has_room(&self, more: usize) -> bool {
        (self.entries + more) * 100 <= self.lines.len() * LINE * LOAD_MAX
    }

    fn make_room(&mut self) {
        if !self.has_room(1) {
            self.rebuild(self.lines.len() + (self.lines.len() / 8).max(1));
        }
    }

    fn rebuild(&mut self, lines: usize) {
        let old = std::mem::replace(&mut self.lines, vec![[S::EMPTY; LINE]; lines]);
        for slot in old.iter().flatten().filter(|slot| !slot.is_empty()) {
            self.place(*slot);
        }
    }

    /// Before many entries are made in a row: grows by half and not by an eighth, so that each is moved twice and not
    /// nine times. [`Dense::trim`] gives back what was too much.
    pub(super) fn make_ample_room(&mut self, more: usize) {
        if !self.has_room(more.min(self.entries / 2 + 1)) {
            self.rebuild(self.lines.len() + (self.lines.len() / 2).max(1));
        }
    }

    /// Rebuilds a table that has more room than one that grew by eighths would have.
    pub(super) fn trim(&mut self) {
        let needed = self.entries * 100 / (LINE * LOAD_MAX) + 1;
        if self.lines.len() > needed + needed / 8 {
            self.rebuild(needed + needed / 16);
        }
    }

    /// Reads from where the search for `key` begins, so that it is in the cache when it is needed. Reads for many keys wait
    /// for memory together, where searches would wait one after the other.
    pub(super) fn touch(&self, key: &S::Key) -> u64 {
        let line = self.lines.get(self.first_line(&S::probe(key)));
        // A line of families spans three or four of the processor's.
        line.map_or(0, |line| line.iter().step_by(2).fold(0, |read, slot| read ^ slot.bits()))
    }
}

impl<S: Slot> Table for Dense<S> {
    type Key = S::Key;
    type Value = S::Value;

    fn find(&self, key: &S::Key) -> Option<S::Value> {
        let wanted = S::probe(key);
        for line in self.search(&wanted) {
            if let Some(found) = line.iter().find(|slot| slot.holds(&wanted)) {
                return Some(found.value());
            }
            if line.last().is_none_or(Slot::is_empty) {
                return None;
            }
        }
        None
    }

    fn update(&mut self, key: &S::Key, change: impl FnOnce(&mut S::Value)) -> bool {
        let wanted = S::probe(key);
        for line in self.search_mut(&wanted) {
            if let Some(found) = line.iter_mut().find(|slot| slot.holds(&wanted)) {
                let mut value = found.value();
                change(&mut value);
                found.set(value);
                return true;
            }
            if line.last().is_none_or(Slot::is_empty) {
                return false;
            }
        }
        false
    }

    fn insert(&mut self, key: S::Key, value: S::Value) {
        self.make_room();
        self.place(S::new(&key, value));
        self.entries += 1;
    }

    fn len(&self) -> usize {
        self.entries
    }

    fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<[S; LINE]>()
    }

    fn entries(&self) -> impl Iterator<Item = (S::Key, S::Value)> {
        self.lines.iter().flatten().filter(|slot| !slot.is_empty()).map(|slot| (slot.key(), slot.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place that is nothing but its key.
    #[derive(Clone, Copy, Debug)]
    struct Word(u64);

    impl Slot for Word {
        type Key = u64;
        type Value = ();
        const EMPTY: Self = Self(0);

        fn new(key: &u64, (): ()) -> Self {
            Self(*key)
        }

        fn is_empty(&self) -> bool {
            self.0 == 0
        }

        fn bits(&self) -> u64 {
            self.0
        }

        fn holds(&self, other: &Self) -> bool {
            self.0 == other.0
        }

        fn key(&self) -> u64 {
            self.0
        }

        fn value(&self) {}

        fn set(&mut self, (): ()) {}

        fn probe(key: &u64) -> Self {
            Self(*key)
        }
    }

    fn key(n: u64) -> u64 {
        // Ids as they come, and ids that all want the same line.
        if n.is_multiple_of(2) { (n + 1).wrapping_mul(0x2545_f491_4f6c_dd1d) } else { n }
    }

    #[test]
    fn it_finds_what_it_was_given_and_nothing_else_through_every_rebuild() {
        let mut table: Dense<Word> = Dense::default();
        assert_eq!(table.find(&key(1)), None);
        for n in 0..20_000 {
            assert!(!table.update(&key(n), |()| ()), "{n}");
            table.insert(key(n), ());
            assert!(table.update(&key(n), |()| ()), "{n}");
        }
        assert_eq!((table.len(), table.entries().count()), (20_000, 20_000));
        assert!((0..20_000).all(|n| table.find(&key(n)).is_some()));
        assert!((20_000..40_000).all(|n| table.find(&key(n)).is_none()));
        let each = table.bytes() as f64 / 20_000.0;
        assert!((9.0..10.6).contains(&each), "{each} bytes an entry");
    }

    #[test]
    fn ample_room_loses_nothing_and_is_given_back() {
        let mut table: Dense<Word> = Dense::default();
        for n in 0..20_000 {
            table.make_ample_room(32);
            table.touch(&key(n));
            table.insert(key(n), ());
        }
        table.trim();
        assert_eq!((table.len(), table.entries().count()), (20_000, 20_000));
        assert!((0..20_000).all(|n| table.find(&key(n)).is_some()));
        assert!((20_000..40_000).all(|n| table.find(&key(n)).is_none()));
        let each = table.bytes() as f64 / 20_000.0;
        assert!((9.0..10.6).contains(&each), "{each} bytes an entry");
        table.insert(key(20_000), ());
        assert!(table.find(&key(20_000)).is_some());
    }
}
