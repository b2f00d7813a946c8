//! Calls that come between two processes of an instance: the one has been asked to end, the other is not there yet.

use std::time::{Duration, Instant};

use domain::shim::{REFUSED_AWAY, REFUSED_HEADER};
use hop::pool::HopError;
use http::Response;

/// So long a call waits for the other one. A process that is asked to end may take some seconds, and one that starts a few more.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause; each is half as long again as the one before.
const FIRST: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST: Duration = Duration::from_millis(250);

/// The pauses of one call.
#[derive(Debug)]
pub(crate) struct Waits {
    until: Instant,
    pause: Duration,
}

impl Waits {
    /// Of a call that found nobody for the first time.
    pub(crate) fn new(now: Instant) -> Self {
        Self { until: now + PATIENCE, pause: FIRST }
    }

    /// How long to wait before it is sent again; `None` when it has waited long enough.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Duration> {
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(LONGEST);
        (now < self.until).then_some(pause)
    }
}

/// Whether somebody took a request, so that it must not be sent again: all but what nobody received, and what was refused with the word
/// that nothing was done.
pub(crate) fn was_taken<B>(sent: &Result<Response<B>, HopError>) -> bool {
    match sent {
        Ok(response) => response.headers().get(REFUSED_HEADER).is_none_or(|why| why != REFUSED_AWAY),
        Err(HopError::Connect { .. }) => false,
        Err(HopError::Lost { .. }) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let start = Instant::now();
        let (mut waits, mut now, mut count) = (Waits::new(start), start, 0);
        let mut last = Duration::ZERO;
        while let Some(pause) = waits.next(now) {
            assert!(last <= pause && pause <= LONGEST, "{pause:?}");
            (last, now, count) = (pause, now + pause, count + 1);
        }
        assert!((40..60).contains(&count), "{count}");
        assert!(PATIENCE <= now - start && now - start <= PATIENCE + LONGEST);
    }
}
