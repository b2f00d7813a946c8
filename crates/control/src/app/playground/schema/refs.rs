//! `$ref` within one schema. Nothing is fetched (MCP 2026-07-28, basic: network references must not be followed).

use super::super::json::Json;

/// A chain of references that is longer leads nowhere.
const LONGEST: usize = 32;

pub(super) struct Refs<'a> {
    root: &'a Json,
}

impl<'a> Refs<'a> {
    pub(super) fn new(root: &'a Json) -> Self {
        Self { root }
    }

    /// The schema without references at its top; what stands beside one counts more. `seen` are the references that lead here, to which those
    /// that are followed are added. `None`: it leads to itself, out of the schema, or nowhere.
    pub(super) fn resolved(&self, schema: &Json, seen: &mut Vec<String>) -> Option<Json> {
        let mut schema = schema.clone();
        for _ in 0..LONGEST {
            let Some(to) = schema.get("$ref") else { return Some(schema) };
            let to = to.as_str()?.to_owned();
            if seen.contains(&to) {
                return None;
            }
            let target = self.target(&to)?;
            let own = schema.members().iter().filter(|(name, _)| name != "$ref").cloned();
            schema = Json::Object(target.members().iter().cloned().chain(own).collect());
            seen.push(to);
        }
        None
    }

    /// What a JSON pointer (RFC 6901) or an anchor of `$defs` names.
    fn target(&self, to: &str) -> Option<&'a Json> {
        let fragment = to.strip_prefix('#')?;
        if fragment.is_empty() {
            return Some(self.root);
        }
        let Some(pointer) = fragment.strip_prefix('/') else {
            let all = ["$defs", "definitions"].into_iter().flat_map(|key| self.root.members_of(key));
            let mut found = all.filter(|(_, schema)| schema.str_of("$anchor") == Some(fragment));
            return found.next().map(|(_, schema)| schema);
        };
        pointer.split('/').try_fold(self.root, |at, step| {
            let step = percent_decoded(step)?.replace("~1", "/").replace("~0", "~");
            match at {
                Json::List(items) => items.get(step.parse::<usize>().ok()?),
                object => object.get(&step),
            }
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (code, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
