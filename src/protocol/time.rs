//! Points and spans of time as the RFCs count them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: whole seconds since the Unix epoch (NumericDate, RFC 7519 section 2).
///
/// Always an integer on the wire; arithmetic saturates, so no date can wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The far end: later than every date a token can carry.
    pub const NEVER: Self = Self(u64::MAX);

    /// Whether this moment is over at `now`. Expired means `now >= exp` (RFC 7519 section 4.1.4).
    #[must_use]
    pub fn has_passed(self, now: Self) -> bool {
        now >= self
    }

    /// The moment `span` later, in whole seconds, saturating.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// The moment `span` earlier, in whole seconds, stopping at the epoch.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }

    /// How long from `earlier` until this moment; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with seconds, for people; the bare number where the calendar ends.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_else(|| self.0.to_string())
    }

    /// Reads RFC 3339; parts of a second are dropped. `None` for anything else and for dates before 1970.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp()).ok().map(Self)
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads a span such as `90s`, `10m`, `1h`, `14d`, `250ms`, or several together: `1h30m`.
///
/// # Errors
/// A sentence that says what a span looks like. A bare number is refused: its unit would be a guess.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a duration; write a number and a unit: 250ms, 90s, 10m, 1h, 14d");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(digits);
        let count: u64 = number.parse().map_err(|_| refuse())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds_in_unit = match unit.trim() {
            "ms" => {
                total = total.checked_add(Duration::from_millis(count)).ok_or_else(refuse)?;
                rest = tail;
                continue;
            }
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(refuse()),
        };
        let seconds = count.checked_mul(seconds_in_unit).ok_or_else(refuse)?;
        total = total.checked_add(Duration::from_secs(seconds)).ok_or_else(refuse)?;
        rest = tail;
    }
    Ok(total)
}

/// Writes a span the way [`parse_span`] reads it: `1h30m`, `10s`, `250ms`, `0s`.
#[must_use]
pub fn format_span(span: Duration) -> String {
    let mut out = String::new();
    let mut seconds = span.as_secs();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        let count = seconds / unit;
        seconds %= unit;
        if count > 0 {
            out.push_str(&format!("{count}{name}"));
        }
    }
    let millis = span.subsec_millis();
    if millis > 0 {
        out.push_str(&format!("{millis}ms"));
    }
    if out.is_empty() {
        out.push_str("0s");
    }
    out
}

/// A span in a configuration file or a command line, written `10m`; see [`parse_span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_span(text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_span(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_means_now_at_or_after_the_end() {
        let end = UnixSeconds(100);
        assert!(!end.has_passed(UnixSeconds(99)));
        assert!(end.has_passed(UnixSeconds(100)));
        assert!(end.has_passed(UnixSeconds(101)));
    }

    #[test]
    fn dates_never_wrap() {
        assert_eq!(UnixSeconds(u64::MAX).after(Duration::from_secs(9)), UnixSeconds::NEVER);
        assert_eq!(UnixSeconds(3).before(Duration::from_secs(9)), UnixSeconds(0));
        assert_eq!(UnixSeconds(4_102_444_800).to_rfc3339(), "2100-01-01T00:00:00Z");
        assert_eq!(UnixSeconds::NEVER.to_rfc3339(), u64::MAX.to_string());
        assert_eq!(UnixSeconds::from_rfc3339("2100-01-01T01:00:00.9+01:00"), Some(UnixSeconds(4_102_444_800)));
        assert_eq!(UnixSeconds::from_rfc3339("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn spans_read_and_write_alike() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h", 3_600), ("14d", 1_209_600)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_span("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(format_span(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(format_span(Duration::from_millis(1_250)), "1s250ms");
        assert_eq!(format_span(Duration::ZERO), "0s");
        for bad in ["", "10", "m", "10 parsecs", "-5s", "99999999999999999999d", "1.5h"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
