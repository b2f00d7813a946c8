//! A shim whose instance has a lease ends by itself when nobody extends it: its DTMA may be gone, and the instance be started elsewhere.

use std::time::Duration;

use domain::shim::LEASE_HEADER;
use http::HeaderMap;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// The timer stands still while the host sleeps, and the lease does not: so it is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Until when it may run, in milliseconds since the boot of its host; `None` until it is told, and for ever when it is not.
#[derive(Debug)]
pub(crate) struct Lease(watch::Sender<Option<u64>>);

impl Lease {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Takes what a question for the status says. It never gets shorter.
    pub(crate) fn take(&self, headers: &HeaderMap) {
        let told = headers.get(LEASE_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(until) = told {
            self.0.send_if_modified(|known| {
                let extends = known.is_none_or(|known| known < until);
                if extends {
                    *known = Some(until);
                }
                extends
            });
        }
    }

    /// Waits until it has run out.
    pub(crate) async fn over(&self) {
        let mut told = self.0.subscribe();
        loop {
            let until = *told.borrow_and_update();
            let wait = match until.map(|until| until.saturating_sub(now())) {
                Some(0) => return,
                Some(left) => Duration::from_millis(left).min(LOOK),
                None => Duration::MAX,
            };
            // The sender is ours, so the only news is another time.
            let _ = tokio::time::timeout(wait, told.changed()).await;
        }
    }
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let millis = u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000_000;
    u64::try_from(time.tv_sec).unwrap_or_default() * 1000 + millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_when_nobody_extends_it() {
        let lease = Lease::new();
        let tell = |until: u64| {
            let mut headers = HeaderMap::new();
            headers.insert(LEASE_HEADER, until.into());
            lease.take(&headers);
        };
        let is_over = async |within: u64| {
            tokio::time::timeout(Duration::from_millis(within), lease.over()).await.is_ok()
        };
        lease.take(&HeaderMap::new());
        assert!(!is_over(20).await, "it was told nothing");
        let start = now();
        tell(start + 300);
        tell(start + 10);
        assert!(!is_over(50).await, "it does not get shorter");
        tell(start + 400);
        lease.over().await;
        assert!(start + 400 <= now());
        tell(start + 100_000);
        assert!(!is_over(10).await);
    }
}
