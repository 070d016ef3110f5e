mod clients;
mod config;
mod doctor;
mod gen_config;
mod keys;
mod token;
mod users;

use std::path::PathBuf;

use mintgate::ambient::{ManualClock, SystemEntropy};
use mintgate::cli::Context;
use mintgate::cli::ask::{Ask, PasswordFrom};
use mintgate::cli::failure::{Exit, Failure};
use mintgate::cli::output::Output;
use mintgate::protocol::time::UnixSeconds;
use zeroize::Zeroizing;

use crate::support::scratch::Scratch;

/// A directory with a configuration, and what a command gets.
pub struct Desk {
    pub scratch: Scratch,
    pub clock: ManualClock,
}

impl Desk {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let text = "issuer = \"https://auth.example\"\n[login]\nhash_memory_kib = 64\nhash_passes = 1\n";
        scratch.write("mintgate.toml", text);
        Self { scratch, clock: ManualClock::at(UnixSeconds(1_000)) }
    }

    pub fn context(&self) -> Context<'_> {
        let config_path: PathBuf = self.scratch.path("mintgate.toml");
        Context { config_path, json: false, output: Output::keeping(), clock: &self.clock, entropy: &SystemEntropy }
    }
}

/// Answers as a person would.
pub struct Person {
    pub password: &'static str,
    pub agrees: bool,
    pub asked: u32,
}

impl Person {
    pub fn typing(password: &'static str) -> Self {
        Self { password, agrees: true, asked: 0 }
    }
}

impl Ask for Person {
    fn password(&mut self, _: PasswordFrom) -> Result<Zeroizing<String>, Failure> {
        self.asked += 1;
        Ok(Zeroizing::new(self.password.to_owned()))
    }

    fn confirm(&mut self, _: &str) -> Result<bool, Failure> {
        self.asked += 1;
        Ok(self.agrees)
    }
}

/// The exit code of what should have failed.
pub fn code(result: Result<(), Failure>) -> Option<Exit> {
    result.err().map(|failure| failure.code)
}
