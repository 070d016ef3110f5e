//! `clients.toml`: one `[[client]]` table each, edited by people and by `mintgate clients`.
//!
//! ```toml
//! [[client]]
//! id = "backend"                          # client_id: visible ASCII, never starting with usr_
//! kind = "confidential"                   # or "public"
//! grants = ["client_credentials"]         # also refresh_token, password
//! scope = "read write"                    # the most it may be granted
//! audiences = ["https://api.example"]     # the first is the default
//! first_party = false                     # true: may use /login
//! enabled = true
//! access_lifetime = "5m"                  # only if it differs from [tokens]
//! secrets = [{ sha256 = "...", created_at = 2026-01-31T12:00:00Z, ends_at = 2026-02-01T12:00:00Z }]
//! ```

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_spanned::Spanned;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::ambient::document::{self, FileError, Intent, Locked};
use crate::client::registry::Registry;
use crate::client::{Client, ClientKind, GrantType, SecretDigest};
use crate::protocol::base64url;
use crate::protocol::id::{Audience, ClientId, ID_CHARS_MAX, is_client_id};
use crate::protocol::scope::Scope;
use crate::protocol::time::{Span, UnixSeconds};

/// Most secrets of one client: the new one and, during a rotation, the old one.
pub const SECRETS_MAX: usize = 2;
/// Longest lifetime of an access token a client may be given: 24 hours.
pub const ACCESS_LIFETIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// What a new file starts with.
pub const HEADING: &str =
    "# The clients of this gateway. Edit by hand or with `mintgate clients`; comments are kept.\n";
/// The name of the array of tables.
const ENTRY: &str = "client";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    client: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    #[serde(default = "confidential")]
    kind: ClientKind,
    #[serde(default)]
    first_party: bool,
    #[serde(default = "yes")]
    enabled: bool,
    grants: Spanned<Vec<GrantType>>,
    #[serde(default = "Scope::empty")]
    scope: Scope,
    audiences: Spanned<Vec<String>>,
    access_lifetime: Option<Spanned<Span>>,
    #[serde(default)]
    secrets: Vec<Spanned<Secret>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    sha256: String,
    created_at: toml::value::Datetime,
    ends_at: Option<toml::value::Datetime>,
}

fn confidential() -> ClientKind {
    ClientKind::Confidential
}

fn yes() -> bool {
    true
}

/// Reads the text of the file; `path` is for messages only.
///
/// # Errors
/// `Malformed` with the line and column of the first mistake.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Client>, FileError> {
    let written: Written = toml::from_str(text).map_err(|error| FileError::toml(path, text, &error))?;
    let mut ids = std::collections::HashSet::new();
    let mut clients = Vec::with_capacity(written.client.len());
    for entry in written.client {
        let at = entry.id.span().start;
        if !ids.insert(entry.id.get_ref().clone()) {
            return Err(FileError::at(path, text, at, "a second client with this id"));
        }
        clients.push(check(entry).map_err(|(offset, detail)| FileError::at(path, text, offset, detail))?);
    }
    Ok(clients)
}

/// Turns one entry into a client, or says what is wrong and at which byte.
fn check(entry: Entry) -> Result<Client, (usize, String)> {
    let id_at = entry.id.span().start;
    let grants_at = entry.grants.span().start;
    let audiences_at = entry.audiences.span().start;
    let id = check_id(entry.id.get_ref()).map_err(|detail| (id_at, detail))?;
    let audiences: Vec<Audience> = (entry.audiences.into_inner().iter())
        .map(|text| check_audience(text))
        .collect::<Result<_, _>>()
        .map_err(|detail| (audiences_at, detail))?;
    if audiences.is_empty() {
        return Err((audiences_at, "name at least one audience; the first is the default".to_owned()));
    }
    let access_lifetime = entry.access_lifetime.map(|span| (span.span().start, span.into_inner().0));
    if let Some((at, span)) = access_lifetime {
        check_lifetime(span).map_err(|detail| (at, detail))?;
    }
    let mut secrets = Vec::with_capacity(entry.secrets.len());
    for secret in entry.secrets {
        let at = secret.span().start;
        // RFC 6749 section 2.1: a public client cannot keep a secret.
        if entry.kind == ClientKind::Public {
            return Err((at, "a public client has no secret".to_owned()));
        }
        if secrets.len() == SECRETS_MAX {
            return Err((at, format!("a client has at most {SECRETS_MAX} secrets")));
        }
        secrets.push(check_secret(secret.get_ref()).map_err(|detail| (at, detail))?);
    }
    let grants = entry.grants.into_inner();
    check_grants(entry.kind, &grants).map_err(|detail| (grants_at, detail))?;
    Ok(Client {
        id,
        kind: entry.kind,
        first_party: entry.first_party,
        enabled: entry.enabled,
        secrets,
        grants,
        scope: entry.scope,
        audiences,
        access_lifetime: access_lifetime.map(|(_, span)| span),
    })
}

/// Checks a client id.
///
/// # Errors
/// A sentence.
pub fn check_id(text: &str) -> Result<ClientId, String> {
    if !is_client_id(text) {
        return Err(format!("a client id is 1 to {ID_CHARS_MAX} visible ASCII characters"));
    }
    // RFC 9068 section 5: the id of a user must never equal the id of a client.
    if text.starts_with("usr_") {
        return Err("a client id does not start with `usr_`: users' ids do".to_owned());
    }
    Ok(ClientId::from(text))
}

/// Checks an audience: an absolute URI without a fragment (RFC 8707 section 2) or a plain name.
///
/// # Errors
/// A sentence.
pub fn check_audience(text: &str) -> Result<Audience, String> {
    if !is_client_id(text) || text.contains(['#', '"', '\\']) {
        return Err(format!(
            "an audience is an absolute URI without a fragment, or a name: 1 to {ID_CHARS_MAX} visible ASCII characters"
        ));
    }
    Ok(Audience::from(text))
}

/// Checks the lifetime of access tokens: a second to [`ACCESS_LIFETIME_MAX`].
///
/// # Errors
/// A sentence.
pub fn check_lifetime(span: Duration) -> Result<(), String> {
    if span < Duration::from_secs(1) || span > ACCESS_LIFETIME_MAX {
        return Err("an access token lives 1s to 24h".to_owned());
    }
    Ok(())
}

/// Checks that a client of this kind may have these grants.
///
/// # Errors
/// A sentence.
pub fn check_grants(kind: ClientKind, grants: &[GrantType]) -> Result<(), String> {
    // RFC 6749 section 4.4: only confidential clients may use the client credentials grant.
    if kind == ClientKind::Public && grants.contains(&GrantType::ClientCredentials) {
        return Err("a public client cannot use client_credentials: it has no credentials".to_owned());
    }
    Ok(())
}

fn check_secret(secret: &Secret) -> Result<SecretDigest, String> {
    let when = |date: &toml::value::Datetime| {
        UnixSeconds::from_rfc3339(&date.to_string())
            .ok_or_else(|| "write a date with its offset: 2026-01-31T12:00:00Z".to_owned())
    };
    Ok(SecretDigest {
        sha256: base64url::decode_array(secret.sha256.as_bytes())
            .ok_or_else(|| "sha256 is 43 characters of base64url".to_owned())?,
        created_at: when(&secret.created_at)?,
        ends_at: secret.ends_at.as_ref().map(when).transpose()?,
    })
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is a client with this id already.
    #[error("there is a client `{0}` already")]
    Exists(ClientId),
    /// There is no client with this id.
    #[error("there is no client `{0}`")]
    NotFound(ClientId),
    /// It would make no sense.
    #[error("{0}")]
    Refused(String),
}

/// One change of the file, under its lock. What the change leaves behind is read back before it is written: a
/// command never damages the file, and never makes a damaged one worse.
fn edit(
    path: &Path,
    intent: Intent,
    change: impl FnOnce(&mut DocumentMut, &Registry) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let locked = Locked::acquire(path)?;
    let text = locked.read()?.unwrap_or_else(|| HEADING.to_owned());
    let registry = Registry::parse(path, &text)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| EditError::Refused(error.message().to_owned()))?;
    change(&mut document, &registry)?;
    let text = document.to_string();
    parse(path, &text)?;
    match intent {
        Intent::Write => Ok(locked.replace(&text)?),
        Intent::DryRun => Ok(()),
    }
}

/// Adds a client.
///
/// # Errors
/// `Exists` if its id is taken; `Refused` or `File` if it cannot be written.
pub fn add(path: &Path, client: &Client, intent: Intent) -> Result<(), EditError> {
    edit(path, intent, |document, registry| {
        if registry.find(client.id.as_str()).is_some() {
            return Err(EditError::Exists(client.id.clone()));
        }
        document::push(document, ENTRY, to_table(client)?).map_err(EditError::Refused)
    })
}

/// Gives a client a new secret. The one it had goes on until `overlap_ends_at`; any older one ends now.
///
/// # Errors
/// `NotFound`; `Refused` for a public client.
pub fn rotate_secret(
    path: &Path,
    id: &ClientId,
    fresh: &SecretDigest,
    overlap_ends_at: UnixSeconds,
    intent: Intent,
) -> Result<(), EditError> {
    edit(path, intent, |document, registry| {
        let client = registry.find(id.as_str()).ok_or_else(|| EditError::NotFound(id.clone()))?;
        if client.kind == ClientKind::Public {
            return Err(EditError::Refused(format!("`{id}` is a public client: it has no secret")));
        }
        let mut secrets = vec![fresh.clone()];
        let newest = client.secrets.iter().max_by_key(|secret| secret.created_at);
        if let Some(old) = newest.filter(|_| overlap_ends_at > fresh.created_at) {
            let ends_at = old.ends_at.map_or(overlap_ends_at, |end| end.min(overlap_ends_at));
            secrets.push(SecretDigest { ends_at: Some(ends_at), ..old.clone() });
        }
        let table = entry(document, id)?;
        table.insert("secrets", value(secrets_value(&secrets)?));
        Ok(())
    })
}

/// Switches a client on or off.
///
/// # Errors
/// `NotFound`.
pub fn set_enabled(path: &Path, id: &ClientId, enabled: bool, intent: Intent) -> Result<(), EditError> {
    edit(path, intent, |document, _| {
        let table = entry(document, id)?;
        match table.get_mut("enabled").and_then(Item::as_value_mut) {
            Some(own) => {
                let decor = own.decor().clone();
                *own = Value::from(enabled);
                *own.decor_mut() = decor;
            }
            None => {
                table.insert("enabled", value(enabled));
            }
        }
        Ok(())
    })
}

/// Removes a client.
///
/// # Errors
/// `NotFound`.
pub fn remove(path: &Path, id: &ClientId, intent: Intent) -> Result<(), EditError> {
    edit(path, intent, |document, _| {
        match document::remove(document, ENTRY, "id", id.as_str()).map_err(EditError::Refused)? {
            true => Ok(()),
            false => Err(EditError::NotFound(id.clone())),
        }
    })
}

fn entry<'a>(document: &'a mut DocumentMut, id: &ClientId) -> Result<&'a mut Table, EditError> {
    document::find(document, ENTRY, "id", id.as_str())
        .map_err(EditError::Refused)?
        .ok_or_else(|| EditError::NotFound(id.clone()))
}

fn to_table(client: &Client) -> Result<Table, EditError> {
    let mut table = Table::new();
    let kind = match client.kind {
        ClientKind::Confidential => "confidential",
        ClientKind::Public => "public",
    };
    table.insert("id", value(client.id.as_str()));
    table.insert("kind", value(kind));
    table.insert("grants", value(client.grants.iter().map(|grant| grant.name()).collect::<Array>()));
    table.insert("scope", value(client.scope.as_str()));
    table.insert("audiences", value(client.audiences.iter().map(Audience::as_str).collect::<Array>()));
    table.insert("first_party", value(client.first_party));
    table.insert("enabled", value(client.enabled));
    if let Some(span) = client.access_lifetime {
        table.insert("access_lifetime", value(Span(span).to_string()));
    }
    if client.kind == ClientKind::Confidential {
        table.insert("secrets", value(secrets_value(&client.secrets)?));
    }
    Ok(table)
}

fn secrets_value(secrets: &[SecretDigest]) -> Result<Array, EditError> {
    let date = |at: UnixSeconds| {
        at.to_rfc3339()
            .parse::<toml_edit::Datetime>()
            .map_err(|_| EditError::Refused(format!("the date {at} cannot be written")))
    };
    let mut array = Array::new();
    for secret in secrets {
        let mut table = InlineTable::new();
        table.insert("sha256", base64url::encode(&secret.sha256).into());
        table.insert("created_at", date(secret.created_at)?.into());
        if let Some(ends_at) = secret.ends_at {
            table.insert("ends_at", date(ends_at)?.into());
        }
        array.push(table);
    }
    Ok(array)
}
