//! `/api/v1/rules`: who may use what of the account's instances.

use domain::ids::{RuleId, TokenId, UserId};
use domain::names::InstanceName;
use domain::rules::{Clause, Effect, Hint, What};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::users::Role;

/// `POST /api/v1/rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleRequest {
    /// Whether it allows or denies what it names. A deny wins; as soon as a rule allows, only what some rule allows is let through.
    pub effect: Effect,
    /// Whom it is for: `"everyone"`, `{"role": "member"}`, `{"user": "NAME"}`, `{"token": "ID"}` or `{"client": "ID"}`.
    pub subject: SubjectName,
    /// The instance, whether it is there yet or not; absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// What it names; absent: tools, prompts and resources.
    #[serde(default = "everything")]
    pub what: What,
    /// Names of tools or prompts, or addresses of resources, of 1 to 256 characters; `*` stands for any characters. Absent: all.
    #[serde(default = "all")]
    pub pattern: String,
    /// Of the tools so called those that say so of themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

fn everything() -> What {
    What::Everything
}

fn all() -> String {
    "*".to_owned()
}

/// Whom a rule is for, as somebody names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubjectName {
    /// Everyone, admins and owners too.
    Everyone,
    /// Whoever has this role, and no other, in the account.
    Role(Role),
    /// The user of this name.
    User(String),
    /// The API token of this id.
    Token(String),
    /// The OAuth client of this id.
    Client(String),
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Everyone, admins and owners too.
    Everyone,
    /// Whoever has this role, and no other, in the account.
    Role(Role),
    /// A user, by id.
    User(UserId),
    /// An API token, by id.
    Token(TokenId),
    /// An OAuth client, by id.
    Client(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Whether it allows or denies what it names.
    pub effect: Effect,
    /// Whom it is for.
    pub subject: Subject,
    /// The name of the user, token or client; absent where there is none, or it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_name: Option<String>,
    /// The instance; absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// What it names.
    pub what: What,
    /// Names or addresses; `*` stands for any characters.
    pub pattern: String,
    /// Of the tools so called those that say so of themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
    /// Who made it, such as `user:0198…`.
    pub created_by: String,
    /// The user's name, where it was one that is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_name: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

impl RuleRequest {
    /// What it says, whoever it is for.
    pub fn clause(&self) -> Clause {
        Clause {
            effect: self.effect,
            instance: self.instance.clone(),
            what: self.what,
            pattern: self.pattern.clone(),
            hint: self.hint,
        }
    }
}

impl Rule {
    /// What it says, whoever it is for.
    pub fn clause(&self) -> Clause {
        Clause {
            effect: self.effect,
            instance: self.instance.clone(),
            what: self.what,
            pattern: self.pattern.clone(),
            hint: self.hint,
        }
    }
}
