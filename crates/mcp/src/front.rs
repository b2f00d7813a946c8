//! The front's rules: is a message from a client legacy or modern, and do its headers agree with its body.
//!
//! The order of the rules is that of the official SDKs (reference servers answer `initialize` as legacy whatever else
//! it carries). HTTP appears as numbers and texts only. `Mcp-Param-*` is compared in `crate::headers`, because that needs
//! the schema of the tool.

use std::borrow::Cow;

use crate::envelope::{Envelope, Kind, Span};
use crate::errors;
use crate::headers;
use crate::revision::{self, Era, Revision};
use crate::translate;

/// One header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<'a> {
    /// Not sent.
    #[default]
    Absent,
    /// Sent once.
    One(&'a str),
    /// Sent several times, or not in visible ASCII: two readers could take two values.
    Ambiguous,
}

/// The headers that say what the body says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Field<'a>,
    /// `Mcp-Method`.
    pub method: Field<'a>,
    /// `Mcp-Name`.
    pub name: Field<'a>,
}

/// Why a message is refused before it reaches a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON-RPC code.
    pub code: i64,
    /// In words.
    pub message: Cow<'static, str>,
    /// JSON for `error.data`.
    pub data: Option<String>,
    /// Seconds after which a second try makes sense (`Retry-After`).
    pub retry_after: Option<u64>,
    /// Whether whoever would take the message ends, so that nothing was done and another one may take it.
    pub is_away: bool,
}

impl Refusal {
    /// With no `data`, and not to be tried again as it is.
    pub fn new(status: u16, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), data: None, retry_after: None, is_away: false }
    }

    /// The JSON-RPC error message that carries it.
    pub fn body(&self, raw_id: Option<&str>) -> Vec<u8> {
        errors::body(raw_id, self.code, &self.message, self.data.as_deref())
    }
}

/// Decides the era of a client's message and checks what its era demands of headers, `_meta` and method.
pub fn dispatch(envelope: &Envelope<'_>, fields: &Fields<'_>) -> Result<Era, Refusal> {
    if envelope.kind() == Kind::Answer {
        return legacy(fields);
    }
    let method = envelope.method();
    let marks = &envelope.marks;
    if method == "initialize" {
        return match (marks.protocol_version, marks.meta_version) {
            (Some(_), _) => Ok(Era::Legacy),
            (None, Some(_)) => Err(Refusal::new(
                404,
                errors::METHOD_NOT_FOUND,
                "`initialize` is no method of the modern revisions; send `server/discover`",
            )),
            (None, None) => {
                Err(Refusal::new(400, errors::INVALID_PARAMS, "`params.protocolVersion` is missing"))
            }
        };
    }
    if let Some(version) = marks.meta_version {
        return modern(envelope, &method, version, fields);
    }
    let header_is_modern = matches!(fields.version, Field::One(version) if revision::is_modern(version));
    if method == "server/discover" || (header_is_modern && envelope.kind() == Kind::Request) {
        return Err(missing_meta("protocolVersion"));
    }
    if header_is_modern { Ok(Era::Modern) } else { legacy(fields) }
}

/// The HTTP status of a modern server's answer, from its error code (2026-07-28, Streamable HTTP, "Error responses").
pub fn status_of(code: Option<i64>) -> u16 {
    match code {
        Some(errors::METHOD_NOT_FOUND) => 404,
        Some(errors::UNSUPPORTED_PROTOCOL_VERSION..=errors::HEADER_MISMATCH) => 400,
        _ => 200,
    }
}

fn legacy(fields: &Fields<'_>) -> Result<Era, Refusal> {
    match fields.version {
        Field::Absent => Ok(Era::Legacy),
        Field::One(text) if Revision::of(text).is_some() => Ok(Era::Legacy),
        Field::One(text) => Err(Refusal::new(
            400,
            errors::TRANSPORT,
            format!(
                "MCP-Protocol-Version: `{text}` is no revision served here; served are {}",
                list(false, str::to_owned)
            ),
        )),
        Field::Ambiguous => {
            Err(Refusal::new(400, errors::TRANSPORT, "MCP-Protocol-Version: send it once, as a date"))
        }
    }
}

fn modern(envelope: &Envelope<'_>, method: &str, version: Span, fields: &Fields<'_>) -> Result<Era, Refusal> {
    let Some(version) = envelope.string(version) else {
        return Err(missing_meta("protocolVersion"));
    };
    if fields.version != Field::One(version.as_ref()) {
        return Err(mismatch("MCP-Protocol-Version", "`_meta` protocol version"));
    }
    if version != Revision::V2026_07_28.text() {
        let supported = list(true, errors::quote);
        let message =
            format!("revision `{version}` is not served here; served are {}", list(true, str::to_owned));
        return Err(Refusal {
            data: Some(format!(r#"{{"supported":[{supported}],"requested":{}}}"#, errors::quote(&version))),
            ..Refusal::new(400, errors::UNSUPPORTED_PROTOCOL_VERSION, message)
        });
    }
    let is_request = envelope.kind() == Kind::Request;
    if is_request && envelope.marks.meta_capabilities.is_none_or(|span| !envelope.raw(span).starts_with('{'))
    {
        return Err(missing_meta("clientCapabilities"));
    }
    match fields.method {
        Field::Absent if !is_request => {}
        Field::One(header) if header == method => {}
        _ => return Err(mismatch("Mcp-Method", "`method`")),
    }
    if is_request && translate::is_removed(method) {
        let message = format!("`{method}` is no method of this revision");
        return Err(Refusal::new(404, errors::METHOD_NOT_FOUND, message));
    }
    if let Some((span, what)) = headers::named(method, &envelope.marks) {
        let body = span.and_then(|span| envelope.string(span));
        let agrees = match (fields.name, &body) {
            (Field::One(header), Some(body)) => {
                headers::decoded(header).is_some_and(|header| header == *body)
            }
            // A server says best what it misses when neither names anything.
            (Field::Absent, None) => true,
            _ => false,
        };
        if !agrees {
            return Err(mismatch("Mcp-Name", what));
        }
    }
    Ok(Era::Modern)
}

fn mismatch(header: &str, body: &str) -> Refusal {
    Refusal::new(
        400,
        errors::HEADER_MISMATCH,
        format!("the header {header} must be sent once and equal the body's {body}"),
    )
}

fn missing_meta(key: &str) -> Refusal {
    Refusal::new(
        400,
        errors::INVALID_PARAMS,
        format!("`params._meta[\"io.modelcontextprotocol/{key}\"]` is missing or of the wrong type"),
    )
}

fn list(modern: bool, one: impl Fn(&str) -> String) -> String {
    let served = Revision::ALL.iter().rev().filter(|revision| modern || revision.era() == Era::Legacy);
    served.map(|revision| one(revision.text())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
