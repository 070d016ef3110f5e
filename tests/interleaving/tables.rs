//! The table of denied tokens: readers, the writer, larger segments, and buckets that end.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use crate::state::table::{Shape, Tables, View};
use crate::{in_many_orders, is_found_out};

const SLOT: u64 = 5;
const TAGS: u64 = 24;

/// Small enough that a few tags fill a line, cut the table and replace its segments.
fn small() -> Arc<Tables> {
    Arc::new(Tables::new(Shape { segments: 4, large: 9 }))
}

fn tag(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// One thread inserts and says how far it is, one asks for what was said, and a third takes ended tables out and frees
/// them; `ask` is how the reader asks.
fn acknowledged_is_found(ask: fn(&Tables, u64, &mut View) -> bool) {
    let (tables, acknowledged) = (small(), Arc::new(AtomicU64::new(0)));
    tables.writer().insert(SLOT - 1, tag(0));
    let writer = {
        let (tables, acknowledged) = (Arc::clone(&tables), Arc::clone(&acknowledged));
        thread::spawn(move || {
            for n in 0..TAGS {
                tables.writer().insert(SLOT, tag(n));
                acknowledged.store(n + 1, Ordering::Release);
            }
        })
    };
    let janitor = {
        let tables = Arc::clone(&tables);
        thread::spawn(move || {
            tables.writer().insert(SLOT + 1, tag(0));
            assert_eq!(tables.writer().detach(SLOT), 1);
            drop(tables.reclaim());
        })
    };
    let mut view = View::default();
    for _ in 0..4 {
        let before = acknowledged.load(Ordering::Acquire);
        for n in [0, before / 2, before.saturating_sub(1)] {
            assert!(n >= before || ask(&tables, tag(n), &mut view), "tag {n} of {before} is lost");
        }
        assert!(!ask(&tables, tag(TAGS + 1), &mut view), "nobody put it there");
    }
    writer.join().unwrap();
    janitor.join().unwrap();
    assert!((0..TAGS).all(|n| ask(&tables, tag(n), &mut view)));
    let written = tables.writer();
    assert_eq!((written.len(), written.slots()), (TAGS as usize + 1, &[SLOT, SLOT + 1][..]));
    drop(written);
    assert!(!tables.holds(SLOT - 1, tag(0), &mut view), "its table has ended");
}

#[test]
fn what_was_acknowledged_is_found_in_every_order() {
    in_many_orders(|| acknowledged_is_found(|tables, tag, view| tables.holds(SLOT, tag, view)));
}

#[test]
fn a_reader_that_does_not_compare_versions_is_found_out() {
    is_found_out(|| {
        acknowledged_is_found(|tables, tag, view| {
            if view.index.slots().is_empty() {
                *view = tables.view();
            }
            view.index.holds(SLOT, tag)
        });
    });
}

#[test]
fn a_table_that_is_looked_at_outlives_its_end() {
    in_many_orders(|| {
        let tables = small();
        for n in 0..TAGS {
            tables.writer().insert(SLOT, tag(n));
        }
        let watched = Arc::downgrade(&tables.view().index);
        let janitor = {
            let tables = Arc::clone(&tables);
            thread::spawn(move || {
                tables.writer().detach(SLOT + 1);
                drop(tables.reclaim());
            })
        };
        let mut view = View::default();
        // All or nothing: a search that began before the end finds the table whole.
        let found = tables.holds(SLOT, tag(0), &mut view);
        assert!((0..TAGS).all(|n| view.index.holds(SLOT, tag(n)) == found));
        janitor.join().unwrap();
        drop(view);
        drop(tables.reclaim());
        assert!(watched.upgrade().is_none(), "nothing is kept that nobody looks at");
    });
}

#[test]
fn two_writers_take_turns() {
    in_many_orders(|| {
        let tables = small();
        let both = [0, 1].map(|parity| {
            let tables = Arc::clone(&tables);
            thread::spawn(move || {
                (0..TAGS).filter(|n| n % 2 == parity).for_each(|n| tables.writer().insert(SLOT, tag(n)));
            })
        });
        both.into_iter().for_each(|writer| writer.join().unwrap());
        let mut view = View::default();
        assert!((0..TAGS).all(|n| tables.holds(SLOT, tag(n), &mut view)));
        assert_eq!(tables.writer().len(), TAGS as usize);
    });
}
