//! Members of toolbelts: instances of the account.

use domain::ids::{EnvironmentId, InstanceId, ToolbeltId, ToolbeltItemId};
use domain::names::InstanceName;
use domain::time::Timestamp;
use sqlx::FromRow;

use super::touch;
use crate::columns::parsed;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agent_toolbelt_items";

// An instance that is being deleted is a member no more.
macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT i.id, i.toolbelt_id, i.account_tool_instance_id, n.name, n.account_tool_environment_id,
                i.is_active_for_agent, i.created_at, i.updated_at
            FROM agent_toolbelt_items i JOIN account_tool_instances n ON n.id = i.account_tool_instance_id
            WHERE NOT n.deleting AND ",
            $where,
            " ORDER BY i.created_at, i.id"
        )
    };
}

/// One member (`agent_toolbelt_items`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Its id.
    pub id: ToolbeltItemId,
    /// The toolbelt that it is in.
    pub toolbelt: ToolbeltId,
    /// The instance.
    pub instance: InstanceId,
    /// The instance's name. It is the instance's own: what is written here is not kept.
    pub instance_name: InstanceName,
    /// Where the instance runs. As its name.
    pub environment: EnvironmentId,
    /// Whether the toolbelt shows what it has.
    pub is_active: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
}

/// A toolbelt's members, in the order in which they were added.
pub async fn items(store: &Store, toolbelt: ToolbeltId) -> Result<Vec<ItemRow>, StoreError> {
    const SQL: &str = select!("i.toolbelt_id = $1");
    many(store, SQL, toolbelt.to_string()).await
}

/// Where an instance is a member, in whatever toolbelts of its account.
pub async fn of_instance(store: &Store, instance: InstanceId) -> Result<Vec<ItemRow>, StoreError> {
    const SQL: &str = select!("i.account_tool_instance_id = $1");
    many(store, SQL, instance.to_string()).await
}

/// One member of a toolbelt.
pub async fn item(
    store: &Store,
    toolbelt: ToolbeltId,
    id: ToolbeltItemId,
) -> Result<Option<ItemRow>, StoreError> {
    const SQL: &str = select!("i.id = $1");
    let found = many(store, SQL, id.to_string()).await?;
    Ok(found.into_iter().find(|row| row.toolbelt == toolbelt))
}

async fn many(store: &Store, sql: &'static str, id: String) -> Result<Vec<ItemRow>, StoreError> {
    let found: Vec<ItemRaw> = on_pool!(store.read(), db => sqlx::query_as(sql).bind(id).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Adds a member. The toolbelt's generation grows.
///
/// # Errors
/// [`StoreError::Taken`] with field `account_tool_instance_id` when it is one already; [`StoreError::NotFound`] when the toolbelt is
/// gone, or its account has no such instance.
pub async fn add_item(tx: &mut Tx, row: &ItemRow) -> Result<(), StoreError> {
    // Selected from both, so that an instance of another account gives no row.
    const SQL: &str = "INSERT INTO agent_toolbelt_items
        (id, toolbelt_id, account_tool_instance_id, is_active_for_agent, created_at, updated_at)
        SELECT $1, t.id, n.id, $4, $5, $6 FROM toolbelts t
        JOIN account_tool_instances n ON n.account_id = t.account_id
        WHERE t.id = $2 AND n.id = $3 AND NOT n.deleting RETURNING id";
    let inserted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(row.id.to_string())
        .bind(row.toolbelt.to_string())
        .bind(row.instance.to_string())
        .bind(row.is_active)
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .fetch_optional(db).await)
    .map_err(|e| StoreError::from_write(e, &[("account_tool_instance_id", row.instance_name.as_str())]))?;
    inserted.ok_or(StoreError::NotFound { what: "instance" })?;
    touch(tx, row.toolbelt).await.map(drop)
}

/// Shows what a member has, or hides it. The toolbelt's generation grows.
///
/// # Errors
/// [`StoreError::NotFound`] when it is no member of the toolbelt.
pub async fn set_active(
    tx: &mut Tx,
    toolbelt: ToolbeltId,
    id: ToolbeltItemId,
    is_active: bool,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent_toolbelt_items SET is_active_for_agent = $3, updated_at = $4
        WHERE toolbelt_id = $1 AND id = $2 RETURNING id";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(toolbelt.to_string())
        .bind(id.to_string())
        .bind(is_active)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "member of the toolbelt" })?;
    touch(tx, toolbelt).await.map(drop)
}

/// Removes a member, with all that is known of what it has. The toolbelt's generation grows.
///
/// # Errors
/// [`StoreError::NotFound`] when it is no member of the toolbelt.
pub async fn remove_item(tx: &mut Tx, toolbelt: ToolbeltId, id: ToolbeltItemId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM agent_toolbelt_items WHERE toolbelt_id = $1 AND id = $2 RETURNING id";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(toolbelt.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "member of the toolbelt" })?;
    touch(tx, toolbelt).await.map(drop)
}

#[derive(FromRow)]
struct ItemRaw {
    id: String,
    toolbelt_id: String,
    account_tool_instance_id: String,
    name: String,
    account_tool_environment_id: String,
    is_active_for_agent: bool,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<ItemRaw> for ItemRow {
    type Error = StoreError;

    fn try_from(raw: ItemRaw) -> Result<Self, StoreError> {
        let environment = &raw.account_tool_environment_id;
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            toolbelt: parsed(TABLE, "toolbelt_id", &raw.toolbelt_id)?,
            instance: parsed(TABLE, "account_tool_instance_id", &raw.account_tool_instance_id)?,
            instance_name: parsed("account_tool_instances", "name", &raw.name)?,
            environment: parsed("account_tool_instances", "account_tool_environment_id", environment)?,
            is_active: raw.is_active_for_agent,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
