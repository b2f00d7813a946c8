//! One-time links that sign somebody in.

use domain::ids::{SignInLinkId, UserId};
use domain::time::Timestamp;

use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "sign_in_links";

/// Keeps a new link. `hash` is the SHA-256 of its token in hexadecimal. Links that came too late go at the same time.
pub async fn insert(
    tx: &mut Tx,
    id: SignInLinkId,
    user: UserId,
    hash: &str,
    at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    const PRUNE: &str = "DELETE FROM sign_in_links WHERE expires_at < $1";
    const SQL: &str = "INSERT INTO sign_in_links (id, user_id, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
    on_pool!(tx.connection(), db => sqlx::query(PRUNE).bind(at.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    let hash = text("token_hash", hash)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(hash)
        .bind(at.0)
        .bind(expires_at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Whom a link would sign in, when it is good at that time. It is not used up by that.
pub async fn look(store: &Store, hash: &str, at: Timestamp) -> Result<Option<UserId>, StoreError> {
    const SQL: &str =
        "SELECT user_id FROM sign_in_links WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2";
    let hash = text("token_hash", hash)?;
    let found: Option<String> =
        on_pool!(store.read(), db => sqlx::query_scalar(SQL).bind(hash).bind(at.0).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(|id| parsed(TABLE, "user_id", &id)).transpose()
}

/// Uses a link, once; `None` when it is no good.
pub async fn redeem(tx: &mut Tx, hash: &str, at: Timestamp) -> Result<Option<UserId>, StoreError> {
    const SQL: &str = "UPDATE sign_in_links SET used_at = $2
        WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING user_id";
    let hash = text("token_hash", hash)?;
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(hash)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(|id| parsed(TABLE, "user_id", &id)).transpose()
}
