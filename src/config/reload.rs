//! Reading everything anew while the server runs: all or nothing, with a list of what is different.

use std::fmt;
use std::path::Path;

use crate::ambient::document::FileError;
use crate::client::registry::Registry;
use crate::config::{ConfigError, Inputs, Loaded, Setting};
use crate::user::directory::file::Users;

/// Settings that are read once, at the start: sections or single keys.
const AT_START_ONLY: [&str; 10] = [
    "issuer",
    "listen.",
    "state.",
    "keys.directory",
    "login.",
    "log.",
    "limits.",
    "tls.",
    "users.",
    "verify.cache_entries_max",
];

/// When a difference takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// With this reload.
    Now,
    /// When the server is started again.
    AtRestart,
}

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `section.key`, `client ID`, or `users`.
    pub what: String,
    /// What became of it. Never a secret: of a client or a user only that it changed.
    pub change: String,
    /// When it takes effect.
    pub effect: Effect,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.change)?;
        match self.effect {
            Effect::Now => Ok(()),
            Effect::AtRestart => f.write_str(" (needs a restart)"),
        }
    }
}

/// What the server works with and a reload replaces.
#[derive(Debug)]
pub struct Reloadable {
    /// The configuration.
    pub loaded: Loaded,
    /// The clients.
    pub registry: Registry,
    /// The users.
    pub users: Users,
}

/// Why nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `clients.toml` or `users.toml` is damaged, or has gone.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Reloadable {
    /// Reads everything for the first time: files that are not there yet are empty.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub fn read(path: &Path, inputs: &Inputs) -> Result<Self, ReloadError> {
        let loaded = super::load(path, inputs)?;
        let registry = Registry::read_or_empty(&loaded.config.clients.file)?;
        let users = Users::read_or_empty(&loaded.config.users.file)?;
        Ok(Self { loaded, registry, users })
    }

    /// Reads everything anew. `self` stays as it is: swap it when the rest (keys, certificate) is read too.
    ///
    /// # Errors
    /// [`ReloadError`]; a file that had something in it and has gone is an error.
    pub fn read_again(&self, path: &Path, inputs: &Inputs) -> Result<(Self, Vec<Difference>), ReloadError> {
        let loaded = super::load(path, inputs)?;
        let registry = match &self.registry {
            before if before.is_empty() => Registry::read_or_empty(&loaded.config.clients.file)?,
            _ => Registry::read(&loaded.config.clients.file)?,
        };
        let users = match &self.users {
            before if before.is_empty() => Users::read_or_empty(&loaded.config.users.file)?,
            _ => Users::read(&loaded.config.users.file)?,
        };
        let mut differences = settings(&self.loaded.settings, &loaded.settings);
        differences.extend(clients(&self.registry, &registry));
        differences.extend(user_counts(&self.users, &users));
        Ok((Self { loaded, registry, users }, differences))
    }
}

fn settings(old: &[Setting], new: &[Setting]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for setting in new {
        let before = old.iter().find(|before| before.key == setting.key);
        let Some(before) = before.filter(|before| before.value != setting.value) else { continue };
        let key = setting.key.as_str();
        let at_start =
            AT_START_ONLY.iter().any(|known| *known == key || (known.ends_with('.') && key.starts_with(known)));
        differences.push(Difference {
            what: setting.key.clone(),
            change: format!("{} -> {}", before.as_toml(), setting.as_toml()),
            effect: if at_start { Effect::AtRestart } else { Effect::Now },
        });
    }
    differences
}

fn clients(old: &Registry, new: &Registry) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut note = |id: &str, change: &str| {
        let difference = Difference { what: format!("client {id}"), change: change.to_owned(), effect: Effect::Now };
        differences.push(difference);
    };
    for client in old.list() {
        if new.find(client.id.as_str()).is_none() {
            note(client.id.as_str(), "removed");
        }
    }
    for client in new.list() {
        match old.find(client.id.as_str()) {
            None => note(client.id.as_str(), "added"),
            Some(before) if before.enabled && !client.enabled => note(client.id.as_str(), "disabled"),
            Some(before) if !before.enabled && client.enabled => note(client.id.as_str(), "enabled"),
            Some(before) if before.secrets != client.secrets => note(client.id.as_str(), "secrets changed"),
            Some(before) if before != client => note(client.id.as_str(), "changed"),
            Some(_) => {}
        }
    }
    differences
}

/// Users are counted, not named: names are personal data (RFC 9068 section 6) and a log is kept.
fn user_counts(old: &Users, new: &Users) -> Option<Difference> {
    let added = new.list().iter().filter(|user| old.find(&user.name).is_none()).count();
    let removed = old.list().iter().filter(|user| new.find(&user.name).is_none()).count();
    let kept = new.list().into_iter().filter_map(|user| old.find(&user.name).map(|before| (before, user)));
    let changed = kept.filter(|(before, user)| before != user).count();
    (added + removed + changed > 0).then(|| Difference {
        what: "users".to_owned(),
        change: format!("{added} added, {removed} removed, {changed} changed"),
        effect: Effect::Now,
    })
}
