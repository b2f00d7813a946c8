//! The audit table: who did what to what, and when. Lines are added and read, never changed or removed.

use domain::ids::{AccountId, AuditId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{json, optional_text, parsed, text, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

/// One line (`audit_log`).
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its id; orders lines of one instant.
    pub id: AuditId,
    /// In which account.
    pub account: AccountId,
    /// Who, such as `user:0198…` or `token:0198…`.
    pub actor: String,
    /// What was done, such as `instance.deploy`.
    pub action: String,
    /// To what kind of thing, such as `instance`.
    pub object_kind: String,
    /// Its id, where it has one.
    pub object_id: Option<String>,
    /// Its name, where it has one.
    pub object_name: Option<String>,
    /// What else is worth knowing. Never a secret.
    pub detail: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// Adds a line, in the transaction of what it tells about.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn append(tx: &mut Tx, line: &AuditRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO audit_log
        (id, account_id, actor, action, object_kind, object_id, object_name, detail_json, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let (actor, action) = (text("actor", &line.actor)?, text("action", &line.action)?);
    let object_kind = text("object_kind", &line.object_kind)?;
    let object_id = optional_text("object_id", line.object_id.as_deref())?;
    let object_name = optional_text("object_name", line.object_name.as_deref())?;
    let detail = to_json("detail", &line.detail)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(line.id.to_string())
        .bind(line.account.to_string())
        .bind(actor)
        .bind(action)
        .bind(object_kind)
        .bind(object_id)
        .bind(object_name)
        .bind(detail)
        .bind(line.at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The last `limit` lines of an account, newest first.
pub async fn list(store: &Store, account: AccountId, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    const SQL: &str =
        "SELECT id, account_id, actor, action, object_kind, object_id, object_name, detail_json, at
        FROM audit_log WHERE account_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
    let found: Vec<AuditRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(i64::from(limit))
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

#[derive(FromRow)]
struct AuditRaw {
    id: String,
    account_id: String,
    actor: String,
    action: String,
    object_kind: String,
    object_id: Option<String>,
    object_name: Option<String>,
    detail_json: String,
    at: i64,
}

impl TryFrom<AuditRaw> for AuditRow {
    type Error = StoreError;

    fn try_from(raw: AuditRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed("audit_log", "id", &raw.id)?,
            account: parsed("audit_log", "account_id", &raw.account_id)?,
            actor: raw.actor,
            action: raw.action,
            object_kind: raw.object_kind,
            object_id: raw.object_id,
            object_name: raw.object_name,
            detail: json("audit_log", "detail_json", &raw.detail_json)?,
            at: Timestamp(raw.at),
        })
    }
}
