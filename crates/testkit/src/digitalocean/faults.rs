//! What can go wrong on the way to the provider, at it, and on the way back.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

/// What a request meets.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing: it is carried out and answered.
    None,
    /// It is refused as one too many.
    TooMany {
        /// `retry-after`, seconds.
        retry_after: Option<u64>,
    },
    /// It is answered with this status, and not carried out.
    Before(u16),
    /// It is carried out, and answered with this status all the same.
    After(u16),
    /// The connection is cut, and it is not carried out.
    Cut,
    /// It is carried out, and the connection cut before the answer.
    Lost,
    /// The connection is cut, and it is carried out later, by the fake's clock.
    LostLate(Duration),
    /// It is carried out, and answered so much later, by everybody's clock.
    Slow(Duration),
    /// It is carried out, and half of the answer comes.
    Garbled,
    /// It is not carried out, and answered with this.
    Answer(u16, Value),
    /// It is carried out, and the droplet that it creates stays new for ever.
    NeverBoots,
    /// It is carried out, and the action that it begins fails.
    Errored,
}

#[derive(Debug)]
struct Ordered {
    method: String,
    path: String,
    fault: Fault,
}

/// Faults that were ordered and not met yet.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<Ordered>);

impl Faults {
    pub(super) fn push(&mut self, method: &str, path: &str, fault: Fault) {
        self.0.push_back(Ordered { method: method.to_owned(), path: path.to_owned(), fault });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The fault of a request.
    pub(super) fn meet(&mut self, method: &str, path: &str) -> Fault {
        let fits = |of: &Ordered| {
            (of.method.is_empty() || of.method == method) && path.starts_with(of.path.as_str())
        };
        self.0
            .iter()
            .position(fits)
            .and_then(|at| self.0.remove(at))
            .map_or(Fault::None, |ordered| ordered.fault)
    }
}
