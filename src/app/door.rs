//! The door of a running gateway: a file that tells commands on the same machine where its admin listener is, and with
//! which token. Only the owner can read it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ambient::document::{self, FileError, Locked};
use crate::ambient::entropy::draw;
use crate::ambient::{Entropy, EntropyError};
use crate::protocol::base64url;

/// The file's name, in the state directory.
const NAME: &str = "admin.json";

/// Where and with what to knock.
#[derive(Serialize, Deserialize)]
pub struct Door {
    /// The admin listener's URL.
    pub url: String,
    /// The bearer token of orders.
    pub token: String,
}

/// Draws the admin token of one run: 256 random bits.
///
/// # Errors
/// If the system gives no randomness.
pub fn generate_token(entropy: &dyn Entropy) -> Result<Zeroizing<String>, EntropyError> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(draw(entropy)?);
    Ok(Zeroizing::new(format!("mga_{}", base64url::encode(bytes.as_slice()))))
}

/// Writes the file, readable by its owner alone, replacing one of an earlier run.
///
/// # Errors
/// The path and why it could not be written.
pub fn write(directory: &Path, url: &str, token: &Zeroizing<String>) -> Result<(), (PathBuf, io::Error)> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = directory.join(NAME);
    let told = |error: io::Error| (path.clone(), error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(told)?;
    let door = Door { url: url.to_owned(), token: token.to_string() };
    let text = Zeroizing::new(serde_json::to_string(&door).map_err(io::Error::other).map_err(told)?);
    Locked::acquire(&path)
        .and_then(|file| file.replace(&text))
        .map_err(|error| (path.clone(), io::Error::other(error.to_string())))
}

/// Reads the file of the gateway that runs on this state directory.
///
/// # Errors
/// `Missing` if none runs.
pub fn read(directory: &Path) -> Result<Door, FileError> {
    let path = directory.join(NAME);
    let text = Zeroizing::new(document::read(&path)?);
    serde_json::from_str(&text).map_err(|error| FileError::at(&path, &text, 0, error.to_string()))
}

/// Removes the file when the gateway ends. A file that stays behind names a token nobody accepts any more.
pub fn remove(directory: &Path) {
    let _ = std::fs::remove_file(directory.join(NAME));
}
