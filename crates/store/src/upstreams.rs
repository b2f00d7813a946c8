//! What opens servers that run elsewhere, and people who are on the way to their authorization servers. All of it is sealed before it
//! comes here.

use domain::ids::{AccountId, InstanceId, UserId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, json, parsed, text, to_bigint, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "upstream_tokens";
const ON_THE_WAY: &str = "upstream_authorizations";
/// The user of what all callers of an instance share.
const EVERYBODY: &str = "";

/// Of which instance, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Of {
    /// The instance.
    pub instance: InstanceId,
    /// Whose; absent: what all callers share.
    pub user: Option<UserId>,
}

impl Of {
    fn user(self) -> String {
        self.user.map_or_else(|| EVERYBODY.to_owned(), |user| user.to_string())
    }
}

impl From<InstanceId> for Of {
    fn from(instance: InstanceId) -> Self {
        Self { instance, user: None }
    }
}

/// What opens the server of one instance (`upstream_tokens`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamRow {
    /// Counts what was given.
    pub version: u64,
    /// What was given and what is kept for the next time, sealed for the instance's id.
    pub sealed: Option<String>,
    /// The values of `WWW-Authenticate` by which the server last asked for more than there is.
    pub challenge: Vec<String>,
    /// What is wrong, and what to do.
    pub message: Option<String>,
    /// When a person last agreed.
    pub authorized_at: Option<Timestamp>,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
}

/// One person who is on the way (`upstream_authorizations`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnTheWayRow {
    /// For which instance.
    pub instance: InstanceId,
    /// In which account.
    pub account: AccountId,
    /// Who.
    pub user: UserId,
    /// What is needed when they are back, sealed for the instance's id.
    pub sealed: String,
    /// When they left.
    pub created_at: Timestamp,
    /// Until when they may take.
    pub expires_at: Timestamp,
}

/// What opens the server of an instance; a default one when there was never anything.
pub async fn get(store: &Store, of: impl Into<Of>) -> Result<UpstreamRow, StoreError> {
    const SQL: &str = "SELECT version, sealed, challenge_json, message, authorized_at, expires_at
        FROM upstream_tokens WHERE instance_id = $1 AND user_id = $2";
    let of = of.into();
    let found: Option<UpstreamRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map_or_else(|| Ok(UpstreamRow::default()), TryInto::try_into)
}

/// Keeps what was given in the place of what was there, and lets go of the claim; gives its version.
///
/// # Errors
/// [`StoreError::NotFound`] when the instance is gone; [`StoreError::Invalid`].
pub async fn put(
    tx: &mut Tx,
    of: impl Into<Of>,
    sealed: &str,
    (authorized_at, expires_at): (Option<Timestamp>, Option<Timestamp>),
    at: Timestamp,
) -> Result<u64, StoreError> {
    const SQL: &str = "INSERT INTO upstream_tokens
        (instance_id, user_id, version, sealed, authorized_at, expires_at, claimed_until, updated_at)
        SELECT id, $2, 1, $3, $4, $5, 0, $6 FROM account_tool_instances WHERE id = $1
        ON CONFLICT (instance_id, user_id) DO UPDATE SET
            version = upstream_tokens.version + 1, sealed = excluded.sealed, challenge_json = NULL, message = NULL,
            authorized_at = coalesce(excluded.authorized_at, upstream_tokens.authorized_at),
            expires_at = excluded.expires_at, claimed_until = 0, updated_at = excluded.updated_at
        RETURNING version";
    let of = of.into();
    let sealed = text("sealed", sealed)?;
    let version: Option<i64> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .bind(sealed)
        .bind(authorized_at.map(|at| at.0))
        .bind(expires_at.map(|at| at.0))
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    let version = version.ok_or(StoreError::NotFound { what: "instance" })?;
    count(TABLE, "version", version)
}

/// Keeps something for the next time, such as a registration; no token is another one for it.
///
/// # Errors
/// As [`put`].
pub async fn keep(tx: &mut Tx, of: impl Into<Of>, sealed: &str, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO upstream_tokens
        (instance_id, user_id, version, sealed, claimed_until, updated_at)
        SELECT id, $2, 0, $3, 0, $4 FROM account_tool_instances WHERE id = $1
        ON CONFLICT (instance_id, user_id) DO UPDATE SET
            sealed = excluded.sealed, updated_at = excluded.updated_at
        RETURNING instance_id";
    let of = of.into();
    let sealed = text("sealed", sealed)?;
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .bind(sealed)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "instance" })
}

/// Notes what the server wanted that there is not, and what to do about it; and lets go of the claim.
///
/// # Errors
/// As [`put`].
pub async fn note(
    tx: &mut Tx,
    of: impl Into<Of>,
    challenge: &[String],
    message: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO upstream_tokens
        (instance_id, user_id, version, challenge_json, message, claimed_until, updated_at)
        SELECT id, $2, 0, $3, $4, 0, $5 FROM account_tool_instances WHERE id = $1
        ON CONFLICT (instance_id, user_id) DO UPDATE SET
            challenge_json = coalesce(excluded.challenge_json, upstream_tokens.challenge_json),
            message = excluded.message, claimed_until = 0, updated_at = excluded.updated_at
        RETURNING instance_id";
    let of = of.into();
    let message = text("message", message)?;
    let challenge = (!challenge.is_empty()).then(|| to_json("challenge", &challenge)).transpose()?;
    let noted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .bind(challenge)
        .bind(message)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    noted.map(drop).ok_or(StoreError::NotFound { what: "instance" })
}

/// Claims the renewal of a version until a moment; false when somebody else has, or when there is another version. So that a refresh
/// token is used once, whichever control plane is asked.
pub async fn claim(
    tx: &mut Tx,
    of: impl Into<Of>,
    version: u64,
    at: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE upstream_tokens SET claimed_until = $5
        WHERE instance_id = $1 AND user_id = $2 AND version = $3 AND claimed_until < $4 RETURNING instance_id";
    let of = of.into();
    let claimed: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .bind(to_bigint("version", version)?)
        .bind(at.0)
        .bind(until.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(claimed.is_some())
}

/// Lets go of a claim without anything new.
pub async fn release(tx: &mut Tx, of: impl Into<Of>) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE upstream_tokens SET claimed_until = 0 WHERE instance_id = $1 AND user_id = $2";
    let of = of.into();
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Gives up all that was given; false when there was nothing. People who are on the way come back to nothing.
pub async fn forget(tx: &mut Tx, of: impl Into<Of>, at: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE upstream_tokens SET version = version + 1, sealed = NULL, message = NULL,
            authorized_at = NULL, expires_at = NULL, claimed_until = 0, updated_at = $3
        WHERE instance_id = $1 AND user_id = $2 AND sealed IS NOT NULL RETURNING instance_id";
    const WAYS: &str =
        "DELETE FROM upstream_authorizations WHERE instance_id = $1 AND ($2 = '' OR user_id = $2)";
    let of = of.into();
    let gone: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(of.instance.to_string())
        .bind(of.user())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    on_pool!(tx.connection(), db => sqlx::query(WAYS)
        .bind(of.instance.to_string())
        .bind(of.user())
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)?;
    Ok(gone.is_some())
}

/// Somebody is sent to an authorization server; `state_hash` is the SHA-256 of what they are known by, in hexadecimal. Who took too
/// long is forgotten.
///
/// # Errors
/// [`StoreError::NotFound`] when the instance is not the account's.
pub async fn begin(tx: &mut Tx, state_hash: &str, row: &OnTheWayRow) -> Result<(), StoreError> {
    const OVER: &str = "DELETE FROM upstream_authorizations WHERE expires_at <= $1";
    const SQL: &str = "INSERT INTO upstream_authorizations
        (state_hash, instance_id, account_id, user_id, sealed, created_at, expires_at)
        SELECT $1, id, account_id, $4, $5, $6, $7 FROM account_tool_instances WHERE id = $2 AND account_id = $3
        RETURNING instance_id";
    on_pool!(tx.connection(), db => sqlx::query(OVER).bind(row.created_at.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    let (hash, sealed) = (text("state_hash", state_hash)?, text("sealed", &row.sealed)?);
    let begun: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(hash)
        .bind(row.instance.to_string())
        .bind(row.account.to_string())
        .bind(row.user.to_string())
        .bind(sealed)
        .bind(row.created_at.0)
        .bind(row.expires_at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    begun.map(drop).ok_or(StoreError::NotFound { what: "instance" })
}

/// Who is on the way under that hash, whether or not they are in time.
pub async fn on_the_way(store: &Store, state_hash: &str) -> Result<Option<OnTheWayRow>, StoreError> {
    const SQL: &str = "SELECT instance_id, account_id, user_id, sealed, created_at, expires_at
        FROM upstream_authorizations WHERE state_hash = $1";
    let hash = text("state_hash", state_hash)?;
    let found: Option<OnTheWayRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Takes who is on the way under that hash; nobody takes them a second time.
pub async fn take(tx: &mut Tx, state_hash: &str) -> Result<Option<OnTheWayRow>, StoreError> {
    const SQL: &str = "DELETE FROM upstream_authorizations WHERE state_hash = $1
        RETURNING instance_id, account_id, user_id, sealed, created_at, expires_at";
    let hash = text("state_hash", state_hash)?;
    let found: Option<OnTheWayRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

#[derive(FromRow)]
struct UpstreamRaw {
    version: i64,
    sealed: Option<String>,
    challenge_json: Option<String>,
    message: Option<String>,
    authorized_at: Option<i64>,
    expires_at: Option<i64>,
}

impl TryFrom<UpstreamRaw> for UpstreamRow {
    type Error = StoreError;

    fn try_from(raw: UpstreamRaw) -> Result<Self, StoreError> {
        let challenge = raw.challenge_json.as_deref().map(|text| json(TABLE, "challenge_json", text));
        Ok(Self {
            version: count(TABLE, "version", raw.version)?,
            sealed: raw.sealed,
            challenge: challenge.transpose()?.unwrap_or_default(),
            message: raw.message,
            authorized_at: raw.authorized_at.map(Timestamp),
            expires_at: raw.expires_at.map(Timestamp),
        })
    }
}

#[derive(FromRow)]
struct OnTheWayRaw {
    instance_id: String,
    account_id: String,
    user_id: String,
    sealed: String,
    created_at: i64,
    expires_at: i64,
}

impl TryFrom<OnTheWayRaw> for OnTheWayRow {
    type Error = StoreError;

    fn try_from(raw: OnTheWayRaw) -> Result<Self, StoreError> {
        Ok(Self {
            instance: parsed(ON_THE_WAY, "instance_id", &raw.instance_id)?,
            account: parsed(ON_THE_WAY, "account_id", &raw.account_id)?,
            user: parsed(ON_THE_WAY, "user_id", &raw.user_id)?,
            sealed: raw.sealed,
            created_at: Timestamp(raw.created_at),
            expires_at: Timestamp(raw.expires_at),
        })
    }
}
