//! The load harness: mintgate against its floor twin, in turn, on loopback. See `benches/README.md`.
//!
//! `cargo bench --bench load -- [SCENARIO...] [--seconds S] [--rounds N] [--connections N] [--json] [--bare]`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::exit)]

mod beside;
mod client;
mod compare;
mod floor;
mod http2;
mod process;
mod report;
mod scenario;
mod target;
mod tls;
mod unit;

use std::time::Duration;

use crate::floor::Kind;

/// What was asked for on the command line.
pub struct Options {
    pub scenarios: Vec<String>,
    pub phase: Duration,
    pub rounds: usize,
    pub connections: usize,
    pub idle: usize,
    pub json: bool,
    /// Our HTTP server with nothing behind it, in the place of mintgate.
    pub bare: bool,
}

fn options() -> Options {
    let mut options = Options {
        scenarios: Vec::new(),
        phase: Duration::from_secs(1),
        rounds: 5,
        connections: 64,
        idle: 10_000,
        json: false,
        bare: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number =
            || -> f64 { arguments.next().and_then(|text| text.parse().ok()).unwrap_or_else(|| usage(&argument)) };
        match argument.as_str() {
            "--seconds" => options.phase = Duration::from_secs_f64(number()),
            "--rounds" => options.rounds = number() as usize,
            "--connections" => options.connections = number() as usize,
            "--idle" => options.idle = number() as usize,
            "--json" => options.json = true,
            "--bare" => options.bare = true,
            // Cargo adds it.
            "--bench" => {}
            name if scenario::ALL.contains(&name) => options.scenarios.push(name.to_owned()),
            other => usage(other),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = scenario::ALL.map(str::to_owned).to_vec();
    }
    options
}

fn usage(argument: &str) -> ! {
    eprintln!("load: cannot use {argument:?}; scenarios: {}", scenario::ALL.join(" "));
    eprintln!("options: --seconds S  --rounds N  --connections N  --idle N  --json  --bare");
    std::process::exit(2);
}

fn main() {
    // The floor twin is this program again, in a process of its own, so that its CPU time is its own.
    for kind in [Kind::Twin, Kind::Bare] {
        if std::env::args().nth(1).as_deref() == Some(kind.argument()) {
            return floor::run(kind);
        }
    }
    // `cargo test --benches` only wants to know that this starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let options = options();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if !options.json {
        println!(
            "{} connections, {} rounds of {:?} a side; CPU is user + system time of the server, from the kernel",
            options.connections, options.rounds, options.phase
        );
    }
    let failed = runtime.block_on(scenario::run(&options));
    if failed > 0 {
        eprintln!("{failed} requests failed");
        std::process::exit(1);
    }
}
