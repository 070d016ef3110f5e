//! `mintgate state`: what the running gateway remembers.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::app::door;
use crate::cli::Context;
use crate::cli::config::load;
use crate::cli::failure::{Exit, Failure};
use crate::cli::gateway::{Question, ask};
use crate::protocol::time::UnixSeconds;

/// What to do with the state.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show what the running gateway remembers: entries, bytes, buckets, the next expiry
    Show,
}

/// The answer of `GET /admin/state`.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    families: u64,
    jtis: u64,
    spent: u64,
    epochs: u64,
    entries_max: u64,
    buckets: u64,
    bytes: u64,
    #[serde(default)]
    log_bytes: u64,
    next_expiry: Option<UnixSeconds>,
}

/// Does it.
///
/// # Errors
/// `NotReady` if no gateway runs on this configuration.
pub fn run(command: &Command, context: &Context<'_>) -> Result<(), Failure> {
    match command {
        Command::Show => show(context),
    }
}

fn show(context: &Context<'_>) -> Result<(), Failure> {
    let directory = load(context)?.config.state.directory;
    let door = door::read(&directory).map_err(|error| {
        Failure::new(Exit::NotReady, format!("no gateway runs on {}: {error}", directory.display()))
            .hint("the state lives in the running gateway; start it with `mintgate serve`")
    })?;
    let question =
        Question { method: Method::GET, url: &door.url, path: "/admin/state", token: Some(&door.token), body: None };
    let (status, answer) = ask(&question)?;
    match status {
        StatusCode::OK => (),
        StatusCode::UNAUTHORIZED => return Err(Failure::new(Exit::Refused, "the admin token is not this gateway's")),
        other => return Err(Failure::new(Exit::Failed, format!("the gateway answered {other}"))),
    }
    if context.json {
        return context.output.json(&answer);
    }
    let shown: Shown = serde_json::from_value(answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {error}")))?;
    lines(&shown).iter().try_for_each(|line| context.output.line(line))
}

fn lines(shown: &Shown) -> Vec<String> {
    let entries = shown.families + shown.jtis + shown.spent + shown.epochs;
    let next = shown.next_expiry.map_or_else(|| "none".to_owned(), UnixSeconds::to_rfc3339);
    vec![
        format!("entries  {entries} of {} at most", shown.entries_max),
        format!("families {} that refreshed or were revoked", shown.families),
        format!("tokens   {} denied", shown.jtis),
        format!("ids      {} spent", shown.spent),
        format!("epochs   {} moved", shown.epochs),
        format!("buckets  {}, the next ends {next}", shown.buckets),
        format!("memory   {} bytes", shown.bytes),
        format!("log      {} bytes", shown.log_bytes),
    ]
}
