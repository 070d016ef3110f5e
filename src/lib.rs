//! mintgate: a stateless JWT issuing gateway.

pub mod ambient;
pub mod cli;
pub mod client;
pub mod config;
pub mod keys;
pub mod protocol;
pub mod user;
