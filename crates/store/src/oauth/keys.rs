//! Keys that access tokens are signed with.

use domain::ids::SigningKeyId;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

/// One key (`oauth_keys`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id, which tokens name.
    pub id: SigningKeyId,
    /// The private key, sealed for the row's id.
    pub private_sealed: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Keeps a new key.
pub async fn insert(tx: &mut Tx, key: &KeyRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO oauth_keys (id, private_sealed, created_at) VALUES ($1, $2, $3)";
    let sealed = text("private_sealed", &key.private_sealed)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(key.id.to_string())
        .bind(sealed)
        .bind(key.created_at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Every key, newest first.
pub async fn list(store: &Store) -> Result<Vec<KeyRow>, StoreError> {
    const SQL: &str = "SELECT id, private_sealed, created_at FROM oauth_keys";
    let found: Vec<KeyRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<KeyRow>, _>>()?;
    rows.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
    Ok(rows)
}

/// Forgets keys that were made before a time; those whose tokens are all over.
pub async fn forget(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM oauth_keys WHERE created_at < $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(before.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct KeyRaw {
    id: String,
    private_sealed: String,
    created_at: i64,
}

impl TryFrom<KeyRaw> for KeyRow {
    type Error = StoreError;

    fn try_from(raw: KeyRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed("oauth_keys", "id", &raw.id)?,
            private_sealed: raw.private_sealed,
            created_at: Timestamp(raw.created_at),
        })
    }
}
