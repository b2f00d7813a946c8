//! What opens registries of container images. Every function takes the account and finds nothing of another's.

use std::collections::HashMap;

use domain::ids::{AccountId, InstanceId, RegistryLoginId};
use domain::registry::RegistryHost;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{parsed, text};
use crate::errors::breaks_reference;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "registry_logins";
const HANDOVERS: &str = "registry_handovers";

macro_rules! columns {
    () => {
        "id, account_id, host, username, password_sealed, updated_at"
    };
}

/// One login (`registry_logins`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryRow {
    /// Its id, another one with every password.
    pub id: RegistryLoginId,
    /// Whose it is.
    pub account: AccountId,
    /// The registry, unique in the account.
    pub host: RegistryHost,
    /// The user at the registry.
    pub username: String,
    /// Their password, sealed for the row's id.
    pub password_sealed: String,
    /// When it was given.
    pub updated_at: Timestamp,
}

/// Keeps a login in the place of the account's one for the same registry.
///
/// # Errors
/// [`StoreError::Invalid`]; [`StoreError::NotFound`] when there is no such account.
pub async fn put(tx: &mut Tx, row: &RegistryRow) -> Result<(), StoreError> {
    // Selected from the account, so that one that is gone gives no row rather than a broken reference.
    const SQL: &str =
        "INSERT INTO registry_logins (id, account_id, host, username, password_sealed, updated_at)
        SELECT $1, id, $3, $4, $5, $6 FROM accounts WHERE id = $2
        ON CONFLICT (account_id, host) DO UPDATE SET
            id = excluded.id, username = excluded.username, password_sealed = excluded.password_sealed,
            updated_at = excluded.updated_at
        RETURNING id";
    let (host, username, sealed) = (
        text("host", row.host.as_str())?,
        text("username", &row.username)?,
        text("password_sealed", &row.password_sealed)?,
    );
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(host)
        .bind(username)
        .bind(sealed)
        .bind(row.updated_at.0)
        .fetch_optional(db).await)
    .map_err(|error| {
        if breaks_reference(&error, "registry_logins_account_id_fkey") {
            return StoreError::NotFound { what: "account" };
        }
        StoreError::from_driver(error)
    })?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "account" })
}

/// An account's logins, by host.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<RegistryRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM registry_logins WHERE account_id = $1");
    let found: Vec<RegistryRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<RegistryRow>, _>>()?;
    rows.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(rows)
}

/// Every account's logins: for the control plane's own work.
pub async fn list_all(store: &Store) -> Result<Vec<RegistryRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM registry_logins");
    let found: Vec<RegistryRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Which login the host of each instance was last told; those that were told of none are not in it.
pub async fn handed_over(store: &Store) -> Result<HashMap<InstanceId, RegistryLoginId>, StoreError> {
    const SQL: &str = "SELECT instance_id, login_id FROM registry_handovers";
    let found: Vec<(String, String)> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let row = |(instance, login): &(String, String)| {
        Ok((parsed(HANDOVERS, "instance_id", instance)?, parsed(HANDOVERS, "login_id", login)?))
    };
    found.iter().map(row).collect()
}

/// Notes which login the host of an instance was told, or that it was told of none. Of an instance that is gone nothing is
/// noted.
pub async fn hand_over(
    tx: &mut Tx,
    instance: InstanceId,
    login: Option<RegistryLoginId>,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO registry_handovers (instance_id, login_id)
        SELECT id, $2 FROM account_tool_instances WHERE id = $1
        ON CONFLICT (instance_id) DO UPDATE SET login_id = excluded.login_id";
    const NONE: &str = "DELETE FROM registry_handovers WHERE instance_id = $1";
    let done = match login {
        Some(login) => on_pool!(tx.connection(), db => sqlx::query(SQL)
            .bind(instance.to_string())
            .bind(login.to_string())
            .execute(db).await.map(drop)),
        None => on_pool!(tx.connection(), db => sqlx::query(NONE)
            .bind(instance.to_string())
            .execute(db).await.map(drop)),
    };
    done.map_err(StoreError::from_driver)
}

/// An account's login for one registry.
pub async fn by_host(
    store: &Store,
    account: AccountId,
    host: &RegistryHost,
) -> Result<Option<RegistryRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM registry_logins WHERE account_id = $1 AND host = $2");
    let found: Option<RegistryRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(host.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Forgets an account's login for one registry; its id.
///
/// # Errors
/// [`StoreError::NotFound`] when the account has none.
pub async fn delete(
    tx: &mut Tx,
    account: AccountId,
    host: &RegistryHost,
) -> Result<RegistryLoginId, StoreError> {
    const SQL: &str = "DELETE FROM registry_logins WHERE account_id = $1 AND host = $2 RETURNING id";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(host.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    parsed(TABLE, "id", &found.ok_or(StoreError::NotFound { what: "registry" })?)
}

#[derive(FromRow)]
struct RegistryRaw {
    id: String,
    account_id: String,
    host: String,
    username: String,
    password_sealed: String,
    updated_at: i64,
}

impl TryFrom<RegistryRaw> for RegistryRow {
    type Error = StoreError;

    fn try_from(raw: RegistryRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            host: parsed(TABLE, "host", &raw.host)?,
            username: raw.username,
            password_sealed: raw.password_sealed,
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
