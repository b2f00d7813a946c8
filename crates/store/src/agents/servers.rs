//! How much of an instance's server an agent was granted as a whole.

use domain::ids::{AgentId, InstanceId, ServerAccessId, UserId};
use domain::names::InstanceName;
use domain::time::Timestamp;
use domain::toolbelts::AccessLevel;
use sqlx::FromRow;

use crate::columns::{json, parsed, to_json, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agent_mcp_server_access";

/// One grant (`agent_mcp_server_access`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAccessRow {
    /// Its id.
    pub id: ServerAccessId,
    /// The agent.
    pub agent: AgentId,
    /// The instance.
    pub instance: InstanceId,
    /// The instance's name. It is the instance's own: what is written here is not kept.
    pub instance_name: InstanceName,
    /// Who granted it; absent: somebody who is gone.
    pub granted_by: Option<UserId>,
    /// How much.
    pub level: AccessLevel,
    /// The tools, where [`AccessLevel::Custom`] was granted; `*` stands for any characters.
    pub allowed_tools: Option<Vec<String>>,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ends; absent: never.
    pub expires_at: Option<Timestamp>,
    /// Whether it counts.
    pub is_active: bool,
    /// When it was first granted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl ServerAccessRow {
    /// Whether it counts at a time.
    pub fn counts_at(&self, at: Timestamp) -> bool {
        self.is_active && self.expires_at.is_none_or(|end| at < end)
    }
}

/// Grants an agent an instance of its account, in the place of what it was granted of it before.
///
/// # Errors
/// [`StoreError::NotFound`] when the agent is gone, or its account has no such instance; [`StoreError::Invalid`].
pub async fn grant_server(tx: &mut Tx, row: &ServerAccessRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO agent_mcp_server_access (id, agent_id, account_tool_instance_id,
            granted_by_user_id, access_level, allowed_tools, granted_at, expires_at, is_active, created_at, updated_at)
        SELECT $1, g.id, n.id, $4, $5, $6, $7, $8, $9, $10, $11
        FROM agents g JOIN account_tool_instances n ON n.account_id = g.account_id
        WHERE g.id = $2 AND n.id = $3
        ON CONFLICT (agent_id, account_tool_instance_id) DO UPDATE SET
            granted_by_user_id = excluded.granted_by_user_id, access_level = excluded.access_level,
            allowed_tools = excluded.allowed_tools, granted_at = excluded.granted_at,
            expires_at = excluded.expires_at, is_active = excluded.is_active, updated_at = excluded.updated_at
        RETURNING id";
    let tools = row.allowed_tools.as_ref().map(|tools| to_json("allowed_tools", tools)).transpose()?;
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(row.id.to_string())
        .bind(row.agent.to_string())
        .bind(row.instance.to_string())
        .bind(row.granted_by.map(|id| id.to_string()))
        .bind(row.level.word())
        .bind(tools)
        .bind(row.granted_at.0)
        .bind(row.expires_at.map(|t| t.0))
        .bind(row.is_active)
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "instance" })
}

/// What an agent was granted, by the instances' names, ended grants included.
pub async fn servers(store: &Store, agent: AgentId) -> Result<Vec<ServerAccessRow>, StoreError> {
    const SQL: &str = "SELECT a.id, a.agent_id, a.account_tool_instance_id, n.name, a.granted_by_user_id,
            a.access_level, a.allowed_tools, a.granted_at, a.expires_at, a.is_active, a.created_at, a.updated_at
        FROM agent_mcp_server_access a JOIN account_tool_instances n ON n.id = a.account_tool_instance_id
        WHERE a.agent_id = $1";
    let found: Vec<ServerRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(agent.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<ServerAccessRow>, _>>()?;
    rows.sort_by(|a, b| a.instance_name.cmp(&b.instance_name));
    Ok(rows)
}

/// Takes back what an agent was granted of an instance; false when nothing was.
pub async fn revoke_server(tx: &mut Tx, agent: AgentId, instance: InstanceId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM agent_mcp_server_access
        WHERE agent_id = $1 AND account_tool_instance_id = $2 RETURNING id";
    let gone: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(agent.to_string())
        .bind(instance.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(gone.is_some())
}

#[derive(FromRow)]
struct ServerRaw {
    id: String,
    agent_id: String,
    account_tool_instance_id: String,
    name: String,
    granted_by_user_id: Option<String>,
    access_level: String,
    allowed_tools: Option<String>,
    granted_at: i64,
    expires_at: Option<i64>,
    is_active: bool,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<ServerRaw> for ServerAccessRow {
    type Error = StoreError;

    fn try_from(raw: ServerRaw) -> Result<Self, StoreError> {
        let granted_by = raw.granted_by_user_id;
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            agent: parsed(TABLE, "agent_id", &raw.agent_id)?,
            instance: parsed(TABLE, "account_tool_instance_id", &raw.account_tool_instance_id)?,
            instance_name: parsed("account_tool_instances", "name", &raw.name)?,
            granted_by: granted_by.map(|id| parsed(TABLE, "granted_by_user_id", &id)).transpose()?,
            level: word(TABLE, "access_level", &raw.access_level, AccessLevel::of_word(&raw.access_level))?,
            allowed_tools: raw
                .allowed_tools
                .as_deref()
                .map(|text| json(TABLE, "allowed_tools", text))
                .transpose()?,
            granted_at: Timestamp(raw.granted_at),
            expires_at: raw.expires_at.map(Timestamp),
            is_active: raw.is_active,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
