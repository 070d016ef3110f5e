//! The refresh protocol searched exhaustively: every schedule of an honest client, lost answers, a thief, a revocation
//! and the passing of time, up to a depth. The state is the real one; only the schedule is the search's.
//!
//! The store's critical section makes `State::rotate` one step, so a schedule is a list of steps.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use mintgate::protocol::id::{FamilyId, Generation};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, FamilyFacts, RetryRules, Rotated, State};

use super::{order, state};

const WINDOW: u64 = 2;
const GENERATIONS_MAX: u32 = 4;
const TIME_MAX: u64 = 1_006;

/// What the search tells apart: all that the next step can depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    facts: FamilyFacts,
    now: u64,
    /// The token the client would present next.
    client: u32,
    /// The client has an answer outstanding that got lost, since this moment.
    lost_at: Option<u64>,
    /// Every token the thief has got hold of.
    thief: BTreeSet<u32>,
    /// Whether the thief ever presented anything: if not, the client must never be refused while it keeps to the window.
    disturbed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client refreshes and gets the answer.
    Refresh,
    /// The client refreshes, and the answer gets lost.
    RefreshLost,
    /// The thief copies the client's token.
    Steal,
    /// The thief presents one of its tokens.
    Present(u32),
    /// The family is revoked.
    Revoke,
    /// A second passes.
    Wait,
}

const RULES: RetryRules = RetryRules { window: Duration::from_secs(WINDOW), per_generation_max: 2, per_day_max: 3 };

fn family() -> FamilyId {
    FamilyId::new([1; 12], UnixSeconds(1_000_000))
}

/// The real state, brought to where `world` stands.
fn rebuild(world: &World) -> State {
    let mut state = state();
    let family = family();
    let (to, at) = (world.facts.generation, world.facts.rotated_at);
    let from = Generation(to.0.saturating_sub(1));
    state.apply(&Change::RotateFamily { family, from, to, at }, UnixSeconds(world.now)).expect("room");
    if world.facts.revoked {
        state.apply(&Change::RevokeFamily { family }, UnixSeconds(world.now)).expect("room");
    }
    state
}

fn steps(world: &World) -> Vec<Step> {
    let mut steps = vec![Step::Steal, Step::Revoke];
    if world.now < TIME_MAX {
        steps.push(Step::Wait);
    }
    if world.facts.generation.0 < GENERATIONS_MAX {
        steps.extend([Step::Refresh, Step::RefreshLost]);
        steps.extend(world.thief.iter().map(|token| Step::Present(*token)));
    }
    steps
}

/// Presents `token` and checks what holds for every presentation (I1, I2, I8).
fn present(world: &mut World, token: u32) -> Rotated {
    let mut state = rebuild(world);
    let before = world.facts;
    let now = UnixSeconds(world.now);
    let rotated = state.rotate(&order(family(), token, RULES), now).expect("room");
    let after = state.family(family(), now);
    match rotated {
        Rotated::Advanced { to } => {
            assert!(!before.revoked, "nothing comes from a revoked family (I2): {world:?}");
            assert_eq!((before.generation.0, to.0), (token, token + 1), "only the live one advances (I1)");
            assert_eq!(after.generation, to);
        }
        Rotated::Retry { successor } => {
            assert!(!before.revoked, "{world:?}");
            assert_eq!(successor, before.generation, "a retry gets the live generation and no other (I1)");
            assert_eq!((after.generation, successor.0), (before.generation, token + 1));
            assert!(world.now < before.rotated_at.0 + WINDOW, "no retry after the window");
        }
        Rotated::Reused => assert!(after.revoked),
        Rotated::Revoked => assert!(before.revoked),
    }
    assert!(after.generation >= before.generation && after.revoked >= before.revoked, "monotone");
    world.facts = FamilyFacts { seen_at: UnixSeconds(0), retries: Default::default(), ..after };
    rotated
}

fn holds(rotated: Rotated) -> Option<u32> {
    match rotated {
        Rotated::Advanced { to } => Some(to.0),
        Rotated::Retry { successor } => Some(successor.0),
        Rotated::Reused | Rotated::Revoked => None,
    }
}

fn take(world: &World, step: Step) -> Option<World> {
    let mut next = world.clone();
    match step {
        Step::Wait => next.now += 1,
        Step::Steal => {
            next.thief.insert(next.client);
        }
        Step::Revoke => {
            let mut state = rebuild(world);
            state.apply(&Change::RevokeFamily { family: family() }, UnixSeconds(world.now)).expect("room");
            next.facts.revoked = true;
            next.disturbed = true;
        }
        Step::Refresh | Step::RefreshLost => {
            let late = next.lost_at.is_some_and(|at| next.now >= at + WINDOW);
            let rotated = present(&mut next, world.client);
            let undisturbed = !next.disturbed && !late;
            assert!(holds(rotated).is_some() || !undisturbed, "an honest client keeps its session (I5): {world:?}");
            match (holds(rotated), step) {
                (Some(token), Step::Refresh) => (next.client, next.lost_at) = (token, None),
                // The window counts from the rotation; asking again does not open it anew.
                (Some(_), _) => next.lost_at = next.lost_at.or(Some(next.now)),
                (None, _) => (),
            }
        }
        Step::Present(token) => {
            next.disturbed = true;
            if let Some(got) = holds(present(&mut next, token)) {
                next.thief.insert(got);
            }
        }
    }
    (next != *world).then_some(next)
}

/// I6 without budgets to help: once the window has closed on the older token, at most one side is alive.
fn check_survivors(world: &World) {
    if world.now < world.facts.rotated_at.0 + WINDOW || world.facts.revoked {
        return;
    }
    let live = world.facts.generation.0;
    let client_alive = world.client == live;
    let thief_alive = world.thief.contains(&live);
    if client_alive && thief_alive {
        // Both hold the live token. The first to use it leaves the other one window.
        let mut first = world.clone();
        assert!(holds(present(&mut first, live)).is_some());
        first.now += WINDOW;
        assert_eq!(present(&mut first, live), Rotated::Reused, "the later one ends the family: {world:?}");
        assert_eq!(present(&mut first, live + 1), Rotated::Revoked, "for both");
    }
}

#[test]
fn every_schedule_keeps_the_invariants() {
    let start = World {
        facts: FamilyFacts::default(),
        now: 1_000,
        client: 0,
        lost_at: None,
        thief: BTreeSet::new(),
        disturbed: false,
    };
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        check_survivors(&world);
        for step in steps(&world) {
            if let Some(next) = take(&world, step)
                && seen.insert(next.clone())
            {
                open.push(next);
            }
        }
    }
    println!("{} worlds", seen.len());
    assert!(seen.len() > 5_000, "the search has become trivial: {}", seen.len());
}

/// The quick thief of the manual: always inside the window. Only the day's budget ends that.
#[test]
fn a_thief_inside_every_window_is_ended_by_the_day_budget() {
    let mut state = state();
    let mut shared = 0;
    let end = (0..100).find(|generation| {
        let now = UnixSeconds(1_000 + 300 * u64::from(*generation));
        let victim = state.rotate(&order(family(), *generation, RULES), now).expect("room");
        let thief = state.rotate(&order(family(), *generation, RULES), now).expect("room");
        shared += u32::from(holds(victim).is_some() && holds(thief).is_some());
        holds(thief).is_none()
    });
    assert_eq!((shared, end), (RULES.per_day_max, Some(RULES.per_day_max)));
    let now = UnixSeconds(9_000);
    let live = RULES.per_day_max + 1;
    assert_eq!(state.rotate(&order(family(), live, RULES), now), Ok(Rotated::Revoked), "both are out");
}
