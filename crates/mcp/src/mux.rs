//! Many clients, one stdio process: ids and progress tokens are replaced by numbers of our own on the way in and
//! restored, byte for byte, on the way out, so that nobody can hear, answer or cancel what is another's.
//!
//! Events come in as method calls; what is to be written to the server is appended to `out`, and what is to be given to
//! a caller is returned. `C` is the shell's handle of a caller. Nothing here waits, so time is given by the caller.
//!
//! Where the caller's era is not the process's, messages are translated on the way (`crate::translate`).
//!
//! What a shared process cannot do: a request of the server's cannot be attributed to a caller, so `ping` is answered
//! here and all others are refused. A log message is a call's when it can be nobody else's; while no call is in flight
//! it goes to the sessions that listen; otherwise to nobody, because it could be another's secret.

mod own;

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use crate::envelope::{self, Envelope, EnvelopeError, Kind, Span};
use crate::errors;
use crate::level::Level;
pub use crate::listeners::{Changes, NotOpened, Offers, StreamKey};
use crate::listeners::{Listeners, Watcher};
use crate::opening::{self, Backend, Speaks};
use crate::revision::Era;
use crate::session::SessionId;
use crate::translate;

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
    /// Requests of the multiplexer's own that the server has not answered.
    own: HashMap<u64, Own>,
    listeners: Listeners<C>,
    backend: Backend,
    /// The level that the server was told to log from; absent while it was told nothing.
    level: Option<Level>,
    next: u64,
    dropped: Dropped,
}

/// What a request of the multiplexer's own is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    /// `subscriptions/listen` to changes of the lists; unanswered as long as it holds.
    Changes,
    /// `subscriptions/listen` to one resource; unanswered as long as it holds.
    Watch(Box<str>),
    /// Its answer says nothing that could be acted upon.
    Other,
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
    translation: Translation,
    /// The level from which a modern caller asked for log messages.
    level: Option<Level>,
    /// The resource that the session watches once this call has succeeded.
    watches: Option<Box<str>>,
    /// When its caller left, of a legacy call that goes on.
    left_at: Option<Duration>,
}

/// What has to be done to the answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Translation {
    /// Both ends speak the same era.
    None,
    ToModern {
        /// Whether the result carries caching hints.
        cacheable: bool,
    },
    ToLegacy,
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
    /// A notification to everybody who listens for it; each as that client hears it.
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
    /// It says nothing to a shared process.
    Ignored,
}

impl<C: Clone> Mux<C> {
    /// No calls yet, and no server either.
    pub fn new() -> Self {
        Self {
            calls: HashMap::new(),
            own: HashMap::new(),
            listeners: Listeners::new(),
            backend: Backend::default(),
            level: None,
            next: 1,
            dropped: Dropped::default(),
        }
    }

    /// Calls in flight, those whose callers have left included: the server works on them.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// What went to nobody so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// A server was opened: what the clients were promised of the one before it is asked of this one.
    pub fn open(&mut self, backend: Backend, out: &mut Vec<u8>) {
        self.backend = backend;
        self.level = None;
        let watched: Vec<Box<str>> = self.listeners.watched().map(Box::from).collect();
        if self.backend.speaks == Speaks::Modern {
            self.listen_to_changes(out);
        } else {
            out.extend_from_slice(opening::initialized());
            if let Some(level) = self.listeners.lowest_level() {
                self.want_level(level, out);
            }
        }
        for uri in watched {
            self.watch(&uri, out);
        }
    }

    /// Takes a client's request and appends what the server gets of it to `out`. `id` is the request's own.
    pub fn request(
        &mut self,
        message: &Envelope<'_>,
        id: Span,
        caller: Caller,
        to: C,
        out: &mut Vec<u8>,
    ) -> Begun {
        let method = message.method();
        if let Some(answer) = self.answer_here(message, &method, caller, out) {
            return Begun::Answered(answer);
        }
        let translation = match (caller.era, self.backend.speaks) {
            (Era::Modern, Speaks::Legacy) => {
                Translation::ToModern { cacheable: translate::is_cacheable(&method) }
            }
            (Era::Legacy, Speaks::Modern) => Translation::ToLegacy,
            _ => Translation::None,
        };
        let level = message.marks.meta_log_level.filter(|_| caller.era == Era::Modern);
        let level = level.and_then(|span| message.string(span)).and_then(|name| Level::of(&name));
        if let (Some(level), Translation::ToModern { .. }) = (level, translation) {
            self.want_level(level, out);
        }
        let watches =
            message.marks.uri.filter(|_| caller.era == Era::Legacy && method == "resources/subscribe");
        let watches = watches.and_then(|span| message.string(span)).map(Box::from);

        let key = self.next;
        self.next += 1;
        let mut digits = [0; 20];
        let digits = decimal(key, &mut digits);
        let token = message.marks.meta_progress_token.filter(|span| is_token(message.raw(*span)));
        let mut edits: translate::Edits<'_> = vec![(id, digits)];
        edits.extend(token.map(|token| (token, digits)));
        let mut meta = Vec::new();
        match translation {
            Translation::None => {}
            Translation::ToModern { .. } => translate::strip_meta(message, &mut edits),
            Translation::ToLegacy => {
                let level = caller.session.and_then(|session| self.listeners.level(session));
                let members = translate::modern_meta(&self.backend.client, level.map(Level::name));
                translate::put_meta(message, &members, &mut meta, &mut edits);
            }
        }
        message.splice(&mut edits, out);
        out.push(b'\n');
        self.calls.insert(
            key,
            Call {
                to,
                caller,
                raw_id: message.raw(id).into(),
                raw_token: token.map(|span| message.raw(span).into()),
                translation,
                level,
                watches,
                left_at: None,
            },
        );
        Begun::Forwarded(CallKey(key))
    }

    /// Opens the stream of a modern client's `subscriptions/listen` to a legacy server; also gives the acknowledgement,
    /// which is the first message on it.
    pub fn listen(
        &mut self,
        message: &Envelope<'_>,
        to: C,
        out: &mut Vec<u8>,
    ) -> Result<(StreamKey, Vec<u8>), NotOpened> {
        let opened = self.listeners.listen(message, self.backend.offers, to)?;
        for uri in &opened.first {
            self.watch(uri, out);
        }
        Ok((opened.key, opened.acknowledged))
    }

    /// Opens the stream of a session; the one that it had before is given back, to be ended.
    pub fn open_session(&mut self, session: SessionId, to: C) -> Result<(StreamKey, Option<C>), NotOpened> {
        self.listeners.open_session(session, to)
    }

    /// Where a session listens.
    pub fn listening(&self, session: SessionId) -> Option<&C> {
        self.listeners.listening(session)
    }

    /// The client of a session has left for good. Its calls go on, and their answers are dropped.
    pub fn left_session(&mut self, session: SessionId, now: Duration) {
        for call in self.calls.values_mut().filter(|call| call.caller.session == Some(session)) {
            call.left_at.get_or_insert(now);
        }
    }

    /// The client of a stream has left.
    pub fn close(&mut self, stream: StreamKey, out: &mut Vec<u8>) {
        for uri in self.listeners.close(stream) {
            self.unwatch(&uri, out);
        }
    }

    /// A session has ended; its stream, if it has one, is given back, to be ended.
    pub fn end_session(&mut self, session: SessionId, out: &mut Vec<u8>) -> Option<C> {
        let (stream, unwatched) = self.listeners.end_session(session);
        for uri in unwatched {
            self.unwatch(&uri, out);
        }
        stream
    }

    /// There will be no server any more: every stream ends, some with a last message.
    pub fn end_streams(&mut self) -> Vec<(C, Option<Vec<u8>>)> {
        self.listeners.end()
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
                let mut edits = Vec::new();
                if (caller.era, self.backend.speaks) == (Era::Modern, Speaks::Legacy) {
                    translate::strip_meta(message, &mut edits);
                }
                message.splice(&mut edits, out);
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
        // Callers who wanted more of the log than those who are left do have gone.
        let wanted =
            self.calls.values().filter_map(|call| call.level).chain(self.listeners.lowest_level()).min();
        if let Some(wanted) = wanted.filter(|wanted| self.level.is_some_and(|level| level < *wanted)) {
            self.level = None;
            self.want_level(wanted, out);
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
        self.own.clear();
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
            if self.own.remove(&key).is_some() {
                return Output::Nobody;
            }
            if (1..self.next).contains(&key) {
                self.dropped.late_answers += 1;
            } else {
                self.dropped.unknown_answers += 1;
            }
            return Output::Nobody;
        };
        if let (Some(uri), Some(session), Some(_)) = (&call.watches, call.caller.session, message.result) {
            // One that watches too much already is told so by silence only: the server has said yes.
            let _ = self.listeners.watch(Watcher::Session(session), uri);
        }
        if call.left_at.is_some() {
            self.dropped.late_answers += 1;
            return Output::Nobody;
        }
        let mut restored = Vec::new();
        let code = match call.translation {
            Translation::ToModern { cacheable } => translate::to_modern(
                message,
                &call.raw_id,
                cacheable,
                &self.backend.server_info,
                &mut restored,
            ),
            Translation::ToLegacy => {
                translate::to_legacy(message, &call.raw_id, &mut restored);
                None
            }
            Translation::None => {
                let raw_id = call.raw_id.as_bytes();
                let mut edits = vec![(id, raw_id)];
                let subscription = message.marks.meta_subscription;
                edits.extend(
                    subscription
                        .filter(|span| number(message.raw(*span)) == Some(key))
                        .map(|span| (span, raw_id)),
                );
                message.splice(&mut edits, &mut restored);
                let code = message.marks.code.filter(|_| call.caller.era == Era::Modern);
                code.and_then(|code| message.raw(code).parse().ok())
            }
        };
        Output::Answer { to: call.to, message: restored, code }
    }

    fn between(&mut self, message: &Envelope<'_>) -> Output<C> {
        let method = message.method();
        let owner = if method == "notifications/progress" {
            let token = message.marks.progress_token;
            let call = self.call_of(message, token);
            call.and_then(|call| Some((call, Some((token?, call.raw_token.as_deref()?)))))
        } else if let Some(subscription) = message.marks.meta_subscription {
            if number(message.raw(subscription)).is_some_and(|key| self.own.contains_key(&key)) {
                return self.everybody(message);
            }
            self.call_of(message, Some(subscription)).map(|call| (call, Some((subscription, &*call.raw_id))))
        } else if method == "notifications/message" && !self.calls.is_empty() {
            self.logging_call(message).map(|call| (call, None))
        } else {
            return self.everybody(message);
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

    /// A notification that belongs to no call.
    fn everybody(&mut self, message: &Envelope<'_>) -> Output<C> {
        let heard = self.listeners.hear(message);
        if heard.is_empty() {
            self.dropped.notifications += 1;
            return Output::Nobody;
        }
        Output::Many(heard)
    }

    /// The call that a log message may be shown to: the one in flight, or the youngest when all are of one session.
    fn logging_call(&self, message: &Envelope<'_>) -> Option<&Call<C>> {
        let (_, youngest) = self.calls.iter().max_by_key(|(key, _)| **key)?;
        let is_of_one = |call: &Call<C>| call.caller == youngest.caller && call.caller.session.is_some();
        if self.calls.len() != 1 && !self.calls.values().all(is_of_one) {
            return None;
        }
        let level =
            message.marks.level.and_then(|span| message.string(span)).and_then(|name| Level::of(&name));
        let hears = match (youngest.caller.era, youngest.caller.session) {
            (Era::Legacy, Some(session)) => self.listeners.hears(session, level),
            (Era::Legacy, None) => true,
            (Era::Modern, _) => youngest.level.is_some_and(|least| level.is_none_or(|level| least <= level)),
        };
        Some(youngest).filter(|_| hears)
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
        cancel(key, "the client has left", out);
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

fn cancel(key: u64, reason: &str, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    let _ = writeln!(
        out,
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{key},"reason":"{reason}"}}}}"#
    );
}

#[cfg(test)]
mod tests;
