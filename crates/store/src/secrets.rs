//! An account's secrets, sealed, and which instances use them. Every function that acts on what a caller named takes the caller's account
//! and finds nothing of another's.

use domain::ids::{AccountId, InstanceId, SecretId, SecretVersionId};
use domain::names::InstanceName;
use domain::time::Timestamp;
use domain::vault::SecretName;
use sqlx::FromRow;

use crate::columns::{count, parsed, text, to_bigint};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "secrets";
const VERSIONS: &str = "secret_versions";
const USES: &str = "secret_uses";

/// One secret (`secrets`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// Its id.
    pub id: SecretId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: SecretName,
    /// The newest version.
    pub version: u64,
    /// When it was first given.
    pub created_at: Timestamp,
    /// When the newest version was given.
    pub updated_at: Timestamp,
}

/// One version of a secret (`secret_versions`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its id, for which the value is sealed.
    pub id: SecretVersionId,
    /// Of which secret.
    pub secret: SecretId,
    /// Its number.
    pub version: u64,
    /// The value, sealed; absent once nobody can use it.
    pub value_sealed: Option<String>,
    /// By whom it was given.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// That an instance uses a secret (`secret_uses`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseRow {
    /// Which secret.
    pub secret: SecretId,
    /// Which instance.
    pub instance: InstanceId,
    /// Its name.
    pub instance_name: InstanceName,
    /// As which variable.
    pub variable: String,
    /// The version that its host was told last.
    pub version: Option<u64>,
}

/// What an instance is to be told of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// As which variable.
    pub variable: String,
    /// The version's id, for which the value is sealed.
    pub id: SecretVersionId,
    /// Its number.
    pub version: u64,
    /// The value, sealed.
    pub value_sealed: String,
}

/// Makes room for the next version of an account's secret, which is made when it is not there: the row as it is from now on.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such account.
pub async fn advance(
    tx: &mut Tx,
    account: AccountId,
    name: &SecretName,
    at: Timestamp,
) -> Result<SecretRow, StoreError> {
    // Selected from the account, so that one that is gone gives no row rather than a broken reference.
    const SQL: &str = "INSERT INTO secrets (id, account_id, name, version, created_at, updated_at)
        SELECT $1, id, $3, 1, $4, $4 FROM accounts WHERE id = $2
        ON CONFLICT (account_id, name) DO UPDATE SET version = secrets.version + 1, updated_at = excluded.updated_at
        RETURNING id, account_id, name, version, created_at, updated_at";
    let kept: Option<SecretRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(SecretId::generate().to_string())
        .bind(account.to_string())
        .bind(name.as_str())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    kept.ok_or(StoreError::NotFound { what: "account" })?.try_into()
}

/// Keeps a version, and forgets the values that nobody can use any more.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn add_version(tx: &mut Tx, row: &VersionRow) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO secret_versions (id, secret_id, version, value_sealed, created_by, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let (version, by) = (to_bigint("version", row.version)?, text("created_by", &row.created_by)?);
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.secret.to_string())
        .bind(version)
        .bind(row.value_sealed.as_deref())
        .bind(by)
        .bind(row.created_at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)?;
    forget_values(tx, row.secret).await
}

/// Forgets what is neither the newest version of a secret nor one that a host was told last.
async fn forget_values(tx: &mut Tx, secret: SecretId) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE secret_versions SET value_sealed = NULL
        WHERE secret_id = $1 AND value_sealed IS NOT NULL
            AND version < (SELECT version FROM secrets WHERE id = $1)
            AND NOT EXISTS (SELECT 1 FROM secret_uses u WHERE u.secret_id = $1 AND u.version = secret_versions.version)";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(secret.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// An account's secrets, by name.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<SecretRow>, StoreError> {
    const SQL: &str =
        "SELECT id, account_id, name, version, created_at, updated_at FROM secrets WHERE account_id = $1";
    let found: Vec<SecretRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<SecretRow>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// The versions of all secrets of an account, newest first, each with the name of the user who gave it.
pub async fn versions(
    store: &Store,
    account: AccountId,
) -> Result<Vec<(VersionRow, Option<String>)>, StoreError> {
    const SQL: &str =
        "SELECT v.id, secret_id, v.version, value_sealed, created_by, v.created_at, u.name AS by_name
        FROM secret_versions v JOIN secrets s ON s.id = secret_id
            LEFT JOIN users u ON created_by = 'user:' || u.id
        WHERE s.account_id = $1 ORDER BY v.version DESC";
    let found: Vec<ListedRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(|raw| Ok((raw.version.try_into()?, raw.by_name))).collect()
}

/// Who uses an account's secrets, by name.
pub async fn uses(store: &Store, account: AccountId) -> Result<Vec<UseRow>, StoreError> {
    const SQL: &str = "SELECT secret_id, instance_id, i.name AS instance_name, variable, u.version
        FROM secret_uses u JOIN account_tool_instances i ON i.id = instance_id WHERE i.account_id = $1";
    let found: Vec<UseRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<UseRow>, _>>()?;
    rows.sort_by(|a, b| (&a.instance_name, &a.variable).cmp(&(&b.instance_name, &b.variable)));
    Ok(rows)
}

/// The newest version of an account's secret of a name.
pub async fn newest(
    store: &Store,
    account: AccountId,
    name: &SecretName,
) -> Result<Option<VersionRow>, StoreError> {
    const SQL: &str = "SELECT v.id, secret_id, v.version, value_sealed, created_by, v.created_at
        FROM secret_versions v JOIN secrets s ON s.id = secret_id AND s.version = v.version
        WHERE s.account_id = $1 AND s.name = $2";
    let found: Option<VersionRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Notes that an instance uses a secret of its account.
///
/// # Errors
/// [`StoreError::NotFound`] when its account has none of that name.
pub async fn add_use(
    tx: &mut Tx,
    instance: InstanceId,
    variable: &str,
    name: &SecretName,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO secret_uses (instance_id, variable, secret_id)
        SELECT i.id, $2, s.id FROM account_tool_instances i JOIN secrets s ON s.account_id = i.account_id
        WHERE i.id = $1 AND s.name = $3 RETURNING secret_id";
    let variable = text("variable", variable)?;
    let noted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(instance.to_string())
        .bind(variable)
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    noted.map(drop).ok_or(StoreError::NotFound { what: "secret" })
}

/// Forgets which secrets of its account an instance uses.
pub async fn forget_uses(tx: &mut Tx, instance: InstanceId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM secret_uses WHERE instance_id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(instance.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// What an instance is to be told: the newest version of each secret that it uses.
pub async fn handed(store: &Store, instance: InstanceId) -> Result<Vec<Handed>, StoreError> {
    const SQL: &str = "SELECT variable, v.id, v.version, value_sealed FROM secret_uses u
        JOIN secrets s ON s.id = u.secret_id
        JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.version
        WHERE instance_id = $1 AND value_sealed IS NOT NULL";
    let found: Vec<HandedRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(instance.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Every value that an instance may have now: of all versions that are kept of the secrets that it uses.
pub async fn known_to(
    store: &Store,
    instance: InstanceId,
) -> Result<Vec<(SecretVersionId, String)>, StoreError> {
    const SQL: &str = "SELECT DISTINCT v.id, value_sealed FROM secret_uses u
        JOIN secret_versions v ON v.secret_id = u.secret_id WHERE instance_id = $1 AND value_sealed IS NOT NULL";
    let found: Vec<(String, String)> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(instance.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(|(id, sealed)| Ok((parsed(VERSIONS, "id", &id)?, sealed))).collect()
}

/// Notes which version the host of an instance was told, and forgets the values that nobody can use any more.
pub async fn note_told(tx: &mut Tx, instance: InstanceId, told: &[Handed]) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE secret_uses SET version = $3 WHERE instance_id = $1 AND variable = $2
        AND (version IS NULL OR version <> $3) RETURNING secret_id";
    for one in told {
        let version = to_bigint("version", one.version)?;
        let secret: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
            .bind(instance.to_string())
            .bind(one.variable.as_str())
            .bind(version)
            .fetch_optional(db).await)
        .map_err(StoreError::from_driver)?;
        if let Some(secret) = secret {
            forget_values(tx, parsed(USES, "secret_id", &secret)?).await?;
        }
    }
    Ok(())
}

/// Removes an account's secret that no instance uses.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none, or one uses it.
pub async fn remove(tx: &mut Tx, account: AccountId, name: &SecretName) -> Result<SecretId, StoreError> {
    const SQL: &str = "DELETE FROM secrets WHERE account_id = $1 AND name = $2
        AND NOT EXISTS (SELECT 1 FROM secret_uses WHERE secret_id = secrets.id) RETURNING id";
    let gone: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    parsed(TABLE, "id", &gone.ok_or(StoreError::NotFound { what: "secret that nobody uses" })?)
}

#[derive(FromRow)]
struct SecretRaw {
    id: String,
    account_id: String,
    name: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<SecretRaw> for SecretRow {
    type Error = StoreError;

    fn try_from(raw: SecretRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            name: parsed(TABLE, "name", &raw.name)?,
            version: count(TABLE, "version", raw.version)?,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}

#[derive(FromRow)]
struct ListedRaw {
    #[sqlx(flatten)]
    version: VersionRaw,
    by_name: Option<String>,
}

#[derive(FromRow)]
struct VersionRaw {
    id: String,
    secret_id: String,
    version: i64,
    value_sealed: Option<String>,
    created_by: String,
    created_at: i64,
}

impl TryFrom<VersionRaw> for VersionRow {
    type Error = StoreError;

    fn try_from(raw: VersionRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(VERSIONS, "id", &raw.id)?,
            secret: parsed(VERSIONS, "secret_id", &raw.secret_id)?,
            version: count(VERSIONS, "version", raw.version)?,
            value_sealed: raw.value_sealed,
            created_by: raw.created_by,
            created_at: Timestamp(raw.created_at),
        })
    }
}

#[derive(FromRow)]
struct UseRaw {
    secret_id: String,
    instance_id: String,
    instance_name: String,
    variable: String,
    version: Option<i64>,
}

impl TryFrom<UseRaw> for UseRow {
    type Error = StoreError;

    fn try_from(raw: UseRaw) -> Result<Self, StoreError> {
        Ok(Self {
            secret: parsed(USES, "secret_id", &raw.secret_id)?,
            instance: parsed(USES, "instance_id", &raw.instance_id)?,
            instance_name: parsed("account_tool_instances", "name", &raw.instance_name)?,
            variable: raw.variable,
            version: raw.version.map(|version| count(USES, "version", version)).transpose()?,
        })
    }
}

#[derive(FromRow)]
struct HandedRaw {
    variable: String,
    id: String,
    version: i64,
    value_sealed: String,
}

impl TryFrom<HandedRaw> for Handed {
    type Error = StoreError;

    fn try_from(raw: HandedRaw) -> Result<Self, StoreError> {
        Ok(Self {
            variable: raw.variable,
            id: parsed(VERSIONS, "id", &raw.id)?,
            version: count(VERSIONS, "version", raw.version)?,
            value_sealed: raw.value_sealed,
        })
    }
}
