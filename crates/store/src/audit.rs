//! The audit table: who did what to what, and when. Lines are added and read, never changed, and removed only when they are older than
//! the installation keeps them.

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

/// Which lines of an account are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// None that is older.
    pub since: Option<Timestamp>,
    /// Actions that begin so.
    pub action: Option<&'a str>,
    /// Of the thing with this id or name.
    pub object: Option<&'a str>,
    /// Those that come after this one, which is skipped with all before it.
    pub after: Option<AuditId>,
    /// How many.
    pub limit: u32,
}

/// Lines of an account, newest first, each with the name of the user who is its actor. After a line that is not there (any more)
/// comes nothing.
pub async fn list(
    store: &Store,
    account: AccountId,
    wanted: &Wanted<'_>,
) -> Result<Vec<(AuditRow, Option<String>)>, StoreError> {
    // A prefix is compared as such: LIKE would take `_` for any character, and upper case for lower in SQLite.
    const SQL: &str =
        "SELECT l.id, account_id, actor, action, object_kind, object_id, object_name, detail_json, at,
            u.name AS actor_name
        FROM audit_log l LEFT JOIN users u ON l.actor = 'user:' || u.id
        WHERE account_id = $1 AND $2 <= at AND substr(action, 1, length($3)) = $3
            AND ($4 = '' OR object_name = $4 OR object_id = $4)
            AND ($5 = '' OR EXISTS (SELECT 1 FROM audit_log b WHERE b.account_id = $1 AND b.id = $5
                AND (l.at < b.at OR (l.at = b.at AND l.id < b.id))))
        ORDER BY at DESC, l.id DESC LIMIT $6";
    let (action, object) = (
        text("action", wanted.action.unwrap_or_default())?,
        text("object", wanted.object.unwrap_or_default())?,
    );
    let found: Vec<ListedRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(wanted.since.map_or(i64::MIN, |at| at.0))
        .bind(action)
        .bind(object)
        .bind(wanted.after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(wanted.limit))
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(|raw| Ok((raw.line.try_into()?, raw.actor_name))).collect()
}

/// Removes lines that are older than `before`, of all accounts.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM audit_log WHERE at < $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(before.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct ListedRaw {
    #[sqlx(flatten)]
    line: AuditRaw,
    actor_name: Option<String>,
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
