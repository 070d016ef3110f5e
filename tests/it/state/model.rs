//! The refresh protocol searched exhaustively: every schedule of an honest client, lost answers, a thief, a revocation,
//! crashes, a clock that is set back and the passing of time, up to a bound. The state is the real one; only the schedule,
//! the disk and the clock are the search's.
//!
//! The store's critical section makes `State::rotate` one step, so a schedule is a list of steps. A change is in memory
//! first; its answer is held until the change has landed on disk; a crash leaves what has landed. Answers leave at the
//! moment of landing: a client that loses one, or dies with it, is the step before ([`Step::Drop`]), and a crash
//! between landing and answer is that step, the landing and the crash.
//!
//! What holds in every world: at most one live generation (I1), nothing minted after an acknowledged revocation (I2),
//! nothing acknowledged is lost (I3), an honest client keeps its session (I5), thief and victim do not both live on
//! beyond the window (I6), a clock set back reopens nothing (I8). I4 is `policy::no_child_outlives_its_family`, I7
//! `keys::simulation`. Rules that are broken on purpose show that the search would find it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use mintgate::protocol::id::{FamilyId, Generation};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, FamilyFacts, RetryRules, Rotated, State};

use super::{order, state};

const WINDOW: u64 = 2;
const GENERATIONS_MAX: u32 = 3;
const START: u64 = 1_000;
const TIME_MAX: u64 = START + 3;
/// With two crashes and a second more there are 1,185,271 worlds, in which the same holds; here are enough for every run.
const CRASHES_MAX: u8 = 1;
/// How far the clock may be behind before nothing is issued.
const TOLERANCE: u64 = 1;
/// What the log's own clock may be behind the latest time seen: it is not written down with every second.
const MARK_LAG: u64 = 1;
/// Once within the tolerance, once beyond it.
const SET_BACK: [u64; 2] = [1, 3];

/// How the gateway works; one as it is built, the others with one rule broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    AsBuilt,
    /// Answers leave before their change is on disk.
    AnswersBeforeDurable,
    /// A start asks the machine's clock alone.
    ForgetsTheClock,
    /// A start begins with an empty state (CVE-2026-9802).
    ForgetsTheState,
    /// What a replay calls for is answered and not done.
    ForgivesReplays,
}

/// What is known of the family, in memory or on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Known {
    generation: u32,
    rotated_at: u64,
    revoked: bool,
}

/// What the search tells apart: all that the next step can depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    memory: Known,
    disk: Known,
    /// The time of the last change that has not landed.
    noted_at: u64,
    /// The latest time the log has written down, the latest that memory has seen, and what the machine says.
    mark: u64,
    seen: u64,
    now: u64,
    /// The latest time there ever was, and whether the clock was set back.
    truth: u64,
    was_set_back: bool,
    crashes: u8,
    /// The window that was over at some moment, by the generation and the time it counted from.
    closed: (u32, u64),
    /// The token the client would present next, and for how many seconds, by no clock of ours, it has asked for another.
    client: u32,
    asking_for: Option<u64>,
    /// Answers that are held: what they bring, if anything.
    client_waits: Option<Option<u32>>,
    thief_waits: Option<Option<u32>>,
    revoker_waits: bool,
    /// Every token the thief has got hold of, one bit a generation.
    thief: u8,
    /// Whether the thief ever presented anything, or somebody revoked: if not, the client must never be refused while it
    /// keeps to the window.
    disturbed: bool,
    /// What somebody was told: the highest generation handed out, and whether a revocation was acknowledged.
    handed_out: u32,
    acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The client asks for a refresh.
    Refresh,
    /// The client's answer gets lost, or the client gives up waiting.
    Drop,
    /// The thief copies the client's token.
    Steal,
    /// The thief presents one of its tokens.
    Present(u32),
    /// The family's revocation is ordered.
    Revoke,
    /// What was changed lands on disk, and the answers that waited for it leave.
    Land,
    /// The process dies and starts again.
    Crash,
    /// The machine's clock is set back.
    SetBack(u64),
    /// A second passes.
    Wait,
}

/// The invariant that does not hold, in words.
type Broken = &'static str;

const RETRIES: RetryRules = RetryRules { window: Duration::from_secs(WINDOW), per_generation_max: 2, per_day_max: 3 };

fn family() -> FamilyId {
    FamilyId::new([1; 12], UnixSeconds(1_000_000))
}

/// The real state, brought to where `memory` stands.
fn rebuild(memory: Known, now: UnixSeconds) -> State {
    let mut state = state();
    let family = family();
    let (from, to) = (Generation(memory.generation.saturating_sub(1)), Generation(memory.generation));
    let at = UnixSeconds(memory.rotated_at);
    state.apply(&Change::RotateFamily { family, from, to, at }, now).expect("room");
    if memory.revoked {
        state.apply(&Change::RevokeFamily { family }, now).expect("room");
    }
    state
}

fn known(facts: FamilyFacts) -> Known {
    Known { generation: facts.generation.0, rotated_at: facts.rotated_at.0, revoked: facts.revoked }
}

fn hold(condition: bool, invariant: Broken) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(invariant) }
}

impl World {
    fn first() -> Self {
        Self {
            memory: Known::default(),
            disk: Known::default(),
            noted_at: 0,
            mark: START,
            seen: START,
            now: START,
            truth: START,
            was_set_back: false,
            crashes: 0,
            closed: (0, 0),
            client: 0,
            asking_for: None,
            client_waits: None,
            thief_waits: None,
            revoker_waits: false,
            thief: 0,
            disturbed: false,
            handed_out: 0,
            acknowledged: false,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Land, Step::Steal];
        if self.now < TIME_MAX {
            steps.push(Step::Wait);
        }
        if !self.was_set_back {
            steps.extend(SET_BACK.map(Step::SetBack));
        }
        if self.crashes < CRASHES_MAX {
            steps.push(Step::Crash);
        }
        if !self.revoker_waits && !self.acknowledged {
            steps.push(Step::Revoke);
        }
        if self.client_waits.is_some() {
            steps.push(Step::Drop);
        }
        // A clock that is behind answers 503, which changes nothing.
        if self.memory.generation < GENERATIONS_MAX && self.now + TOLERANCE >= self.seen {
            if self.client_waits.is_none() {
                steps.push(Step::Refresh);
            }
            if self.thief_waits.is_none() {
                let held = (0..GENERATIONS_MAX).filter(|token| self.thief & (1 << token) != 0);
                steps.extend(held.map(Step::Present));
            }
        }
        steps
    }

    /// Presents `token` and checks what holds for every presentation (I1, I2, I8). Gives what it would be answered with.
    fn present(&mut self, token: u32, rules: Rules) -> Result<Option<u32>, Broken> {
        let now = UnixSeconds(self.seen);
        let (mut state, before) = (rebuild(self.memory, now), self.memory);
        let rotated = state.rotate(&order(family(), token, RETRIES), now).expect("room");
        let after = known(state.family(family(), now));
        let got = match rotated {
            Rotated::Advanced { to } => {
                hold(!before.revoked, "I2: nothing comes from a revoked family")?;
                hold(before.generation == token && to.0 == token + 1, "I1: only the live one advances")?;
                hold(after.generation == to.0, "I1: and it is live then")?;
                Some(to.0)
            }
            Rotated::Retry { successor } => {
                hold(!before.revoked, "I2: nothing comes from a revoked family")?;
                hold(successor.0 == before.generation && successor.0 == token + 1, "I1: a retry gets the live one")?;
                // Without a clock set back it is exact; with one, a crash can hide the last second that was not written.
                let lag = if self.was_set_back && self.crashes > 0 { MARK_LAG } else { 0 };
                let hidden = self.truth < before.rotated_at + WINDOW + lag;
                let was_over = self.closed == (before.generation, before.rotated_at);
                hold(!was_over || hidden, "I8: a window that was over is open again")?;
                Some(successor.0)
            }
            Rotated::Reused => {
                hold(after.revoked, "I6: a replay ends the family")?;
                None
            }
            Rotated::Revoked => {
                hold(before.revoked, "I5: only a revoked family is called so")?;
                None
            }
        };
        hold(!self.acknowledged || got.is_none(), "I2: minted after an acknowledged revocation")?;
        hold(after.generation >= before.generation && after.revoked >= before.revoked, "monotone")?;
        self.memory = after;
        if rules == Rules::ForgivesReplays && rotated == Rotated::Reused {
            self.memory = before;
        }
        if self.memory != before {
            self.noted_at = self.seen;
        }
        Ok(got)
    }

    fn tell_client(&mut self, got: Option<u32>) {
        if let Some(token) = got {
            (self.client, self.asking_for) = (token, None);
            self.handed_out = self.handed_out.max(token);
        }
    }

    fn tell_thief(&mut self, got: Option<u32>) {
        if let Some(token) = got {
            self.thief |= 1 << token;
            self.handed_out = self.handed_out.max(token);
        }
    }

    fn land(&mut self) {
        self.disk = self.memory;
        self.mark = self.mark.max(self.noted_at);
        self.noted_at = 0;
        self.answer();
    }

    /// Everything that is held leaves.
    fn answer(&mut self) {
        if let Some(got) = self.client_waits.take() {
            self.tell_client(got);
        }
        if let Some(got) = self.thief_waits.take() {
            self.tell_thief(got);
        }
        self.acknowledged |= std::mem::take(&mut self.revoker_waits);
    }

    fn crash(&mut self, rules: Rules) {
        self.crashes += 1;
        (self.client_waits, self.thief_waits, self.revoker_waits, self.noted_at) = (None, None, false, 0);
        self.memory = if rules == Rules::ForgetsTheState { Known::default() } else { self.disk };
        self.seen = if rules == Rules::ForgetsTheClock { self.now } else { self.mark.max(self.now) };
    }

    fn take(&self, step: Step, rules: Rules) -> Result<Self, Broken> {
        let mut next = self.clone();
        match step {
            Step::Wait => {
                next.now += 1;
                next.asking_for = next.asking_for.map(|seconds| WINDOW.min(seconds + 1));
                next.truth = next.truth.max(next.now);
                next.seen = next.seen.max(next.now);
                if next.seen > next.mark + MARK_LAG {
                    next.mark = next.seen;
                }
            }
            Step::SetBack(seconds) => {
                next.now -= seconds;
                next.was_set_back = true;
            }
            Step::Steal => next.thief |= 1 << next.client,
            Step::Revoke => {
                next.memory.revoked = true;
                (next.revoker_waits, next.disturbed, next.noted_at) = (true, true, next.seen);
            }
            Step::Refresh => {
                let late = next.asking_for == Some(WINDOW);
                let got = next.present(next.client, rules)?;
                hold(got.is_some() || next.disturbed || late, "I5: an honest client is logged out")?;
                // The window counts from the rotation; asking again does not open it anew.
                next.asking_for = next.asking_for.or(Some(0));
                next.client_waits = Some(got);
            }
            Step::Drop => next.client_waits = None,
            Step::Present(token) => {
                next.disturbed = true;
                next.thief_waits = Some(next.present(token, rules)?);
            }
            Step::Land => next.land(),
            Step::Crash => next.crash(rules),
        }
        if rules == Rules::AnswersBeforeDurable {
            next.answer();
        }
        if next.seen >= next.memory.rotated_at + WINDOW {
            next.closed = (next.memory.generation, next.memory.rotated_at);
        }
        next.check(rules)?;
        Ok(next)
    }

    /// What holds in every world.
    fn check(&self, rules: Rules) -> Result<(), Broken> {
        hold(self.handed_out <= self.memory.generation, "I3: an acknowledged rotation is lost")?;
        hold(self.memory.revoked || !self.acknowledged, "I3: an acknowledged revocation is lost")?;
        self.check_survivors(rules)
    }

    /// I6 without budgets to help: once the window has closed on the older token, at most one side is alive.
    fn check_survivors(&self, rules: Rules) -> Result<(), Broken> {
        let live = self.memory.generation;
        let both = self.client == live && self.thief & (1 << live) != 0;
        let closed = self.seen >= self.memory.rotated_at + WINDOW;
        if !both || !closed || self.memory.revoked || live >= GENERATIONS_MAX {
            return Ok(());
        }
        // Both hold the live token. The first to use it leaves the other one window.
        let mut world = self.clone();
        hold(world.present(live, rules)? == Some(live + 1), "I5: the live token works")?;
        (world.seen, world.now, world.truth) = (world.seen + WINDOW, world.seen + WINDOW, world.truth + WINDOW);
        hold(world.present(live, rules)?.is_none(), "I6: the later one is refused")?;
        hold(world.present(live + 1, rules)?.is_none(), "I6: and the family ends for both")
    }
}

/// A schedule after which an invariant does not hold, as short as there is one.
#[derive(Debug)]
struct Found {
    broken: Broken,
    schedule: Vec<Step>,
}

/// Searches breadth first; gives the number of worlds, or the first counterexample to an invariant whose name begins with
/// `wanted`.
fn search(rules: Rules, wanted: &str) -> Result<usize, Found> {
    let first = World::first();
    let mut numbers = HashMap::from([(first.clone(), 0)]);
    let mut came_by: Vec<Option<(usize, Step)>> = vec![None];
    let mut open = VecDeque::from([(0, first)]);
    while let Some((number, world)) = open.pop_front() {
        for step in world.steps() {
            let next = match world.take(step, rules) {
                Ok(next) => next,
                Err(broken) if broken.starts_with(wanted) => {
                    let mut schedule = vec![step];
                    let mut at = number;
                    while let Some((before, step)) = came_by[at] {
                        schedule.push(step);
                        at = before;
                    }
                    schedule.reverse();
                    return Err(Found { broken, schedule });
                }
                Err(_) => continue,
            };
            if numbers.contains_key(&next) {
                continue;
            }
            came_by.push(Some((number, step)));
            numbers.insert(next.clone(), came_by.len() - 1);
            open.push_back((came_by.len() - 1, next));
        }
    }
    Ok(came_by.len())
}

#[test]
fn every_schedule_keeps_the_invariants() {
    let worlds = search(Rules::AsBuilt, "").unwrap_or_else(|found| panic!("{found:#?}"));
    println!("{worlds} worlds");
    assert!(worlds > 100_000, "the search has become trivial: {worlds}");
}

/// The search finds what it is there to find, and the schedules are short enough to read.
#[test]
fn a_broken_rule_is_found() {
    for (rules, invariant) in [
        (Rules::AnswersBeforeDurable, "I3"),
        (Rules::ForgetsTheClock, "I8"),
        (Rules::ForgetsTheState, "I3"),
        (Rules::ForgivesReplays, "I6"),
    ] {
        let found = search(rules, invariant).expect_err("a rule is broken");
        println!("{rules:?}: {} by {:?}", found.broken, found.schedule);
        assert!(found.schedule.len() <= 9, "{rules:?}: {found:?}");
    }
}

fn holds(rotated: Rotated) -> Option<u32> {
    match rotated {
        Rotated::Advanced { to } => Some(to.0),
        Rotated::Retry { successor } => Some(successor.0),
        Rotated::Reused | Rotated::Revoked => None,
    }
}

/// The quick thief of the manual: always inside the window. Only the day's budget ends that.
#[test]
fn a_thief_inside_every_window_is_ended_by_the_day_budget() {
    let mut state = state();
    let mut shared = 0;
    let end = (0..100).find(|generation| {
        let now = UnixSeconds(1_000 + 300 * u64::from(*generation));
        let victim = state.rotate(&order(family(), *generation, RETRIES), now).expect("room");
        let thief = state.rotate(&order(family(), *generation, RETRIES), now).expect("room");
        shared += u32::from(holds(victim).is_some() && holds(thief).is_some());
        holds(thief).is_none()
    });
    assert_eq!((shared, end), (RETRIES.per_day_max, Some(RETRIES.per_day_max)));
    let now = UnixSeconds(9_000);
    let live = RETRIES.per_day_max + 1;
    assert_eq!(state.rotate(&order(family(), live, RETRIES), now), Ok(Rotated::Revoked), "both are out");
}
