//! The numbers of the revocation feed: a file beside the log that says where the next block begins.

use std::path::{Path, PathBuf};

use crate::ambient::document::{FileError, Locked};

/// The file's name in the state directory: one line, the first number that nobody was given, in decimal.
const FILE: &str = "revocations.next";

/// Sets numbers aside.
#[derive(Debug)]
pub(super) struct Numbers {
    path: PathBuf,
}

impl Numbers {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join(FILE) }
    }

    /// The first of `count` numbers, `least` or more; what follows them is on disk when this returns.
    pub(super) fn reserve(&self, least: u64, count: u64) -> Result<u64, FileError> {
        let file = Locked::acquire(&self.path)?;
        let next = match file.read()? {
            None => 0,
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| FileError::at(&self.path, &text, 0, "not a number; remove the file to go by the clock"))?,
        };
        let start = least.max(next);
        file.replace(&format!("{}\n", start.saturating_add(count)))?;
        Ok(start)
    }
}
