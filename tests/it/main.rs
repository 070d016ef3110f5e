//! One test binary that mirrors `src`; `spec` holds one test for each MUST, `end_to_end` what users do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unreachable, clippy::type_complexity)]
#![allow(clippy::disallowed_methods, reason = "tests of a whole process live in real time")]

mod app;
mod cli;
mod client;
mod config;
mod end_to_end;
mod fuzz;
mod grant;
mod http;
mod issuer;
mod keys;
mod policy;
mod spec;
mod state;
mod store;
mod support;
mod telemetry;
mod tidy;
mod token;
mod user;
mod verifier;
