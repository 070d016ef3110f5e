//! Mirrors `src/policy`.
