//! Of which environments an agent may have instances in its toolbelt.

use domain::ids::{AgentId, EnvironmentId, ToolbeltItemId, ToolboxAccessId};
use domain::names::EnvironmentName;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::parsed;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agent_toolbox_access";

/// One of them (`agent_toolbox_access`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolboxAccessRow {
    /// Its id.
    pub id: ToolboxAccessId,
    /// The agent.
    pub agent: AgentId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The environment's name. It is the environment's own: what is written here is not kept.
    pub environment_name: EnvironmentName,
    /// When it was granted.
    pub granted_at: Timestamp,
}

/// Lets an agent have instances of an environment of its account; one that was granted already keeps its id and time.
///
/// # Errors
/// [`StoreError::NotFound`] when the agent is gone, or its account has no such environment.
pub async fn grant_toolbox(tx: &mut Tx, row: &ToolboxAccessRow) -> Result<ToolboxAccessRow, StoreError> {
    const SQL: &str = "INSERT INTO agent_toolbox_access (id, agent_id, account_tool_environment_id, granted_at)
        SELECT $1, g.id, e.id, $4 FROM agents g JOIN account_tool_environments e ON e.account_id = g.account_id
        WHERE g.id = $2 AND e.id = $3
        ON CONFLICT (agent_id, account_tool_environment_id) DO UPDATE SET granted_at = agent_toolbox_access.granted_at
        RETURNING id, granted_at";
    let kept: Option<(String, i64)> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(row.id.to_string())
        .bind(row.agent.to_string())
        .bind(row.environment.to_string())
        .bind(row.granted_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    let (id, granted_at) = kept.ok_or(StoreError::NotFound { what: "environment" })?;
    Ok(ToolboxAccessRow { id: parsed(TABLE, "id", &id)?, granted_at: Timestamp(granted_at), ..row.clone() })
}

/// The environments of which an agent may have instances, by name.
pub async fn toolboxes(store: &Store, agent: AgentId) -> Result<Vec<ToolboxAccessRow>, StoreError> {
    const SQL: &str = "SELECT a.id, a.agent_id, a.account_tool_environment_id, e.name, a.granted_at
        FROM agent_toolbox_access a JOIN account_tool_environments e ON e.id = a.account_tool_environment_id
        WHERE a.agent_id = $1";
    let found: Vec<ToolboxRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(agent.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<ToolboxAccessRow>, _>>()?;
    rows.sort_by(|a, b| a.environment_name.cmp(&b.environment_name));
    Ok(rows)
}

/// Whether an agent may have instances of an environment. Read in the transaction that adds one, so that nobody takes it back between.
pub async fn has_toolbox(
    tx: &mut Tx,
    agent: AgentId,
    environment: EnvironmentId,
) -> Result<bool, StoreError> {
    // An update that changes nothing waits for whoever revokes it at the same time, and they for us.
    const SQL: &str = "UPDATE agent_toolbox_access SET granted_at = granted_at
        WHERE agent_id = $1 AND account_tool_environment_id = $2 RETURNING id";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(agent.to_string())
        .bind(environment.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

/// Takes it back, and makes the members of the agent's toolbelt that run there inactive, so that it calls them no more. The toolbelt's
/// generation grows where there was one.
///
/// # Errors
/// [`StoreError::NotFound`] when it was not granted.
pub async fn revoke_toolbox(
    tx: &mut Tx,
    agent: AgentId,
    environment: EnvironmentId,
    at: Timestamp,
) -> Result<Vec<ToolbeltItemId>, StoreError> {
    const DELETE: &str = "DELETE FROM agent_toolbox_access
        WHERE agent_id = $1 AND account_tool_environment_id = $2 RETURNING id";
    const HIDE: &str = "UPDATE agent_toolbelt_items SET is_active_for_agent = false, updated_at = $3
        WHERE is_active_for_agent AND toolbelt_id IN (SELECT id FROM toolbelts WHERE agent_id = $1)
            AND account_tool_instance_id IN
                (SELECT id FROM account_tool_instances WHERE account_tool_environment_id = $2)
        RETURNING id";
    const TOUCH: &str = "UPDATE toolbelts SET generation = generation + 1 WHERE agent_id = $1";
    let (agent, environment) = (agent.to_string(), environment.to_string());
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(DELETE)
        .bind(&agent)
        .bind(&environment)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "access to that environment" })?;
    let hidden: Vec<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(HIDE)
        .bind(&agent)
        .bind(&environment)
        .bind(at.0)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    if !hidden.is_empty() {
        on_pool!(tx.connection(), db => sqlx::query(TOUCH).bind(&agent).execute(db).await.map(drop))
            .map_err(StoreError::from_driver)?;
    }
    hidden.iter().map(|id| parsed("agent_toolbelt_items", "id", id)).collect()
}

#[derive(FromRow)]
struct ToolboxRaw {
    id: String,
    agent_id: String,
    account_tool_environment_id: String,
    name: String,
    granted_at: i64,
}

impl TryFrom<ToolboxRaw> for ToolboxAccessRow {
    type Error = StoreError;

    fn try_from(raw: ToolboxRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            agent: parsed(TABLE, "agent_id", &raw.agent_id)?,
            environment: parsed(TABLE, "account_tool_environment_id", &raw.account_tool_environment_id)?,
            environment_name: parsed("account_tool_environments", "name", &raw.name)?,
            granted_at: Timestamp(raw.granted_at),
        })
    }
}
