//! What the authorization server keeps: keys, clients, grants, and the codes and tokens that belong to them. The codes and
//! tokens themselves are never here, only their SHA-256.

pub mod clients;
pub mod devices;
pub mod grants;
pub mod keys;
pub mod tokens;

use domain::time::Timestamp;

use crate::open::on_pool;
use crate::{StoreError, Tx};

/// Removes what is over: codes, refresh tokens, devices and replays that ended before `at`, grants that were never used or were
/// revoked before `old`, and clients that registered themselves and were not used since `old`.
pub async fn reap(tx: &mut Tx, at: Timestamp, old: Timestamp) -> Result<(), StoreError> {
    const BY_TIME: [&str; 4] = [
        "DELETE FROM oauth_codes WHERE expires_at < $1",
        "DELETE FROM oauth_refresh_tokens WHERE expires_at < $1",
        "DELETE FROM oauth_devices WHERE expires_at < $1",
        "DELETE FROM oauth_replays WHERE expires_at < $1",
    ];
    const BY_AGE: [&str; 2] = [
        "DELETE FROM oauth_grants WHERE (last_used_at IS NULL AND created_at < $1) OR revoked_at < $1",
        "DELETE FROM oauth_clients WHERE kind <> 'registered' AND coalesce(last_used_at, created_at) < $1
            AND NOT EXISTS (SELECT 1 FROM oauth_grants WHERE client_id = oauth_clients.id)",
    ];
    for (sql, before) in BY_TIME.map(|sql| (sql, at)).into_iter().chain(BY_AGE.map(|sql| (sql, old))) {
        on_pool!(tx.connection(), db => sqlx::query(sql).bind(before.0).execute(db).await.map(drop))
            .map_err(StoreError::from_driver)?;
    }
    Ok(())
}

/// Notes that an assertion was used; false when it was before. `id` is a hash of who made it and of its own id.
pub async fn use_once(tx: &mut Tx, id: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO oauth_replays (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING
        RETURNING id";
    let noted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(id)
        .bind(expires_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(noted.is_some())
}
