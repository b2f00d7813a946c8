//! Whom identity providers vouch for: an issuer and its own word for somebody, and which user that is.

use domain::ids::UserId;
use domain::time::Timestamp;

use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "user_identities";

/// The user whom an issuer calls `subject`.
pub async fn user_of(store: &Store, issuer: &str, subject: &str) -> Result<Option<UserId>, StoreError> {
    const SQL: &str = "SELECT user_id FROM user_identities WHERE issuer = $1 AND subject = $2";
    let (issuer, subject) = (text("issuer", issuer)?, text("subject", subject)?);
    let found: Option<String> = on_pool!(store.read(), db => sqlx::query_scalar(SQL)
        .bind(issuer)
        .bind(subject)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(|id| parsed(TABLE, "user_id", &id)).transpose()
}

/// Notes that an identity was used, and whose it is when it is new; `false` when it is somebody else's, whose it stays.
pub async fn keep(
    tx: &mut Tx,
    issuer: &str,
    subject: &str,
    user: UserId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO user_identities (issuer, subject, user_id, created_at, last_used_at)
        VALUES ($1, $2, $3, $4, $4)
        ON CONFLICT (issuer, subject) DO UPDATE SET last_used_at = excluded.last_used_at
            WHERE user_identities.user_id = excluded.user_id
        RETURNING user_id";
    let (issuer, subject) = (text("issuer", issuer)?, text("subject", subject)?);
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(issuer)
        .bind(subject)
        .bind(user.to_string())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(kept.is_some())
}
