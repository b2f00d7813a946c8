//! What features are called: by their own name while that is one member's alone, otherwise with the instance's name in front.
//!
//! A name that was given stays, whoever comes and goes: a model that has learnt it would call something else.

use std::collections::{HashMap, HashSet};

use domain::toolbelts::Kind;

/// A feature that has no name yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct New<'a> {
    pub(crate) kind: Kind,
    /// The member's name.
    pub(crate) member: &'a str,
    /// What the member calls it.
    pub(crate) own: &'a str,
}

/// Names for those that came together, in their order.
pub(crate) fn assign(taken: &HashSet<(Kind, String)>, new: &[New<'_>]) -> Vec<String> {
    let mut wanted: HashMap<(Kind, &str), usize> = HashMap::new();
    for one in new {
        *wanted.entry((one.kind, one.own)).or_default() += 1;
    }
    let mut given: HashSet<(Kind, String)> = HashSet::new();
    new.iter()
        .map(|one| {
            let is_free = |name: &str, given: &HashSet<(Kind, String)>| {
                let key = (one.kind, name.to_owned());
                !taken.contains(&key) && !given.contains(&key)
            };
            let is_alone = wanted.get(&(one.kind, one.own)) == Some(&1);
            let mut name = one.own.to_owned();
            if !is_alone || !is_free(&name, &given) {
                name = prefixed(one);
                let mut count = 2;
                while !is_free(&name, &given) {
                    name = numbered(&prefixed(one), one.kind, count);
                    count += 1;
                }
            }
            given.insert((one.kind, name.clone()));
            name
        })
        .collect()
}

/// `notes_search` for tools and prompts. A URI stays one: `notes+file:///a` (RFC 3986 §3.1 has `+` in schemes).
fn prefixed(one: &New<'_>) -> String {
    match one.kind {
        Kind::Tool | Kind::Prompt => format!("{}_{}", one.member, one.own),
        Kind::Resource | Kind::Template => format!("{}+{}", one.member, one.own),
    }
}

fn numbered(name: &str, kind: Kind, count: u32) -> String {
    match kind {
        Kind::Tool | Kind::Prompt => format!("{name}_{count}"),
        Kind::Resource | Kind::Template => format!("n{count}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |taken: &[(Kind, &str)], new: &[(Kind, &str, &str)], expected: &[&str]| {
            let taken = taken.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
            let new: Vec<New<'_>> =
                new.iter().map(|(kind, member, own)| New { kind: *kind, member, own }).collect();
            assert_eq!(assign(&taken, &new), expected, "{taken:?} {new:?}");
        };
        let (tool, resource) = (Kind::Tool, Kind::Resource);
        check(&[], &[(tool, "a", "x"), (tool, "b", "y")], &["x", "y"]);
        // Together: neither has the name for itself.
        check(&[], &[(tool, "a", "x"), (tool, "b", "x")], &["a_x", "b_x"]);
        // Whoever has it keeps it.
        check(&[(tool, "x")], &[(tool, "b", "x")], &["b_x"]);
        check(&[(tool, "x"), (tool, "b_x")], &[(tool, "b", "x")], &["b_x_2"]);
        check(&[], &[(tool, "a", "b_x"), (tool, "b", "x"), (tool, "c", "x")], &["b_x", "b_x_2", "c_x"]);
        // Kinds do not clash.
        check(&[(tool, "x")], &[(Kind::Prompt, "b", "x")], &["x"]);
        check(&[(resource, "file:///a")], &[(resource, "b", "file:///a")], &["b+file:///a"]);
    }
}
