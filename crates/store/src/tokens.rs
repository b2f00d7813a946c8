//! API tokens: their hashes, whom they speak for, and when they end. The tokens themselves are never here.

use api::users::Role;
use domain::ids::{AccountId, TokenId, UserId};
use domain::names::AccountName;
use domain::scopes::Scopes;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::accounts::role_of_word;
use crate::columns::{json, parsed, text, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

macro_rules! columns {
    () => {
        "id, account_id, user_id, name, prefix, scopes_json, created_at, expires_at, last_used_at, revoked_at"
    };
}

/// One API token (`api_tokens`), without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// The account it opens.
    pub account: AccountId,
    /// The user it speaks for, a member of the account.
    pub user: UserId,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// What it is for; absent: everything that its user may.
    pub scopes: Option<Scopes>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token with whom it speaks for. An expired or revoked one is found too, so that the caller can say which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    /// The token.
    pub token: TokenRow,
    /// The user's name.
    pub user_name: String,
    /// The account's name.
    pub account_name: AccountName,
    /// What the user may do in the account.
    pub role: Role,
}

/// Keeps a new token. `hash` is the SHA-256 of the token in hexadecimal.
///
/// # Errors
/// [`StoreError::Invalid`]; [`StoreError::NotFound`] when the user is no member of the account.
pub async fn insert(tx: &mut Tx, token: &TokenRow, hash: &str) -> Result<(), StoreError> {
    // Selected from the membership, so that a user who is none gives no row rather than a broken reference.
    const SQL: &str = "INSERT INTO api_tokens
        (id, account_id, user_id, name, prefix, token_hash, created_at, expires_at, last_used_at, revoked_at,
         scopes_json)
        SELECT $1, account_id, user_id, $4, $5, $6, $7, $8, $9, $10, $11 FROM account_members
        WHERE account_id = $2 AND user_id = $3 RETURNING id";
    let scopes = token.scopes.as_ref().map(|scopes| to_json("scopes", scopes)).transpose()?;
    let (name, prefix, hash) =
        (text("name", &token.name)?, text("prefix", &token.prefix)?, text("token_hash", hash)?);
    let inserted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(token.id.to_string())
        .bind(token.account.to_string())
        .bind(token.user.to_string())
        .bind(name)
        .bind(prefix)
        .bind(hash)
        .bind(token.created_at.0)
        .bind(token.expires_at.map(|t| t.0))
        .bind(token.last_used_at.map(|t| t.0))
        .bind(token.revoked_at.map(|t| t.0))
        .bind(scopes)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    inserted.map(drop).ok_or(StoreError::NotFound { what: "member of the account" })
}

/// The token of a hash, and whom it speaks for, whether or not it is still good.
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<TokenHolder>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        ", user_name, account_name, role FROM api_tokens
        JOIN (SELECT m.account_id AS of_account, m.user_id AS of_user, m.role, u.name AS user_name,
                a.name AS account_name
            FROM account_members m JOIN users u ON u.id = m.user_id JOIN accounts a ON a.id = m.account_id) holders
        ON of_account = account_id AND of_user = user_id WHERE token_hash = $1"
    );
    let hash = text("token_hash", hash)?;
    let found: Option<HolderRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// An account's tokens, newest first: all of them, or one user's.
pub async fn list(
    store: &Store,
    account: AccountId,
    user: Option<UserId>,
) -> Result<Vec<TokenRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM api_tokens WHERE account_id = $1");
    let found: Vec<TokenRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<TokenRow>, _>>()?;
    rows.retain(|row| user.is_none_or(|user| row.user == user));
    rows.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
    Ok(rows)
}

/// One token of an account.
pub async fn by_id(store: &Store, account: AccountId, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM api_tokens WHERE account_id = $1 AND id = $2");
    let found: Option<TokenRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Ends a token of the account for ever. One that is revoked already keeps its time.
///
/// # Errors
/// [`StoreError::NotFound`] when the account has no such token.
pub async fn revoke(
    tx: &mut Tx,
    account: AccountId,
    id: TokenId,
    at: Timestamp,
) -> Result<TokenRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, $3)
        WHERE account_id = $1 AND id = $2 RETURNING ",
        columns!()
    );
    let found: Option<TokenRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "token" })?.try_into()
}

/// Notes that a token was used. Time never goes back; a token that is gone is no error.
pub async fn touch_last_used(tx: &mut Tx, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct TokenRaw {
    id: String,
    account_id: String,
    user_id: String,
    name: String,
    prefix: String,
    scopes_json: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<TokenRaw> for TokenRow {
    type Error = StoreError;

    fn try_from(raw: TokenRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed("api_tokens", "id", &raw.id)?,
            account: parsed("api_tokens", "account_id", &raw.account_id)?,
            user: parsed("api_tokens", "user_id", &raw.user_id)?,
            name: raw.name,
            prefix: raw.prefix,
            scopes: raw
                .scopes_json
                .as_deref()
                .map(|text| json("api_tokens", "scopes_json", text))
                .transpose()?,
            created_at: Timestamp(raw.created_at),
            expires_at: raw.expires_at.map(Timestamp),
            last_used_at: raw.last_used_at.map(Timestamp),
            revoked_at: raw.revoked_at.map(Timestamp),
        })
    }
}

#[derive(FromRow)]
struct HolderRaw {
    #[sqlx(flatten)]
    token: TokenRaw,
    user_name: String,
    account_name: String,
    role: String,
}

impl TryFrom<HolderRaw> for TokenHolder {
    type Error = StoreError;

    fn try_from(raw: HolderRaw) -> Result<Self, StoreError> {
        Ok(Self {
            token: raw.token.try_into()?,
            user_name: raw.user_name,
            account_name: parsed("accounts", "name", &raw.account_name)?,
            role: role_of_word(&raw.role)?,
        })
    }
}
