//! Long texts: how it works and why, for people who read before they run.

pub mod flow;
