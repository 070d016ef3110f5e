//! mintgate: a stateless JWT issuing gateway.

pub mod ambient;
pub mod cli;
pub mod client;
pub mod grant;
pub mod keys;
pub mod manual;
pub mod policy;
pub mod protocol;
pub mod state;
pub mod store;
pub mod token;
pub mod user;
