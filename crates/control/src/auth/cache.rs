//! Callers by the hash of their token, for as long as the database need not be asked again.
//!
//! Revoking in this process takes effect at once; in another one after [`TTL`] at the latest.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::time::Timestamp;
use gateway::AuthError;

use crate::auth::Holder;
use crate::auth::token::TokenHash;

/// How long a token counts as valid without asking the database.
pub(crate) const TTL: Duration = Duration::from_secs(5);
/// More tokens than this at once: all are forgotten and asked for again.
const MAX: usize = 10_000;

/// Known callers. Only good tokens are kept: wrong ones would let anybody fill the memory.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    callers: RwLock<HashMap<TokenHash, (Holder, Instant)>>,
    /// Grows with every [`Cache::clear`], so that a row read before it is not kept after it.
    era: std::sync::atomic::AtomicU64,
}

impl Cache {
    /// The caller of a token, when it is known and not older than [`TTL`].
    pub(crate) fn get(&self, hash: &TokenHash, now: Timestamp) -> Option<Result<Holder, AuthError>> {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let (caller, checked) = callers.get(hash)?;
        if TTL < checked.elapsed() {
            return None;
        }
        if caller.expires_at().is_some_and(|end| end <= now) {
            return Some(Err(AuthError::Expired));
        }
        if caller.is_outdated(now) {
            return None;
        }
        Some(Ok(caller.clone()))
    }

    /// The number to hand to [`Cache::put`], taken before the database is asked.
    pub(crate) fn era(&self) -> u64 {
        self.era.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Keeps a caller that the database has just confirmed, unless something was revoked since `era` was taken.
    pub(crate) fn put(&self, era: u64, hash: TokenHash, caller: Holder) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        if era != self.era() {
            return;
        }
        if MAX <= callers.len() {
            callers.clear();
        }
        callers.insert(hash, (caller, Instant::now()));
    }

    /// Forgets everybody: the next call of each asks the database.
    pub(crate) fn clear(&self) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        self.era.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        callers.clear();
    }
}
