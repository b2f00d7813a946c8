//! JSON as it was written: numbers keep their digits and members their order, so that what somebody typed reaches a server as they typed it,
//! and what a server said is shown as it said it. `serde_json::Value` rounds integers above 2^64.

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper values are refused: whoever walks a tree here does so by recursion.
const DEEPEST: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    /// In the order in which they are written. Of a repeated member the last counts.
    Object(Vec<(String, Json)>),
}

/// Why a text is no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("this is no JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("this is nested more than {DEEPEST} levels deep")]
    Deep,
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// [`JsonError`], with line and column.
    pub(crate) fn parse(text: &str) -> Result<Self, JsonError> {
        Self::of(serde_json::from_str(text)?, DEEPEST)
    }

    fn of(raw: &RawValue, left: usize) -> Result<Self, JsonError> {
        let text = raw.get();
        let left = left.checked_sub(1).ok_or(JsonError::Deep)?;
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let each = members.into_iter().map(|(key, value)| Ok((key, Self::of(&value, left)?)));
                Self::Object(each.collect::<Result<_, JsonError>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let each = items.into_iter().map(|item| Self::of(item, left));
                Self::List(each.collect::<Result<_, JsonError>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text)?),
            Some(b'n') => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An object.
    pub(crate) fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A member of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A member that is a text.
    pub(crate) fn str_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::as_str)
    }

    /// A member that is true or false.
    pub(crate) fn bool_of(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Self::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// The items of a member that is a list; none of anything else.
    pub(crate) fn list_of(&self, key: &str) -> &[Self] {
        match self.get(key) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// The members of a member that is an object; none of anything else.
    pub(crate) fn members_of(&self, key: &str) -> &[(String, Self)] {
        self.get(key).map(Self::members).unwrap_or_default()
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The text that it is.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether both say the same, whatever the order of members.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(one), Self::Object(two)) => {
                one.len() == two.len()
                    && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| value.is_same(other)))
            }
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.is_same(two))
            }
            _ => self == other,
        }
    }

    /// On one line.
    pub(crate) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// On many lines, two spaces a level.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    fn write(&self, out: &mut String, level: Option<usize>) {
        let deeper = level.map(|level| level + 1);
        let line = |out: &mut String, level: Option<usize>| {
            if let Some(level) = level {
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", level));
            }
        };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::List(items) if items.is_empty() => out.push_str("[]"),
            Self::Object(members) if members.is_empty() => out.push_str("{}"),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    line(out, deeper);
                    item.write(out, deeper);
                }
                line(out, level);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    line(out, deeper);
                    out.push_str(&quoted(key));
                    out.push_str(if level.is_some() { ": " } else { ":" });
                    value.write(out, deeper);
                }
                line(out, level);
                out.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_as_it_was() {
        for text in [
            "null",
            "true",
            "123456789012345678901234567890",
            "-0.10e+5",
            r#""a\"\\\n é😀""#,
            "[]",
            "{}",
            r#"{"z":1,"a":[1,{"b":null}],"z2":{}}"#,
        ] {
            let json = Json::parse(text).unwrap();
            assert_eq!(json.compact(), text);
            assert!(json.is_same(&Json::parse(&json.pretty()).unwrap()));
        }
        assert_eq!(Json::parse(r#"{"a":[1,{}]}"#).unwrap().pretty(), "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
        assert_eq!(Json::parse(r#"{"a":1,"a":2}"#).unwrap().get("a"), Some(&Json::Number("2".to_owned())));
    }

    #[test]
    fn what_is_no_json_is_told_where() {
        let check = |text: &str, words: &str| {
            let error = Json::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        };
        check("", "line 1 column 0");
        check("{\"a\":\n1,}", "line 2");
        check("01", "no JSON");
        check("{} x", "no JSON");
        check(&"[".repeat(100_000), "no JSON");
        check(&format!("{}{}", "[".repeat(70), "]".repeat(70)), "64 levels");
    }
}
