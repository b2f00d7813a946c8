//! What a message loses and gains on its way between the eras. Everything else in it stays, byte for byte.
//!
//! The rules are those of 2026-07-28 (basic, `_meta`; server, caching; basic, error codes). Nothing here knows which call a
//! message belongs to: that is `crate::mux`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::envelope::{self, Envelope, META_PREFIX, Span};
use crate::errors;
use crate::json::{ScanError, Scanner};
use crate::revision::Revision;

/// Ranges of a message and what takes their place.
pub(crate) type Edits<'a> = Vec<(Span, &'a [u8])>;

/// The error codes that 2026-07-28 forbids: a resource that is not there, and a URL that must be visited first.
const RESOURCE_NOT_FOUND: i64 = -32002;
const URL_ELICITATION_REQUIRED: i64 = -32042;

/// Whether a complete result of the method must carry caching hints (2026-07-28, server/utilities/caching).
pub(crate) fn is_cacheable(method: &str) -> bool {
    matches!(
        method,
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    )
}

/// Whether 2026-07-28 has taken the method out of the protocol.
pub(crate) fn is_removed(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "logging/setLevel"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "tasks/list"
            | "tasks/result"
    )
}

/// Takes the specification's own keys out of `params._meta`: some legacy servers refuse a message that has them.
pub(crate) fn strip_meta(message: &Envelope<'_>, edits: &mut Edits<'_>) {
    if let Some((meta, mut members)) = meta_members(message) {
        members.retain(|(key, _)| key.starts_with(META_PREFIX));
        remove(message.text(), meta, &spans(&members), edits);
    }
}

/// Takes out what only a modern server understands of a request that is sent again.
pub(crate) fn strip_retry(message: &Envelope<'_>, edits: &mut Edits<'_>) {
    let Some(params) = message.params else { return };
    let marks = &message.marks;
    let mut members: Vec<Span> = [marks.input_responses, marks.request_state]
        .into_iter()
        .flatten()
        .filter_map(|value| member_of(message.text(), value))
        .collect();
    members.sort_unstable_by_key(|span| span.range().start);
    remove(message.text(), params, &members, edits);
}

/// Puts members into `params._meta`, which is made where it is missing; those that it has under the same keys make room.
/// `buffer` is that of the text put in: it must be empty and outlive the edits. `members` is JSON without braces.
pub(crate) fn put_meta<'a>(
    message: &Envelope<'_>,
    members: &str,
    buffer: &'a mut Vec<u8>,
    edits: &mut Edits<'a>,
) {
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| buffer.extend_from_slice(part.as_bytes()));
    let at = match (message.params, message.marks.meta) {
        (_, Some(meta)) if message.raw(meta).starts_with('{') => {
            let (_, mut replaced) = meta_members(message).unwrap_or((meta, Vec::new()));
            let all = replaced.len();
            let object = format!("{{{members}}}");
            replaced.retain(|(key, _)| member(&object, key).is_some());
            remove(message.text(), meta, &spans(&replaced), edits);
            put(&[members, if replaced.len() == all { "" } else { "," }]);
            meta.behind_first()
        }
        (_, Some(meta)) => {
            put(&["{", members, "}"]);
            meta
        }
        (Some(params), None) if message.raw(params).starts_with('{') => {
            let comma = if is_empty(message, params) { "" } else { "," };
            put(&[r#""_meta":{"#, members, "}", comma]);
            params.behind_first()
        }
        // What is no object is for the server to refuse.
        (Some(_), None) => return,
        (None, None) => {
            let Some(method) = message.method else { return };
            put(&[r#","params":{"_meta":{"#, members, "}}"]);
            let end = method.range().end;
            Span::of(end..end)
        }
    };
    edits.push((at, buffer));
}

/// The members of `_meta` that make a request a modern one. `client` and `capabilities` are JSON; `level` is that of the
/// client's session.
pub(crate) fn modern_meta(client: &str, capabilities: &str, level: Option<&str>) -> String {
    let version = Revision::V2026_07_28.text();
    let mut members = format!(
        r#""{META_PREFIX}protocolVersion":"{version}","{META_PREFIX}clientCapabilities":{capabilities},"{META_PREFIX}clientInfo":{client}"#
    );
    if let Some(level) = level {
        // Writing to a `String` cannot fail.
        let _ = write!(members, r#","{META_PREFIX}logLevel":"{level}""#);
    }
    members
}

/// Writes a legacy server's answer as one for a modern client, and gives the error code that this client sees.
/// `server_info` is JSON, or empty.
pub(crate) fn to_modern(
    message: &Envelope<'_>,
    raw_id: &str,
    cacheable: bool,
    server_info: &str,
    out: &mut Vec<u8>,
) -> Option<i64> {
    let mut edits: Edits<'_> = message.id.map(|id| (id, raw_id.as_bytes())).into_iter().collect();
    let marks = &message.marks;
    let mut members = Vec::new();
    let mut in_meta = Vec::new();
    let mut code = None;
    let code_text;
    if let Some(result) = message.result.filter(|result| message.raw(*result).starts_with('{')) {
        if marks.result_type.is_none() {
            members.extend_from_slice(br#""resultType":"complete","#);
        }
        if cacheable && marks.ttl.is_none() {
            members.extend_from_slice(br#""ttlMs":0,"#);
        }
        if cacheable && marks.cache_scope.is_none() {
            members.extend_from_slice(br#""cacheScope":"private","#);
        }
        if !server_info.is_empty() && marks.meta_server_info.is_none() {
            let info = format!(r#""{META_PREFIX}serverInfo":{server_info}"#);
            match marks.meta {
                Some(meta) if message.raw(meta).starts_with('{') => {
                    in_meta.extend_from_slice(info.as_bytes());
                    if !is_empty(message, meta) {
                        in_meta.push(b',');
                    }
                    edits.push((meta.behind_first(), &in_meta));
                }
                Some(_) => {}
                None => members.extend_from_slice(format!(r#""_meta":{{{info}}},"#).as_bytes()),
            }
        }
        if is_empty(message, result) {
            members.pop();
        }
        edits.push((result.behind_first(), &members));
    } else if message.error.is_some() {
        code = marks.code.and_then(|code| message.raw(code).parse().ok());
        let mapped = match code {
            Some(RESOURCE_NOT_FOUND) => Some(errors::INVALID_PARAMS),
            Some(URL_ELICITATION_REQUIRED) => Some(errors::INTERNAL_ERROR),
            _ => None,
        };
        if let (Some(span), Some(mapped)) = (marks.code, mapped) {
            code = Some(mapped);
            code_text = mapped.to_string();
            edits.push((span, code_text.as_bytes()));
        }
    }
    message.splice(&mut edits, out);
    code
}

/// Writes a modern server's answer as one for a legacy client, some of which refuse members they do not know.
pub(crate) fn to_legacy(message: &Envelope<'_>, raw_id: &str, out: &mut Vec<u8>) {
    let marks = &message.marks;
    let result_type = marks.result_type.and_then(|span| message.string(span));
    let mut edits: Edits<'_> = message.id.map(|id| (id, raw_id.as_bytes())).into_iter().collect();
    if let Some(result) = message.result {
        let complete = marks.result_type.filter(|_| result_type.as_deref() == Some("complete"));
        let mut members: Vec<Span> = [complete, marks.ttl, marks.cache_scope]
            .into_iter()
            .flatten()
            .filter_map(|value| member_of(message.text(), value))
            .collect();
        members.sort_unstable_by_key(|span| span.range().start);
        remove(message.text(), result, &members, &mut edits);
    }
    message.splice(&mut edits, out);
}

/// The object less its members of the given key; other bytes stay.
pub(crate) fn without(object: &str, key: &str) -> String {
    let mut found = Vec::new();
    let scanned = Scanner::new(object).members::<ScanError>(&mut |scanner, name| {
        let value = scanner.value()?;
        if envelope::decoded_key(object, name) == key {
            found.push(name.span.to(value));
        }
        Ok(())
    });
    let Ok(span) = scanned else { return object.to_owned() };
    let mut edits = Vec::new();
    remove(object, span, &found, &mut edits);
    let mut out = object.to_owned();
    for (span, _) in edits.iter().rev() {
        out.replace_range(span.range(), "");
    }
    out
}

/// The member's value as it stands in the object; of a repeated one the last.
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    let scanned = Scanner::new(object).members::<ScanError>(&mut |scanner, name| {
        let value = scanner.value()?;
        if envelope::decoded_key(object, name) == key {
            found = Some(&object[value.range()]);
        }
        Ok(())
    });
    found.filter(|_| scanned.is_ok())
}

/// Where a member's value stands in an object of the message.
pub fn span_of(message: &Envelope<'_>, object: Span, key: &str) -> Option<Span> {
    let value = member(message.raw(object), key)?;
    let start = value.as_ptr().addr() - message.text().as_ptr().addr();
    Some(Span::of(start..start + value.len()))
}

/// The members of an object: each key, and its value as it stands there. `None` when it is no object.
pub fn members(object: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut found = Vec::new();
    let scanned = Scanner::new(object).members::<ScanError>(&mut |scanner, name| {
        let value = scanner.value()?;
        found.push((envelope::decoded_key(object, name), &object[value.range()]));
        Ok(())
    });
    scanned.is_ok().then_some(found)
}

/// The items of an array, as they stand there. `None` when it is no array.
pub fn items(array: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let scanned = Scanner::new(array).items(&mut |scanner| {
        found.push(&array[scanner.value()?.range()]);
        Ok(())
    });
    scanned.is_ok().then_some(found)
}

/// A member's key, and where key and value are.
type Member<'a> = (Cow<'a, str>, Span);

/// The members of `_meta`, when it is an object.
fn meta_members<'a>(message: &Envelope<'a>) -> Option<(Span, Vec<Member<'a>>)> {
    let meta = message.marks.meta?;
    let raw = message.raw(meta);
    let mut members = Vec::new();
    let scanned = Scanner::new(raw).members::<ScanError>(&mut |scanner, key| {
        let value = scanner.value()?;
        members.push((envelope::decoded_key(raw, key), key.span.to(value).moved(meta)));
        Ok(())
    });
    // It was scanned before, so the one failure is that it is no object.
    scanned.is_ok().then_some((meta, members))
}

fn spans(members: &[Member<'_>]) -> Vec<Span> {
    members.iter().map(|(_, span)| *span).collect()
}

/// Removes members, given in the order of the text, and the commas that go with them.
fn remove(text: &str, object: Span, members: &[Span], edits: &mut Edits<'_>) {
    let mut from = object.range().start + 1;
    let mut one_stays_before = false;
    for member in members {
        let member = member.range();
        let before = text[from..member.start].trim_end();
        one_stays_before |= !before.trim_start().is_empty();
        let range = if one_stays_before {
            from + before.len() - 1..member.end
        } else {
            let behind = text[member.end..].trim_start();
            let comma = text.len() - behind.len();
            member.start..if behind.starts_with(',') { comma + 1 } else { member.end }
        };
        from = range.end;
        edits.push((Span::of(range), b""));
    }
}

/// The whole member that a value belongs to. Its key has no escapes, which the scan has seen to.
fn member_of(text: &str, value: Span) -> Option<Span> {
    let before = text[..value.range().start].trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?;
    Some(Span::of(before.rfind('"')?..value.range().end))
}

fn is_empty(message: &Envelope<'_>, object: Span) -> bool {
    message.raw(object)[1..].trim_start().starts_with('}')
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
