//! One JSON-RPC message, looked at without being taken apart: where its id, method and tokens lie, byte by byte.
//!
//! One pass validates the text, finds the few members that routing needs, and copies nothing. All other bytes are
//! forwarded as they came: key order, large integers, odd Unicode and unknown members survive ([`Envelope::splice`]).
//!
//! A repeated key, or one written with escapes, could be read in one way here and in another way by the server. So
//! both are refused in the envelope itself, and for the watched members of `params`, `result` and `_meta`.
//! This module does not know what the methods mean.

use std::borrow::Cow;

use crate::errors;
pub use crate::json::Span;
use crate::json::{ScanError, Scanner, Text};

/// The longest id, as written, in bytes. Ids are kept and repeated, so a message must not be able to be mostly id.
const MAX_ID: usize = 1024;

/// The prefix of the specification's own `_meta` keys.
pub const META_PREFIX: &str = "io.modelcontextprotocol/";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `method` and `id`: an answer is due.
    Request,
    /// `method` without `id`: no answer is due.
    Notification,
    /// `result` or `error`: the answer to a request.
    Answer,
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not UTF-8.
    #[error("the message is not UTF-8: byte {at} begins no character")]
    NotUtf8 {
        /// Offset in bytes.
        at: usize,
    },
    /// Not JSON.
    #[error("the message is not JSON: at byte {at} {expected} was expected")]
    NotJson {
        /// Offset in bytes.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// More containers within containers than anybody needs.
    #[error("the message is nested deeper than 128 levels")]
    TooDeep,
    /// Longer than 4 GiB, which no offset here can express.
    #[error("the message is longer than 4 GiB")]
    TooLong,
    /// A JSON-RPC batch; MCP had them in revision 2025-03-26 only.
    #[error("the message is a batch (a JSON array); send one message at a time")]
    Batch,
    /// JSON, but neither an object nor an array.
    #[error("the message is not a JSON object")]
    NotObject,
    /// One key twice: two readers could each take another one.
    #[error("the key `{key}` is repeated; send it once")]
    RepeatedKey {
        /// Its name.
        key: &'static str,
    },
    /// A key that is routed on and is written with backslashes: two readers could disagree on it.
    #[error("the key `{key}` is written with escapes; write it plainly")]
    EscapedKey {
        /// Its name, or `(envelope)` for any key of the envelope.
        key: &'static str,
    },
    /// `jsonrpc` is absent or not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// The id is neither a string nor a number, or longer than anybody needs.
    #[error("`id` must be a string or a number, of at most 1024 bytes")]
    Id,
    /// The method is not a string.
    #[error("`method` must be a string")]
    Method,
    /// Not a request, a notification, a result or an error.
    #[error("the message must have either `method`, or `id` with one of `result` and `error`")]
    Shape,
}

impl EnvelopeError {
    /// The JSON-RPC error code: -32700 for what is no JSON, -32600 for what is no message (JSON-RPC 2.0 §5.1).
    pub fn code(&self) -> i64 {
        match self {
            Self::NotUtf8 { .. } | Self::NotJson { .. } | Self::TooDeep | Self::TooLong => {
                errors::PARSE_ERROR
            }
            Self::Batch
            | Self::NotObject
            | Self::RepeatedKey { .. }
            | Self::EscapedKey { .. }
            | Self::Version
            | Self::Id
            | Self::Method
            | Self::Shape => errors::INVALID_REQUEST,
        }
    }
}

/// The members below the envelope that routing needs. Each is the range of the value, quotes included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// `params.name`: a tool or a prompt.
    pub name: Option<Span>,
    /// `params.uri`: a resource.
    pub uri: Option<Span>,
    /// `params.taskId`: a task of the tasks extension.
    pub task_id: Option<Span>,
    /// `params.requestId` of `notifications/cancelled`.
    pub request_id: Option<Span>,
    /// `params.progressToken` of `notifications/progress`.
    pub progress_token: Option<Span>,
    /// `params.protocolVersion` or `result.protocolVersion` of `initialize`.
    pub protocol_version: Option<Span>,
    /// `params.level` of `logging/setLevel` and `notifications/message`.
    pub level: Option<Span>,
    /// `params.notifications` of `subscriptions/listen`.
    pub notifications: Option<Span>,
    /// `params.inputResponses` of a request that is sent again with its client's answers.
    pub input_responses: Option<Span>,
    /// `params.requestState`, or `result.requestState` of a result that asks for input.
    pub request_state: Option<Span>,
    /// `result.inputRequests`.
    pub input_requests: Option<Span>,
    /// `result.resultType`.
    pub result_type: Option<Span>,
    /// `result.ttlMs`.
    pub ttl: Option<Span>,
    /// `result.cacheScope`.
    pub cache_scope: Option<Span>,
    /// `error.code`.
    pub code: Option<Span>,
    /// `_meta`, of `params` or `result`.
    pub meta: Option<Span>,
    /// `_meta.progressToken`.
    pub meta_progress_token: Option<Span>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub meta_version: Option<Span>,
    /// `_meta["io.modelcontextprotocol/clientCapabilities"]`.
    pub meta_capabilities: Option<Span>,
    /// `_meta["io.modelcontextprotocol/logLevel"]`.
    pub meta_log_level: Option<Span>,
    /// `_meta["io.modelcontextprotocol/subscriptionId"]`.
    pub meta_subscription: Option<Span>,
    /// `_meta["io.modelcontextprotocol/serverInfo"]`.
    pub meta_server_info: Option<Span>,
}

/// One JSON-RPC message, borrowed.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    text: &'a str,
    kind: Kind,
    line_breaks: bool,
    /// `id`; absent from a notification, and from an error that answers nothing in particular.
    pub id: Option<Span>,
    /// `method`, quotes included.
    pub method: Option<Span>,
    /// `params`.
    pub params: Option<Span>,
    /// `result`.
    pub result: Option<Span>,
    /// `error`.
    pub error: Option<Span>,
    /// What was found below.
    pub marks: Marks,
}

/// Looks at one message: UTF-8, JSON, one object, a JSON-RPC 2.0 shape, no ambiguous keys.
pub fn scan(message: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
    let text =
        std::str::from_utf8(message).map_err(|error| EnvelopeError::NotUtf8 { at: error.valid_up_to() })?;
    if u32::try_from(text.len()).is_err() {
        return Err(EnvelopeError::TooLong);
    }
    let mut scanner = Scanner::new(text);
    match scanner.peek() {
        Some(b'{') => {}
        first => {
            // A message that is no JSON at all is told so first.
            scanner.value()?;
            scanner.end()?;
            return Err(if first == Some(b'[') { EnvelopeError::Batch } else { EnvelopeError::NotObject });
        }
    }
    let mut found = Found::default();
    scanner.members(&mut |scanner, key| found.member(text, scanner, key))?;
    scanner.end()?;
    found.envelope(text, scanner.line_breaks())
}

/// The messages of a batch, each as it stands in the text. They are not looked at.
pub fn split_batch(text: &[u8]) -> Result<Vec<&[u8]>, EnvelopeError> {
    let text =
        std::str::from_utf8(text).map_err(|error| EnvelopeError::NotUtf8 { at: error.valid_up_to() })?;
    if u32::try_from(text.len()).is_err() {
        return Err(EnvelopeError::TooLong);
    }
    let mut scanner = Scanner::new(text);
    let mut messages = Vec::new();
    scanner.items(&mut |scanner| {
        messages.push(&text.as_bytes()[scanner.value()?.range()]);
        Ok(())
    })?;
    scanner.end()?;
    Ok(messages)
}

impl<'a> Envelope<'a> {
    /// What the message is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole message as it came.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The bytes of a range.
    pub fn raw(&self, span: Span) -> &'a str {
        &self.text[span.range()]
    }

    /// The id as it is written, quotes included.
    pub fn raw_id(&self) -> Option<&'a str> {
        self.id.map(|span| self.raw(span))
    }

    /// The method; empty for an answer. Borrowed unless it is written with escapes.
    pub fn method(&self) -> Cow<'a, str> {
        self.method.and_then(|span| self.string(span)).unwrap_or_default()
    }

    /// The string at a range, decoded; `None` when the value there is not a string, or names no Unicode text.
    pub fn string(&self, span: Span) -> Option<Cow<'a, str>> {
        decode(self.raw(span))
    }

    /// Writes the message to `out` with some ranges replaced and every other byte as it came, but for one thing: line
    /// breaks between tokens become spaces, because a line break ends a message on stdio.
    ///
    /// `edits` may come in any order and must not overlap; they are few, so they are sorted here.
    pub fn splice(&self, edits: &mut [(Span, &[u8])], out: &mut Vec<u8>) {
        edits.sort_unstable_by_key(|(span, _)| (span.range().start, span.range().end));
        let start = out.len();
        let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
        out.reserve(self.text.len() + added + 1);
        let bytes = self.text.as_bytes();
        let mut from = 0;
        for (span, with) in edits {
            let range = span.range();
            out.extend_from_slice(&bytes[from..range.start]);
            out.extend_from_slice(with);
            from = range.end;
        }
        out.extend_from_slice(&bytes[from..]);
        if self.line_breaks {
            for byte in &mut out[start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
    }
}

/// What one pass has found so far.
#[derive(Default)]
struct Found {
    jsonrpc: Option<Span>,
    id: Option<Span>,
    method: Option<Span>,
    params: Option<Span>,
    result: Option<Span>,
    error: Option<Span>,
    marks: Marks,
}

impl Found {
    fn member(&mut self, text: &str, scanner: &mut Scanner<'_>, key: Text) -> Result<(), EnvelopeError> {
        if key.escaped {
            return Err(EnvelopeError::EscapedKey { key: "(envelope)" });
        }
        let (slot, name) = match unquoted(text, key.span) {
            "jsonrpc" => (&mut self.jsonrpc, "jsonrpc"),
            "id" => (&mut self.id, "id"),
            "method" => (&mut self.method, "method"),
            "params" | "result" | "error" => return self.body(text, scanner, key),
            _ => return Ok(scanner.value().map(drop)?),
        };
        fill(slot, name, scanner.value()?)
    }

    /// `params`, `result` or `error`. A message that has two of them is refused in the end, so they may share their marks.
    fn body(&mut self, text: &str, scanner: &mut Scanner<'_>, key: Text) -> Result<(), EnvelopeError> {
        let (part, slot, name) = match unquoted(text, key.span) {
            "params" => (Part::Params, &mut self.params, "params"),
            "result" => (Part::Result, &mut self.result, "result"),
            _ => (Part::Error, &mut self.error, "error"),
        };
        let span = if scanner.peek() == Some(b'{') {
            let marks = &mut self.marks;
            scanner.members(&mut |scanner, key| body_member(marks, part, text, scanner, key))?
        } else {
            scanner.value()?
        };
        fill(slot, name, span)
    }

    fn envelope(self, text: &str, line_breaks: bool) -> Result<Envelope<'_>, EnvelopeError> {
        if self.jsonrpc.is_none_or(|span| decode(&text[span.range()]).as_deref() != Some("2.0")) {
            return Err(EnvelopeError::Version);
        }
        let first_of = |span: Span| text.as_bytes()[span.range().start];
        let id_is_null = self.id.is_some_and(|id| first_of(id) == b'n');
        let is_id =
            |id: Span| id.range().len() <= MAX_ID && matches!(first_of(id), b'"' | b'-' | b'0'..=b'9' | b'n');
        if self.id.is_some_and(|id| !is_id(id)) {
            return Err(EnvelopeError::Id);
        }
        let kind = match (self.method, self.result, self.error) {
            (Some(_), None, None) if id_is_null => return Err(EnvelopeError::Id),
            (Some(_), None, None) if self.id.is_some() => Kind::Request,
            (Some(_), None, None) => Kind::Notification,
            (None, Some(_), None) if self.id.is_none() || id_is_null => return Err(EnvelopeError::Id),
            (None, Some(_), None) | (None, None, Some(_)) if self.params.is_none() => Kind::Answer,
            _ => return Err(EnvelopeError::Shape),
        };
        if self.method.is_some_and(|method| decode(&text[method.range()]).is_none()) {
            return Err(EnvelopeError::Method);
        }
        Ok(Envelope {
            text,
            kind,
            line_breaks,
            id: self.id.filter(|_| !id_is_null),
            method: self.method,
            params: self.params,
            result: self.result,
            error: self.error,
            marks: self.marks,
        })
    }
}

/// Which member of the envelope is looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Params,
    Result,
    Error,
}

fn body_member(
    marks: &mut Marks,
    part: Part,
    text: &str,
    scanner: &mut Scanner<'_>,
    key: Text,
) -> Result<(), EnvelopeError> {
    let name = decoded_key(text, key);
    let (slot, name) = match (part, name.as_ref()) {
        (Part::Params | Part::Result, "_meta") => {
            refuse_escapes(key, "_meta")?;
            let span = if scanner.peek() == Some(b'{') {
                scanner.members(&mut |scanner, key| meta_member(marks, text, scanner, key))?
            } else {
                scanner.value()?
            };
            return fill(&mut marks.meta, "_meta", span);
        }
        (Part::Params | Part::Result, "protocolVersion") => (&mut marks.protocol_version, "protocolVersion"),
        (Part::Params, "name") => (&mut marks.name, "name"),
        (Part::Params, "uri") => (&mut marks.uri, "uri"),
        (Part::Params, "taskId") => (&mut marks.task_id, "taskId"),
        (Part::Params, "requestId") => (&mut marks.request_id, "requestId"),
        (Part::Params, "progressToken") => (&mut marks.progress_token, "progressToken"),
        (Part::Params, "level") => (&mut marks.level, "level"),
        (Part::Params, "notifications") => (&mut marks.notifications, "notifications"),
        (Part::Params, "inputResponses") => (&mut marks.input_responses, "inputResponses"),
        (Part::Params | Part::Result, "requestState") => (&mut marks.request_state, "requestState"),
        (Part::Result, "inputRequests") => (&mut marks.input_requests, "inputRequests"),
        (Part::Result, "resultType") => (&mut marks.result_type, "resultType"),
        (Part::Result, "ttlMs") => (&mut marks.ttl, "ttlMs"),
        (Part::Result, "cacheScope") => (&mut marks.cache_scope, "cacheScope"),
        (Part::Error, "code") => (&mut marks.code, "code"),
        _ => return Ok(scanner.value().map(drop)?),
    };
    refuse_escapes(key, name)?;
    fill(slot, name, scanner.value()?)
}

fn meta_member(
    marks: &mut Marks,
    text: &str,
    scanner: &mut Scanner<'_>,
    key: Text,
) -> Result<(), EnvelopeError> {
    let name = decoded_key(text, key);
    let (slot, name) = match name.as_ref() {
        "progressToken" => (&mut marks.meta_progress_token, "progressToken"),
        name => match name.strip_prefix(META_PREFIX) {
            Some("protocolVersion") => (&mut marks.meta_version, "io.modelcontextprotocol/protocolVersion"),
            Some("clientCapabilities") => {
                (&mut marks.meta_capabilities, "io.modelcontextprotocol/clientCapabilities")
            }
            Some("logLevel") => (&mut marks.meta_log_level, "io.modelcontextprotocol/logLevel"),
            Some("subscriptionId") => {
                (&mut marks.meta_subscription, "io.modelcontextprotocol/subscriptionId")
            }
            Some("serverInfo") => (&mut marks.meta_server_info, "io.modelcontextprotocol/serverInfo"),
            _ => return Ok(scanner.value().map(drop)?),
        },
    };
    refuse_escapes(key, name)?;
    fill(slot, name, scanner.value()?)
}

fn fill(slot: &mut Option<Span>, key: &'static str, span: Span) -> Result<(), EnvelopeError> {
    if slot.replace(span).is_some() { Err(EnvelopeError::RepeatedKey { key }) } else { Ok(()) }
}

fn refuse_escapes(written: Text, key: &'static str) -> Result<(), EnvelopeError> {
    if written.escaped { Err(EnvelopeError::EscapedKey { key }) } else { Ok(()) }
}

pub(crate) fn unquoted(text: &str, span: Span) -> &str {
    let range = span.range();
    &text[range.start + 1..range.end - 1]
}

/// The key as a reader would take it. One with a broken surrogate pair can equal none of ours.
pub(crate) fn decoded_key(text: &str, key: Text) -> Cow<'_, str> {
    if key.escaped {
        decode(&text[key.span.range()]).unwrap_or_default()
    } else {
        Cow::Borrowed(unquoted(text, key.span))
    }
}

/// The text of a JSON string; `None` for any other value.
pub fn decode(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

impl From<ScanError> for EnvelopeError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Syntax { at, expected } => Self::NotJson { at, expected },
            ScanError::TooDeep => Self::TooDeep,
        }
    }
}

#[cfg(test)]
mod tests;
