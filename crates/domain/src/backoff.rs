//! How long to wait before starting something again, and when to call it a crash loop.

use std::time::Duration;

/// Exponential backoff without jitter: each supervised process waits for itself alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A process that lived this long starts again from `first`.
    pub healthy_after: Duration,
    /// This many failures in a row are a crash loop: visible as a state, still retried at `longest`.
    pub crash_loop_after: u32,
}

impl Backoff {
    /// For MCP servers: 200 ms doubling to 30 s, healthy after 30 s, a crash loop from the fifth failure in a row.
    pub const SERVER: Self = Self {
        first: Duration::from_millis(200),
        longest: Duration::from_secs(30),
        healthy_after: Duration::from_secs(30),
        crash_loop_after: 5,
    };

    /// For Berth's own processes: 100 ms doubling to 5 s, so that a killed one is back well within 10 s.
    pub const OWN: Self = Self {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(5),
        healthy_after: Duration::from_secs(10),
        crash_loop_after: 10,
    };

    /// The wait before the next start, after `failures` failures in a row (at least 1).
    pub fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Failures in a row after a process that lived for `lived` has ended.
    pub fn failures_after(&self, failures: u32, lived: Duration) -> u32 {
        if self.healthy_after <= lived { 1 } else { failures.saturating_add(1) }
    }

    /// Whether so many failures in a row are a crash loop.
    pub fn is_crash_loop(&self, failures: u32) -> bool {
        self.crash_loop_after <= failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_recovers() {
        let waits: Vec<u128> = [1, 2, 3, 8, 9, 99].map(|n| Backoff::SERVER.wait(n).as_millis()).to_vec();
        assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000]);
        assert_eq!(Backoff::SERVER.failures_after(7, Duration::from_secs(31)), 1);
        assert_eq!(Backoff::SERVER.failures_after(7, Duration::from_secs(1)), 8);
        assert!(!Backoff::SERVER.is_crash_loop(4));
        assert!(Backoff::SERVER.is_crash_loop(5));
    }
}
