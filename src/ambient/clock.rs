//! The clock, as a trait so that a test can hold it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::time::UnixSeconds;

/// Tells the time. Wall time decides about tokens, monotonic time about intervals.
pub trait Clock: Send + Sync {
    /// Wall time in whole seconds.
    fn now(&self) -> UnixSeconds;

    /// Wall time in milliseconds since the Unix epoch, for what other machines compare with their own; no token is judged
    /// by it.
    fn now_millis(&self) -> u64 {
        self.now().0.saturating_mul(1_000)
    }

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting monotonic time here.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // Before 1970 the clock is simply wrong; the epoch is the earliest moment we admit.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    fn now_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move. For tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall: AtomicU64,
    monotonic_millis: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: UnixSeconds) -> Self {
        Self { wall: AtomicU64::new(now.0), monotonic_millis: AtomicU64::new(0) }
    }

    /// Lets `span` pass on both clocks.
    pub fn advance(&self, span: Duration) {
        self.wall.fetch_add(span.as_secs(), Ordering::SeqCst);
        self.monotonic_millis.fetch_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, backwards too; monotonic time stays.
    pub fn set(&self, now: UnixSeconds) {
        self.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_millis.load(Ordering::SeqCst))
    }
}
