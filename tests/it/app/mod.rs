//! Wiring.

mod door;
mod settings;
