//! What every store does, whatever it is made of. An engine's test file gives a constructor and gets a test a behaviour.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Jti, Kid, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, RetryRules, Rotated, Rotation, Space};
use mintgate::store::{Health, Settings, Spent, Store, StoreError};

/// Declares one `#[test]` for each behaviour, on stores that `$new` makes.
macro_rules! store_suite {
    ($new:expr) => {
        store_suite!($new;
            rotation_advances_retries_and_catches_a_replay,
            sixty_four_at_once_get_one_successor,
            the_sixty_sixth_presentation_is_too_many,
            after_the_successor_was_used_the_old_token_revokes,
            a_revoked_family_stays_revoked,
            a_family_nobody_knows_can_be_revoked,
            a_generation_that_never_was_is_refused,
            an_epoch_ends_what_is_as_old_or_older,
            revoking_a_subject_races_refreshes,
            revoking_a_family_races_refreshes,
            a_denied_token_is_denied_until_it_ends,
            a_one_time_id_is_spent_once,
            many_spend_one_id_at_once,
            changes_may_be_committed_again,
            full_says_so_and_forgets_nothing,
            room_comes_back_when_buckets_end,
            the_bound_holds_exactly_under_contention,
            a_clock_that_goes_back_revives_nothing,
            a_clock_far_behind_stops_rotations,
            logins_before_the_store_knew_are_refused,
            figures_are_exact,
        );
    };
    ($new:expr; $($behaviour:ident,)+) => {
        $(
            #[test]
            fn $behaviour() {
                $crate::store::suite::$behaviour(&$new);
            }
        )+
    };
}

pub const NOW: UnixSeconds = UnixSeconds(1_000_000);
const FAR: UnixSeconds = UnixSeconds(9_000_000);

/// Makes a store with the given settings.
pub trait Maker: Fn(Settings) -> Arc<dyn Store> {}
impl<M: Fn(Settings) -> Arc<dyn Store>> Maker for M {}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

fn family(name: u8) -> FamilyId {
    FamilyId::new([name; 12], FAR)
}

fn order(name: u8, from: u32) -> Rotation {
    Rotation {
        family: family(name),
        from: Generation(from),
        subject: Subject::from("usr_a"),
        client: ClientId::from("app"),
        auth_time: NOW.before(Duration::from_secs(100)),
        retry: RetryRules::default(),
    }
}

fn rotate(store: &dyn Store, name: u8, from: u32, now: UnixSeconds) -> Rotated {
    wait(store.rotate(order(name, from), now)).expect("rotate")
}

fn commit(store: &dyn Store, change: Change, now: UnixSeconds) {
    wait(store.commit(vec![change], now)).expect("commit");
}

fn later(seconds: u64) -> UnixSeconds {
    NOW.after(Duration::from_secs(seconds))
}

fn advanced(to: u32) -> Rotated {
    Rotated::Advanced { to: Generation(to) }
}

fn retry(successor: u32) -> Rotated {
    Rotated::Retry { successor: Generation(successor) }
}

/// Runs `act` on `count` threads that start together.
fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(count);
    std::thread::scope(|scope| {
        let run = |n| {
            let (start, act) = (&start, &act);
            scope.spawn(move || {
                start.wait();
                act(n)
            })
        };
        let threads: Vec<_> = (0..count).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    })
}

pub fn rotation_advances_retries_and_catches_a_replay(new: &impl Maker) {
    let store = new(Settings::default());
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1));
    assert_eq!(rotate(&*store, 1, 0, later(9)), retry(1));
    assert_eq!(store.family(family(1), later(9)).generation, Generation(1));
    assert_eq!(rotate(&*store, 1, 0, later(10)), Rotated::Reused, "the window is over");
    assert_eq!(rotate(&*store, 1, 1, later(10)), Rotated::Revoked, "everyone is out");
    assert!(store.family(family(1), later(10)).revoked);
    assert_eq!(rotate(&*store, 2, 0, later(10)), advanced(1), "another family goes on");
}

/// The issue's own words: all succeed with the same successor generation, none revokes.
pub fn sixty_four_at_once_get_one_successor(new: &impl Maker) {
    let store = new(Settings::default());
    for generation in 0..20 {
        let verdicts = at_once(64, |_| rotate(&*store, 1, generation, NOW));
        let count = |wanted: Rotated| verdicts.iter().filter(|verdict| **verdict == wanted).count();
        assert_eq!((count(advanced(generation + 1)), count(retry(generation + 1))), (1, 63), "{verdicts:?}");
    }
    assert!(!store.family(family(1), NOW).revoked);
    assert_eq!(rotate(&*store, 1, 19, later(10)), Rotated::Reused, "after the window the same token revokes");
    assert_eq!(store.figures().state.families, 1);
}

pub fn the_sixty_sixth_presentation_is_too_many(new: &impl Maker) {
    let store = new(Settings::default());
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1));
    for _ in 0..64 {
        assert_eq!(rotate(&*store, 1, 0, NOW), retry(1));
    }
    assert_eq!(rotate(&*store, 1, 0, NOW), Rotated::Reused);
}

pub fn after_the_successor_was_used_the_old_token_revokes(new: &impl Maker) {
    let store = new(Settings::default());
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1));
    assert_eq!(rotate(&*store, 1, 1, NOW), advanced(2));
    assert_eq!(rotate(&*store, 1, 0, NOW), Rotated::Reused, "still inside the window");
    assert_eq!(rotate(&*store, 1, 2, NOW), Rotated::Revoked);
}

pub fn a_revoked_family_stays_revoked(new: &impl Maker) {
    let store = new(Settings::default());
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1));
    commit(&*store, Change::RevokeFamily { family: family(1) }, NOW);
    for from in [0, 1, 2] {
        assert_eq!(rotate(&*store, 1, from, NOW), Rotated::Revoked, "{from}");
    }
    // A rotation that arrives late, from a log or another gateway, revives nothing.
    let late = Change::RotateFamily { family: family(1), from: Generation(6), to: Generation(7), at: NOW };
    commit(&*store, late, NOW);
    assert_eq!(rotate(&*store, 1, 7, NOW), Rotated::Revoked);
}

pub fn a_family_nobody_knows_can_be_revoked(new: &impl Maker) {
    let store = new(Settings::default());
    commit(&*store, Change::RevokeFamily { family: family(1) }, NOW);
    assert!(store.family(family(1), NOW).revoked);
    assert_eq!(rotate(&*store, 1, 0, NOW), Rotated::Revoked);
    assert_eq!(store.figures().state.families, 1);
}

pub fn a_generation_that_never_was_is_refused(new: &impl Maker) {
    let store = new(Settings::default());
    assert_eq!(rotate(&*store, 1, 5, NOW), Rotated::Reused);
    assert_eq!(rotate(&*store, 1, 0, NOW), Rotated::Revoked);
}

pub fn an_epoch_ends_what_is_as_old_or_older(new: &impl Maker) {
    let auth_time = order(1, 0).auth_time;
    let one = Duration::from_secs(1);
    let epochs = [EpochOf::Subject(Subject::from("usr_a")), EpochOf::Client(ClientId::from("app"))];
    for of in epochs {
        for (not_before, verdict) in [
            (auth_time.before(one), advanced(1)),
            (auth_time, Rotated::Revoked),
            (auth_time.after(one), Rotated::Revoked),
        ] {
            let store = new(Settings::default());
            commit(&*store, Change::MoveEpoch { of: of.clone(), not_before, ends_at: FAR }, NOW);
            assert_eq!(rotate(&*store, 1, 0, NOW), verdict, "{of:?} {not_before}");
            assert_eq!(store.epoch(&of), Some(not_before));
        }
    }
    let store = new(Settings::default());
    let others = [
        EpochOf::Subject(Subject::from("app")),
        EpochOf::Client(ClientId::from("usr_a")),
        EpochOf::Key(Kid::from("app")),
    ];
    for of in others {
        commit(&*store, Change::MoveEpoch { of, not_before: FAR, ends_at: FAR }, NOW);
    }
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1), "a name of another kind is another name");
}

fn generations(store: &dyn Store) -> Vec<Generation> {
    (0..8).map(|name| store.family(family(name), NOW).generation).collect()
}

/// Far more rotations than a revocation takes to arrive: a store that never refuses fails instead of running on.
const ROTATIONS_MAX: u32 = 200_000;

/// While 8 clients of a subject refresh in a loop: after the acknowledgement not one rotation is granted.
fn revocation_races_refreshes(store: &dyn Store, revoke: Vec<Change>) {
    let (acknowledged, granted_after, finished) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let at_acknowledgement = Mutex::new(Vec::new());
    let ended = at_once(9, |n| {
        let name = u8::try_from(n).expect("small");
        if name == 8 {
            // Let some rotations happen first; how many is not the point.
            while store.family(family(0), NOW).generation < Generation(50) && finished.load(Ordering::SeqCst) < 8 {
                std::thread::yield_now();
            }
            wait(store.commit(revoke.clone(), NOW)).expect("revoke");
            // From here on nothing moves, not even for a rotation that began before.
            *at_acknowledgement.lock().expect("unpoisoned") = generations(store);
            acknowledged.store(true, Ordering::SeqCst);
            return None;
        }
        let mut last = None;
        for from in 0..ROTATIONS_MAX {
            let began_after = acknowledged.load(Ordering::SeqCst);
            last = Some((from, rotate(store, name, from, NOW)));
            match last {
                Some((_, Rotated::Advanced { .. })) if began_after => {
                    granted_after.fetch_add(1, Ordering::SeqCst);
                }
                Some((_, Rotated::Advanced { .. })) => (),
                _ => break,
            }
        }
        finished.fetch_add(1, Ordering::SeqCst);
        last
    });
    assert_eq!(granted_after.load(Ordering::SeqCst), 0);
    assert_eq!(*at_acknowledgement.lock().expect("unpoisoned"), generations(store));
    assert!(ended.iter().flatten().all(|(_, verdict)| *verdict == Rotated::Revoked), "{ended:?}");
    assert!(ended[0].is_some_and(|(from, _)| from >= 50), "{ended:?}");
}

pub fn revoking_a_subject_races_refreshes(new: &impl Maker) {
    let of = EpochOf::Subject(Subject::from("usr_a"));
    revocation_races_refreshes(
        &*new(Settings::default()),
        vec![Change::MoveEpoch { of, not_before: NOW, ends_at: FAR }],
    );
}

pub fn revoking_a_family_races_refreshes(new: &impl Maker) {
    let all = (0..8).map(|name| Change::RevokeFamily { family: family(name) }).collect();
    revocation_races_refreshes(&*new(Settings::default()), all);
}

pub fn a_denied_token_is_denied_until_it_ends(new: &impl Maker) {
    let store = new(Settings::default());
    let (jti, other, undated) = (Jti([1; 16]), Jti([2; 16]), Jti([3; 16]));
    commit(&*store, Change::DenyJti { jti, expires_at: later(300) }, NOW);
    commit(&*store, Change::DenyUndatedJti { jti: undated, until: later(3_600) }, NOW);
    store.tick(later(299));
    assert!(store.is_denied(jti, later(300), later(299)));
    assert!(!store.is_denied(other, later(300), later(299)));
    assert!(store.is_denied(undated, later(777), later(299)), "whatever its end");
    assert!(store.is_denied(other, later(299), later(299)), "what has expired is over");
    store.tick(later(100_000));
    assert_eq!(store.figures().state.entries(), 0);
    assert!(store.is_denied(jti, later(300), later(100_000)));
}

pub fn a_one_time_id_is_spent_once(new: &impl Maker) {
    let store = new(Settings::default());
    let spend = |space, ends, now| wait(store.spend(space, [1; 16], ends, now)).expect("spend");
    assert_eq!(spend(Space::Code, later(60), NOW), Spent::First);
    assert_eq!(spend(Space::Code, later(60), NOW), Spent::Again);
    assert_eq!(spend(Space::Assertion, later(60), NOW), Spent::First, "a space of its own");
    assert_eq!(spend(Space::Proof, NOW, NOW), Spent::Again, "over at this very second");
    assert_eq!(spend(Space::Code, later(60), later(59)), Spent::Again);
    store.tick(later(600));
    assert_eq!(spend(Space::Code, later(60), later(600)), Spent::Again, "forgotten, and still not new");
}

pub fn many_spend_one_id_at_once(new: &impl Maker) {
    let store = new(Settings::default());
    for id in 0..20 {
        let spent = at_once(16, |_| wait(store.spend(Space::Assertion, [id; 16], later(60), NOW)).expect("spend"));
        assert_eq!(spent.iter().filter(|spent| **spent == Spent::First).count(), 1);
    }
}

pub fn changes_may_be_committed_again(new: &impl Maker) {
    let store = new(Settings::default());
    let changes = vec![
        Change::RotateFamily { family: family(1), from: Generation(0), to: Generation(1), at: NOW },
        Change::RevokeFamily { family: family(2) },
        Change::DenyJti { jti: Jti([1; 16]), expires_at: later(300) },
    ];
    wait(store.commit(changes.clone(), NOW)).expect("commit");
    let figures = store.figures().state;
    wait(store.commit(changes.into_iter().rev().collect(), later(5))).expect("again");
    assert_eq!(store.figures().state, figures);
    assert_eq!(store.family(family(1), NOW).rotated_at, NOW);
}

pub fn full_says_so_and_forgets_nothing(new: &impl Maker) {
    let store = new(Settings { entries_max: 2, ..Settings::default() });
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1));
    commit(&*store, Change::RevokeFamily { family: family(2) }, NOW);
    assert_eq!(store.health(), Health::Full);
    let full = Err(StoreError::Full);
    assert_eq!(wait(store.rotate(order(3, 0), NOW)), full, "a new family");
    assert_eq!(wait(store.rotate(order(3, 9), NOW)), full, "a replay that cannot be remembered is not granted");
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), full, "a retry that cannot be counted");
    assert_eq!(wait(store.commit(vec![Change::RevokeFamily { family: family(4) }], NOW)), Err(StoreError::Full));
    assert_eq!(wait(store.spend(Space::Code, [1; 16], later(60), NOW)), Err(StoreError::Full));
    assert_eq!(rotate(&*store, 1, 1, NOW), advanced(2), "what has its entry goes on");
    assert_eq!(rotate(&*store, 2, 0, NOW), Rotated::Revoked, "nothing older is forgotten");
    assert_eq!(store.figures().state.entries(), 2);
}

pub fn room_comes_back_when_buckets_end(new: &impl Maker) {
    let store = new(Settings { entries_max: 2, ..Settings::default() });
    for id in [1, 2] {
        commit(&*store, Change::DenyJti { jti: Jti([id; 16]), expires_at: later(60) }, NOW);
    }
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Err(StoreError::Full));
    let next = store.figures().state.next_expiry.expect("a bucket");
    assert!(next >= later(60) && next <= later(120), "{next}");
    store.tick(next);
    assert_eq!((store.figures().state.entries(), store.health()), (0, Health::Ready));
    assert_eq!(wait(store.rotate(order(1, 0), next)), Ok(advanced(1)));
}

pub fn the_bound_holds_exactly_under_contention(new: &impl Maker) {
    let store = new(Settings { entries_max: 100, ..Settings::default() });
    let added = at_once(8, |n| {
        let id = |k: u8| {
            let mut id = [k; 16];
            id[8] = u8::try_from(n).expect("small");
            Jti(id)
        };
        let deny = |k| wait(store.commit(vec![Change::DenyJti { jti: id(k), expires_at: later(60) }], NOW));
        (0..50).filter(|k| deny(*k).is_ok()).count()
    });
    assert_eq!(added.iter().sum::<usize>(), 100);
    assert_eq!(store.figures().state.jtis, 100);
}

pub fn a_clock_that_goes_back_revives_nothing(new: &impl Maker) {
    let store = new(Settings { clock_tolerance: Duration::from_secs(1_000_000), ..Settings::default() });
    let jti = Jti([1; 16]);
    commit(&*store, Change::DenyJti { jti, expires_at: later(300) }, NOW);
    assert_eq!(wait(store.spend(Space::Code, [1; 16], later(60), NOW)), Ok(Spent::First));
    assert_eq!(rotate(&*store, 1, 0, NOW), advanced(1));
    let short = FamilyId::new([9; 12], later(3_600));
    commit(&*store, Change::RevokeFamily { family: short }, NOW);
    store.tick(later(10_000));

    assert!(store.is_denied(jti, later(300), NOW), "its bucket is gone, and it is still denied");
    assert_eq!(wait(store.spend(Space::Code, [1; 16], later(60), NOW)), Ok(Spent::Again));
    assert!(store.family(short, NOW).revoked);
    assert_eq!(rotate(&*store, 1, 0, later(1)), Rotated::Reused, "the window was over once, and stays over");
}

pub fn a_clock_far_behind_stops_rotations(new: &impl Maker) {
    let store = new(Settings::default());
    store.tick(later(3_600));
    assert_eq!(rotate(&*store, 1, 0, later(3_590)), advanced(1), "within the tolerance");
    store.tick(NOW);
    assert_eq!(store.health(), Health::ClockBehind);
    assert_eq!(wait(store.rotate(order(1, 1), NOW)), Err(StoreError::ClockBehind));
    commit(&*store, Change::RevokeFamily { family: family(2) }, NOW);
    assert!(store.family(family(2), NOW).revoked, "revoking works at any hour");
    store.tick(later(3_601));
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(rotate(&*store, 1, 1, later(3_601)), advanced(2), "it was not burned");
}

pub fn logins_before_the_store_knew_are_refused(new: &impl Maker) {
    let auth_time = order(1, 0).auth_time;
    let knows_since = |since| new(Settings { knows_since: since, ..Settings::default() });
    assert_eq!(rotate(&*knows_since(auth_time), 1, 0, NOW), advanced(1));
    let store = knows_since(auth_time.after(Duration::from_secs(1)));
    assert_eq!(rotate(&*store, 1, 0, NOW), Rotated::Revoked);
    assert_eq!(store.figures().state.entries(), 0);
}

pub fn figures_are_exact(new: &impl Maker) {
    let store = new(Settings::default());
    assert_eq!((store.figures().state.entries(), store.figures().state.next_expiry), (0, None));
    for name in 0..100 {
        assert_eq!(rotate(&*store, name, 0, NOW), advanced(1));
    }
    assert_eq!(rotate(&*store, 1, 0, NOW), retry(1));
    let of = EpochOf::Subject(Subject::from("usr_b"));
    let changes = vec![
        Change::DenyJti { jti: Jti([1; 16]), expires_at: later(60) },
        Change::DenyUndatedJti { jti: Jti([1; 16]), until: later(60) },
        Change::MoveEpoch { of, not_before: NOW, ends_at: FAR },
    ];
    wait(store.commit(changes, NOW)).expect("commit");
    assert_eq!(wait(store.spend(Space::Code, [1; 16], later(60), NOW)), Ok(Spent::First));
    let figures = store.figures();
    let state = figures.state;
    assert_eq!((state.families, state.jtis, state.spent, state.epochs, state.retries), (100, 2, 1, 1, 1));
    assert_eq!(state.entries(), 105);
    assert_eq!(figures.entries_max, Settings::default().entries_max);
    assert!(state.bytes > 100 * 20, "{}", state.bytes);
    assert!(state.next_expiry.is_some_and(|next| next >= later(60) && next <= later(120)));
}
