//! What members bring for themselves to instances whose callers each bring their own, sealed. Every function takes whose it is and finds
//! nothing of another's.

use domain::ids::{InstanceId, OwnValuesId, UserId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{json, parsed, text, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "own_values";

/// What one member brings to one instance (`own_values`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnValuesRow {
    /// The id that the values are sealed for.
    pub id: OwnValuesId,
    /// The variables or headers there are values of.
    pub names: Vec<String>,
    /// The values, sealed.
    pub values_sealed: String,
    /// When they were given.
    pub updated_at: Timestamp,
}

/// What a member brings to an instance.
pub async fn get(
    store: &Store,
    instance: InstanceId,
    user: UserId,
) -> Result<Option<OwnValuesRow>, StoreError> {
    const SQL: &str = "SELECT id, names_json, values_sealed, updated_at FROM own_values
        WHERE instance_id = $1 AND user_id = $2";
    let found: Option<OwnValuesRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(instance.to_string())
        .bind(user.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// What all members bring to an instance.
pub async fn of_instance(store: &Store, instance: InstanceId) -> Result<Vec<OwnValuesRow>, StoreError> {
    const SQL: &str =
        "SELECT id, names_json, values_sealed, updated_at FROM own_values WHERE instance_id = $1 ORDER BY id";
    let found: Vec<OwnValuesRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(instance.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Keeps what a member brings, in the place of what they brought before.
///
/// # Errors
/// [`StoreError::NotFound`] when the instance is gone, or is not of an account that they are a member of; [`StoreError::Invalid`].
pub async fn put(
    tx: &mut Tx,
    instance: InstanceId,
    user: UserId,
    row: &OwnValuesRow,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO own_values
        (id, instance_id, account_id, user_id, names_json, values_sealed, updated_at)
        SELECT $1, instance.id, member.account_id, member.user_id, $4, $5, $6
        FROM account_tool_instances AS instance
        JOIN account_members AS member ON member.account_id = instance.account_id AND member.user_id = $3
        WHERE instance.id = $2
        ON CONFLICT (instance_id, user_id) DO UPDATE SET id = excluded.id, names_json = excluded.names_json,
            values_sealed = excluded.values_sealed, updated_at = excluded.updated_at
        RETURNING id";
    let (names, sealed) = (to_json("names", &row.names)?, text("values_sealed", &row.values_sealed)?);
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(row.id.to_string())
        .bind(instance.to_string())
        .bind(user.to_string())
        .bind(names)
        .bind(sealed)
        .bind(row.updated_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "instance" })
}

/// Forgets what a member brings; false when there was nothing.
pub async fn forget(tx: &mut Tx, instance: InstanceId, user: UserId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM own_values WHERE instance_id = $1 AND user_id = $2 RETURNING id";
    let gone: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(instance.to_string())
        .bind(user.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(gone.is_some())
}

#[derive(FromRow)]
struct OwnValuesRaw {
    id: String,
    names_json: String,
    values_sealed: String,
    updated_at: i64,
}

impl TryFrom<OwnValuesRaw> for OwnValuesRow {
    type Error = StoreError;

    fn try_from(raw: OwnValuesRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            names: json(TABLE, "names_json", &raw.names_json)?,
            values_sealed: raw.values_sealed,
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
