//! One test binary that mirrors `src`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unreachable)]
#![allow(clippy::disallowed_methods, reason = "tests of a whole process live in real time")]

mod grant;
mod policy;
mod state;
mod store;
mod support;
mod tidy;
