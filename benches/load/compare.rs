//! A B A B: mintgate, its floor twin, and the twin that does the unit too, in turn.

use std::time::Duration;

use crate::Options;
use crate::client::{Outcome, Script, Wire, drive};
use crate::floor::{Kind, Reply};
use crate::process::Process;
use crate::report::{Ratio, Spread, print};
use crate::unit::Unit;

/// One server and what its clients say to it.
struct Side<'a> {
    process: &'a Process,
    address: String,
    scripts: Vec<Script>,
}

impl Side<'_> {
    /// One turn: the outcome, and CPU microseconds a request.
    async fn turn(&mut self, wire: &Wire, status: u16, phase: Duration) -> (Outcome, f64) {
        let before = self.process.cpu();
        let outcome = drive(&self.address, wire, &mut self.scripts, status, phase).await;
        let used = self.process.cpu().saturating_sub(before);
        let each = used.as_secs_f64() * 1e6 / outcome.good.max(1) as f64;
        (outcome, each)
    }
}

/// What is compared.
pub struct Comparison<'a> {
    pub name: &'static str,
    pub process: &'a Process,
    pub address: &'a str,
    pub wire: Wire,
    pub scripts: Vec<Script>,
    pub reply: Reply,
    pub unit: Option<Unit>,
}

#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    cpus: Vec<f64>,
    floor_rates: Vec<f64>,
    floor_cpus: Vec<f64>,
    units: Vec<f64>,
    ratios: Vec<f64>,
    working_cpus: Vec<f64>,
    working_ratios: Vec<f64>,
    failed: u64,
}

impl Figures {
    fn failed(&mut self, outcome: &Outcome) {
        self.failed += outcome.failed + outcome.busy;
    }
}

impl Comparison<'_> {
    /// Runs the rounds and prints the result; gives the number of failures.
    pub async fn run(self, options: &Options) -> u64 {
        let unit = self.unit.filter(|_| !options.bare);
        let (status, wire) = (self.reply.status, self.wire);
        let plain = Process::ours(Kind::Twin, &self.reply);
        let working = unit.map(|unit| Process::ours(Kind::Twin, &Reply { unit: Some(unit), ..self.reply.clone() }));
        let twin = |process| Side { process, address: process.address("url"), scripts: self.scripts.clone() };
        let mut floor = twin(&plain);
        let mut working = working.as_ref().map(twin);
        let mut own = Side { process: self.process, address: self.address.to_owned(), scripts: self.scripts };
        for side in [Some(&mut own), Some(&mut floor), working.as_mut()].into_iter().flatten() {
            side.turn(&wire, status, options.phase / 4).await;
        }
        let mut figures = Figures::default();
        for _ in 0..options.rounds {
            let (outcome, cpu) = own.turn(&wire, status, options.phase).await;
            let (floor_outcome, floor_cpu) = floor.turn(&wire, status, options.phase).await;
            let alone = unit.map_or(0.0, Unit::measure);
            if let Some(working) = &mut working {
                let (outcome, working_cpu) = working.turn(&wire, status, options.phase).await;
                figures.failed(&outcome);
                figures.working_cpus.push(working_cpu);
                figures.working_ratios.push(cpu / working_cpu);
            }
            figures.failed(&outcome);
            figures.failed(&floor_outcome);
            figures.rates.push(outcome.per_second());
            figures.cpus.push(cpu);
            figures.floor_rates.push(floor_outcome.per_second());
            figures.floor_cpus.push(floor_cpu);
            figures.units.push(alone);
            figures.ratios.push(cpu / (floor_cpu + alone));
        }
        let failed = figures.failed;
        let result = figures.into_result(self.name, unit);
        print(options.json, &result.line(), &result);
        failed
    }
}

impl Figures {
    fn into_result(self, scenario: &'static str, unit: Option<Unit>) -> Ratio {
        Ratio {
            scenario,
            requests_per_second: Spread::of(self.rates),
            cpu_us: Spread::of(self.cpus),
            floor_requests_per_second: Spread::of(self.floor_rates),
            floor_cpu_us: Spread::of(self.floor_cpus),
            unit: unit.map(Unit::name),
            unit_us: unit.map(|_| Spread::of(self.units)),
            ratio: Spread::of(self.ratios),
            working_floor_cpu_us: unit.map(|_| Spread::of(self.working_cpus)),
            working_ratio: unit.map(|_| Spread::of(self.working_ratios)),
            failed: self.failed,
        }
    }
}
