mod backend;
mod change;
mod cli;
mod import;
mod keyring;
mod plan;
mod signing;
mod simulation;
