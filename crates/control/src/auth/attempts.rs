//! How often a sign-in may fail: from one address, and for one name. In memory, in each process.
//!
//! Each has so many failures at once, and gets one more every so often (the generic cell rate algorithm, as the gateway's limits). An
//! attempt is taken before the password is compared and given back when it was right, so that many at once gain nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// Failures of one address at once, and how soon there is another.
const OF_ADDRESS: Limit = Limit { at_once: 20, every: Duration::from_secs(30) };
/// The same of one name. A smaller one would let anybody keep others out.
const OF_NAME: Limit = Limit { at_once: 10, every: Duration::from_mins(1) };
/// More of either at once: those that failed least are forgotten.
const MAX: usize = 20_000;

#[derive(Debug, Clone, Copy)]
struct Limit {
    at_once: u32,
    every: Duration,
}

/// Whom an attempt counts for: the SHA-256 of an address or a name, so that nobody's text is kept.
type Key = [u8; 32];

/// What failed lately. One per process.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Until when everything is taken.
    taken: Mutex<HashMap<Key, Instant>>,
}

/// An attempt that is under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    address: Key,
    name: Key,
}

impl Attempts {
    /// Begins an attempt.
    ///
    /// # Errors
    /// How long until another is allowed.
    pub(crate) fn begin(&self, from: Option<IpAddr>, name: &str, now: Instant) -> Result<Attempt, Duration> {
        let attempt = Attempt { address: of_address(from), name: of_name(name) };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if MAX <= taken.len() {
            taken.retain(|_, until| now < *until);
            if MAX <= taken.len() {
                taken.retain(|_, until| now + OF_NAME.every * 2 < *until);
            }
            if MAX <= taken.len() {
                taken.clear();
            }
        }
        // Looked at both before either is taken: who may not from here uses up nobody's name.
        let of_address = next(taken.get(&attempt.address), OF_ADDRESS, now)?;
        let of_name = next(taken.get(&attempt.name), OF_NAME, now)?;
        taken.insert(attempt.address, of_address);
        taken.insert(attempt.name, of_name);
        Ok(attempt)
    }

    /// An attempt that was no failure: it is given back to its address, and its name begins anew.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&attempt.name);
        self.back(&mut taken, &attempt.address, OF_ADDRESS);
    }

    /// An attempt that came to nothing without anybody's doing.
    pub(crate) fn undone(&self, attempt: &Attempt) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.back(&mut taken, &attempt.address, OF_ADDRESS);
        self.back(&mut taken, &attempt.name, OF_NAME);
    }

    #[expect(clippy::unused_self, reason = "it changes what this one holds the lock of")]
    fn back(&self, taken: &mut HashMap<Key, Instant>, key: &Key, limit: Limit) {
        if let Some(until) = taken.get_mut(key) {
            *until = until.checked_sub(limit.every).unwrap_or(*until);
        }
    }
}

fn next(until: Option<&Instant>, limit: Limit, now: Instant) -> Result<Instant, Duration> {
    let next = until.copied().unwrap_or(now).max(now) + limit.every;
    let most = now + limit.every * limit.at_once;
    if most < next { Err(next - most) } else { Ok(next) }
}

/// Of IPv6 the network of a subscriber (RFC 6177), since one has all its addresses.
fn of_address(from: Option<IpAddr>) -> Key {
    let mut hash = Sha256::new_with_prefix(b"address");
    match from.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => hash.update(address.octets()),
        Some(IpAddr::V6(address)) => hash.update(address.octets().get(..8).unwrap_or_default()),
        None => {}
    }
    hash.finalize().into()
}

fn of_name(name: &str) -> Key {
    Sha256::new_with_prefix(b"name").chain_update(name.trim().to_lowercase()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_may_fail_so_often_wherever_it_is_tried_from() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for i in 0..OF_NAME.at_once {
            attempts.begin(Some(ip(&format!("192.0.2.{i}"))), "admin", now).unwrap();
        }
        let wait = attempts.begin(Some(ip("192.0.2.99")), " Admin ", now).unwrap_err();
        assert_eq!(wait, OF_NAME.every);
        assert!(attempts.begin(Some(ip("192.0.2.99")), "other", now).is_ok());
        assert!(
            attempts.begin(Some(ip("192.0.2.99")), "admin", now + wait).is_ok(),
            "one more after a while"
        );
        assert!(attempts.begin(Some(ip("192.0.2.99")), "admin", now + wait).is_err(), "and no two");
    }

    #[test]
    fn an_address_may_fail_so_often_whatever_it_tries() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for i in 0..OF_ADDRESS.at_once {
            attempts.begin(Some(ip(&format!("2001:db8::{i}"))), &format!("user-{i}"), now).unwrap();
        }
        assert!(
            attempts.begin(Some(ip("2001:db8::ffff")), "another", now).is_err(),
            "one has the whole network"
        );
        assert!(attempts.begin(Some(ip("2001:db8:0:1::1")), "another", now).is_ok());
        for i in 0..100 {
            assert!(attempts.begin(Some(ip("2001:db8::1")), "victim", now).is_err(), "{i}");
        }
        assert!(
            attempts.begin(Some(ip("192.0.2.1")), "victim", now).is_ok(),
            "who may not uses up nobody's name"
        );
    }

    #[test]
    fn success_is_no_failure() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..100 {
            let attempt = attempts.begin(Some(ip("192.0.2.1")), "admin", now).unwrap();
            attempts.succeeded(&attempt);
        }
        for _ in 0..100 {
            let attempt = attempts.begin(Some(ip("192.0.2.1")), "admin", now).unwrap();
            attempts.undone(&attempt);
        }
    }

    #[test]
    fn memory_has_a_bound() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for i in 0..30_000_u32 {
            let address = IpAddr::from(i.to_be_bytes());
            attempts.begin(Some(address), &i.to_string(), now).unwrap();
        }
        assert!(attempts.taken.lock().unwrap().len() <= MAX + 2);
    }
}
