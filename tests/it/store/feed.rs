//! The log of revocations: its numbers, its pages, its bound, and what it knows after a start.

use std::sync::Arc;
use std::time::Duration;

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Jti, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, Space};
use mintgate::store::embedded::Sync;
use mintgate::store::feed::{Feed, FeedFull, Published};
use mintgate::store::{EmbeddedStore, Settings, Store};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn deny(n: u32, seconds: u64) -> Change {
    let mut jti = [0; 16];
    jti[..4].copy_from_slice(&n.to_be_bytes());
    Change::DenyJti { jti: Jti(jti), expires_at: NOW.after(Duration::from_secs(seconds)) }
}

fn epoch(of: EpochOf, at: u64) -> Change {
    Change::MoveEpoch { of, not_before: UnixSeconds(at), ends_at: NOW.after(Duration::from_secs(1_000)) }
}

/// A family that ends in some hours.
fn family() -> FamilyId {
    let hour = u32::try_from(NOW.0 / 3_600 + 5).expect("fits");
    let mut id = [7; 16];
    id[..4].copy_from_slice(&hour.to_be_bytes());
    FamilyId(id)
}

fn wait<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(story)
}

#[test]
fn it_numbers_revocations_alone_and_each_once() {
    let feed = Feed::new(100, NOW, 0);
    let first = feed.latest();
    assert_eq!(first, NOW.0 << 20, "no number of an earlier second");
    let subject = || EpochOf::Subject(Subject::from("usr_1"));
    let rotate = Change::RotateFamily { family: family(), from: Generation(0), to: Generation(1), at: NOW };
    let spend = Change::SpendId { space: Space::Code, id: [1; 16], ends_at: NOW.after(Duration::from_secs(9)) };
    feed.append(&[rotate, spend, deny(1, 0)], NOW);
    assert_eq!(feed.latest(), first, "no revocation, or over before it came");
    let changes = [deny(1, 60), Change::RevokeFamily { family: family() }, epoch(subject(), 500)];
    feed.append(&changes, NOW);
    feed.append(&changes, NOW);
    feed.append(&[epoch(subject(), 400)], NOW);
    assert_eq!(feed.latest(), first + 3, "what is known gets no number");
    feed.append(&[epoch(subject(), 600)], NOW);
    let page = feed.page(0, 100, NOW).expect("whole");
    assert_eq!((page.from, page.to, page.more), (0, first + 4, false));
    assert_eq!(
        page.entries,
        [changes[0].clone(), changes[1].clone(), epoch(subject(), 600)],
        "the later mark stands in"
    );
    assert_eq!(feed.page(first + 3, 100, NOW).expect("whole").entries, [epoch(subject(), 600)]);
    assert_eq!(feed.page(first + 4, 100, NOW).expect("whole").entries, []);
    assert_eq!(feed.page(u64::MAX, 100, NOW).expect("whole").from, 0, "a number never given is none");
}

#[test]
fn pages_meet_without_a_gap_and_a_cut_one_is_asked_for_again() {
    let feed = Feed::new(1_000, NOW, 0);
    let changes: Vec<Change> = (0..100).map(|n| deny(n, 60)).collect();
    feed.append(&changes, NOW);
    let (mut since, mut seen, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = feed.page(since, 7, NOW).expect("whole");
        // The answer was lost on the way: the same question, the same answer.
        assert_eq!(feed.page(since, 7, NOW).expect("whole"), page);
        assert_eq!(page.from, since);
        seen.extend(page.entries);
        (since, pages) = (page.to, pages + 1);
        if !page.more {
            break;
        }
    }
    assert_eq!((seen, pages, since), (changes, 15, feed.latest()));
}

#[test]
fn what_has_ended_leaves_and_its_number_is_not_used_again() {
    let feed = Feed::new(100, NOW, 0);
    feed.append(&[deny(1, 10), deny(2, 20)], NOW);
    let latest = feed.latest();
    let later = NOW.after(Duration::from_secs(10));
    assert_eq!(feed.page(0, 100, later).expect("whole").entries, [deny(2, 20)], "ended, though not dropped yet");
    feed.drop_ended(NOW.after(Duration::from_secs(20)));
    let page = feed.page(0, 100, NOW).expect("whole");
    assert_eq!((page.entries, page.to), (vec![], latest));
    feed.append(&[deny(1, 60)], NOW);
    assert_eq!(feed.latest(), latest + 1);
}

#[test]
fn at_its_bound_it_is_silent_rather_than_incomplete() {
    let feed = Feed::new(2, NOW, 0);
    feed.append(&[deny(1, 60), deny(2, 60), deny(2, 90)], NOW);
    assert!(feed.page(0, 10, NOW).is_ok(), "an entry that moves needs no room");
    feed.append(&[deny(3, 60)], NOW);
    assert_eq!(feed.page(0, 10, NOW), Err(FeedFull));
}

#[test]
fn a_start_publishes_what_the_engine_knows_and_numbers_grow_over_it() {
    let directory = crate::support::temp::TempDir::new();
    let open = |now| -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, now).expect("opens"))
    };
    let client = EpochOf::Client(ClientId::from("web"));
    let changes = vec![deny(1, 600), Change::RevokeFamily { family: family() }, epoch(client, 500)];
    let before = Published::new(open(NOW), 100, NOW, 0);
    wait(before.commit(changes.clone(), NOW)).expect("made");
    let last = before.feed().latest();
    drop(before);
    // The process starts again a second later, on the state that was made lasting.
    let now = NOW.after(Duration::from_secs(1));
    let after = Published::new(open(now), 100, now, 0);
    let page = after.feed().page(last, 100, now).expect("whole");
    let mut entries = page.entries;
    entries.sort();
    let mut expected = changes;
    expected.sort();
    assert_eq!(entries, expected, "who asks for what came after the last number of before gets everything");
    assert!(page.to > last + 3);
}

/// Must-show: what 100,000 live revocations cost. Prints; asserts only the order of magnitude.
#[test]
fn a_hundred_thousand_entries() {
    let feed = Feed::new(1_000_000, NOW, 0);
    let changes: Vec<Change> = (0..100_000).map(|n| deny(n, 600)).collect();
    let began = std::time::Instant::now();
    feed.append(&changes, NOW);
    let appended = began.elapsed();
    let began = std::time::Instant::now();
    let page = feed.page(0, 100_000, NOW).expect("whole");
    println!("100,000 revocations: numbered in {appended:?}, read in {:?}", began.elapsed());
    assert_eq!(page.entries.len(), 100_000);
    assert!(appended < Duration::from_secs(10));
}
