//! Every sealed value of every table, for changing the key that they are sealed with. What they hold is not known here.

use sqlx::AssertSqlSafe;

use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

/// A column of sealed values: `VERSION.BASE64`, sealed for the UUID in `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: &'static str,
    /// What tells its rows apart, as an expression.
    pub key: &'static str,
    /// The column of the id that the value is sealed for.
    pub id: &'static str,
    /// The column of the value; NULL where there is none.
    pub column: &'static str,
}

const fn by_id(table: &'static str, id: &'static str, column: &'static str) -> Place {
    Place { table, key: id, id, column }
}

/// All of them. A test looks for columns whose names end in `sealed`, or begin with `encrypted`, and are not here.
pub const PLACES: [Place; 12] = [
    by_id("account_tool_environments", "id", "dtma_token_sealed"),
    by_id("account_tool_instances", "id", "secrets_sealed"),
    by_id("agent_tool_credentials", "id", "encrypted_credentials"),
    by_id("droplets", "environment_id", "user_data_sealed"),
    by_id("instance_changes", "id", "asked_sealed"),
    by_id("instance_changes", "id", "secrets_sealed"),
    by_id("oauth_keys", "id", "private_sealed"),
    by_id("own_values", "id", "values_sealed"),
    by_id("registry_logins", "id", "password_sealed"),
    by_id("secret_versions", "id", "value_sealed"),
    Place { table: "upstream_authorizations", key: "state_hash", id: "instance_id", column: "sealed" },
    Place {
        table: "upstream_tokens",
        key: "instance_id || ' ' || user_id",
        id: "instance_id",
        column: "sealed",
    },
];

/// A sealed value, its row, and the id that it is sealed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What tells its row apart.
    pub key: String,
    /// The id.
    pub id: String,
    /// The value.
    pub value: String,
}

/// The next values, by key, that are sealed with another version than `version`, after the key `after`.
pub async fn others(
    store: &Store,
    place: Place,
    version: u32,
    after: &str,
    limit: u32,
) -> Result<Vec<Sealed>, StoreError> {
    let Place { table, key, id, column } = place;
    let sql = format!(
        "SELECT {key}, {id}, {column} FROM {table}
        WHERE {column} IS NOT NULL AND substr({column}, 1, length($1)) <> $1 AND $2 < {key} ORDER BY {key} LIMIT $3"
    );
    let found: Vec<(String, String, String)> =
        on_pool!(store.read(), db => sqlx::query_as(AssertSqlSafe(sql))
        .bind(format!("{version}."))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    Ok(found.into_iter().map(|(key, id, value)| Sealed { key, id, value }).collect())
}

/// Any one value that is sealed with a version, where there is one.
pub async fn one_of(store: &Store, place: Place, version: u32) -> Result<Option<Sealed>, StoreError> {
    let Place { table, key, id, column } = place;
    let sql = format!(
        "SELECT {key}, {id}, {column} FROM {table} WHERE substr({column}, 1, length($1)) = $1 LIMIT 1"
    );
    let found: Option<(String, String, String)> =
        on_pool!(store.read(), db => sqlx::query_as(AssertSqlSafe(sql))
        .bind(format!("{version}."))
        .fetch_optional(db).await)
        .map_err(StoreError::from_driver)?;
    Ok(found.map(|(key, id, value)| Sealed { key, id, value }))
}

/// How many values there are: sealed with a version, or all.
pub async fn count(store: &Store, place: Place, version: Option<u32>) -> Result<u64, StoreError> {
    let Place { table, column, .. } = place;
    let sql = format!(
        "SELECT count(*) FROM {table} WHERE {column} IS NOT NULL AND substr({column}, 1, length($1)) = $1"
    );
    let prefix = version.map(|version| format!("{version}.")).unwrap_or_default();
    let found: i64 = on_pool!(store.read(), db => sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(prefix)
        .fetch_one(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.unsigned_abs())
}

/// Puts a value in the place of another, unless that was changed meanwhile; whether it was put.
pub async fn replace(tx: &mut Tx, place: Place, old: &Sealed, value: &str) -> Result<bool, StoreError> {
    let Place { table, key, column, .. } = place;
    let sql = format!("UPDATE {table} SET {column} = $3 WHERE {key} = $1 AND {column} = $2");
    let changed = on_pool!(tx.connection(), db => sqlx::query(AssertSqlSafe(sql))
        .bind(old.key.as_str())
        .bind(old.value.as_str())
        .bind(value)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed != 0)
}
