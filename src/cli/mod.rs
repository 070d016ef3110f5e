//! The command line: one file a noun; `output` is the only printer.

pub mod ask;
pub mod clients;
pub mod config;
pub mod dev;
pub mod failure;
pub mod gateway;
pub mod gen_config;
pub mod hash_password;
pub mod health;
pub mod init;
pub mod keys;
pub mod output;
pub mod pages;
pub mod revoke;
pub mod serve;
pub mod state;
pub mod token;
pub mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::ambient::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::app::settings;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::client::registry::Registry;
use crate::keys::Keyring;

/// What every command gets.
pub struct Context<'a> {
    /// `--config`; the default is `./mintgate.toml`.
    pub config_path: PathBuf,
    /// `--json`.
    pub json: bool,
    /// The printer.
    pub output: Output,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The randomness.
    pub entropy: &'a dyn Entropy,
}

/// Signs short-lived JWTs that everybody verifies locally, and rotates refresh tokens.
#[derive(Debug, Parser)]
#[command(name = "mintgate", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Try it: mintgate dev\nExit codes: 0 done, 1 failed, 2 usage or configuration, 3 not ready, \
                        4 refused, 5 not found, 6 conflict")]
pub struct Arguments {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", env = "MINTGATE_CONFIG", default_value = "mintgate.toml")]
    config: PathBuf,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it out: temporary data, a key, two clients, a user; prints curl lines to paste
    Dev(dev::Args),
    /// Make a directory to serve from: configuration, keys, files for users and clients
    Init(init::Args),
    /// Serve
    Serve,
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Look at the keys, rotate them, bring and take them
    #[command(subcommand)]
    Keys(keys::Command),
    /// Add, list, change and remove users
    #[command(subcommand)]
    Users(users::Command),
    /// Add, list, change and remove clients
    #[command(subcommand)]
    Clients(clients::Command),
    /// Mint, inspect, verify, explain or revoke a token
    #[command(subcommand)]
    Token(token::Command),
    /// Revoke a login, all logins of a user, everything of a client, or one access token
    Revoke(revoke::Args),
    /// Print working configuration for a proxy or a service that protects a route with mintgate
    GenConfig(gen_config::Args),
    /// Show what the running gateway remembers
    #[command(subcommand)]
    State(state::Command),
    /// Hash a password as users.toml stores it
    HashPassword(hash_password::Arguments),
    /// Ask a running gateway whether it is ready
    Health(health::Args),
    /// Print a completion script for a shell
    Completions(pages::Completions),
    /// Print the manual page, or write all of them
    Man(pages::Man),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (clock, entropy) = (SystemClock::new(), SystemEntropy);
    let context = Context {
        config_path: arguments.config,
        json: arguments.json,
        output: Output::default(),
        clock: &clock,
        entropy: &entropy,
    };
    match run(arguments.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            context.output.remark(&format!("mintgate: {failure}"));
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(command: Command, context: &Context<'_>) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => dev::run(&args, context),
        Command::Init(args) => init::run(&args, context),
        Command::Serve => serve::run(context),
        Command::Config(command) => config::run(command, context, &|config| {
            Keyring::load(&settings::keys(config)).map(|_| ()).map_err(|error| vec![error.to_string()])
        }),
        Command::Keys(command) => {
            let loaded = config::load(context)?;
            keys::run(command, context, &settings::keys(&loaded.config), &loaded.config.state.directory)
        }
        Command::Users(command) => users::run(command, context),
        Command::Clients(command) => clients::run(command, context),
        Command::Token(command) => token_command(&command, context),
        Command::Revoke(args) => revoke::run(&args, context),
        Command::GenConfig(args) => gen_config::run(&args, context),
        Command::State(command) => state::run(&command, context),
        Command::HashPassword(arguments) => hash_password::run(arguments, context),
        Command::Health(args) => health::run(&args, context),
        Command::Completions(args) => pages::completions(&args, context),
        Command::Man(args) => pages::man(&args, context),
    }
}

/// Reads what a token command needs; `token inspect` needs nothing, so it works where there is no configuration.
fn token_command(command: &token::Command, context: &Context<'_>) -> Result<(), Failure> {
    if !command.needs_configuration() {
        return token::run(command, context, None);
    }
    let config = config::load(context)?.config;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, error.to_string());
    let keyring = Keyring::load(&settings::keys(&config)).map_err(|error| failed(&error))?;
    let clients = Registry::read_or_empty(&config.clients.file).map_err(|error| failed(&error))?;
    let keys = keyring.current();
    let policy = settings::issuer(&config);
    let deps = token::Deps {
        issuer: &config.issuer,
        signer: keys.signer(config.tokens.algorithm).map(AsRef::as_ref),
        keys: keys.as_ref(),
        client: &|id| clients.find(id).cloned(),
        limits: policy.limits,
        access_lifetime: config.tokens.access_lifetime,
        typ: policy.typ,
    };
    token::run(command, context, Some(&deps))
}

/// A runtime for the commands that need one.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start the runtime: {error}")))
}
