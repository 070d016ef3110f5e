//! Lifetimes: nothing outlives what it came from.

use std::time::Duration;

use crate::protocol::time::UnixSeconds;

/// The configured lifetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of an access token, unless its client has its own.
    pub access: Duration,
    /// Of a refresh token that is not used (RFC 9700 section 4.14.2).
    pub idle: Duration,
    /// Of a family, from log-in, however busy.
    pub absolute: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            access: Duration::from_secs(300),
            idle: Duration::from_secs(14 * DAY),
            absolute: Duration::from_secs(90 * DAY),
        }
    }
}

impl Lifetimes {
    /// When a family that logs in at `auth_time` ends, whatever happens.
    #[must_use]
    pub fn family_ends_at(&self, auth_time: UnixSeconds) -> UnixSeconds {
        auth_time.after(self.absolute)
    }

    /// Whether a refresh token sealed at `issued_at` has lain unused too long.
    #[must_use]
    pub fn is_idle(&self, issued_at: UnixSeconds, now: UnixSeconds) -> bool {
        issued_at.after(self.idle).has_passed(now)
    }

    /// How long an access token lives: `own` (the client's) or the configured lifetime, and never past the end of its
    /// family. Zero once the family has ended.
    #[must_use]
    pub fn access(&self, own: Option<Duration>, family_ends_at: UnixSeconds, now: UnixSeconds) -> Duration {
        let wanted = own.unwrap_or(self.access);
        wanted.min(family_ends_at.since(now))
    }
}
