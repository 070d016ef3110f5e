//! Denied access tokens: eight bytes each and one of filter, at most 85 in 100 places taken.
//!
//! A token is known by half of its `jti`: the last eight of sixteen random bytes. Where it lies in its bucket's table
//! follows from that half alone, so a token that was never denied is taken for a denied one if its half equals one of
//! the n in its bucket and not otherwise: with a chance of n / 2^64 a look-up, with 100 million at the most
//! 5.4e-12, once in 180 thousand million look-ups. Then it is refused and its client asks for another. The other way
//! there is no error: a denied token is always found.
//!
//! Look-ups take no lock (see [`table`](super::table)), so this part of the state is shared as it is, where the others are
//! put behind the locks of `store/`.

use std::cell::RefCell;
use std::time::Duration;

use crate::protocol::id::Jti;
use crate::protocol::time::UnixSeconds;
use crate::state::bucket::Grid;
use crate::state::change::Applied;
use crate::state::quota::{Full, Quota};
use crate::state::table::{Freed, Shape, Tables, View, Writer};
use crate::state::{Change, Figures, LOADED_TOGETHER};

thread_local! {
    /// What this thread saw last, of whichever denylist it asked last.
    static VIEW: RefCell<View> = RefCell::default();
}

/// Lets go of the tables this thread has seen, so that the memory of those that end can be freed. For a thread that is about
/// to sleep; its next look-up costs some ten nanoseconds more.
pub fn forget_denied() {
    // A thread that is ending has let go already.
    let _ = VIEW.try_with(|view| view.take());
}

/// Denied access tokens by their end. Any number of threads ask while one writes.
#[derive(Debug)]
pub struct Denylist {
    grid: Grid,
    tables: Tables,
}

/// What has ended; dropping it frees the memory.
#[derive(Debug, Default)]
pub struct EndedDenied {
    _tables: Freed,
}

impl Denylist {
    /// An empty one whose buckets span `width`.
    #[must_use]
    pub fn new(width: Duration) -> Self {
        Self { grid: Grid::new(width), tables: Tables::new(Shape::default()) }
    }

    /// Whether the token `jti`, which expires at `expires_at` (its own `exp`), was denied. Takes no lock. A denial whose
    /// [`DenylistWriter::deny`] returned before this was called is found.
    #[must_use]
    pub fn holds(&self, jti: Jti, expires_at: UnixSeconds) -> bool {
        let (slot, tag) = (self.grid.slot(expires_at), tag(jti));
        let known = VIEW.try_with(|view| match view.try_borrow_mut() {
            Ok(mut view) => self.tables.holds(slot, tag, &mut view),
            Err(_) => self.tables.holds(slot, tag, &mut View::default()),
        });
        known.unwrap_or_else(|_| self.tables.holds(slot, tag, &mut View::default()))
    }

    /// Tokens of one region lie near each other in their table: whoever denies many does well to go by region.
    #[must_use]
    pub fn region(jti: Jti) -> u8 {
        Tables::region(tag(jti))
    }

    /// The right to write, which one holder has at a time.
    pub fn writer(&self) -> DenylistWriter<'_> {
        DenylistWriter { grid: self.grid, tables: self.tables.writer() }
    }

    /// Takes out every bucket that has ended; what it held is freed by [`Denylist::reclaim`], once nobody looks at it.
    pub fn detach_ended(&self, now: UnixSeconds, quota: &Quota) {
        quota.give_back(self.tables.writer().detach(self.grid.first_kept(now)));
    }

    /// What is in it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let tables = self.tables.writer();
        Figures {
            jtis: tables.len(),
            buckets: tables.slots().len(),
            bytes: tables.bytes(),
            next_expiry: tables.slots().first().map(|slot| self.grid.end_of(*slot)),
            ..Figures::default()
        }
    }

    /// Hands out the memory of what was detached and is no longer looked at.
    pub fn reclaim(&self) -> EndedDenied {
        forget_denied();
        EndedDenied { _tables: self.tables.reclaim() }
    }
}

/// The right to write into a [`Denylist`].
#[derive(Debug)]
pub struct DenylistWriter<'a> {
    grid: Grid,
    tables: Writer<'a>,
}

impl DenylistWriter<'_> {
    /// Denies a token until its bucket has ended; in one that has ended at `now` it does nothing.
    ///
    /// # Errors
    /// [`Full`] if it needs a new entry and `quota` is used up; nothing is changed then.
    pub fn deny(
        &mut self,
        jti: Jti,
        expires_at: UnixSeconds,
        quota: &Quota,
        now: UnixSeconds,
    ) -> Result<Applied, Full> {
        let (slot, tag) = (self.grid.slot(expires_at), tag(jti));
        if self.grid.end_of(slot).has_passed(now) {
            return Ok(Applied::Ended);
        }
        if self.tables.holds(slot, tag) {
            return Ok(Applied::Known);
        }
        // Room first: at the bound not even an empty table is made.
        quota.take()?;
        self.tables.insert(slot, tag);
        Ok(Applied::New)
    }

    /// Denies what `changes` deny, as [`DenylistWriter::deny`] does, for a start that denies millions: they wait for memory
    /// and ask for quota together. [`DenylistWriter::trim`] follows when all have come.
    ///
    /// # Errors
    /// [`Full`] if there is no room for all: some of them are denied then.
    pub fn load(&mut self, changes: &[Change], quota: &Quota, now: UnixSeconds) -> Result<(), Full> {
        for changes in changes.chunks(LOADED_TOGETHER) {
            let mut read = 0;
            for change in changes {
                if let Change::DenyJti { jti, expires_at } = change {
                    read ^= self.tables.prepare(self.grid.slot(*expires_at), tag(*jti));
                }
            }
            // Else a compiler would see that nobody needs what was read, and not read it.
            std::hint::black_box(read);
            let counted = Quota::new(usize::MAX);
            for change in changes {
                if let Change::DenyJti { jti, expires_at } = change {
                    self.deny(*jti, *expires_at, &counted, now)?;
                }
            }
            quota.take_all(counted.used())?;
        }
        Ok(())
    }

    /// Gives back the memory that [`DenylistWriter::load`] took ahead.
    pub fn trim(&mut self) {
        self.tables.trim();
    }

    /// Every entry with the end of its bucket, and a `jti` of the same half: denying that gives the same entry.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UnixSeconds, Jti)> {
        self.tables.entries().map(|(slot, tag)| {
            let [a, b, c, d, e, f, g, h] = tag.to_be_bytes();
            (self.grid.end_of(slot), Jti([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h]))
        })
    }
}

/// The half of a `jti` that is kept; zero is an empty place.
fn tag(jti: Jti) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = jti.0;
    // One in 2^64 is zero, and shares its entry with another one.
    match u64::from_be_bytes([a, b, c, d, e, f, g, h]) {
        0 => 0x9e37_79b9_7f4a_7c15,
        tag => tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: UnixSeconds = UnixSeconds(120);

    fn jti(n: u64) -> Jti {
        // Ids as they come, and ids that all want the same line.
        let tail = if n.is_multiple_of(2) { n.wrapping_mul(0x2545_f491_4f6c_dd1d) } else { n };
        let [a, b, c, d, e, f, g, h] = tail.to_be_bytes();
        Jti([9, 9, 9, 9, 9, 9, 9, 9, a, b, c, d, e, f, g, h])
    }

    #[test]
    fn it_finds_what_it_was_given_and_nothing_else_through_every_larger_segment() {
        let (denylist, quota) = (Denylist::new(Duration::from_secs(60)), Quota::new(100_000));
        assert!(!denylist.holds(jti(1), END));
        for n in 0..40_000 {
            assert!(!denylist.holds(jti(n), END), "{n}");
            assert_eq!(denylist.writer().deny(jti(n), END, &quota, UnixSeconds(0)), Ok(Applied::New), "{n}");
            assert!(denylist.holds(jti(n), END), "{n}");
            assert!(!denylist.holds(jti(n), UnixSeconds(121)), "{n}: another bucket");
        }
        assert_eq!(denylist.writer().deny(jti(7), END, &quota, UnixSeconds(0)), Ok(Applied::Known));
        assert!((0..40_000).all(|n| denylist.holds(jti(n), END)));
        assert!((40_000..80_000).all(|n| !denylist.holds(jti(n), END)));
        let figures = denylist.figures();
        assert_eq!((figures.jtis, denylist.writer().iter().count(), quota.used()), (40_000, 40_000, 40_000));
        let each = figures.bytes as f64 / 40_000.0;
        assert!((10.5..16.0).contains(&each), "{each} bytes an entry");
    }

    #[test]
    fn loading_many_is_denying_each_and_takes_no_more_memory() {
        let (denylist, quota) = (Denylist::new(Duration::from_secs(60)), Quota::new(200_000));
        let deny = |n: u64| Change::DenyJti { jti: jti(n), expires_at: UnixSeconds(120 + 60 * (n % 3 / 2)) };
        // Twice, and one that has ended.
        let mut changes: Vec<Change> = (0..100_000).chain(0..1_000).map(deny).collect();
        changes.push(Change::DenyJti { jti: jti(200_000), expires_at: UnixSeconds(0) });
        denylist.writer().load(&changes, &quota, UnixSeconds(0)).expect("room");
        denylist.writer().trim();
        for n in 0..100_000 {
            let (own, other) = if n % 3 == 2 { (180, 120) } else { (120, 180) };
            assert!(denylist.holds(jti(n), UnixSeconds(own)), "{n}");
            assert!(!denylist.holds(jti(n), UnixSeconds(other)), "{n}");
        }
        let figures = denylist.figures();
        assert_eq!((figures.jtis, denylist.writer().iter().count(), quota.used()), (100_000, 100_000, 100_000));
        let each = figures.bytes as f64 / 100_000.0;
        assert!((10.5..16.0).contains(&each), "{each} bytes an entry");
        // What is trimmed goes on growing.
        denylist
            .writer()
            .load(&(100_000..150_000).map(deny).collect::<Vec<_>>(), &quota, UnixSeconds(0))
            .expect("room");
        assert!((0..150_000).all(|n| denylist.holds(jti(n), UnixSeconds(if n % 3 == 2 { 180 } else { 120 }))));
        let more: Vec<Change> = (150_000..200_001).map(deny).collect();
        assert_eq!(denylist.writer().load(&more, &quota, UnixSeconds(0)), Err(Full));
    }

    #[test]
    fn the_id_of_zeros_is_found_too() {
        let (denylist, quota) = (Denylist::new(Duration::from_secs(60)), Quota::new(9));
        assert!(!denylist.holds(Jti([0; 16]), END));
        assert_eq!(denylist.writer().deny(Jti([0; 16]), END, &quota, UnixSeconds(0)), Ok(Applied::New));
        assert!(denylist.holds(Jti([0; 16]), END));
    }

    #[test]
    fn a_bucket_is_freed_when_the_last_thread_has_looked_away() {
        let (denylist, quota) = (Denylist::new(Duration::from_secs(60)), Quota::new(9));
        denylist.writer().deny(jti(1), END, &quota, UnixSeconds(0)).expect("room");
        let view = denylist.tables.view();
        denylist.detach_ended(END, &quota);
        assert!(!denylist.holds(jti(1), END), "gone for whoever asks now");
        assert_eq!((quota.used(), denylist.figures().jtis), (0, 0));
        let held = || denylist.tables.reclaim().iter().any(|index| index.holds(2, tag(jti(1))));
        forget_denied();
        assert!(!held(), "somebody looks at it");
        drop(view);
        assert!(held());
    }
}
