//! mintgate: a stateless JWT issuing gateway.

pub mod ambient;
pub mod cli;
pub mod client;
pub mod http;
pub mod keys;
pub mod protocol;
pub mod telemetry;
pub mod user;
