//! Keys from and for elsewhere: `import` and `export`.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::failure::{Exit, Failure};
use crate::cli::keys::{Desk, Export, Format, Import, change, find, haproxy};
use crate::keys::KeySet;
use crate::keys::backend::KeyBackend as _;
use crate::keys::change::NewKey;
use crate::keys::import;
use crate::keys::lifecycle::{self, KeyRecord, KeyState, KeyUse};
use crate::keys::plan::Step;

/// `keys import FILE`.
pub(super) fn import(desk: &Desk, order: &Import) -> Result<(), Failure> {
    let name = order.file.display();
    let bytes = read(desk, order)?;
    let imported = import::read(&bytes).map_err(|error| Failure::new(Exit::Usage, format!("{name}: {error}")))?;
    if !order.rehearsal.dry_run {
        desk.backend.create()?;
    }
    let new = NewKey::imported(imported, desk.context.clock.now());
    let record = new.record.clone();
    change::carry_out(desk, order.rehearsal.dry_run, vec![new], |manifest| {
        let first = lifecycle::active(&manifest.records, record.usage).is_none();
        let id = record.id.clone();
        let activate = first.then_some(Step::Activate(id));
        Ok([Some(Step::Adopt(Box::new(record))), activate].into_iter().flatten().collect())
    })
}

fn read(desk: &Desk, order: &Import) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let name = order.file.display();
    let fail = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(code, format!("{name}: {error}"))
    };
    // The room is reserved at once, so that no copy of the key is left behind by a growing buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(import::FILE_BYTES_MAX + 1));
    let limit = import::FILE_BYTES_MAX as u64 + 1;
    if order.file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(fail)?;
        return Ok(bytes);
    }
    let file = std::fs::File::open(&order.file).map_err(fail)?;
    let facts = file.metadata().map_err(fail)?;
    if facts.mode() & 0o077 != 0 {
        let remark = format!("warning: {name} has mode {:04o}: others may have read this key", facts.mode() & 0o7777);
        desk.context.output.remark(&remark);
    }
    file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// `keys export`.
pub(super) fn export(desk: &Desk, order: &Export) -> Result<(), Failure> {
    let manifest = desk.manifest()?;
    let output = &desk.context.output;
    let record = order.kid.as_deref().map(|kid| find(&manifest.records, kid)).transpose()?;
    if order.format == Format::Haproxy {
        return for_haproxy(desk, order, &manifest.records);
    }
    if order.out.is_some() {
        return Err(Failure::new(Exit::Usage, "--out goes with --format haproxy"));
    }
    match (record, order.private) {
        (Some(record), true) => private(desk, record, order.format),
        // `--private` without a key is refused by the command line already.
        (None, _) if order.format == Format::Jwk => {
            output.line(&String::from_utf8_lossy(&KeySet::published(&manifest, &desk.settings.rules()).body))
        }
        (None, _) => {
            let algorithms = &desk.settings.algorithms;
            let mut active =
                algorithms.iter().filter_map(|one| lifecycle::active(&manifest.records, KeyUse::Sign(*one)));
            let record = active.next().ok_or_else(|| Failure::new(Exit::NotFound, "no signing key is active"))?;
            public(desk, record, order.format)
        }
        (Some(record), false) => public(desk, record, order.format),
    }
}

/// Every published key, whatever its turn: HAProxy must have a key before it signs, and until its tokens have ended.
fn for_haproxy(desk: &Desk, order: &Export, records: &[KeyRecord]) -> Result<(), Failure> {
    if order.kid.is_some() || order.private {
        return Err(Failure::new(Exit::Usage, "--format haproxy is for all published keys; leave the key id out"));
    }
    let published = |record: &&KeyRecord| {
        let in_use = matches!(record.state, KeyState::Prepared | KeyState::Active | KeyState::Retiring);
        record.usage != KeyUse::Seal && in_use
    };
    haproxy::export(desk, &records.iter().filter(published).collect::<Vec<_>>(), order.out.as_deref())
}

fn public(desk: &Desk, record: &KeyRecord, format: Format) -> Result<(), Failure> {
    let Some(public) = &record.public else {
        return Err(Failure::new(Exit::Usage, "a sealing key has nothing public"));
    };
    match format {
        Format::Jwk => desk.context.output.json(&public.to_json()),
        // HAProxy's keys took another way above.
        Format::Pem | Format::Haproxy => desk.context.output.line(import::to_public_pem(public).trim_end()),
    }
}

fn private(desk: &Desk, record: &KeyRecord, format: Format) -> Result<(), Failure> {
    if record.state.has_ended() {
        let message = format!("key {} is {}; its private part is deleted", record.id, record.state);
        return Err(Failure::new(Exit::NotFound, message));
    }
    let secret = desk.backend.private(record)?;
    let output = &desk.context.output;
    if record.usage == KeyUse::Seal {
        return Err(Failure::new(Exit::Usage, "sealing keys are not exported: nobody else has a use for them")
            .hint("gateways that share sessions share the key directory"));
    }
    match format {
        Format::Pem | Format::Haproxy => output.line(import::to_pem(&secret).trim_end()),
        Format::Jwk => {
            let unusable = |error: import::ImportError| Failure::new(Exit::Failed, error.to_string());
            let imported = import::read(&secret).map_err(unusable)?;
            let text = import::to_private_jwk(&imported).map_err(unusable)?;
            // Written by hand to keep one copy; this only makes sure that it is JSON.
            let valid = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            if valid { output.line(&text) } else { Err(Failure::new(Exit::Failed, Value::Null.to_string())) }
        }
    }
}
