//! `/api/v1/agents`: programs of users, each with a toolbelt of its own, and what they may call.

use domain::ids::{
    AgentCredentialId, AgentId, AgentTokenId, CapabilityPermissionId, ServerAccessId, ToolboxAccessId,
};
use domain::names::{EnvironmentName, InstanceName};
use domain::secret::{self, Secret, Secrets};
use domain::time::Timestamp;
use domain::toolbelts::{AccessLevel, CredentialStatus};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/agents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAgentRequest {
    /// Its name, unique among the account's agents. Its toolbelt has the same where that is free.
    pub name: String,
    /// What people say of it, up to 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `PATCH /api/v1/agents/{name}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAgentRequest {
    /// Another name. Its toolbelt, and with it its address, keeps the one it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What people say of it; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: InstanceName,
    /// What people say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The name of its toolbelt.
    pub toolbelt: InstanceName,
    /// The MCP address of its toolbelt, for which its tokens are.
    pub url: String,
    /// The name of who made it, whom the account's rules let it do no more than; absent: somebody who is no member any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its name or description last changed.
    pub updated_at: Timestamp,
}

/// `POST /api/v1/agents/{name}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAgentTokenRequest {
    /// What it is for, 1 to 100 characters.
    pub name: String,
    /// Seconds until it expires; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// The answer to [`CreateAgentTokenRequest`]: the only time the token itself is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedAgentToken {
    /// What it is.
    #[serde(flatten)]
    pub token: AgentToken,
    /// The token itself, `berth_agent_…`.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub secret: Secret,
}

/// One token of an agent, without its secret. It opens MCP addresses alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentToken {
    /// Its id.
    pub id: AgentTokenId,
    /// What it is for.
    pub name: String,
    /// Its first characters, to tell it from others.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// That an agent may have instances of an environment in its toolbelt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolboxAccess {
    /// Its id.
    pub id: ToolboxAccessId,
    /// The environment.
    pub environment: EnvironmentName,
    /// When it was granted.
    pub granted_at: Timestamp,
}

/// What became of the agent's toolbelt when an environment was taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolboxRevoked {
    /// Members that run there, which are inactive from now on.
    pub inactive: Vec<InstanceName>,
}

/// `PUT /api/v1/agents/{name}/servers/{instance}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerAccessRequest {
    /// How much; absent: what says of itself that it only reads.
    #[serde(default = "read_only")]
    pub level: AccessLevel,
    /// With `custom`, the tools, by the instance's names; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Seconds until it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

fn read_only() -> AccessLevel {
    AccessLevel::ReadOnly
}

/// How much of an instance an agent was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerAccess {
    /// Its id.
    pub id: ServerAccessId,
    /// The instance.
    pub instance: InstanceName,
    /// How much.
    pub level: AccessLevel,
    /// With `custom`, the tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether it counts: it is granted and its time is not over.
    pub is_active: bool,
    /// Whether the instance is an active member of the agent's toolbelt, without which the agent calls it not.
    pub is_member: bool,
}

/// `POST /api/v1/agents/{name}/permissions`: in the place of what was said of that tool before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PermissionRequest {
    /// A member of the agent's toolbelt, by the instance's name.
    pub instance: String,
    /// The instance's name of the tool; `*` stands for any characters.
    pub tool: String,
    /// Whether the agent may call it. A denial wins over every grant.
    pub is_allowed: bool,
}

/// Which tool to forget, in the query of `DELETE /api/v1/agents/{name}/permissions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PermissionQuery {
    /// A member of the agent's toolbelt, by the instance's name.
    pub instance: String,
    /// The tool, as it was written.
    pub tool: String,
}

/// Whether an agent may call a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Permission {
    /// Its id.
    pub id: CapabilityPermissionId,
    /// The member of the agent's toolbelt.
    pub instance: InstanceName,
    /// The tool; `*` stands for any characters.
    pub tool: String,
    /// Whether it may be called.
    pub is_allowed: bool,
    /// When it was last said.
    pub updated_at: Timestamp,
}

/// `POST /api/v1/agents/{name}/credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialRequest {
    /// A member of the agent's toolbelt, by the instance's name.
    pub instance: String,
    /// What kind it is, 1 to 100 characters; absent: `api_key`.
    #[serde(default = "api_key")]
    pub credential_type: String,
    /// Values by what callers of the instance bring. They are never shown.
    #[serde(serialize_with = "secret::expose_all")]
    #[schema(value_type = std::collections::BTreeMap<String, String>, write_only)]
    pub values: Secrets,
    /// Whose account it opens there, for people to tell several apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_identifier: Option<String>,
    /// How it stands; absent: it is used.
    #[serde(default = "active")]
    pub status: CredentialStatus,
}

fn api_key() -> String {
    "api_key".to_owned()
}

fn active() -> CredentialStatus {
    CredentialStatus::Active
}

/// What an agent brings to a member of its toolbelt, for its own calls alone. The values are never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Credential {
    /// Its id.
    pub id: AgentCredentialId,
    /// The member.
    pub instance: InstanceName,
    /// What kind it is.
    pub credential_type: String,
    /// What there are values of.
    pub names: Vec<String>,
    /// Whose account it opens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_identifier: Option<String>,
    /// When somebody last saw it work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_validated_at: Option<Timestamp>,
    /// How it stands.
    pub status: CredentialStatus,
    /// Whether the instance's server is given it: it is active, and each caller of the instance brings what it has.
    pub is_used: bool,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
