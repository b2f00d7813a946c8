//! A legacy server asks a modern client: the call is parked, its caller told what is asked, and it goes on when the client
//! calls again.

use std::time::Duration;

use super::{PARKED_FOR, Phase, capability_error, raw_id_of};
use crate::envelope::{self, Envelope, META_PREFIX, Span};
use crate::errors;
use crate::mux::{Begun, Call, CallKey, Caller, Mux, Output, is_token};
use crate::park::{Ticket, digest};
use crate::translate;

/// The error of legacy revisions for an address that must be visited first.
const URL_ELICITATION_REQUIRED: &str = "-32042";

impl<C: Clone> Mux<C> {
    /// A modern client calls again.
    #[expect(clippy::too_many_arguments, reason = "it is `request` with the state found")]
    pub(in crate::mux) fn resume(
        &mut self,
        message: &Envelope<'_>,
        method: &str,
        id: Span,
        state: Span,
        to: C,
        caller: &Caller,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Begun {
        let raw_id = message.raw(id);
        let refused = |why| Begun::Answered(errors::body(Some(raw_id), errors::INVALID_PARAMS, why, None));
        let state = message.string(state);
        let ticket = state.and_then(|state| self.tickets.open(&state, &caller.principal, now));
        let Some(ticket) = ticket else {
            return refused(
                "`requestState` is not one of this server's, or is past its time: call again without it",
            );
        };
        let params = message.params.map_or("", |span| message.raw(span));
        if ticket.digest != digest(method, params) {
            return refused("`requestState` belongs to another request: send the same parameters again");
        }
        let ended = "the call of this `requestState` has ended: call again without it";
        let is_meant = |call: &&mut Call<C>| call.asking.is_parked() && call.asking.round == ticket.round;
        let Some(call) = self.calls.get_mut(&ticket.call).filter(is_meant) else { return refused(ended) };
        if let Some(finished) = call.asking.finished.take() {
            let Some(mut call) = self.calls.remove(&ticket.call) else { return refused(ended) };
            self.drop_questions(&call, out);
            call.raw_id = raw_id.into();
            let Ok(answer) = envelope::scan(finished.as_bytes()) else { return refused(ended) };
            let Some(span) = answer.id else { return refused(ended) };
            return Begun::Answered(self.restored(&answer, span, ticket.call, &call).0);
        }
        let Some(call) = self.calls.get_mut(&ticket.call) else { return refused(ended) };
        let responses = message.marks.input_responses.map_or("{}", |span| message.raw(span));
        for question in &call.asking.questions {
            let Some(question) = self.questions.get_mut(question) else { continue };
            let given = translate::member(responses, &question.key).filter(|given| given.starts_with('{'));
            if let Some(given) = given {
                question.answer = Some(given.into());
            }
        }
        call.raw_id = raw_id.into();
        let token = message.marks.meta_progress_token.filter(|span| is_token(message.raw(*span)));
        call.raw_token = token.map(|span| message.raw(span).into());
        call.to = to;
        let open = |id: &u64| self.questions.get(id).is_some_and(|question| question.answer.is_none());
        if call.asking.questions.iter().any(open) {
            // What is still missing is asked once more.
            call.asking.phase = Phase::Joining { due: now };
            self.wake_by(now);
            return Begun::Forwarded(CallKey(ticket.call));
        }
        call.asking.phase = Phase::Waiting;
        for id in std::mem::take(&mut call.asking.questions) {
            let Some(question) = self.questions.remove(&id) else { continue };
            let raw_id = raw_id_of(&question.text);
            let answer = question.answer.as_deref().unwrap_or("{}");
            out.extend_from_slice(format!(r#"{{"jsonrpc":"2.0","id":{raw_id},"result":"#).as_bytes());
            // A line break would end the message.
            out.extend(answer.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
            out.extend_from_slice(b"}\n");
        }
        Begun::Forwarded(CallKey(ticket.call))
    }

    /// Tells the caller of a call what it is asked.
    pub(super) fn park(&mut self, key: u64, now: Duration) -> Option<Output<C>> {
        let call = self.calls.get_mut(&key)?;
        let until = now + PARKED_FOR;
        call.asking.phase = Phase::Parked { until };
        let mut requests = Vec::new();
        for id in &call.asking.questions {
            let Some(question) = self.questions.get_mut(id).filter(|question| question.answer.is_none())
            else {
                continue;
            };
            question.until = until;
            let Ok(message) = envelope::scan(question.text.as_bytes()) else { continue };
            let method = message.method.map_or("", |span| message.raw(span));
            let params =
                message.params.map_or_else(String::new, |span| format!(r#","params":{}"#, message.raw(span)));
            requests.push(format!(r#"{}:{{"method":{method}{params}}}"#, errors::quote(&question.key)));
        }
        let ticket = Ticket {
            call: key,
            round: call.asking.round,
            until,
            digest: call.asking.digest.unwrap_or_default(),
        };
        let state = self.tickets.seal(&ticket, &call.caller.principal);
        let message = input_required(&call.raw_id, &requests, Some(&state), &self.backend.server_info);
        let to = call.to.clone();
        self.wake_by(until);
        Some(Output::Answer { to, message, code: None })
    }

    /// A legacy server's error that asks the user to visit addresses first, as a modern client has it (2026-07-28,
    /// changelog: -32042 must not be sent).
    pub(in crate::mux) fn url_elicitations(
        &self,
        message: &Envelope<'_>,
        call: &Call<C>,
    ) -> Option<(Vec<u8>, Option<i64>)> {
        let error = message.raw(message.error?);
        if message.marks.code.map(|code| message.raw(code)) != Some(URL_ELICITATION_REQUIRED) {
            return None;
        }
        let elicitations = translate::member(translate::member(error, "data")?, "elicitations")?;
        let required = r#"{"elicitation":{"url":{}}}"#;
        if call.caller.can.missing_for("elicitation/create", r#"{"mode":"url"}"#).is_some() {
            let (message, code) = capability_error(&call.raw_id, required);
            return Some((message, Some(code)));
        }
        let requests: Vec<String> = translate::items(elicitations)?
            .iter()
            .enumerate()
            .map(|(n, params)| {
                format!(r#""elicitation-{}":{{"method":"elicitation/create","params":{params}}}"#, n + 1)
            })
            .collect();
        Some((input_required(&call.raw_id, &requests, None, &self.backend.server_info), None))
    }
}

fn input_required(raw_id: &str, requests: &[String], state: Option<&str>, server_info: &str) -> Vec<u8> {
    let state = state.map(|state| format!(r#","requestState":"{state}""#)).unwrap_or_default();
    let meta = match server_info {
        "" => String::new(),
        info => format!(r#","_meta":{{"{META_PREFIX}serverInfo":{info}}}"#),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{raw_id},"result":{{"resultType":"input_required","inputRequests":{{{}}}{state}{meta}}}}}"#,
        requests.join(",")
    )
    .into_bytes()
}
