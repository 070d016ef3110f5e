//! The census over a restart: written when the gateway stops, read when it starts.
//!
//! A verifier that is behind must not be forgotten because the gateway was deployed anew between a key's preparation and
//! its turn. After a crash the census starts empty; that is safe, only less informed.

use std::path::Path;

use crate::ambient::document::{self, FileError, Locked};
use crate::keys::census::Census;
use crate::protocol::time::UnixSeconds;

/// The file's name, in the state directory.
const NAME: &str = "census.json";

/// Reads what the last run wrote. What cannot be read is told and passed over.
pub(super) fn recall(census: &Census, directory: &Path, now: UnixSeconds) {
    let path = directory.join(NAME);
    let text = match document::read(&path) {
        Ok(text) => text,
        Err(FileError::Missing { .. }) => return,
        Err(error) => return tracing::warn!(%error, "the census of the last run is not taken"),
    };
    match serde_json::from_str(&text) {
        Ok(remembered) => census.recall(remembered, now),
        Err(error) => tracing::warn!(path = %path.display(), %error, "the census of the last run is not taken"),
    }
}

/// Writes who is known.
pub(super) fn save(census: &Census, directory: &Path, now: UnixSeconds) {
    let path = directory.join(NAME);
    let Ok(text) = serde_json::to_string(&census.remembered(now)) else { return };
    if let Err(error) = Locked::acquire(&path).and_then(|file| file.replace(&text)) {
        tracing::warn!(%error, "the census is not kept");
    }
}
