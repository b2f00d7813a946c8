//! How often something may be done, as people write it: `600/m`, `10/s`, `5000/h`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// So many times in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    times: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// Why a text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write how many in a second, a minute or an hour, such as `10/s`, `600/m`, `5000/h`")]
pub struct RateError;

impl Unit {
    fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }
}

impl Rate {
    /// How long after one the next may be, when they are spread evenly.
    pub fn interval(self) -> Duration {
        self.unit.time() / self.times.get()
    }

    /// How many may come at once after a pause: what ten seconds allow, and one at least.
    pub fn burst(self) -> u32 {
        let ten = u128::from(self.times.get()) * 10 / u128::from(self.unit.time().as_secs());
        u32::try_from(ten).unwrap_or(u32::MAX).max(1)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (times, unit) = text.split_once('/').ok_or(RateError)?;
        let unit = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(RateError),
        };
        Ok(Self { times: times.parse().map_err(|_| RateError)?, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
        };
        write!(f, "{}/{unit}", self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, interval_ms, burst) in
            [("10/s", 100, 100), ("600/m", 100, 100), ("1/m", 60_000, 1), ("60/h", 60_000, 1)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.interval().as_millis(), rate.burst()), (interval_ms, burst), "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for text in ["", "10", "0/s", "-1/s", "1/d", "1.5/s", "10 / s", "99999999999/s"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }
}
