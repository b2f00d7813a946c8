//! One row as PostgreSQL writes it in JSON, with members that may be absent.

use domain::secret::Secret;
use domain::time::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::model::{Older, Unread};

/// One row. Its text is never shown, since it may hold secrets.
pub(super) struct Row {
    pub(super) table: &'static str,
    members: Map<String, Value>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Row {
    pub(super) fn read(table: &'static str, text: &str) -> Option<Self> {
        Some(Self { table, members: serde_json::from_str(text).ok()? })
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Where it comes among the rows of its table: by time, so that what was there first keeps its name.
    pub(super) fn place(&self) -> (Option<Timestamp>, String) {
        let id = self.members.get("id").map(Value::to_string).unwrap_or_default();
        (self.time("created_at"), id)
    }

    /// The first of these that says something.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        let said = |name: &&str| {
            let text = self.members.get(*name)?.as_str()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        names.iter().find_map(said)
    }

    pub(super) fn secret(&self, names: &[&str]) -> Option<Secret> {
        self.text(names).map(Secret::new)
    }

    pub(super) fn id(&self, name: &str) -> Option<Uuid> {
        self.members.get(name)?.as_str()?.parse().ok()
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        let text = self.members.get(name)?.as_str()?;
        // A column without a time zone is in UTC, as the platform's all were.
        text.parse().or_else(|_| format!("{text}Z").parse()).ok()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.members.get(name)?.as_bool()
    }

    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.members.get(name)?.as_u64()
    }

    pub(super) fn json(&self, name: &str) -> Value {
        match self.members.get(name) {
            // Some code wrote JSON as text into JSON.
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(value) => value.clone(),
            None => Value::Null,
        }
    }

    /// What tells the row apart, as far as it has that.
    pub(super) fn label(&self) -> Option<String> {
        match self.members.get("id")? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Tells that nothing can be made of it.
    pub(super) fn give_up(&self, older: &mut Older, why: &str) {
        older.unread.push(Unread { table: self.table, id: self.label(), count: 1, why: why.to_owned() });
    }
}
