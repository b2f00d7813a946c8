//! What one rule of an account says: allow or deny, of which instance, which tools, prompts or resources. Whom it is for is not known
//! here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::InstanceName;
use crate::status::words;

/// The longest pattern, in characters.
pub const MAX_PATTERN: usize = 256;

words! {
    /// What a rule does to what it names.
    Effect {
        /// As soon as there is one of them, only what some of them names is let through.
        Allow = "allow",
        /// Wins over every other.
        Deny = "deny",
    }
}

words! {
    /// Which kind of things a rule names.
    What {
        /// Tools, by name.
        Tool = "tool",
        /// Prompts, by name.
        Prompt = "prompt",
        /// Resources, by address; templates by theirs.
        Resource = "resource",
        /// All three. The pattern is then `*`.
        Everything = "everything",
    }
}

words! {
    /// What a tool says of itself (MCP, `ToolAnnotations`). One that says nothing is destructive.
    Hint {
        /// It changes nothing: `readOnlyHint` is true.
        ReadOnly = "read-only",
        /// It may destroy: neither is `readOnlyHint` true nor `destructiveHint` false.
        Destructive = "destructive",
    }
}

/// One rule, whoever it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// What it does.
    pub effect: Effect,
    /// The instance; absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// What it names.
    pub what: What,
    /// The names that it means; `*` stands for any characters.
    pub pattern: String,
    /// Of those the tools that say so of themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

/// Why a clause cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ClauseError {
    /// Its field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Clause {
    /// Whether it can be.
    ///
    /// # Errors
    /// The first field that cannot.
    pub fn check(&self) -> Result<(), ClauseError> {
        let wrong = |field, problem: String| Err(ClauseError { field, problem });
        if self.pattern.is_empty() || MAX_PATTERN < self.pattern.chars().count() {
            let problem =
                format!("a pattern has 1 to {MAX_PATTERN} characters, and `*` stands for any others");
            return wrong("pattern", problem);
        }
        if self.pattern.chars().any(char::is_control) {
            return wrong("pattern", "a pattern has no control characters".to_owned());
        }
        if self.what == What::Everything && self.pattern != "*" {
            let problem = "a pattern is for tools, prompts or resources: say which of them with `what`";
            return wrong("what", problem.to_owned());
        }
        if self.hint.is_some() && self.what != What::Tool {
            return wrong("hint", "only tools say whether they are read-only or destructive".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = self.instance.as_ref().map_or("*", |name| name.as_str());
        write!(f, "{} {instance}", self.effect)?;
        if self.what != What::Everything {
            write!(f, "/{}", self.pattern)?;
        }
        if matches!(self.what, What::Prompt | What::Resource) {
            write!(f, " ({}s)", self.what)?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be() {
        let check = |what, pattern: &str, hint, expected: Result<&str, &str>| {
            let instance = Some("github".parse().unwrap());
            let clause = Clause { effect: Effect::Deny, instance, what, pattern: pattern.to_owned(), hint };
            let found = clause.check().map(|()| clause.to_string()).map_err(|error| error.field);
            assert_eq!(found, expected.map(str::to_owned), "{clause:?}");
        };
        check(What::Tool, "get_*", None, Ok("deny github/get_*"));
        check(What::Tool, "*", Some(Hint::Destructive), Ok("deny github/* (destructive)"));
        check(What::Resource, "file:///ü/*", None, Ok("deny github/file:///ü/* (resources)"));
        check(What::Everything, "*", None, Ok("deny github"));
        check(What::Everything, "get_*", None, Err("what"));
        check(What::Everything, "*", Some(Hint::ReadOnly), Err("hint"));
        check(What::Prompt, "*", Some(Hint::ReadOnly), Err("hint"));
        check(What::Tool, "", None, Err("pattern"));
        check(What::Tool, "a\nb", None, Err("pattern"));
        check(What::Tool, &"ä".repeat(256), None, Ok(&format!("deny github/{}", "ä".repeat(256))));
        check(What::Tool, &"a".repeat(257), None, Err("pattern"));
    }
}
