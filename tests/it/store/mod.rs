//! Mirrors `src/store`.
