//! Power cuts, failing disks and damaged bytes, each at every place there is.

use std::collections::BTreeMap;

use mintgate::protocol::id::{Generation, Jti};
use mintgate::state::{Change, Rotated};
use mintgate::store::embedded::{OpenError, Sync};
use mintgate::store::{EmbeddedStore, Health, Settings, Store, StoreError};

use super::{NOW, family, later, open, open_at, order, wait};
use crate::support::disk::{Disk, Unsynced};

/// What a caller was told, and after how many operations of the disk.
#[derive(Debug, Default)]
struct Told {
    rotated: Vec<(usize, u8, Generation)>,
    revoked: Vec<(usize, u8)>,
    denied: Vec<(usize, Jti)>,
}

/// Rotates, revokes and denies until the disk fails, and notes what was acknowledged.
fn work(store: &EmbeddedStore, disk: &Disk, acts: u8) -> Told {
    let mut told = Told::default();
    let mut live = BTreeMap::new();
    for act in 0..acts {
        let name = act % 5;
        let from = live.get(&name).copied().unwrap_or(0);
        match act % 7 {
            3 => {
                let revoked = act + 100;
                if wait(store.commit(vec![Change::RevokeFamily { family: family(revoked) }], NOW)).is_ok() {
                    told.revoked.push((disk.operations(), revoked));
                }
            }
            5 => {
                let jti = Jti([act; 16]);
                if wait(store.commit(vec![Change::DenyJti { jti, expires_at: later(300) }], NOW)).is_ok() {
                    told.denied.push((disk.operations(), jti));
                }
            }
            _ => {
                if let Ok(Rotated::Advanced { to }) = wait(store.rotate(order(name, from), NOW)) {
                    told.rotated.push((disk.operations(), name, to));
                    live.insert(name, to.0);
                }
            }
        }
    }
    told
}

/// Everything acknowledged before `operations` is there.
fn holds(store: &EmbeddedStore, told: &Told, operations: usize, context: &str) {
    for (_, name, to) in told.rotated.iter().filter(|(at, ..)| *at <= operations) {
        assert!(store.family(family(*name), NOW).generation >= *to, "{context}: family {name} lost {to}");
    }
    for (_, name) in told.revoked.iter().filter(|(at, _)| *at <= operations) {
        assert!(store.family(family(*name), NOW).revoked, "{context}: family {name} is alive again");
    }
    for (_, jti) in told.denied.iter().filter(|(at, _)| *at <= operations) {
        assert!(store.is_denied(*jti, later(300), NOW), "{context}: {jti} is valid again");
    }
}

#[test]
fn a_power_cut_at_every_operation_loses_nothing_acknowledged() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    let opened = disk.operations();
    let told = work(&store, &disk, 40);
    drop(store);
    let mut cuts = 0;
    for count in opened..=disk.operations() {
        for unsynced in Unsynced::ALL {
            let context = format!("cut after {count}, {unsynced:?}");
            let image = disk.cut(count, unsynced);
            let store = open_at(&image, NOW).unwrap_or_else(|error| panic!("{context}: {error}"));
            holds(&store, &told, count, &context);
            cuts += 1;
        }
    }
    println!("{cuts} cuts, {} rotations acknowledged", told.rotated.len());
    assert!(told.rotated.len() > 20 && cuts > 500);
}

/// A power cut while a start repairs what a power cut left.
#[test]
fn a_second_power_cut_during_the_repair_loses_nothing_either() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    let told = work(&store, &disk, 12);
    let middle = disk.operations();
    let image = disk.cut(middle, Unsynced::None);
    drop(store);
    drop(open_at(&image, NOW).expect("opens"));
    for count in 0..=image.operations() {
        for unsynced in Unsynced::ALL {
            let context = format!("second cut after {count}, {unsynced:?}");
            let again = image.cut(count, unsynced);
            let store = open_at(&again, NOW).unwrap_or_else(|error| panic!("{context}: {error}"));
            holds(&store, &told, middle, &context);
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_operation_gets_no_false_acknowledgement() {
    let whole = {
        let disk = Disk::default();
        let store = open(&disk, Settings::default(), Sync::AtOnce);
        let opened = disk.operations();
        work(&store, &disk, 14);
        disk.operations() - opened
    };
    assert!(whole > 50, "{whole}");
    for good in 0..whole {
        let disk = Disk::default();
        let store = open(&disk, Settings::default(), Sync::AtOnce);
        disk.fail_after(good);
        let told = work(&store, &disk, 14);
        let context = format!("failed after {good}");
        assert_eq!(store.health(), Health::Poisoned, "{context}");
        disk.heal();
        assert_eq!(wait(store.rotate(order(1, 0), NOW)), Err(StoreError::Unavailable), "{context}");
        drop(store);
        // The process starts again, on a machine that ran on and on one that lost its power.
        for image in [disk.cut(disk.operations(), Unsynced::All), disk.durable()] {
            let store = open_at(&image, NOW).unwrap_or_else(|error| panic!("{context}: {error}"));
            holds(&store, &told, usize::MAX, &context);
        }
    }
}

/// One flipped bit: the log opens with everything, or with what a cut could have left (never with a gap inside), or is
/// refused.
#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    let told = work(&store, &disk, 40);
    drop(store);
    let (mut refused, mut harmless) = (0, 0);
    let bits = disk.length() * 8;
    // The first pages hold the head of the file; after them every 509th bit (a prime, so every bit of a byte comes).
    let places = (0..4_096).chain((4_096..bits).step_by(if bits > 1 << 22 { 4_093 } else { 509 }));
    for bit in places {
        match open_at(&disk.with_flipped(bit), NOW) {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_ne!(error, OpenError::InUse);
                refused += 1;
            }
            Ok(store) => {
                is_a_prefix(&store, &told, bit);
                harmless += 1;
            }
        }
    }
    println!("{refused} refused, {harmless} harmless, of {bits} bits");
    assert!(refused > 0);
}

/// If one acknowledged act is missing, so is every later one.
fn is_a_prefix(store: &EmbeddedStore, told: &Told, bit: usize) {
    let mut acts: Vec<(usize, bool)> = Vec::new();
    for (at, name, to) in &told.rotated {
        acts.push((*at, store.family(family(*name), NOW).generation >= *to));
    }
    acts.extend(told.revoked.iter().map(|(at, name)| (*at, store.family(family(*name), NOW).revoked)));
    acts.extend(told.denied.iter().map(|(at, jti)| (*at, store.is_denied(*jti, later(300), NOW))));
    acts.sort_unstable();
    let there = acts.iter().take_while(|(_, there)| *there).count();
    assert!(acts[there..].iter().all(|(_, there)| !there), "bit {bit}: a gap in {acts:?}");
}

#[test]
fn what_has_ended_leaves_the_disk() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    let deny = |n: u8| Change::DenyJti { jti: Jti([n; 16]), expires_at: later(300) };
    for n in 0..50 {
        wait(store.commit(vec![deny(n)], NOW)).expect("commits");
    }
    assert_eq!(wait(store.rotate(order(1, 0), NOW)), Ok(Rotated::Advanced { to: Generation(1) }));
    drop(store);
    let store = open_at(&disk, NOW).expect("opens");
    assert!(store.figures().log_bytes > 50 * 25, "{}", store.figures().log_bytes);
    store.tick(later(8_000));
    drop(store);
    let store = open_at(&disk.durable(), later(8_000)).expect("opens");
    assert_eq!(store.figures().state.jtis, 0);
    assert_eq!(store.figures().log_bytes, 42, "one record of one rotation");
    assert_eq!(store.figures().state.families, 1);
    assert_eq!(store.family(family(1), later(8_000)).generation, Generation(1));
}

/// A log that says the same things again and again is written anew while it is in use; a power cut anywhere in that, and
/// in what is acknowledged meanwhile, loses nothing.
#[test]
fn a_long_log_is_written_anew_and_a_power_cut_in_it_loses_nothing() {
    let disk = Disk::default();
    let settings = Settings { log_bytes_min: 3_000, ..Settings::default() };
    let store = open(&disk, settings, Sync::AtOnce);
    let mut told = work(&store, &disk, 60);
    // One family that moves on and on says the most with the least.
    for from in 0..400 {
        wait(store.rotate(order(99, from), NOW)).expect("advances");
        told.rotated.push((disk.operations(), 99, Generation(from + 1)));
    }
    let before = store.figures().log_bytes;
    assert!(before > 3_000, "{before}");
    store.tick(NOW);
    // Work goes on while it is written anew.
    for name in 200..250 {
        wait(store.commit(vec![Change::RevokeFamily { family: family(name) }], NOW)).expect("commits");
        told.revoked.push((disk.operations(), name));
    }
    crate::support::server::until("it is written anew", || store.figures().log_bytes < before / 2);
    drop(store);
    let store = open_at(&disk, NOW).expect("opens");
    assert!(store.figures().log_bytes < before, "{} is not shorter than {before}", store.figures().log_bytes);
    holds(&store, &told, usize::MAX, "whole");
    drop(store);
    for count in (0..=disk.operations()).rev().take(700) {
        for unsynced in [Unsynced::None, Unsynced::Odd] {
            let context = format!("cut after {count}, {unsynced:?}");
            let image = disk.cut(count, unsynced);
            let store = open_at(&image, NOW).unwrap_or_else(|error| panic!("{context}: {error}"));
            holds(&store, &told, count, &context);
        }
    }
}

/// Many callers on few families, so that most answers rest on a change that somebody else made a moment ago. Whatever a
/// caller was told, advanced, retried, reused or revoked, is true after a power cut at any later moment.
#[test]
fn no_answer_rests_on_a_change_that_a_power_cut_takes_back() {
    let disk = Disk::default();
    let store = open(&disk, Settings::default(), Sync::AtOnce);
    let opened = disk.operations();
    let together = std::sync::Barrier::new(8);
    let told: Vec<(usize, u8, Rotated)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8_u8)
            .map(|caller| {
                let (store, disk, together) = (&store, &disk, &together);
                scope.spawn(move || {
                    let mut told = Vec::new();
                    for turn in 0..24_u8 {
                        let name = turn % 3;
                        // All ask with the live token, so one advances and the others retry; now and then one is late.
                        let live = store.family(family(name), NOW).generation.0;
                        let from = if caller == 7 && turn > 20 { live.saturating_sub(2) } else { live };
                        together.wait();
                        let rotated = wait(store.rotate(order(name, from), NOW)).expect("no failure here");
                        told.push((disk.operations(), name, rotated));
                        together.wait();
                    }
                    told
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("no panic")).collect()
    });
    drop(store);
    let retries = told.iter().filter(|(.., rotated)| matches!(rotated, Rotated::Retry { .. })).count();
    assert!(retries > 80, "{retries}");
    println!("{} answers, {retries} of them retries, {} operations", told.len(), disk.operations() - opened);
    for count in opened..=disk.operations() {
        let image = disk.cut(count, Unsynced::None);
        let store = open_at(&image, NOW).expect("opens");
        for (_, name, rotated) in told.iter().filter(|(at, ..)| *at <= count) {
            let facts = store.family(family(*name), NOW);
            let holds = match rotated {
                Rotated::Advanced { to } => facts.generation >= *to,
                Rotated::Retry { successor } => facts.generation >= *successor,
                Rotated::Reused | Rotated::Revoked => facts.revoked,
            };
            assert!(holds, "cut after {count}: told {rotated:?} of family {name}, and now {facts:?}");
        }
    }
}
