//! What one caller may use of one server: applied to calls and, alike, to lists, so that nobody sees what he may not use.
//!
//! A rule arrives compiled: names and patterns for each kind of thing. Who gets which rule is not known here.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::envelope::{self, Envelope};
use crate::json::{ScanError, Scanner};
use crate::translate;

/// A compiled rule. Absent parts allow everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// By `name`.
    #[serde(default)]
    pub tools: Names,
    /// By `name`.
    #[serde(default)]
    pub prompts: Names,
    /// By `uri`; templates by `uriTemplate`.
    #[serde(default)]
    pub resources: Names,
}

/// Which names are allowed: those that `allow` names, all when it is absent, less those that `deny` names. `*` stands for
/// any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Wins over `allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// What a caller may not use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{name}` is not available to this caller")]
pub struct Denied {
    /// Such as `the tool`.
    pub kind: &'static str,
    /// Its name or address.
    pub name: String,
}

impl Names {
    /// Whether a name is allowed.
    pub fn permit(&self, name: &str) -> bool {
        let is_meant = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        self.allow.as_deref().is_none_or(is_meant) && !is_meant(&self.deny)
    }
}

impl Rule {
    /// Reads one.
    ///
    /// # Errors
    /// When the text is not a rule; the reason names the field.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        if json.first() != Some(&b'{') {
            return Err("it is not a JSON object".to_owned());
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// Whether a client's message is allowed.
    ///
    /// # Errors
    /// What it may not use.
    pub fn check(&self, message: &Envelope<'_>) -> Result<(), Denied> {
        let text = |span| message.string(span).map(Cow::into_owned);
        let (name, uri) = (message.marks.name.and_then(text), message.marks.uri.and_then(text));
        let used = match message.method().as_ref() {
            "tools/call" => vec![(&self.tools, "the tool", name)],
            "prompts/get" => vec![(&self.prompts, "the prompt", name)],
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                vec![(&self.resources, "the resource", uri)]
            }
            "completion/complete" => {
                let reference = message.params.and_then(|span| translate::member(message.raw(span), "ref"));
                let part = |key| {
                    let value = translate::member(reference?, key).and_then(envelope::decode);
                    value.map(Cow::into_owned)
                };
                vec![
                    (&self.prompts, "the prompt", part("name")),
                    (&self.resources, "the resource", part("uri")),
                ]
            }
            "subscriptions/listen" => {
                let uris = message
                    .marks
                    .notifications
                    .and_then(|span| translate::member(message.raw(span), "resourceSubscriptions"));
                let uris: Vec<String> =
                    uris.and_then(|uris| serde_json::from_str(uris).ok()).unwrap_or_default();
                uris.into_iter().map(|uri| (&self.resources, "the resource", Some(uri))).collect()
            }
            _ => return Ok(()),
        };
        for (names, kind, name) in used {
            // What names nothing is for the server to refuse.
            if let Some(name) = name.filter(|name| !names.permit(name)) {
                return Err(Denied { kind, name });
            }
        }
        Ok(())
    }

    /// Whether answers of the method are lists that [`Rule::filter`] looks at.
    pub fn is_list(method: &str) -> bool {
        list_of(method).is_some()
    }

    /// Takes what the caller may not use out of the answer to a list; every other byte stays.
    pub fn filter(&self, method: &str, answer: Vec<u8>) -> Vec<u8> {
        let Some((list, key)) = list_of(method) else { return answer };
        let names = match list {
            "tools" => &self.tools,
            "prompts" => &self.prompts,
            _ => &self.resources,
        };
        if *names == Names::default() {
            return answer;
        }
        let Ok(message) = envelope::scan(&answer) else { return answer };
        let Some(result) = message.result else { return answer };
        let Some(items) = translate::span_of(&message, result, list) else { return answer };
        let from = items.range().start;
        let gone = denied(message.raw(items), key, names);
        let mut answer = answer;
        for range in gone.into_iter().rev() {
            answer.drain(from + range.start..from + range.end);
        }
        answer
    }
}

/// The list in the answer of a method, and what names one item.
fn list_of(method: &str) -> Option<(&'static str, &'static str)> {
    Some(match method {
        "tools/list" => ("tools", "name"),
        "prompts/list" => ("prompts", "name"),
        "resources/list" => ("resources", "uri"),
        "resources/templates/list" => ("resourceTemplates", "uriTemplate"),
        _ => return None,
    })
}

/// The ranges of an array that hold items which are not allowed, commas included. An item without a name is one.
fn denied(items: &str, key: &str, names: &Names) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    // It was scanned before, so the one failure is that it is no array.
    let _ = Scanner::new(items).items(&mut |scanner| {
        let item = scanner.value()?;
        let name = translate::member(&items[item.range()], key).and_then(envelope::decode);
        all.push((item.range(), name.is_some_and(|name| names.permit(&name))));
        Ok::<(), ScanError>(())
    });
    let mut gone = Vec::new();
    let mut kept_before = false;
    for (at, (range, is_kept)) in all.iter().enumerate() {
        if *is_kept {
            kept_before = true;
        } else if kept_before {
            gone.push(all[at - 1].0.end..range.end);
        } else {
            gone.push(range.start..all.get(at + 1).map_or(range.end, |(next, _)| next.start));
        }
    }
    gone
}

/// `*` stands for any characters, none among them.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        Rule::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("echo", "echo", true),
            ("echo", "echo2", false),
            ("*", "", true),
            ("get_*", "get_", true),
            ("get_*", "forget_it", false),
            ("*_all*_x", "a_all_x", true),
            ("*_all*_x", "_all_all_x", true),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn calls() {
        let rule = rule(
            r#"{"tools":{"allow":["get_*"],"deny":["get_secret"]},"prompts":{"allow":[]},"resources":{"deny":["file:///etc/*"]}}"#,
        );
        for (method, params, denied) in [
            ("tools/call", r#"{"name":"get_x"}"#, ""),
            ("tools/call", r#"{"name":"get_secret"}"#, "get_secret"),
            ("tools/call", r#"{"name":"get\u005fsecret"}"#, "get_secret"),
            ("tools/call", r#"{"name":"put"}"#, "put"),
            ("tools/call", "{}", ""),
            ("prompts/get", r#"{"name":"p"}"#, "p"),
            ("resources/read", r#"{"uri":"file:///etc/passwd"}"#, "file:///etc/passwd"),
            ("resources/read", r#"{"uri":"file:///home"}"#, ""),
            ("resources/subscribe", r#"{"uri":"file:///etc/x"}"#, "file:///etc/x"),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, "p"),
            ("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"file:///x"}}"#, ""),
            (
                "subscriptions/listen",
                r#"{"notifications":{"resourceSubscriptions":["a:b","file:///etc/x"]}}"#,
                "file:///etc/x",
            ),
            ("tools/list", "{}", ""),
            ("vendor/thing", r#"{"name":"put"}"#, ""),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            let checked = rule.check(&envelope::scan(text.as_bytes()).unwrap());
            assert_eq!(checked.map_or_else(|denied| denied.name, |()| String::new()), denied, "{text}");
        }
    }

    #[test]
    fn lists() {
        let rule = rule(r#"{"tools":{"allow":["b","c"]},"resources":{"deny":["x:*"]}}"#);
        for (method, result, kept) in [
            (
                "tools/list",
                r#"{"tools":[{"name":"a"}, {"name":"b","z":1e400} ,{"name":"d"},{"x":1}], "n":1}"#,
                r#"{"tools":[{"name":"b","z":1e400}], "n":1}"#,
            ),
            (
                "tools/list",
                r#"{"tools":[{"name":"b"},{"name":"c"}]}"#,
                r#"{"tools":[{"name":"b"},{"name":"c"}]}"#,
            ),
            ("tools/list", r#"{"tools":[ {"name":"a"} ]}"#, r#"{"tools":[  ]}"#),
            (
                "tools/list",
                r#"{"tools":[{"name":"a"},{"name":"c"},{"name":"d"}]}"#,
                r#"{"tools":[{"name":"c"}]}"#,
            ),
            ("tools/list", r#"{"tools":7}"#, r#"{"tools":7}"#),
            ("prompts/list", r#"{"prompts":[{"name":"a"}]}"#, r#"{"prompts":[{"name":"a"}]}"#),
            (
                "resources/list",
                r#"{"resources":[{"uri":"x:1"},{"uri":"y:1"}]}"#,
                r#"{"resources":[{"uri":"y:1"}]}"#,
            ),
            (
                "resources/templates/list",
                r#"{"resourceTemplates":[{"uriTemplate":"x:{id}"}]}"#,
                r#"{"resourceTemplates":[]}"#,
            ),
        ] {
            let whole = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            let filtered = rule.filter(method, whole(result).into_bytes());
            assert_eq!(String::from_utf8(filtered).unwrap(), whole(kept), "{method} {result}");
        }
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for text in ["", "[]", r#"{"tool":{}}"#, r#"{"tools":{"allow":"x"}}"#] {
            assert!(Rule::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
