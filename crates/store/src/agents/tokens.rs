//! Tokens of agents: their hashes and when they end. The tokens themselves are never here.

use domain::ids::{AgentId, AgentTokenId};
use domain::names::AccountName;
use domain::time::Timestamp;
use sqlx::FromRow;

use super::{AgentRaw, AgentRow};
use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "agent_tokens";

macro_rules! token_columns {
    () => {
        "id, agent_id, name, prefix, created_at, expires_at, last_used_at, revoked_at"
    };
}

/// One token (`agent_tokens`), without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTokenRow {
    /// Its id.
    pub id: AgentTokenId,
    /// The agent that it is of.
    pub agent: AgentId,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token with its agent. An expired or revoked one is found too, so that the caller can say which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTokenHolder {
    /// The token.
    pub token: AgentTokenRow,
    /// The agent.
    pub agent: AgentRow,
    /// The name of the agent's account.
    pub account_name: AccountName,
}

/// Keeps a new token of an agent that was found in the caller's account. `hash` is the SHA-256 of the token in hexadecimal.
///
/// # Errors
/// [`StoreError::Invalid`]; [`StoreError::NotFound`] when the agent is gone.
pub async fn insert_token(tx: &mut Tx, token: &AgentTokenRow, hash: &str) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO agent_tokens
        (id, agent_id, name, prefix, token_hash, created_at, expires_at, last_used_at, revoked_at)
        SELECT $1, id, $3, $4, $5, $6, $7, $8, $9 FROM agents WHERE id = $2 RETURNING id";
    let (name, prefix, hash) =
        (text("name", &token.name)?, text("prefix", &token.prefix)?, text("token_hash", hash)?);
    let inserted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(token.id.to_string())
        .bind(token.agent.to_string())
        .bind(name)
        .bind(prefix)
        .bind(hash)
        .bind(token.created_at.0)
        .bind(token.expires_at.map(|t| t.0))
        .bind(token.last_used_at.map(|t| t.0))
        .bind(token.revoked_at.map(|t| t.0))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    inserted.map(drop).ok_or(StoreError::NotFound { what: "agent" })
}

/// The token of a hash and its agent, whether or not it is still good.
pub async fn token_by_hash(store: &Store, hash: &str) -> Result<Option<AgentTokenHolder>, StoreError> {
    const TOKEN: &str = concat!("SELECT ", token_columns!(), " FROM agent_tokens WHERE token_hash = $1");
    const AGENT: &str =
        "SELECT g.id, g.account_id, g.name, g.description, g.created_by, g.created_at, g.updated_at,
        a.name AS account_name FROM agents g JOIN accounts a ON a.id = g.account_id WHERE g.id = $1";
    let hash = text("token_hash", hash)?;
    let token: Option<TokenRaw> =
        on_pool!(store.read(), db => sqlx::query_as(TOKEN).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    let Some(token) = token else { return Ok(None) };
    let agent: Option<OwnerRaw> =
        on_pool!(store.read(), db => sqlx::query_as(AGENT).bind(&token.agent_id).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    // Gone between both: so is its token.
    let Some(owner) = agent else { return Ok(None) };
    Ok(Some(AgentTokenHolder {
        token: token.try_into()?,
        agent: owner.agent.try_into()?,
        account_name: parsed("accounts", "name", &owner.account_name)?,
    }))
}

/// An agent's tokens, newest first.
pub async fn tokens(store: &Store, agent: AgentId) -> Result<Vec<AgentTokenRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", token_columns!(), " FROM agent_tokens WHERE agent_id = $1");
    let found: Vec<TokenRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(agent.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<AgentTokenRow>, _>>()?;
    rows.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
    Ok(rows)
}

/// Ends a token of an agent for ever. One that is revoked already keeps its time.
///
/// # Errors
/// [`StoreError::NotFound`] when the agent has no such token.
pub async fn revoke_token(
    tx: &mut Tx,
    agent: AgentId,
    id: AgentTokenId,
    at: Timestamp,
) -> Result<AgentTokenRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_tokens SET revoked_at = coalesce(revoked_at, $3)
        WHERE agent_id = $1 AND id = $2 RETURNING ",
        token_columns!()
    );
    let found: Option<TokenRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(agent.to_string())
        .bind(id.to_string())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "token" })?.try_into()
}

/// Notes that a token was used. Time never goes back; a token that is gone is no error.
pub async fn touch_token(tx: &mut Tx, id: AgentTokenId, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent_tokens SET last_used_at = $2
        WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct TokenRaw {
    id: String,
    agent_id: String,
    name: String,
    prefix: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

#[derive(FromRow)]
struct OwnerRaw {
    #[sqlx(flatten)]
    agent: AgentRaw,
    account_name: String,
}

impl TryFrom<TokenRaw> for AgentTokenRow {
    type Error = StoreError;

    fn try_from(raw: TokenRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            agent: parsed(TABLE, "agent_id", &raw.agent_id)?,
            name: raw.name,
            prefix: raw.prefix,
            created_at: Timestamp(raw.created_at),
            expires_at: raw.expires_at.map(Timestamp),
            last_used_at: raw.last_used_at.map(Timestamp),
            revoked_at: raw.revoked_at.map(Timestamp),
        })
    }
}
