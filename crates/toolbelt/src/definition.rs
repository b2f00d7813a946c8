//! What a server says of one of its tools, prompts, resources or templates.

use std::borrow::Cow;
use std::fmt::Write as _;

use domain::toolbelts::Kind;
use mcp::{envelope, errors, parts};
use sha2::{Digest as _, Sha256};

/// All kinds, in the order of [`at`].
pub const KINDS: [Kind; 4] = [Kind::Tool, Kind::Prompt, Kind::Resource, Kind::Template];

/// The place of a kind among [`KINDS`].
pub(crate) fn at(kind: Kind) -> usize {
    kind as usize
}

/// The method that lists a kind.
pub fn method(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tools/list",
        Kind::Prompt => "prompts/list",
        Kind::Resource => "resources/list",
        Kind::Template => "resources/templates/list",
    }
}

/// The kind that a method lists.
pub(crate) fn of_method(name: &str) -> Option<Kind> {
    KINDS.into_iter().find(|kind| method(*kind) == name)
}

/// The member of such a list's result that has them.
pub(crate) fn list(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tools",
        Kind::Prompt => "prompts",
        Kind::Resource => "resources",
        Kind::Template => "resourceTemplates",
    }
}

/// The member that names one.
pub(crate) fn key(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool | Kind::Prompt => "name",
        Kind::Resource => "uri",
        Kind::Template => "uriTemplate",
    }
}

/// A definition and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// As the server wrote it.
    pub json: Box<str>,
    /// SHA-256 in hexadecimal of its canonical form, so that neither the order of members nor white space makes another one.
    pub hash: Box<str>,
}

impl Definition {
    /// Of a JSON object.
    pub fn of(json: &str) -> Self {
        let mut text = String::with_capacity(json.len());
        canonical(json.trim(), &mut text);
        let mut hash = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        Self { json: json.into(), hash: hash.into() }
    }
}

/// Members in the order of their names, nothing between tokens; texts and numbers as they are written.
fn canonical(json: &str, out: &mut String) {
    if let Some(mut members) = json.starts_with('{').then(|| parts::members(json)).flatten() {
        members.sort_by(|a, b| a.0.cmp(&b.0));
        out.push('{');
        for (at, (key, value)) in members.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            out.push_str(&errors::quote(key));
            out.push(':');
            canonical(value, out);
        }
        out.push('}');
    } else if let Some(items) = json.starts_with('[').then(|| parts::items(json)).flatten() {
        out.push('[');
        for (at, item) in items.into_iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            canonical(item, out);
        }
        out.push(']');
    } else {
        out.push_str(json);
    }
}

/// What a definition is called by its server; `None`: nothing.
pub fn name_of(kind: Kind, json: &str) -> Option<Cow<'_, str>> {
    parts::member(json, key(kind)).and_then(envelope::decode)
}

/// A text of a definition, such as its `description`.
pub fn text<'a>(json: &'a str, key: &str) -> Option<Cow<'a, str>> {
    parts::member(json, key).and_then(envelope::decode)
}

/// The definition under another name, and with another description when one is given; all else stays as it is written.
pub(crate) fn shown(kind: Kind, json: &str, name: &str, description: Option<&str>) -> String {
    let Some(members) = parts::members(json) else { return json.to_owned() };
    let mut out = String::with_capacity(json.len() + 64);
    let named = key(kind);
    let mut put = |member: &str, value: &str| {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&errors::quote(member));
        out.push(':');
        out.push_str(value);
    };
    let mut is_described = false;
    for (key, value) in &members {
        match (&**key, description) {
            (key, _) if key == named => put(key, &errors::quote(name)),
            ("description", Some(description)) => {
                is_described = true;
                put(key, &errors::quote(description));
            }
            _ => put(key, value),
        }
    }
    if let Some(description) = description.filter(|_| !is_described) {
        put("description", &errors::quote(description));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_another_definition() {
        let one =
            r#"{"name":"a","inputSchema":{"type":"object","properties":{"x":{"type":"string"},"y":{}}}}"#;
        let check = |other: &str, is_same: bool| {
            assert_eq!(Definition::of(one).hash == Definition::of(other).hash, is_same, "{other}");
        };
        check(one, true);
        check(
            r#"{ "inputSchema": {"properties":{"y":{},"x":{"type":"string"}},"type":"object"}, "name":"a"}"#,
            true,
        );
        check(
            r#"{"name":"b","inputSchema":{"type":"object","properties":{"x":{"type":"string"},"y":{}}}}"#,
            false,
        );
        check(
            r#"{"name":"a","inputSchema":{"type":"object","properties":{"x":{"type":"number"},"y":{}}}}"#,
            false,
        );
        check(
            r#"{"name":"a","description":"","inputSchema":{"type":"object","properties":{"x":{"type":"string"},"y":{}}}}"#,
            false,
        );
    }

    #[test]
    fn what_is_shown() {
        let check = |kind, json: &str, description, expected: &str| {
            assert_eq!(shown(kind, json, "n\"ew", description), expected);
        };
        check(
            Kind::Tool,
            r#"{"name": "a", "x": 12345678901234567890.10}"#,
            None,
            r#"{"name":"n\"ew","x":12345678901234567890.10}"#,
        );
        check(
            Kind::Tool,
            r#"{"description":"d","name":"a"}"#,
            Some("e"),
            r#"{"description":"e","name":"n\"ew"}"#,
        );
        check(
            Kind::Resource,
            r#"{"uri":"u","name":"a"}"#,
            Some("e"),
            r#"{"uri":"n\"ew","name":"a","description":"e"}"#,
        );
    }
}
