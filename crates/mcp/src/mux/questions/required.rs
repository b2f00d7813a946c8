//! A modern server asks a legacy client: its `input_required` becomes requests to the client, and the call is sent again
//! with what it answers.

use std::time::Duration;

use super::{ANSWERED_WITHIN, MAX_ROUNDS, is_input_request, renumbered};
use crate::envelope::{self, Envelope};
use crate::errors;
use crate::mux::{Call, Mux, Output, decimal};
use crate::translate;

impl<C: Clone> Mux<C> {
    /// A modern server asks a legacy client in its result.
    pub(in crate::mux) fn input_required(
        &mut self,
        message: &Envelope<'_>,
        key: u64,
        mut call: Call<C>,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Output<C> {
        let requests = message.marks.input_requests.map_or("{}", |span| message.raw(span));
        let state = message.marks.request_state.map(|span| message.raw(span));
        let asked = input_requests(requests);
        let error = match &asked {
            _ if call.asking.sent.is_none() || MAX_ROUNDS <= call.asking.round => {
                Some("the server asks for input that this client cannot give".to_owned())
            }
            None => Some("the server's `inputRequests` cannot be read".to_owned()),
            Some(asked) if asked.is_empty() && state.is_none() => {
                Some("the server asks for input and does not say which".to_owned())
            }
            Some(asked) => asked.iter().find_map(|one| {
                let required = call.caller.can.missing_for(&one.method, one.params)?;
                Some(format!("the server asks for what this client has not declared: {required}"))
            }),
        };
        if let Some(why) = error {
            let message = errors::body(Some(&call.raw_id), errors::INTERNAL_ERROR, &why, None);
            return Output::Answer { to: call.to, message, code: None };
        }
        call.asking.round += 1;
        call.asking.state = state.map(Box::from);
        let mut sent = Vec::new();
        for one in asked.unwrap_or_default() {
            let text = one.message();
            let id = self.ask_client(text.into(), Some(one.key.into()), now + ANSWERED_WITHIN);
            if let Some(question) = self.questions.get_mut(&id) {
                question.call = Some(key);
                question.session = call.caller.session;
                if let Ok(message) = envelope::scan(question.text.as_bytes()) {
                    sent.push((call.to.clone(), renumbered(&message, id)));
                }
            }
            call.asking.questions.push(id);
        }
        self.wake_by(now + ANSWERED_WITHIN);
        self.calls.insert(key, call);
        if sent.is_empty() {
            // It wants nothing but to be called again with its state.
            self.send_again(key, out);
            return Output::Nobody;
        }
        Output::Many(sent)
    }

    /// Sends a call again when everything that it asked is answered.
    pub(super) fn send_again(&mut self, key: u64, out: &mut Vec<u8>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let ids = std::mem::take(&mut call.asking.questions);
        let answered = |id: &u64| self.questions.get(id).is_none_or(|question| question.answer.is_some());
        if !ids.iter().all(answered) {
            call.asking.questions = ids;
            return;
        }
        let answers = ids.iter().filter_map(|id| self.questions.remove(id)).map(|question| {
            format!("{}:{}", errors::quote(&question.key), question.answer.unwrap_or_default())
        });
        let answers: Vec<String> = answers.collect();
        let wire = self.next;
        self.next += 1;
        call.asking.wire = Some(wire);
        self.again.insert(wire, key);
        let mut members = Vec::new();
        if !answers.is_empty() {
            members.push(format!(r#""inputResponses":{{{}}}"#, answers.join(",")));
        }
        members.extend(call.asking.state.take().map(|state| format!(r#""requestState":{state}"#)));
        let Some(sent) = &call.asking.sent else { return };
        let Ok(message) = envelope::scan(sent) else { return };
        let (Some(id), Some(params)) = (message.id, message.params) else { return };
        // `params` has `_meta` in it already, so it is never empty.
        let members = format!("{},", members.join(","));
        let mut digits = [0; 20];
        let digits = decimal(wire, &mut digits);
        message.splice(&mut [(id, digits), (params.behind_first(), members.as_bytes())], out);
        out.push(b'\n');
    }

    /// The client refused with an error what a modern server asked: the call ends with that error.
    pub(super) fn fail_by_client(&mut self, key: u64, error: &str) {
        let Some(call) = self.calls.remove(&key) else { return };
        for id in &call.asking.questions {
            self.questions.remove(id);
        }
        let message = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, call.raw_id).into_bytes();
        self.more.push_back(Output::Answer { to: call.to, message, code: None });
    }
}

/// One of `inputRequests`.
struct InputRequest<'a> {
    key: String,
    method: String,
    raw_method: &'a str,
    /// Empty when there are none.
    params: &'a str,
}

impl InputRequest<'_> {
    fn message(&self) -> String {
        let params =
            if self.params.is_empty() { String::new() } else { format!(r#","params":{}"#, self.params) };
        format!(r#"{{"jsonrpc":"2.0","id":0,"method":{}{params}}}"#, self.raw_method)
    }
}

/// `None` when they cannot be read, or ask what no client knows.
fn input_requests(json: &str) -> Option<Vec<InputRequest<'_>>> {
    translate::members(json)?
        .into_iter()
        .map(|(key, request)| {
            let raw_method = translate::member(request, "method")?;
            let method = envelope::decode(raw_method)?.into_owned();
            let params = translate::member(request, "params").unwrap_or_default();
            is_input_request(&method).then(|| InputRequest {
                key: key.into_owned(),
                method,
                raw_method,
                params,
            })
        })
        .collect()
}
