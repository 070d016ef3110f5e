//! Changing: `generate`, `prepare`, `activate`, `rotate`, `retire`, `taint`.

use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure};
use crate::cli::keys::census::{Outlook, outlook};
use crate::cli::keys::look::facts;
use crate::cli::keys::{Activate, Desk, Make, Retire, Rotate, Taint, find};
use crate::keys::backend::Patience;
use crate::keys::change::{Changer, Done, NewKey};
use crate::keys::lifecycle::{self, KeyRecord, KeyState, KeyUse};
use crate::keys::manifest::Manifest;
use crate::keys::plan::{self, Step, Takeover};
use crate::protocol::id::Kid;
use crate::protocol::time::format_span;

/// `keys generate`.
pub(super) fn generate(desk: &Desk, make: &Make) -> Result<(), Failure> {
    let usage = desk.usage(&make.kind)?;
    if !make.rehearsal.dry_run {
        desk.backend.create()?;
    }
    carry_out(desk, make.rehearsal.dry_run, Vec::new(), |manifest| {
        let first = lifecycle::active(&manifest.records, usage).is_none();
        Ok(vec![Step::Prepare(usage, if first { Takeover::Now } else { Takeover::WhenDue })])
    })
}

/// `keys prepare`.
pub(super) fn prepare(desk: &Desk, make: &Make) -> Result<(), Failure> {
    let usage = desk.usage(&make.kind)?;
    desk.manifest()?;
    carry_out(desk, make.rehearsal.dry_run, Vec::new(), |_| Ok(vec![Step::Prepare(usage, Takeover::WhenDue)]))
}

/// `keys activate KID`.
pub(super) fn activate(desk: &Desk, order: &Activate) -> Result<(), Failure> {
    let rules = desk.settings.rules();
    let now = desk.context.clock.now();
    let manifest = desk.manifest()?;
    let record = find(&manifest.records, &order.key.kid)?;
    // Every copy of the key set has a retiring key: it was published before.
    let outlook = match record.state {
        KeyState::Prepared => outlook(desk, record.usage, Some(&record.id)),
        _ => Outlook::default(),
    };
    let warnings = outlook.warnings();
    carry_out_telling(desk, order.rehearsal.dry_run, Vec::new(), &warnings, |manifest| {
        let record = find(&manifest.records, &order.key.kid)?;
        if record.state == KeyState::Active {
            return Ok(Vec::new());
        }
        let ready_at = record.ready_at(&rules);
        if record.state == KeyState::Prepared && !ready_at.has_passed(now) && !order.force {
            let wait = format_span(ready_at.since(now));
            let known = outlook.behind.as_ref().map(|behind| format!("; {behind}")).unwrap_or_default();
            let message = format!(
                "key {} was published at {}; caches may lack it for another {wait}, until {}{known}",
                record.id,
                record.published_at.to_rfc3339(),
                ready_at.to_rfc3339()
            );
            let hint = "`mintgate keys rotate` activates it by itself then; --force accepts failing verifications";
            return Err(Failure::new(Exit::Refused, message).hint(hint));
        }
        if let Some(behind) = outlook.behind.as_ref().filter(|_| outlook.waits && !order.force) {
            let hint = "they would refuse its tokens; `mintgate keys census` shows who has fetched it since, --force goes \
                        on without them";
            return Err(Failure::new(Exit::Refused, behind.clone()).hint(hint));
        }
        Ok(vec![Step::Activate(record.id.clone())])
    })
}

/// `keys rotate`.
pub(super) fn rotate(desk: &Desk, order: &Rotate) -> Result<(), Failure> {
    let usage = desk.usage(&order.kind)?;
    let manifest = desk.manifest()?;
    let outlook = if order.now {
        outlook(desk, usage, plan::successor(&manifest.records, usage).map(|record| &record.id))
    } else {
        Outlook::default()
    };
    let warnings = outlook.warnings();
    if order.now && !order.rehearsal.dry_run {
        let known = outlook.behind.as_ref().map(|behind| format!(" Known {behind}.")).unwrap_or_default();
        let question = "Rotating at once makes verifications fail wherever the old key set is cached.";
        desk.confirm(order.yes, &format!("{question}{known}"))?;
    }
    carry_out_telling(desk, order.rehearsal.dry_run, Vec::new(), &warnings, |manifest| {
        let at_once = order.now || lifecycle::active(&manifest.records, usage).is_none();
        Ok(vec![match plan::successor(&manifest.records, usage).map(|record| record.id.clone()) {
            Some(id) if at_once => Step::Activate(id),
            Some(id) => Step::Schedule(id),
            None if at_once => Step::Prepare(usage, Takeover::Now),
            None => Step::Prepare(usage, Takeover::WhenReady),
        }])
    })
}

/// `keys retire KID`.
pub(super) fn retire(desk: &Desk, order: &Retire) -> Result<(), Failure> {
    let now = desk.context.clock.now();
    let manifest = desk.manifest()?;
    let record = find(&manifest.records, &order.key.kid)?;
    let alive = record.may_have_live_tokens(now);
    if alive && !order.force {
        let message = match record.retire_at {
            Some(end) => format!("tokens of key {} may live until {}", record.id, end.to_rfc3339()),
            None => format!("key {} is active", record.id),
        };
        let hint = "the plan retires it by itself; `mintgate keys rotate` replaces an active key; --force ends it now";
        return Err(Failure::new(Exit::Refused, message).hint(hint));
    }
    if alive && !order.rehearsal.dry_run {
        desk.confirm(order.yes, &format!("Every token that key {} signed will be refused.", record.id))?;
    }
    let id = record.id.clone();
    carry_out(desk, order.rehearsal.dry_run, Vec::new(), |manifest| {
        let record = find(&manifest.records, id.as_str())?;
        if record.may_have_live_tokens(now) != alive {
            return Err(Failure::new(Exit::Conflict, "the key has moved on meanwhile; look again"));
        }
        Ok(vec![Step::Retire(id.clone())])
    })
}

/// `keys taint KID`.
pub(super) fn taint(desk: &Desk, order: &Taint) -> Result<(), Failure> {
    let manifest = desk.manifest()?;
    let record = find(&manifest.records, &order.key.kid)?;
    if !order.rehearsal.dry_run && record.state != KeyState::Tainted {
        let what = if record.usage == KeyUse::Seal {
            "session that key {} sealed ends"
        } else {
            "token that key {} signed will be refused"
        };
        let question = format!("Every {}, for good.", what.replace("{}", record.id.as_str()));
        desk.confirm(order.yes, &question)?;
    }
    let id = record.id.clone();
    carry_out(desk, order.rehearsal.dry_run, Vec::new(), |manifest| {
        let record = find(&manifest.records, id.as_str())?;
        Ok(if record.state == KeyState::Tainted { Vec::new() } else { vec![Step::Taint(id.clone())] })
    })
}

/// Does it, or says what it would do.
pub(super) fn carry_out(
    desk: &Desk,
    dry_run: bool,
    new_keys: Vec<NewKey>,
    decide: impl FnOnce(&Manifest) -> Result<Vec<Step>, Failure>,
) -> Result<(), Failure> {
    carry_out_telling(desk, dry_run, new_keys, &[], decide)
}

/// As [`carry_out`], with warnings that were known before.
fn carry_out_telling(
    desk: &Desk,
    dry_run: bool,
    new_keys: Vec<NewKey>,
    known_warnings: &[String],
    decide: impl FnOnce(&Manifest) -> Result<Vec<Step>, Failure>,
) -> Result<(), Failure> {
    let (rules, now) = (desk.settings.rules(), desk.context.clock.now());
    let changer = Changer { backend: &desk.backend, rules: &rules, entropy: desk.context.entropy, now };
    // A key that was imported has its id; one that would be generated has none before it is.
    let known: Vec<Kid> = new_keys.iter().map(|new| new.record.id.clone()).collect();
    let done = if dry_run {
        changer.rehearse(new_keys, decide)?
    } else {
        changer.carry_out(Patience::Seconds, new_keys, decide)?
    };
    let mut warnings = known_warnings.to_vec();
    warnings.extend(done.warnings.iter().map(ToString::to_string));
    for warning in &warnings {
        desk.context.output.remark(&format!("warning: {warning}"));
    }
    let fresh = |id: &Kid| {
        dry_run
            && !known.contains(id)
            && done.steps.iter().any(|step| matches!(step, Step::Adopt(new) if new.id == *id))
    };
    let told = Told { desk, done: &done, warnings: &warnings, dry_run };
    if desk.context.json { told.json(&fresh) } else { told.lines(&fresh) }
}

struct Told<'a> {
    desk: &'a Desk<'a>,
    done: &'a Done,
    warnings: &'a [String],
    dry_run: bool,
}

impl Told<'_> {
    fn record(&self, id: &Kid) -> Option<&KeyRecord> {
        self.done.manifest.records.iter().find(|record| record.id == *id)
    }

    fn lines(&self, fresh: &dyn Fn(&Kid) -> bool) -> Result<(), Failure> {
        let output = &self.desk.context.output;
        if self.done.steps.is_empty() {
            return output.line("nothing to do: it is so already");
        }
        let would = if self.dry_run { "would be " } else { "" };
        for step in &self.done.steps {
            let Some((id, verb)) = moved(step) else { continue };
            let Some(record) = self.record(id) else { continue };
            let name = if fresh(id) { "(new)".to_owned() } else { id.to_string() };
            let more = match step {
                Step::Adopt(_) if record.state == KeyState::Prepared && record.activate_at.is_none() => {
                    format!("; may sign from {}", record.ready_at(&self.desk.settings.rules()).to_rfc3339())
                }
                Step::Schedule(_) => {
                    format!(" at {} (by the running server)", record.activate_at.unwrap_or_default().to_rfc3339())
                }
                _ => String::new(),
            };
            output.line(&format!("{} key {name} {would}{verb}{more}", record.usage))?;
        }
        Ok(())
    }

    fn json(&self, fresh: &dyn Fn(&Kid) -> bool) -> Result<(), Failure> {
        let rules = self.desk.settings.rules();
        let steps: Vec<Value> = self
            .done
            .steps
            .iter()
            .filter_map(|step| {
                let (id, verb) = moved(step)?;
                let kid = (!fresh(id)).then(|| id.as_str().to_owned());
                Some(json!({"step": verb, "kid": kid, "use": self.record(id)?.usage.to_string()}))
            })
            .collect();
        let touched = self.done.steps.iter().filter_map(moved).map(|(id, _)| id);
        let mut keys: Vec<Value> = Vec::new();
        for record in touched.filter(|id| !fresh(id)).filter_map(|id| self.record(id)) {
            let facts = facts(record, &rules);
            if !keys.contains(&facts) {
                keys.push(facts);
            }
        }
        self.desk.context.output.json(&json!({
            "dry_run": self.dry_run, "steps": steps, "keys": keys, "warnings": self.warnings,
        }))
    }
}

/// The key that a step moves, and what becomes of it.
fn moved(step: &Step) -> Option<(&Kid, &'static str)> {
    match step {
        Step::Adopt(record) => Some((&record.id, "prepared")),
        Step::Schedule(id) => Some((id, "activated")),
        Step::Activate(id) => Some((id, "active")),
        Step::Retire(id) => Some((id, "retired")),
        Step::Taint(id) => Some((id, "tainted")),
        Step::Prepare(..) | Step::Widen(_) | Step::Forget(_) => None,
    }
}
