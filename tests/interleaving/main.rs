//! What threads share, compiled with primitives that give the turn to another thread at every step, and run in
//! thousands of orders: the table of denied tokens, the compare-and-set of families, the commit queue.
//!
//! The files under test are the very ones in `src`. They take their primitives from `crate::state::sync`, and in this
//! crate that is shuttle's. Shuttle chooses the order of the steps; that each step is seen by all at once is its
//! assumption, and the memory orderings are argued in the sources.
//!
//! Each subject also has a broken twin here that must be found out: a test which cannot fail shows nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

pub use mintgate::protocol;

mod families;
mod queue;
mod state;
mod store;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `scenario` in many orders: some drawn evenly, some with few changes of turn at the worst places.
fn in_many_orders(scenario: fn()) {
    shuttle::check_random(scenario, 1_000);
    shuttle::check_pct(scenario, 1_000, 3);
}

/// Demands that some order breaks `broken`.
fn is_found_out(broken: fn()) {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let found = catch_unwind(AssertUnwindSafe(|| in_many_orders(broken))).is_err();
    std::panic::set_hook(quiet);
    assert!(found, "no order showed the mistake");
}
