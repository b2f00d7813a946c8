//! One-time tokens that make a host an environment's: at most one per environment, the newest.

use domain::ids::EnvironmentId;
use domain::secret;
use domain::time::Timestamp;

use crate::columns::{parsed, text};
use crate::errors::breaks_reference;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "enrolments";

/// What became of a token that a host showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// It was good, and is used now.
    First(EnvironmentId),
    /// The same host used it a moment ago, and may hear the answer again.
    Again(EnvironmentId),
    /// It was not used in time.
    Expired,
    /// It was used, by another host or too long ago.
    Used,
    /// There is none like it, or a newer one took its place.
    Unknown,
}

/// How far an environment's token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// When a host used it.
    pub used_at: Option<Timestamp>,
}

/// How far an environment's token is; `None` when it has none.
pub async fn standing(store: &Store, environment: EnvironmentId) -> Result<Option<Standing>, StoreError> {
    const SQL: &str = "SELECT expires_at, used_at FROM enrolments WHERE environment_id = $1";
    let found: Option<(i64, Option<i64>)> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(environment.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.map(|(expires_at, used_at)| Standing {
        expires_at: Timestamp(expires_at),
        used_at: used_at.map(Timestamp),
    }))
}

/// Makes an environment's token, in the place of the one before. `token_hash` is its SHA-256 in hexadecimal.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such environment; [`StoreError::Taken`] with field `token_hash`.
pub async fn issue(
    tx: &mut Tx,
    environment: EnvironmentId,
    token_hash: &str,
    at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    // Selected from the environment, so that one that is gone gives no row rather than a broken reference.
    const SQL: &str = "INSERT INTO enrolments (environment_id, token_hash, created_at, expires_at)
        SELECT id, $2, $3, $4 FROM account_tool_environments WHERE id = $1
        ON CONFLICT (environment_id) DO UPDATE SET
            token_hash = excluded.token_hash, created_at = excluded.created_at,
            expires_at = excluded.expires_at, used_at = NULL, nonce_hash = NULL
        RETURNING environment_id";
    let hash = text("token_hash", token_hash)?;
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(environment.to_string())
        .bind(hash)
        .bind(at.0)
        .bind(expires_at.0)
        .fetch_optional(db).await)
    .map_err(|error| {
        if breaks_reference(&error, "enrolments_environment_id_fkey") {
            return StoreError::NotFound { what: "environment" };
        }
        StoreError::from_write(error, &[("token_hash", "…")])
    })?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "environment" })
}

/// Uses a token, once. Who shows the same nonce again hears so, when the first time was at `repeat_since` or later.
///
/// # Errors
/// What the database says; a token that is no good is none.
pub async fn redeem(
    tx: &mut Tx,
    token_hash: &str,
    nonce_hash: &str,
    at: Timestamp,
    repeat_since: Timestamp,
) -> Result<Redeemed, StoreError> {
    const USE: &str = "UPDATE enrolments SET used_at = $2, nonce_hash = $3
        WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING environment_id";
    const LOOK: &str = "SELECT environment_id, used_at, nonce_hash FROM enrolments WHERE token_hash = $1";
    let (hash, nonce) = (text("token", token_hash)?, text("nonce", nonce_hash)?);
    let used: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(USE)
        .bind(hash)
        .bind(at.0)
        .bind(nonce)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    if let Some(id) = used {
        return Ok(Redeemed::First(parsed(TABLE, "environment_id", &id)?));
    }
    let found: Option<(String, Option<i64>, Option<String>)> =
        on_pool!(tx.connection(), db => sqlx::query_as(LOOK).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    Ok(match found {
        None => Redeemed::Unknown,
        Some((_, None, _)) => Redeemed::Expired,
        Some((id, Some(used_at), Some(by)))
            if secret::same(nonce.as_bytes(), by.as_bytes()) && repeat_since.0 <= used_at =>
        {
            Redeemed::Again(parsed(TABLE, "environment_id", &id)?)
        }
        Some(_) => Redeemed::Used,
    })
}

/// Forgets an environment's token, when it has one.
pub async fn forget(tx: &mut Tx, environment: EnvironmentId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM enrolments WHERE environment_id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(environment.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}
