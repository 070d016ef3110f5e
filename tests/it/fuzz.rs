//! The entries of `fuzz/`, with strange bytes from proptest: what the fuzz targets check, without a nightly compiler.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[path = "../../fuzz/entries.rs"]
mod entries;

/// How often each entry is called.
const CALLS: u32 = 3_000;

/// A change to a seed: where, what kind, and bytes for it.
type Bend = (usize, u8, Vec<u8>);

fn bent(mut seed: Vec<u8>, bends: &[Bend]) -> Vec<u8> {
    for (at, kind, bytes) in bends {
        let at = at % (seed.len() + 1);
        match kind % 5 {
            0 => seed.truncate(at),
            1 => drop(seed.splice(at..at, bytes.iter().copied())),
            2 => drop(seed.drain(at..(at + bytes.len()).min(seed.len()))),
            3 => drop(seed.splice(at..(at + bytes.len()).min(seed.len()), bytes.iter().copied())),
            _ => {
                let again = seed.clone();
                seed.extend_from_slice(&again[at..]);
            }
        }
    }
    seed
}

fn strange_bytes_into(name: &str) {
    let (_, entry, seeds) = entries::ALL.into_iter().find(|(own, ..)| *own == name).expect("an entry");
    let seeds = seeds();
    seeds.iter().for_each(|seed| entry(seed));
    let bends = prop::collection::vec((any::<usize>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..6)), 0..4);
    let from_seed = (prop::sample::select(seeds), bends).prop_map(|(seed, bends)| bent(seed, &bends));
    let any_bytes = prop::collection::vec(any::<u8>(), 0..200);
    let any_text = "[ -~\n]{0,80}".prop_map(String::into_bytes);
    let input = prop_oneof![4 => from_seed, 1 => any_bytes, 1 => any_text];
    let config = Config { cases: CALLS, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&input, |bytes| {
        entry(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

macro_rules! entry {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            strange_bytes_into(stringify!($name));
        }
    )*
        #[test]
        fn every_entry_is_called_here_and_has_a_target() {
            let mut called: Vec<&str> = vec![$(stringify!($name)),*];
            let mut known = entries::ALL.map(|(name, ..)| name).to_vec();
            (called.sort_unstable(), known.sort_unstable());
            assert_eq!(called, known);
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets");
            for name in known {
                let text = std::fs::read_to_string(format!("{folder}/{name}.rs")).expect("a target of this name");
                assert!(text.contains(&format!("entries::{name}(bytes)")), "{name}");
            }
        }
    };
}

entry!(gate, key_set, key_file, form, basic, config, recovery, feed);
