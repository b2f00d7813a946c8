//! Changes of what an instance is: how far one is, and what is different about its server's tools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a change is. `Trying`, `Ready` and `Switching` are open, and an instance has one open change at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// What it would be is started beside it, as an instance of its own.
    Trying,
    /// It works, and waits for somebody to say so.
    Ready,
    /// The instance is started as what it is to be.
    Switching,
    /// It is what the instance is.
    Current,
    /// It was, until the next one.
    Replaced,
    /// It did not work beside it, so the instance was left as it was.
    Failed,
    /// It did not work in the instance's place, so the instance is again what it was before.
    RolledBack,
    /// Somebody did not want it any more, or it would have changed nothing.
    Dropped,
}

impl ChangeState {
    const ALL: [Self; 8] = [
        Self::Trying,
        Self::Ready,
        Self::Switching,
        Self::Current,
        Self::Replaced,
        Self::Failed,
        Self::RolledBack,
        Self::Dropped,
    ];

    /// The word of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Ready => "ready",
            Self::Switching => "switching",
            Self::Current => "current",
            Self::Replaced => "replaced",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Dropped => "dropped",
        }
    }

    /// The state of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether it goes on by itself or waits for somebody.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Trying | Self::Ready | Self::Switching)
    }

    /// Whether the instance was this once, so that it can be this again.
    pub fn ran(self) -> bool {
        matches!(self, Self::Current | Self::Replaced)
    }
}

/// What is different about the tools of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolChanges {
    /// Names of tools that are new.
    pub added: Vec<String>,
    /// Names of tools that are gone.
    pub removed: Vec<String>,
    /// Tools whose definitions differ.
    pub changed: Vec<ToolChange>,
    /// How many are as they were.
    pub same: usize,
}

/// A tool whose definition differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolChange {
    /// Its name.
    pub name: String,
    /// Its definition until now, as indented JSON.
    pub before: String,
    /// Its definition from now on, likewise.
    pub after: String,
}

impl ToolChanges {
    /// What differs between two lists of definitions by name. Of a name that is there twice the last counts, as for clients.
    pub fn between(before: Vec<(String, String)>, after: Vec<(String, String)>) -> Self {
        let before: BTreeMap<String, String> = before.into_iter().collect();
        let after: BTreeMap<String, String> = after.into_iter().collect();
        let mut all = Self::default();
        for (name, definition) in &after {
            match before.get(name) {
                None => all.added.push(name.clone()),
                Some(known) if known == definition => all.same += 1,
                Some(known) => all.changed.push(ToolChange {
                    name: name.clone(),
                    before: known.clone(),
                    after: definition.clone(),
                }),
            }
        }
        all.removed = before.into_keys().filter(|name| !after.contains_key(name)).collect();
        all
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl std::fmt::Display for ToolChanges {
    /// Such as `2 tools added, 1 changed, 5 the same`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.added.len(), "added"),
            (self.removed.len(), "removed"),
            (self.changed.len(), "changed"),
            (self.same, "the same"),
        ];
        let words: Vec<String> = counts
            .iter()
            .filter(|(count, _)| 0 < *count)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        match words.as_slice() {
            [] => f.write_str("no tools"),
            words => write!(f, "tools: {}", words.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_states() {
        for state in ChangeState::ALL {
            assert_eq!(ChangeState::of_word(state.word()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }

    #[test]
    fn tools_are_compared_by_name() {
        let list = |tools: &[(&str, &str)]| -> Vec<(String, String)> {
            tools.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let all = ToolChanges::between(
            list(&[("gone", "1"), ("same", "1"), ("other", "1")]),
            list(&[("other", "2"), ("new", "1"), ("same", "1")]),
        );
        assert_eq!((&all.added, &all.removed), (&vec!["new".to_owned()], &vec!["gone".to_owned()]));
        assert_eq!(all.changed.len(), 1);
        assert_eq!((all.changed[0].before.as_str(), all.changed[0].after.as_str()), ("1", "2"));
        assert_eq!(all.to_string(), "tools: 1 added, 1 removed, 1 changed, 1 the same");
        assert!(!all.is_empty());
        let none = ToolChanges::between(list(&[("a", "1")]), list(&[("a", "1")]));
        assert!(none.is_empty() && none.same == 1);
        assert_eq!(ToolChanges::default().to_string(), "no tools");
    }
}
