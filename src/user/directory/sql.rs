//! The directory in a database: accounts are read, never written, and never copied but for the stated age of the cache.
//!
//! Two queries are all: one account by its name, one by its id. Each takes one parameter, as a parameter; nothing a
//! user sends ever becomes SQL. A row must name what was asked for, byte by byte: a collation that takes `Alice` for
//! `alice`, or a comparison that takes `42abc` for `42`, finds nobody here.

mod pool;
mod postgres;
mod row;
mod sqlite;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::ambient::Clock;
use crate::protocol::id::Subject;
use crate::user::directory::{Account, Answer, Directory, DirectoryError};
use crate::user::password::check_name;
use crate::user::{Profile, mark};

pub use postgres::TlsError;

use row::Row;

/// Before the id of the database's row, the two make the subject: `usr_42`.
const SUBJECT_PREFIX: &str = "usr_";
/// Longest id of a row, in bytes; a UUID has 36.
const ROW_ID_BYTES_MAX: usize = 64;
/// Most users the cache knows at once.
const CACHED_MAX: usize = 10_000;

/// Where the accounts are, and how they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which database.
    pub database: Database,
    /// The account with the name `$1`.
    pub by_name: String,
    /// The account with the id `$1`.
    pub by_id: String,
    /// Any stored password, in a column `password`; for the newest user, if there is a choice. No parameter.
    pub sample: Option<String>,
    /// Most connections at once, at least one.
    pub connections_max: usize,
    /// Longest a log-in waits for the database, connecting included.
    pub timeout: Duration,
    /// How long what was read of a user may be used for refreshes; a log-in always asks.
    pub cache: Duration,
}

/// A database.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file of SQLite; opened for reading alone.
    Sqlite(PathBuf),
    /// PostgreSQL, by a connection string (`postgres://...`), which may hold a password.
    Postgres {
        /// The connection string.
        dsn: Zeroizing<String>,
        /// PEM certificates that the server's must come from; without it the connection is not encrypted.
        ca: Option<PathBuf>,
    },
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres { ca, .. } => f.debug_struct("Postgres").field("ca", ca).finish_non_exhaustive(),
        }
    }
}

/// Why the directory cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The connection string cannot be read. Never carries it: it may hold a password.
    #[error("`users.dsn` cannot be read: {0}")]
    Dsn(String),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The one way to ask a database.
trait Engine: Send + Sync {
    /// The first row of a query with one parameter. A parameter that cannot be of the column's type finds no row.
    fn first<'a>(&'a self, query: &'a str, parameter: Option<&'a str>) -> Answer<'a, Option<Row>>;
}

/// Accounts in a database.
pub struct SqlDirectory {
    engine: Box<dyn Engine>,
    by_name: String,
    by_id: String,
    sample: Option<String>,
    cache: Mutex<HashMap<Subject, Remembered>>,
    remember: Duration,
    clock: Arc<dyn Clock>,
}

struct Remembered {
    read_at: Duration,
    profile: Option<Profile>,
}

impl std::fmt::Debug for SqlDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlDirectory")
            .field("by_name", &self.by_name)
            .field("by_id", &self.by_id)
            .finish_non_exhaustive()
    }
}

impl SqlDirectory {
    /// Prepares the directory; connects when somebody logs in, so a database that is down keeps nothing else down.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let (connections, timeout) = (settings.connections_max.max(1), settings.timeout);
        let engine: Box<dyn Engine> = match &settings.database {
            Database::Sqlite(path) => Box::new(sqlite::Sqlite::new(path.clone(), connections, timeout)),
            Database::Postgres { dsn, ca } => {
                Box::new(postgres::Postgres::new(dsn, ca.as_deref(), connections, timeout)?)
            }
        };
        let Settings { by_name, by_id, sample, cache: remember, .. } = settings;
        Ok(Self { engine, by_name, by_id, sample, cache: Mutex::default(), remember, clock })
    }

    fn remembered(&self, subject: &Subject) -> Option<Option<Profile>> {
        let now = self.clock.monotonic();
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cache.get(subject)?;
        (now.saturating_sub(found.read_at) < self.remember).then(|| found.profile.clone())
    }

    fn remember(&self, subject: &Subject, profile: Option<Profile>, read_at: Duration) {
        if self.remember.is_zero() {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_MAX {
            cache.retain(|_, found| read_at.saturating_sub(found.read_at) < self.remember);
        }
        // Everybody at once: forgetting all of them costs each one query, and keeps the bound.
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(subject.clone(), Remembered { read_at, profile });
    }
}

impl Directory for SqlDirectory {
    fn find<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Account>> {
        Box::pin(async move {
            // No such name can be stored, and some databases take a zero byte for an end.
            if check_name(name).is_err() {
                return Ok(None);
            }
            let Some(row) = self.engine.first(&self.by_name, Some(name)).await? else { return Ok(None) };
            let account = account(&row)?;
            Ok(Some(account).filter(|account| &*account.name == name))
        })
    }

    fn profile<'a>(&'a self, subject: &'a Subject) -> Answer<'a, Option<Profile>> {
        Box::pin(async move {
            if let Some(known) = self.remembered(subject) {
                return Ok(known);
            }
            // The age counts from before the question, so it is never older than stated.
            let read_at = self.clock.monotonic();
            let Some(id) = subject.as_str().strip_prefix(SUBJECT_PREFIX).filter(|id| is_row_id(id)) else {
                return Ok(None);
            };
            let found = match self.engine.first(&self.by_id, Some(id)).await? {
                Some(row) => Some(account(&row)?.profile).filter(|profile| profile.subject == *subject),
                None => None,
            };
            self.remember(subject, found.clone(), read_at);
            Ok(found)
        })
    }

    fn sample(&self) -> Answer<'_, Option<Arc<str>>> {
        Box::pin(async move {
            let Some(query) = &self.sample else { return Ok(None) };
            let row = self.engine.first(query, None).await?;
            Ok(row.and_then(|row| row.text("password")).map(Arc::from))
        })
    }
}

fn is_row_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ROW_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// What a row says; a row that lacks a column is a mistake in the query, and nobody can log in by it.
fn account(row: &Row) -> Result<Account, DirectoryError> {
    let broken = |column: &'static str| {
        tracing::error!(column, "the users' query answers no such column, or nothing of its type");
        DirectoryError
    };
    let id = row.text("id").filter(|id| is_row_id(id)).ok_or_else(|| broken("id"))?;
    let name = row.text("username").ok_or_else(|| broken("username"))?;
    let password = row.text("password");
    let scope = match row.text("scope") {
        Some(text) => Some(text.parse().map_err(|_| broken("scope"))?),
        None => None,
    };
    let profile = Profile {
        subject: Subject::from(format!("{SUBJECT_PREFIX}{id}").as_str()),
        // A table without the column has no inactive users.
        enabled: row.boolean("is_active").map_err(|()| broken("is_active"))?.unwrap_or(true),
        scope,
        password_changed_at: row.seconds("password_changed_at").map_err(|()| broken("password_changed_at"))?,
        credential: password.as_deref().map(mark),
    };
    Ok(Account { name: Arc::from(name.as_str()), profile, password: password.map(Arc::from) })
}
