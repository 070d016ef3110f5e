//! Reading: `list` and `show`.

use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::cli::keys::{Desk, find};
use crate::keys::backend::{KeyBackend as _, file_name};
use crate::keys::lifecycle::{KeyRecord, KeyState, KeyUse, Rules, whole_seconds};
use crate::keys::{Automatic, lifecycle};
use crate::protocol::time::UnixSeconds;

/// `keys list`.
pub(super) fn list(desk: &Desk) -> Result<(), Failure> {
    let manifest = desk.manifest()?;
    let rules = desk.settings.rules();
    let mut records: Vec<&KeyRecord> = manifest.records.iter().collect();
    records.sort_by_key(|record| (record.usage == KeyUse::Seal, record.usage, rank(record.state), record.created_at));
    if desk.context.json {
        let rows: Vec<Value> = records.iter().map(|record| facts(record, &rules)).collect();
        return desk.context.output.json(&rows);
    }
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let next = next(record, &manifest.records, &rules);
            vec![record.id.to_string(), record.usage.to_string(), record.state.to_string(), next]
        })
        .collect();
    desk.context.output.table(&["KID", "USE", "STATE", "NEXT"], &rows)
}

/// `keys show KID`.
pub(super) fn show(desk: &Desk, kid: &str) -> Result<(), Failure> {
    let manifest = desk.manifest()?;
    let record = find(&manifest.records, kid)?;
    let rules = desk.settings.rules();
    let output = &desk.context.output;
    if desk.context.json {
        return output.json(&facts(record, &rules));
    }
    output.line(&format!("kid        {}", record.id))?;
    output.line(&format!("use        {}", record.usage))?;
    output.line(&format!("state      {}", record.state))?;
    output.line(&format!("next       {}", next(record, &manifest.records, &rules)))?;
    let moments = [
        ("created", Some(record.created_at)),
        ("published", Some(record.published_at)),
        ("activated", record.activated_at),
        ("replaced", record.deactivated_at),
        ("retires", record.retire_at),
        ("ended", record.ended_at),
    ];
    for (name, at) in moments.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        output.line(&format!("{name:<10} {}", at.to_rfc3339()))?;
    }
    if !record.state.has_ended() {
        let path = desk.backend.directory().join(file_name(record));
        let found = if desk.backend.private(record).is_ok() { "" } else { " (not readable: mintgate keys doctor)" };
        output.line(&format!("private    {}{found}", path.display()))?;
    }
    if let Some(public) = &record.public {
        output.line(&format!("public     {}", public.to_json()))?;
    }
    Ok(())
}

fn rank(state: KeyState) -> u8 {
    match state {
        KeyState::Active => 0,
        KeyState::Prepared => 1,
        KeyState::Retiring => 2,
        KeyState::Tainted => 3,
        KeyState::Retired => 4,
    }
}

/// What the plan will do with a key, and when.
fn next(record: &KeyRecord, records: &[KeyRecord], rules: &Rules) -> String {
    let at = |at: UnixSeconds| at.to_rfc3339();
    match record.state {
        KeyState::Prepared => match record.activate_at {
            Some(when) => format!("active at {}", at(when)),
            None => match lifecycle::active(records, record.usage) {
                Some(active) => match replaced_at(active, rules) {
                    Some(when) => format!("active at {}", at(when.max(record.ready_at(rules)))),
                    None => format!("may be activated from {}", at(record.ready_at(rules))),
                },
                None => format!("active at {}", at(record.ready_at(rules))),
            },
        },
        KeyState::Active => match replaced_at(record, rules) {
            Some(when) => format!("replaced at {}", at(when)),
            None => "active until somebody rotates".to_owned(),
        },
        KeyState::Retiring => format!("retired at {}", at(record.retire_at.unwrap_or_default())),
        KeyState::Retired => format!("retired since {}", at(record.ended_at.unwrap_or_default())),
        KeyState::Tainted => format!("tainted since {}", at(record.ended_at.unwrap_or_default())),
    }
}

fn replaced_at(active: &KeyRecord, rules: &Rules) -> Option<UnixSeconds> {
    let planned = rules.automatic == Automatic::On
        && !rules.rotate_every.is_zero()
        && rules.uses().any(|usage| usage == active.usage);
    planned.then(|| active.activated_at.unwrap_or(active.created_at).after(whole_seconds(rules.rotate_every)))
}

/// A record for scripts: moments in seconds since the epoch, absent ones left out.
pub(super) fn facts(record: &KeyRecord, rules: &Rules) -> Value {
    let mut out = Map::new();
    out.insert("kid".to_owned(), json!(record.id));
    let (usage, algorithm) = match record.usage {
        KeyUse::Sign(algorithm) => ("sign", Some(algorithm.name())),
        KeyUse::Seal => ("seal", None),
    };
    out.insert("use".to_owned(), json!(usage));
    if let Some(algorithm) = algorithm {
        out.insert("algorithm".to_owned(), json!(algorithm));
    }
    out.insert("state".to_owned(), json!(record.state.name()));
    let ready_at = (record.state == KeyState::Prepared).then(|| record.ready_at(rules));
    let moments = [
        ("created_at", Some(record.created_at)),
        ("published_at", Some(record.published_at)),
        ("ready_at", ready_at),
        ("activate_at", record.activate_at),
        ("activated_at", record.activated_at),
        ("deactivated_at", record.deactivated_at),
        ("retire_at", record.retire_at),
        ("ended_at", record.ended_at),
    ];
    for (name, at) in moments {
        if let Some(at) = at {
            out.insert(name.to_owned(), json!(at.0));
        }
    }
    if let Some(public) = &record.public {
        out.insert("public".to_owned(), public.to_json());
    }
    Value::Object(out)
}
