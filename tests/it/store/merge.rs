//! Any interleaving, duplication and order of changes, through a real store and its log, gives the same state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mintgate::protocol::id::{ClientId, Jti, Kid, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, FamilyFacts};
use mintgate::store::embedded::Sync;
use mintgate::store::{EmbeddedStore, MemoryStore, Settings, Store};
use proptest::prelude::*;

use super::embedded::wait;
use crate::state::merge::{NOW, changes, family};
use crate::support::disk::Disk;

/// Everything that can be asked of a store about the things that [`changes`] speaks of.
#[derive(Debug, PartialEq)]
struct Picture {
    counts: [usize; 5],
    families: Vec<FamilyFacts>,
    epochs: Vec<Option<UnixSeconds>>,
    denied: Vec<bool>,
    revocations: Vec<Change>,
}

fn picture(store: &dyn Store) -> Picture {
    // What has ended is gone at once in a store that reads its log, and at the next tick in one that runs.
    store.tick(NOW);
    let state = store.figures().state;
    let ends = (49_900..50_400).map(UnixSeconds);
    let mut revocations = store.revocations().1;
    // A store gives the denied tokens of its log by their whole ids, once.
    revocations.retain(|change| !matches!(change, Change::DenyJti { .. }));
    revocations.sort_unstable();
    Picture {
        counts: [state.families, state.jtis, state.spent, state.epochs, state.buckets],
        families: (0..4).map(|name| store.family(family(name), NOW)).collect(),
        epochs: [
            EpochOf::Subject(Subject::from("same")),
            EpochOf::Client(ClientId::from("same")),
            EpochOf::Key(Kid::from("same")),
        ]
        .iter()
        .map(|of| store.epoch(of))
        .collect(),
        denied: ends
            .flat_map(|end| (0..4).map(move |n| (n, end)))
            .map(|(n, end)| store.is_denied(Jti([n; 16]), end, NOW))
            .collect(),
        revocations,
    }
}

fn open(disk: &Disk) -> EmbeddedStore {
    EmbeddedStore::open_on(disk.clone(), Settings::default(), Sync::AtOnce, UnixSeconds(0)).expect("opens")
}

/// Commits `changes` from three threads that take the next few in turn, some of them twice.
fn commit_from_three(store: &Arc<EmbeddedStore>, changes: &[Change], batch: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(batch, Ordering::SeqCst);
                    if from >= changes.len() {
                        return;
                    }
                    // One more than its own share: every batch overlaps the next.
                    let until = changes.len().min(from + batch + 1);
                    wait(store.commit(changes[from..until].to_vec(), NOW)).expect("room");
                }
            });
        }
    });
}

proptest! {
    // Each case opens three stores and syncs a few times: fewer cases than where all is in memory.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn three_threads_a_log_and_two_starts_give_what_one_list_gives(
        changes in proptest::collection::vec(changes(), 0..40), batch in 1..5_usize
    ) {
        let plain = MemoryStore::new(Settings::default());
        wait(plain.commit(changes.clone(), NOW)).expect("room");
        let expected = picture(&plain);

        let disk = Disk::default();
        let store = Arc::new(open(&disk));
        commit_from_three(&store, &changes, batch);
        prop_assert_eq!(&picture(&*store), &expected, "while it runs");
        drop(store);
        // The log of a process that ended, what a power cut leaves of it, and that read and continued once more.
        let image = disk.durable();
        prop_assert_eq!(&picture(&open(&disk)), &expected, "after a start");
        let again = open(&image);
        wait(again.commit(changes.iter().rev().cloned().collect(), NOW)).expect("room");
        drop(again);
        prop_assert_eq!(&picture(&open(&image)), &expected, "after a power cut, everything again backwards, and a start");
    }
}
