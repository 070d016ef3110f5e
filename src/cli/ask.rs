//! What a command asks of the person or the script in front of it: passwords and consent.

use std::io::{IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

use crate::cli::failure::{Exit, Failure};
use crate::user::password::PASSWORD_BYTES_MAX;

/// Where a password comes from. Never from the arguments: everybody can list those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFrom {
    /// Standard input, up to its end; one line end is dropped.
    Stdin,
    /// Typed twice at the terminal.
    Prompt,
}

/// Somebody to ask.
pub trait Ask {
    /// A new password.
    ///
    /// # Errors
    /// If there is nobody to ask, the two do not agree, or it is too long.
    fn password(&mut self, from: PasswordFrom) -> Result<Zeroizing<String>, Failure>;

    /// Whether to go on.
    ///
    /// # Errors
    /// If there is nobody to ask.
    fn confirm(&mut self, question: &str) -> Result<bool, Failure>;
}

/// The terminal and standard input of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl Ask for Console {
    fn password(&mut self, from: PasswordFrom) -> Result<Zeroizing<String>, Failure> {
        match from {
            PasswordFrom::Stdin => read_password(&mut std::io::stdin().lock()),
            PasswordFrom::Prompt if !std::io::stdin().is_terminal() => {
                Err(Failure::new(Exit::Usage, "there is no terminal to ask for the password")
                    .hint("give it on standard input: --password-stdin"))
            }
            PasswordFrom::Prompt => {
                let first = Zeroizing::new(rpassword::prompt_password("Password: ")?);
                let second = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
                if first != second {
                    return Err(Failure::new(Exit::Usage, "the two passwords differ"));
                }
                Ok(first)
            }
        }
    }

    fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, format!("{question} There is no terminal to ask"))
                .hint("say --yes if you mean it"));
        }
        let mut err = std::io::stderr().lock();
        write!(err, "{question} [y/N] ")?;
        err.flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok(matches!(line.trim(), "y" | "Y" | "yes"))
    }
}

/// Asks, unless `--yes` was given.
///
/// # Errors
/// `Refused` if the answer is no.
pub fn consent(ask: &mut dyn Ask, yes: Option<Yes>, question: &str) -> Result<(), Failure> {
    if yes.is_some() || ask.confirm(question)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "nothing was changed"))
}

/// `--yes` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yes;

impl Yes {
    /// From the flag.
    #[must_use]
    pub fn from_flag(flag: bool) -> Option<Self> {
        flag.then_some(Self)
    }
}

/// Reads a password up to the end of `input`; one line end behind it is dropped.
///
/// # Errors
/// If it is longer than [`PASSWORD_BYTES_MAX`] or not UTF-8.
pub fn read_password(input: &mut dyn std::io::Read) -> Result<Zeroizing<String>, Failure> {
    // As large as it gets from the start, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 4));
    input.take(PASSWORD_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, format!("a password has at most {PASSWORD_BYTES_MAX} bytes")));
    }
    match std::str::from_utf8(line) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::new(Exit::Usage, "the password is not UTF-8")),
    }
}
