//! What is known of dialling hosts: which answered, and why others did not. Only a memory: losing it costs one question
//! each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::ids::EnvironmentId;

/// The memory. One per process.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Mutex<HashMap<EnvironmentId, Option<String>>>);

impl Hosts {
    /// Its DTMA answered as the environment's own.
    pub(crate) fn answered(&self, environment: EnvironmentId) {
        self.map().insert(environment, None);
    }

    /// It did not, and why.
    pub(crate) fn failed(&self, environment: EnvironmentId, why: String) {
        self.map().insert(environment, Some(why));
    }

    /// Why its DTMA did not answer when it was last asked; `None` too when it never was.
    pub(crate) fn why(&self, environment: EnvironmentId) -> Option<String> {
        self.map().get(&environment).cloned().flatten()
    }

    /// Whether its DTMA answered when it was last asked.
    pub(crate) fn has_answered(&self, environment: EnvironmentId) -> bool {
        self.map().get(&environment).is_some_and(Option::is_none)
    }

    /// Keeps what is known of these alone.
    pub(crate) fn retain(&self, is_kept: impl Fn(EnvironmentId) -> bool) {
        self.map().retain(|id, _| is_kept(*id));
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<EnvironmentId, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
