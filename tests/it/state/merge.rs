//! Merges are monotone: order, repetition and the moment of arrival do not matter.

use std::sync::Arc;

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Jti, Kid, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Applied, Change, EpochOf, Full, Quota, Space, State};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::state;

pub const NOW: UnixSeconds = UnixSeconds(50_000);

pub fn family(name: u8) -> FamilyId {
    // Some have ended at NOW, some end later, some in the same hour.
    FamilyId::new([name; 12], UnixSeconds(46_000 + 3_000 * u64::from(name)))
}

/// Every kind of change, about few enough things that they meet.
pub fn changes() -> impl Strategy<Value = Change> {
    let end = 49_900_u64..50_400;
    prop_oneof![
        4 => (0..4_u8, 1..6_u32, 40_000..50_000_u64).prop_map(|(name, to, at)| Change::RotateFamily {
            family: family(name),
            from: Generation(to - 1),
            to: Generation(to),
            at: UnixSeconds(at),
        }),
        1 => (0..4_u8).prop_map(|name| Change::RevokeFamily { family: family(name) }),
        1 => (0..4_u8, end.clone()).prop_map(|(n, end)| Change::DenyJti { jti: Jti([n; 16]), expires_at: UnixSeconds(end) }),
        1 => (0..4_u8, end.clone()).prop_map(|(n, end)| Change::DenyUndatedJti { jti: Jti([n; 16]), until: UnixSeconds(end) }),
        1 => (0..4_u8, prop::sample::select(&SPACES), end.clone()).prop_map(|(n, space, end)| Change::SpendId {
            space,
            id: [n; 16],
            ends_at: UnixSeconds(end),
        }),
        2 => (0..3_u8, 40_000..50_000_u64, 49_000..90_000_u64).prop_map(|(who, mark, end)| Change::MoveEpoch {
            of: match who {
                0 => EpochOf::Subject(Subject::from("same")),
                1 => EpochOf::Client(ClientId::from("same")),
                _ => EpochOf::Key(Kid::from("same")),
            },
            not_before: UnixSeconds(mark),
            ends_at: UnixSeconds(end),
        }),
    ]
}

const SPACES: [Space; 4] = [Space::Code, Space::PushedRequest, Space::Assertion, Space::Proof];

/// A number for each kind; a kind that is added here and not drawn fails the test below.
fn kind(change: &Change) -> usize {
    match change {
        Change::RotateFamily { .. } => 0,
        Change::RevokeFamily { .. } => 1,
        Change::DenyJti { .. } => 2,
        Change::DenyUndatedJti { .. } => 3,
        Change::SpendId { space: Space::Code, .. } => 4,
        Change::SpendId { space: Space::PushedRequest, .. } => 5,
        Change::SpendId { space: Space::Assertion, .. } => 6,
        Change::SpendId { space: Space::Proof, .. } => 7,
        Change::MoveEpoch { of: EpochOf::Subject(_), .. } => 8,
        Change::MoveEpoch { of: EpochOf::Client(_), .. } => 9,
        Change::MoveEpoch { of: EpochOf::Key(_), .. } => 10,
    }
}

#[test]
fn every_kind_of_change_is_drawn() {
    let mut runner = TestRunner::deterministic();
    let mut drawn = [0; 11];
    for _ in 0..2_000 {
        drawn[kind(&changes().new_tree(&mut runner).expect("a change").current())] += 1;
    }
    assert!(drawn.iter().all(|count| *count > 20), "{drawn:?}");
}

fn after(changes: &[Change]) -> State {
    let mut state = state();
    for change in changes {
        state.apply(change, NOW).expect("room");
    }
    state
}

/// What a canonical list leaves out is compared too: the counts.
fn picture(state: &State) -> (Vec<Change>, [usize; 5]) {
    let figures = state.figures();
    (state.to_changes(), [figures.families, figures.jtis, figures.spent, figures.epochs, figures.buckets])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_repetition_give_the_same_state(
        (changes, replayed) in proptest::collection::vec(changes(), 0..40).prop_flat_map(|changes| {
            let mut twice = changes.clone();
            twice.extend(changes.iter().step_by(2).cloned());
            twice.extend(changes.iter().step_by(3).cloned());
            (Just(changes), Just(twice).prop_shuffle())
        })
    ) {
        prop_assert_eq!(picture(&after(&changes)), picture(&after(&replayed)));
    }

    #[test]
    fn loading_together_is_applying_one_by_one(
        changes in proptest::collection::vec(changes(), 0..200), cut in 0..200_usize
    ) {
        let mut loaded = state();
        let (early, late) = changes.split_at(cut.min(changes.len()));
        loaded.load(early, NOW).expect("room");
        loaded.trim();
        loaded.load(late, NOW).expect("room");
        prop_assert_eq!(picture(&loaded), picture(&after(&changes)));
        loaded.trim();
        prop_assert_eq!(picture(&loaded), picture(&after(&changes)));
    }

    #[test]
    fn the_canonical_list_rebuilds_the_state(changes in proptest::collection::vec(changes(), 0..40)) {
        let state = after(&changes);
        prop_assert_eq!(picture(&state), picture(&after(&state.to_changes())));
    }

    #[test]
    fn early_or_late_arrival_makes_no_difference_once_ended_buckets_are_gone(
        changes in proptest::collection::vec(changes(), 0..40), early in 0..50_000_u64
    ) {
        let mut first = state();
        for change in &changes {
            first.apply(change, UnixSeconds(early)).expect("room");
        }
        drop(first.detach_ended(NOW));
        prop_assert_eq!(picture(&first), picture(&after(&changes)));
    }

    #[test]
    fn two_halves_merged_either_way_are_the_whole(
        left in proptest::collection::vec(changes(), 0..20), right in proptest::collection::vec(changes(), 0..20)
    ) {
        let whole: Vec<Change> = left.iter().chain(&right).cloned().collect();
        let (mut a, mut b) = (after(&left), after(&right));
        let (from_a, from_b) = (a.to_changes(), b.to_changes());
        for change in &from_b {
            a.apply(change, NOW).expect("room");
        }
        for change in &from_a {
            b.apply(change, NOW).expect("room");
        }
        prop_assert_eq!(picture(&a), picture(&after(&whole)));
        prop_assert_eq!(picture(&a), picture(&b));
    }

    #[test]
    fn counts_are_exact_and_give_back_everything(changes in proptest::collection::vec(changes(), 0..40)) {
        let quota = Arc::new(Quota::new(1_000));
        let mut state = State::new(Arc::clone(&quota));
        let mut new = 0;
        for change in &changes {
            new += usize::from(state.apply(change, NOW) == Ok(Applied::New));
        }
        prop_assert_eq!(state.figures().entries(), new);
        prop_assert_eq!(quota.used(), new);
        drop(state.detach_ended(UnixSeconds(1_000_000)));
        prop_assert_eq!((state.figures().entries(), state.figures().buckets, quota.used()), (0, 0, 0));
    }
}

#[test]
fn full_changes_nothing_and_what_exists_goes_on() {
    let quota = Arc::new(Quota::new(2));
    let mut state = State::new(quota);
    let rotate =
        |name, to| Change::RotateFamily { family: family(name), from: Generation(to - 1), to: Generation(to), at: NOW };
    assert_eq!(state.apply(&rotate(8, 1), NOW), Ok(Applied::New));
    let jti = Jti([1; 16]);
    let deny = Change::DenyJti { jti, expires_at: NOW.after(std::time::Duration::from_secs(60)) };
    assert_eq!(state.apply(&deny, NOW), Ok(Applied::New));
    let before = state.to_changes();

    let newcomers = [
        rotate(9, 1),
        Change::RevokeFamily { family: family(9) },
        Change::DenyUndatedJti { jti, until: UnixSeconds(90_000) },
        Change::SpendId { space: Space::Code, id: [1; 16], ends_at: UnixSeconds(90_000) },
        Change::MoveEpoch { of: EpochOf::Client(ClientId::from("c")), not_before: NOW, ends_at: UnixSeconds(90_000) },
    ];
    for change in &newcomers {
        assert_eq!(state.apply(change, NOW), Err(Full), "{change:?}");
        assert_eq!(state.to_changes(), before, "{change:?}");
        assert_eq!(state.figures().buckets, 2, "no empty bucket either");
    }
    assert_eq!(state.apply(&rotate(8, 2), NOW), Ok(Applied::Known));
    assert_eq!(state.apply(&Change::RevokeFamily { family: family(8) }, NOW), Ok(Applied::Known));
    assert_eq!(state.apply(&deny, NOW), Ok(Applied::Known));
}

#[test]
fn loading_up_to_the_bound_has_room_and_one_more_has_none() {
    let deny = |n: u8| Change::DenyUndatedJti { jti: Jti([n; 16]), until: UnixSeconds(200_000) };
    let revoke = |n: u8| Change::RevokeFamily { family: family(n) };
    for change in [&deny as &dyn Fn(u8) -> Change, &revoke] {
        let quota = Arc::new(Quota::new(100));
        let mut state = State::new(Arc::clone(&quota));
        // Twice: what is there needs no room.
        let changes: Vec<Change> = (100..200).chain(100..200).map(change).collect();
        assert_eq!((state.load(&changes, NOW), quota.used()), (Ok(()), 100));
        assert_eq!(state.load(&[change(200)], NOW), Err(Full));
    }
}

#[test]
fn an_epoch_that_moves_often_is_one_entry_in_one_bucket() {
    let mut state = state();
    let of = EpochOf::Subject(Subject::from("usr_a"));
    for hour in 0..100 {
        let not_before = UnixSeconds(50_000 + hour);
        let ends_at = UnixSeconds(100_000 + 3_600 * hour);
        state.apply(&Change::MoveEpoch { of: of.clone(), not_before, ends_at }, NOW).expect("room");
    }
    assert_eq!((state.figures().epochs, state.figures().buckets), (1, 1));
    drop(state.detach_ended(UnixSeconds(200_000)));
    assert_eq!(state.epoch(&of), Some(UnixSeconds(50_099)), "its first end has passed, its last has not");
    drop(state.detach_ended(UnixSeconds(500_000)));
    assert_eq!(state.epoch(&of), None);
}

#[test]
fn ids_of_different_spaces_are_different_ids() {
    let mut state = state();
    let spend = |space| Change::SpendId { space, id: [7; 16], ends_at: UnixSeconds(60_000) };
    for space in [Space::Code, Space::PushedRequest, Space::Assertion, Space::Proof] {
        assert_eq!(state.apply(&spend(space), NOW), Ok(Applied::New), "{space:?}");
        assert_eq!(state.apply(&spend(space), NOW), Ok(Applied::Known), "{space:?}");
    }
    let end = UnixSeconds(60_000);
    assert!(!state.is_denied(Jti([7; 16]), end, NOW), "a spent id denies no token");
}

#[test]
fn a_denial_without_a_known_end_is_found_whatever_the_token_says() {
    let mut state = state();
    let jti = Jti([7; 16]);
    state.apply(&Change::DenyUndatedJti { jti, until: UnixSeconds(60_000) }, NOW).expect("room");
    for expires_at in [50_001, 53_000, 59_999] {
        assert!(state.is_denied(jti, UnixSeconds(expires_at), NOW), "{expires_at}");
    }
    assert!(!state.is_denied(Jti([8; 16]), UnixSeconds(53_000), NOW));
}
