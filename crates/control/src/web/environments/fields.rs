//! Forms whose fields come more than once.

use serde::Deserialize;

/// A form, some fields of which may come more than once.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first of that name without white space around it; empty when there is none.
    pub(super) fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// The same unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        Some(self.one(name)).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// All of that name.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// Whether a box of that name is ticked.
    pub(super) fn is_ticked(&self, name: &str) -> bool {
        !self.one(name).is_empty()
    }
}
