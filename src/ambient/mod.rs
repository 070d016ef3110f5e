//! The only clock and the only randomness. Everything else takes time and random bytes as parameters.
//! Beside them, the files that people and commands both edit.

#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub mod clock;
pub mod document;
pub mod entropy;

pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, EntropyError, SystemEntropy};
