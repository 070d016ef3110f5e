//! Mirrors `src/store`: one behaviour suite, and each engine that has to pass it.

#[macro_use]
mod suite;
mod embedded;
mod feed;
mod memory;
mod merge;
