//! `mintgate doctor`: looks at what others run.

pub mod cases;
pub mod issuer;
pub mod verifier;
pub mod visit;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::failure::Failure;

/// `mintgate doctor ...`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a deployed verifier good and bad tokens, and list what it wrongly accepts or refuses
    #[command(after_help = verifier::AFTER_HELP)]
    Verifier(verifier::Args),
}

/// Runs a command.
///
/// # Errors
/// As the command says.
pub fn run(command: &Command, context: &Context<'_>) -> Result<(), Failure> {
    match command {
        Command::Verifier(args) => verifier::run(args, context),
    }
}
