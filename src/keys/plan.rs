//! What is to be done about the keys now: a pure function of (records, rules, now).
//!
//! The arithmetic is explained in `manual/rotation.rs`.

use std::time::Duration;

use crate::keys::census::{Behind, Lag};
use crate::keys::lifecycle::{self, Automatic, Forbidden, KeyRecord, KeyState, KeyUse, Rules, whole_seconds};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// Retired records kept for the reader of `keys list`, for each use; older ones are forgotten.
pub const RETIRED_KEPT_MAX: usize = 32;

/// Most keys of one use that the calendar lets live side by side: a period far shorter than what the keys sign lives
/// would fill the key set. At the bound rotation waits for the oldest key to retire.
pub const LIVING_MAX: usize = 128;

/// When a new key takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// When its predecessor is due, or somebody says so.
    WhenDue,
    /// As soon as it has been published for `publish_ahead`.
    WhenReady,
    /// At once: there is nothing better to sign with.
    Now,
}

/// One move. Each stands by itself; a set of records after any prefix of the steps is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key and publish it.
    Prepare(KeyUse, Takeover),
    /// Publish a key that exists already (an import).
    Adopt(Box<KeyRecord>),
    /// Let a prepared key wait no longer than until it is ready.
    Schedule(Kid),
    /// Let a key take over.
    Activate(Kid),
    /// Remember that an active key may sign tokens that live longer than before.
    Widen(Kid),
    /// End a key and delete its private part.
    Retire(Kid),
    /// End a leaked key; what it signed is refused.
    Taint(Kid),
    /// Drop the record of a key that ended long ago.
    Forget(Kid),
}

/// What the plan wants but cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The active key is due, but keys of its algorithm are imported, not generated.
    ImportDue {
        /// The key that should have been replaced.
        id: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Since when.
        since: UnixSeconds,
    },
    /// As many keys of one use as there may be have not ended yet: rotation waits.
    Crowded(KeyUse),
    /// Nothing signs with an algorithm that the configuration names, and no key of it can be generated.
    ImportMissing(Algorithm),
    /// A key is due, and waits until this moment at most for verifiers that have not fetched it.
    Waiting(Behind, UnixSeconds),
    /// A key takes over although verifiers have not fetched it.
    Outrun(Behind),
}

/// Most names in one warning; the others are a number.
const NAMES_SHOWN_MAX: usize = 10;

fn names(behind: &Behind) -> String {
    let all = behind.labelled.iter().chain(&behind.strangers);
    let shown: Vec<&str> = all.clone().take(NAMES_SHOWN_MAX).map(String::as_str).collect();
    match all.count() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ImportDue { id, algorithm, since } => write!(
                f,
                "key {id} was due for replacement at {}; {algorithm} keys are imported: mintgate keys import FILE",
                since.to_rfc3339()
            ),
            Self::Crowded(usage) => write!(
                f,
                "{LIVING_MAX} {usage} keys have not ended yet, so rotation waits; rotate_every is far too short for the \
                 lifetimes of what they sign"
            ),
            Self::ImportMissing(algorithm) => {
                write!(f, "no {algorithm} key is active, and {algorithm} keys are imported: mintgate keys import FILE")
            }
            Self::Waiting(behind, until) => write!(
                f,
                "key {} is due, and waits until {} at most for verifiers that have not fetched it: {}; \
                 mintgate keys activate --force does not wait",
                behind.kid,
                until.to_rfc3339(),
                names(behind)
            ),
            Self::Outrun(behind) => write!(
                f,
                "key {} takes over although verifiers have not fetched it, and will refuse its tokens: {}",
                behind.kid,
                names(behind)
            ),
        }
    }
}

/// The outcome of planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To be done now, in this order.
    pub steps: Vec<Step>,
    /// To be told to a person.
    pub warnings: Vec<Warning>,
    /// When it is worth asking again; [`UnixSeconds::NEVER`] if nothing is ahead. Records may change earlier.
    pub next_at: UnixSeconds,
}

/// Plans from what is known of the keys alone. A clock that went back makes it wait, never undo.
#[must_use]
pub fn plan(records: &[KeyRecord], rules: &Rules, now: UnixSeconds) -> Plan {
    plan_with(records, rules, &Lag::default(), now)
}

/// Plans from what is known of the keys and of their verifiers: a key that is due waits for those that lack it, within
/// the bound of `lag`.
#[must_use]
pub fn plan_with(records: &[KeyRecord], rules: &Rules, lag: &Lag, now: UnixSeconds) -> Plan {
    let mut draft = Draft::new(lag, now);
    let mut uses: Vec<KeyUse> = rules.uses().collect();
    // Algorithms the configuration dropped: nothing new is prepared, but what somebody scheduled still happens.
    uses.extend(records.iter().map(|record| record.usage));
    uses.sort_unstable();
    uses.dedup();
    for usage in uses {
        draft.succession(records, rules, usage);
    }
    for record in records.iter().filter(|record| record.state == KeyState::Retiring) {
        let end = record.retire_at.unwrap_or(now);
        if draft.is_due(end) {
            draft.plan.steps.push(Step::Retire(record.id.clone()));
        }
    }
    draft.forget(records);
    draft.plan
}

/// The part of the plan that cannot wait: a use that lost its active key gets another one at once.
#[must_use]
pub fn takeover(records: &[KeyRecord], rules: &Rules, now: UnixSeconds) -> (Vec<Step>, Vec<Warning>) {
    // A use without a key waits for nobody.
    let nobody = Lag::default();
    let mut draft = Draft::new(&nobody, now);
    for usage in rules.uses().filter(|usage| lifecycle::active(records, *usage).is_none()) {
        if is_urgent(records, usage) {
            draft.replace(records, usage);
        }
    }
    (draft.plan.steps, draft.plan.warnings)
}

/// Without an active key of this use, must one sign at once? Yes if it had one before (it was tainted or retired by
/// force), if nothing else signs, and for sealing, where no cache waits. No for an algorithm that was just added.
fn is_urgent(records: &[KeyRecord], usage: KeyUse) -> bool {
    let signs = |record: &KeyRecord| record.state == KeyState::Active && record.usage != KeyUse::Seal;
    usage == KeyUse::Seal
        || records.iter().any(|record| record.usage == usage && record.activated_at.is_some())
        || !records.iter().any(signs)
}

struct Draft<'a> {
    plan: Plan,
    lag: &'a Lag,
    now: UnixSeconds,
}

impl<'a> Draft<'a> {
    fn new(lag: &'a Lag, now: UnixSeconds) -> Self {
        Self { plan: Plan { steps: Vec::new(), warnings: Vec::new(), next_at: UnixSeconds::NEVER }, lag, now }
    }

    /// Lets a key take over that is due since `due`, unless it waits for verifiers that lack it.
    fn take_over(&mut self, next: &KeyRecord, due: UnixSeconds) {
        if !self.is_due(due) {
            return;
        }
        if let Some(behind) = self.lag.behind.iter().find(|behind| behind.kid == next.id) {
            let until = due.after(whole_seconds(self.lag.wait_max));
            if !behind.labelled.is_empty() && !until.has_passed(self.now) {
                self.plan.next_at = self.plan.next_at.min(until);
                self.plan.warnings.push(Warning::Waiting(behind.clone(), until));
                return;
            }
            self.plan.warnings.push(Warning::Outrun(behind.clone()));
        }
        self.plan.steps.push(Step::Activate(next.id.clone()));
    }

    /// Whether `at` has come; if not, it is a moment to ask again.
    fn is_due(&mut self, at: UnixSeconds) -> bool {
        let due = at.has_passed(self.now);
        if !due {
            self.plan.next_at = self.plan.next_at.min(at);
        }
        due
    }

    fn prepare(&mut self, usage: KeyUse, when: Takeover) -> bool {
        let possible = usage != KeyUse::Sign(Algorithm::Rs256);
        if possible {
            self.plan.steps.push(Step::Prepare(usage, when));
        }
        possible
    }

    /// A key for a use that has lost its own: the prepared one that waits longest, or a new one.
    fn replace(&mut self, records: &[KeyRecord], usage: KeyUse) {
        if let Some(next) = successor(records, usage) {
            self.plan.steps.push(Step::Activate(next.id.clone()));
        } else if !self.prepare(usage, Takeover::Now)
            && let KeyUse::Sign(algorithm) = usage
        {
            self.plan.warnings.push(Warning::ImportMissing(algorithm));
        }
    }

    fn succession(&mut self, records: &[KeyRecord], rules: &Rules, usage: KeyUse) {
        let wanted = rules.uses().any(|one| one == usage);
        let next = successor(records, usage);
        let Some(active) = lifecycle::active(records, usage) else {
            return self.begin(records, rules, usage, wanted);
        };
        if active.lifetime_seconds < rules.lifetime_max(usage).as_secs() {
            self.plan.steps.push(Step::Widen(active.id.clone()));
        }
        let period = whole_seconds(rules.rotate_every);
        let by_calendar = wanted && rules.automatic == Automatic::On && period > Duration::ZERO;
        let replace_at = active.activated_at.unwrap_or(active.created_at).after(period);
        if let Some(next) = next {
            let ready_at = next.ready_at(rules);
            let asked = next.activate_at;
            let due = match (asked, by_calendar) {
                (Some(at), true) => Some(at.min(replace_at)),
                (Some(at), false) => Some(at),
                (None, true) => Some(replace_at),
                (None, false) => None,
            };
            if let Some(due) = due {
                self.take_over(next, due.max(ready_at));
            }
        } else if by_calendar && self.is_due(replace_at.before(whole_seconds(rules.publish_ahead))) {
            let living = records.iter().filter(|record| record.usage == usage && !record.state.has_ended()).count();
            if living >= LIVING_MAX {
                self.plan.warnings.push(Warning::Crowded(usage));
            } else if !self.prepare(usage, Takeover::WhenDue)
                && let KeyUse::Sign(algorithm) = usage
            {
                let id = active.id.clone();
                self.plan.warnings.push(Warning::ImportDue { id, algorithm, since: replace_at });
            }
        }
    }

    /// A use without an active key.
    fn begin(&mut self, records: &[KeyRecord], rules: &Rules, usage: KeyUse, wanted: bool) {
        if !wanted {
            return;
        }
        if is_urgent(records, usage) {
            return self.replace(records, usage);
        }
        // An algorithm that joins others waits for the caches: tokens are signed with the others meanwhile.
        if let Some(next) = successor(records, usage) {
            self.take_over(next, next.ready_at(rules));
        } else if rules.automatic == Automatic::On
            && !self.prepare(usage, Takeover::WhenReady)
            && let KeyUse::Sign(algorithm) = usage
        {
            self.plan.warnings.push(Warning::ImportMissing(algorithm));
        }
    }

    fn forget(&mut self, records: &[KeyRecord]) {
        let mut retired: Vec<&KeyRecord> = records.iter().filter(|one| one.state == KeyState::Retired).collect();
        retired.sort_by_key(|record| (record.usage, std::cmp::Reverse(record.ended_at)));
        for same_use in retired.chunk_by(|a, b| a.usage == b.usage) {
            let old = same_use.iter().skip(RETIRED_KEPT_MAX);
            self.plan.steps.extend(old.map(|record| Step::Forget(record.id.clone())));
        }
    }
}

/// The prepared key that is next: the one with the earliest appointment, then the one published longest.
#[must_use]
pub fn successor(records: &[KeyRecord], usage: KeyUse) -> Option<&KeyRecord> {
    let prepared = records.iter().filter(|record| record.usage == usage && record.state == KeyState::Prepared);
    prepared.min_by_key(|record| (record.activate_at.unwrap_or(UnixSeconds::NEVER), record.published_at))
}

/// Applies a step to the records. `Prepare` is applied as `Adopt`, once the key exists.
///
/// # Errors
/// [`Forbidden`] if the records have moved on since the step was planned.
pub fn apply(records: &mut Vec<KeyRecord>, step: &Step, rules: &Rules, now: UnixSeconds) -> Result<(), Forbidden> {
    match step {
        Step::Prepare(..) => {}
        Step::Adopt(record) => records.push((**record).clone()),
        Step::Schedule(id) => {
            let record = records.iter_mut().find(|record| record.id == *id);
            let record = record.ok_or_else(|| Forbidden::Unknown(id.clone()))?;
            let ready_at = record.ready_at(rules).max(now);
            record.activate_at = Some(record.activate_at.map_or(ready_at, |at| at.min(ready_at)));
        }
        Step::Activate(id) => lifecycle::activate(records, id, rules, now)?,
        Step::Widen(id) => {
            for record in records.iter_mut().filter(|record| record.id == *id) {
                record.lifetime_seconds = record.lifetime_seconds.max(rules.lifetime_max(record.usage).as_secs());
            }
        }
        Step::Retire(id) => lifecycle::retire(records, id, now)?,
        Step::Taint(id) => lifecycle::taint(records, id, now)?,
        Step::Forget(id) => records.retain(|record| record.id != *id || !record.state.has_ended()),
    }
    Ok(())
}
