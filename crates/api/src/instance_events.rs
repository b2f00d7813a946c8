//! `/api/v1/instances/{name}/events`: what happened to an instance.

use domain::status::InstanceStatus;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The query of `GET …/events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InstanceEventsQuery {
    /// How many, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Somebody asked for something; `action` says what, `by` who.
    Asked,
    /// A state began, or says something new; `status` says which.
    Status,
    /// A version was installed.
    Installed,
    /// Its server ended by itself and was started again.
    Restarted,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Status, Self::Installed, Self::Restarted];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Status => "status",
            Self::Installed => "installed",
            Self::Restarted => "restarted",
        }
    }

    /// The one that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceEvent {
    /// When, in microseconds since 1970 UTC.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: EventKind,
    /// The state that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<InstanceStatus>,
    /// What was asked for, such as `instance.stop`: an action of the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who asked: a user's name, or what acted in the place of one, such as `system:failover`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
