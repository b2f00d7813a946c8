//! What a server's tools may do, as it says itself: asked for when a rule depends on it, and believed for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp::envelope::{self, Envelope};
use mcp::front::Refusal;
use mcp::headers;
use mcp::mux::Caller;
use mcp::revision::Era;
use mcp::rule::Effects;
use tokio::time::Instant;

use super::turn::{Begun, begin};
use super::unavailable;
use crate::mailbox::Letter;
use crate::shared::Shared;

/// So long a server's list is believed, unless it says earlier that it is another.
const FRESH: Duration = Duration::from_mins(1);
/// So long a list, all its pages, is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Principals whose lists are kept: a server may show each another one.
const MAX_LISTS: usize = 256;
/// The id of the request, which no client sees.
const ID: &str = r#""berth-rule""#;
/// What a server says when its tools are others.
const CHANGED: &[u8] = b"notifications/tools/list_changed";

type Known = HashMap<Box<str>, Effects>;

/// The lists that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Lists(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By principal. Without a time it is stale.
    lists: HashMap<[u8; 16], (Option<Instant>, Arc<Known>)>,
    /// Grows with every change, so that a list from before one is not taken for fresh.
    changes: u64,
}

impl Lists {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the server's passes by.
    pub(crate) fn look_at(&self, line: &[u8]) {
        // Rules that depend on it are rare, and then there is nothing to search for.
        let mut inner = self.inner();
        if !inner.lists.is_empty() && memchr::memmem::find(line, CHANGED).is_some() {
            inner.changes += 1;
            inner.lists.values_mut().for_each(|(since, _)| *since = None);
        }
    }

    fn known(&self, principal: [u8; 16], may_be_stale: bool) -> Option<Arc<Known>> {
        let inner = self.inner();
        let (since, known) = inner.lists.get(&principal)?;
        let is_fresh = since.is_some_and(|since| since.elapsed() < FRESH);
        (is_fresh || may_be_stale).then(|| Arc::clone(known))
    }

    fn keep(&self, principal: [u8; 16], known: &Arc<Known>, changes: u64) {
        let mut inner = self.inner();
        if MAX_LISTS <= inner.lists.len() {
            inner.lists.clear();
        }
        let since = (inner.changes == changes).then(Instant::now);
        inner.lists.insert(principal, (since, Arc::clone(known)));
    }
}

/// What the tool that a message calls may do. A tool that its server does not list says nothing of itself.
///
/// # Errors
/// When the server does not list its tools: without that, nobody knows whether the call is allowed.
pub(super) async fn of(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    caller: &Caller,
    tool: &str,
) -> Result<Effects, Refusal> {
    // A call that goes on was looked at when it began, and nothing can be asked before it ends.
    let goes_on = message.marks.request_state.is_some();
    let known = match shared.lists.known(caller.principal, goes_on) {
        Some(known) => known,
        None => tokio::time::timeout(PATIENCE, ask(shared, message, caller))
            .await
            .unwrap_or_else(|_| Err(not_listed("it takes too long")))?,
    };
    Ok(known.get(tool).copied().unwrap_or_default())
}

fn not_listed(why: &str) -> Refusal {
    unavailable(format!(
        "a rule depends on what this tool says of itself, and the server does not list its tools: {why}"
    ))
}

/// Reads the whole list, as the caller who makes the call.
async fn ask(shared: &Arc<Shared>, message: &Envelope<'_>, caller: &Caller) -> Result<Arc<Known>, Refusal> {
    let changes = shared.lists.inner().changes;
    let mut known = Known::new();
    let mut cursor: Option<String> = None;
    loop {
        let request = match caller.era {
            Era::Modern => headers::list_request(message, ID, cursor.as_deref()),
            Era::Legacy => Some(legacy_request(cursor.as_deref())),
        };
        let request = request.ok_or_else(|| not_listed("the call does not say its revision"))?;
        let request = envelope::scan(&request).map_err(|error| not_listed(&error.to_string()))?;
        let id = request.id.ok_or_else(|| not_listed("it cannot be asked"))?;
        // Everything is looked at, and nobody is there whom the server could ask anything.
        let all = Caller { rule: None, takes_requests: false, ..caller.clone() };
        let answer = match begin(shared, &request, id, all).await? {
            Begun::Answered(answer) => answer,
            Begun::Forwarded(call) => loop {
                match call.mailbox.next().await {
                    Letter::Between(_) => {}
                    Letter::Answer { message, .. } => {
                        call.over();
                        break message;
                    }
                    Letter::End => {
                        call.over();
                        return Err(not_listed("the request was ended"));
                    }
                }
            },
        };
        let list = envelope::scan(&answer).map_err(|error| not_listed(&error.to_string()))?;
        if list.result.is_none() {
            return Err(not_listed("it answers with an error"));
        }
        Effects::learn(&list, &mut known);
        match headers::next_cursor(&list) {
            Some(next) if cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
            _ => break,
        }
    }
    let known = Arc::new(known);
    shared.lists.keep(caller.principal, &known, changes);
    Ok(known)
}

fn legacy_request(cursor: Option<&str>) -> Vec<u8> {
    let params = cursor.map(|cursor| format!(r#","params":{{"cursor":{cursor}}}"#)).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/list"{params}}}"#).into_bytes()
}
