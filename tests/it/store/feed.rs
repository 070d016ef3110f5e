//! The log of revocations: its numbers, its pages, its bound, and what it knows after a start.

use std::sync::Arc;
use std::time::Duration;

use mintgate::ambient::{Clock, ManualClock};
use mintgate::protocol::id::{ClientId, FamilyId, Generation, Jti, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, Space};
use mintgate::store::embedded::Sync;
use mintgate::store::feed::{Feed, FeedFull, Page, Published};
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

/// The number that a start in this second begins with, without a random part.
const START: u64 = NOW.0 << 20;

fn clock(now: UnixSeconds) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(now))
}

fn feed(entries_max: usize) -> Feed {
    Feed::new(entries_max, START, clock(NOW))
}

/// Everything after `since`.
fn read(feed: &Feed, since: u64, entries_max: usize, now: UnixSeconds) -> Result<Page, FeedFull> {
    feed.page(since, u64::MAX, entries_max, now)
}

fn wait<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(story)
}

#[test]
fn it_numbers_revocations_alone_and_each_once() {
    let feed = feed(100);
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
    let page = read(&feed, 0, 100, NOW).expect("whole");
    assert_eq!((page.from, page.to, page.more), (0, first + 4, false));
    assert_eq!(
        page.entries,
        [changes[0].clone(), changes[1].clone(), epoch(subject(), 600)],
        "the later mark stands in"
    );
    assert_eq!(read(&feed, first + 3, 100, NOW).expect("whole").entries, [epoch(subject(), 600)]);
    assert_eq!(read(&feed, first + 4, 100, NOW).expect("whole").entries, []);
    assert_eq!(read(&feed, u64::MAX, 100, NOW).expect("whole").from, 0, "a number never given is none");
}

#[test]
fn pages_meet_without_a_gap_and_a_cut_one_is_asked_for_again() {
    let feed = feed(1_000);
    let changes: Vec<Change> = (0..100).map(|n| deny(n, 60)).collect();
    feed.append(&changes, NOW);
    let (mut since, mut seen, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = read(&feed, since, 7, NOW).expect("whole");
        // The answer was lost on the way: the same question, the same answer.
        assert_eq!(read(&feed, since, 7, NOW).expect("whole"), page);
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
    let feed = feed(100);
    feed.append(&[deny(1, 10), deny(2, 20)], NOW);
    let latest = feed.latest();
    let later = NOW.after(Duration::from_secs(10));
    assert_eq!(read(&feed, 0, 100, later).expect("whole").entries, [deny(2, 20)], "ended, though not dropped yet");
    feed.drop_ended(NOW.after(Duration::from_secs(20)));
    let page = read(&feed, 0, 100, NOW).expect("whole");
    assert_eq!((page.entries, page.to), (vec![], latest));
    feed.append(&[deny(1, 60)], NOW);
    assert_eq!(feed.latest(), latest + 1);
}

#[test]
fn at_its_bound_it_is_silent_rather_than_incomplete() {
    let feed = feed(2);
    feed.append(&[deny(1, 60), deny(2, 60), deny(2, 90)], NOW);
    assert!(read(&feed, 0, 10, NOW).is_ok(), "an entry that moves needs no room");
    feed.append(&[deny(3, 60)], NOW);
    assert_eq!(read(&feed, 0, 10, NOW), Err(FeedFull));
}

#[test]
fn a_start_publishes_what_the_engine_knows_and_numbers_grow_over_it() {
    let directory = crate::support::temp::TempDir::new();
    let open = |now| -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, now).expect("opens"))
    };
    let client = EpochOf::Client(ClientId::from("web"));
    let changes = vec![deny(1, 600), Change::RevokeFamily { family: family() }, epoch(client, 500)];
    let before = Published::new(open(NOW), 100, clock(NOW), 0);
    wait(before.commit(changes.clone(), NOW)).expect("made");
    let last = before.feed().latest();
    drop(before);
    // The process starts again a second later, on the state that was made lasting.
    let now = NOW.after(Duration::from_secs(1));
    let after = Published::new(open(now), 100, clock(now), 0);
    let page = read(after.feed(), last, 100, now).expect("whole");
    let mut entries = page.entries;
    entries.sort();
    let mut expected = changes;
    expected.sort();
    assert_eq!(entries, expected, "who asks for what came after the last number of before gets everything");
    assert!(page.to > last + 3);
}

#[test]
fn it_is_whole_again_when_what_found_no_room_has_ended_or_found_some() {
    let directory = crate::support::temp::TempDir::new();
    let engine = EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, NOW).expect("opens");
    let clock = clock(NOW);
    let published = Published::new(Arc::new(engine), 2, Arc::clone(&clock) as _, 0);
    let web = || epoch(EpochOf::Client(ClientId::from("web")), 500);
    let whole = |now| read(published.feed(), 0, 10, now);
    wait(published.commit(vec![deny(1, 60), deny(2, 60), deny(3, 90), web()], NOW)).expect("made");
    assert_eq!(whole(NOW), Err(FeedFull));
    // Room for the client; the third token's id is known to nobody any more, so its end is waited for.
    let pass = |seconds| {
        clock.advance(Duration::from_secs(seconds));
        published.tick(NOW.after(clock.monotonic()));
        NOW.after(clock.monotonic())
    };
    assert_eq!(whole(pass(60)), Err(FeedFull), "a token is missing still");
    let now = pass(30);
    assert_eq!(whole(now).expect("whole").entries, [web()], "read again from the state");
    wait(published.commit(vec![deny(4, 300)], now)).expect("made");
    assert_eq!(whole(now).expect("whole").entries, [web(), deny(4, 300)]);
}

#[test]
fn no_number_comes_twice_however_fast_starts_follow_and_wherever_the_clock_goes() {
    let directory = crate::support::temp::TempDir::new();
    let mut last = 0;
    // The same second twice, a day back, and a start that publishes more than its second has numbers for.
    for (now, salt) in [(NOW.0, 77), (NOW.0, 5), (NOW.0 - 86_400, 0), (NOW.0, 0)] {
        let now = UnixSeconds(now);
        let engine = EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, now).expect("opens");
        let published = Published::new(Arc::new(engine), 2_000_000, clock(now), salt);
        let feed = published.feed();
        assert!(feed.latest() > last, "{} after {last}", feed.latest());
        let before = feed.latest();
        for batch in 0..30 {
            let changes: Vec<Change> =
                (0..100).map(|n| epoch(EpochOf::Client(ClientId::from("web")), batch * 100 + n)).collect();
            feed.append(&changes, now);
            published.tick(now);
        }
        assert_eq!(feed.latest(), before + 3_000, "an epoch that moves takes a number each time");
        last = feed.latest();
        assert!(last < 1 << 53, "a safe integer in JSON");
    }
}

#[test]
fn numbers_are_set_aside_before_they_run_out() {
    let directory = crate::support::temp::TempDir::new();
    let engine = EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, NOW).expect("opens");
    let published = Published::new(Arc::new(engine), 100, clock(NOW), 0);
    let written = || std::fs::read_to_string(directory.path().join("revocations.next")).expect("written down");
    let block = 4 << 20;
    let start = published.feed().latest();
    assert_eq!(written(), format!("{}\n", start + block));
    let half: Vec<Change> = (1..=block / 2).map(|n| epoch(EpochOf::Client(ClientId::from("web")), n)).collect();
    published.feed().append(&half, NOW);
    published.tick(NOW);
    assert_eq!(written(), format!("{}\n", start + 2 * block), "half of them are used");
    std::fs::write(directory.path().join("revocations.next"), "nonsense").expect("writable");
    drop(published);
    let engine = EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, NOW).expect("opens");
    let published = Published::new(Arc::new(engine), 100, clock(UnixSeconds(NOW.0 + 60)), 0);
    assert_eq!(published.feed().latest(), (NOW.0 + 60) << 20, "it goes by the clock, and says so in the log");
}

/// A client that goes away while its revocation is made lasting: it was not told, and everybody else must be.
#[test]
fn a_revocation_whose_caller_left_is_published_all_the_same() {
    let directory = crate::support::temp::TempDir::new();
    let engine = EmbeddedStore::open(directory.path(), Settings::default(), Sync::AtOnce, NOW).expect("opens");
    let published = Published::new(Arc::new(engine), 100, clock(NOW), 0);
    let changes = vec![deny(1, 60), Change::RevokeFamily { family: family() }];
    let mut story = published.commit(changes.clone(), NOW);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = story.as_mut().poll(&mut context);
    drop(story);
    published.tick(NOW);
    assert_eq!(read(published.feed(), 0, 10, NOW).expect("whole").entries, changes);
    // One that never began changed nothing, and is not told.
    drop(published.commit(vec![deny(2, 60)], NOW));
    published.tick(NOW);
    assert_eq!(read(published.feed(), 0, 10, NOW).expect("whole").entries, changes);
}

#[test]
fn documents_begin_where_many_can_share_them_and_never_too_late() {
    let feed = feed(10_000);
    let subjects: Vec<Change> = (0..5_000).map(|n| deny(n, 600)).collect();
    feed.append(&subjects, NOW);
    let first = START;
    let rows = [
        ("none", 0, 0),
        ("before the first entry", first, 0),
        ("of an earlier run", first - 1_000_000, 0),
        ("never given", u64::MAX, 0),
        ("far back: rounded", first + 3_000, first + 2_048),
        ("near", first + 4_500, first + 4_500),
        ("the latest", first + 5_000, first + 5_000),
    ];
    for (name, since, expected) in rows {
        assert_eq!(feed.beginning(since), expected, "{name}");
    }
    let page = feed.page(first + 4_000, first + 4_010, 1_000, NOW).expect("whole");
    assert_eq!((page.to, page.entries.len(), page.more), (first + 4_010, 10, false), "up to what was announced");
}

#[test]
fn the_time_of_publication_is_known_for_new_numbers_and_not_invented_for_old_ones() {
    let clock = clock(NOW);
    let feed = Feed::new(10_000, START, Arc::clone(&clock) as _);
    clock.advance(Duration::from_secs(3));
    feed.append(&[deny(1, 60), deny(2, 60)], NOW);
    let at =
        |number| feed.published_at(number).map(|moment| (moment.monotonic.as_secs(), moment.millis - NOW.0 * 1_000));
    assert_eq!((at(START), at(START + 1), at(START + 2)), (Some((0, 0)), Some((3, 3_000)), Some((3, 3_000))));
    assert_eq!((at(START - 1), at(START + 3)), (None, None), "of an earlier run; not given yet");
    for n in 3..5_000 {
        feed.append(&[deny(n, 60)], NOW);
    }
    assert_eq!(at(START + 1), None, "long ago");
}

/// Must-show: what 100,000 live revocations cost. Prints; asserts only the order of magnitude.
#[test]
fn a_hundred_thousand_entries() {
    let feed = feed(1_000_000);
    let changes: Vec<Change> = (0..100_000).map(|n| deny(n, 600)).collect();
    let began = std::time::Instant::now();
    feed.append(&changes, NOW);
    let appended = began.elapsed();
    let began = std::time::Instant::now();
    let page = read(&feed, 0, 100_000, NOW).expect("whole");
    println!("100,000 revocations: numbered in {appended:?}, read in {:?}", began.elapsed());
    assert_eq!(page.entries.len(), 100_000);
    assert!(appended < Duration::from_secs(10));
}
