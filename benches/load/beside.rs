//! Scenarios that compare mintgate with itself: a flood of log-ins, idle connections, durability on and off.

use std::time::Instant;

use crate::Options;
use crate::client::{Connection, Script, Wire, drive, get};
use crate::report::{Durable, Flood, Idle, Spread, print};
use crate::target::{Setup, Target};

/// Refresh with `durability = "always"` and `"none"`, in turn: what the disk costs.
pub async fn durable(options: &Options) -> u64 {
    let always = Target::start(&Setup { durable: true, ..Setup::default() });
    let none = Target::start(&Setup::default());
    let (mut on, mut off) = (refreshes(options, &always).await, refreshes(options, &none).await);
    let (mut on_rates, mut off_rates, mut ratios) = (vec![], vec![], vec![]);
    let (mut on_p50, mut off_p50, mut failed) = (vec![], vec![], 0);
    drive(&always.address, &Wire::Kept, &mut on, 200, options.phase / 4).await;
    drive(&none.address, &Wire::Kept, &mut off, 200, options.phase / 4).await;
    for _ in 0..options.rounds {
        let lasting = drive(&always.address, &Wire::Kept, &mut on, 200, options.phase).await;
        let memory = drive(&none.address, &Wire::Kept, &mut off, 200, options.phase).await;
        ratios.push(lasting.per_second() / memory.per_second());
        on_rates.push(lasting.per_second());
        off_rates.push(memory.per_second());
        on_p50.push(lasting.quantile(0.5));
        off_p50.push(memory.quantile(0.5));
        failed += lasting.failed + lasting.busy + memory.failed + memory.busy;
    }
    let result = Durable {
        scenario: "durable",
        none_per_second: Spread::of(off_rates),
        always_per_second: Spread::of(on_rates),
        ratio: Spread::of(ratios),
        none_p50_us: Spread::of(off_p50),
        always_p50_us: Spread::of(on_p50),
        failed,
    };
    print(options.json, &result.line(), &result);
    failed
}

/// A family for each connection.
pub async fn refreshes(options: &Options, target: &Target) -> Vec<Script> {
    let tokens = target.log_in(options.connections).await;
    let script = |token| Script::Refresh { client_id: target.public_client.clone(), token };
    tokens.into_iter().map(script).collect()
}

/// 16 connections log in while the others ask for tokens; compared with the tokens alone, in turn.
pub async fn flood(options: &Options, target: &Target) -> u64 {
    const FLOODERS: usize = 16;
    let mut tokens = vec![Script::Fixed(target.token_request().into()); options.connections];
    let mut logins = vec![Script::Fixed(target.login_request().into()); FLOODERS];
    drive(&target.address, &Wire::Kept, &mut tokens, 200, options.phase / 4).await;
    let rss_before = target.process.rss();
    let (mut alone_rates, mut flooded_rates, mut ratios) = (vec![], vec![], vec![]);
    let (mut alone_p99, mut flooded_p99, mut p99_ratios, mut login_rates) = (vec![], vec![], vec![], vec![]);
    let (mut failed, mut logins_busy, mut rss_after) = (0, 0, 0);
    for _ in 0..options.rounds {
        let alone = drive(&target.address, &Wire::Kept, &mut tokens, 200, options.phase).await;
        let (flooded, storm) = tokio::join!(
            drive(&target.address, &Wire::Kept, &mut tokens, 200, options.phase),
            drive(&target.address, &Wire::Kept, &mut logins, 200, options.phase),
        );
        rss_after = target.process.rss().max(rss_after);
        ratios.push(flooded.per_second() / alone.per_second());
        p99_ratios.push(flooded.quantile(0.99) / alone.quantile(0.99));
        alone_rates.push(alone.per_second());
        flooded_rates.push(flooded.per_second());
        alone_p99.push(alone.quantile(0.99));
        flooded_p99.push(flooded.quantile(0.99));
        login_rates.push(storm.per_second());
        logins_busy += storm.busy;
        failed += alone.failed + alone.busy + flooded.failed + flooded.busy + storm.failed;
    }
    let result = Flood {
        scenario: "flood",
        tokens_per_second_alone: Spread::of(alone_rates),
        tokens_per_second_flooded: Spread::of(flooded_rates),
        throughput_ratio: Spread::of(ratios),
        p99_us_alone: Spread::of(alone_p99),
        p99_us_flooded: Spread::of(flooded_p99),
        p99_ratio: Spread::of(p99_ratios),
        logins_per_second: Spread::of(login_rates),
        logins_busy,
        failed,
        rss_before,
        rss_after,
    };
    print(options.json, &result.line(), &result);
    failed
}

/// Many connections that asked once and then say nothing, and one good client among them.
pub async fn idle(options: &Options, target: &Target) -> u64 {
    let request = get("/jwks.json", "");
    let mut good = vec![Script::Fixed(request.clone().into())];
    drive(&target.address, &Wire::Kept, &mut good, 200, options.phase / 4).await;
    let alone = drive(&target.address, &Wire::Kept, &mut good, 200, options.phase).await;
    let rss_before = target.process.rss();
    let mut connections = Vec::with_capacity(options.idle);
    for _ in 0..options.idle {
        match Connection::open(&target.address, &Wire::Kept).await {
            Ok(mut connection) => match connection.ask(&request).await {
                Ok(answer) if answer.status == 200 => connections.push(connection),
                _ => break,
            },
            Err(error) => {
                eprintln!("idle: only {} connections: {error}", connections.len());
                break;
            }
        }
    }
    let rss_with = target.process.rss();
    let (cpu, started) = (target.process.cpu(), Instant::now());
    tokio::time::sleep(options.phase).await;
    let idle_cpu = (target.process.cpu().saturating_sub(cpu)).as_secs_f64() * 1e3 / started.elapsed().as_secs_f64();
    let among = drive(&target.address, &Wire::Kept, &mut good, 200, options.phase).await;
    let opened = connections.len();
    let mut still_open = 0;
    for connection in &mut connections {
        still_open += usize::from(matches!(connection.ask(&request).await, Ok(answer) if answer.status == 200));
    }
    let result = Idle {
        scenario: "idle",
        connections: opened,
        rss_before,
        rss_with,
        bytes_per_connection: rss_with.saturating_sub(rss_before) as f64 / opened.max(1) as f64,
        good_client_p50_us_alone: alone.quantile(0.5),
        good_client_p99_us_alone: alone.quantile(0.99),
        good_client_p50_us_among: among.quantile(0.5),
        good_client_p99_us_among: among.quantile(0.99),
        idle_cpu_ms_per_second: idle_cpu,
        still_open,
    };
    print(options.json, &result.line(), &result);
    alone.failed + among.failed + (options.idle - still_open) as u64
}
