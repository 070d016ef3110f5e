//! A directory of a test's own, removed when it is dropped.

use std::path::{Path, PathBuf};

use mintgate::ambient::SystemEntropy;
use mintgate::ambient::entropy::draw;

pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let name = u64::from_be_bytes(draw(&SystemEntropy).expect("entropy"));
        let path = std::env::temp_dir().join(format!("mintgate-test-{name:016x}"));
        std::fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
