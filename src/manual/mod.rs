//! The long texts: how things work together, and why they are as they are.

pub mod rotation;
