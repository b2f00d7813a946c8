//! How many requests there may be: 5000 in an hour, 250 in a minute, and 10 in a minute for the list of keys.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);
const KEY_LISTS: usize = 10;

/// The requests of the last hour.
#[derive(Debug)]
pub(super) struct Limits {
    hourly: usize,
    burst: usize,
    made: Vec<Duration>,
    key_lists: Vec<Duration>,
}

/// What the headers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) limit: usize,
    pub(super) remaining: usize,
    /// Until the oldest request no longer counts.
    pub(super) reset_in: Duration,
}

impl Limits {
    pub(super) fn new(hourly: usize, burst: usize) -> Self {
        Self { hourly, burst, made: vec![], key_lists: vec![] }
    }

    /// Counts a request. An error is `retry-after` for a burst, and none for the hour.
    pub(super) fn count(&mut self, now: Duration, lists_keys: bool) -> Result<(), Option<Duration>> {
        self.made.retain(|&at| now < at + HOUR);
        self.key_lists.retain(|&at| now < at + MINUTE);
        if self.hourly <= self.made.len() {
            return Err(None);
        }
        let recent: Vec<Duration> = self.made.iter().copied().filter(|&at| now < at + MINUTE).collect();
        if let Some(&oldest) = recent.first().filter(|_| self.burst <= recent.len()) {
            return Err(Some((oldest + MINUTE).saturating_sub(now)));
        }
        if let Some(&oldest) =
            self.key_lists.first().filter(|_| lists_keys && KEY_LISTS <= self.key_lists.len())
        {
            return Err(Some((oldest + MINUTE).saturating_sub(now)));
        }
        self.made.push(now);
        if lists_keys {
            self.key_lists.push(now);
        }
        Ok(())
    }

    pub(super) fn state(&self, now: Duration) -> State {
        let oldest = self.made.first().copied().unwrap_or(now);
        State {
            limit: self.hourly,
            remaining: self.hourly.saturating_sub(self.made.len()),
            reset_in: (oldest + HOUR).saturating_sub(now),
        }
    }
}
