//! `mintgate hash-password`: the stored form of a password, for a file or a table of somebody else's.

use std::io::IsTerminal as _;

use crate::cli::Context;
use crate::cli::ask::{Ask, Console, PasswordFrom};
use crate::cli::failure::{Exit, Failure};
use crate::user::phc::{Cost, Memory, Phc};

/// The arguments: none. The password comes from standard input, or is asked for at a terminal.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Arguments {}

/// Prints the PHC string alone on a line.
///
/// # Errors
/// `Usage` for an empty or over-long password, `Failed` without randomness or memory.
pub fn run(arguments: Arguments, context: &Context<'_>) -> Result<(), Failure> {
    let from = if std::io::stdin().is_terminal() { PasswordFrom::Prompt } else { PasswordFrom::Stdin };
    run_asking(arguments, context, &mut Console, from)
}

/// As [`run`], with somebody else to ask.
///
/// # Errors
/// As [`run`].
pub fn run_asking(_: Arguments, context: &Context<'_>, ask: &mut dyn Ask, from: PasswordFrom) -> Result<(), Failure> {
    let password = ask.password(from)?;
    if password.is_empty() {
        return Err(Failure::new(Exit::Usage, "the password is empty"));
    }
    let phc = Phc::new(&password, Cost::DEFAULT, context.entropy, &mut Memory::default())
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    if context.json {
        return context.output.json(&serde_json::json!({ "password": phc.to_string() }));
    }
    context.output.line(&phc.to_string())
}
