//! What several tests need.

pub mod temp;
