//! MCP clients.

use domain::ids::{AccountId, UserId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{optional_text, parsed, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "oauth_clients";

macro_rules! columns {
    () => {
        "id, kind, account_id, user_id, metadata_json, secret_hash, created_at, fresh_until, last_used_at"
    };
}

/// How a client became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// A person of an account registered it.
    Registered,
    /// It registered itself (RFC 7591).
    Dynamic,
    /// Its id is the URL of a document about it.
    Document,
}

impl ClientKind {
    const ALL: [Self; 3] = [Self::Registered, Self::Dynamic, Self::Document];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Dynamic => "dynamic",
            Self::Document => "document",
        }
    }
}

/// One client (`oauth_clients`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    /// Its id, as it writes it.
    pub id: String,
    /// How it became known.
    pub kind: ClientKind,
    /// Who registered it, of a registered one.
    pub owner: Option<(AccountId, UserId)>,
    /// What it says of itself, as JSON.
    pub metadata_json: String,
    /// The SHA-256 of its secret in hexadecimal; absent: it has none.
    pub secret_hash: Option<String>,
    /// When it became known.
    pub created_at: Timestamp,
    /// How long its document need not be fetched again.
    pub fresh_until: Option<Timestamp>,
    /// When it last began or ended a sign-in.
    pub last_used_at: Option<Timestamp>,
}

/// Keeps a client, in the place of the one of the same id.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn put(tx: &mut Tx, client: &ClientRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO oauth_clients
        (id, kind, account_id, user_id, metadata_json, secret_hash, created_at, fresh_until, last_used_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (id) DO UPDATE SET metadata_json = excluded.metadata_json, fresh_until = excluded.fresh_until";
    let (id, metadata, secret) = (
        text("client_id", &client.id)?,
        text("metadata", &client.metadata_json)?,
        optional_text("secret_hash", client.secret_hash.as_deref())?,
    );
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id)
        .bind(client.kind.word())
        .bind(client.owner.map(|(account, _)| account.to_string()))
        .bind(client.owner.map(|(_, user)| user.to_string()))
        .bind(metadata)
        .bind(secret)
        .bind(client.created_at.0)
        .bind(client.fresh_until.map(|at| at.0))
        .bind(client.last_used_at.map(|at| at.0))
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The client of an id.
pub async fn by_id(store: &Store, id: &str) -> Result<Option<ClientRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM oauth_clients WHERE id = $1");
    // An id that cannot be stored is nobody's.
    let Ok(id) = text("client_id", id) else { return Ok(None) };
    let found: Option<ClientRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(id).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// The clients that people of an account registered, newest first.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<ClientRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM oauth_clients WHERE account_id = $1");
    let found: Vec<ClientRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<ClientRow>, _>>()?;
    rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(rows)
}

/// How many clients registered themselves and were not used yet.
pub async fn count_unused(store: &Store) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM oauth_clients WHERE kind = 'dynamic' AND last_used_at IS NULL";
    on_pool!(store.read(), db => sqlx::query_scalar(SQL).fetch_one(db).await).map_err(StoreError::from_driver)
}

/// Notes that a client was used.
pub async fn touch(tx: &mut Tx, id: &str, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE oauth_clients SET last_used_at = $2 WHERE id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(id).bind(at.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// Forgets a client that the account registered.
///
/// # Errors
/// [`StoreError::NotFound`] when the account has no such client.
pub async fn delete(tx: &mut Tx, account: AccountId, id: &str) -> Result<ClientRow, StoreError> {
    const SQL: &str =
        concat!("DELETE FROM oauth_clients WHERE account_id = $1 AND id = $2 RETURNING ", columns!());
    let id = text("client_id", id)?;
    let found: Option<ClientRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "client" })?.try_into()
}

#[derive(FromRow)]
struct ClientRaw {
    id: String,
    kind: String,
    account_id: Option<String>,
    user_id: Option<String>,
    metadata_json: String,
    secret_hash: Option<String>,
    created_at: i64,
    fresh_until: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<ClientRaw> for ClientRow {
    type Error = StoreError;

    fn try_from(raw: ClientRaw) -> Result<Self, StoreError> {
        let kind = ClientKind::ALL.into_iter().find(|kind| kind.word() == raw.kind);
        let owner = match (&raw.account_id, &raw.user_id) {
            (Some(account), Some(user)) => {
                Some((parsed(TABLE, "account_id", account)?, parsed(TABLE, "user_id", user)?))
            }
            _ => None,
        };
        Ok(Self {
            kind: word(TABLE, "kind", &raw.kind, kind)?,
            id: raw.id,
            owner,
            metadata_json: raw.metadata_json,
            secret_hash: raw.secret_hash,
            created_at: Timestamp(raw.created_at),
            fresh_until: raw.fresh_until.map(Timestamp),
            last_used_at: raw.last_used_at.map(Timestamp),
        })
    }
}
