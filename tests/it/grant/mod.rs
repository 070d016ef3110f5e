//! Mirrors `src/grant`.
