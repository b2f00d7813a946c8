//! Accounts, users, and who may do what in which account.

use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::names::AccountName;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{parsed, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

/// A tenant (`accounts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// Its name, unique everywhere.
    pub name: AccountName,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A person (`users`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Its id.
    pub id: UserId,
    /// Its name, unique everywhere.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Makes an account and its owner, who must be new too.
///
/// # Errors
/// [`StoreError::Taken`] with field `name` when either name is taken.
pub async fn create_account(tx: &mut Tx, account: &AccountRow, owner: &UserRow) -> Result<(), StoreError> {
    insert(tx, account).await?;
    create_user(tx, owner).await?;
    add_member(tx, account.id, owner.id, Role::Owner, account.created_at).await
}

/// Makes an account that nobody is in yet.
///
/// # Errors
/// [`StoreError::Taken`] with field `name`.
pub async fn insert(tx: &mut Tx, account: &AccountRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, $3)";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(account.id.to_string())
        .bind(account.name.as_str())
        .bind(account.created_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("name", account.name.as_str())]))
}

/// Makes a user, who is a member of nothing yet.
///
/// # Errors
/// [`StoreError::Taken`] with field `name`; [`StoreError::Invalid`].
pub async fn create_user(tx: &mut Tx, user: &UserRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3)";
    let name = text("name", &user.name)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(user.id.to_string())
        .bind(name)
        .bind(user.created_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("name", name)]))
}

/// Makes a user a member of an account, or changes what a member may do.
pub async fn add_member(
    tx: &mut Tx,
    account: AccountId,
    user: UserId,
    role: Role,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO account_members (account_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id, user_id) DO UPDATE SET role = excluded.role";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(account.to_string())
        .bind(user.to_string())
        .bind(role_word(role))
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The account of a name.
pub async fn account_by_name(store: &Store, name: &AccountName) -> Result<Option<AccountRow>, StoreError> {
    const SQL: &str = "SELECT id, name, created_at FROM accounts WHERE name = $1";
    let found: Option<NamedRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(name.as_str()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(NamedRaw::into_account).transpose()
}

/// The account of an id.
pub async fn account_by_id(store: &Store, id: AccountId) -> Result<Option<AccountRow>, StoreError> {
    const SQL: &str = "SELECT id, name, created_at FROM accounts WHERE id = $1";
    let found: Option<NamedRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(NamedRaw::into_account).transpose()
}

/// Every account, by name.
pub async fn list_accounts(store: &Store) -> Result<Vec<AccountRow>, StoreError> {
    const SQL: &str = "SELECT id, name, created_at FROM accounts";
    let found: Vec<NamedRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(NamedRaw::into_account).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// The user of a name.
pub async fn user_by_name(store: &Store, name: &str) -> Result<Option<UserRow>, StoreError> {
    const SQL: &str = "SELECT id, name, created_at FROM users WHERE name = $1";
    let name = text("name", name)?;
    let found: Option<NamedRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(name).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(NamedRaw::into_user).transpose()
}

/// What a user may do in an account; `None` when it is no member.
pub async fn role_of(store: &Store, account: AccountId, user: UserId) -> Result<Option<Role>, StoreError> {
    const SQL: &str = "SELECT role FROM account_members WHERE account_id = $1 AND user_id = $2";
    let found: Option<String> = on_pool!(store.read(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(user.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(|role| role_of_word(&role)).transpose()
}

/// Who may do what in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The account.
    pub account: AccountId,
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub user_name: String,
    /// What they may do in it.
    pub role: Role,
}

/// The members of every account: for the control plane's own work.
pub async fn list_all_members(store: &Store) -> Result<Vec<MemberRow>, StoreError> {
    const SQL: &str = "SELECT m.account_id, m.user_id, m.role, u.name AS user_name
        FROM account_members m JOIN users u ON u.id = m.user_id";
    let found: Vec<MemberRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

#[derive(FromRow)]
struct MemberRaw {
    account_id: String,
    user_id: String,
    role: String,
    user_name: String,
}

impl TryFrom<MemberRaw> for MemberRow {
    type Error = StoreError;

    fn try_from(raw: MemberRaw) -> Result<Self, StoreError> {
        Ok(Self {
            account: parsed("account_members", "account_id", &raw.account_id)?,
            user: parsed("account_members", "user_id", &raw.user_id)?,
            user_name: raw.user_name,
            role: role_of_word(&raw.role)?,
        })
    }
}

#[derive(FromRow)]
struct NamedRaw {
    id: String,
    name: String,
    created_at: i64,
}

impl NamedRaw {
    fn into_account(self) -> Result<AccountRow, StoreError> {
        Ok(AccountRow {
            id: parsed("accounts", "id", &self.id)?,
            name: parsed("accounts", "name", &self.name)?,
            created_at: Timestamp(self.created_at),
        })
    }

    fn into_user(self) -> Result<UserRow, StoreError> {
        Ok(UserRow {
            id: parsed("users", "id", &self.id)?,
            name: self.name,
            created_at: Timestamp(self.created_at),
        })
    }
}

pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// The role of a word of `account_members.role`.
pub(crate) fn role_of_word(text: &str) -> Result<Role, StoreError> {
    let found =
        [Role::Viewer, Role::Member, Role::Admin, Role::Owner].into_iter().find(|r| role_word(*r) == text);
    word("account_members", "role", text, found)
}
