//! Who is in an account.

use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::accounts::{role_of_word, role_word};
use crate::columns::{parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

macro_rules! select {
    () => {
        "SELECT m.user_id, u.name, u.email, m.role, m.created_at
        FROM account_members m JOIN users u ON u.id = m.user_id WHERE m.account_id = $1"
    };
}

/// One member of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The user's id.
    pub user: UserId,
    /// The user's name.
    pub name: String,
    /// The user's e-mail address.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Since when they are in it.
    pub joined_at: Timestamp,
}

/// Everybody in an account, by name.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<MemberRow>, StoreError> {
    const SQL: &str = select!();
    let found: Vec<MemberRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<MemberRow>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// The member of that name.
pub async fn by_name(store: &Store, account: AccountId, name: &str) -> Result<Option<MemberRow>, StoreError> {
    const SQL: &str = concat!(select!(), " AND u.name = $2");
    let name = text("name", name)?;
    let found: Option<MemberRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Makes somebody a member; `false` when they are one already, whose role then stays.
pub async fn join(
    tx: &mut Tx,
    account: AccountId,
    user: UserId,
    role: Role,
    at: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str =
        "INSERT INTO account_members (account_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id, user_id) DO NOTHING RETURNING user_id";
    let made: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(user.to_string())
        .bind(role_word(role))
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(made.is_some())
}

/// Keeps others from changing who is in the account until the transaction ends, and says what `user` is in it now.
///
/// # Errors
/// [`StoreError::NotFound`] when the user is none of it.
pub async fn lock(tx: &mut Tx, account: AccountId, user: UserId) -> Result<Role, StoreError> {
    // On PostgreSQL this holds the row's lock; SQLite has one writer anyway.
    const LOCK: &str = "UPDATE accounts SET name = name WHERE id = $1";
    const SQL: &str = "SELECT role FROM account_members WHERE account_id = $1 AND user_id = $2";
    on_pool!(tx.connection(), db => sqlx::query(LOCK).bind(account.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(user.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    role_of_word(&found.ok_or(StoreError::NotFound { what: "member" })?)
}

/// Whether somebody else than `user` is an owner. Call [`lock`] before.
pub async fn has_other_owner(tx: &mut Tx, account: AccountId, user: UserId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT user_id FROM account_members
        WHERE account_id = $1 AND role = 'owner' AND user_id <> $2 LIMIT 1";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(user.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

/// Ends a membership, and with it its API tokens and all that is the member's own at the account's instances.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn remove(tx: &mut Tx, account: AccountId, user: UserId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM account_members WHERE account_id = $1 AND user_id = $2 RETURNING user_id";
    // These rows have no reference to the membership, since those that all callers share have no user.
    const UPSTREAMS: &str = "DELETE FROM upstream_tokens WHERE user_id = $2
        AND instance_id IN (SELECT id FROM account_tool_instances WHERE account_id = $1)";
    on_pool!(tx.connection(), db => sqlx::query(UPSTREAMS)
        .bind(account.to_string())
        .bind(user.to_string())
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)?;
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(user.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(drop).ok_or(StoreError::NotFound { what: "member" })
}

#[derive(FromRow)]
struct MemberRaw {
    user_id: String,
    name: String,
    email: Option<String>,
    role: String,
    created_at: i64,
}

impl TryFrom<MemberRaw> for MemberRow {
    type Error = StoreError;

    fn try_from(raw: MemberRaw) -> Result<Self, StoreError> {
        Ok(Self {
            user: parsed("account_members", "user_id", &raw.user_id)?,
            name: raw.name,
            email: raw.email,
            role: role_of_word(&raw.role)?,
            joined_at: Timestamp(raw.created_at),
        })
    }
}
