//! Many clients, one stdio process: ids and progress tokens are replaced by numbers of our own on the way in and
//! restored, byte for byte, on the way out, so that nobody can hear, answer or cancel what is another's.
//!
//! Events come in as method calls; what is to be written to the server is appended to `out`, and what is to be given to
//! a caller is returned. `C` is the shell's handle of a caller. Nothing here waits, so time is given by the caller.
//!
//! What a shared process cannot do: a request of the server's cannot be attributed to a caller, so `ping` is answered
//! here and all others are refused; a notification that names no call (`list_changed`, `resources/updated`) reaches
//! nobody; `notifications/message` reaches the caller when exactly one call is in flight.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use serde::Deserialize;

use crate::envelope::{self, Envelope, EnvelopeError, Kind, Span};
use crate::errors;
use crate::revision::Era;
use crate::session::SessionId;

/// A call whose caller has left is waited for that long, then cancelled, so that its slot is not held for ever.
const ABANDONED_AFTER: Duration = Duration::from_mins(5);

/// Names a call in flight: its id on the server's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(u64);

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The era of the message.
    pub era: Era,
    /// The session of a legacy message.
    pub session: Option<SessionId>,
}

/// The calls in flight on one process.
#[derive(Debug)]
pub struct Mux<C> {
    calls: HashMap<u64, Call<C>>,
    next: u64,
    dropped: Dropped,
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
    /// Requests that a shared process cannot pass to a client; each was refused.
    pub requests: u64,
}

#[derive(Debug)]
struct Call<C> {
    to: C,
    caller: Caller,
    /// As the client wrote it, quotes included.
    raw_id: Box<str>,
    raw_token: Option<Box<str>>,
    /// Whether a modern caller asked for log messages.
    wants_log: bool,
    /// When its caller left, of a legacy call that goes on.
    left_at: Option<Duration>,
}

/// What a line of the server's means.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<C> {
    /// The answer to a call, which is over now.
    Answer {
        /// Whose.
        to: C,
        /// With the client's own id.
        message: Vec<u8>,
        /// `error.code`, of an error to a modern caller.
        code: Option<i64>,
    },
    /// A notification to a call that goes on.
    Between {
        /// Whose.
        to: C,
        /// With the client's own token.
        message: Vec<u8>,
    },
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
    /// It says nothing to a shared process.
    Ignored,
}

impl<C: Clone> Mux<C> {
    /// No calls yet.
    pub fn new() -> Self {
        Self { calls: HashMap::new(), next: 1, dropped: Dropped::default() }
    }

    /// Calls in flight, those whose callers have left included: the server works on them.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// What went to nobody so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Takes a client's request in flight and appends its line to `out`. `id` is the request's own.
    pub fn request(
        &mut self,
        message: &Envelope<'_>,
        id: Span,
        caller: Caller,
        to: C,
        out: &mut Vec<u8>,
    ) -> CallKey {
        let key = self.next;
        self.next += 1;
        let mut digits = [0; 20];
        let digits = decimal(key, &mut digits);
        let token = message.marks.meta_progress_token.filter(|span| is_token(message.raw(*span)));
        match token {
            Some(token) => message.splice(&mut [(id, digits), (token, digits)], out),
            None => message.splice(&mut [(id, digits)], out),
        }
        out.push(b'\n');
        self.calls.insert(
            key,
            Call {
                to,
                caller,
                raw_id: message.raw(id).into(),
                raw_token: token.map(|span| message.raw(span).into()),
                wants_log: message.marks.meta_log_level.is_some(),
                left_at: None,
            },
        );
        CallKey(key)
    }

    /// Takes a client's notification.
    pub fn notification(&mut self, message: &Envelope<'_>, caller: Caller, out: &mut Vec<u8>) -> Noted<C> {
        match message.method().as_ref() {
            "notifications/cancelled" if caller.era == Era::Legacy => self.cancelled(message, caller, out),
            // The process was initialised once and was promised no roots, and it has sent no request that could
            // progress. Modern clients cancel by closing the response.
            "notifications/cancelled"
            | "notifications/initialized"
            | "notifications/progress"
            | "notifications/roots/list_changed" => Noted::Ignored,
            _ => {
                message.splice(&mut [], out);
                out.push(b'\n');
                Noted::Forwarded
            }
        }
    }

    /// The caller of a call has left. A modern one has cancelled by that; a legacy call goes on and its answer is
    /// dropped (2025-11-25, Streamable HTTP: "disconnection SHOULD NOT be interpreted as the client cancelling").
    pub fn left(&mut self, key: CallKey, now: Duration, out: &mut Vec<u8>) {
        match self.calls.get_mut(&key.0) {
            Some(call) if call.caller.era == Era::Legacy => call.left_at = Some(now),
            Some(_) => self.give_up(key.0, out),
            None => {}
        }
    }

    /// Gives up on calls whose callers left long ago. Call it now and then.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<u8>) {
        let is_abandoned = |call: &Call<C>| {
            call.left_at.is_some_and(|left_at| ABANDONED_AFTER <= now.saturating_sub(left_at))
        };
        let abandoned: Vec<u64> =
            self.calls.iter().filter(|(_, call)| is_abandoned(call)).map(|(key, _)| *key).collect();
        for key in abandoned {
            self.give_up(key, out);
        }
    }

    /// Takes a line of the server's.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Output<C> {
        let message = match envelope::scan(line) {
            Ok(message) => message,
            Err(error) => return Output::Garbage(error),
        };
        match message.kind() {
            Kind::Answer => self.answer(&message),
            Kind::Notification => self.between(&message),
            Kind::Request => {
                self.refuse(&message, out);
                Output::Nobody
            }
        }
    }

    /// The process has ended: every call ends now, each with an error that carries its client's id. `why` is for people.
    pub fn ended(&mut self, why: &str) -> Vec<(C, Vec<u8>)> {
        let body = |call: &Call<C>| errors::body(Some(&call.raw_id), errors::INTERNAL_ERROR, why, None);
        self.calls.drain().map(|(_, call)| (call.to.clone(), body(&call))).collect()
    }

    fn answer(&mut self, message: &Envelope<'_>) -> Output<C> {
        let key = message.id.and_then(|id| number(message.raw(id)));
        let (Some(id), Some(key)) = (message.id, key) else {
            self.dropped.unknown_answers += 1;
            return Output::Nobody;
        };
        let Some(call) = self.calls.remove(&key) else {
            if (1..self.next).contains(&key) {
                self.dropped.late_answers += 1;
            } else {
                self.dropped.unknown_answers += 1;
            }
            return Output::Nobody;
        };
        if call.left_at.is_some() {
            self.dropped.late_answers += 1;
            return Output::Nobody;
        }
        let mut restored = Vec::new();
        let raw_id = call.raw_id.as_bytes();
        match message.marks.meta_subscription.filter(|span| number(message.raw(*span)) == Some(key)) {
            Some(subscription) => message.splice(&mut [(id, raw_id), (subscription, raw_id)], &mut restored),
            None => message.splice(&mut [(id, raw_id)], &mut restored),
        }
        let is_modern = call.caller.era == Era::Modern;
        let code = message.error.filter(|_| is_modern).and_then(|error| error_code(message.raw(error)));
        Output::Answer { to: call.to, message: restored, code }
    }

    fn between(&mut self, message: &Envelope<'_>) -> Output<C> {
        let method = message.method();
        let owner = if method == "notifications/progress" {
            let token = message.marks.progress_token;
            let call = self.call_of(message, token);
            call.and_then(|call| Some((call, Some((token?, call.raw_token.as_deref()?)))))
        } else if let Some(subscription) = message.marks.meta_subscription {
            self.call_of(message, Some(subscription)).map(|call| (call, Some((subscription, &*call.raw_id))))
        } else if method == "notifications/message" && self.calls.len() == 1 {
            let only = self.calls.values().next();
            only.filter(|call| call.caller.era == Era::Legacy || call.wants_log).map(|call| (call, None))
        } else {
            None
        };
        let Some((call, edit)) = owner.filter(|(call, _)| call.left_at.is_none()) else {
            self.dropped.notifications += 1;
            return Output::Nobody;
        };
        let mut restored = Vec::new();
        match edit {
            Some((span, raw)) => message.splice(&mut [(span, raw.as_bytes())], &mut restored),
            None => message.splice(&mut [], &mut restored),
        }
        Output::Between { to: call.to.clone(), message: restored }
    }

    fn call_of(&self, message: &Envelope<'_>, span: Option<Span>) -> Option<&Call<C>> {
        self.calls.get(&number(message.raw(span?))?)
    }

    fn refuse(&mut self, message: &Envelope<'_>, out: &mut Vec<u8>) {
        let raw_id = message.raw_id().unwrap_or("null");
        let method = message.method();
        if method == "ping" {
            // Writing to a `Vec` cannot fail.
            let _ = writeln!(out, r#"{{"jsonrpc":"2.0","id":{raw_id},"result":{{}}}}"#);
            return;
        }
        self.dropped.requests += 1;
        let why = "this client declared no capabilities: the process is shared, and takes no requests to its client";
        out.extend_from_slice(&errors::body(Some(raw_id), errors::METHOD_NOT_FOUND, why, None));
        out.push(b'\n');
    }

    fn cancelled(&mut self, message: &Envelope<'_>, caller: Caller, out: &mut Vec<u8>) -> Noted<C> {
        let Some(span) = message.marks.request_id else { return Noted::Ignored };
        let raw_id = message.raw(span);
        let is_meant = |call: &Call<C>| call.caller == caller && *call.raw_id == *raw_id;
        // A client that uses one id twice at once means the younger call: the older answer is lost to it anyway.
        let key = self.calls.iter().filter(|(_, call)| is_meant(call)).map(|(key, _)| *key).max();
        let Some((key, call)) = key.and_then(|key| Some((key, self.calls.remove(&key)?))) else {
            return Noted::Ignored;
        };
        let mut digits = [0; 20];
        message.splice(&mut [(span, decimal(key, &mut digits))], out);
        out.push(b'\n');
        Noted::Cancelled(call.to)
    }

    fn give_up(&mut self, key: u64, out: &mut Vec<u8>) {
        self.calls.remove(&key);
        // Writing to a `Vec` cannot fail.
        let _ = writeln!(
            out,
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{key},"reason":"the client has left"}}}}"#
        );
    }
}

impl<C: Clone> Default for Mux<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Progress tokens are strings or numbers; anything else is left for the server to refuse.
fn is_token(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// One of our numbers: plain decimal digits, as they were sent.
fn number(raw: &str) -> Option<u64> {
    let is_plain = raw.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { raw.parse().ok() } else { None }
}

fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut from = digits.len();
    let mut rest = number;
    loop {
        from -= 1;
        // The remainder of a division by ten is one digit.
        digits[from] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            return &digits[from..];
        }
    }
}

fn error_code(raw: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Error {
        code: i64,
    }
    serde_json::from_str::<Error>(raw).ok().map(|error| error.code)
}

#[cfg(test)]
mod tests;
