//! The only printer: results on standard output, everything else on standard error.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::cli::failure::{Exit, Failure};

/// Where a command's words go: the process's streams, or a buffer for whoever runs commands inside another program.
#[derive(Clone, Debug, Default)]
pub struct Output {
    kept: Option<Arc<Mutex<Words>>>,
}

/// What a command said.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// Keeps the words instead of printing them.
    #[must_use]
    pub fn keeping() -> Self {
        Self { kept: Some(Arc::default()) }
    }

    /// What was kept so far; nothing if words are printed.
    #[must_use]
    pub fn words(&self) -> Words {
        self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// One line of result.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        if let Some(kept) = &self.kept {
            let mut words = kept.lock().unwrap_or_else(PoisonError::into_inner);
            words.out.push_str(text);
            words.out.push('\n');
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// A remark for people: on standard error, so that it never mixes with a result.
    pub fn remark(&self, text: &str) {
        if let Some(kept) = &self.kept {
            let mut words = kept.lock().unwrap_or_else(PoisonError::into_inner);
            words.err.push_str(text);
            words.err.push('\n');
            return;
        }
        // Nobody is listening if standard error is closed; there is no other place to say so.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// One JSON document on one line.
    ///
    /// # Errors
    /// If the value does not serialise or standard output is closed.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        self.line(&text)
    }

    /// A table: columns as wide as their widest cell, two blanks between them.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn table(&self, header: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let width = |column: usize, title: &str| {
            let widest = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(title.chars().count())
        };
        let widths: Vec<usize> = header.iter().enumerate().map(|(column, title)| width(column, title)).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.line(&line(&mut header.iter().copied()))?;
        for row in rows {
            self.line(&line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}
