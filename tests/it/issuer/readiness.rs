//! Readiness, split by what works.

use super::Bench;

#[test]
fn a_clock_far_behind_turns_refresh_red_and_nothing_else() {
    let bench = Bench::new();
    assert!(bench.issuer.readiness().is_ready());
    bench.issuer.store().tick(super::START);
    bench.clock.set(mintgate::protocol::time::UnixSeconds(super::START.0 - 3_600));
    bench.issuer.store().tick(mintgate::protocol::time::UnixSeconds(super::START.0 - 3_600));
    let readiness = bench.issuer.readiness();
    assert_eq!((readiness.issue, readiness.verify), ("ok", "ok"));
    assert_eq!(readiness.refresh, "clock_behind");
}
