//! What the multiplexer is told and what it tells.

use std::sync::Arc;

use crate::client::{Capabilities, Hello};
use crate::envelope::EnvelopeError;
use crate::park;
use crate::revision::Era;
use crate::rule::Rule;
use crate::session::SessionId;

/// Names a call in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(super) u64);

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The era of the message.
    pub era: Era,
    /// A hash of the principal ([`crate::session::principal_hash`]).
    pub principal: [u8; 16],
    /// The principal itself, where the server is code that acts in its name.
    pub name: Option<Arc<str>>,
    /// The session of a legacy message.
    pub session: Option<SessionId>,
    /// What the client of the session said at `initialize`.
    pub hello: Option<Arc<Hello>>,
    /// What the client can be asked.
    pub can: Capabilities,
    /// Whether the answer can be a stream, on which requests to the client travel.
    pub takes_requests: bool,
    /// What the caller may use; absent: everything.
    pub rule: Option<Arc<Rule>>,
}

impl Caller {
    pub(super) fn is_of_session(&self, other: &Self) -> bool {
        self.era == Era::Legacy
            && other.era == Era::Legacy
            && self.session.is_some()
            && self.session == other.session
    }
}

/// What a multiplexer is made with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The instance's key, from which the seal of `requestState` is derived.
    pub instance_key: &'a str,
    /// Fresh random bytes.
    pub random: [u8; park::RANDOM],
    /// Requests to clients are numbered from here on. Of one instance no two multiplexers may share numbers.
    pub first_question: u64,
    /// All callers are one principal's, so that a question outside of any call may go to whoever listens.
    pub is_private: bool,
    /// A question comes with the call that it belongs to; otherwise calls are one at a time once the server has asked.
    pub owners_are_known: bool,
}

/// What came from a server and went to nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Answers to calls that were answered, cancelled or given up before.
    pub late_answers: u64,
    /// Answers to ids that were never sent.
    pub unknown_answers: u64,
    /// Notifications that belong to no call in flight.
    pub notifications: u64,
    /// Requests that could not be passed to a client; each was refused.
    pub requests: u64,
}

/// What became of a client's request.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// The server has it.
    Forwarded(CallKey),
    /// It was answered here.
    Answered(Vec<u8>),
}

/// What a line of the server's means.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<C> {
    /// The answer to a call. The call is over, or waits for its client to call again with what it was asked.
    Answer {
        /// Whose.
        to: C,
        /// With the client's own id.
        message: Vec<u8>,
        /// `error.code`, of an error to a modern caller.
        code: Option<i64>,
    },
    /// A notification or a request to the client of a call that goes on.
    Between {
        /// Whose.
        to: C,
        /// With the client's own token.
        message: Vec<u8>,
    },
    /// As [`Output::Between`], to everybody who is concerned; each as that client hears it.
    Many(Vec<(C, Vec<u8>)>),
    /// It went to nobody: answered here, or counted in [`Dropped`].
    Nobody,
    /// It is no message.
    Garbage(EnvelopeError),
}

/// What a client's notification means.
#[derive(Debug, PartialEq, Eq)]
pub enum Noted<C> {
    /// It was handed to the server.
    Forwarded,
    /// It cancelled a call, which is over now: its caller gets no answer.
    Cancelled(C),
    /// It says nothing to this process.
    Ignored,
}
