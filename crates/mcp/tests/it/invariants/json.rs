//! JSON as another parser sees it: `serde_json`, which shares no code with `mcp`'s scanner.

use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A member of an object: its key and its value as they are written.
pub(crate) type Member<'a> = (&'a str, &'a str);

/// Whether the text is JSON; depth and repeated keys do not matter.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The members of an object in their order; nothing for any other value.
pub(crate) fn members(text: &str) -> Vec<Member<'_>> {
    serde_json::from_str::<Members<'_>>(text).map_or_else(|_| Vec::new(), |members| members.0)
}

/// The items of an array, as they are written.
pub(crate) fn items(text: &str) -> Option<Vec<&str>> {
    let items = serde_json::from_str::<Vec<&RawValue>>(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// The text of a string; `None` for any other value, and for a string that is no Unicode text.
pub(crate) fn decoded(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// The value of a key, which must not be there twice.
pub(crate) fn one<'a>(members: &[Member<'a>], key: &str) -> Option<&'a str> {
    let mut found = members.iter().filter(|(name, _)| decoded(name).is_some_and(|name| name == key));
    let value = found.next().map(|(_, value)| *value);
    assert!(found.next().is_none(), "the key {key} is accepted twice");
    value
}

/// The text with every line break as a space: what a message becomes on its way through stdio.
pub(crate) fn flattened(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// The deepest nesting of containers that the text reaches.
pub(crate) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push((key.get(), value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
