//! A flat piece of the table of denied tokens.
//!
//! Lines of eight tags (one cache line), filled in order; open addressing from line to line; nothing is ever removed. In
//! front of the lines lies one word for each, the filter: a tag sets two bits in the word of the line its search begins
//! with, whichever line it ends up in. So nearly every search for what is not there reads one word.

use super::sync::{AtomicU64, Ordering};

/// Tags of a line: one cache line.
const LINE: usize = 8;
/// Of 100 places of a segment at most this many are taken.
const LOAD_MAX: usize = 85;
/// Upper bits of a tag that may choose its segment.
pub(crate) const SEGMENT_BITS: u32 = 10;

/// Eight places; zero is an empty one.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Line([AtomicU64; LINE]);

/// Where a tag belongs, from bits that look random.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread(u64);

impl Spread {
    /// Ids are random already; one multiplication also spreads those that are not.
    pub(crate) fn of(tag: u64) -> Self {
        Self(tag.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn segment(self, segments: usize) -> usize {
        // A shift by all 64 bits is none; there is nothing to choose then.
        self.0.checked_shr(u64::BITS - segments.trailing_zeros()).unwrap_or(0) as usize
    }

    /// The bits below those of the segment, scaled to the number of lines.
    fn line(self, lines: usize) -> usize {
        ((u128::from(self.0 << SEGMENT_BITS) * lines as u128) >> u64::BITS) as usize
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Two of a word's bits, by the lowest bits, which no other choice uses.
    fn filter_bits(self) -> u64 {
        1 << (self.0 & 63) | 1 << (self.0 >> 6 & 63)
    }
}

/// A flat table of tags with its filter.
#[derive(Debug)]
pub(crate) struct Segment {
    filter: Box<[AtomicU64]>,
    lines: Box<[Line]>,
}

impl Segment {
    /// An empty one; every page of it is touched here.
    pub(crate) fn new(lines: usize) -> Self {
        Self {
            filter: (0..lines).map(|_| AtomicU64::new(0)).collect(),
            lines: (0..lines).map(|_| Line::default()).collect(),
        }
    }

    /// The lines in the order of a search; each once.
    fn search(&self, spread: Spread) -> impl Iterator<Item = &Line> {
        let first = spread.line(self.lines.len());
        let (before, after) = self.lines.split_at_checked(first).unwrap_or((&[], &[]));
        after.iter().chain(before)
    }

    pub(crate) fn holds(&self, tag: u64, spread: Spread) -> bool {
        let bits = spread.filter_bits();
        let word = self.filter.get(spread.line(self.lines.len()));
        if word.is_none_or(|word| word.load(Ordering::Acquire) & bits != bits) {
            return false;
        }
        for line in self.search(spread) {
            // Without a branch for each place: one taken wrongly would wait for the line to arrive from memory, and keep the
            // processor from beginning the next search meanwhile.
            let (mut found, mut last) = (false, 0);
            for place in &line.0 {
                last = place.load(Ordering::Acquire);
                found |= last == tag;
            }
            if found || last == 0 {
                return found;
            }
        }
        false
    }

    /// Puts in a tag that is not there. Only the writer calls it.
    pub(crate) fn place(&self, tag: u64, spread: Spread) {
        let free = self.search(spread).flat_map(|line| &line.0).find(|place| place.load(Ordering::Relaxed) == 0);
        if let Some(free) = free {
            free.store(tag, Ordering::Release);
        }
        if let Some(word) = self.filter.get(spread.line(self.lines.len())) {
            // A load and a store are enough: nobody else writes.
            word.store(word.load(Ordering::Relaxed) | spread.filter_bits(), Ordering::Release);
        }
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = u64> {
        self.lines.iter().flat_map(|line| &line.0).map(|place| place.load(Ordering::Relaxed)).filter(|tag| *tag != 0)
    }

    pub(crate) fn has_room(&self, taken: usize) -> bool {
        (taken + 1) * 100 <= self.lines.len() * LINE * LOAD_MAX
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lines.len() * (size_of::<Line>() + size_of::<AtomicU64>())
    }

    /// A copy with room for more: a sixteenth to three sixteenths larger. By how much depends on `salt`, so that
    /// segments which fill evenly are not all replaced, and not all half empty, at the same time.
    pub(crate) fn grown(&self, salt: usize) -> Self {
        let lines = self.lines.len();
        self.with_lines(lines + lines / 16 + salt * 7 % (lines / 8 + 1) + 1)
    }

    /// A copy half as large again, while many come in a row.
    pub(crate) fn grown_amply(&self) -> Self {
        self.with_lines(self.lines.len() + self.lines.len() / 2 + 1)
    }

    /// A copy without the room that [`Segment::grown_amply`] made and nobody took, if it is much.
    pub(crate) fn trimmed(&self, taken: usize) -> Option<Self> {
        let needed = lines_for(taken + 1);
        (self.lines.len() > needed + needed * 3 / 16).then(|| self.with_lines(needed + needed / 16))
    }

    fn with_lines(&self, lines: usize) -> Self {
        let copy = Self::new(lines);
        self.tags().for_each(|tag| copy.place(tag, Spread::of(tag)));
        copy
    }

    /// Reads from where the search for a tag begins, so that it is in the cache when it is needed.
    pub(crate) fn touch(&self, spread: Spread) -> u64 {
        let line = spread.line(self.lines.len());
        let first = self.lines.get(line).and_then(|line| line.0.first());
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        first.map_or(0, read) ^ self.filter.get(line).map_or(0, read)
    }
}

/// The lines that hold `tags` and a few more.
pub(crate) fn lines_for(tags: usize) -> usize {
    tags * 100 / (LINE * LOAD_MAX) + 1
}
