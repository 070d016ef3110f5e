//! The command line: one file a noun; `output` is the only printer.

pub mod failure;
pub mod output;
pub mod token;

use std::path::PathBuf;

use crate::ambient::{Clock, Entropy};
use crate::cli::output::Output;

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
