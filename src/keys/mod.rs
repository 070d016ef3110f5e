//! Signing and sealing keys: what they are, how they live, where they are kept.
//!
//! [`plan`] decides, purely; [`change`] carries a change out; [`rotator`] is the loop that asks; [`keyring`] holds what
//! the server reads; [`census`] knows who has read it. The arithmetic of a rotation is told in `manual/rotation.rs`.

pub mod backend;
pub mod caching;
pub mod census;
pub mod change;
mod der;
pub mod import;
pub mod keyring;
pub mod keyset;
pub mod lifecycle;
pub mod manifest;
pub mod plan;
pub mod provider;
pub mod rotator;
pub mod sealing;
pub mod signing;
pub mod verifying;

pub use keyring::{Keyring, Settings, initialise};
pub use keyset::{Jwks, KeySet};
pub use lifecycle::{Automatic, KeyRecord, KeyState, KeyUse};
pub use sealing::{SealingKey, SealingKeyId};
pub use signing::SigningKey;
pub use verifying::VerifyKey;
