//! Devices that wait for a person to type their code (RFC 8628).

use domain::ids::GrantId;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{optional_text, parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

macro_rules! columns {
    () => {
        "user_code, client_id, resource, scope, expires_at, polled_at, refused, grant_id"
    };
}

/// One device (`oauth_devices`), without the code that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// What a person types.
    pub user_code: String,
    /// Which client it is.
    pub client_id: String,
    /// The resource that it asked for, when it said so.
    pub resource: Option<String>,
    /// The scopes that it asked for, as it wrote them.
    pub scope: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it last asked.
    pub polled_at: Option<Timestamp>,
    /// Whether a person refused.
    pub is_refused: bool,
    /// What a person allowed.
    pub grant: Option<GrantId>,
}

/// Keeps a new device.
///
/// # Errors
/// [`StoreError::Taken`] with field `user_code`.
pub async fn insert(tx: &mut Tx, device: &DeviceRow, hash: &str, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO oauth_devices (device_hash, user_code, client_id, resource, scope, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (client, resource, scope) = (
        text("client_id", &device.client_id)?,
        optional_text("resource", device.resource.as_deref())?,
        optional_text("scope", device.scope.as_deref())?,
    );
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(hash)
        .bind(device.user_code.as_str())
        .bind(client)
        .bind(resource)
        .bind(scope)
        .bind(at.0)
        .bind(device.expires_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("user_code", &device.user_code)]))
}

/// The device that shows a code to a person.
pub async fn by_user_code(store: &Store, code: &str) -> Result<Option<DeviceRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM oauth_devices WHERE user_code = $1");
    let Ok(code) = text("user_code", code) else { return Ok(None) };
    let found: Option<DeviceRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(code).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Notes what a person decided; false when somebody decided before.
pub async fn decide(tx: &mut Tx, code: &str, grant: Option<GrantId>) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE oauth_devices SET grant_id = $2, refused = $3
        WHERE user_code = $1 AND grant_id IS NULL AND refused = 0 RETURNING user_code";
    let decided: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(code)
        .bind(grant.map(|grant| grant.to_string()))
        .bind(i64::from(grant.is_none()))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(decided.is_some())
}

/// The device as it was, and the time noted at which it asked.
pub async fn poll(tx: &mut Tx, hash: &str, at: Timestamp) -> Result<Option<DeviceRow>, StoreError> {
    const FIND: &str = concat!("SELECT ", columns!(), " FROM oauth_devices WHERE device_hash = $1");
    const NOTE: &str = "UPDATE oauth_devices SET polled_at = $2 WHERE device_hash = $1";
    let found: Option<DeviceRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(FIND).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    on_pool!(tx.connection(), db => sqlx::query(NOTE).bind(hash).bind(at.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Forgets a device: its code was used. False when it was forgotten before.
pub async fn forget(tx: &mut Tx, hash: &str) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM oauth_devices WHERE device_hash = $1 RETURNING user_code";
    let gone: Option<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    Ok(gone.is_some())
}

#[derive(FromRow)]
struct DeviceRaw {
    user_code: String,
    client_id: String,
    resource: Option<String>,
    scope: Option<String>,
    expires_at: i64,
    polled_at: Option<i64>,
    refused: i64,
    grant_id: Option<String>,
}

impl TryFrom<DeviceRaw> for DeviceRow {
    type Error = StoreError;

    fn try_from(raw: DeviceRaw) -> Result<Self, StoreError> {
        Ok(Self {
            user_code: raw.user_code,
            client_id: raw.client_id,
            resource: raw.resource,
            scope: raw.scope,
            expires_at: Timestamp(raw.expires_at),
            polled_at: raw.polled_at.map(Timestamp),
            is_refused: raw.refused != 0,
            grant: raw.grant_id.as_deref().map(|id| parsed("oauth_devices", "grant_id", id)).transpose()?,
        })
    }
}
