//! How long a cache may keep the key set: computed from the plan, so that no honest cache misses a key.

use std::time::Duration;

/// How long a gateway may take to serve a key set that another process wrote: it looks twice a second.
pub const PICKUP: Duration = Duration::from_secs(2);

/// Records count whole seconds, so a moment may be up to this much later than it says.
const ROUNDING: Duration = Duration::from_secs(1);

const MAX_AGE_MAX_SECONDS: u64 = 3_600;
const STALE_IF_ERROR_MAX_SECONDS: u64 = 86_400;

/// What the key set's `Cache-Control` allows, in whole seconds (RFC 9111 section 5.2.2, RFC 5861).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caching {
    /// `max-age`.
    pub max_age: u64,
    /// `stale-while-revalidate`.
    pub stale_while_revalidate: u64,
    /// `stale-if-error`.
    pub stale_if_error: u64,
}

impl Caching {
    /// The longest permission that keeps the promise: a cache that uses all of it, one part after the other, lets go
    /// of a set without the new key before that key signs.
    ///
    /// `max_age + stale_while_revalidate + stale_if_error <= publish_ahead - margin`, where the margin is
    /// [`PICKUP`] and one second of rounding, or a tenth of `publish_ahead` if that is more.
    #[must_use]
    pub fn of(publish_ahead: Duration) -> Self {
        let margin = (PICKUP + ROUNDING).max(publish_ahead / 10);
        let budget = publish_ahead.saturating_sub(margin).as_secs();
        // Rounded up for `max-age`: with a single second to give, it is the one every cache understands.
        let max_age = budget.div_ceil(3).min(MAX_AGE_MAX_SECONDS);
        let stale_while_revalidate = (budget / 6).min(MAX_AGE_MAX_SECONDS);
        let rest = budget.saturating_sub(max_age).saturating_sub(stale_while_revalidate);
        Self { max_age, stale_while_revalidate, stale_if_error: rest.min(STALE_IF_ERROR_MAX_SECONDS) }
    }

    /// How long a set may be in use after it was fetched, at the very most.
    #[must_use]
    pub fn held_at_most(self) -> Duration {
        Duration::from_secs(self.max_age + self.stale_while_revalidate + self.stale_if_error)
    }

    /// The header's value.
    #[must_use]
    pub fn header(self) -> String {
        if self.max_age == 0 {
            return "public, max-age=0, must-revalidate".to_owned();
        }
        format!(
            "public, max-age={}, stale-while-revalidate={}, stale-if-error={}",
            self.max_age, self.stale_while_revalidate, self.stale_if_error
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_fits_inside_the_overlap() {
        for millis in (0..20_000).step_by(250).chain([60_000, 3_600_000, 86_400_000, 2_592_000_000]) {
            let ahead = Duration::from_millis(millis);
            let held = Caching::of(ahead).held_at_most();
            assert!(held.is_zero() || held + PICKUP + ROUNDING <= ahead, "{ahead:?}");
        }
    }

    #[test]
    fn headers() {
        let rows = [
            (0, "public, max-age=0, must-revalidate"),
            (2, "public, max-age=0, must-revalidate"),
            (3, "public, max-age=0, must-revalidate"),
            (4, "public, max-age=1, stale-while-revalidate=0, stale-if-error=0"),
            (10, "public, max-age=3, stale-while-revalidate=1, stale-if-error=3"),
            (86_400, "public, max-age=3600, stale-while-revalidate=3600, stale-if-error=70560"),
            (3_600, "public, max-age=1080, stale-while-revalidate=540, stale-if-error=1620"),
        ];
        for (seconds, header) in rows {
            assert_eq!(Caching::of(Duration::from_secs(seconds)).header(), header, "{seconds}");
        }
    }
}
