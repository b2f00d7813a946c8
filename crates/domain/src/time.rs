//! Points in time as the tables and the wire have them.

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01 UTC.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = i64)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds from `earlier` to here; 0 when `earlier` is later.
    pub fn micros_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).max(0)
    }
}

impl From<std::time::SystemTime> for Timestamp {
    /// Times outside the range of an `i64` of microseconds (the year 294,000) are cut to it.
    fn from(time: std::time::SystemTime) -> Self {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = jiff::Error;

    /// RFC 3339, with any offset.
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|time| Self(time.as_microsecond()))
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

/// A length of time in the largest unit that divides it: `15 min`, `90 s`, `1 day`.
pub fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0 => (0, "s"),
        _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "h"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "min"),
        _ => (seconds, "s"),
    };
    let plural = if unit == "day" && count != 1 { "s" } else { "" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0 s"),
            (10, "10 s"),
            (60, "1 min"),
            (90, "90 s"),
            (900, "15 min"),
            (3600, "1 h"),
            (5400, "90 min"),
            (86_400, "1 day"),
            (604_800, "7 days"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
