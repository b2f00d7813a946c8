//! What agents bring to their members: variables and their values, sealed.

use domain::ids::{AgentCredentialId, AgentId, InstanceId, ToolbeltItemId};
use domain::time::Timestamp;
use domain::toolbelts::CredentialStatus;
use sqlx::FromRow;

use crate::columns::{optional_text, parsed, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agent_tool_credentials";

macro_rules! columns {
    () => {
        "id, agent_toolbelt_item_id, credential_type, encrypted_credentials, account_identifier, \
         last_validated_at, status, created_at, updated_at"
    };
}

/// One of them (`agent_tool_credentials`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    /// Its id, which the values are sealed for.
    pub id: AgentCredentialId,
    /// The member that it is for.
    pub item: ToolbeltItemId,
    /// What kind it is, such as `api_key`.
    pub credential_type: String,
    /// Variables and their values, sealed.
    pub sealed: String,
    /// Whose account it opens there, for people to tell several apart.
    pub account_identifier: Option<String>,
    /// When somebody last saw it work.
    pub last_validated_at: Option<Timestamp>,
    /// How it stands.
    pub status: CredentialStatus,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Keeps a credential of a member that was found in the caller's account.
///
/// # Errors
/// [`StoreError::NotFound`] when the member is gone; [`StoreError::Invalid`].
pub async fn insert_credential(tx: &mut Tx, row: &CredentialRow) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO agent_tool_credentials (",
        columns!(),
        ") SELECT $1, i.id, $3, $4, $5, $6, $7, $8, $9 FROM agent_toolbelt_items i WHERE i.id = $2 RETURNING id"
    );
    let (kind, sealed) =
        (text("credential_type", &row.credential_type)?, text("encrypted_credentials", &row.sealed)?);
    let account = optional_text("account_identifier", row.account_identifier.as_deref())?;
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(row.id.to_string())
        .bind(row.item.to_string())
        .bind(kind)
        .bind(sealed)
        .bind(account)
        .bind(row.last_validated_at.map(|t| t.0))
        .bind(row.status.word())
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "member of the toolbelt" })
}

/// A member's credentials, in the order in which they were given.
pub async fn credentials(store: &Store, item: ToolbeltItemId) -> Result<Vec<CredentialRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM agent_tool_credentials WHERE agent_toolbelt_item_id = $1 ORDER BY created_at, id"
    );
    let found: Vec<CredentialRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(item.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// The active credentials that an agent brings to an instance, in the order in which they were given: those of the active member of its
/// own toolbelt that the instance is.
pub async fn credentials_of_caller(
    store: &Store,
    agent: AgentId,
    instance: InstanceId,
) -> Result<Vec<CredentialRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM agent_tool_credentials WHERE status = 'active' AND agent_toolbelt_item_id IN
            (SELECT i.id FROM agent_toolbelt_items i JOIN toolbelts t ON t.id = i.toolbelt_id
            WHERE t.agent_id = $1 AND i.account_tool_instance_id = $2 AND i.is_active_for_agent)
        ORDER BY created_at, id"
    );
    let found: Vec<CredentialRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(agent.to_string())
        .bind(instance.to_string())
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// What all agents bring to an instance, whatever became of it.
pub async fn credentials_of_instance(
    store: &Store,
    instance: InstanceId,
) -> Result<Vec<CredentialRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM agent_tool_credentials WHERE agent_toolbelt_item_id IN
            (SELECT id FROM agent_toolbelt_items WHERE account_tool_instance_id = $1) ORDER BY id"
    );
    let found: Vec<CredentialRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(instance.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Removes a credential of a member.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn remove_credential(
    tx: &mut Tx,
    item: ToolbeltItemId,
    id: AgentCredentialId,
) -> Result<CredentialRow, StoreError> {
    const SQL: &str = concat!(
        "DELETE FROM agent_tool_credentials WHERE agent_toolbelt_item_id = $1 AND id = $2 RETURNING ",
        columns!()
    );
    let found: Option<CredentialRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(item.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "credential" })?.try_into()
}

#[derive(FromRow)]
struct CredentialRaw {
    id: String,
    agent_toolbelt_item_id: String,
    credential_type: String,
    encrypted_credentials: String,
    account_identifier: Option<String>,
    last_validated_at: Option<i64>,
    status: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<CredentialRaw> for CredentialRow {
    type Error = StoreError;

    fn try_from(raw: CredentialRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            item: parsed(TABLE, "agent_toolbelt_item_id", &raw.agent_toolbelt_item_id)?,
            credential_type: raw.credential_type,
            sealed: raw.encrypted_credentials,
            account_identifier: raw.account_identifier,
            last_validated_at: raw.last_validated_at.map(Timestamp),
            status: word(TABLE, "status", &raw.status, CredentialStatus::of_word(&raw.status))?,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
