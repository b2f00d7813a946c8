//! The fake's clock: real time and what tests add to it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    born: Duration,
    ahead: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), born: real(), ahead: Duration::ZERO }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.ahead += by;
    }

    /// Since it started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed() + self.ahead
    }

    /// A moment of this clock, RFC 3339.
    pub(super) fn text(&self, at: Duration) -> String {
        rfc3339((self.born + at).as_secs())
    }
}

/// Real time since 1970: what a client compares `ratelimit-reset` with.
pub(super) fn real() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The civil date of a number of days, by counting eras of 400 years from a first of March.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let civil = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(civil <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{civil:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_826_154, "2000-02-29T12:09:14Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_551_300, "2026-11-24T20:15:00Z"),
        ] {
            assert_eq!(super::rfc3339(seconds), expected);
        }
    }
}
