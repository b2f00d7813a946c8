//! Clients that were given a first token and are expected to call. One that does not has usually given up without a word: its log
//! says nothing, so ours does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::GrantId;

use crate::app::App;

/// How long a client may take from its token to its first call.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than these are not watched at once.
const MAX: usize = 1000;

/// The grants of those who have not called yet.
#[derive(Debug, Default)]
pub(crate) struct Expected(Mutex<HashSet<GrantId>>);

impl Expected {
    fn expect(&self, grant: GrantId) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.len() < MAX && all.insert(grant)
    }

    /// A token of this grant was shown and is good.
    pub(crate) fn came(&self, grant: GrantId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant);
    }

    fn missing(&self, grant: GrantId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant)
    }
}

/// Says so when the client of a new grant does not come back with its token.
pub(crate) fn watch(app: &Arc<App>, grant: GrantId, client: &str, resource: &str) {
    if !app.directory.expected().expect(grant) {
        return;
    }
    let (app, client, resource) = (Arc::clone(app), client.to_owned(), resource.to_owned());
    tokio::spawn(async move {
        tokio::select! {
            () = app.stop.cancelled() => {}
            () = tokio::time::sleep(PATIENCE) => {
                if app.directory.expected().missing(grant) {
                    tracing::warn!(
                        client, resource, %grant,
                        "a client was given a token and has not called since: some give up without a word when the address that they \
                         were told (`resource`, `iss`) is not the one that they were configured with, or when they cannot keep the \
                         token; `berth connect --check` goes the same way and says where it ends"
                    );
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_is_not_missed() {
        let expected = Expected::default();
        let (one, two) = (GrantId::generate(), GrantId::generate());
        assert!(expected.expect(one) && expected.expect(two));
        assert!(!expected.expect(one), "watched already");
        expected.came(one);
        expected.came(GrantId::generate());
        assert!(!expected.missing(one));
        assert!(expected.missing(two));
        assert!(!expected.missing(two), "said once");
    }
}
