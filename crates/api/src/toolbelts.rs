//! `/api/v1/toolbelts`: one MCP address over what several instances of the account have.

use domain::ids::{ToolbeltId, ToolbeltItemId};
use domain::names::InstanceName;
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use domain::toolbelts::{Kind, Mode, OnChange};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/toolbelts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToolbeltRequest {
    /// Its name, its address too: unique among the account's toolbelts and instances.
    pub name: String,
    /// What people say of it, up to 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it shows its tools; absent: as a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What it does with tools whose definitions change; absent: it keeps the approved ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_change: Option<OnChange>,
}

/// `PATCH /api/v1/toolbelts/{name}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeToolbeltRequest {
    /// What people say of it; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it shows its tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What it does with tools whose definitions change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_change: Option<OnChange>,
}

/// One toolbelt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Toolbelt {
    /// Its id.
    pub id: ToolbeltId,
    /// Its name.
    pub name: InstanceName,
    /// Its MCP address.
    pub url: String,
    /// The agent that it is for; absent: it is for whoever may call its members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<InstanceName>,
    /// What people say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it shows its tools.
    pub mode: Mode,
    /// What it does with tools whose definitions change.
    pub on_change: OnChange,
    /// Grows with every change by people.
    pub generation: u64,
    /// The instances in it, in the order in which they were added.
    pub members: Vec<Member>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings last changed.
    pub updated_at: Timestamp,
}

/// An instance in a toolbelt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Member {
    /// Its id in the toolbelt.
    pub id: ToolbeltItemId,
    /// The instance's name.
    pub instance: InstanceName,
    /// The instance's state.
    pub status: InstanceStatus,
    /// Whether the toolbelt shows what it has.
    pub is_active: bool,
    /// Why what it has is not to be had at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many tools it had when it was last seen.
    pub tools: u64,
    /// How many prompts.
    pub prompts: u64,
    /// How many resources, templates among them.
    pub resources: u64,
    /// Of how many of these the definition is another one than was approved.
    pub changed: u64,
    /// When it was added.
    pub added_at: Timestamp,
}

/// `POST /api/v1/toolbelts/{name}/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMemberRequest {
    /// The instance's name.
    pub instance: String,
}

/// `PATCH /api/v1/toolbelts/{name}/members/{instance}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMemberRequest {
    /// Whether the toolbelt shows what it has.
    pub is_active: bool,
}

/// A tool, prompt, resource or template of a member, as the toolbelt has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Feature {
    /// What it is.
    pub kind: Kind,
    /// The toolbelt's name of it.
    pub name: String,
    /// The instance that has it.
    pub instance: InstanceName,
    /// The instance's name of it; of a resource its address.
    pub own_name: String,
    /// The description that was given here, in the place of the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The instance's own description, as it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_description: Option<String>,
    /// Whether the toolbelt shows it.
    pub is_on: bool,
    /// What it is now, where that is another definition than the approved one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<FeatureDifference>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
}

/// A definition that changed after it was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeatureDifference {
    /// Names the new definition, for approving this one and no later one.
    pub hash: String,
    /// The approved definition, as JSON.
    pub approved: String,
    /// The new one, as JSON.
    pub seen: String,
    /// When it was seen.
    pub seen_at: Timestamp,
}

/// The query of `GET /api/v1/toolbelts/{name}/features`.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams,
)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeatureQuery {
    /// Only those of this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Only those of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Only those whose definition changed after it was approved.
    #[serde(default)]
    pub changed: bool,
}

/// `PATCH /api/v1/toolbelts/{name}/features`: what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFeatureRequest {
    /// What it is; absent: a tool.
    #[serde(default = "tool")]
    pub kind: Kind,
    /// The toolbelt's name of it, as it is now.
    pub name: String,
    /// Another name: of a tool 1 to 128 letters, digits, `_`, `-`, `.` and `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<String>,
    /// A description in the place of the instance's own, up to 10000 characters; an empty text takes the instance's own again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the toolbelt shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_on: Option<bool>,
}

fn tool() -> Kind {
    Kind::Tool
}

/// `POST /api/v1/toolbelts/{name}/approve`: one changed definition (`name` and `hash`), or all of an instance (`instance`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// What it is; absent: a tool.
    #[serde(default = "tool")]
    pub kind: Kind,
    /// The toolbelt's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which definition, as [`FeatureDifference`] names it, so that what nobody has looked at is not approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// All that changed of this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}
