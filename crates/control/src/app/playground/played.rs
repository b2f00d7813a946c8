//! What people called from pages, for the list of their last calls, downloads and the frames of apps. It is kept in memory, each one's own, and gone
//! when the process ends: what somebody tries out is not worth a table, and its results may hold what belongs on no disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::{CallId, InstanceId, UserId};
use domain::time::Timestamp;

use super::client::{Said, What};
use super::json::Json;
use super::trouble::Trouble;
use super::{Call, Kind};

/// The last calls of one person at one instance.
const MOST_OF_ONE: usize = 20;
/// The calls of all.
const MOST: usize = 5_000;
/// What all of them may take, in bytes.
const LARGEST: usize = 64 << 20;
/// What a value takes beside its texts, in bytes.
const EACH: usize = 64;

/// A call that is over.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) id: CallId,
    user: UserId,
    instance: InstanceId,
    pub(crate) at: Timestamp,
    pub(crate) took: Duration,
    pub(crate) call: Call,
    pub(crate) ended: Ended,
    size: usize,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) result: Result<Json, Trouble>,
    pub(crate) said: Vec<Said>,
    /// HTML of the server's that shows the result.
    pub(crate) app: Option<String>,
}

/// All that is kept. One per process.
#[derive(Debug, Default)]
pub(crate) struct Played {
    all: Mutex<(VecDeque<Arc<Past>>, usize)>,
}

impl Played {
    /// Keeps a call; the oldest ones go.
    pub(crate) fn put(
        &self,
        (user, instance): (UserId, InstanceId),
        (at, took): (Timestamp, Duration),
        call: Call,
        ended: Ended,
    ) -> Arc<Past> {
        let size = size_of(&call.arguments) + call.name.len() + size_of_end(&ended);
        let past = Arc::new(Past { id: CallId::generate(), user, instance, at, took, call, ended, size });
        let mut locked = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, total) = &mut *locked;
        all.push_back(Arc::clone(&past));
        *total += size;
        let is_theirs = |past: &Past| past.user == user && past.instance == instance;
        let own = all.iter().filter(|past| is_theirs(past)).count();
        if MOST_OF_ONE < own
            && let Some(at) = all.iter().position(|past| is_theirs(past))
            && let Some(gone) = all.remove(at)
        {
            *total -= gone.size;
        }
        while MOST < all.len() || LARGEST < *total {
            let Some(gone) = all.pop_front() else { break };
            *total -= gone.size;
        }
        past
    }

    /// The calls of a person at an instance, newest first.
    pub(crate) fn of(&self, user: UserId, instance: InstanceId) -> Vec<Arc<Past>> {
        let locked = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let own = locked.0.iter().rev().filter(|past| past.user == user && past.instance == instance);
        own.cloned().collect()
    }

    /// One of them.
    pub(crate) fn find(&self, user: UserId, instance: InstanceId, id: &str) -> Option<Arc<Past>> {
        let id: CallId = id.parse().ok()?;
        self.of(user, instance).into_iter().find(|past| past.id == id)
    }
}

impl Past {
    /// What came of it, in a word.
    pub(crate) fn word(&self) -> &'static str {
        match &self.ended.result {
            Ok(result) if result.bool_of("isError") == Some(true) => "the tool failed",
            Ok(_) => "answered",
            Err(_) => "no result",
        }
    }

    /// Whether it went well.
    pub(crate) fn is_ok(&self) -> bool {
        matches!(&self.ended.result, Ok(result) if result.bool_of("isError") != Some(true))
    }

    /// The kind of what was called.
    pub(crate) fn kind(&self) -> Kind {
        self.call.kind
    }
}

fn size_of_end(ended: &Ended) -> usize {
    let result = ended.result.as_ref().map_or(EACH, size_of);
    let said = ended.said.iter().map(|said| {
        EACH + match &said.what {
            What::Log { text, .. } => text.len(),
            What::Progress { message, .. } => message.as_ref().map_or(0, String::len),
            What::More => 0,
        }
    });
    result + said.sum::<usize>() + ended.app.as_ref().map_or(0, String::len)
}

/// About what a value takes in memory.
fn size_of(json: &Json) -> usize {
    EACH + match json {
        Json::Null | Json::Bool(_) => 0,
        Json::Number(text) | Json::Text(text) => text.len(),
        Json::List(items) => items.iter().map(size_of).sum(),
        Json::Object(members) => members.iter().map(|(key, value)| key.len() + size_of(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(played: &Played, who: (UserId, InstanceId), name: &str, bytes: usize) -> Arc<Past> {
        let call = Call {
            kind: Kind::Tool,
            name: name.to_owned(),
            arguments: Json::Object(Vec::new()),
            answers: None,
        };
        let ended = Ended { result: Ok(Json::text("x".repeat(bytes))), said: Vec::new(), app: None };
        played.put(who, (Timestamp(1), Duration::ZERO), call, ended)
    }

    #[test]
    fn each_has_their_own_last_calls_at_an_instance() {
        let played = Played::default();
        let (one, two) =
            ((UserId::generate(), InstanceId::generate()), (UserId::generate(), InstanceId::generate()));
        let other = (one.0, two.1);
        for at in 0..30 {
            put(&played, one, &at.to_string(), 0);
        }
        let theirs = put(&played, two, "x", 0);
        put(&played, other, "y", 0);
        let names = |who: (UserId, InstanceId)| -> Vec<String> {
            played.of(who.0, who.1).iter().map(|past| past.call.name.clone()).collect()
        };
        assert_eq!(names(one), (10..30).rev().map(|at| at.to_string()).collect::<Vec<_>>());
        assert_eq!((names(two), names(other)), (vec!["x".to_owned()], vec!["y".to_owned()]));
        let id = theirs.id.to_string();
        assert!(played.find(two.0, two.1, &id).is_some());
        assert!(played.find(one.0, two.1, &id).is_none() && played.find(two.0, one.1, &id).is_none());
        assert!(played.find(two.0, two.1, "x").is_none());
    }

    #[test]
    fn memory_has_a_bound() {
        let played = Played::default();
        let who = (UserId::generate(), InstanceId::generate());
        for at in 0..10 {
            put(&played, who, &at.to_string(), 16 << 20);
        }
        assert_eq!(played.of(who.0, who.1).len(), 3, "what they take beside is counted too");
        for _ in 0..(MOST + 10) {
            put(&played, (UserId::generate(), who.1), "x", 0);
        }
        let locked = played.all.lock().unwrap();
        let total: usize = locked.0.iter().map(|past| past.size).sum();
        assert_eq!((locked.0.len(), locked.1), (MOST, total));
    }
}
