mod backend;
mod census;
mod change;
mod import;
mod keyring;
mod plan;
pub mod signing;
mod simulation;
