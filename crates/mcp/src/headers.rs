//! The headers of 2026-07-28 that repeat what a body says, on both sides: written toward a server, compared when a client
//! sends them (Streamable HTTP, "Request Metadata").
//!
//! Which arguments of a tool are repeated, as `Mcp-Param-*`, stands in its schema (`x-mcp-header`). So lists of tools
//! are read as they pass by ([`Known::learn`]); one without such a mark costs a search for its name. HTTP appears as
//! texts only, and nothing here decides when a list is asked for.

mod declared;

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::envelope::{self, Envelope, Marks, Span};
use crate::errors;
use crate::front::{Field, Refusal};
use crate::json::{ScanError, Scanner};
use crate::translate;

/// `MCP-Protocol-Version`, in lower case as all names here.
pub const VERSION: &str = "mcp-protocol-version";
/// `Mcp-Method`.
pub const METHOD: &str = "mcp-method";
/// `Mcp-Name`.
pub const NAME: &str = "mcp-name";
/// What the names of headers that repeat an argument begin with.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// What a schema marks such an argument with.
const MARK: &str = "x-mcp-header";
/// Around a value in Base64.
const CODED: (&str, &str) = ("=?base64?", "?=");
/// Integers beyond are not told apart by every reader, and the specification allows none (2^53).
const SAFE: f64 = 9_007_199_254_740_992.0;

/// The tools whose arguments are repeated in headers. Small: other tools are not kept.
#[derive(Debug, Clone, Default)]
pub struct Known {
    tools: HashMap<Box<str>, Box<[Repeated]>>,
}

/// An argument that is repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repeated {
    /// The whole name of the header, in lower case.
    header: Box<str>,
    /// The names of properties that lead to it, from the arguments down.
    path: Box<[Box<str>]>,
    kind: ValueKind,
}

/// The declared type of such an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    String,
    Integer,
    Boolean,
}

/// A tool that no client over HTTP may use or show, because what it says of headers is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its name.
    pub tool: String,
    /// What is wrong with it, in words.
    pub why: String,
    /// Where it stands in the list.
    at: Span,
}

impl Known {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns from a server's answer to `tools/list`, of which there may be several pages. What was known of the tools
    /// that are listed is replaced. A mark written with escapes in its name is not found.
    pub fn learn(&mut self, list: &Envelope<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let Some(result) = list.result else { return invalid };
        if self.tools.is_empty() && !is_marked(list.raw(result)) {
            return invalid;
        }
        for at in tools(list) {
            let tool = list.raw(at);
            let name = translate::member(tool, "name").and_then(envelope::decode).unwrap_or_default();
            self.tools.remove(name.as_ref());
            if !is_marked(tool) {
                continue;
            }
            match declared::of(tool) {
                Ok(repeated) if repeated.is_empty() => {}
                Ok(repeated) => {
                    self.tools.insert(name.into(), repeated.into());
                }
                Err(why) => invalid.push(Invalid { tool: name.into_owned(), why, at }),
            }
        }
        invalid
    }

    /// Gives name and value of every header that a modern message is sent with.
    pub fn each(&self, message: &Envelope<'_>, put: &mut dyn FnMut(&str, &str)) {
        if let Some(version) = message.marks.meta_version.and_then(|span| message.string(span)) {
            put(VERSION, &version);
        }
        let method = message.method();
        put(METHOD, &method);
        let named = named(&method, &message.marks).and_then(|(span, _)| message.string(span?));
        let Some(name) = named else { return };
        put(NAME, &encoded(&name));
        let Some((arguments, repeated)) = self.repeated(message, &method, &name) else { return };
        for Repeated { header, path, kind } in repeated {
            if let Some(text) = at_path(arguments, path).value.and_then(|raw| text_of(raw, *kind)) {
                put(header, &encoded(&text));
            }
        }
    }

    /// Compares the `Mcp-Param-*` headers of a client's message with its arguments. `header` looks one up by its name in
    /// lower case; those that no schema names are not asked for.
    pub fn check<'h>(
        &self,
        message: &Envelope<'_>,
        header: impl Fn(&str) -> Field<'h>,
    ) -> Result<(), Refusal> {
        if self.tools.is_empty() {
            return Ok(());
        }
        let name = message.marks.name.and_then(|span| message.string(span)).unwrap_or_default();
        let Some((arguments, repeated)) = self.repeated(message, &message.method(), &name) else {
            return Ok(());
        };
        for Repeated { header: name, path, kind } in repeated {
            let found = at_path(arguments, path);
            let expected = found.value.and_then(|raw| text_of(raw, *kind));
            let agrees = match (header(name), &expected) {
                _ if found.is_ambiguous => false,
                (Field::Absent, None) => true,
                (Field::One(sent), Some(expected)) => decoded(sent)
                    .is_some_and(|sent| sent == *expected || is_same_number(&sent, expected, *kind)),
                _ => false,
            };
            if !agrees {
                let path = path.join(".");
                let message = if expected.is_none() && !found.is_ambiguous {
                    format!("the header {name} must not be sent: the argument `{path}` is absent or null")
                } else {
                    format!("the header {name} must be sent once and equal the argument `{path}`")
                };
                return Err(Refusal::new(400, errors::HEADER_MISMATCH, message));
            }
        }
        Ok(())
    }

    /// The arguments of a tool call, empty when there are none, and which of them are repeated.
    fn repeated<'a>(
        &self,
        message: &Envelope<'a>,
        method: &str,
        name: &str,
    ) -> Option<(&'a str, &[Repeated])> {
        if method != "tools/call" {
            return None;
        }
        let repeated = self.tools.get(name)?;
        let arguments = message.params.and_then(|span| translate::member(message.raw(span), "arguments"));
        Some((arguments.unwrap_or_default(), repeated))
    }
}

/// Writes a list of tools without those that are not valid, which a client over HTTP must not show.
pub fn without(list: &Envelope<'_>, invalid: &[Invalid], out: &mut Vec<u8>) {
    let all = tools(list);
    let (Some(start), Some(end)) = (all.first(), all.last()) else {
        return list.splice(&mut [], out);
    };
    let is_kept = |at: &&Span| invalid.iter().all(|invalid| invalid.at != **at);
    let kept: Vec<&str> = all.iter().filter(is_kept).map(|at| list.raw(*at)).collect();
    list.splice(&mut [(start.to(*end), kept.join(",").as_bytes())], out);
}

/// Where the list goes on, as it is written; `None` behind the last page.
pub fn next_cursor<'a>(list: &Envelope<'a>) -> Option<&'a str> {
    let cursor = translate::member(list.raw(list.result?), "nextCursor")?;
    cursor.starts_with('"').then_some(cursor)
}

/// The `tools/list` that finds out what a modern call's server wants repeated; `cursor` as it was written. `None` for a
/// message that is not modern.
pub fn list_request(call: &Envelope<'_>, raw_id: &str, cursor: Option<&str>) -> Option<Vec<u8>> {
    let version = call.raw(call.marks.meta_version?);
    let capabilities = call.raw(call.marks.meta_capabilities?);
    let prefix = envelope::META_PREFIX;
    let meta = format!(
        r#""_meta":{{"{prefix}protocolVersion":{version},"{prefix}clientCapabilities":{capabilities}}}"#
    );
    let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
    let request =
        format!(r#"{{"jsonrpc":"2.0","id":{raw_id},"method":"tools/list","params":{{{meta}{cursor}}}}}"#);
    Some(request.into_bytes())
}

/// A value as it stands in a header: plain when it is visible ASCII, spaces and tabs that are not at its edges; else, or
/// when it looks coded, Base64 between marks.
pub fn encoded(value: &str) -> Cow<'_, str> {
    let blanks = [' ', '\t'];
    let looks_coded = value.starts_with(CODED.0) && value.ends_with(CODED.1);
    let has_blank_edge = value.starts_with(blanks) || value.ends_with(blanks);
    let is_visible = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let is_plain = is_visible && !has_blank_edge && !looks_coded;
    if is_plain {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{}{}{}", CODED.0, STANDARD.encode(value), CODED.1))
    }
}

/// The text that a header's value stands for; `None` when it is coded and cannot be decoded.
pub fn decoded(header: &str) -> Option<Cow<'_, str>> {
    match header.strip_prefix(CODED.0).and_then(|rest| rest.strip_suffix(CODED.1)) {
        Some(coded) => String::from_utf8(STANDARD.decode(coded).ok()?).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(header)),
    }
}

/// Where the value of `Mcp-Name` stands in the body, for methods that have one, and what that is called.
pub(crate) fn named(method: &str, marks: &Marks) -> Option<(Option<Span>, &'static str)> {
    match method {
        "tools/call" | "prompts/get" => Some((marks.name, "`params.name`")),
        "resources/read" => Some((marks.uri, "`params.uri`")),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some((marks.task_id, "`params.taskId`")),
        _ => None,
    }
}

fn is_marked(text: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), MARK.as_bytes()).is_some()
}

/// The tools of a list, each where it stands in the message.
fn tools(list: &Envelope<'_>) -> Vec<Span> {
    let mut found = Vec::new();
    let Some(result) = list.result else { return found };
    let raw = list.raw(result);
    let scanned = Scanner::new(raw).members::<ScanError>(&mut |scanner, key| {
        if envelope::decoded_key(raw, key) != "tools" || scanner.peek() != Some(b'[') {
            return scanner.value().map(drop);
        }
        // Of a repeated member the last counts, as for every other reader here.
        found.clear();
        scanner
            .items(&mut |scanner| {
                found.push(scanner.value()?.moved(result));
                Ok(())
            })
            .map(drop)
    });
    // It was scanned before, so the one failure is that it is no object.
    if scanned.is_err() { Vec::new() } else { found }
}

/// What stands at a path of property names.
struct AtPath<'a> {
    value: Option<&'a str>,
    /// A key on the way is repeated: two readers could take two values.
    is_ambiguous: bool,
}

fn at_path<'a>(arguments: &'a str, path: &[Box<str>]) -> AtPath<'a> {
    let mut at = AtPath { value: Some(arguments), is_ambiguous: false };
    for step in path {
        let Some(object) = at.value.take() else { break };
        let mut times = 0;
        let mut found = None;
        let scanned = Scanner::new(object).members::<ScanError>(&mut |scanner, key| {
            let value = scanner.value()?;
            if envelope::decoded_key(object, key) == step.as_ref() {
                times += 1;
                found = Some(&object[value.range()]);
            }
            Ok(())
        });
        at.value = found.filter(|_| scanned.is_ok());
        at.is_ambiguous |= 1 < times;
    }
    at
}

/// The text that a value is repeated as; `None` for null, objects and arrays, which have none. A value of another type
/// than the declared one is repeated all the same: the server says best what is wrong with it.
fn text_of(raw: &str, kind: ValueKind) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => envelope::decode(raw),
        b'-' | b'0'..=b'9' if kind == ValueKind::Integer => Some(integer(raw)),
        b't' | b'f' | b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

fn is_same_number(one: &str, other: &str, kind: ValueKind) -> bool {
    kind == ValueKind::Integer && integer(one) == integer(other)
}

/// An integer in its one plain form; what is none, or is too large to be sure of, stays as it is.
fn integer(text: &str) -> Cow<'_, str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit());
    if !is_number || (digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')) {
        return Cow::Borrowed(text);
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < SAFE => {
            // Adding zero turns minus zero into zero.
            Cow::Owned(format!("{:.0}", number + 0.0))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
