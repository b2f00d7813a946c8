//! What one caller may use of one server: applied to calls and, alike, to lists, so that nobody sees what he may not use.
//!
//! A rule arrives compiled: names and patterns for each kind of thing. Who gets which rule is not known here.

use std::borrow::Cow;
use std::collections::HashMap;
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

/// Which names are allowed: those that `allow` and each list of `also` names, all when they are absent, less those that `deny` names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Pattern>>,
    /// Further lists, all of which hold: what several lists of patterns allow together is in general no list of patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Vec<Pattern>>,
    /// Wins over the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Pattern>,
}

/// Names, in which `*` stands for any characters; on the wire a text, or `{"name": "*", "hint": "read-only"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a pattern is a text, or an object with `name` and `hint`")]
pub enum Pattern {
    /// All that are so called.
    Name(String),
    /// Of these the tools that say so of themselves.
    Hinted(Hinted),
}

/// Tools by what they are called and what they say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hinted {
    /// What they are called.
    pub name: String,
    /// What they say.
    pub hint: Hint,
}

/// What a pattern wants a tool to say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hint {
    /// [`Effects::Reads`].
    ReadOnly,
    /// [`Effects::Destroys`].
    Destructive,
}

/// What a tool may do, as its server says (`ToolAnnotations`, whose defaults are `readOnlyHint: false` and `destructiveHint: true`; the
/// latter means nothing where the former is true).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effects {
    /// It changes nothing.
    Reads,
    /// It changes something and destroys nothing.
    Adds,
    /// It may do anything.
    #[default]
    Destroys,
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

impl Effects {
    const ALL: [Self; 3] = [Self::Reads, Self::Adds, Self::Destroys];

    /// Of a tool's definition, as it stands in a list.
    pub fn of(tool: &str) -> Self {
        let Some(said) = translate::member(tool, "annotations") else { return Self::default() };
        match (translate::member(said, "readOnlyHint"), translate::member(said, "destructiveHint")) {
            (Some("true"), _) => Self::Reads,
            (_, Some("false")) => Self::Adds,
            _ => Self::Destroys,
        }
    }

    /// Learns those of every tool in an answer to `tools/list`. What is listed twice may do what either says.
    pub fn learn(list: &Envelope<'_>, known: &mut HashMap<Box<str>, Self>) {
        let items = list.result.and_then(|result| translate::member(list.raw(result), "tools"));
        for tool in items.and_then(translate::items).unwrap_or_default() {
            let Some(name) = translate::member(tool, "name").and_then(envelope::decode) else { continue };
            let effects = Self::of(tool);
            known.entry(name.into()).and_modify(|known| *known = effects.max(*known)).or_insert(effects);
        }
    }
}

impl From<String> for Pattern {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl Pattern {
    fn matches(&self, name: &str, effects: Effects) -> bool {
        match self {
            Self::Name(pattern) => matches(pattern, name),
            Self::Hinted(Hinted { name: pattern, hint }) => {
                let says_so = match hint {
                    Hint::ReadOnly => effects == Effects::Reads,
                    Hint::Destructive => effects == Effects::Destroys,
                };
                says_so && matches(pattern, name)
            }
        }
    }
}

impl Names {
    /// None.
    pub fn nothing() -> Self {
        Self { allow: Some(Vec::new()), ..Self::default() }
    }

    /// Those that both allow.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let lists = other.allow.into_iter().chain(other.also);
        for list in lists {
            if self.allow.is_none() {
                self.allow = Some(list);
            } else {
                self.also.push(list);
            }
        }
        self.deny.extend(other.deny);
        self
    }

    /// Whether a name is allowed. `effects` count for tools alone.
    pub fn permit(&self, name: &str, effects: Effects) -> bool {
        let is_meant = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name, effects));
        self.allow.iter().chain(&self.also).all(|list| is_meant(list)) && !is_meant(&self.deny)
    }

    fn has_hints(&self) -> bool {
        let lists = self.allow.iter().chain(&self.also).chain(std::iter::once(&self.deny));
        lists.flatten().any(|pattern| matches!(pattern, Pattern::Hinted(_)))
    }

    /// Whether it depends on the effects.
    fn asks(&self, name: &str) -> bool {
        let differs = || {
            let permitted = self.permit(name, Effects::default());
            Effects::ALL.into_iter().any(|effects| self.permit(name, effects) != permitted)
        };
        self.has_hints() && differs()
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

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools.and(other.tools),
            prompts: self.prompts.and(other.prompts),
            resources: self.resources.and(other.resources),
        }
    }

    /// The tool that a client's message calls, when it depends on the tool's effects whether it may.
    pub fn asks<'a>(&self, message: &'a Envelope<'_>) -> Option<Cow<'a, str>> {
        let name = message.marks.name.filter(|_| message.method() == "tools/call")?;
        message.string(name).filter(|name| self.tools.asks(name))
    }

    /// Whether a client's message is allowed. `effects` are those of the tool that it calls; they count where [`Rule::asks`] says so.
    ///
    /// # Errors
    /// What it may not use.
    pub fn check(&self, message: &Envelope<'_>, effects: Effects) -> Result<(), Denied> {
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
            if let Some(name) = name.filter(|name| !names.permit(name, effects)) {
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
    let (mut all, has_hints) = (Vec::new(), names.has_hints());
    // It was scanned before, so the one failure is that it is no array.
    let _ = Scanner::new(items).items(&mut |scanner| {
        let item = scanner.value()?;
        let name = translate::member(&items[item.range()], key).and_then(envelope::decode);
        let effects = if has_hints { Effects::of(&items[item.range()]) } else { Effects::default() };
        all.push((item.range(), name.is_some_and(|name| names.permit(&name, effects))));
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
    use proptest::prelude::*;

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
            let checked = rule.check(&envelope::scan(text.as_bytes()).unwrap(), Effects::Destroys);
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
    fn hints() {
        let rule = rule(
            r#"{"tools":{"allow":["get_*",{"name":"*","hint":"read-only"}],"deny":[{"name":"*_all","hint":"destructive"}]}}"#,
        );
        // What a tool says, what is read out of it, and whether `x`, `get_x`, `x_all` and `get_all` are let through.
        for (said, effects, expected) in [
            ("", Effects::Destroys, [false, true, false, false]),
            (r#""annotations":{}"#, Effects::Destroys, [false, true, false, false]),
            (r#""annotations":{"readOnlyHint":true}"#, Effects::Reads, [true; 4]),
            (r#""annotations":{"readOnlyHint":true,"destructiveHint":true}"#, Effects::Reads, [true; 4]),
            (r#""annotations":{"destructiveHint":false}"#, Effects::Adds, [false, true, false, true]),
            (r#""annotations":{"destructiveHint":"false"}"#, Effects::Destroys, [false, true, false, false]),
            (r#""annotations":{"readOnlyHint":false}"#, Effects::Destroys, [false, true, false, false]),
            (r#""annotations":7"#, Effects::Destroys, [false, true, false, false]),
        ] {
            for (name, expected) in ["x", "get_x", "x_all", "get_all"].into_iter().zip(expected) {
                let comma = if said.is_empty() { "" } else { "," };
                let list = format!(r#"{{"id":1,"result":{{"tools":[{{"name":"{name}"{comma}{said}}}]}}}}"#);
                let list = format!(r#"{{"jsonrpc":"2.0",{}"#, &list[1..]);
                let mut known = HashMap::new();
                Effects::learn(&envelope::scan(list.as_bytes()).unwrap(), &mut known);
                assert_eq!(known[name], effects, "{list}");
                let call = format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#
                );
                let call = envelope::scan(call.as_bytes()).unwrap();
                assert_eq!(rule.check(&call, known[name]).is_ok(), expected, "{list}");
                let kept = rule.filter("tools/list", list.clone().into_bytes()) == list.as_bytes();
                assert_eq!(kept, expected, "{list}");
                assert_eq!(rule.asks(&call).as_deref(), (name != "get_x").then_some(name));
            }
        }
    }

    #[test]
    fn what_is_listed_twice_may_do_what_either_says() {
        let tool = |hint| format!(r#"{{"name":"x","annotations":{{"readOnlyHint":{hint}}}}}"#);
        for (one, other) in [(true, false), (false, true)] {
            let list = [tool(one), tool(other)].join(",");
            let list = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{list}]}}}}"#);
            let mut known = HashMap::new();
            Effects::learn(&envelope::scan(list.as_bytes()).unwrap(), &mut known);
            assert_eq!(known["x"], Effects::Destroys);
        }
    }

    fn patterns_of_two_letters() -> impl Strategy<Value = Vec<Pattern>> {
        let hint = prop_oneof![Just(Hint::ReadOnly), Just(Hint::Destructive)];
        let pattern =
            ("[ab*]{0,4}", proptest::option::weighted(0.3, hint)).prop_map(|(name, hint)| match hint {
                Some(hint) => Pattern::Hinted(Hinted { name, hint }),
                None => Pattern::Name(name),
            });
        proptest::collection::vec(pattern, 0..3)
    }

    fn some_names() -> impl Strategy<Value = Names> {
        let lists = || proptest::collection::vec(patterns_of_two_letters(), 0..3);
        (proptest::option::of(patterns_of_two_letters()), lists(), patterns_of_two_letters())
            .prop_map(|(allow, also, deny)| Names { allow, also, deny })
    }

    proptest! {
        /// Two rules together allow exactly what both allow, also after they were written and read.
        #[test]
        fn together_they_allow_what_both_do(one in some_names(), other in some_names(), name in "[ab]{0,5}") {
            let both = one.clone().and(other.clone());
            let json = serde_json::to_string(&both).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Names>(&json).unwrap(), &both);
            for effects in Effects::ALL {
                let expected = one.permit(&name, effects) && other.permit(&name, effects);
                prop_assert_eq!(both.permit(&name, effects), expected);
            }
        }

        /// A rule that does not ask decides the same whatever a tool may do, and one that asks does not.
        #[test]
        fn it_asks_when_it_matters(names in some_names(), name in "[ab]{0,5}") {
            let permitted = Effects::ALL.map(|effects| names.permit(&name, effects));
            prop_assert_eq!(names.asks(&name), permitted.iter().any(|one| *one != permitted[0]));
        }
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for text in [
            "",
            "[]",
            r#"{"tool":{}}"#,
            r#"{"tools":{"allow":"x"}}"#,
            r#"{"tools":{"deny":[1]}}"#,
            r#"{"tools":{"deny":[{"name":"x"}]}}"#,
            r#"{"tools":{"deny":[{"name":"x","hint":"idempotent"}]}}"#,
            r#"{"tools":{"deny":[{"name":"x","hint":"read-only","more":1}]}}"#,
        ] {
            assert!(Rule::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
