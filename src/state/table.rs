//! Tables of tags that one thread writes while any number read, without a lock and without waiting.
//!
//! A tag is a non-zero random word, kept in the table of the bucket it ends with. A table is cut into segments by the
//! tag's upper bits: one while it is small, 1024 once it is large, so that a [`Segment`] that is full can be replaced by
//! a larger one in a fraction of a millisecond.
//!
//! **Who sees what.** The tables are reached through an [`Index`], which is never changed but replaced: by one with a
//! new table, a larger segment, or without what has ended. The writer, who holds the one lock, stores the new index,
//! then its version. A reader keeps the index it used last ([`View`]), compares its version with the current one, and
//! fetches the index only if they differ. Versions are never used twice, not even by another `Tables`.
//!
//! [`Writer::insert`] stores the tag, then its two filter bits, into the current segments (`Release`) and returns. Whoever asks
//! *after* it returned, which means that some chain of messages leads from there to the question, loads a version no
//! older than the one the writer had seen, so it searches the very segment that was written, or a later copy of it. In
//! a copy the tag was there before the version was stored; in that segment both stores come before the question, and a
//! load never sees less than what comes before it. So an acknowledged tag is found, always. Whoever asks while
//! the insert runs may be told either.
//!
//! **What is freed when.** A replaced index is kept by the writer until no reader uses it any more, so the last reader
//! of a large table never has to free it; [`Tables::reclaim`] does.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::segment::{SEGMENT_BITS, Segment, Spread, lines_for};
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// While many tags come in a row: a segment counts as full when this part of its tags does not fit any more;
const AMPLE: usize = 32;
/// its neighbours when this part does not;
const NEARLY: usize = 4;
/// and so many segments are neighbours.
const NEIGHBOURS: usize = 16;
/// Segments that are trimmed at once.
const TRIMMED_TOGETHER: usize = 128;

/// When a table is cut into segments, and into how many; tests use small ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Segments of a large table: a power of two, at most 1024.
    pub(crate) segments: usize,
    /// Tags at which a table counts as large.
    pub(crate) large: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { segments: 1 << SEGMENT_BITS, large: 32 << SEGMENT_BITS }
    }
}

/// The table of one bucket. Cloning it clones pointers.
#[derive(Clone, Debug)]
struct Table {
    segments: Arc<[Arc<Segment>]>,
}

impl Table {
    /// A copy cut into `segments`, each with some room to spare however unevenly the tags are spread.
    fn cut(&self, segments: usize) -> Self {
        let mut tags = vec![0; segments];
        for tag in self.tags() {
            tags.get_mut(Spread::of(tag).segment(segments)).into_iter().for_each(|tags| *tags += 1);
        }
        let room = |tags: usize| Arc::new(Segment::new(lines_for(tags + tags / 8 + 1)));
        let cut = Self { segments: tags.into_iter().map(room).collect() };
        for tag in self.tags() {
            let spread = Spread::of(tag);
            cut.segment(spread).into_iter().for_each(|segment| segment.place(tag, spread));
        }
        cut
    }

    /// A copy in which the segment at `place` is larger; the others are the same.
    fn grown(&self, place: usize) -> Self {
        self.with(|at, own| (at == place).then(|| own.grown(place)))
    }

    /// A copy with other segments where `replace` gives one.
    fn with(&self, replace: impl Fn(usize, &Segment) -> Option<Segment>) -> Self {
        let segment = |(at, own): (usize, &Arc<Segment>)| replace(at, own).map_or_else(|| Arc::clone(own), Arc::new);
        Self { segments: self.segments.iter().enumerate().map(segment).collect() }
    }

    fn segment(&self, spread: Spread) -> Option<&Arc<Segment>> {
        self.segments.get(spread.segment(self.segments.len()))
    }

    fn holds(&self, tag: u64) -> bool {
        let spread = Spread::of(tag);
        self.segment(spread).is_some_and(|segment| segment.holds(tag, spread))
    }

    fn tags(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().flat_map(|segment| segment.tags())
    }
}

/// Every table by its slot, as of one version. Never changed.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In their order, beside their tables: a search reads little.
    slots: Vec<u64>,
    tables: Vec<Table>,
}

impl Index {
    fn table(&self, slot: u64) -> Option<&Table> {
        self.slots.binary_search(&slot).ok().and_then(|place| self.tables.get(place))
    }

    pub(crate) fn holds(&self, slot: u64, tag: u64) -> bool {
        self.table(slot).is_some_and(|table| table.holds(tag))
    }

    /// The slots that have tables, in their order.
    pub(crate) fn slots(&self) -> &[u64] {
        &self.slots
    }

    /// This index with `table` at `slot`, in place of the one that is there.
    fn with(&self, slot: u64, table: Table) -> Self {
        let (mut slots, mut tables) = (self.slots.clone(), self.tables.clone());
        match slots.binary_search(&slot) {
            Ok(place) => tables.splice(place..=place, [table]).for_each(drop),
            Err(place) => {
                slots.insert(place, slot);
                tables.insert(place, table);
            }
        }
        Self { slots, tables }
    }

    /// This index without the slots below `first_kept`.
    fn from(&self, first_kept: u64) -> Self {
        let gone = self.slots.partition_point(|slot| *slot < first_kept);
        let keep = |place: &usize| *place >= gone;
        let tables = self.tables.iter().enumerate().filter(|(place, _)| keep(place)).map(|(_, table)| table.clone());
        Self { slots: self.slots.iter().copied().skip(gone).collect(), tables: tables.collect() }
    }
}

/// The index a reader used last. Holds on to its tables, so a thread that falls asleep lets go of it first.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    version: u64,
    pub(crate) index: Arc<Index>,
}

/// What the writer knows of a table.
#[derive(Debug, Default)]
struct Book {
    tags: usize,
    /// Tags of each segment.
    taken: Vec<usize>,
}

#[derive(Debug, Default)]
struct Written {
    index: Arc<Index>,
    books: BTreeMap<u64, Book>,
    tags: usize,
    /// Replaced ones that a reader may still use. Each holds on to one small segment that is no longer current.
    replaced: Vec<Arc<Index>>,
    /// Those that hold on to whole tables that have ended.
    ended: Vec<Arc<Index>>,
}

/// What is freed when this is dropped.
pub(crate) type Freed = Vec<Arc<Index>>;

/// Tables by slot.
#[derive(Debug)]
pub(crate) struct Tables {
    shape: Shape,
    /// The version of `current`; 0 is the empty index, whoever's it is.
    version: AtomicU64,
    /// Held for no longer than copying a pointer takes.
    current: Mutex<Arc<Index>>,
    written: Mutex<Written>,
}

/// The next version, of any `Tables` in the process.
static VERSIONS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

impl Tables {
    pub(crate) fn new(shape: Shape) -> Self {
        let written = Written::default();
        Self {
            shape,
            version: AtomicU64::new(0),
            current: Mutex::new(Arc::clone(&written.index)),
            written: Mutex::new(written),
        }
    }

    /// Whether `tag` is in the table of `slot`. One load and one comparison before the search, if nothing was replaced.
    pub(crate) fn holds(&self, slot: u64, tag: u64, view: &mut View) -> bool {
        if self.version.load(Ordering::Acquire) != view.version {
            *view = self.view();
        }
        view.index.holds(slot, tag)
    }

    /// The upper bits by which a large table is cut, as far as they fit.
    pub(crate) fn region(tag: u64) -> u8 {
        let [region, ..] = Spread::of(tag).to_be_bytes();
        region
    }

    /// The current index.
    pub(crate) fn view(&self) -> View {
        let current = lock(&self.current);
        View { version: self.version.load(Ordering::Acquire), index: Arc::clone(&current) }
    }

    /// Waits for whoever writes; then nobody else does.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer { tables: self, written: lock(&self.written) }
    }

    /// Hands out what has ended or was replaced, and no reader uses any more.
    pub(crate) fn reclaim(&self) -> Freed {
        let mut written = lock(&self.written);
        let mut freed = unused(&mut written.ended);
        freed.append(&mut unused(&mut written.replaced));
        freed
    }
}

/// Takes out what only this list owns. Nobody can get it from anywhere else, so it stays that way.
fn unused(list: &mut Vec<Arc<Index>>) -> Freed {
    list.extract_if(.., |index| Arc::strong_count(index) == 1).collect()
}

/// A panic under these locks leaves nothing half done: a pointer is copied, or a tag stored.
fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one who writes.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    tables: &'a Tables,
    written: MutexGuard<'a, Written>,
}

impl Writer<'_> {
    pub(crate) fn holds(&self, slot: u64, tag: u64) -> bool {
        self.written.index.holds(slot, tag)
    }

    /// Puts in a tag that is not there. When this returns every later search finds it.
    pub(crate) fn insert(&mut self, slot: u64, tag: u64) {
        let spread = Spread::of(tag);
        if !self.has_room(slot, spread) {
            self.make_room(slot, spread);
        }
        let Written { index, books, tags, .. } = &mut *self.written;
        let (Some(table), Some(book)) = (index.table(slot), books.get_mut(&slot)) else { return };
        let place = spread.segment(table.segments.len());
        if let (Some(segment), Some(taken)) = (table.segments.get(place), book.taken.get_mut(place)) {
            segment.place(tag, spread);
            *taken += 1;
            book.tags += 1;
            *tags += 1;
        }
    }

    fn has_room(&self, slot: u64, spread: Spread) -> bool {
        let (Some(table), Some(book)) = (self.written.index.table(slot), self.written.books.get(&slot)) else {
            return false;
        };
        let place = spread.segment(table.segments.len());
        table.segments.get(place).zip(book.taken.get(place)).is_some_and(|(segment, taken)| segment.has_room(*taken))
    }

    /// A table where there is none; else the cut into segments, once; else a larger segment.
    fn make_room(&mut self, slot: u64, spread: Spread) {
        let Shape { segments, large } = self.tables.shape;
        let Written { index, books, .. } = &mut *self.written;
        let book = books.entry(slot).or_default();
        let table = match index.table(slot) {
            None => Table { segments: Arc::new([Arc::new(Segment::new(1))]) },
            Some(table) if table.segments.len() == 1 && book.tags >= large => table.cut(segments),
            Some(table) => table.grown(spread.segment(table.segments.len())),
        };
        if book.taken.len() != table.segments.len() {
            book.taken = table.segments.iter().map(|segment| segment.tags().count()).collect();
        }
        let index = index.with(slot, table);
        self.publish(index);
    }

    /// Before `tag` comes with many others: ample room, and its place brought into the cache. Gives what it read there.
    pub(crate) fn prepare(&mut self, slot: u64, tag: u64) -> u64 {
        let spread = Spread::of(tag);
        self.make_ample_room(slot, spread);
        let table = self.written.index.table(slot);
        table.and_then(|table| table.segment(spread)).map_or(0, |segment| segment.touch(spread))
    }

    /// Where a segment is full: half as large again, and its neighbours that are nearly full with it, so that an index is
    /// replaced once for all of them. The first table, and the cut, are left to [`Writer::insert`].
    fn make_ample_room(&mut self, slot: u64, spread: Spread) {
        let (Some(table), Some(book)) = (self.written.index.table(slot), self.written.books.get(&slot)) else { return };
        let place = spread.segment(table.segments.len());
        let is_full = |at: usize, segment: &Segment, spare: usize| {
            book.taken.get(at).is_some_and(|taken| !segment.has_room(taken + taken / spare))
        };
        let full = table.segments.get(place).is_some_and(|segment| is_full(place, segment, AMPLE));
        let cut_next = table.segments.len() == 1 && book.tags >= self.tables.shape.large;
        if !full || cut_next {
            return;
        }
        let near = |at: usize| at / NEIGHBOURS == place / NEIGHBOURS;
        let table = table.with(|at, own| (near(at) && is_full(at, own, NEARLY)).then(|| own.grown_amply()));
        let index = self.written.index.with(slot, table);
        self.publish(index);
    }

    /// Gives back the room that [`Writer::prepare`] made and nobody took; some segments at a time, so that there are never
    /// two of all.
    pub(crate) fn trim(&mut self) {
        let slots: Vec<u64> = self.written.index.slots.clone();
        for slot in slots {
            let segments = self.written.index.table(slot).map_or(0, |table| table.segments.len());
            for first in (0..segments).step_by(TRIMMED_TOGETHER) {
                let Written { index, books, .. } = &*self.written;
                let (Some(table), Some(book)) = (index.table(slot), books.get(&slot)) else { continue };
                let table = table.with(|at, own| {
                    let taken = book.taken.get(at).filter(|_| (first..first + TRIMMED_TOGETHER).contains(&at))?;
                    own.trimmed(*taken)
                });
                let index = index.with(slot, table);
                self.publish(index);
            }
        }
    }

    /// Takes out the tables below `first_kept`; says how many tags were in them.
    pub(crate) fn detach(&mut self, first_kept: u64) -> usize {
        let kept = self.written.books.split_off(&first_kept);
        let gone = std::mem::replace(&mut self.written.books, kept);
        if gone.is_empty() {
            return 0;
        }
        let index = self.written.index.from(first_kept);
        self.publish(index);
        let Written { replaced, ended, .. } = &mut *self.written;
        ended.append(replaced);
        let tags = gone.values().map(|book| book.tags).sum();
        self.written.tags -= tags;
        tags
    }

    fn publish(&mut self, index: Index) {
        let index = Arc::new(index);
        let mut current = lock(&self.tables.current);
        *current = Arc::clone(&index);
        // Under the lock, so that whoever copies the pointer reads the version that belongs to it.
        let version = VERSIONS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.tables.version.store(version, Ordering::Release);
        drop(current);
        let replaced = std::mem::replace(&mut self.written.index, index);
        // The earlier ones first: what is replaced here may hold whole tables that end, and those wait for `reclaim`.
        drop(unused(&mut self.written.replaced));
        self.written.replaced.push(replaced);
    }

    /// Tags of all tables.
    pub(crate) fn len(&self) -> usize {
        self.written.tags
    }

    /// The slots that have tables.
    pub(crate) fn slots(&self) -> &[u64] {
        self.written.index.slots()
    }

    /// Memory of the tables that are current.
    pub(crate) fn bytes(&self) -> usize {
        let segments = self.written.index.tables.iter().flat_map(|table| table.segments.iter());
        segments.map(|segment| segment.bytes() + size_of::<Segment>()).sum()
    }

    /// Every tag with its slot.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        let index = &self.written.index;
        index.slots.iter().zip(&index.tables).flat_map(|(slot, table)| table.tags().map(|tag| (*slot, tag)))
    }
}
