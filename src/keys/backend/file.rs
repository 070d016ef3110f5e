//! Keys in a directory: `keyset.json` and one file for each private part.
//!
//! Writing: a temporary file, its fsync, a rename, the directory's fsync. Private parts are written before the manifest
//! names them and deleted after it has stopped to, so a crash leaves at most a file too many, never one too few.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::keys::backend::{BackendError, KeyBackend, Lock, Patience, Stamp, file_name};
use crate::keys::import;
use crate::keys::lifecycle::{KeyRecord, KeyUse};
use crate::keys::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::protocol::base64url;

/// The manifest's file name.
pub const MANIFEST_NAME: &str = "keyset.json";
/// Where platforms that swap whole directories (Kubernetes) keep the current content.
const SWAPPED: &str = "..data";
const TEMPORARY_SUFFIX: &str = ".tmp";
const LOCK_ATTEMPTS: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A directory of keys.
#[derive(Clone, Debug)]
pub struct FileBackend {
    directory: PathBuf,
}

/// What lies in the directory, for `keys doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file name.
    pub name: String,
    /// The permission bits.
    pub mode: u32,
    /// The owner's user id.
    pub owner: u32,
}

impl FileBackend {
    /// Keys in this directory; it need not exist yet.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory as it was configured.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory and its parents, for the owner alone. One that exists is left as it is.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(&self) -> Result<(), BackendError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.directory).map_err(|error| BackendError::Io { path: self.directory.clone(), error })
    }

    /// Every file in the directory, hidden ones too, sorted by name.
    ///
    /// # Errors
    /// `Io`.
    pub fn entries(&self) -> Result<Vec<Entry>, BackendError> {
        let (_, path) = self.open()?;
        let io = |error| BackendError::Io { path: path.clone(), error };
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let facts = entry.metadata().map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, mode: facts.mode() & 0o7777, owner: facts.uid() });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The permission bits of the directory itself.
    ///
    /// # Errors
    /// `Io`.
    pub fn directory_mode(&self) -> Result<u32, BackendError> {
        let facts = std::fs::metadata(&self.directory);
        facts
            .map(|facts| facts.mode() & 0o7777)
            .map_err(|error| BackendError::Io { path: self.directory.clone(), error })
    }

    /// Opens the directory that holds the files now, links in its own path resolved: a platform that swaps links
    /// gives each reader one whole version.
    fn open(&self) -> Result<(OwnedFd, PathBuf), BackendError> {
        let io = |path: &Path, error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => BackendError::NotInitialised(self.directory.clone()),
            _ => BackendError::Io { path: path.to_owned(), error },
        };
        let swapped = self.directory.join(SWAPPED);
        let path = std::fs::canonicalize(&swapped).or_else(|_| std::fs::canonicalize(&self.directory));
        let path = path.map_err(|error| io(&self.directory, error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| io(&path, error.into()))?;
        Ok((fd, path))
    }

    fn open_for_writing(&self) -> Result<(OwnedFd, PathBuf), BackendError> {
        if std::fs::symlink_metadata(self.directory.join(SWAPPED)).is_ok() {
            return Err(BackendError::Managed(self.directory.clone()));
        }
        self.open()
    }

    /// Reads a plain file whose permission bits outside `allowed` are clear.
    fn read(&self, name: &str, bytes_max: usize, kind: Kind) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let (directory, path) = self.open()?;
        let path = path.join(name);
        // Never through a link, and never waiting for a pipe's other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Err(BackendError::Missing(path)),
            Err(Errno::LOOP) => return Err(BackendError::NotAFile(path)),
            Err(error) => return Err(BackendError::Io { path, error: error.into() }),
        };
        let facts = file.metadata().map_err(|error| BackendError::Io { path: path.clone(), error })?;
        if !facts.is_file() {
            return Err(BackendError::NotAFile(path));
        }
        kind.check(&path, facts.mode() & 0o7777)?;
        let length = usize::try_from(facts.len()).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(BackendError::TooLarge(path));
        }
        // The room is reserved at once, so no half-read copy of a secret is left behind by a growing buffer.
        let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
        let read = file.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| BackendError::Io { path: path.clone(), error })?;
        if bytes.len() > bytes_max {
            return Err(BackendError::TooLarge(path));
        }
        Ok(bytes)
    }

    /// Puts `bytes` in the place of a file, whole or not at all.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        let (directory, path) = self.open_for_writing()?;
        let temporary = format!(".{name}{TEMPORARY_SUFFIX}");
        let io = |error: std::io::Error| BackendError::Io { path: path.join(name), error };
        let put = || -> Result<(), std::io::Error> {
            // Left over from a crash; we hold the lock, so nobody is writing it.
            match rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR;
            let mut file = File::from(rustix::fs::openat(&directory, &temporary, flags, mode)?);
            rustix::fs::fchmod(&file, mode)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            rustix::fs::renameat(&directory, &temporary, &directory, name)?;
            rustix::fs::fsync(&directory)?;
            Ok(())
        };
        put().map_err(|error| {
            // The first error is the one to report; the leftover is harmless and replaced by the next write.
            let _ = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
            io(error)
        })
    }
}

/// What a file may be to others.
#[derive(Clone, Copy)]
enum Kind {
    /// Nobody else reads it.
    Private,
    /// Nobody else writes it.
    Manifest,
}

impl Kind {
    fn check(self, path: &Path, mode: u32) -> Result<(), BackendError> {
        let (forbidden, danger, fix) = match self {
            Self::Private => (0o077, "read", 0o600),
            Self::Manifest => (0o022, "change", 0o600),
        };
        if mode & forbidden == 0 {
            return Ok(());
        }
        Err(BackendError::TooOpen { path: path.to_owned(), mode, danger, fix })
    }
}

struct Held {
    /// The advisory lock lives as long as this descriptor.
    _directory: OwnedFd,
}

impl Lock for Held {}

impl KeyBackend for FileBackend {
    fn stamp(&self) -> Result<Stamp, BackendError> {
        let (directory, path) = self.open()?;
        match rustix::fs::statat(&directory, MANIFEST_NAME, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(facts) => Ok(facts.into()),
            Err(Errno::NOENT) => Err(BackendError::NotInitialised(path)),
            Err(error) => Err(BackendError::Io { path: path.join(MANIFEST_NAME), error: error.into() }),
        }
    }

    fn manifest(&self) -> Result<Manifest, BackendError> {
        let bytes = self.read(MANIFEST_NAME, MANIFEST_BYTES_MAX, Kind::Manifest).map_err(|error| match error {
            BackendError::Missing(_) => BackendError::NotInitialised(self.directory.clone()),
            other => other,
        })?;
        Manifest::from_bytes(&bytes)
            .map_err(|error| BackendError::Manifest { path: self.directory.join(MANIFEST_NAME), error })
    }

    fn private(&self, record: &KeyRecord) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let name = file_name(record);
        let bytes = self.read(&name, import::FILE_BYTES_MAX, Kind::Private)?;
        let wrong = |why: String| BackendError::Key { path: self.directory.join(&name), why };
        match record.usage {
            KeyUse::Sign(_) => {
                import::read(&bytes).map(|imported| imported.pkcs8).map_err(|error| wrong(error.to_string()))
            }
            KeyUse::Seal => {
                let secret = base64url::decode(bytes.trim_ascii()).map(Zeroizing::new);
                secret
                    .filter(|secret| secret.len() == 32)
                    .ok_or_else(|| wrong("a sealing key is one line of 43 base64url characters".to_owned()))
            }
        }
    }

    fn lock(&self, patience: Patience) -> Result<Box<dyn Lock>, BackendError> {
        let (directory, path) = self.open_for_writing()?;
        let attempts = if patience == Patience::None { 1 } else { LOCK_ATTEMPTS };
        for attempt in 0..attempts {
            if attempt > 0 {
                std::thread::sleep(LOCK_PAUSE);
            }
            match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Box::new(Held { _directory: directory })),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(BackendError::Io { path, error: error.into() }),
            }
        }
        Err(BackendError::Busy(path))
    }

    fn write_private(&self, record: &KeyRecord, private: &[u8]) -> Result<(), BackendError> {
        let text = match record.usage {
            KeyUse::Sign(_) => import::to_pem(private),
            KeyUse::Seal => {
                let mut line = Zeroizing::new(base64url::encode(private));
                line.push('\n');
                line
            }
        };
        self.replace(&file_name(record), text.as_bytes())
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), BackendError> {
        let bytes = manifest
            .to_bytes()
            .map_err(|error| BackendError::Manifest { path: self.directory.join(MANIFEST_NAME), error })?;
        self.replace(MANIFEST_NAME, &bytes)
    }

    fn delete_private(&self, record: &KeyRecord) -> Result<(), BackendError> {
        let (directory, path) = self.open_for_writing()?;
        let name = OsString::from(file_name(record));
        let io = |error: Errno| BackendError::Io { path: path.join(&name), error: error.into() };
        match rustix::fs::unlinkat(&directory, &name, AtFlags::empty()) {
            Ok(()) => rustix::fs::fsync(&directory).map_err(io),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(io(error)),
        }
    }
}
