//! Where keys are kept. A backend stores bytes; what they mean and when they move is decided elsewhere.

pub mod file;

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::keys::lifecycle::{KeyRecord, KeyUse};
use crate::keys::manifest::{Manifest, ManifestError};

/// Why a backend did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no manifest: `mintgate init` makes one.
    #[error("{} holds no key set; make one with `mintgate init` or `mintgate keys generate`", .0.display())]
    NotInitialised(PathBuf),
    /// There is a manifest already.
    #[error("{} holds a key set already", .0.display())]
    Exists(PathBuf),
    /// A named file is not there.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// Others may read a private key, or change the manifest.
    #[error("{} has mode {mode:04o}: others can {danger} it; run: chmod {fix:o} '{}'", path.display(), path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What others can do with it.
        danger: &'static str,
        /// What the bits should be.
        fix: u32,
    },
    /// A link or something else where a plain file should be.
    #[error("{} is not a plain file; links are not followed here", .0.display())]
    NotAFile(PathBuf),
    /// Larger than any file of its kind.
    #[error("{} is too large", .0.display())]
    TooLarge(PathBuf),
    /// The manifest cannot be used.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// The private part cannot be used.
    #[error("{}: {why}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process is changing the keys.
    #[error("another process is changing the keys in {}; try again", .0.display())]
    Busy(PathBuf),
    /// The directory is swapped as a whole by a platform; changes belong at their source.
    #[error("{} is swapped as a whole (`..data`); change it at its source", .0.display())]
    Managed(PathBuf),
    /// The operating system said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
}

pub use crate::ambient::document::Stamp;

/// How long to wait for another process that changes the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: a loop will ask again.
    None,
    /// Up to five seconds: a person waits.
    Seconds,
}

/// Held while the keys are changed; dropping it lets the next one in.
pub trait Lock: Send {}

/// A place that keeps one manifest and the private parts it names.
///
/// Every write is durable when it returns, and replaces the old content whole or not at all.
pub trait KeyBackend: Send + Sync {
    /// A cheap look: has anybody written the manifest?
    ///
    /// # Errors
    /// `NotInitialised` if there is none; `Io`.
    fn stamp(&self) -> Result<Stamp, BackendError>;

    /// Reads and checks the manifest.
    ///
    /// # Errors
    /// A [`BackendError`].
    fn manifest(&self) -> Result<Manifest, BackendError>;

    /// Reads the private part of a key: PKCS#8 DER of a signing key, the 32 bytes of a sealing key.
    ///
    /// # Errors
    /// `Missing`, `TooOpen`, `NotAFile`, `TooLarge`, `Key`, `Io`.
    fn private(&self, record: &KeyRecord) -> Result<Zeroizing<Vec<u8>>, BackendError>;

    /// Keeps other writers out. Readers are never kept out.
    ///
    /// # Errors
    /// `Busy` when patience ends; `Io`, `Managed`.
    fn lock(&self, patience: Patience) -> Result<Box<dyn Lock>, BackendError>;

    /// Stores the private part of a key that no manifest names yet.
    ///
    /// # Errors
    /// `Io`, `Managed`.
    fn write_private(&self, record: &KeyRecord, private: &[u8]) -> Result<(), BackendError>;

    /// Replaces the manifest.
    ///
    /// # Errors
    /// `Manifest` if it is not sound, `Io`, `Managed`.
    fn write_manifest(&self, manifest: &Manifest) -> Result<(), BackendError>;

    /// Deletes the private part of a key that ended. One that is gone already is no error.
    ///
    /// # Errors
    /// `Io`, `Managed`.
    fn delete_private(&self, record: &KeyRecord) -> Result<(), BackendError>;
}

/// The file name of a key's private part.
#[must_use]
pub fn file_name(record: &KeyRecord) -> String {
    // A prefix, because a thumbprint may begin with a hyphen and would look like an option to a shell.
    match record.usage {
        KeyUse::Sign(_) => format!("signing-{}.pem", record.id),
        KeyUse::Seal => format!("sealing-{}.key", record.id),
    }
}
