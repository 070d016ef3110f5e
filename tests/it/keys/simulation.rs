//! Verifiers against rotations: whoever honours the cache header never meets an unknown kid.
//!
//! Time runs in milliseconds from event to event. The gateway looks at its plan up to half a second late, commands
//! by hand reach it up to two seconds late, answers travel, refetches fail: the arithmetic has to absorb all of it.

use std::collections::HashSet;
use std::time::Duration;

use mintgate::keys::caching::Caching;
use mintgate::keys::lifecycle::{self, Automatic, KeyRecord, KeyState, KeyUse, Rules};
use mintgate::keys::plan::{Step, Takeover, apply, plan, successor};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::Kid;
use mintgate::protocol::time::UnixSeconds;
use proptest::prelude::*;

const ES: KeyUse = KeyUse::Sign(Algorithm::Es256);

/// A small generator, so that a failing case is one number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Honours max-age, and uses every permission to serve stale.
    HonoursCacheHeaders,
    /// Never refetches but for an unknown kid, and then at most every 30 s.
    RefetchesUnknownKids,
}

struct World {
    rules: Rules,
    dice: Dice,
    /// In milliseconds.
    now: u64,
    stored: Vec<KeyRecord>,
    served: Vec<KeyRecord>,
    gateway_looks_at: u64,
    made: u32,
    rotations: u32,
}

impl World {
    fn new(rules: Rules, seed: u64) -> Self {
        let mut world = Self {
            rules,
            dice: Dice(seed),
            now: 1_800_000_000_000,
            stored: Vec::new(),
            served: Vec::new(),
            gateway_looks_at: 0,
            made: 0,
            rotations: 0,
        };
        world.gateway();
        world
    }

    fn seconds(&self) -> UnixSeconds {
        UnixSeconds(self.now / 1_000)
    }

    fn step(&mut self, step: Step) {
        let now = self.seconds();
        let Step::Prepare(usage, when) = step else {
            self.rotations += u32::from(matches!(step, Step::Activate(_)));
            return apply(&mut self.stored, &step, &self.rules, now).expect("a planned step");
        };
        self.made += 1;
        let id = Kid::from(format!("key{}", self.made));
        self.stored.push(KeyRecord::prepared(id.clone(), usage, None, now));
        match when {
            Takeover::WhenDue => {}
            Takeover::WhenReady => self.step(Step::Schedule(id)),
            Takeover::Now => self.step(Step::Activate(id)),
        }
    }

    /// The rotator's tick: take what is stored, do what is due, serve it.
    fn gateway(&mut self) {
        let due = plan(&self.stored, &self.rules, self.seconds());
        for step in due.steps {
            self.step(step);
        }
        self.served = self.stored.clone();
        let next = plan(&self.stored, &self.rules, self.seconds()).next_at;
        let again = plan(&self.stored, &self.rules, self.seconds()).steps.is_empty();
        let at = if again { next.0.saturating_mul(1_000).max(self.now + 1) } else { self.now };
        self.gateway_looks_at = at.saturating_add(self.dice.below(500));
    }

    /// `mintgate keys rotate` in another process.
    fn by_hand(&mut self) {
        match successor(&self.stored, ES).map(|record| record.id.clone()) {
            Some(id) => self.step(Step::Schedule(id)),
            None => self.step(Step::Prepare(ES, Takeover::WhenReady)),
        }
        self.gateway_looks_at = self.gateway_looks_at.min(self.now + self.dice.below(2_000));
    }

    fn advance_to(&mut self, to: u64) {
        while self.gateway_looks_at <= to {
            self.now = self.now.max(self.gateway_looks_at);
            self.gateway();
        }
        self.now = self.now.max(to);
    }

    fn signs(&self) -> Kid {
        lifecycle::active(&self.served, ES).expect("a signer").id.clone()
    }

    fn jwks(&self) -> HashSet<Kid> {
        let published = |record: &&KeyRecord| record.usage == ES && !record.state.has_ended();
        self.served.iter().filter(published).map(|record| record.id.clone()).collect()
    }
}

struct Verifier {
    habit: Habit,
    known: HashSet<Kid>,
    fetched_at: u64,
    arriving: Option<(u64, u64, HashSet<Kid>)>,
}

impl Verifier {
    fn fetch(&mut self, world: &World) {
        (self.known, self.fetched_at) = (world.jwks(), world.now);
    }

    /// Whether a token with this kid can be verified now; `None` if the verifier knows that it cannot tell.
    fn knows(&mut self, kid: &Kid, world: &mut World, caching: Caching) -> Option<bool> {
        if let Some((arrives_at, asked_at, set)) = self.arriving.take() {
            if arrives_at <= world.now {
                (self.known, self.fetched_at) = (set, asked_at);
            } else {
                self.arriving = Some((arrives_at, asked_at, set));
            }
        }
        let age = world.now - self.fetched_at;
        if self.habit == Habit::RefetchesUnknownKids {
            if !self.known.contains(kid) && age >= 30_000 {
                self.fetch(world);
            }
            return Some(self.known.contains(kid));
        }
        let fresh = caching.max_age * 1_000;
        let stale = fresh + caching.stale_while_revalidate * 1_000;
        let desperate = stale + caching.stale_if_error * 1_000;
        if age > fresh {
            let fails = world.dice.one_in(3);
            if age <= stale {
                if !fails && self.arriving.is_none() {
                    self.arriving = Some((world.now + world.dice.below(300), world.now, world.jwks()));
                }
            } else if !fails {
                self.fetch(world);
            } else if age > desperate {
                return None;
            }
        }
        Some(self.known.contains(kid))
    }
}

/// Lets `rotations` pass and counts the tokens whose kid was unknown.
fn unknown_kids(rules: Rules, caching: Caching, habit: Habit, seed: u64, rotations: u32) -> u32 {
    let mut world = World::new(rules.clone(), seed);
    let nobody = || Verifier { habit, known: HashSet::new(), fetched_at: 0, arriving: None };
    let mut verifiers: Vec<Verifier> = (0..4).map(|_| nobody()).collect();
    for verifier in &mut verifiers {
        verifier.fetch(&world);
    }
    let lifetime = lifecycle::whole_seconds(rules.token_lifetime_max).as_millis() as u64;
    let mut tokens: Vec<(Kid, u64)> = Vec::new();
    let mut unknown = 0;
    while world.rotations < rotations {
        // Sleep a little, or until just before or after the plan moves: that is where it could go wrong.
        let nap = match world.dice.below(4) {
            0 => 1 + world.dice.below(700),
            1 => 1 + world.dice.below(rules.publish_ahead.as_millis() as u64 + 1_000),
            _ => world.gateway_looks_at.saturating_sub(world.now + 50).min(90_000_000_000) + world.dice.below(3_000),
        };
        world.advance_to(world.now + nap);
        if world.dice.one_in(40) {
            world.by_hand();
        }
        // iat is a whole second, so a token may end up to a second before its life is over.
        tokens.push((world.signs(), world.now / 1_000 * 1_000 + lifetime));
        tokens.retain(|(_, ends_at)| *ends_at > world.now);
        let oldest = tokens.len().saturating_sub(20);
        tokens.drain(..oldest);
        for verifier in &mut verifiers {
            // Not every verifier sees every token, so caches age.
            if tokens.is_empty() || world.dice.one_in(2) {
                continue;
            }
            let pick = world.dice.below(tokens.len() as u64) as usize;
            for kid in [tokens[pick].0.clone(), tokens[tokens.len() - 1].0.clone()] {
                unknown += u32::from(verifier.knows(&kid, &mut world, caching) == Some(false));
            }
        }
        // At any time at most one key of a use is active.
        assert!(world.served.iter().filter(|one| one.usage == ES && one.state == KeyState::Active).count() == 1);
    }
    unknown
}

fn rules(rotate_every: Duration, publish_ahead: Duration, lifetime: Duration, automatic: Automatic) -> Rules {
    Rules {
        algorithms: vec![Algorithm::Es256],
        rotate_every,
        publish_ahead,
        token_lifetime_max: lifetime,
        family_lifetime_max: Duration::from_secs(7_776_000),
        skew: Duration::from_secs(60),
        automatic,
    }
}

fn default_rules() -> Rules {
    let seconds = Duration::from_secs;
    rules(seconds(30 * 86_400), seconds(3_600), seconds(3_600), Automatic::On)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_verifier_that_honours_the_header_never_meets_an_unknown_kid(
        rotate_millis in 500_u64..200_000, ahead_millis in 0_u64..90_000, lifetime in 1_u64..600, seed in any::<u64>(),
    ) {
        let ahead = Duration::from_millis(ahead_millis);
        let rules = rules(Duration::from_millis(rotate_millis), ahead, Duration::from_secs(lifetime), Automatic::On);
        let caching = Caching::of(ahead);
        prop_assert_eq!(unknown_kids(rules, caching, Habit::HonoursCacheHeaders, seed, 100), 0);
    }
}

#[test]
fn the_default_plan_hurts_neither_kind_of_verifier() {
    let caching = Caching::of(default_rules().publish_ahead);
    for seed in 0..24 {
        for habit in [Habit::HonoursCacheHeaders, Habit::RefetchesUnknownKids] {
            assert_eq!(unknown_kids(default_rules(), caching, habit, seed, 100), 0, "seed {seed}");
        }
    }
}

#[test]
fn the_short_plan_of_a_test_hurts_nobody_who_honours_the_header() {
    let seconds = Duration::from_secs;
    for seed in 0..24 {
        for ahead in [0, 1, 2, 3, 4, 5] {
            let rules = rules(seconds(4), seconds(ahead), seconds(3), Automatic::On);
            let caching = Caching::of(rules.publish_ahead);
            assert_eq!(unknown_kids(rules, caching, Habit::HonoursCacheHeaders, seed, 100), 0, "{ahead} s, {seed}");
        }
    }
}

/// The simulation can fail: a header that promises more than the overlap is caught.
#[test]
fn a_header_that_outlives_the_overlap_is_caught() {
    let seconds = Duration::from_secs;
    let rules = rules(seconds(60), seconds(20), seconds(30), Automatic::On);
    let rows = [
        ("max-age", Caching { max_age: 40, stale_while_revalidate: 0, stale_if_error: 0 }),
        ("stale-while-revalidate", Caching { max_age: 5, stale_while_revalidate: 40, stale_if_error: 0 }),
        ("stale-if-error", Caching { max_age: 5, stale_while_revalidate: 0, stale_if_error: 60 }),
    ];
    for (name, caching) in rows {
        let met: u32 =
            (0..8).map(|seed| unknown_kids(rules.clone(), caching, Habit::HonoursCacheHeaders, seed, 100)).sum();
        assert!(met > 0, "{name}");
    }
}
