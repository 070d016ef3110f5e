//! `mintgate completions` and `mintgate man`: what packages install beside the binary.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man as Page;

use crate::cli::failure::{Exit, Failure};
use crate::cli::{Arguments, Context};

/// For which shell.
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Man {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints a completion script.
///
/// # Errors
/// If standard output is closed.
pub fn completions(args: &Completions, context: &Context<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "mintgate", &mut script);
    context.output.line(String::from_utf8_lossy(&script).trim_end())
}

/// Prints the manual page, or writes one for each command.
///
/// # Errors
/// `Failed` if a page cannot be written.
pub fn man(args: &Man, context: &Context<'_>) -> Result<(), Failure> {
    let command = Arguments::command();
    let Some(directory) = &args.out else {
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        return context.output.line(String::from_utf8_lossy(&page).trim_end());
    };
    clap_mangen::generate_to(command, directory)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", directory.display())))?;
    context.output.line(&format!("wrote the manual pages to {}", directory.display()))
}
