//! Every sealed value of every table, for changing the key that they are sealed with. What they hold is not known here.

use sqlx::AssertSqlSafe;

use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

/// A column of sealed values: `VERSION.BASE64`, sealed for the UUID in `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: &'static str,
    /// The column of the id that the value is sealed for, unique in the table.
    pub id: &'static str,
    /// The column of the value; NULL where there is none.
    pub column: &'static str,
}

/// All of them. A test looks for columns whose names end in `_sealed` and are not here.
pub const PLACES: [Place; 6] = [
    Place { table: "account_tool_environments", id: "id", column: "dtma_token_sealed" },
    Place { table: "account_tool_instances", id: "id", column: "secrets_sealed" },
    Place { table: "droplets", id: "environment_id", column: "user_data_sealed" },
    Place { table: "oauth_keys", id: "id", column: "private_sealed" },
    Place { table: "registry_logins", id: "id", column: "password_sealed" },
    Place { table: "secret_versions", id: "id", column: "value_sealed" },
];

/// A sealed value and the id that it is sealed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id.
    pub id: String,
    /// The value.
    pub value: String,
}

/// The next values, by id, that are sealed with another version than `version`, after the id `after`.
pub async fn others(
    store: &Store,
    place: Place,
    version: u32,
    after: &str,
    limit: u32,
) -> Result<Vec<Sealed>, StoreError> {
    let Place { table, id, column } = place;
    let sql = format!(
        "SELECT {id}, {column} FROM {table}
        WHERE {column} IS NOT NULL AND substr({column}, 1, length($1)) <> $1 AND $2 < {id} ORDER BY {id} LIMIT $3"
    );
    let found: Vec<(String, String)> = on_pool!(store.read(), db => sqlx::query_as(AssertSqlSafe(sql))
        .bind(format!("{version}."))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.into_iter().map(|(id, value)| Sealed { id, value }).collect())
}

/// Any one value that is sealed with a version, where there is one.
pub async fn one_of(store: &Store, place: Place, version: u32) -> Result<Option<Sealed>, StoreError> {
    let Place { table, id, column } = place;
    let sql =
        format!("SELECT {id}, {column} FROM {table} WHERE substr({column}, 1, length($1)) = $1 LIMIT 1");
    let found: Option<(String, String)> = on_pool!(store.read(), db => sqlx::query_as(AssertSqlSafe(sql))
        .bind(format!("{version}."))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.map(|(id, value)| Sealed { id, value }))
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
    let Place { table, id, column } = place;
    let sql = format!("UPDATE {table} SET {column} = $3 WHERE {id} = $1 AND {column} = $2");
    let changed = on_pool!(tx.connection(), db => sqlx::query(AssertSqlSafe(sql))
        .bind(old.id.as_str())
        .bind(old.value.as_str())
        .bind(value)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed != 0)
}
