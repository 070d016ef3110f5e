//! The plan, a row for each thing it decides.

use std::time::Duration;

use mintgate::keys::census::{Behind, Lag};
use mintgate::keys::lifecycle::{self, Automatic, Forbidden, KeyRecord, KeyState, KeyUse, Rules};
use mintgate::keys::plan::{LIVING_MAX, RETIRED_KEPT_MAX, Step, Takeover, Warning, apply, plan, plan_with, takeover};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::Kid;
use mintgate::protocol::time::UnixSeconds;

const ES: KeyUse = KeyUse::Sign(Algorithm::Es256);

fn rules() -> Rules {
    Rules {
        algorithms: vec![Algorithm::Es256],
        rotate_every: Duration::from_secs(1_000),
        publish_ahead: Duration::from_secs(100),
        token_lifetime_max: Duration::from_secs(50),
        family_lifetime_max: Duration::from_secs(5_000),
        skew: Duration::from_secs(10),
        automatic: Automatic::On,
    }
}

fn key(id: &str, usage: KeyUse, at: u64) -> KeyRecord {
    KeyRecord::prepared(Kid::from(id), usage, None, UnixSeconds(at))
}

fn at(mut record: KeyRecord, state: KeyState, when: u64) -> KeyRecord {
    let when = UnixSeconds(when);
    record.state = state;
    record.lifetime_seconds = rules().lifetime_max(record.usage).as_secs();
    match state {
        KeyState::Prepared => {}
        KeyState::Active => record.activated_at = Some(when),
        KeyState::Retiring => {
            record.activated_at = Some(UnixSeconds(0));
            record.deactivated_at = Some(when);
            record.retire_at = Some(when.after(Duration::from_secs(60)));
        }
        KeyState::Retired | KeyState::Tainted => {
            record.activated_at = Some(UnixSeconds(0));
            record.ended_at = Some(when);
        }
    }
    record
}

/// A sound set: `a` signs since 10 000, `s` seals since then.
struct Case {
    records: Vec<KeyRecord>,
    rules: Rules,
    now: u64,
}

impl Case {
    fn quiet() -> Self {
        let a = at(key("a", ES, 9_000), KeyState::Active, 10_000);
        let s = at(key("s", KeyUse::Seal, 9_000), KeyState::Active, 10_000);
        Self { records: vec![a, s], rules: rules(), now: 10_001 }
    }

    fn steps(&self) -> Vec<Step> {
        plan(&self.records, &self.rules, UnixSeconds(self.now)).steps
    }
}

type Break = fn(&mut Case);

#[test]
fn what_is_done_and_when() {
    let prepare = |usage| Step::Prepare(usage, Takeover::WhenDue);
    let activate = |id: &str| Step::Activate(Kid::from(id));
    let rows: Vec<(&str, Break, Vec<Step>)> = vec![
        ("nothing is due", |_| {}, vec![]),
        ("a second before it is time to prepare", |c| c.now = 10_899, vec![]),
        ("time to prepare both", |c| c.now = 10_900, vec![prepare(ES), prepare(KeyUse::Seal)]),
        ("automatic rotation is off", |c| (c.now, c.rules.automatic) = (99_999, Automatic::Off), vec![]),
        ("no period", |c| (c.now, c.rules.rotate_every) = (99_999, Duration::ZERO), vec![]),
        (
            "prepared, due, but not long enough published",
            |c| {
                (c.now, c.rules.algorithms) = (11_000, vec![Algorithm::Es256]);
                c.records.push(key("b", ES, 10_901));
                c.records[1].activated_at = Some(UnixSeconds(11_000));
            },
            vec![],
        ),
        (
            "prepared and due",
            |c| {
                c.now = 11_001;
                c.records.push(key("b", ES, 10_901));
                c.records[1].activated_at = Some(UnixSeconds(11_000));
            },
            vec![activate("b")],
        ),
        (
            "the calendar is off, but somebody made an appointment",
            |c| {
                (c.now, c.rules.automatic) = (10_500, Automatic::Off);
                let mut b = key("b", ES, 10_400);
                b.activate_at = Some(UnixSeconds(10_500));
                c.records.push(b);
            },
            vec![activate("b")],
        ),
        (
            "an appointment never beats the overlap",
            |c| {
                c.now = 10_499;
                let mut b = key("b", ES, 10_400);
                b.activate_at = Some(UnixSeconds(10_401));
                c.records.push(b);
            },
            vec![],
        ),
        (
            "prepared by hand with the calendar off waits for a hand",
            |c| {
                (c.now, c.rules.automatic) = (99_999, Automatic::Off);
                c.records.push(key("b", ES, 10_400));
            },
            vec![],
        ),
        (
            "retiring until the last token has ended",
            |c| {
                c.records.push(at(key("o", ES, 1), KeyState::Retiring, 9_942));
            },
            vec![],
        ),
        (
            "retired when it has",
            |c| c.records.push(at(key("o", ES, 1), KeyState::Retiring, 9_941)),
            vec![Step::Retire(Kid::from("o"))],
        ),
        (
            "the limit on token lifetimes was raised",
            |c| c.rules.token_lifetime_max = Duration::from_secs(51),
            vec![Step::Widen(Kid::from("a"))],
        ),
        (
            "tainted without a successor: a new key at once",
            |c| c.records[0] = at(key("a", ES, 1), KeyState::Tainted, 10_001),
            vec![Step::Prepare(ES, Takeover::Now)],
        ),
        (
            "tainted with a prepared key: that one at once, overlap or not",
            |c| {
                c.records[0] = at(key("a", ES, 1), KeyState::Tainted, 10_001);
                c.records.push(key("b", ES, 10_000));
            },
            vec![activate("b")],
        ),
        (
            "an algorithm joins: published first, then it signs",
            |c| c.rules.algorithms.push(Algorithm::EdDsa),
            vec![Step::Prepare(KeyUse::Sign(Algorithm::EdDsa), Takeover::WhenReady)],
        ),
        (
            "the algorithm that joined waits",
            |c| {
                c.rules.algorithms.push(Algorithm::EdDsa);
                c.records.push(key("e", KeyUse::Sign(Algorithm::EdDsa), 9_902));
            },
            vec![],
        ),
        (
            "and then signs",
            |c| {
                c.rules.algorithms.push(Algorithm::EdDsa);
                c.records.push(key("e", KeyUse::Sign(Algorithm::EdDsa), 9_901));
            },
            vec![activate("e")],
        ),
        (
            "an algorithm that was dropped is not rotated any more",
            |c| {
                c.now = 10_950;
                c.records[1].activated_at = Some(UnixSeconds(10_900));
                c.rules.algorithms = vec![Algorithm::EdDsa];
                c.records.push(at(key("e", KeyUse::Sign(Algorithm::EdDsa), 1), KeyState::Active, 10_900));
            },
            vec![],
        ),
        ("the clock went back to 1970", |c| c.now = 0, vec![]),
    ];
    for (name, break_one_thing, expected) in rows {
        let mut case = Case::quiet();
        break_one_thing(&mut case);
        assert_eq!(case.steps(), expected, "{name}");
    }
}

#[test]
fn next_at_is_the_next_moment_that_matters() {
    let case = Case::quiet();
    assert_eq!(plan(&case.records, &case.rules, UnixSeconds(10_001)).next_at, UnixSeconds(10_900));
    let mut case = Case::quiet();
    case.records.push(at(key("o", ES, 1), KeyState::Retiring, 9_990));
    assert_eq!(plan(&case.records, &case.rules, UnixSeconds(10_001)).next_at, UnixSeconds(10_050));
    case.rules.automatic = Automatic::Off;
    case.records.truncate(2);
    assert_eq!(plan(&case.records, &case.rules, UnixSeconds(10_001)).next_at, UnixSeconds::NEVER);
}

#[test]
fn rs256_is_never_generated_only_asked_for() {
    let rs = KeyUse::Sign(Algorithm::Rs256);
    let mut case = Case::quiet();
    case.rules.algorithms = vec![Algorithm::Rs256];
    case.records[0] = at(key("r", rs, 1), KeyState::Active, 10_000);
    case.records[1].activated_at = Some(UnixSeconds(11_000));
    let due = plan(&case.records, &case.rules, UnixSeconds(11_000));
    assert_eq!(due.steps, []);
    let since = UnixSeconds(11_000);
    let warning = Warning::ImportDue { id: Kid::from("r"), algorithm: Algorithm::Rs256, since };
    assert_eq!(due.warnings, [warning]);
    case.records[0].state = KeyState::Tainted;
    let (steps, warnings) = takeover(&case.records, &case.rules, UnixSeconds(11_000));
    assert_eq!((steps, warnings), (vec![], vec![Warning::ImportMissing(Algorithm::Rs256)]));
}

#[test]
fn a_period_far_too_short_fills_nothing() {
    let mut case = Case::quiet();
    for n in 1..LIVING_MAX {
        case.records.push(at(key(&format!("s{n}"), KeyUse::Seal, 1), KeyState::Retiring, 10_900));
    }
    let due = plan(&case.records, &case.rules, UnixSeconds(10_900));
    assert_eq!(due.steps, [Step::Prepare(ES, Takeover::WhenDue)]);
    assert_eq!((due.warnings, due.next_at), (vec![Warning::Crowded(KeyUse::Seal)], UnixSeconds(10_960)));
    case.records.pop();
    assert_eq!(plan(&case.records, &case.rules, UnixSeconds(10_900)).steps.len(), 2);
}

#[test]
fn old_retired_records_are_forgotten_tainted_ones_never() {
    let mut case = Case::quiet();
    for n in 0..RETIRED_KEPT_MAX as u64 + 2 {
        case.records.push(at(key(&format!("old{n}"), ES, 1), KeyState::Retired, 1_000 + n));
        case.records.push(at(key(&format!("bad{n}"), ES, 1), KeyState::Tainted, 1_000 + n));
    }
    let expected = [Step::Forget(Kid::from("old1")), Step::Forget(Kid::from("old0"))];
    assert_eq!(case.steps(), expected);
}

#[test]
fn the_longest_lifetime_ever_seen_decides_about_the_end() {
    let mut case = Case::quiet();
    case.records.push(key("b", ES, 10_000));
    case.rules.token_lifetime_max = Duration::from_secs(5);
    apply(&mut case.records, &Step::Activate(Kid::from("b")), &case.rules, UnixSeconds(10_100)).unwrap();
    let old = &case.records[0];
    assert_eq!((old.state, old.retire_at), (KeyState::Retiring, Some(UnixSeconds(10_100 + 50 + 10))));
    assert_eq!(lifecycle::active(&case.records, ES).unwrap().id.as_str(), "b");
}

#[test]
fn sub_second_rules_are_rounded_up() {
    let mut case = Case::quiet();
    case.rules.publish_ahead = Duration::from_millis(100);
    case.rules.rotate_every = Duration::from_millis(900);
    case.records.push(key("b", ES, 10_001));
    case.records.push(key("t", KeyUse::Seal, 10_001));
    case.now = 10_001;
    assert_eq!(case.steps(), []);
    case.now = 10_002;
    assert_eq!(case.steps(), [Step::Activate(Kid::from("b")), Step::Activate(Kid::from("t"))]);
}

#[test]
fn moves_that_lead_nowhere_are_forbidden() {
    let now = UnixSeconds(10_001);
    let rows: [(&str, KeyState, Step, bool); 7] = [
        ("active stays active", KeyState::Active, Step::Activate(Kid::from("a")), true),
        ("retiring comes back", KeyState::Retiring, Step::Activate(Kid::from("a")), true),
        ("retired never comes back", KeyState::Retired, Step::Activate(Kid::from("a")), false),
        ("tainted never comes back", KeyState::Tainted, Step::Activate(Kid::from("a")), false),
        ("retired once", KeyState::Retired, Step::Retire(Kid::from("a")), false),
        ("tainted twice is once", KeyState::Tainted, Step::Taint(Kid::from("a")), true),
        ("retired and then found to have leaked", KeyState::Retired, Step::Taint(Kid::from("a")), true),
    ];
    for (name, state, step, allowed) in rows {
        let mut records = vec![at(key("a", ES, 1), state, 9_999)];
        assert_eq!(apply(&mut records, &step, &rules(), now).is_ok(), allowed, "{name}");
    }
    let unknown = apply(&mut Vec::new(), &Step::Activate(Kid::from("x")), &rules(), now);
    assert_eq!(unknown, Err(Forbidden::Unknown(Kid::from("x"))));
}

#[test]
fn a_key_that_is_due_waits_for_labelled_verifiers_within_its_bound() {
    let behind = |labelled: &[&str], strangers: &[&str]| {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Behind { kid: Kid::from("b"), labelled: own(labelled), strangers: own(strangers) }
    };
    let activates = vec![Step::Activate(Kid::from("b"))];
    // The successor is due at 11 000.
    let rows: [(&str, Vec<Behind>, u64, u64, bool, &str); 8] = [
        ("nobody is behind", vec![], 500, 11_000, true, ""),
        ("not due yet", vec![behind(&["x"], &[])], 500, 10_999, false, ""),
        ("it waits", vec![behind(&["x", "y"], &[])], 500, 11_000, false, "waits until 1970-01-01T03:11:40Z at most"),
        ("to the last second", vec![behind(&["x"], &[])], 500, 11_499, false, ": x; mintgate keys activate"),
        ("then goes on, and says so", vec![behind(&["x"], &["s"])], 500, 11_500, true, "will refuse its tokens: x, s"),
        ("strangers are named, not waited for", vec![behind(&[], &["s"])], 500, 11_000, true, "refuse its tokens: s"),
        ("only warned", vec![behind(&["x"], &[])], 0, 11_000, true, "will refuse its tokens: x"),
        ("behind with another key", vec![Behind { kid: Kid::from("z"), ..behind(&["x"], &[]) }], 500, 11_000, true, ""),
    ];
    for (name, behind, wait_max, now, goes_on, said) in rows {
        let mut case = Case::quiet();
        case.records.push(key("b", ES, 10_100));
        let lag = Lag { behind, wait_max: Duration::from_secs(wait_max) };
        let plan = plan_with(&case.records, &case.rules, &lag, UnixSeconds(now));
        let activated: Vec<Step> =
            plan.steps.into_iter().filter(|step| matches!(step, Step::Activate(id) if id.as_str() == "b")).collect();
        assert_eq!(activated == activates, goes_on, "{name}");
        let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.is_empty(), said.is_empty(), "{name}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains(said)), "{name}: {warnings:?}");
        if said.contains("waits") {
            assert_eq!(plan.next_at, UnixSeconds(11_500), "{name}");
        }
    }
}

#[test]
fn a_use_that_lost_its_key_waits_for_nobody() {
    let mut case = Case::quiet();
    case.records.push(key("b", ES, 10_000));
    lifecycle::taint(&mut case.records, &Kid::from("a"), UnixSeconds(10_001)).unwrap();
    let behind = Behind { kid: Kid::from("b"), labelled: vec!["x".to_owned()], strangers: Vec::new() };
    let lag = Lag { behind: vec![behind], wait_max: Duration::from_secs(500) };
    let plan = plan_with(&case.records, &case.rules, &lag, UnixSeconds(10_001));
    assert_eq!(plan.steps, [Step::Activate(Kid::from("b"))]);
    let (steps, _) = takeover(&case.records, &case.rules, UnixSeconds(10_001));
    assert_eq!(steps, [Step::Activate(Kid::from("b"))]);
}

#[test]
fn a_long_list_of_names_is_cut() {
    let labelled = (0..25).map(|number| format!("v{number:02}")).collect();
    let text = Warning::Outrun(Behind { kid: Kid::from("b"), labelled, strangers: Vec::new() }).to_string();
    assert!(text.ends_with("v08, v09 and 15 more"), "{text}");
}
