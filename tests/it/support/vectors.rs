//! Public test vectors: `MINTGATE_VECTORS`, or `../shared/vectors` beside the checkout.

use std::path::PathBuf;

use serde_json::Value;

/// Reads one file of vectors; where it is absent, says so and returns nothing.
pub fn read(name: &str) -> Option<Value> {
    let folder = std::env::var_os("MINTGATE_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"), PathBuf::from);
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
        Err(error) => {
            eprintln!("SKIPPED: the vectors {} cannot be read: {error}", path.display());
            None
        }
    }
}
