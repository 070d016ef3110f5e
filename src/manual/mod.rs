//! The long texts: how things work and why, for people who build on them.

pub mod divergences;
pub mod feed;
pub mod flow;
pub mod formats;
pub mod rotation;
pub mod status_list;
pub mod threats;
