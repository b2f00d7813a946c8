//! Authorization codes and refresh tokens: each is good for one use, and a second use is told from a text that was never given.

use domain::ids::GrantId;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{StoreError, Tx};

/// An authorization code (`oauth_codes`), without itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// Of which grant.
    pub grant: GrantId,
    /// Where the person was sent with it.
    pub redirect_uri: String,
    /// The challenge of PKCE (RFC 7636).
    pub challenge: String,
    /// The resource that tokens will be for.
    pub resource: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A refresh token (`oauth_refresh_tokens`), without itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRow {
    /// Of which grant.
    pub grant: GrantId,
    /// The resource that tokens are for.
    pub resource: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What became of an attempt to use one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used<T> {
    /// For the first time.
    First(T),
    /// Not for the first time.
    Again(T),
    /// It was never given, or is forgotten.
    Unknown,
}

/// Keeps a code.
pub async fn insert_code(tx: &mut Tx, code: &CodeRow, hash: &str) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO oauth_codes (code_hash, grant_id, redirect_uri, challenge, resource, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let (redirect, challenge, resource) = (
        text("redirect_uri", &code.redirect_uri)?,
        text("code_challenge", &code.challenge)?,
        text("resource", &code.resource)?,
    );
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(hash)
        .bind(code.grant.to_string())
        .bind(redirect)
        .bind(challenge)
        .bind(resource)
        .bind(code.expires_at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Uses a code. Of two at once, one is the first.
pub async fn use_code(tx: &mut Tx, hash: &str, at: Timestamp) -> Result<Used<CodeRow>, StoreError> {
    const USE: &str = "UPDATE oauth_codes SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL
        RETURNING grant_id, redirect_uri, challenge, resource, expires_at";
    const FIND: &str = "SELECT grant_id, redirect_uri, challenge, resource, expires_at FROM oauth_codes WHERE code_hash = $1";
    let first: Option<CodeRaw> = on_pool!(tx.connection(), db => sqlx::query_as(USE)
        .bind(hash)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    if let Some(first) = first {
        return Ok(Used::First(first.try_into()?));
    }
    let again: Option<CodeRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(FIND).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    again.map_or(Ok(Used::Unknown), |again| Ok(Used::Again(again.try_into()?)))
}

/// Keeps a refresh token.
pub async fn insert_refresh(
    tx: &mut Tx,
    token: &RefreshRow,
    hash: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO oauth_refresh_tokens (token_hash, grant_id, resource, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5)";
    let resource = text("resource", &token.resource)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(hash)
        .bind(token.grant.to_string())
        .bind(resource)
        .bind(at.0)
        .bind(token.expires_at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Uses a refresh token. Of two at once, one is the first.
pub async fn use_refresh(tx: &mut Tx, hash: &str, at: Timestamp) -> Result<Used<RefreshRow>, StoreError> {
    const USE: &str = "UPDATE oauth_refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL
        RETURNING grant_id, resource, expires_at";
    let first: Option<RefreshRaw> = on_pool!(tx.connection(), db => sqlx::query_as(USE)
        .bind(hash)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    if let Some(first) = first {
        return Ok(Used::First(first.try_into()?));
    }
    Ok(find_refresh(tx, hash).await?.map_or(Used::Unknown, Used::Again))
}

/// A refresh token, used or not.
pub async fn find_refresh(tx: &mut Tx, hash: &str) -> Result<Option<RefreshRow>, StoreError> {
    const SQL: &str = "SELECT grant_id, resource, expires_at FROM oauth_refresh_tokens WHERE token_hash = $1";
    let found: Option<RefreshRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

#[derive(FromRow)]
struct CodeRaw {
    grant_id: String,
    redirect_uri: String,
    challenge: String,
    resource: String,
    expires_at: i64,
}

impl TryFrom<CodeRaw> for CodeRow {
    type Error = StoreError;

    fn try_from(raw: CodeRaw) -> Result<Self, StoreError> {
        Ok(Self {
            grant: parsed("oauth_codes", "grant_id", &raw.grant_id)?,
            redirect_uri: raw.redirect_uri,
            challenge: raw.challenge,
            resource: raw.resource,
            expires_at: Timestamp(raw.expires_at),
        })
    }
}

#[derive(FromRow)]
struct RefreshRaw {
    grant_id: String,
    resource: String,
    expires_at: i64,
}

impl TryFrom<RefreshRaw> for RefreshRow {
    type Error = StoreError;

    fn try_from(raw: RefreshRaw) -> Result<Self, StoreError> {
        Ok(Self {
            grant: parsed("oauth_refresh_tokens", "grant_id", &raw.grant_id)?,
            resource: raw.resource,
            expires_at: Timestamp(raw.expires_at),
        })
    }
}
