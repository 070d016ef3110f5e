//! What the gateway says about itself: metrics for machines, a log for people.

pub mod log;
pub mod metrics;
