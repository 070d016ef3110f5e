//! A directory of its own for each test, removed at the end.

use std::path::{Path, PathBuf};

use mintgate::ambient::{Entropy as _, SystemEntropy};

/// Removed, with all that is in it, when dropped.
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub fn new() -> Self {
        let random: [u8; 12] = SystemEntropy.bytes().expect("entropy");
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("mintgate-test-{name}"));
        std::fs::create_dir(&path).expect("a temporary directory");
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A test may have taken permissions away; what cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
