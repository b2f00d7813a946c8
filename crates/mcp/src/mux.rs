//! Many clients, one server process: ids and progress tokens are replaced by numbers of our own on the way in and
//! restored, byte for byte, on the way out, so that nobody can hear, answer or cancel what is another's.
//!
//! Events come in as method calls; what is to be written to the server is appended to `out`, and what is to be given to
//! a caller is returned. `C` is the shell's handle of a caller. Nothing here waits, so time is given by the caller.
//!
//! Where the caller's era is not the process's, messages are translated on the way (`crate::translate`), and a server's
//! question in mid-call becomes what the client's era has for it (`questions`).
//!
//! A log message is a call's when it can be nobody else's; while no call is in flight it goes to the sessions that listen;
//! otherwise to nobody, because it could be another's secret.

mod from_server;
mod own;
mod questions;
mod sleep;
mod types;

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::time::Duration;

use crate::envelope::{Envelope, Span};
use crate::errors;
use crate::level::Level;
use crate::listeners::Listeners;
pub use crate::listeners::{Changes, NotOpened, Offers, StreamKey};
use crate::mux::questions::{Asking, Question};
use crate::mux::sleep::{Listens, Sleep};
pub use crate::mux::types::{Begun, CallKey, Caller, Dropped, Noted, Output, Setup};
use crate::opening::{self, Backend, Speaks};
use crate::park::{self, RequestDigest, Tickets};
use crate::recall::{self, Asker};
use crate::revision::Era;
use crate::rule::Rule;
use crate::session::SessionId;
use crate::translate;

/// A call whose caller has left is waited for that long, then cancelled, so that its slot is not held for ever.
const ABANDONED_AFTER: Duration = Duration::from_mins(5);

/// The calls in flight on one process.
#[derive(Debug)]
pub struct Mux<C> {
    calls: HashMap<u64, Call<C>>,
    /// Calls that the server knows by a later number, because they were sent again with answers.
    again: HashMap<u64, u64>,
    /// Requests of the multiplexer's own that the server has not answered.
    own: HashMap<u64, Own>,
    /// Requests of the server's that its clients have not answered.
    questions: HashMap<u64, Question>,
    /// Those of which nobody knows yet whom they are for.
    unowned: VecDeque<u64>,
    listeners: Listeners<C>,
    backend: Backend,
    tickets: Tickets,
    is_private: bool,
    owners_are_known: bool,
    /// Whether the server has ever asked its client anything.
    asks: bool,
    /// The level that the server was told to log from; absent while it was told nothing.
    level: Option<Level>,
    next: u64,
    next_question: u64,
    /// When [`Mux::tick`] is due at the latest.
    due: Option<Duration>,
    sleep: Sleep,
    /// What has to be given to callers beside what the last event returned.
    more: VecDeque<Output<C>>,
    dropped: Dropped,
}

/// What a request of the multiplexer's own is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    /// `subscriptions/listen` to changes of the lists; unanswered as long as it holds.
    Changes,
    /// `subscriptions/listen` to one resource; unanswered as long as it holds.
    Watch(Box<str>),
    /// A list whose last answer holds no longer, asked for again.
    List {
        question: recall::Question,
        /// Who wanted it last.
        asker: Asker,
        /// It has changed once more since it was asked for.
        is_stale: bool,
    },
    /// Its answer says nothing that could be acted upon.
    Other,
}

#[derive(Debug)]
struct Call<C> {
    to: C,
    caller: Caller,
    /// As the client wrote it, quotes included.
    raw_id: Box<str>,
    raw_token: Option<Box<str>>,
    translation: Translation,
    /// Whether it is `server/discover`.
    is_discover: bool,
    /// The method, when its answer is a list that the caller's rule looks at.
    filtered: Option<Box<str>>,
    /// The level from which a modern caller asked for log messages.
    level: Option<Level>,
    /// The question that it asks, when the answer is to be kept.
    asks: Option<recall::Question>,
    /// Of a call that only listens, the line that the server got.
    listens: Option<Listens>,
    /// The resource that the session watches once this call has succeeded.
    watches: Option<Box<str>>,
    /// When its caller left, of a legacy call that goes on.
    left_at: Option<Duration>,
    asking: Asking,
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

impl<C: Clone> Mux<C> {
    /// No calls yet, and no server either.
    pub fn new(setup: &Setup<'_>) -> Self {
        Self {
            calls: HashMap::new(),
            again: HashMap::new(),
            own: HashMap::new(),
            questions: HashMap::new(),
            unowned: VecDeque::new(),
            listeners: Listeners::new(),
            backend: Backend::default(),
            tickets: Tickets::new(setup.instance_key, setup.random),
            is_private: setup.is_private,
            owners_are_known: setup.owners_are_known,
            asks: false,
            level: None,
            next: 1,
            next_question: setup.first_question,
            due: None,
            sleep: Sleep::default(),
            more: VecDeque::new(),
            dropped: Dropped::default(),
        }
    }

    /// Calls in flight, those whose callers have left or are asked something included: the server works on them.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// What went to nobody so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Whether the server has ever asked its client anything; from then on calls may have to wait for one another.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// It is known of this server that it asks its client.
    pub fn set_asks(&mut self) {
        self.asks = true;
    }

    /// Whether a request may be sent now. Of a process that asks, calls of several clients go one at a time, because
    /// nothing says which call a question belongs to.
    pub fn admits(&self, caller: &Caller) -> bool {
        !self.asks
            || self.owners_are_known
            || !self.backend.declares
            || self.calls.values().all(|call| call.caller.is_of_session(caller))
    }

    /// Whether a call waits here for its client to call again with this `requestState`.
    pub fn holds(&self, message: &Envelope<'_>, principal: &[u8; 16], now: Duration) -> bool {
        let state = message.marks.request_state.and_then(|span| message.string(span));
        state.is_some_and(|state| self.tickets.open(&state, principal, now).is_some())
    }

    /// What has to be given to callers beside what the last event returned; to be asked until there is no more.
    pub fn more(&mut self) -> Option<Output<C>> {
        self.more.pop_front()
    }

    /// When [`Mux::tick`] is due.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// A server was opened: what the clients were promised of the one before it is asked of this one.
    pub fn open(&mut self, backend: Backend, out: &mut Vec<u8>) {
        self.backend = backend;
        if self.backend.speaks != Speaks::Modern {
            out.extend_from_slice(opening::initialized());
        }
        self.ask_again(out);
        self.listen_again(out);
    }

    /// Asks the server for everything that it keeps for its client.
    pub fn ask_again(&mut self, out: &mut Vec<u8>) {
        self.level = None;
        if self.backend.speaks == Speaks::Modern {
            self.own.clear();
            self.listen_to_changes(out);
        } else if let Some(level) = self.listeners.lowest_level() {
            self.want_level(level, out);
        }
        let watched: Vec<Box<str>> = self.listeners.watched().map(Box::from).collect();
        for uri in watched {
            self.watch(&uri, out);
        }
    }

    /// Whose a request is that the server knows by this number; `None` for those of the multiplexer's own.
    pub fn caller(&self, wire: u64) -> Option<&Caller> {
        self.calls.get(self.again.get(&wire).unwrap_or(&wire)).map(|call| &call.caller)
    }

    /// Takes a client's request and appends what the server gets of it to `out`. `id` is the request's own.
    pub fn request(
        &mut self,
        message: &Envelope<'_>,
        id: Span,
        caller: Caller,
        to: C,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Begun {
        let method = message.method();
        if let Some(answer) = self.answer_here(message, &method, &caller, out) {
            return Begun::Answered(answer);
        }
        let translation = match (caller.era, self.backend.speaks) {
            (Era::Modern, Speaks::Legacy) => {
                Translation::ToModern { cacheable: translate::is_cacheable(&method) }
            }
            (Era::Legacy, Speaks::Modern) => Translation::ToLegacy,
            _ => Translation::None,
        };
        let may_ask = questions::may_ask(&method) && caller.takes_requests && !caller.can.is_none();
        if let Translation::ToModern { .. } = translation
            && let Some(state) = message.marks.request_state.filter(|_| questions::may_ask(&method))
        {
            return self.resume(message, &method, id, state, to, &caller, now, out);
        }
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
            Translation::ToModern { .. } => {
                translate::strip_meta(message, &mut edits);
                translate::strip_retry(message, &mut edits);
            }
            Translation::ToLegacy => {
                let level = caller.session.and_then(|session| self.listeners.level(session));
                let members = self.meta_for(&caller, level);
                translate::put_meta(message, &members, &mut meta, &mut edits);
            }
        }
        let from = out.len();
        message.splice(&mut edits, out);
        let asking = Asking::new(
            (may_ask && translation == Translation::ToLegacy).then(|| out[from..].into()),
            self.digest_for(message, &method, may_ask, translation),
        );
        let listens = (translation == Translation::None && method == "subscriptions/listen")
            .then(|| Listens { line: out[from..].into(), is_again: false });
        out.push(b'\n');
        let filtered =
            caller.rule.as_ref().filter(|_| Rule::is_list(&method)).map(|_| method.as_ref().into());
        self.calls.insert(
            key,
            Call {
                to,
                caller,
                raw_id: message.raw(id).into(),
                raw_token: token.map(|span| message.raw(span).into()),
                translation,
                is_discover: method == "server/discover",
                filtered,
                level,
                asks: recall::Question::of(message).filter(|_| self.sleep.is_wanted),
                listens,
                watches,
                left_at: None,
                asking,
            },
        );
        Begun::Forwarded(CallKey(key))
    }

    /// What a modern server is told of a legacy client.
    fn meta_for(&self, caller: &Caller, level: Option<Level>) -> String {
        let hello = caller.hello.as_deref();
        let client = hello.map(|hello| &*hello.client_info).filter(|info| !info.is_empty());
        let capabilities = match hello {
            _ if !caller.takes_requests => "{}",
            Some(hello) => &hello.capabilities,
            None => &caller.can.json(),
        };
        translate::modern_meta(client.unwrap_or(&self.backend.client), capabilities, level.map(Level::name))
    }

    /// Of a call that may be parked. It is not made for others: it costs a pass over the arguments.
    fn digest_for(
        &self,
        message: &Envelope<'_>,
        method: &str,
        may_ask: bool,
        translation: Translation,
    ) -> Option<RequestDigest> {
        let is_wanted =
            may_ask && self.backend.declares && matches!(translation, Translation::ToModern { .. });
        is_wanted.then(|| park::digest(method, message.params.map_or("", |span| message.raw(span))))
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

    /// Opens the stream of a session; the one that it had before is given back, to be ended. What the server has asked
    /// outside of any call goes to it.
    pub fn open_session(
        &mut self,
        session: SessionId,
        to: C,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(StreamKey, Option<C>), NotOpened> {
        let opened = self.listeners.open_session(session, to)?;
        self.settle(now, out);
        Ok(opened)
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
        self.refuse_session(session, out);
        stream
    }

    /// There will be no server any more: every stream ends, some with a last message.
    pub fn end_streams(&mut self) -> Vec<(C, Option<Vec<u8>>)> {
        self.listeners.end()
    }

    /// Whether anybody hears what the server says by itself.
    pub fn has_listeners(&self) -> bool {
        self.listeners.any()
    }

    /// Takes a client's notification.
    pub fn notification(
        &mut self,
        message: &Envelope<'_>,
        caller: &Caller,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Noted<C> {
        let same_legacy = caller.era == Era::Legacy && self.backend.speaks != Speaks::Modern;
        match message.method().as_ref() {
            "notifications/cancelled" if caller.era == Era::Legacy => {
                self.cancelled(message, caller, now, out)
            }
            // Of a client that the process was told of: it may have roots, and be working on a question.
            "notifications/progress" | "notifications/roots/list_changed"
                if same_legacy && self.backend.declares =>
            {
                message.splice(&mut [], out);
                out.push(b'\n');
                Noted::Forwarded
            }
            // The process was initialised once, and modern clients cancel by closing the response.
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
            // Its caller has got an answer: what it is asked.
            Some(call) if call.asking.is_parked() => {}
            Some(_) => {
                self.give_up(key.0, out);
                self.settle(now, out);
            }
            None => {}
        }
    }

    /// Gives up on what has waited too long. Call it when it is due, and now and then; then ask for [`Mux::more`].
    pub fn tick(&mut self, now: Duration, out: &mut Vec<u8>) {
        let is_abandoned = |call: &Call<C>| {
            call.left_at.is_some_and(|left_at| ABANDONED_AFTER <= now.saturating_sub(left_at))
        };
        let abandoned: Vec<u64> =
            self.calls.iter().filter(|(_, call)| is_abandoned(call)).map(|(key, _)| *key).collect();
        for key in abandoned {
            self.give_up(key, out);
        }
        self.tick_questions(now, out);
        // Callers who wanted more of the log than those who are left do have gone.
        let wanted =
            self.calls.values().filter_map(|call| call.level).chain(self.listeners.lowest_level()).min();
        if let Some(wanted) = wanted.filter(|wanted| self.level.is_some_and(|level| level < *wanted)) {
            self.level = None;
            self.want_level(wanted, out);
        }
    }

    /// The process has ended: every call ends now, each with an error that carries its client's id. `why` is for people.
    pub fn ended(&mut self, why: &str) -> Vec<(C, Vec<u8>)> {
        self.own.clear();
        self.again.clear();
        self.questions.clear();
        self.unowned.clear();
        self.due = None;
        let body = |call: &Call<C>| errors::body(Some(&call.raw_id), errors::INTERNAL_ERROR, why, None);
        let rests = self.sleep.has_begun;
        let ended = self.calls.extract_if(|_, call| !(rests && call.listens.is_some()));
        ended.map(|(_, call)| (call.to.clone(), body(&call))).collect()
    }

    fn cancelled(
        &mut self,
        message: &Envelope<'_>,
        caller: &Caller,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Noted<C> {
        let Some(span) = message.marks.request_id else { return Noted::Ignored };
        let raw_id = message.raw(span);
        let is_meant = |call: &Call<C>| call.caller.is_of_session(caller) && *call.raw_id == *raw_id;
        // A client that uses one id twice at once means the younger call: the older answer is lost to it anyway.
        let key = self.calls.iter().filter(|(_, call)| is_meant(call)).map(|(key, _)| *key).max();
        let Some((key, call)) = key.and_then(|key| Some((key, self.calls.remove(&key)?))) else {
            return Noted::Ignored;
        };
        self.drop_questions(&call, out);
        let mut digits = [0; 20];
        message.splice(&mut [(span, decimal(call.asking.wire(key), &mut digits))], out);
        out.push(b'\n');
        self.settle(now, out);
        Noted::Cancelled(call.to)
    }

    fn give_up(&mut self, key: u64, out: &mut Vec<u8>) {
        if let Some(call) = self.calls.remove(&key) {
            self.drop_questions(&call, out);
            cancel(call.asking.wire(key), "the client has left", out);
        }
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
