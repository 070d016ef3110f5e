//! mintgate: a stateless JWT issuing gateway.

pub mod ambient;
pub mod cli;
pub mod client;
pub mod keys;
pub mod manual;
pub mod protocol;
pub mod user;
