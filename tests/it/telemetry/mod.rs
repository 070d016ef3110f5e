//! What the gateway says about itself.

mod log;
mod metrics;
