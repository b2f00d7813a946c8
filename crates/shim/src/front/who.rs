//! Who sent a message: as whoever holds the instance's key says, and as the message itself does.

use std::sync::Arc;

use domain::shim::RULE_HEADER;
use http::header::{HeaderMap, HeaderName};
use mcp::client::Capabilities;
use mcp::envelope::Envelope;
use mcp::errors;
use mcp::front::{Field, Refusal};
use mcp::mux::Caller;
use mcp::revision::Era;
use mcp::rule::{Effects, Rule};
use mcp::session::{self, Session};

use super::{effects, field, principal};
use crate::shared::Shared;

/// Who sent a message, and what they may use, as whoever holds the instance's key says.
pub(super) struct Who<'a> {
    pub(super) principal: &'a str,
    rule: Option<Arc<Rule>>,
}

impl<'a> Who<'a> {
    pub(super) fn of(shared: &Shared, headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let rule = match field(headers, &HeaderName::from_static(RULE_HEADER)) {
            Field::Absent => None,
            Field::One(value) => Some(shared.rule(value.as_bytes()).map_err(|why| {
                Refusal::new(400, errors::TRANSPORT, format!("the header {RULE_HEADER} is no rule: {why}"))
            })?),
            Field::Ambiguous => {
                let why = format!("the header {RULE_HEADER} must be sent once");
                return Err(Refusal::new(400, errors::TRANSPORT, why));
            }
        };
        Ok(Self { principal: principal(headers)?, rule })
    }

    /// Whether the rule allows a message. Its server is asked what its tool says of itself, where that matters.
    pub(super) async fn check(
        &self,
        shared: &Arc<Shared>,
        message: &Envelope<'_>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let Some(rule) = &self.rule else { return Ok(()) };
        let effects = match rule.asks(message) {
            Some(tool) => effects::of(shared, message, caller, &tool).await?,
            None => Effects::default(),
        };
        rule.check(message, effects)
            .map_err(|denied| Refusal::new(200, errors::INVALID_PARAMS, denied.to_string()))
    }

    /// `takes_requests`: the answer can be a stream, on which the server's questions travel.
    pub(super) fn caller(
        &self,
        shared: &Shared,
        session: Option<&Session>,
        message: Option<&Envelope<'_>>,
        takes_requests: bool,
    ) -> Caller {
        let declared = message.and_then(|message| Some(message.raw(message.marks.meta_capabilities?)));
        let id = session::principal_hash(self.principal);
        if let Some(callers) = &shared.callers {
            callers.meet(id, self.principal);
        }
        Caller {
            era: if session.is_some() { Era::Legacy } else { Era::Modern },
            principal: id,
            name: shared.code.is_some().then(|| self.principal.into()),
            session: session.map(|session| session.id),
            hello: session.map(|session| shared.sessions().hello(session)),
            can: match session {
                Some(session) => session.can,
                None => declared.map_or_else(Capabilities::default, Capabilities::of),
            },
            takes_requests,
            rule: self.rule.clone(),
        }
    }
}
