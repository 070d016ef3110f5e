//! Looking for trouble before it is one: `keys doctor`.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use crate::cli::failure::{Exit, Failure};
use crate::cli::keys::Desk;
use crate::keys::Automatic;
use crate::keys::backend::file::{Entry, MANIFEST_NAME};
use crate::keys::backend::{KeyBackend as _, file_name};
use crate::keys::keyring::SKEW;
use crate::keys::keyset::KeySet;
use crate::keys::lifecycle::{self, KeyRecord, KeyState, KeyUse, whole_seconds};
use crate::keys::manifest::Manifest;
use crate::keys::plan;
use crate::protocol::time::UnixSeconds;

/// How late the plan may be before it looks as if nobody carried it out.
const OVERDUE_AFTER: Duration = Duration::from_secs(60);

/// Files that belong here although no key names them.
const HARMLESS: [&str; 3] = ["README.md", ".gitignore", MANIFEST_NAME];

/// `keys doctor`: prints what it finds; exit code 1 if there is anything.
pub(super) fn run(desk: &Desk) -> Result<(), Failure> {
    let mut findings = Vec::new();
    match desk.backend.manifest() {
        Ok(manifest) => {
            files(desk, &manifest, &mut findings);
            life(desk, &manifest, &mut findings);
        }
        Err(error) => findings.push(error.to_string()),
    }
    let output = &desk.context.output;
    if desk.context.json {
        output.json(&json!({"ok": findings.is_empty(), "problems": findings}))?;
    } else if findings.is_empty() {
        output.line("no problem found")?;
    } else {
        for finding in &findings {
            output.line(&format!("problem: {finding}"))?;
        }
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "1 problem with the keys")),
        count => Err(Failure::new(Exit::Failed, format!("{count} problems with the keys"))),
    }
}

/// Permissions, missing files, files too many.
fn files(desk: &Desk, manifest: &Manifest, findings: &mut Vec<String>) {
    let directory = desk.backend.directory().display().to_string();
    match desk.backend.directory_mode() {
        Ok(mode) if mode & 0o022 != 0 => findings
            .push(format!("{directory} has mode {mode:04o}: others can put files there; run: chmod 700 '{directory}'")),
        Ok(_) => {}
        Err(error) => findings.push(error.to_string()),
    }
    let mut named = HashSet::new();
    for record in manifest.records.iter().filter(|record| !record.state.has_ended()) {
        named.insert(file_name(record));
        // Each key by itself, so that one bad file does not hide the next.
        let alone = Manifest { serial: manifest.serial, records: vec![record.clone()] };
        let built = KeySet::build(&alone, &desk.backend, &desk.settings.rules()).map(|_| ());
        let usable = match (built, record.state) {
            // The set does not read what a retiring key no longer needs; its permissions matter all the same.
            (Ok(()), KeyState::Retiring) => desk.backend.private(record).map(|_| ()),
            (built, _) => built,
        };
        if let Err(error) = usable {
            findings.push(error.to_string());
        }
    }
    let ended: HashSet<String> =
        manifest.records.iter().filter(|record| record.state.has_ended()).map(file_name).collect();
    match desk.backend.entries() {
        Ok(entries) => entries.iter().for_each(|entry| stray(entry, &directory, &named, &ended, findings)),
        Err(error) => findings.push(error.to_string()),
    }
}

fn stray(entry: &Entry, directory: &str, named: &HashSet<String>, ended: &HashSet<String>, findings: &mut Vec<String>) {
    let name = &entry.name;
    let ours = rustix::process::geteuid().as_raw();
    if ended.contains(name) {
        findings.push(format!("{directory}/{name} is the private part of a key that has ended; delete it"));
    } else if name.ends_with(".tmp") {
        findings.push(format!("{directory}/{name} was left behind by a write that did not finish; delete it"));
    } else if named.contains(name) || name == MANIFEST_NAME {
        if entry.owner != ours && ours != 0 {
            findings.push(format!("{directory}/{name} belongs to user {}, not to us ({ours})", entry.owner));
        }
    } else if !HARMLESS.contains(&name.as_str()) && !name.starts_with("..") {
        findings.push(format!("{directory}/{name} belongs to no key of the set; import it or delete it"));
    }
}

/// What the records say against the rules and the clock.
fn life(desk: &Desk, manifest: &Manifest, findings: &mut Vec<String>) {
    let (rules, now) = (desk.settings.rules(), desk.context.clock.now());
    let records = &manifest.records;
    for usage in rules.uses() {
        match lifecycle::active(records, usage) {
            None => findings.push(match usage {
                KeyUse::Sign(algorithm) => {
                    format!("no {algorithm} key is active; run: mintgate keys generate --algorithm {algorithm}")
                }
                KeyUse::Seal => "no sealing key is active; run: mintgate keys generate --sealing".to_owned(),
            }),
            Some(active) if rules.automatic == Automatic::On && !rules.rotate_every.is_zero() => {
                let due = active.activated_at.unwrap_or(active.created_at).after(whole_seconds(rules.rotate_every));
                if is_overdue(due, now) {
                    findings.push(format!("{usage} key {} was due for replacement at {}", active.id, due.to_rfc3339()));
                }
            }
            Some(_) => {}
        }
    }
    for warning in plan::plan(records, &rules, now).warnings {
        let text = warning.to_string();
        if matches!(warning, plan::Warning::ImportDue { .. }) && !findings.iter().any(|known| known.contains("was due"))
        {
            findings.push(text);
        }
    }
    for record in records {
        moments(record, now, findings);
    }
}

fn moments(record: &KeyRecord, now: UnixSeconds, findings: &mut Vec<String>) {
    let past = [
        Some(record.created_at),
        Some(record.published_at),
        record.activated_at,
        record.deactivated_at,
        record.ended_at,
    ];
    if let Some(latest) = past.into_iter().flatten().max()
        && latest > now.after(SKEW)
    {
        let at = latest.to_rfc3339();
        findings.push(format!("key {} has a past at {at}, which is yet to come: the clock is or was wrong", record.id));
    }
    if record.state == KeyState::Prepared
        && let Some(due) = record.activate_at
        && is_overdue(due, now)
    {
        let at = due.to_rfc3339();
        let ask = "is the server running, or does it wait for a verifier (mintgate keys census)?";
        findings.push(format!("key {} should have been activated at {at}; {ask}", record.id));
    }
    if record.state == KeyState::Retiring
        && let Some(due) = record.retire_at
        && is_overdue(due, now)
    {
        let at = due.to_rfc3339();
        findings.push(format!("key {} should have been retired at {at}; is the server running?", record.id));
    }
}

fn is_overdue(due: UnixSeconds, now: UnixSeconds) -> bool {
    due.after(OVERDUE_AFTER).has_passed(now)
}
