//! How often one may call: a bucket of each token, account and instance that has a limit, without a lock and without a clock of its
//! own. The algorithm is the generic cell rate algorithm (ITU-T I.371): one number, the time up to which everything is taken.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::rate::Rate;

/// Buckets that nobody has any more are looked for when there are so many.
const MANY: usize = 1000;

/// What is taken of one limit.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    /// Nanoseconds since the start of the process.
    taken_until: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate) -> Self {
        Self { rate, taken_until: AtomicU64::new(0) }
    }

    /// Takes one now.
    ///
    /// # Errors
    /// How long until there is one again.
    pub fn take_now(&self) -> Result<(), Duration> {
        self.take(now())
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one again.
    pub(crate) fn take(&self, now: u64) -> Result<(), Duration> {
        let interval = u64::try_from(self.rate.interval().as_nanos()).unwrap_or(u64::MAX);
        let ahead = interval.saturating_mul(u64::from(self.rate.burst()));
        let mut taken_until = self.taken_until.load(Ordering::Relaxed);
        loop {
            let next = taken_until.max(now).saturating_add(interval);
            if let Some(wait) = next.checked_sub(now.saturating_add(ahead)).filter(|wait| 0 < *wait) {
                return Err(Duration::from_nanos(wait));
            }
            match self.taken_until.compare_exchange_weak(
                taken_until,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(other) => taken_until = other,
            }
        }
    }
}

/// Nanoseconds since the start of the process.
pub(crate) fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The buckets of all that have the same limit, so that one whose description is read anew keeps what it has taken.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Option<Rate>,
    all: Mutex<HashMap<K, Arc<Bucket>>>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// None yet; without a rate there never are any.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, all: Mutex::default() }
    }

    /// Whose bucket that is; `None` when there is no limit.
    pub fn of(&self, key: K) -> Option<Arc<Bucket>> {
        let rate = self.rate?;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if MANY <= all.len() && !all.contains_key(&key) {
            // What nobody holds is nobody's any more, or has not called for a while; a full bucket is as good as a new one.
            let now = now();
            all.retain(|_, bucket| {
                1 < Arc::strong_count(bucket) || now < bucket.taken_until.load(Ordering::Relaxed)
            });
        }
        Some(Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Bucket::new(rate)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_rate_allows_in_any_time_and_no_less() {
        let bucket = Bucket::new("10/s".parse().unwrap());
        let mut random = 7_u64;
        let (mut now, mut taken) = (0_u64, Vec::new());
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // They come faster than they may, and now and then nobody comes for a while.
            now += (random >> 33) % 2_000_000 + if step % 1000 == 0 { 15_000_000_000 } else { 0 };
            match bucket.take(now) {
                Ok(()) => taken.push(now),
                // When it says so there is one again, and not before.
                Err(wait) => {
                    let wait = u64::try_from(wait.as_nanos()).unwrap();
                    assert!(bucket.take(now + wait - 1).is_err());
                    now += wait;
                    assert_eq!(bucket.take(now), Ok(()));
                    taken.push(now);
                }
            }
        }
        let (mut first, mut most) = (0, 0);
        for (last, at) in taken.iter().enumerate() {
            while taken[first] + 1_000_000_000 < *at {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        assert!((100..=111).contains(&most), "{most} in a second: a burst of 100 and 10 more");
    }

    #[test]
    fn who_comes_back_finds_what_was_taken() {
        let buckets = Buckets::new(Some("1/m".parse().unwrap()));
        assert_eq!(buckets.of(1).unwrap().take(0), Ok(()));
        assert!(buckets.of(1).unwrap().take(1).is_err());
        assert_eq!(buckets.of(2).unwrap().take(1), Ok(()));
        assert!(Buckets::new(None).of(1).is_none());
        for key in 3..5000 {
            drop(buckets.of(key));
        }
        assert!(buckets.all.lock().unwrap().len() <= MANY, "those that took nothing go");
        assert!(buckets.of(1).unwrap().take(1).is_err());
    }
}
