//! What a server asks its client in mid-call: sampling, elicitation, roots; in either era, for a client of either era.
//!
//! A legacy server sends a request and waits. A legacy client is sent that request, under a number of ours. A modern client
//! gets it as the result of its call (`input_required`): the call is *parked*, and goes on when the client calls again with
//! the answer. A modern server's `input_required` becomes requests to a legacy client, and the call is sent again with what
//! it answers.
//!
//! On standard output nothing says which call a question belongs to. It belongs to the only one in flight; when there are
//! several it waits until one is left, and from then on calls are one at a time ([`Mux::admits`]).

mod parked;
mod required;

use std::time::Duration;

use super::{Call, Caller, Mux, Output, cancel, decimal, number};
use crate::envelope::{self, Envelope};
use crate::errors;
use crate::opening::Speaks;
use crate::park::RequestDigest;
use crate::revision::Era;
use crate::session::SessionId;
use crate::translate;

/// Questions of one call that come within this time are asked together.
const JOINED_WITHIN: Duration = Duration::from_millis(10);
/// A modern client has this long to call again with answers.
const PARKED_FOR: Duration = Duration::from_mins(5);
/// A question waits so long for its call to be known, or for a session that listens.
const UNOWNED_FOR: Duration = Duration::from_secs(10);
/// A legacy client has this long to answer.
const ANSWERED_WITHIN: Duration = Duration::from_mins(10);
/// How often one call may ask its client.
const MAX_ROUNDS: u32 = 32;
/// Questions of one process that wait for answers.
const MAX_QUESTIONS: usize = 256;

/// Whether a modern server may answer the method with `input_required` (2026-07-28, basic/patterns/mrtr).
pub(super) fn may_ask(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

/// One request to a client.
#[derive(Debug)]
pub(super) struct Question {
    /// The whole message, as the server wrote it; made up for one out of a modern server's result.
    text: Box<str>,
    /// Whether a modern server asked it in a result.
    is_of_result: bool,
    /// Its key in `inputRequests`.
    key: Box<str>,
    call: Option<u64>,
    /// Whom it was sent to, of the legacy era.
    session: Option<SessionId>,
    until: Duration,
    /// What the client said, while others of the same round are open.
    answer: Option<Box<str>>,
}

/// Where a call is with what it asks its client.
#[derive(Debug, Default)]
pub(super) struct Asking {
    questions: Vec<u64>,
    phase: Phase,
    round: u32,
    /// Of a call that may be parked.
    digest: Option<RequestDigest>,
    /// What a modern server got, to be sent again with answers.
    sent: Option<Box<[u8]>>,
    /// `requestState` of a modern server's result, as it wrote it.
    state: Option<Box<str>>,
    /// The number under which the server knows the call by now.
    wire: Option<u64>,
    /// The answer of a parked call whose client has not called again.
    pub(super) finished: Option<Box<str>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its caller waits.
    #[default]
    Waiting,
    /// It has asked something, and may ask more.
    Joining { due: Duration },
    /// Its caller was told what is asked, and has to call again.
    Parked { until: Duration },
}

impl Asking {
    pub(super) fn new(sent: Option<Box<[u8]>>, digest: Option<RequestDigest>) -> Self {
        Self { digest, sent, ..Self::default() }
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.phase, Phase::Parked { .. })
    }

    /// The number under which the server knows the call that we know as `key`.
    pub(super) fn wire(&self, key: u64) -> u64 {
        self.wire.unwrap_or(key)
    }
}

impl<C: Clone> Mux<C> {
    /// A request of the server's.
    pub(super) fn asked(
        &mut self,
        message: &Envelope<'_>,
        origin: Option<u64>,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Output<C> {
        let raw_id = message.raw_id().unwrap_or("null");
        if message.method() == "ping" {
            out.extend_from_slice(
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{raw_id},\"result\":{{}}}}\n").as_bytes(),
            );
            return Output::Nobody;
        }
        let why = if self.backend.speaks == Speaks::Modern {
            "this revision has no requests to the client; answer with `input_required`"
        } else if !self.backend.declares {
            "this client declared no capabilities: the process is shared, and takes no requests to its client"
        } else if MAX_QUESTIONS <= self.questions.len() {
            "too many requests to the client are open"
        } else {
            ""
        };
        if !why.is_empty() {
            self.dropped.requests += 1;
            refuse(message.text(), errors::METHOD_NOT_FOUND, why, out);
            return Output::Nobody;
        }
        self.asks = true;
        let mut text = Vec::new();
        message.splice(&mut [], &mut text);
        // What was valid UTF-8 is so with spaces for line breaks.
        let text = String::from_utf8(text).unwrap_or_default().into();
        let question = self.ask_client(text, None, now + UNOWNED_FOR);
        if let Some(call) = self.owner(origin) {
            self.put(question, call, now, out)
        } else {
            self.unowned.push_back(question);
            self.wake_by(now + UNOWNED_FOR);
            self.settle(now, out);
            Output::Nobody
        }
    }

    fn ask_client(&mut self, text: Box<str>, key: Option<Box<str>>, until: Duration) -> u64 {
        let id = self.next_question;
        self.next_question += 1;
        let is_of_result = key.is_some();
        let key = key.unwrap_or_default();
        let question = Question { text, is_of_result, key, call: None, session: None, until, answer: None };
        self.questions.insert(id, question);
        id
    }

    /// The call that a question of this moment belongs to, when that is certain.
    fn owner(&self, origin: Option<u64>) -> Option<u64> {
        if let Some(origin) = origin {
            let key = self.again.get(&origin).copied().unwrap_or(origin);
            return self.calls.contains_key(&key).then_some(key);
        }
        let (youngest, call) = self.calls.iter().max_by_key(|(key, _)| **key)?;
        let is_certain = self.calls.len() == 1
            || self.calls.values().all(|other| other.caller.is_of_session(&call.caller));
        is_certain.then_some(*youngest)
    }

    /// Gives a question to the call that it belongs to.
    fn put(&mut self, id: u64, key: u64, now: Duration, out: &mut Vec<u8>) -> Output<C> {
        let (Some(question), Some(call)) = (self.questions.get_mut(&id), self.calls.get_mut(&key)) else {
            return Output::Nobody;
        };
        let Ok(message) = envelope::scan(question.text.as_bytes()) else { return Output::Nobody };
        let method = message.method();
        let params = message.params.map_or("", |span| message.raw(span));
        let missing = call.caller.can.missing_for(&method, params);
        let is_modern = call.caller.era == Era::Modern;
        let refusal = match missing {
            _ if call.left_at.is_some() => Some("the client has left"),
            _ if !call.caller.takes_requests => Some("the client takes no requests in this call"),
            Some(_) => Some("the client did not declare this capability"),
            None if is_modern && !is_input_request(&method) => Some("the client knows no such request"),
            None => None,
        };
        if let Some(why) = refusal {
            self.dropped.requests += 1;
            refuse(&question.text, errors::METHOD_NOT_FOUND, why, out);
            self.questions.remove(&id);
            return match missing {
                Some(required) if is_modern => self.fail_for_capability(key, required, out),
                _ => Output::Nobody,
            };
        }
        question.call = Some(key);
        call.asking.questions.push(id);
        if !is_modern {
            question.session = call.caller.session;
            question.until = now + ANSWERED_WITHIN;
            let sent = renumbered(&message, id);
            let to = call.to.clone();
            self.wake_by(now + ANSWERED_WITHIN);
            return Output::Between { to, message: sent };
        }
        question.until = now + PARKED_FOR;
        call.asking.round += u32::from(call.asking.phase == Phase::Waiting);
        question.key = input_key(&method, call.asking.round, call.asking.questions.len());
        if call.asking.phase == Phase::Waiting {
            call.asking.phase = Phase::Joining { due: now + JOINED_WITHIN };
            self.wake_by(now + JOINED_WITHIN);
        }
        Output::Nobody
    }

    /// A server asks what its modern client has not declared: the call ends with what is required.
    fn fail_for_capability(&mut self, key: u64, required: &str, out: &mut Vec<u8>) -> Output<C> {
        let Some(call) = self.calls.remove(&key) else { return Output::Nobody };
        self.drop_questions(&call, out);
        cancel(call.asking.wire(key), "the client lacks a capability", out);
        let (message, code) = capability_error(&call.raw_id, required);
        Output::Answer { to: call.to, message, code: Some(code) }
    }

    /// Looks again whom the questions are for that are nobody's so far.
    pub(super) fn settle(&mut self, now: Duration, out: &mut Vec<u8>) {
        while let Some(&id) = self.unowned.front() {
            if let Some(call) = self.owner(None) {
                self.unowned.pop_front();
                let output = self.put(id, call, now, out);
                self.more.push_back(output);
            } else if let Some((session, to)) =
                self.listeners.youngest_session().filter(|_| self.calls.is_empty() && self.is_private)
            {
                let to = to.clone();
                self.unowned.pop_front();
                self.put_to_session(id, session, to, now, out);
            } else {
                return;
            }
        }
    }

    /// Sends a question that belongs to no call to a session that listens.
    fn put_to_session(&mut self, id: u64, session: SessionId, to: C, now: Duration, out: &mut Vec<u8>) {
        let can = self.backend.can;
        let Some(question) = self.questions.get_mut(&id) else { return };
        let Ok(message) = envelope::scan(question.text.as_bytes()) else { return };
        let params = message.params.map_or("", |span| message.raw(span));
        if can.missing_for(&message.method(), params).is_some() {
            self.dropped.requests += 1;
            refuse(
                &question.text,
                errors::METHOD_NOT_FOUND,
                "the client did not declare this capability",
                out,
            );
            self.questions.remove(&id);
            return;
        }
        question.session = Some(session);
        question.until = now + ANSWERED_WITHIN;
        let message = renumbered(&message, id);
        self.wake_by(now + ANSWERED_WITHIN);
        self.more.push_back(Output::Between { to, message });
    }

    /// Takes a legacy client's answer; whether it was asked. Afterwards there may be [`Mux::more`].
    pub fn client_answer(&mut self, message: &Envelope<'_>, caller: &Caller, out: &mut Vec<u8>) -> bool {
        let Some(span) = message.id else { return false };
        let id = number(message.raw(span));
        let is_asked = |question: &Question| question.session.is_some() && question.session == caller.session;
        let Some(id) = id.filter(|id| self.questions.get(id).is_some_and(is_asked)) else { return false };
        let Some(question) = self.questions.get_mut(&id) else { return false };
        if question.is_of_result {
            question.answer = message.result.map(|result| message.raw(result).into());
            let call = question.call;
            match (call, message.error) {
                (Some(key), Some(error)) => self.fail_by_client(key, message.raw(error)),
                (Some(key), None) => self.send_again(key, out),
                (None, _) => {}
            }
            return true;
        }
        let raw_id = raw_id_of(&question.text);
        message.splice(&mut [(span, raw_id.as_bytes())], out);
        out.push(b'\n');
        if let Some(Question { call: Some(key), .. }) = self.questions.remove(&id)
            && let Some(call) = self.calls.get_mut(&key)
        {
            call.asking.questions.retain(|question| *question != id);
        }
        true
    }

    /// What is due of questions.
    pub(super) fn tick_questions(&mut self, now: Duration, out: &mut Vec<u8>) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        let joined = |call: &Call<C>| matches!(call.asking.phase, Phase::Joining { due } if due <= now);
        let over = |call: &Call<C>| matches!(call.asking.phase, Phase::Parked { until } if until <= now);
        for key in self.keys(over) {
            if let Some(call) = self.calls.remove(&key) {
                self.drop_questions(&call, out);
                if call.asking.finished.is_none() {
                    cancel(key, "the client did not call again", out);
                }
            }
        }
        for key in self.keys(joined) {
            let output = self.park(key, now);
            self.more.extend(output);
        }
        let late: Vec<u64> =
            self.questions.iter().filter(|(_, one)| one.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            self.unowned.retain(|unowned| *unowned != id);
            let Some(question) = self.questions.remove(&id) else { continue };
            self.dropped.requests += 1;
            match question.call.filter(|_| question.is_of_result) {
                Some(key) => self.fail_by_client(
                    key,
                    r#"{"code":-32603,"message":"the client did not answer what the server asked"}"#,
                ),
                None => refuse(&question.text, errors::INTERNAL_ERROR, "no client has answered this", out),
            }
        }
        self.settle(now, out);
        let next = self.questions.values().map(|question| question.until);
        let phases = self.calls.values().filter_map(|call| match call.asking.phase {
            Phase::Waiting => None,
            Phase::Joining { due } => Some(due),
            Phase::Parked { until } => Some(until),
        });
        self.due = next.chain(phases).chain(self.due).min();
    }

    fn keys(&self, is_meant: impl Fn(&Call<C>) -> bool) -> Vec<u64> {
        let mut keys: Vec<u64> =
            self.calls.iter().filter(|(_, call)| is_meant(call)).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// A call has ended, so nobody will answer what it asked, but for a legacy client that was sent it already.
    pub(super) fn drop_questions(&mut self, call: &Call<C>, out: &mut Vec<u8>) {
        for id in &call.asking.questions {
            match self.questions.get_mut(id) {
                Some(question) if question.session.is_some() && !question.is_of_result => {
                    question.call = None;
                }
                Some(question) => {
                    if !question.is_of_result {
                        refuse(&question.text, errors::INTERNAL_ERROR, "the call has ended", out);
                    }
                    self.questions.remove(id);
                }
                None => {}
            }
        }
        if let Some(wire) = call.asking.wire {
            self.again.remove(&wire);
        }
    }

    /// A session has ended: it answers nothing any more.
    pub(super) fn refuse_session(&mut self, session: SessionId, out: &mut Vec<u8>) {
        let its = |question: &Question| question.session == Some(session) && !question.is_of_result;
        let ids: Vec<u64> = self.questions.iter().filter(|(_, one)| its(one)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(question) = self.questions.remove(&id) {
                refuse(&question.text, errors::INTERNAL_ERROR, "the client has ended its session", out);
            }
        }
    }

    /// The server does not want to know any more.
    pub(super) fn question_cancelled(&mut self, message: &Envelope<'_>) -> Output<C> {
        let raw_id = message.marks.request_id.map(|span| message.raw(span));
        let is_meant =
            |question: &Question| Some(raw_id_of(&question.text)) == raw_id && !question.is_of_result;
        let found = self.questions.iter().find(|(_, question)| is_meant(question)).map(|(id, _)| *id);
        let (Some(id), Some(span)) = (found, message.marks.request_id) else {
            self.dropped.notifications += 1;
            return Output::Nobody;
        };
        self.unowned.retain(|unowned| *unowned != id);
        let Some(question) = self.questions.remove(&id) else { return Output::Nobody };
        let Some(call) = question.call.and_then(|key| self.calls.get_mut(&key)) else {
            return Output::Nobody;
        };
        call.asking.questions.retain(|one| *one != id);
        if question.session.is_none() {
            if call.asking.questions.is_empty() && !call.asking.is_parked() {
                call.asking.phase = Phase::Waiting;
            }
            return Output::Nobody;
        }
        let (mut sent, mut digits) = (Vec::new(), [0; 20]);
        message.splice(&mut [(span, decimal(id, &mut digits))], &mut sent);
        Output::Between { to: call.to.clone(), message: sent }
    }

    fn wake_by(&mut self, time: Duration) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }
}

/// Whether a request can stand in `inputRequests`.
fn is_input_request(method: &str) -> bool {
    matches!(method, "sampling/createMessage" | "elicitation/create" | "roots/list")
}

/// The key of a question in `inputRequests`, unique in its call.
fn input_key(method: &str, round: u32, number: usize) -> Box<str> {
    let word = method.split('/').next().unwrap_or("input");
    if (round, number) == (1, 1) { word.into() } else { format!("{word}-{round}-{number}").into() }
}

fn capability_error(raw_id: &str, required: &str) -> (Vec<u8>, i64) {
    let code = errors::MISSING_REQUIRED_CLIENT_CAPABILITY;
    let data = format!(r#"{{"requiredCapabilities":{required}}}"#);
    let why = "the server needs a capability that the client has not declared";
    (errors::body(Some(raw_id), code, why, Some(&data)), code)
}

/// The message under a number of ours.
fn renumbered(message: &Envelope<'_>, id: u64) -> Vec<u8> {
    let (mut sent, mut digits) = (Vec::new(), [0; 20]);
    let digits = decimal(id, &mut digits);
    let mut edits: translate::Edits<'_> = message.id.map(|span| (span, digits)).into_iter().collect();
    message.splice(&mut edits, &mut sent);
    sent
}

fn raw_id_of(text: &str) -> &str {
    match envelope::scan(text.as_bytes()) {
        // The range is of the text itself.
        Ok(message) => message.id.map_or("null", |span| &text[span.range()]),
        Err(_) => "null",
    }
}

/// Answers a server's request with an error.
fn refuse(text: &str, code: i64, why: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&errors::body(Some(raw_id_of(text)), code, why, None));
    out.push(b'\n');
}
