//! What is wrong with a configuration, told so that the reader can mend it at once: at most one screen.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::ambient::document::position;

/// Most lines shown; what does not fit is counted.
const LINES_MAX: usize = 22;
/// Most characters of an offending line shown.
const EXCERPT_CHARS_MAX: usize = 100;
/// A line with one of these is not shown: somebody took a file of secrets for the configuration.
const SECRET_MARKS: [&str; 4] = ["$argon2", "mgs_", "mgr_", "PRIVATE KEY"];

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// How many characters to mark.
        width: usize,
        /// The whole line; empty if it must not be shown.
        excerpt: String,
    },
    /// In an environment variable.
    Environment(String),
    /// In a flag, by the key it sets.
    Flag(String),
    /// The value is missing altogether, or the file as a whole is meant.
    Whole,
}

impl Place {
    /// The place of `span` in `text`.
    #[must_use]
    pub fn in_file(text: &str, span: &Range<usize>) -> Self {
        let (line, column) = position(text, span.start);
        let excerpt = text.lines().nth(line - 1).unwrap_or_default().replace('\t', " ");
        let shown = !SECRET_MARKS.iter().any(|mark| excerpt.contains(mark)) && column <= EXCERPT_CHARS_MAX;
        let marked = text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        let excerpt = if shown { excerpt.chars().take(EXCERPT_CHARS_MAX).collect() } else { String::new() };
        Self::File { line, column, width: marked.chars().count().clamp(1, EXCERPT_CHARS_MAX - column.min(99)), excerpt }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// What was probably meant, or what to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    #[must_use]
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    /// Adds what was probably meant.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn lines(&self, path: &Path) -> Vec<String> {
        let mut lines = Vec::with_capacity(5);
        match &self.place {
            Place::File { line, column, width, excerpt } => {
                lines.push(format!("{}:{line}:{column}: {}", path.display(), self.message));
                if !excerpt.is_empty() {
                    let margin = " ".repeat(line.to_string().len());
                    lines.push(format!(" {line} | {excerpt}"));
                    lines.push(format!(" {margin} | {}{}", " ".repeat(column - 1), "^".repeat(*width)));
                }
            }
            Place::Environment(name) => lines.push(format!("environment variable {name}: {}", self.message)),
            Place::Flag(key) => lines.push(format!("flag for {key}: {}", self.message)),
            Place::Whole => lines.push(format!("{}: {}", path.display(), self.message)),
        }
        lines.extend(self.hint.iter().map(|hint| format!("   = {hint}")));
        lines
    }
}

/// Everything that is wrong with one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file.
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        let mut lines: Vec<String> = Vec::new();
        for problem in &self.problems {
            let more = problem.lines(&self.path);
            if !lines.is_empty() && lines.len() + more.len() > LINES_MAX {
                break;
            }
            lines.extend(more);
            shown += 1;
        }
        if let hidden @ 1.. = self.problems.len() - shown {
            lines.push(format!("and {hidden} more"));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}
