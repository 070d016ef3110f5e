//! Guessing gets slower, nobody is locked out for good.

use std::net::IpAddr;
use std::time::Duration;

use mintgate::protocol::time::UnixSeconds;
use mintgate::user::slowdown::{Slowdown, SlowdownSettings};

const NOW: UnixSeconds = UnixSeconds(1_000_000);

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn fail(slowdown: &Slowdown, name: &str, source: &str, times: u32) {
    for _ in 0..times {
        slowdown.failed(name, at(source), NOW);
    }
}

/// How long `name` waits, in seconds.
fn wait(slowdown: &Slowdown, name: &str, source: &str, now: UnixSeconds) -> u64 {
    slowdown.check(name, at(source), now).err().map_or(0, |wait| wait.as_secs())
}

#[test]
fn the_wait_doubles_up_to_its_bound() {
    let slowdown = Slowdown::new(SlowdownSettings::default());
    let mut waits = Vec::new();
    for _ in 0..16 {
        waits.push(wait(&slowdown, "alice", "192.0.2.1", NOW));
        fail(&slowdown, "alice", "192.0.2.1", 1);
    }
    assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
    fail(&slowdown, "alice", "192.0.2.1", 80);
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", NOW), 900, "no shift overflows, no lock is for good");
}

#[test]
fn each_row_is_one_thing_that_passes() {
    let rows: [(&str, &str, &str, u64); 7] = [
        ("the same", "alice", "192.0.2.1", 0),
        ("another spelling of the name", "ALICE", "192.0.2.1", 0),
        ("with white space", " alice ", "192.0.2.1", 0),
        ("the same address in IPv6 dress", "alice", "::ffff:192.0.2.1", 0),
        ("another account", "bob", "192.0.2.1", 1),
        ("another source", "alice", "192.0.2.2", 1),
        ("another network", "alice", "2001:db8::1", 1),
    ];
    for (name, account, source, passes) in rows {
        let slowdown = Slowdown::new(SlowdownSettings::default());
        fail(&slowdown, "alice", "192.0.2.1", 6);
        assert_eq!(slowdown.check(account, at(source), NOW).is_ok(), passes == 1, "{name}");
    }
    let slowdown = Slowdown::new(SlowdownSettings::default());
    fail(&slowdown, "alice", "2001:db8:1:2::1", 6);
    assert!(slowdown.check("alice", at("2001:db8:1:2:ffff::9"), NOW).is_err(), "one subscriber has a /64");
    assert!(slowdown.check("alice", at("2001:db8:1:3::1"), NOW).is_ok());
}

#[test]
fn time_passes_and_counters_fade() {
    let slowdown = Slowdown::new(SlowdownSettings::default());
    fail(&slowdown, "alice", "192.0.2.1", 8);
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", NOW), 8);
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", UnixSeconds(NOW.0 + 5)), 3);
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", UnixSeconds(NOW.0 + 8)), 0);
    // After one half life 8 failures count as 4, so the next one is free again.
    slowdown.failed("alice", at("192.0.2.1"), UnixSeconds(NOW.0 + 900));
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", UnixSeconds(NOW.0 + 900)), 1);
    // A clock that went back holds nobody for longer than the wait itself.
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", UnixSeconds(5)), 0);
}

#[test]
fn a_success_clears_the_pair_and_nothing_else() {
    let slowdown = Slowdown::new(SlowdownSettings::default());
    fail(&slowdown, "alice", "192.0.2.1", 9);
    fail(&slowdown, "alice", "192.0.2.2", 9);
    slowdown.succeeded("alice", at("192.0.2.1"), NOW);
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", NOW), 0);
    assert_eq!(wait(&slowdown, "alice", "192.0.2.2", NOW), 16);
}

#[test]
fn guessing_from_many_addresses_slows_down_all_but_the_owner() {
    let slowdown = Slowdown::new(SlowdownSettings::default());
    slowdown.succeeded("alice", at("198.51.100.7"), NOW);
    for number in 0..200 {
        slowdown.failed("alice", at(&format!("192.0.{}.{}", number / 100, number % 100)), NOW);
    }
    assert_eq!(wait(&slowdown, "alice", "203.0.113.1", NOW), 60, "a new address waits, a minute at most");
    assert_eq!(wait(&slowdown, "alice", "198.51.100.7", NOW), 0, "where alice logged in before, she may");
    assert_eq!(wait(&slowdown, "bob", "203.0.113.1", NOW), 0);
    let a_month = UnixSeconds(NOW.0 + 31 * 86_400);
    slowdown.failed("alice", at("203.0.113.9"), a_month);
    assert_eq!(wait(&slowdown, "alice", "203.0.113.1", a_month), 0, "and the counter fades");
}

#[test]
fn memory_is_bounded_and_the_oldest_goes_first() {
    let settings = SlowdownSettings { entries_max: 10, ..SlowdownSettings::default() };
    let slowdown = Slowdown::new(settings);
    fail(&slowdown, "old", "192.0.2.1", 9);
    fail(&slowdown, "alice", "192.0.2.1", 9);
    for number in 0..9 {
        fail(&slowdown, &format!("user{number}"), "192.0.2.1", 1);
    }
    assert_eq!(wait(&slowdown, "old", "192.0.2.1", NOW), 0, "forgotten");
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", NOW), 16, "kept");
    for number in 0..1_000 {
        // Whoever goes on guessing stays among the newest.
        fail(&slowdown, &format!("user{number}"), "192.0.2.1", 1);
        slowdown.failed("alice", at("192.0.2.1"), NOW);
        slowdown.succeeded(&format!("user{number}"), at("192.0.2.3"), NOW);
    }
    assert_eq!(wait(&slowdown, "alice", "192.0.2.1", NOW), 900);
    assert!(slowdown.entries() <= 30, "{}", slowdown.entries());
    assert_eq!(settings.delay_max, Duration::from_secs(900));
}
