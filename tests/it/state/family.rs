//! The verdict on a presented generation, row by row.

use std::time::Duration;

use mintgate::protocol::id::{FamilyId, Generation};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, FamilyFacts, Retries, RetryRules, Rotated, Verdict};

use super::{order, state};

struct Case {
    facts: FamilyFacts,
    rules: RetryRules,
    presented: u32,
    now: u64,
}

impl Case {
    /// Generation 4 became live at 1,000; generation 3 comes again five seconds later.
    fn retry() -> Self {
        let facts = FamilyFacts { generation: Generation(4), rotated_at: UnixSeconds(1_000), ..FamilyFacts::default() };
        Self { facts, rules: RetryRules::default(), presented: 3, now: 1_005 }
    }

    fn verdict(&self) -> Verdict {
        self.facts.judge(Generation(self.presented), &self.rules, UnixSeconds(self.now))
    }
}

/// What is different from [`Case::retry`], the change, the verdict.
type Row = (&'static str, fn(&mut Case), Verdict);

#[test]
fn verdicts() {
    let retry = Verdict::Retry { successor: Generation(4) };
    let rows: [Row; 20] = [
        ("in the window", |_| (), retry),
        ("in the same second", |c| c.now = 1_000, retry),
        ("in the last second of the window", |c| c.now = 1_009, retry),
        ("at the end of the window", |c| c.now = 1_010, Verdict::Reused),
        ("long after", |c| c.now = 9_999, Verdict::Reused),
        ("the live one", |c| c.presented = 4, Verdict::Current),
        ("the live one, long after", |c| (c.presented, c.now) = (4, 9_999), Verdict::Current),
        ("two behind, so the successor was used", |c| c.presented = 2, Verdict::Reused),
        ("generation 0 of a family that moved on", |c| c.presented = 0, Verdict::Reused),
        ("above the live one: the state was lost", |c| c.presented = 5, Verdict::Reused),
        ("revoked, and a retry", |c| c.facts.revoked = true, Verdict::Revoked),
        ("revoked, and the live one", |c| (c.facts.revoked, c.presented) = (true, 4), Verdict::Revoked),
        ("window 0", |c| (c.rules.window, c.now) = (Duration::ZERO, 1_000), Verdict::Reused),
        ("window 250 ms counts as a second", |c| (c.rules.window, c.now) = (Duration::from_millis(250), 1_000), retry),
        ("budget of the generation used up", |c| c.facts.retries.of_generation = 64, Verdict::Reused),
        ("budget of the day used up", |c| c.facts.retries.today = 1_000, Verdict::Reused),
        (
            "budget of the day used up by this very generation",
            |c| c.facts.retries = Retries { of_generation: 1, today: 1_000 },
            retry,
        ),
        (
            "clock back an hour, but the state has seen later",
            |c| {
                (c.now, c.facts.seen_at) = (1_005, UnixSeconds(4_605));
            },
            Verdict::Reused,
        ),
        ("another gateway's clock is a second ahead", |c| c.now = 999, retry),
        ("another gateway's clock is a window ahead", |c| c.now = 990, Verdict::Reused),
    ];
    for (name, change_one_thing, verdict) in rows {
        let mut case = Case::retry();
        change_one_thing(&mut case);
        assert_eq!(case.verdict(), verdict, "{name}");
    }
}

#[test]
fn a_family_without_an_entry_has_generation_0_live() {
    let facts = FamilyFacts::default();
    let now = UnixSeconds(1_000);
    assert_eq!(facts.judge(Generation(0), &RetryRules::default(), now), Verdict::Current);
    assert_eq!(facts.judge(Generation(1), &RetryRules::default(), now), Verdict::Reused);
}

#[test]
fn the_last_generation_ends_the_family() {
    let facts = FamilyFacts { generation: Generation(u32::MAX), ..FamilyFacts::default() };
    assert_eq!(facts.judge(Generation(u32::MAX), &RetryRules::default(), UnixSeconds(9)), Verdict::Revoked);
}

#[test]
fn a_thousand_rotations_are_one_entry_and_ordered_within_one_second() {
    let mut state = state();
    let family = FamilyId::new([1; 12], UnixSeconds(1_000_000));
    let now = UnixSeconds(1_000);
    for generation in 0..1_000 {
        let rotated = state.rotate(&order(family, generation, RetryRules::default()), now);
        assert_eq!(rotated, Ok(Rotated::Advanced { to: Generation(generation + 1) }));
    }
    assert_eq!(state.figures().families, 1);
    assert_eq!(state.figures().entries(), 1);
    assert_eq!(state.rotate(&order(family, 500, RetryRules::default()), now), Ok(Rotated::Reused));
    assert_eq!(
        state.rotate(&order(family, 1_000, RetryRules::default()), now),
        Ok(Rotated::Revoked),
        "everyone is out"
    );
}

/// THREATS row 18 (CVE class of a version counted in seconds): the order is in the generation, never in a time.
#[test]
fn ten_rotations_of_one_family_within_one_millisecond_are_ordered() {
    let now = UnixSeconds(1_000);
    let rules = RetryRules { window: Duration::ZERO, ..RetryRules::default() };
    let family = FamilyId::new([1; 12], UnixSeconds(1_000_000));
    let moved_on = || {
        let mut state = state();
        let began = std::time::Instant::now();
        let moves: Vec<_> = (0..10).map(|from| state.rotate(&order(family, from, rules), now)).collect();
        let took = began.elapsed();
        let expected: Vec<_> = (1..=10).map(|to| Ok(Rotated::Advanced { to: Generation(to) })).collect();
        assert_eq!(moves, expected);
        (state, took)
    };
    // Whatever a busy machine does in between, one of a hundred is quick enough to be the case in question.
    let quickest = (0..100).map(|_| moved_on().1).min().expect("some");
    assert!(quickest < Duration::from_millis(1), "{quickest:?}");
    for presented in 0..10 {
        let (mut state, _) = moved_on();
        assert_eq!(state.rotate(&order(family, presented, rules), now), Ok(Rotated::Reused), "{presented}");
    }
    let (mut state, _) = moved_on();
    assert_eq!(state.rotate(&order(family, 10, rules), now), Ok(Rotated::Advanced { to: Generation(11) }));
}

#[test]
fn a_family_that_has_ended_is_over_whatever_its_entry_said() {
    let mut state = state();
    let family = FamilyId::new([1; 12], UnixSeconds(7_200));
    state.apply(&Change::RevokeFamily { family }, UnixSeconds(100)).expect("room");
    drop(state.detach_ended(UnixSeconds(7_200)));
    assert_eq!(state.figures().families, 0);
    assert!(state.family(family, UnixSeconds(7_200)).revoked);
    assert_eq!(state.rotate(&order(family, 0, RetryRules::default()), UnixSeconds(7_200)), Ok(Rotated::Revoked));
}

#[test]
fn the_day_budget_counts_generations_and_starts_anew_with_the_day() {
    let mut state = state();
    let rules = RetryRules { per_day_max: 2, ..RetryRules::default() };
    let family = FamilyId::new([1; 12], UnixSeconds(1_000_000));
    let mut share = |generation: u32, now: u64| {
        state.rotate(&order(family, generation, rules), UnixSeconds(now)).expect("room");
        state.rotate(&order(family, generation, rules), UnixSeconds(now)).expect("room");
        state.rotate(&order(family, generation, rules), UnixSeconds(now)).expect("room")
    };
    let retry = |successor| Rotated::Retry { successor: Generation(successor) };
    assert_eq!(share(0, 1_000), retry(1));
    assert_eq!(share(1, 1_001), retry(2));
    assert_eq!(share(2, 86_400), retry(3), "the next day");
    assert_eq!(share(3, 86_401), retry(4));
    assert_eq!(share(4, 86_402), Rotated::Revoked, "the second presentation revoked it, the third finds that");
    assert_eq!(state.figures().retries, 1);
    drop(state.detach_ended(UnixSeconds(172_800)));
    assert_eq!(state.figures().retries, 0);
}
