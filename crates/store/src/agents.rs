//! Agents: programs of users, each with a toolbelt of its own, tokens, and rows that say what it may call. Every function that acts on what
//! a caller named takes the caller's account, or an id that was found in it.

use domain::ids::{AccountId, AgentId, UserId};
use domain::names::InstanceName;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{optional_text, parsed};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agents";

macro_rules! columns {
    () => {
        "id, account_id, name, description, created_by, created_at, updated_at"
    };
}

mod credentials;
mod permissions;
mod servers;
mod tokens;
mod toolboxes;
pub use credentials::{
    CredentialRow, credentials, credentials_of_caller, credentials_of_instance, insert_credential,
    remove_credential,
};
pub use permissions::{
    PermissionRow, permissions, permissions_of_toolbelt, remove_permission, set_permission,
};
pub use servers::{ServerAccessRow, grant_server, revoke_server, servers};
pub use tokens::{
    AgentTokenHolder, AgentTokenRow, insert_token, revoke_token, token_by_hash, tokens, touch_token,
};
pub use toolboxes::{ToolboxAccessRow, grant_toolbox, has_toolbox, revoke_toolbox, toolboxes};

/// One agent (`agents`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique among the account's agents.
    pub name: InstanceName,
    /// What people say of it.
    pub description: Option<String>,
    /// Who made it; absent: somebody who is gone.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
}

/// Keeps a new agent.
///
/// # Errors
/// [`StoreError::Taken`] with field `name`; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &AgentRow) -> Result<(), StoreError> {
    const SQL: &str = concat!("INSERT INTO agents (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)");
    let description = optional_text("description", row.description.as_deref())?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(row.name.as_str())
        .bind(description)
        .bind(row.created_by.map(|id| id.to_string()))
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("name", row.name.as_str())]))
}

/// An account's agents, by name.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<AgentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM agents WHERE account_id = $1");
    let found: Vec<AgentRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<AgentRow>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// Every agent of every account, in no order: for the control plane's own work.
pub async fn all(store: &Store) -> Result<Vec<AgentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM agents");
    let found: Vec<AgentRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// An account's agent of a name.
pub async fn by_name(
    store: &Store,
    account: AccountId,
    name: &InstanceName,
) -> Result<Option<AgentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM agents WHERE account_id = $1 AND name = $2");
    let found: Option<AgentRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// An account's agent of an id.
pub async fn by_id(store: &Store, account: AccountId, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM agents WHERE account_id = $1 AND id = $2");
    let found: Option<AgentRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Gives an agent of the account another name and description.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Taken`] with field `name`; [`StoreError::Invalid`].
pub async fn update(
    tx: &mut Tx,
    account: AccountId,
    id: AgentId,
    (name, description): (&InstanceName, Option<&str>),
    at: Timestamp,
) -> Result<AgentRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agents SET name = $3, description = $4, updated_at = $5
        WHERE account_id = $1 AND id = $2 RETURNING ",
        columns!()
    );
    let description = optional_text("description", description)?;
    let found: Option<AgentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .bind(name.as_str())
        .bind(description)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(|e| StoreError::from_write(e, &[("name", name.as_str())]))?;
    found.ok_or(StoreError::NotFound { what: "agent" })?.try_into()
}

/// Removes an agent of the account, with its toolbelt, tokens and all that it was granted.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn remove(tx: &mut Tx, account: AccountId, id: AgentId) -> Result<AgentRow, StoreError> {
    const SQL: &str = concat!("DELETE FROM agents WHERE account_id = $1 AND id = $2 RETURNING ", columns!());
    let found: Option<AgentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "agent" })?.try_into()
}

#[derive(FromRow)]
struct AgentRaw {
    id: String,
    account_id: String,
    name: String,
    description: Option<String>,
    created_by: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<AgentRaw> for AgentRow {
    type Error = StoreError;

    fn try_from(raw: AgentRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            name: parsed(TABLE, "name", &raw.name)?,
            description: raw.description,
            created_by: raw.created_by.map(|id| parsed(TABLE, "created_by", &id)).transpose()?,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
