//! `crate::store` as the files under test see it.

pub use mintgate::store::{Figures, Health, Reading, Settings, Spent, StoreError};

pub mod embedded;
#[allow(dead_code)]
#[path = "../../src/store/shards.rs"]
pub mod shards;
