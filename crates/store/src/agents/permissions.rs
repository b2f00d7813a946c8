//! Which tools of its members an agent may call, one by one. What no row allows is denied.

use domain::ids::{CapabilityPermissionId, ToolbeltId, ToolbeltItemId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agent_tool_capability_permissions";

/// One of them (`agent_tool_capability_permissions`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionRow {
    /// Its id.
    pub id: CapabilityPermissionId,
    /// The member.
    pub item: ToolbeltItemId,
    /// The member's name of the tool; `*` stands for any characters.
    pub capability_name: String,
    /// Whether it may be called. A denial wins over every grant.
    pub is_allowed: bool,
    /// When it was first said.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Allows or denies a tool of a member that was found in the caller's account, in the place of what was said of that tool before.
///
/// # Errors
/// [`StoreError::NotFound`] when the member is gone; [`StoreError::Invalid`].
pub async fn set_permission(tx: &mut Tx, row: &PermissionRow) -> Result<PermissionRow, StoreError> {
    const SQL: &str = "INSERT INTO agent_tool_capability_permissions
        (id, agent_toolbelt_item_id, capability_name, is_allowed, created_at, updated_at)
        SELECT $1, i.id, $3, $4, $5, $6 FROM agent_toolbelt_items i WHERE i.id = $2
        ON CONFLICT (agent_toolbelt_item_id, capability_name)
            DO UPDATE SET is_allowed = excluded.is_allowed, updated_at = excluded.updated_at
        RETURNING id, agent_toolbelt_item_id, capability_name, is_allowed, created_at, updated_at";
    let name = text("capability_name", &row.capability_name)?;
    let kept: Option<PermissionRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(row.id.to_string())
        .bind(row.item.to_string())
        .bind(name)
        .bind(row.is_allowed)
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    kept.ok_or(StoreError::NotFound { what: "member of the toolbelt" })?.try_into()
}

/// What is said of a member's tools, by name.
pub async fn permissions(store: &Store, item: ToolbeltItemId) -> Result<Vec<PermissionRow>, StoreError> {
    const SQL: &str = "SELECT id, agent_toolbelt_item_id, capability_name, is_allowed, created_at, updated_at
        FROM agent_tool_capability_permissions WHERE agent_toolbelt_item_id = $1";
    many(store, SQL, item.to_string()).await
}

/// What is said of the tools of all members of a toolbelt, by name.
pub async fn permissions_of_toolbelt(
    store: &Store,
    toolbelt: ToolbeltId,
) -> Result<Vec<PermissionRow>, StoreError> {
    const SQL: &str = "SELECT id, agent_toolbelt_item_id, capability_name, is_allowed, created_at, updated_at
        FROM agent_tool_capability_permissions
        WHERE agent_toolbelt_item_id IN (SELECT id FROM agent_toolbelt_items WHERE toolbelt_id = $1)";
    many(store, SQL, toolbelt.to_string()).await
}

async fn many(store: &Store, sql: &'static str, id: String) -> Result<Vec<PermissionRow>, StoreError> {
    let found: Vec<PermissionRaw> =
        on_pool!(store.read(), db => sqlx::query_as(sql).bind(id).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<PermissionRow>, _>>()?;
    rows.sort_by(|a, b| (&a.capability_name, a.id).cmp(&(&b.capability_name, b.id)));
    Ok(rows)
}

/// Forgets what was said of a tool of a member; false when nothing was.
pub async fn remove_permission(
    tx: &mut Tx,
    item: ToolbeltItemId,
    capability_name: &str,
) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM agent_tool_capability_permissions
        WHERE agent_toolbelt_item_id = $1 AND capability_name = $2 RETURNING id";
    let name = text("capability_name", capability_name)?;
    let gone: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(item.to_string())
        .bind(name)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(gone.is_some())
}

#[derive(FromRow)]
struct PermissionRaw {
    id: String,
    agent_toolbelt_item_id: String,
    capability_name: String,
    is_allowed: bool,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<PermissionRaw> for PermissionRow {
    type Error = StoreError;

    fn try_from(raw: PermissionRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            item: parsed(TABLE, "agent_toolbelt_item_id", &raw.agent_toolbelt_item_id)?,
            capability_name: raw.capability_name,
            is_allowed: raw.is_allowed,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
