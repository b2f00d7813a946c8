//! `/api/v1/audit`: who did what to what, and when; and who called what.

use domain::ids::{AuditId, CallId, InstanceId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The query of `GET /api/v1/audit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// No line that is older, in microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<i64>)]
    pub since: Option<Timestamp>,
    /// Actions that begin with this, such as `instance.` or `token.create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Of the thing with this name or id alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The lines that come after this one in the list: its `id`, as the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub after: Option<AuditId>,
    /// How many, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One line. Lines are added and, when they are older than the installation keeps them, removed; never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who, such as `user:0198…`, `environment:0198…` or `system`.
    pub actor: String,
    /// The user's name, where the actor is one that is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// What was done, such as `instance.deploy`.
    pub action: String,
    /// To what kind of thing, such as `instance`.
    pub object_kind: String,
    /// Its id, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// What else is worth knowing; never a secret.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// The query of `GET /api/v1/audit/calls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CallQuery {
    /// No request that came earlier, in microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<i64>)]
    pub since: Option<Timestamp>,
    /// Of the instance with this name or id alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Methods that begin with this, such as `tools/call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of the tool, prompt or resource of this name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By this user (name or `user:ID`) or with this credential (`token:ID`) alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// With this result alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CallOutcome>,
    /// The lines that come after this one in the list: its `id`, as the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub after: Option<CallId>,
    /// How many, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What came of a request at an MCP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// It was answered with a result.
    Ok,
    /// It was answered with an error, the tool said that it failed, or the answer was lost.
    Error,
    /// It was not carried out: who called may not, or the instance could not take it.
    Refused,
    /// It ended without an answer: its client left, or took it back.
    Cancelled,
    /// It was taken, and its answer went another way (HTTP+SSE of 2024-11-05).
    Accepted,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Error, Self::Refused, Self::Cancelled, Self::Accepted];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Accepted => "accepted",
        }
    }

    /// The one that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

/// One request at an MCP address. Lines are added and, when they are older than the installation keeps them, removed; never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallLine {
    /// Its id.
    pub id: CallId,
    /// When the request came.
    pub at: Timestamp,
    /// Until its answer was complete, in microseconds.
    pub took_us: u64,
    /// Who, such as `user:0198…`.
    pub actor: String,
    /// The user's name, where the actor is one that is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// What they showed, such as `token:0198…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The instance's name, as the address has it.
    pub instance: String,
    /// Its id, when there was one that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// Such as `tools/call`; `unreadable` for what was no message.
    pub method: String,
    /// The tool, prompt or resource that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What came of it.
    pub result: CallOutcome,
    /// The HTTP status of the answer; 0 when there was none.
    pub status: u16,
    /// `params` of the request, where they are kept, without secrets of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<serde_json::Value>,
}
