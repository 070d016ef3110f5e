//! Random schedules through the real grant and the real store: each refresh is split into what it reads and what it
//! commits, and the halves of different actors interleave. The "must show", as properties.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mintgate::client::Client;
use mintgate::grant::refresh_token::{self, Facts};
use mintgate::grant::{Asked, Decision, EpochFacts, Refusal, Settings, login};
use mintgate::protocol::id::{FamilyId, Generation};
use mintgate::protocol::refresh::RefreshToken;
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, Rotated};
use mintgate::store::{MemoryStore, Store};
use proptest::prelude::*;

use super::{NOW, client, profile};

const WINDOW: u64 = 10;

/// A memory store answers at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a memory store does not wait"),
    }
}

/// The gateway of these tests: one family, a clock, and what must hold after every commit.
struct Gateway {
    store: MemoryStore,
    client: Client,
    settings: Settings,
    now: UnixSeconds,
    /// Generations some commit advanced to: each at most once.
    advanced: BTreeSet<Generation>,
    /// A revocation was acknowledged, by order or for a replay.
    over: bool,
}

/// A refresh between its read and its commit.
#[derive(Clone)]
struct InFlight {
    presented: RefreshToken,
    decision: Result<Decision, Refusal>,
}

impl Gateway {
    fn new() -> Self {
        let settings = Settings::default();
        Self {
            store: MemoryStore::new(mintgate::store::Settings::default()),
            client: client(),
            settings,
            now: NOW,
            advanced: BTreeSet::new(),
            over: false,
        }
    }

    fn log_in(&self) -> RefreshToken {
        let facts = login::Facts {
            profile: Some(profile()),
            password: login::Password::Matched,
            epochs: EpochFacts::default(),
        };
        let asked = Asked::default();
        let decision =
            login::decide(login::Via::Login, &asked, &facts, &self.client, &self.settings, [7; 12], self.now);
        decision.expect("log-in").refresh.expect("refresh token")
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    fn read(&self, presented: &RefreshToken) -> InFlight {
        let family = self.store.family(presented.family, self.now);
        let facts = Facts { family, epochs: EpochFacts::default(), profile: Some(profile()) };
        let asked = Asked::default();
        let decision = refresh_token::decide(presented, &asked, &facts, &self.client, &self.settings, self.now);
        InFlight { presented: presented.clone(), decision }
    }

    /// Carries out what was decided and gives the refresh token that leaves, if one does.
    fn commit(&mut self, refresh: InFlight) -> Option<RefreshToken> {
        let family = refresh.presented.family;
        let before = self.store.family(family, self.now);
        let decision = match refresh.decision {
            Ok(decision) => decision,
            Err(refusal) => {
                self.over |= !refusal.changes.is_empty();
                ready(self.store.commit(refusal.changes, self.now)).expect("room");
                return None;
            }
        };
        let rotated = ready(self.store.rotate(decision.rotation.expect("rotation"), self.now)).expect("room");
        let after = self.store.family(family, self.now);
        assert!(after.generation >= before.generation && after.revoked >= before.revoked, "monotone");
        assert_eq!(after.revoked, self.over || rotated == Rotated::Reused);
        if let Rotated::Advanced { to } = rotated {
            assert!(self.advanced.insert(to), "two advanced to {to} (I1)");
        }
        let Ok(generation) = refresh_token::settle(rotated) else {
            self.over = true;
            return None;
        };
        assert!(!self.over, "granted after the revocation was acknowledged (I2)");
        assert_eq!(generation, after.generation, "what leaves is the one live generation (I1)");
        assert_eq!(generation, refresh.presented.generation.next());
        let successor = decision.refresh.expect("refresh token");
        assert_eq!(successor.generation, generation, "what was sealed before the commit is what the commit gave");
        let ends_at = successor.family_ends_at;
        assert_eq!(ends_at, refresh.presented.family_ends_at, "the family's end stays");
        assert!(self.now.after(decision.mint.lifetime) <= ends_at || self.now >= ends_at, "I4");
        Some(successor)
    }

    fn revoke(&mut self, family: FamilyId) {
        ready(self.store.commit(vec![Change::RevokeFamily { family }], self.now)).expect("room");
        self.over = true;
    }
}

/// One step of a schedule; numbers are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody presents one of all tokens ever seen.
    Read(usize),
    /// The client presents its newest token.
    ReadNewest,
    /// A refresh in flight is committed; its answer arrives, or is lost.
    Commit(usize, bool),
    /// Seconds pass.
    Wait(u64),
    /// The family is revoked by order.
    Revoke,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any::<usize>().prop_map(Step::Read),
        40 => Just(Step::ReadNewest),
        60 => (any::<usize>(), any::<bool>()).prop_map(|(which, arrives)| Step::Commit(which, arrives)),
        10 => (0..WINDOW + 2).prop_map(Step::Wait),
        1 => Just(Step::Revoke),
    ]
}

/// One round of an honest client: it presents its token so many times at once or one after the other, within the window.
#[derive(Clone, Debug)]
struct Round {
    /// For each presentation whether its answer arrives.
    arrives: Vec<bool>,
    /// Whether all are read before the first is committed.
    crowded: bool,
    /// Seconds until the next round.
    pause: u64,
}

fn round() -> impl Strategy<Value = Round> {
    let arrives = proptest::collection::vec(any::<bool>(), 1..=64);
    (arrives, any::<bool>(), 0..100_000_u64).prop_map(|(arrives, crowded, pause)| Round { arrives, crowded, pause })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// I1, I2, I4 and monotony, whoever presents whatever whenever. The assertions are in [`Gateway::commit`].
    #[test]
    fn no_schedule_forks_a_family_or_revives_it(steps in proptest::collection::vec(step(), 1..80)) {
        let mut gateway = Gateway::new();
        let mut tokens = vec![gateway.log_in()];
        let mut in_flight: Vec<InFlight> = Vec::new();
        for step in steps {
            match step {
                Step::Read(which) => in_flight.push(gateway.read(&tokens[which % tokens.len()])),
                Step::ReadNewest => in_flight.push(gateway.read(tokens.last().expect("one"))),
                Step::Commit(which, arrives) if !in_flight.is_empty() => {
                    let refresh = in_flight.swap_remove(which % in_flight.len());
                    if let Some(successor) = gateway.commit(refresh).filter(|_| arrives) {
                        tokens.push(successor);
                        tokens.sort_by_key(|token| token.generation);
                    }
                }
                Step::Commit(..) => (),
                Step::Wait(seconds) => gateway.wait(seconds),
                Step::Revoke => gateway.revoke(tokens[0].family),
            }
        }
        for refresh in in_flight {
            gateway.commit(refresh);
        }
        // Whatever happened: a token two behind the live one ends it for everyone.
        let live = gateway.store.family(tokens[0].family, gateway.now).generation;
        if live >= Generation(2) {
            let replay = gateway.read(&tokens[0]);
            prop_assert!(gateway.commit(replay).is_none());
            for token in &tokens {
                let refresh = gateway.read(token);
                prop_assert!(gateway.commit(refresh).is_none(), "everyone is out");
            }
        }
        prop_assert!(gateway.store.figures().state.families <= 1, "one entry, however often");
    }

    /// I5: a client that asks again within the window keeps its session, however many tabs, losses and crossings.
    #[test]
    fn an_honest_client_never_loses_its_session(rounds in proptest::collection::vec(round(), 1..10)) {
        let mut gateway = Gateway::new();
        gateway.settings.lifetimes.idle = Duration::from_secs(1_000_000);
        let mut token = gateway.log_in();
        for round in rounds {
            let mut successor = None;
            let many = if round.crowded { round.arrives.len() } else { 0 };
            let mut read: Vec<InFlight> = (0..many).map(|_| gateway.read(&token)).collect();
            for (n, arrives) in round.arrives.iter().enumerate() {
                let refresh = read.pop().unwrap_or_else(|| gateway.read(&token));
                let answer = gateway.commit(refresh);
                prop_assert!(answer.is_some(), "presentation {n} was refused");
                let generation = answer.as_ref().map(|answer| answer.generation);
                prop_assert_eq!(generation, Some(token.generation.next()), "the same successor for all");
                successor = answer.filter(|_| *arrives).or(successor);
                if n == round.arrives.len() / 2 {
                    gateway.wait(WINDOW - 1);
                }
            }
            // If every answer was lost it asks once more, and the window is still open; 64 retries is the budget.
            if successor.is_none() && round.arrives.len() < 64 {
                let refresh = gateway.read(&token);
                successor = gateway.commit(refresh);
                prop_assert!(successor.is_some());
            }
            let Some(next) = successor else { return Ok(()) };
            token = next;
            gateway.wait(round.pause);
        }
    }

    /// I6: two who both hold the live token, and who meet at a distance of a window or more, are both out.
    #[test]
    fn thief_and_victim_do_not_both_stay(refreshes in 0..5_u32, apart in WINDOW..1_000, thief_first: bool) {
        let mut gateway = Gateway::new();
        let mut token = gateway.log_in();
        for _ in 0..refreshes {
            let refresh = gateway.read(&token);
            token = gateway.commit(refresh).expect("granted");
            gateway.wait(300);
        }
        let stolen = token.clone();
        let (first, second) = if thief_first { (&stolen, &token) } else { (&token, &stolen) };
        let refresh = gateway.read(first);
        let successor = gateway.commit(refresh).expect("the first comes through");
        gateway.wait(apart);
        let refresh = gateway.read(second);
        prop_assert!(gateway.commit(refresh).is_none(), "the second is a replay");
        let refresh = gateway.read(&successor);
        prop_assert!(gateway.commit(refresh).is_none(), "and the first is out as well");
    }
}
