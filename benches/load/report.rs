//! Figures as people and programs read them.

use serde::Serialize;

/// Minimum, median and maximum of a few rounds.
#[derive(Clone, Copy, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(figures.len() / 2), max: at(figures.len().saturating_sub(1)) }
    }
}

/// One scenario against its floor.
#[derive(Serialize)]
pub struct Ratio {
    pub scenario: &'static str,
    pub requests_per_second: Spread,
    pub cpu_us: Spread,
    pub floor_requests_per_second: Spread,
    pub floor_cpu_us: Spread,
    /// What the request costs by the RFC, where it costs anything, and its microseconds alone.
    pub unit: Option<&'static str>,
    pub unit_us: Option<Spread>,
    /// CPU of mintgate over CPU of the floor plus the unit.
    pub ratio: Spread,
    /// CPU of a floor twin that does the unit too, and of mintgate over that.
    pub working_floor_cpu_us: Option<Spread>,
    pub working_ratio: Option<Spread>,
    pub failed: u64,
}

/// Refresh with and without durability, in turn.
#[derive(Serialize)]
pub struct Durable {
    pub scenario: &'static str,
    pub none_per_second: Spread,
    pub always_per_second: Spread,
    pub ratio: Spread,
    pub none_p50_us: Spread,
    pub always_p50_us: Spread,
    pub failed: u64,
}

impl Durable {
    pub fn line(&self) -> String {
        format!(
            "{:<24} none {:.0}/s, always {:.0}/s: ratio {:.2} [{:.2} .. {:.2}]; p50 {:.0} -> {:.0} us{}",
            self.scenario,
            self.none_per_second.median,
            self.always_per_second.median,
            self.ratio.median,
            self.ratio.min,
            self.ratio.max,
            self.none_p50_us.median,
            self.always_p50_us.median,
            failures(self.failed),
        )
    }
}

#[derive(Serialize)]
pub struct Flood {
    pub scenario: &'static str,
    pub tokens_per_second_alone: Spread,
    pub tokens_per_second_flooded: Spread,
    pub throughput_ratio: Spread,
    pub p99_us_alone: Spread,
    pub p99_us_flooded: Spread,
    pub p99_ratio: Spread,
    pub logins_per_second: Spread,
    pub logins_busy: u64,
    pub failed: u64,
    pub rss_before: u64,
    pub rss_after: u64,
}

#[derive(Serialize)]
pub struct Idle {
    pub scenario: &'static str,
    pub connections: usize,
    pub rss_before: u64,
    pub rss_with: u64,
    pub bytes_per_connection: f64,
    pub good_client_p50_us_alone: f64,
    pub good_client_p99_us_alone: f64,
    pub good_client_p50_us_among: f64,
    pub good_client_p99_us_among: f64,
    pub idle_cpu_ms_per_second: f64,
    pub still_open: usize,
}

impl Ratio {
    pub fn line(&self) -> String {
        let unit = self.unit_us.map_or_else(String::new, |own| format!(" + {:.1}", own.median));
        let working = match (self.unit, self.working_floor_cpu_us, self.working_ratio) {
            (Some(unit), Some(cpu), Some(ratio)) => format!(
                " | floor with {unit} {:.1} us: {:.2} [{:.2} .. {:.2}]",
                cpu.median, ratio.median, ratio.min, ratio.max
            ),
            _ => String::new(),
        };
        format!(
            "{:<24} {:>7.0}/s {:>6.1} us CPU | floor {:>7.0}/s {:>5.1} us{unit} | ratio {:.2} [{:.2} .. {:.2}]{working}{}",
            self.scenario,
            self.requests_per_second.median,
            self.cpu_us.median,
            self.floor_requests_per_second.median,
            self.floor_cpu_us.median,
            self.ratio.median,
            self.ratio.min,
            self.ratio.max,
            failures(self.failed),
        )
    }
}

impl Flood {
    pub fn line(&self) -> String {
        format!(
            "{:<24} tokens {:.0}/s alone, {:.0}/s flooded: ratio {:.2} [{:.2} .. {:.2}]; p99 {:.0} -> {:.0} us ({:.1}x); \
             logins {:.0}/s, {} told to wait; RSS {:.1} -> {:.1} MB{}",
            self.scenario,
            self.tokens_per_second_alone.median,
            self.tokens_per_second_flooded.median,
            self.throughput_ratio.median,
            self.throughput_ratio.min,
            self.throughput_ratio.max,
            self.p99_us_alone.median,
            self.p99_us_flooded.median,
            self.p99_ratio.median,
            self.logins_per_second.median,
            self.logins_busy,
            self.rss_before as f64 / 1e6,
            self.rss_after as f64 / 1e6,
            failures(self.failed),
        )
    }
}

impl Idle {
    pub fn line(&self) -> String {
        format!(
            "{:<24} {} connections: RSS {:.1} -> {:.1} MB, {:.1} kB each; good client p50 {:.0} -> {:.0} us, \
             p99 {:.0} -> {:.0} us; {:.1} ms CPU a second; {} still open",
            self.scenario,
            self.connections,
            self.rss_before as f64 / 1e6,
            self.rss_with as f64 / 1e6,
            self.bytes_per_connection / 1e3,
            self.good_client_p50_us_alone,
            self.good_client_p50_us_among,
            self.good_client_p99_us_alone,
            self.good_client_p99_us_among,
            self.idle_cpu_ms_per_second,
            self.still_open,
        )
    }
}

fn failures(count: u64) -> String {
    if count == 0 { String::new() } else { format!("  !! {count} failed") }
}

/// Prints one result.
pub fn print(json: bool, line: &str, result: &impl Serialize) {
    if json {
        println!("{}", serde_json::to_string(result).unwrap());
    } else {
        println!("{line}");
    }
}
