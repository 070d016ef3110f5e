//! `keys export --format haproxy`: what HAProxy needs to verify by itself. It reads no key set, only files, at its start:
//! one PEM file for each key, and a section that picks the file by `kid`.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::failure::{Exit, Failure};
use crate::cli::keys::Desk;
use crate::keys::import;
use crate::keys::lifecycle::{KeyRecord, KeyUse};
use crate::protocol::algorithm::Algorithm;

/// The section's file, read by HAProxy before the file with the frontends.
const SECTION: &str = "mintgate.cfg";

const HEADING: &str = r#"# Written by `mintgate keys export --format haproxy`; the next export replaces it.
# haproxy -f THIS -f haproxy.cfg, there `frontend NAME from mintgate`, and in the frontend, with your own values:
#   http-request deny deny_status 401 unless { var(txn.mintgate_verified) -m int 1 }
#   http-request deny deny_status 401 unless { var(txn.mintgate_token),jwt_payload_query('$.iss') -m str https://auth.example }
#   http-request deny deny_status 401 unless { var(txn.mintgate_token),jwt_payload_query('$.aud') -m str https://api.example }
# txn.mintgate_verified is 1 if one of the keys below signed the token, it is an access token, and has not expired.
defaults mintgate
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    http-request set-var(txn.mintgate_verified) int(0)
    http-request set-var(txn.mintgate_token) http_auth_bearer
    http-request set-var(txn.mintgate_alg) var(txn.mintgate_token),jwt_header_query('$.alg')
    http-request set-var(txn.mintgate_kid) var(txn.mintgate_token),jwt_header_query('$.kid')
"#;

const ENDING: &str = r#"    http-request set-var(txn.mintgate_verified) int(0) unless { var(txn.mintgate_token),jwt_header_query('$.typ') -m str at+jwt JWT }
    http-request set-var(txn.mintgate_now) date()
    http-request set-var(txn.mintgate_left) var(txn.mintgate_token),jwt_payload_query('$.exp','int'),sub(txn.mintgate_now)
    http-request set-var(txn.mintgate_verified) int(0) unless { var(txn.mintgate_left) -m int gt 0 }
"#;

/// Prints the keys, or keeps a directory of them up to date.
pub(super) fn export(desk: &Desk, records: &[&KeyRecord], directory: Option<&Path>) -> Result<(), Failure> {
    let (known, others): (Vec<&KeyRecord>, Vec<&KeyRecord>) =
        records.iter().copied().partition(|record| record.usage != KeyUse::Sign(Algorithm::EdDsa));
    for record in others {
        let remark = format!("warning: key {} is left out: HAProxy verifies no {} signatures", record.id, record.usage);
        desk.context.output.remark(&remark);
    }
    let output = &desk.context.output;
    let Some(directory) = directory else {
        return known.iter().try_for_each(|record| output.line(pem(record).trim_end()));
    };
    DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(|error| told(directory, &error))?;
    let directory = directory.canonicalize().map_err(|error| told(directory, &error))?;
    let shown = directory.display().to_string();
    if shown.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'#\\$,()".contains(c)) {
        return Err(Failure::new(Exit::Usage, format!("--out {shown}: a path without blanks, quotes and brackets")));
    }
    // A key's file first, then the section that names it; what nothing names any more goes last.
    let mut changed = false;
    let mut names = BTreeSet::new();
    for record in &known {
        let name = format!("{}.pem", record.id);
        changed |= replace(&directory.join(&name), &pem(record))?;
        names.insert(name);
    }
    changed |= replace(&directory.join(SECTION), &section(&known, &shown))?;
    for gone in stale(&directory, &names)? {
        std::fs::remove_file(&gone).map_err(|error| told(&gone, &error))?;
        changed = true;
    }
    if desk.context.json {
        let keys: Vec<&str> = known.iter().map(|record| record.id.as_str()).collect();
        return output.json(&json!({"directory": shown, "keys": keys, "changed": changed}));
    }
    let then = if changed { "reload HAProxy" } else { "nothing has changed" };
    output.line(&format!("{} keys in {shown}; {then}", known.len()))
}

/// PEM, after a line for people: readers pass over what stands outside the markers (RFC 7468 section 5.2).
fn pem(record: &KeyRecord) -> String {
    let public = record.public.as_ref().map(|public| import::to_public_pem(public).to_string()).unwrap_or_default();
    format!("{} {} {}\n{}\n", record.id, record.usage, record.state, public.trim_end())
}

fn section(records: &[&KeyRecord], directory: &str) -> String {
    let rule = |record: &&KeyRecord| {
        // An id may begin with `-`: after `--` nothing is a flag. The key decides on the algorithm, never the token.
        format!(
            "    http-request set-var(txn.mintgate_verified) \
             var(txn.mintgate_token),jwt_verify(txn.mintgate_alg,\"{directory}/{id}.pem\") \
             if {{ var(txn.mintgate_kid) -m str -- {id} }} {{ var(txn.mintgate_alg) -m str {alg} }}\n",
            id = record.id,
            alg = record.usage
        )
    };
    format!("{HEADING}{}{ENDING}", records.iter().map(rule).collect::<String>())
}

/// Files of keys that are not published any more: `KID.pem`, a thumbprint's 43 characters long.
fn stale(directory: &Path, names: &BTreeSet<String>) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(directory).map_err(|error| told(directory, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| told(directory, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_thumbprint = |id: &str| crate::protocol::base64url::decode_array::<32>(id.as_bytes()).is_some();
        if name.strip_suffix(".pem").is_some_and(is_thumbprint) && !names.contains(name) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Gives a file a new content, all of it or none; says whether it had another.
fn replace(path: &Path, text: &str) -> Result<bool, Failure> {
    if std::fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(false);
    }
    let temporary = path.with_extension("tmp");
    write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map(|()| true)
        .map_err(|error| told(path, &error))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // Public, so that HAProxy's own user can read it.
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn told(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}
