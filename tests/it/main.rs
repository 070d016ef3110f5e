//! One test binary that mirrors `src`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unreachable)]

mod cli;
mod client;
mod config;
mod scratch;
mod user;
