//! What happened to all clients, kept small enough for ten minutes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::wire::Failed;

/// Failures that are kept; of a run with more than this nobody reads them all.
const KEPT: usize = 20_000;

/// Shared by all clients.
#[derive(Debug, Clone)]
pub(crate) struct Record(Arc<Mutex<Recorded>>);

/// Everything that was recorded.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// By what was done: how often it went well, and how long each took, in microseconds.
    pub(crate) done: BTreeMap<&'static str, Vec<u32>>,
    /// What failed.
    pub(crate) failures: Vec<Failure>,
    /// How many more failed than were kept.
    pub(crate) not_kept: usize,
}

/// Something that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Who did what.
    pub(crate) what: String,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) failed: Failed,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Something took from `begun` until now and went well.
    pub(crate) fn done(&self, what: &'static str, begun: Instant) {
        let micros = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.lock().done.entry(what).or_default().push(micros);
    }

    /// Something failed that was under way since `begun`.
    pub(crate) fn failed(&self, what: String, begun: Instant, failed: Failed) {
        let mut recorded = self.lock();
        if recorded.failures.len() < KEPT {
            recorded.failures.push(Failure { what, begun, ended: Instant::now(), failed });
        } else {
            recorded.not_kept += 1;
        }
    }

    /// What was recorded up to now.
    pub(crate) fn take(&self) -> Recorded {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
