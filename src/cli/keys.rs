//! `mintgate keys`: look at the keys, and move them through their life.

mod census;
mod change;
mod doctor;
mod exchange;
mod look;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::keys::Settings;
use crate::keys::backend::file::FileBackend;
use crate::keys::backend::{BackendError, KeyBackend as _};
use crate::keys::change::ChangeError;
use crate::keys::lifecycle::{KeyRecord, KeyUse};
use crate::keys::manifest::Manifest;
use crate::protocol::algorithm::Algorithm;

/// Fewest characters that may stand for a key id.
const PREFIX_CHARS_MIN: usize = 6;

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys: what each is for, where it stands, what comes next
    List,
    /// Show everything about a key, except its private part
    Show(Named),
    /// Make a key; it signs at once if none of its algorithm does, else it is prepared
    Generate(Make),
    /// Make a key and publish it; it takes over when its predecessor is due, or by `activate`
    Prepare(Make),
    /// Let a prepared key take over (or a retiring one come back)
    Activate(Activate),
    /// Replace the active key: prepare its successor now, activate it once every cache knows it
    Rotate(Rotate),
    /// End a key whose tokens have ended; its private part is deleted
    Retire(Retire),
    /// Declare a key leaked: out of the key set at once, its tokens refused, another key takes over
    Taint(Taint),
    /// Bring a private key from elsewhere: PEM (PKCS#8, PKCS#1, SEC1), DER, or JWK
    Import(Import),
    /// Print the public key set, or a key
    Export(Export),
    /// Ask the running gateway who has fetched which key set, and who is behind
    Census,
    /// Look for trouble: permissions, missing and stray files, overdue rotation, wrong clock
    Doctor,
}

/// A command about one key.
#[derive(Debug, Args)]
pub struct Named {
    /// The key id, or at least its first six characters
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
}

/// Which kind of key.
#[derive(Debug, Args)]
pub struct Kind {
    /// The signature algorithm: ES256, ES384 or EdDSA [default: the first one configured]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<Algorithm>,
    /// The key that seals refresh tokens, instead of a signing key
    #[arg(long, conflicts_with = "algorithm")]
    sealing: bool,
}

/// `generate` and `prepare`.
#[derive(Debug, Args)]
pub struct Make {
    #[command(flatten)]
    kind: Kind,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Whether to do it or only to say it.
#[derive(Debug, Args)]
pub struct Rehearsal {
    /// Say what would happen; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// `activate`.
#[derive(Debug, Args)]
pub struct Activate {
    #[command(flatten)]
    key: Named,
    /// Even if caches may not know the key yet, or verifiers are known to lack it: verifications fail until they look
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// `rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    kind: Kind,
    /// Activate at once; caches may not know the new key yet. The old key goes on verifying: `taint` ends it
    #[arg(long)]
    now: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// `retire`.
#[derive(Debug, Args)]
pub struct Retire {
    #[command(flatten)]
    key: Named,
    /// Even if tokens it signed may be alive: they will be refused
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// `taint`.
#[derive(Debug, Args)]
pub struct Taint {
    #[command(flatten)]
    key: Named,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The file, or `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The key id, or at least its first six characters [default: the whole public set; with --format pem the active key]
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: Option<String>,
    /// The public part (the default)
    #[arg(long, conflicts_with = "private")]
    public: bool,
    /// The private part: whoever has it can sign in this gateway's name
    #[arg(long, requires = "kid")]
    private: bool,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Jwk)]
    format: Format,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON Web Key (RFC 7517)
    Jwk,
    /// PEM: PKCS#8, or SubjectPublicKeyInfo for a public key
    Pem,
}

/// Carries out a command on the configured key directory. `state` is where a running gateway is found, to be asked
/// who is behind.
///
/// # Errors
/// A [`Failure`]: `NotFound` for an unknown key, `Refused` for a move that would break tokens or verifiers,
/// `Conflict` for a key that is there already or a set that somebody else is changing, `Usage` where a question
/// could not be asked, `NotReady` if the census has no running gateway to ask.
pub fn run(command: Command, context: &Context, settings: &Settings, state: &Path) -> Result<(), Failure> {
    let desk = Desk { context, settings, state, backend: FileBackend::new(&settings.directory) };
    match command {
        Command::List => look::list(&desk),
        Command::Show(named) => look::show(&desk, &named.kid),
        Command::Generate(make) => change::generate(&desk, &make),
        Command::Prepare(make) => change::prepare(&desk, &make),
        Command::Activate(order) => change::activate(&desk, &order),
        Command::Rotate(order) => change::rotate(&desk, &order),
        Command::Retire(order) => change::retire(&desk, &order),
        Command::Taint(order) => change::taint(&desk, &order),
        Command::Import(order) => exchange::import(&desk, &order),
        Command::Export(order) => exchange::export(&desk, &order),
        Command::Census => census::run(&desk),
        Command::Doctor => doctor::run(&desk),
    }
}

/// What every keys command works with.
struct Desk<'a> {
    context: &'a Context<'a>,
    settings: &'a Settings,
    state: &'a Path,
    backend: FileBackend,
}

impl Desk<'_> {
    fn manifest(&self) -> Result<Manifest, Failure> {
        Ok(self.backend.manifest()?)
    }

    /// The use that `--algorithm` or `--sealing` names.
    fn usage(&self, kind: &Kind) -> Result<KeyUse, Failure> {
        if kind.sealing {
            return Ok(KeyUse::Seal);
        }
        let algorithm = kind.algorithm.or_else(|| self.settings.algorithms.first().copied());
        algorithm
            .map(KeyUse::Sign)
            .ok_or_else(|| Failure::new(Exit::Usage, "no algorithm is configured; name one: --algorithm ES256"))
    }

    /// Asks before something is destroyed.
    fn confirm(&self, yes: bool, question: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, question).hint("nobody is here to ask; add --yes to do it"));
        }
        self.context.output.remark(&format!("{question} Type `yes` to go on:"));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(Exit::Failed, "nothing was changed")) }
    }
}

/// The key that an id or its beginning names.
fn find<'a>(records: &'a [KeyRecord], text: &str) -> Result<&'a KeyRecord, Failure> {
    if let Some(exact) = records.iter().find(|record| record.id.as_str() == text) {
        return Ok(exact);
    }
    if text.chars().count() < PREFIX_CHARS_MIN {
        let message = format!("`{text}` is too short for a key id; give at least {PREFIX_CHARS_MIN} characters");
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut matching = records.iter().filter(|record| record.id.as_str().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Failure::new(Exit::NotFound, format!("there is no key {text}")).hint("mintgate keys list")),
        (Some(_), Some(_)) => {
            Err(Failure::new(Exit::Usage, format!("several keys begin with {text}; give more of it")))
        }
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let code = match &error {
            BackendError::NotInitialised(_) | BackendError::Missing(_) => Exit::NotFound,
            BackendError::Exists(_) | BackendError::Busy(_) => Exit::Conflict,
            BackendError::TooOpen { .. } | BackendError::NotAFile(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Backend(error) => error.into(),
            ChangeError::Forbidden(error) => Self::new(Exit::Refused, error.to_string()),
            ChangeError::Exists(..) => Self::new(Exit::Conflict, error.to_string()),
            ChangeError::Key(error) => Self::new(Exit::Usage, error.to_string()),
        }
    }
}
