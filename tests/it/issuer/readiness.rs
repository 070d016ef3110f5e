//! Readiness, split by what works.

use mintgate::protocol::time::UnixSeconds;

use super::{Bench, START};

#[test]
fn a_clock_far_behind_turns_issuing_and_refresh_red_and_verifying_not() {
    let bench = Bench::new();
    bench.issuer.store().tick(START);
    assert!(bench.issuer.readiness().is_ready());
    let seen = |readiness: mintgate::issuer::Readiness| (readiness.issue, readiness.refresh, readiness.verify);
    // Red at once, not at the next tick.
    for tick in [false, true] {
        let back = UnixSeconds(START.0 - 3_600);
        bench.clock.set(back);
        if tick {
            bench.issuer.store().tick(back);
        }
        assert_eq!(seen(bench.issuer.readiness()), ("clock_behind", "clock_behind".to_owned(), "ok"));
    }
    bench.clock.set(START);
    assert!(bench.issuer.readiness().is_ready(), "green at once, too");
}

#[test]
fn within_the_tolerance_all_is_green() {
    let bench = Bench::new();
    bench.issuer.store().tick(START);
    for (behind, green) in [(1, true), (10, true), (11, false), (10, true)] {
        bench.clock.set(UnixSeconds(START.0 - behind));
        bench.issuer.store().tick(UnixSeconds(START.0 - behind));
        assert_eq!(bench.issuer.readiness().is_ready(), green, "{behind} s behind");
    }
}
