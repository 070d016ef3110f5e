//! A small TOML file that people and commands both edit: read whole, locked while edited, replaced whole.
//!
//! A reader sees the old text or the new one, never a part: the new text goes to a temporary file in the same
//! directory, is made durable, and takes the old one's name. Comments and order of the entries are kept.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

/// Largest file read: 64 MiB, some 200,000 users.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// How often a busy lock is tried, [`LOCK_PAUSE`] apart: five seconds together.
const LOCK_TRIES_MAX: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Only the owner reads and writes: the files hold password hashes and secret digests.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Why a file cannot be used. Never carries the file's text: it may hold password hashes.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{}: no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses to read it.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses to write it.
    #[error("{}: cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error("{}: larger than {} MiB", path.display(), FILE_BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has been editing it for five seconds.
    #[error("{}: another command is editing this file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Its text is not what it should be.
    #[error("{}:{line}:{column}: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong and what was expected.
        detail: String,
    },
}

impl FileError {
    /// A complaint about the byte at `offset` of `text`.
    #[must_use]
    pub fn at(path: &Path, text: &str, offset: usize, detail: impl Into<String>) -> Self {
        let (line, column) = position(text, offset);
        Self::Malformed { path: path.to_owned(), line, column, detail: detail.into() }
    }

    /// The TOML reader's complaint, without the excerpt it would print: the line may hold a hash.
    #[must_use]
    pub fn toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start);
        Self::at(path, text, offset, error.message().replace('\n', "; "))
    }
}

/// Line and column, both counted from 1, of the byte at `offset`; the column counts characters.
#[must_use]
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before: String = text.char_indices().take_while(|(at, _)| *at < offset).map(|(_, c)| c).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

/// Reads a whole file.
///
/// # Errors
/// [`FileError`] for a file that is absent, unreadable, too large, or not UTF-8.
pub fn read(path: &Path) -> Result<String, FileError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => FileError::Unreadable { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
        FileError::at(path, &text, valid, "not UTF-8 from here on")
    })
}

/// What tells one version of a file from another without reading it: device, inode, size, times of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub [u64; 6]);

impl From<rustix::fs::Stat> for Stamp {
    #[allow(clippy::unnecessary_cast, reason = "the widths of these fields differ between platforms")]
    fn from(facts: rustix::fs::Stat) -> Self {
        Self([
            facts.st_dev as u64,
            facts.st_ino as u64,
            facts.st_size as u64,
            facts.st_mtime as u64,
            facts.st_mtime_nsec as u64,
            (facts.st_ctime as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.st_ctime_nsec as u64),
        ])
    }
}

/// The stamp of a file, links followed; `None` if there is none, or it cannot be looked at.
#[must_use]
pub fn stamp(path: &Path) -> Option<Stamp> {
    rustix::fs::stat(path).ok().map(Stamp::from)
}

/// Whether an edit is carried out or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Replace the file.
    Write,
    /// Do everything but replace the file (`--dry-run`).
    DryRun,
}

/// Holds the advisory lock of a file's directory while the file is read, changed and replaced.
///
/// The lock sits on the directory, because the file itself is another file after each edit.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    directory: File,
}

impl Locked {
    /// Waits for the lock, at most five seconds. A symbolic link is followed: its target is what gets replaced.
    ///
    /// # Errors
    /// `Busy` if another command keeps the lock, `Unwritable` if the directory cannot be opened.
    pub fn acquire(path: &Path) -> Result<Self, FileError> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let unwritable = |source: io::Error| FileError::Unwritable { path: path.clone(), source };
        let directory = File::open(directory_of(&path)).map_err(unwritable)?;
        for _ in 0..LOCK_TRIES_MAX {
            match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { path, directory }),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(unwritable(error.into())),
            }
        }
        Err(FileError::Busy { path })
    }

    /// The file's text; `None` if it does not exist yet.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self) -> Result<Option<String>, FileError> {
        match read(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file: when this returns, the new text is durable and has mode 0600.
    ///
    /// # Errors
    /// `Unwritable`; the old text is still there then.
    pub fn replace(&self, text: &str) -> Result<(), FileError> {
        self.try_replace(text).map_err(|source| FileError::Unwritable { path: self.path.clone(), source })
    }

    fn try_replace(&self, text: &str) -> io::Result<()> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // One temporary name for each file: whoever holds the lock may remove what a crash left behind.
        let temporary = directory_of(&self.path).join(format!(".{}.new", name.to_string_lossy()));
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&temporary, flags, FILE_MODE)?);
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, &self.path)) {
            // The edit has failed already; a left-over is removed by the next one.
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
        self.directory.sync_all()
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The array of tables called `name`, made if it is not there.
///
/// # Errors
/// A sentence, if something else has that name.
pub fn tables<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut ArrayOfTables, String> {
    let item = document.entry(name).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    // `client = []` means the same as no `[[client]]` at all.
    if item.as_array().is_some_and(toml_edit::Array::is_empty) {
        *item = Item::ArrayOfTables(ArrayOfTables::new());
    }
    item.as_array_of_tables_mut().ok_or_else(|| format!("write each entry as its own [[{name}]] table"))
}

/// Appends an entry; a comment that stood alone in the file stays on top.
///
/// # Errors
/// As [`tables`].
pub fn push(document: &mut DocumentMut, name: &str, mut table: Table) -> Result<(), String> {
    let above = if tables(document, name)?.is_empty() {
        let comments = document.trailing().as_str().unwrap_or_default().trim_end().to_owned();
        document.set_trailing("");
        if comments.is_empty() { String::new() } else { format!("{comments}\n\n") }
    } else {
        "\n".to_owned()
    };
    table.decor_mut().set_prefix(above);
    tables(document, name)?.push(table);
    Ok(())
}

/// Removes the entry whose `key` is `value`; a comment at the top of the file stays. Says whether there was one.
///
/// # Errors
/// As [`tables`].
pub fn remove(document: &mut DocumentMut, name: &str, key: &str, value: &str) -> Result<bool, String> {
    let entries = tables(document, name)?;
    let is_it = |table: &Table| table.get(key).and_then(Item::as_str) == Some(value);
    let mut heading = None;
    if let Some(first) = entries.get(0).filter(|table| is_it(table)) {
        let prefix = first.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default();
        heading = prefix.rsplit_once("\n\n").map(|(heading, _)| format!("{heading}\n\n"));
    }
    let before = entries.len();
    entries.retain(|table| !is_it(table));
    let removed = entries.len() < before;
    if let Some(heading) = heading {
        match entries.get_mut(0) {
            Some(next) => {
                let own = next.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
                next.decor_mut().set_prefix(format!("{heading}{}", own.trim_start_matches('\n')));
            }
            None => document.set_trailing(heading),
        }
    }
    Ok(removed)
}

/// The entry whose `key` is `value`.
///
/// # Errors
/// As [`tables`].
pub fn find<'a>(
    document: &'a mut DocumentMut,
    name: &str,
    key: &str,
    value: &str,
) -> Result<Option<&'a mut Table>, String> {
    Ok(tables(document, name)?.iter_mut().find(|table| table.get(key).and_then(Item::as_str) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_in_characters() {
        let text = "a\n\u{e9}b\nc";
        for (offset, expected) in [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (4, (2, 2)), (6, (3, 1)), (99, (3, 2))] {
            assert_eq!(position(text, offset), expected, "{offset}");
        }
    }

    #[test]
    fn a_heading_stays_on_top() {
        let entry = |id: &str| {
            let mut table = Table::new();
            table.insert("id", toml_edit::value(id));
            table
        };
        let mut document: DocumentMut = "# heading\n".parse().expect("TOML");
        push(&mut document, "x", entry("a")).expect("pushed");
        push(&mut document, "x", entry("b")).expect("pushed");
        assert_eq!(document.to_string(), "# heading\n\n[[x]]\nid = \"a\"\n\n[[x]]\nid = \"b\"\n");
        assert_eq!(remove(&mut document, "x", "id", "a"), Ok(true));
        assert_eq!(document.to_string(), "# heading\n\n[[x]]\nid = \"b\"\n");
        assert_eq!(remove(&mut document, "x", "id", "b"), Ok(true));
        assert_eq!(document.to_string(), "# heading\n\n");
        assert_eq!(remove(&mut document, "x", "id", "b"), Ok(false));
        assert!(tables(&mut "x = 1".parse().expect("TOML"), "x").is_err());
    }
}
