//! What a server's line means: the answer to a call, a notification to one or many, a question.

use std::time::Duration;

use super::{Call, Mux, Output, Own, Translation, number};
use crate::envelope::{self, Envelope, Kind, Span};
use crate::level::Level;
use crate::listeners::Watcher;
use crate::opening;
use crate::recall::Asker;
use crate::revision::Era;
use crate::translate;

impl<C: Clone> Mux<C> {
    /// Takes a line of the server's. `origin` is the call, by the number that the server was given, on whose own stream
    /// it came, where the transport says so. Afterwards there may be [`Mux::more`].
    pub fn line(&mut self, line: &[u8], origin: Option<u64>, now: Duration, out: &mut Vec<u8>) -> Output<C> {
        let message = match envelope::scan(line) {
            Ok(message) => message,
            Err(error) => return Output::Garbage(error),
        };
        match message.kind() {
            Kind::Answer => {
                let output = self.answer(&message, now, out);
                if !self.unowned.is_empty() {
                    self.settle(now, out);
                }
                output
            }
            Kind::Notification => {
                self.look_for_changes(&message, out);
                self.between(&message)
            }
            Kind::Request => self.asked(&message, origin, now, out),
        }
    }

    fn answer(&mut self, message: &Envelope<'_>, now: Duration, out: &mut Vec<u8>) -> Output<C> {
        let wire = message.id.and_then(|id| number(message.raw(id)));
        let (Some(id), Some(wire)) = (message.id, wire) else {
            self.dropped.unknown_answers += 1;
            return Output::Nobody;
        };
        let key = self.again.remove(&wire).unwrap_or(wire);
        if self.sleep.has_begun && self.calls.get(&key).is_some_and(|call| call.listens.is_some()) {
            // A process says goodbye to those who listen; another one will be asked to go on.
            return Output::Nobody;
        }
        let is_meant = self.calls.get(&key).is_some_and(|call| call.asking.wire(key) == wire);
        let Some(mut call) = is_meant.then(|| self.calls.remove(&key)).flatten() else {
            match self.own.remove(&wire) {
                Some(Own::List { question, asker, is_stale: true }) => {
                    self.ask_for_list(question, asker, out);
                    return Output::Nobody;
                }
                Some(Own::List { question, asker, is_stale: false }) => {
                    self.learn(question, message, asker);
                    return Output::Nobody;
                }
                Some(_) => return Output::Nobody,
                None => {}
            }
            if (1..self.next).contains(&wire) {
                self.dropped.late_answers += 1;
            } else {
                self.dropped.unknown_answers += 1;
            }
            return Output::Nobody;
        };
        if call.asking.is_parked() {
            // It has answered without waiting for what it asked. The client hears of it when it calls again.
            call.asking.finished = Some(message.text().into());
            self.calls.insert(key, call);
            return Output::Nobody;
        }
        if let (Some(uri), Some(session), Some(_)) = (&call.watches, call.caller.session, message.result) {
            // One that watches too much already is told so by silence only: the server has said yes.
            let _ = self.listeners.watch(Watcher::Session(session), uri);
        }
        if let Some(question) = call.asks {
            self.learn(question, message, Asker::of(&call.caller));
        }
        self.drop_questions(&call, out);
        if call.left_at.is_some() {
            self.dropped.late_answers += 1;
            return Output::Nobody;
        }
        if call.translation == Translation::ToLegacy && is_input_required(message) {
            return self.input_required(message, key, call, now, out);
        }
        let (answer, code) = self.restored(message, id, wire, &call);
        Output::Answer { to: call.to, message: answer, code }
    }

    /// The answer as its client sees it, and the code of an error to a modern one.
    pub(super) fn restored(
        &self,
        message: &Envelope<'_>,
        id: Span,
        wire: u64,
        call: &Call<C>,
    ) -> (Vec<u8>, Option<i64>) {
        let mut restored = Vec::new();
        let code = match call.translation {
            Translation::ToModern { cacheable } => {
                if let Some(answer) = self.url_elicitations(message, call) {
                    return answer;
                }
                translate::to_modern(
                    message,
                    &call.raw_id,
                    cacheable,
                    &self.backend.server_info,
                    &mut restored,
                )
            }
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
                        .filter(|span| number(message.raw(*span)) == Some(wire))
                        .map(|span| (span, raw_id)),
                );
                let versions = if call.is_discover { opening::versions() } else { String::new() };
                // The address serves more revisions than the server.
                let supported = message
                    .result
                    .filter(|_| call.is_discover)
                    .and_then(|result| translate::span_of(message, result, "supportedVersions"));
                edits.extend(supported.map(|span| (span, versions.as_bytes())));
                message.splice(&mut edits, &mut restored);
                let code = message.marks.code.filter(|_| call.caller.era == Era::Modern);
                code.and_then(|code| message.raw(code).parse().ok())
            }
        };
        if let (Some(method), Some(rule)) = (&call.filtered, &call.caller.rule) {
            restored = rule.filter(method, restored);
        }
        (restored, code)
    }

    fn between(&mut self, message: &Envelope<'_>) -> Output<C> {
        let method = message.method();
        let owner = if method == "notifications/progress" {
            let token = message.marks.progress_token;
            let call = self.call_of(message, token);
            call.and_then(|call| Some((call, Some((token?, call.raw_token.as_deref()?)))))
        } else if method == "notifications/cancelled" {
            return self.question_cancelled(message);
        } else if let Some(subscription) = message.marks.meta_subscription {
            if number(message.raw(subscription)).is_some_and(|key| self.own.contains_key(&key)) {
                return self.everybody(message);
            }
            let call = self.call_of(message, Some(subscription));
            let is_new = |call: &&Call<C>| {
                method != "notifications/subscriptions/acknowledged"
                    || call.listens.as_ref().is_none_or(|listens| !listens.is_again)
            };
            call.filter(is_new).map(|call| (call, Some((subscription, &*call.raw_id))))
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
        if self.calls.len() != 1
            && !self.calls.values().all(|call| call.caller.is_of_session(&youngest.caller))
        {
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
}

fn is_input_required(message: &Envelope<'_>) -> bool {
    message.marks.result_type.and_then(|span| message.string(span)).as_deref() == Some("input_required")
}
