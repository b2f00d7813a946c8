//! People who sign in: what a user has beside a name, and the accounts they are in.

use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::names::AccountName;
use domain::secret::Secret;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::accounts::role_of_word;
use crate::columns::{optional_text, parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

macro_rules! columns {
    () => {
        "id, name, email, password_hash, is_operator, created_at"
    };
}

/// A person (`users`), with what signs them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Its id.
    pub id: UserId,
    /// Its name, unique everywhere.
    pub name: String,
    /// An e-mail address in lower case, unique everywhere.
    pub email: Option<String>,
    /// A PHC string; absent: no password opens anything.
    pub password_hash: Option<Secret>,
    /// Whether they look after the installation.
    pub is_operator: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One account of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The account's id.
    pub account: AccountId,
    /// Its name.
    pub account_name: AccountName,
    /// What the user may do in it.
    pub role: Role,
}

/// Makes a person, who is a member of nothing yet.
///
/// # Errors
/// [`StoreError::Taken`] with field `name` or `email`; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, person: &PersonRow) -> Result<(), StoreError> {
    const SQL: &str = concat!("INSERT INTO users (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
    let (name, email) = (text("name", &person.name)?, optional_text("email", person.email.as_deref())?);
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(person.id.to_string())
        .bind(name)
        .bind(email)
        .bind(person.password_hash.as_ref().map(Secret::expose))
        .bind(person.is_operator)
        .bind(person.created_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("name", name), ("email", email.unwrap_or_default())]))
}

/// The person of an id.
pub async fn by_id(store: &Store, id: UserId) -> Result<Option<PersonRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM users WHERE id = $1");
    one(store, SQL, &id.to_string()).await
}

/// The person of a name.
pub async fn by_name(store: &Store, name: &str) -> Result<Option<PersonRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM users WHERE name = $1");
    one(store, SQL, text("name", name)?).await
}

/// The person of an e-mail address, which is in lower case.
pub async fn by_email(store: &Store, email: &str) -> Result<Option<PersonRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM users WHERE email = $1");
    one(store, SQL, text("email", email)?).await
}

async fn one(store: &Store, sql: &'static str, key: &str) -> Result<Option<PersonRow>, StoreError> {
    let found: Option<PersonRaw> =
        on_pool!(store.read(), db => sqlx::query_as(sql).bind(key).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Everybody who looks after the installation, the first of them first.
pub async fn operators(store: &Store) -> Result<Vec<PersonRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM users WHERE is_operator");
    let found: Vec<PersonRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<PersonRow>, _>>()?;
    rows.sort_by_key(|row| (row.created_at, row.id));
    Ok(rows)
}

/// Everybody, in no order: for the control plane's own work.
pub async fn all(store: &Store) -> Result<Vec<PersonRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM users");
    let found: Vec<PersonRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Gives somebody a password: `hash` is its PHC string.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn set_password(tx: &mut Tx, user: UserId, hash: &Secret) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING id";
    let hash = text("password", hash.expose())?;
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(user.to_string())
        .bind(hash)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(drop).ok_or(StoreError::NotFound { what: "user" })
}

/// Lets somebody look after the installation, or not any more.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn set_operator(tx: &mut Tx, user: UserId, is_operator: bool) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE users SET is_operator = $2 WHERE id = $1 RETURNING id";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(user.to_string())
        .bind(is_operator)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(drop).ok_or(StoreError::NotFound { what: "user" })
}

/// The accounts that somebody is in, by name.
pub async fn memberships(store: &Store, user: UserId) -> Result<Vec<Membership>, StoreError> {
    const SQL: &str =
        "SELECT a.id, a.name, m.role FROM account_members m JOIN accounts a ON a.id = m.account_id
        WHERE m.user_id = $1";
    let found: Vec<(String, String, String)> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(user.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let of = |(id, name, role): (String, String, String)| {
        Ok(Membership {
            account: parsed("accounts", "id", &id)?,
            account_name: parsed("accounts", "name", &name)?,
            role: role_of_word(&role)?,
        })
    };
    let mut rows = found.into_iter().map(of).collect::<Result<Vec<_>, StoreError>>()?;
    rows.sort_by(|a, b| a.account_name.cmp(&b.account_name));
    Ok(rows)
}

/// The ids of the accounts that somebody is in, as of the transaction.
pub async fn accounts_of(tx: &mut Tx, user: UserId) -> Result<Vec<AccountId>, StoreError> {
    const SQL: &str = "SELECT account_id FROM account_members WHERE user_id = $1";
    let found: Vec<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(user.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.iter().map(|id| parsed("account_members", "account_id", id)).collect()
}

#[derive(FromRow)]
struct PersonRaw {
    id: String,
    name: String,
    email: Option<String>,
    password_hash: Option<String>,
    is_operator: bool,
    created_at: i64,
}

impl TryFrom<PersonRaw> for PersonRow {
    type Error = StoreError;

    fn try_from(raw: PersonRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed("users", "id", &raw.id)?,
            name: raw.name,
            email: raw.email,
            password_hash: raw.password_hash.map(Secret::new),
            is_operator: raw.is_operator,
            created_at: Timestamp(raw.created_at),
        })
    }
}
