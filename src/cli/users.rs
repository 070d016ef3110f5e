//! `mintgate users`: who may log in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use crate::ambient::document::Intent;
use crate::cli::Context;
use crate::cli::ask::{Ask, Console, PasswordFrom, Yes, consent};
use crate::cli::clients::{file_failure, intent};
use crate::cli::config::load;
use crate::cli::failure::{Exit, Failure};
use crate::config::Config;
use crate::protocol::scope::Scope;
use crate::user::Profile;
use crate::user::directory::Account;
use crate::user::directory::file::Users;
use crate::user::file::{self, EditError, generate_subject};
use crate::user::password::{PASSWORD_CHARS_ADVISED, check_name, check_new, is_advised_length};
use crate::user::phc::{Memory, Phc};

/// A running server has taken a change of the file by then; for as long, new log-ins of the user are told to wait.
const PICKUP: Duration = Duration::from_secs(2);

/// What to do with the users.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Add a user
    Add {
        /// The name typed at log-in
        name: String,
        /// The most this user may be granted; without it, what the client may
        #[arg(long, value_name = "SCOPE")]
        scope: Option<Scope>,
        /// Where the password comes from.
        #[command(flatten)]
        password: Password,
        /// Say what would happen, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List all users
    List,
    /// Set a new password; log-ins made before are over
    Passwd {
        /// The name typed at log-in
        name: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: Password,
        /// Say what would happen, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Switch a user off: no log-in, no refresh
    Disable(Change),
    /// Switch a user on again
    Enable(Change),
    /// Remove a user
    Remove {
        /// Which one.
        #[command(flatten)]
        change: Change,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Where the password comes from.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Password {
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    pub password_stdin: bool,
}

/// A change of one user.
#[derive(Clone, Debug, clap::Args)]
pub struct Change {
    /// The name typed at log-in
    pub name: String,
    /// Say what would happen, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Does it.
///
/// # Errors
/// `NotFound`, `Conflict`, `Usage` for what cannot be, `Refused` for a weak password, `Failed` if a file cannot be
/// used.
pub fn run(command: Command, context: &Context<'_>) -> Result<(), Failure> {
    run_asking(command, context, &mut Console)
}

/// As [`run`], with somebody else to ask.
///
/// # Errors
/// As [`run`].
pub fn run_asking(command: Command, context: &Context<'_>, ask: &mut dyn Ask) -> Result<(), Failure> {
    let config = load(context)?.config;
    if config.users.sql.is_some() {
        let message = "the users of this gateway are in a database (`users.source = \"sql\"`): change them there";
        return Err(Failure::new(Exit::Refused, message));
    }
    let path = config.users.file.as_path();
    match command {
        Command::Add { name, scope, password, dry_run } => {
            check_name(&name).map_err(|why| Failure::new(Exit::Usage, why))?;
            let exists = Users::read_or_empty(path).map_err(file_failure)?.find(&name).is_some();
            if exists {
                // Before anybody types a password for nothing.
                return Err(failure(EditError::Exists(name)));
            }
            let phc = new_password(&name, password, &config, context, ask)?;
            add(&config, &name, scope, &phc, intent(dry_run), context)
        }
        Command::List => list(path, context),
        Command::Passwd { name, password, dry_run } => {
            if Users::read_or_empty(path).map_err(file_failure)?.find(&name).is_none() {
                return Err(failure(EditError::NotFound(name)));
            }
            let phc = new_password(&name, password, &config, context, ask)?;
            // A log-in that the running server still lets in with the old password must end too.
            let changed_at = context.clock.now().after(PICKUP);
            file::set_password(path, &name, &phc, changed_at, intent(dry_run)).map_err(failure)?;
            let would = if dry_run { "would have" } else { "has" };
            context.output.line(&format!("user `{name}` {would} a new password; log-ins made before are over"))
        }
        Command::Disable(change) => {
            file::set_enabled(path, &change.name, false, intent(change.dry_run)).map_err(failure)?;
            done(context, &change, "disabled")
        }
        Command::Enable(change) => {
            file::set_enabled(path, &change.name, true, intent(change.dry_run)).map_err(failure)?;
            done(context, &change, "enabled")
        }
        Command::Remove { change, yes } => {
            file::remove(path, &change.name, Intent::DryRun).map_err(failure)?;
            if !change.dry_run {
                let question =
                    format!("Remove user `{}`? The id in old tokens is not given to anybody again.", change.name);
                consent(ask, Yes::from_flag(yes), &question)?;
                file::remove(path, &change.name, Intent::Write).map_err(failure)?;
            }
            done(context, &change, "removed")
        }
    }
}

fn new_password(
    name: &str,
    password: Password,
    config: &Config,
    context: &Context<'_>,
    ask: &mut dyn Ask,
) -> Result<Phc, Failure> {
    let from = if password.password_stdin { PasswordFrom::Stdin } else { PasswordFrom::Prompt };
    let password: Zeroizing<String> = ask.password(from)?;
    check_new(name, &password).map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
    if !is_advised_length(&password) {
        let advice = "characters or more are advised where the password is the only factor (NIST SP 800-63B-4).";
        context.output.remark(&format!("{PASSWORD_CHARS_ADVISED} {advice}"));
    }
    Phc::new(&password, config.login.hash.cost, context.entropy, &mut Memory::default())
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn add(
    config: &Config,
    name: &str,
    scope: Option<Scope>,
    phc: &Phc,
    intent: Intent,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let subject = generate_subject(context.entropy).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let profile = Profile { subject, enabled: true, scope, password_changed_at: context.clock.now(), credential: None };
    let account = Account { name: Arc::from(name), profile, password: Some(Arc::from(phc.to_string())) };
    file::add(&config.users.file, &account, intent).map_err(failure)?;
    if intent == Intent::DryRun {
        return context.output.line(&format!("user `{name}` would be added"));
    }
    if context.json {
        return context.output.json(&json!({ "name": name, "id": account.profile.subject.as_str() }));
    }
    context.output.line(&format!("user `{name}` added, id {}", account.profile.subject))
}

fn list(path: &Path, context: &Context<'_>) -> Result<(), Failure> {
    let users = Users::read_or_empty(path).map_err(file_failure)?;
    if context.json {
        let all: Vec<Json> = users
            .list()
            .into_iter()
            .map(|user| {
                json!({
                    "name": user.name.as_ref(),
                    "id": user.profile.subject.as_str(),
                    "enabled": user.profile.enabled,
                    "scope": user.profile.scope.as_ref().map(Scope::as_str),
                    "password_changed_at": user.profile.password_changed_at.to_rfc3339(),
                })
            })
            .collect();
        return context.output.json(&all);
    }
    let rows: Vec<Vec<String>> = users
        .list()
        .into_iter()
        .map(|user| {
            vec![
                user.name.to_string(),
                (if user.profile.enabled { "enabled" } else { "disabled" }).to_owned(),
                user.profile.subject.to_string(),
                user.profile.scope.as_ref().map_or_else(|| "(the client's)".to_owned(), Scope::to_string),
                user.profile.password_changed_at.to_rfc3339(),
            ]
        })
        .collect();
    context.output.table(&["NAME", "STATE", "ID", "SCOPE", "PASSWORD SINCE"], &rows)
}

fn done(context: &Context<'_>, change: &Change, what: &str) -> Result<(), Failure> {
    let would = if change.dry_run { "would be " } else { "" };
    context.output.line(&format!("user `{}` {would}{what}", change.name))
}

fn failure(error: EditError) -> Failure {
    let code = match error {
        EditError::File(error) => return file_failure(error),
        EditError::Exists(_) => Exit::Conflict,
        EditError::NotFound(_) => Exit::NotFound,
        EditError::Refused(_) => Exit::Refused,
    };
    Failure::new(code, error.to_string())
}
