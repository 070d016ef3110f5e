//! The files a configuration names: are they there, readable, well-formed, and not open to everybody?

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::ambient::document::{self, FileError};
use crate::client::registry::Registry;
use crate::config::Config;
use crate::protocol::time::format_span;
use crate::user::directory::file::Users;

/// Looks at the key directory, which is another module's: what is wrong with it, a sentence each.
pub type CheckKeys<'a> = &'a dyn Fn(&Config) -> Result<(), Vec<String>>;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The server would not start.
    pub problems: Vec<String>,
    /// It would, but somebody should look.
    pub warnings: Vec<String>,
    /// Clients read.
    pub clients: usize,
    /// Users read.
    pub users: usize,
}

/// Reads every file the configuration names; changes none.
#[must_use]
pub fn check_files(config: &Config, check_keys: CheckKeys<'_>) -> Findings {
    let mut findings = Findings::default();
    match Registry::read(&config.clients.file) {
        Ok(registry) => {
            findings.clients = registry.len();
            findings.look_at_mode(&config.clients.file);
            for client in registry.list() {
                if client.access_lifetime.is_some_and(|span| span > config.tokens.lifetime_max) {
                    let bound = format_span(config.tokens.lifetime_max);
                    let message =
                        format!("client `{}`: access_lifetime is above tokens.lifetime_max, {bound}", client.id);
                    findings.problems.push(message);
                }
            }
        }
        Err(error) => findings.unread(&error, "no client is registered: `mintgate clients add`"),
    }
    match Users::read(&config.users.file) {
        // In a database: it is asked when somebody logs in.
        _ if config.users.sql.is_some() => {}
        Ok(users) => {
            findings.users = users.len();
            findings.look_at_mode(&config.users.file);
        }
        Err(error) => findings.unread(&error, "nobody can log in: `mintgate users add`"),
    }
    if let Some(tls) = &config.tls {
        if let Err(error) = document::read(&tls.certificate) {
            findings.problems.push(error.to_string());
        }
        match document::read(&tls.key) {
            Ok(_) if mode(&tls.key) & 0o077 != 0 => {
                let message = "readable by others than its owner; chmod 600";
                findings.problems.push(format!("{}: {message}", tls.key.display()));
            }
            Ok(_) => {}
            Err(error) => findings.problems.push(error.to_string()),
        }
    }
    if let Err(problems) = check_keys(config) {
        findings.problems.extend(problems);
    }
    findings
}

impl Findings {
    /// A file that is not there yet is a remark; one that cannot be read is a problem.
    fn unread(&mut self, error: &FileError, consequence: &str) {
        match error {
            FileError::Missing { .. } => self.warnings.push(format!("{error}: {consequence}")),
            _ => self.problems.push(error.to_string()),
        }
    }

    fn look_at_mode(&mut self, path: &Path) {
        let mode = mode(path);
        // Whoever can write it can let himself in.
        if mode & 0o022 != 0 {
            self.problems.push(format!("{}: others than its owner can write it; chmod 600", path.display()));
        } else if mode & 0o004 != 0 {
            self.warnings.push(format!("{}: everybody can read it, hashes and all; chmod 600", path.display()));
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
