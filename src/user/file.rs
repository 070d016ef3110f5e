//! `users.toml`: one `[[user]]` table each, edited by people and by `mintgate users`.
//!
//! ```toml
//! [[user]]
//! name = "alice"                            # as typed at log-in, compared byte by byte
//! id = "usr_3q2-7wAAAAAAAAAAAAAAAA"         # `sub` in tokens: never changes, never given to another
//! password = "$argon2id$v=19$m=19456,t=2,p=1$...$..."
//! scope = "read"                            # the most this user may be granted; leave it out: what the client may
//! enabled = true
//! password_changed_at = 2026-01-31T12:00:00Z   # log-ins before this moment are over
//! ```

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_spanned::Spanned;
use toml_edit::{DocumentMut, Item, Table, Value, value};

use crate::ambient::document::{self, FileError, Intent, Locked};
use crate::ambient::entropy::draw;
use crate::ambient::{Entropy, EntropyError};
use crate::protocol::base64url;
use crate::protocol::id::Subject;
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;
use crate::user::Profile;
use crate::user::directory::Account;
use crate::user::directory::file::Users;
use crate::user::password::check_name;
use crate::user::phc::{Cost, Phc};

/// What every user's subject starts with; no client id does (RFC 9068 section 5).
pub const SUBJECT_PREFIX: &str = "usr_";
/// What a new file starts with.
pub const HEADING: &str = "# The users of this gateway. Edit by hand or with `mintgate users`; comments are kept.\n";
/// The name of the array of tables.
const ENTRY: &str = "user";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    user: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    id: Spanned<String>,
    password: Option<Spanned<String>>,
    scope: Option<Scope>,
    #[serde(default = "yes")]
    enabled: bool,
    password_changed_at: Spanned<toml::value::Datetime>,
}

fn yes() -> bool {
    true
}

/// Draws a subject for a new user: `usr_` and 22 characters of base64url, 128 random bits.
///
/// # Errors
/// [`EntropyError`] if the source fails.
pub fn generate_subject(entropy: &dyn Entropy) -> Result<Subject, EntropyError> {
    Ok(Subject::from(format!("{SUBJECT_PREFIX}{}", base64url::encode(&draw::<16>(entropy)?))))
}

/// Reads the text of the file; `path` is for messages only.
///
/// # Errors
/// `Malformed` with the line and column of the first mistake; never with a hash.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Account>, FileError> {
    let written: Written = toml::from_str(text).map_err(|error| FileError::toml(path, text, &error))?;
    let mut names = std::collections::HashSet::new();
    let mut ids = std::collections::HashSet::new();
    let mut accounts = Vec::with_capacity(written.user.len());
    for entry in written.user {
        let refuse = |at: usize, detail: &str| Err(FileError::at(path, text, at, detail));
        if !names.insert(entry.name.get_ref().clone()) {
            return refuse(entry.name.span().start, "a second user with this name");
        }
        if !ids.insert(entry.id.get_ref().clone()) {
            return refuse(entry.id.span().start, "a second user with this id");
        }
        accounts.push(check(entry).map_err(|(at, detail)| FileError::at(path, text, at, detail))?);
    }
    Ok(accounts)
}

/// Turns one entry into an account, or says what is wrong and at which byte.
fn check(entry: Entry) -> Result<Account, (usize, String)> {
    let at = entry.name.span().start;
    check_name(entry.name.get_ref()).map_err(|detail| (at, detail))?;
    let id = entry.id.get_ref();
    let random = id.strip_prefix(SUBJECT_PREFIX).unwrap_or_default();
    if base64url::decode_array::<16>(random.as_bytes()).is_none() {
        return Err((entry.id.span().start, "a user's id is `usr_` and 22 characters of base64url".to_owned()));
    }
    if let Some(password) = &entry.password {
        Phc::parse(password.get_ref(), Cost::MAX).map_err(|error| (password.span().start, error.to_string()))?;
    }
    let changed = &entry.password_changed_at;
    let password_changed_at = UnixSeconds::from_rfc3339(&changed.get_ref().to_string())
        .ok_or_else(|| (changed.span().start, "write a date with its offset: 2026-01-31T12:00:00Z".to_owned()))?;
    let profile = Profile {
        subject: Subject::from(id.as_str()),
        enabled: entry.enabled,
        scope: entry.scope,
        password_changed_at,
        credential: None,
    };
    Ok(Account {
        name: Arc::from(entry.name.into_inner()),
        profile,
        password: entry.password.map(|password| Arc::from(password.into_inner())),
    })
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is a user with this name already.
    #[error("there is a user `{0}` already")]
    Exists(String),
    /// There is no user with this name.
    #[error("there is no user `{0}`")]
    NotFound(String),
    /// It would make no sense.
    #[error("{0}")]
    Refused(String),
}

/// One change of the file, under its lock; what it leaves behind is read back before it is written.
fn edit(
    path: &Path,
    intent: Intent,
    change: impl FnOnce(&mut DocumentMut, &Users) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let locked = Locked::acquire(path)?;
    let text = locked.read()?.unwrap_or_else(|| HEADING.to_owned());
    let users = Users::parse(path, &text)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| EditError::Refused(error.message().to_owned()))?;
    change(&mut document, &users)?;
    let text = document.to_string();
    parse(path, &text)?;
    match intent {
        Intent::Write => Ok(locked.replace(&text)?),
        Intent::DryRun => Ok(()),
    }
}

/// Adds a user.
///
/// # Errors
/// `Exists` if the name is taken; `Refused` or `File` if it cannot be written.
pub fn add(path: &Path, account: &Account, intent: Intent) -> Result<(), EditError> {
    edit(path, intent, |document, users| {
        if users.find(&account.name).is_some() {
            return Err(EditError::Exists(account.name.to_string()));
        }
        let mut table = Table::new();
        table.insert("name", value(account.name.as_ref()));
        table.insert("id", value(account.profile.subject.as_str()));
        if let Some(password) = &account.password {
            table.insert("password", value(password.as_ref()));
        }
        if let Some(scope) = &account.profile.scope {
            table.insert("scope", value(scope.as_str()));
        }
        table.insert("enabled", value(account.profile.enabled));
        table.insert("password_changed_at", date(account.profile.password_changed_at)?);
        document::push(document, ENTRY, table).map_err(EditError::Refused)
    })
}

/// Gives a user a new password; the log-ins before `changed_at` are over (RFC 9700 section 4.14.2).
///
/// # Errors
/// `NotFound`.
pub fn set_password(
    path: &Path,
    name: &str,
    phc: &Phc,
    changed_at: UnixSeconds,
    intent: Intent,
) -> Result<(), EditError> {
    edit(path, intent, |document, _| {
        let table = entry(document, name)?;
        set(table, "password", Value::from(phc.to_string()));
        table.insert("password_changed_at", date(changed_at)?);
        Ok(())
    })
}

/// Switches a user on or off.
///
/// # Errors
/// `NotFound`.
pub fn set_enabled(path: &Path, name: &str, enabled: bool, intent: Intent) -> Result<(), EditError> {
    edit(path, intent, |document, _| {
        set(entry(document, name)?, "enabled", Value::from(enabled));
        Ok(())
    })
}

/// Removes a user. The id is not given to anybody again.
///
/// # Errors
/// `NotFound`.
pub fn remove(path: &Path, name: &str, intent: Intent) -> Result<(), EditError> {
    edit(path, intent, |document, _| {
        match document::remove(document, ENTRY, "name", name).map_err(EditError::Refused)? {
            true => Ok(()),
            false => Err(EditError::NotFound(name.to_owned())),
        }
    })
}

fn entry<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table, EditError> {
    document::find(document, ENTRY, "name", name)
        .map_err(EditError::Refused)?
        .ok_or_else(|| EditError::NotFound(name.to_owned()))
}

/// Sets a value; a comment behind the old one stays.
fn set(table: &mut Table, key: &str, mut new: Value) {
    if let Some(own) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = own.decor().clone();
        *own = new;
    } else {
        table.insert(key, value(new));
    }
}

fn date(at: UnixSeconds) -> Result<Item, EditError> {
    let parsed = at.to_rfc3339().parse::<toml_edit::Datetime>();
    parsed.map(value).map_err(|_| EditError::Refused(format!("the date {at} cannot be written")))
}
