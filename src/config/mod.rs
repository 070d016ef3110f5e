//! The configuration: as written (TOML, environment, flags), checked, and where each value came from.
//!
//! Every value has a safe default; an `issuer` is enough. Relative paths start at the configuration file's directory.

mod check;
pub mod error;
pub mod files;
mod issuer;
pub mod origin;
mod read;
pub mod reload;
mod status_list;
mod template;
mod users;
mod value;
mod verify;
mod written;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::issuer::{StatusListSettings, VerifySettings};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::id::Audience;
use crate::user::directory::sql;
use crate::user::hash::HashSettings;
use crate::user::slowdown::SlowdownSettings;

pub use crate::config::error::ConfigError;
pub use crate::config::issuer::check_issuer;
pub use crate::config::origin::{Origin, Setting};
pub use crate::config::template::template;

/// What every environment variable of ours starts with.
pub const ENVIRONMENT_PREFIX: &str = "MINTGATE_";
/// Variables that are ours but no settings.
const OTHER_VARIABLES: [&str; 3] = ["MINTGATE_CONFIG", "MINTGATE_VECTORS", "MINTGATE_LOG"];

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// The issuer identifier, byte for byte as written (RFC 8414 section 2).
    pub issuer: String,
    /// `[listen]`
    pub listen: Listen,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[refresh]`
    pub refresh: Refresh,
    /// `[keys]`
    pub keys: Keys,
    /// `[state]`
    pub state: State,
    /// `[users]`
    pub users: Users,
    /// `[clients]`
    pub clients: Clients,
    /// `[login]`
    pub login: Login,
    /// `[verify]`
    pub verify: Arc<VerifySettings>,
    /// `[status_list]`
    pub status_list: Arc<StatusListSettings>,
    /// `[compatibility]`
    pub compatibility: Compatibility,
    /// `[limits]`
    pub limits: Limits,
    /// `[tls]`, if a certificate is configured.
    pub tls: Option<Tls>,
    /// `[log]`
    pub log: Log,
}

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Everybody.
    pub public: SocketAddr,
    /// Health, metrics, administration; loopback unless the operator says otherwise.
    pub admin: SocketAddr,
}

/// The `typ` of an access token's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTyp {
    /// `at+jwt` (RFC 9068 section 2.1).
    AtJwt,
    /// `JWT`, for verifiers that take nothing else.
    Jwt,
}

/// Access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// What new tokens are signed with.
    pub algorithm: Algorithm,
    /// How long they live, unless the client's entry says otherwise. 1s to 24h.
    pub access_lifetime: Duration,
    /// The most any client or command may be given; retiring keys stay published that long. At most 24h.
    pub lifetime_max: Duration,
    /// Their `typ`.
    pub typ: TokenTyp,
    /// The audience of clients that are added without one.
    pub audience: Option<Audience>,
}

/// Refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// A token that is not used for this long ends.
    pub idle_lifetime: Duration,
    /// A login ends after this long, however often it is refreshed.
    pub absolute_lifetime: Duration,
    /// How long a retry of the last refresh gets the same answer. 0s to 60s.
    pub retry_window: Duration,
}

/// Signing and sealing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Where they are.
    pub directory: PathBuf,
    /// The algorithms that have an active key; [`Tokens::algorithm`] is one of them.
    pub algorithms: Vec<Algorithm>,
    /// How long a key signs.
    pub rotate_every: Duration,
    /// How long a key is published before it signs; less than `rotate_every`.
    pub publish_ahead: Duration,
    /// Who rotates.
    pub rotation: Rotation,
    /// What happens when a key is due and a verifier with a label has not fetched it.
    pub behind: Behind,
    /// The longest time that such a key waits. At most 30d.
    pub behind_wait_max: Duration,
    /// Most verifiers remembered; one more, and the one that was not seen for longest falls out.
    pub verifiers_max: usize,
    /// A verifier that was not seen for this long is forgotten. No less than `publish_ahead`.
    pub verifiers_forgotten_after: Duration,
}

/// What a key that is due does while a known verifier lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// It takes over, and the log names the verifier.
    Warn,
    /// It waits for `behind_wait_max` at most; then as with `Warn`.
    Wait,
}

/// Who starts a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The server, by `rotate_every`.
    Automatic,
    /// `mintgate keys rotate` alone.
    Manual,
}

/// When a change goes to disk. It counts as done when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once, with whatever else is waiting.
    Always,
    /// After at most two milliseconds, in which others may join: fewer syncs.
    Batch,
    /// Never: a restart forgets.
    None,
}

/// The denylist and its relatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the log is.
    pub directory: PathBuf,
    /// When a change counts as done.
    pub durability: Durability,
    /// Most entries; one more is answered 503.
    pub entries_max: usize,
}

/// Where users come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// `users.toml`.
    pub file: PathBuf,
    /// The database, if they come from one; then nothing is read from the file.
    pub sql: Option<sql::Settings>,
}

/// Where clients come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// `clients.toml`.
    pub file: PathBuf,
}

/// Log-ins with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The hash pool.
    pub hash: HashSettings,
    /// How guessing is slowed down.
    pub slowdown: SlowdownSettings,
}

/// What is offered for old clients only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// The password grant (RFC 9700 section 2.4 says: do not).
    pub password_grant: bool,
}

/// The bounds of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body.
    pub body_bytes_max: usize,
    /// Largest request head, all headers together.
    pub header_bytes_max: usize,
    /// Most headers in a request.
    pub headers_max: usize,
    /// Most connections at a time.
    pub connections_max: usize,
    /// Most requests worked on at a time; one more is answered 503.
    pub in_flight_max: usize,
    /// Most followers of the revocation feed that wait or are streamed to at a time; one more is answered 503.
    pub followers_max: usize,
    /// A request's headers arrive within this.
    pub header_timeout: Duration,
    /// A request's body arrives within this.
    pub body_timeout: Duration,
    /// A connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// Between "not ready" and "no new connections" when stopping: time for the balancer.
    pub shutdown_delay: Duration,
    /// Requests in flight have this long to end when stopping.
    pub shutdown_grace: Duration,
}

/// TLS on the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// And what will become one.
    Warn,
    /// And the life of the server.
    Info,
    /// And each request.
    Debug,
    /// And its inside.
    Trace,
}

/// The log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its form.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

/// What stands above the file: flags over environment over file over defaults.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The environment variables that start with [`ENVIRONMENT_PREFIX`].
    pub environment: BTreeMap<String, String>,
    /// Values given as flags, by `section.key` (or `issuer`).
    pub flags: BTreeMap<String, String>,
}

impl Inputs {
    /// The environment of this process, no flags.
    #[must_use]
    pub fn from_process() -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(ENVIRONMENT_PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self { environment: ours.collect(), flags: BTreeMap::new() }
    }

    /// Adds a value given as a flag: `with_flag("listen.public", "127.0.0.1:0")`.
    #[must_use]
    pub fn with_flag(mut self, key: &str, value: impl Into<String>) -> Self {
        self.flags.insert(key.to_owned(), value.into());
        self
    }
}

/// A checked configuration and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Each value and where it came from, in the order of the sections.
    pub settings: Vec<Setting>,
    /// What is allowed but worth a line in the log.
    pub warnings: Vec<String>,
}

/// Reads and checks the configuration. Touches no other file.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong: file, line, column, what was expected, what was probably meant.
pub fn load(path: &Path, inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let text = written::read(path)?;
    check(path, &text, inputs)
}

/// As [`load`], of a text that was read already; `path` is where relative paths begin and what errors name.
///
/// # Errors
/// As there.
pub fn check(path: &Path, text: &str, inputs: &Inputs) -> Result<Loaded, ConfigError> {
    check::check(path, text, inputs)
}
