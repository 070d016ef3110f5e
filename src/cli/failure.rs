//! How a command fails: an exit code, a sentence, and the next step.

use std::fmt;

/// Exit codes (stable; scripts rely on them). 0 is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something went wrong that is neither of the others.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The server is not ready.
    NotReady = 3,
    /// Refused: a bad token, or policy.
    Refused = 4,
    /// Not found.
    NotFound = 5,
    /// Conflict: it exists already, or somebody else changed it.
    Conflict = 6,
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The process's exit code.
    pub code: Exit,
    /// What and where.
    pub message: String,
    /// The next step, if there is one to name.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(code: Exit, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
