//! Signing and sealing keys: what they are, how they live, where they are kept.

pub mod provider;
pub mod sealing;
pub mod signing;
pub mod verifying;

pub use sealing::{SealingKey, SealingKeyId};
pub use signing::SigningKey;
pub use verifying::VerifyKey;
