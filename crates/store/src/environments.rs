//! Environments: the machines, what their DTMAs last said, and how to reach them.

use domain::ids::{AccountId, EnvironmentId, UserId};
use domain::names::{EnvironmentName, InstanceName};
use domain::program::ProgramDigest;
use domain::status::{EnvironmentStatus, Protection, SystemMetrics};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::columns::{json, optional_text, parsed, shown, text, to_bigint, to_json, word};
use crate::open::{Dialect, on_pool};
use crate::{Store, StoreError, Tx};

const TABLE: &str = "account_tool_environments";

macro_rules! columns {
    () => {
        "id, account_id, user_id, name, description, status, do_droplet_id, do_droplet_name, region_slug, \
         size_slug, image_slug, public_ip_address, reach_json, dtma_token_sealed, dtma_last_known_version, \
         dtma_health_details_json, last_heartbeat_at, provisioning_error_message, created_at, updated_at"
    };
}

/// One machine (`account_tool_environments`).
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentRow {
    /// Its id.
    pub id: EnvironmentId,
    /// Whose it is.
    pub account: AccountId,
    /// Who made it; absent when that user is gone.
    pub user: Option<UserId>,
    /// Its name, unique in the account.
    pub name: EnvironmentName,
    /// What it is for.
    pub description: Option<String>,
    /// Its state.
    pub status: EnvironmentStatus,
    /// The droplet, for a machine that was made as one.
    pub droplet: Droplet,
    /// Its public address.
    pub public_ip_address: Option<String>,
    /// How to reach its DTMA; the control plane alone knows the shape.
    pub reach: serde_json::Value,
    /// The DTMA's token, sealed, as base64: the control plane shows it when it calls.
    pub dtma_token_sealed: Option<String>,
    /// The DTMA's version, once it reported.
    pub dtma_version: Option<String>,
    /// What the DTMA last said of the machine.
    pub health: Option<Health>,
    /// When the DTMA last reported.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Why the machine could not be made.
    pub provisioning_error_message: Option<String>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When the row was last changed by anything but a heartbeat.
    pub updated_at: Timestamp,
}

impl EnvironmentRow {
    /// A machine that nobody has heard of yet.
    pub fn new(
        id: EnvironmentId,
        account: AccountId,
        name: EnvironmentName,
        status: EnvironmentStatus,
        reach: serde_json::Value,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            account,
            user: None,
            name,
            description: None,
            status,
            droplet: Droplet::default(),
            public_ip_address: None,
            reach,
            dtma_token_sealed: None,
            dtma_version: None,
            health: None,
            last_heartbeat_at: None,
            provisioning_error_message: None,
            created_at: at,
            updated_at: at,
        }
    }
}

/// What DigitalOcean calls a machine. All of it is absent for machines of other origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Droplet {
    /// DigitalOcean's id, unique.
    pub id: Option<u64>,
    /// Its name there.
    pub name: Option<String>,
    /// Its region, such as `nyc1`.
    pub region_slug: Option<String>,
    /// Its size, such as `s-1vcpu-1gb`.
    pub size_slug: Option<String>,
    /// Its image, such as `ubuntu-24-04-x64`.
    pub image_slug: Option<String>,
}

/// What a DTMA says of its machine (`dtma_health_details_json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Load and room.
    pub system: SystemMetrics,
    /// What the runtime protects servers with.
    pub protections: Vec<Protection>,
    /// The binary that its DTMA is, where that can be replaced from afar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramDigest>,
}

/// A heartbeat, as far as it is about the environment.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatRow {
    /// The DTMA's version.
    pub dtma_version: String,
    /// What it says of the machine.
    pub health: Health,
    /// When the DTMA's process started, by its own clock.
    pub dtma_started_at: Timestamp,
    /// Which of that process's heartbeats it is.
    pub sequence: u64,
    /// When it arrived, by ours.
    pub at: Timestamp,
    /// When the last one arrived before this, the DTMA was silent, and this one is taken whatever its number is: a
    /// host's clock may have gone back over a restart.
    pub silent_before: Timestamp,
}

/// What became of a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// It is the newest.
    Taken {
        /// The environment's state until now.
        was: EnvironmentStatus,
        /// The environment as it is now.
        row: Box<EnvironmentRow>,
    },
    /// A later one came before it; it changed nothing.
    Overtaken,
}

/// Makes an environment. `token_hash` is the SHA-256 of its DTMA's token in hexadecimal.
///
/// # Errors
/// [`StoreError::Taken`] with field `name`, `do_droplet_id` or `dtma_token_hash`; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &EnvironmentRow, token_hash: Option<&str>) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO account_tool_environments (id, account_id, user_id, name, description, status,
            do_droplet_id, do_droplet_name, region_slug, size_slug, image_slug, public_ip_address, reach_json,
            dtma_token_sealed, dtma_token_hash, provisioning_error_message, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
    let droplet_id = row.droplet.id.map(|id| to_bigint("do_droplet_id", id)).transpose()?;
    let description = optional_text("description", row.description.as_deref())?;
    let droplet_name = optional_text("do_droplet_name", row.droplet.name.as_deref())?;
    let region = optional_text("region_slug", row.droplet.region_slug.as_deref())?;
    let size = optional_text("size_slug", row.droplet.size_slug.as_deref())?;
    let image = optional_text("image_slug", row.droplet.image_slug.as_deref())?;
    let address = optional_text("public_ip_address", row.public_ip_address.as_deref())?;
    let sealed = optional_text("dtma_token_sealed", row.dtma_token_sealed.as_deref())?;
    let token_hash = optional_text("dtma_token_hash", token_hash)?;
    let why = row.provisioning_error_message.as_deref().map(shown);
    let reach = to_json("reach", &row.reach)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(row.user.map(|user| user.to_string()))
        .bind(row.name.as_str())
        .bind(description)
        .bind(row.status.word())
        .bind(droplet_id)
        .bind(droplet_name)
        .bind(region)
        .bind(size)
        .bind(image)
        .bind(address)
        .bind(reach)
        .bind(sealed)
        .bind(token_hash)
        .bind(why)
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| {
        let droplet = droplet_id.unwrap_or_default().to_string();
        let values = [("name", row.name.as_str()), ("do_droplet_id", &droplet), ("dtma_token_hash", "…")];
        StoreError::from_write(e, &values)
    })
}

/// An account's environment of a name.
pub async fn by_name(
    store: &Store,
    account: AccountId,
    name: &EnvironmentName,
) -> Result<Option<EnvironmentRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM account_tool_environments WHERE account_id = $1 AND name = $2");
    let found: Option<EnvironmentRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// The environment of an id, whosever it is: for the control plane's own work, not for what a caller named.
pub async fn by_id(store: &Store, id: EnvironmentId) -> Result<Option<EnvironmentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_environments WHERE id = $1");
    let found: Option<EnvironmentRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// The environment whose DTMA has the token of this hash.
pub async fn by_token_hash(store: &Store, hash: &str) -> Result<Option<EnvironmentRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM account_tool_environments WHERE dtma_token_hash = $1");
    let hash = text("dtma_token_hash", hash)?;
    let found: Option<EnvironmentRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// An account's environments, by name.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<EnvironmentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_environments WHERE account_id = $1");
    let found: Vec<EnvironmentRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    rows(found)
}

/// Every environment of every account, by name: for the control plane's own work.
pub async fn list_all(store: &Store) -> Result<Vec<EnvironmentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_environments");
    let found: Vec<EnvironmentRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    rows(found)
}

/// Notes a heartbeat of the environment's DTMA; whatever the state was, it is `active` now, unless its machine is being
/// destroyed.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when the sequence is beyond an `i64`.
pub async fn record_heartbeat(
    tx: &mut Tx,
    id: EnvironmentId,
    heartbeat: &HeartbeatRow,
) -> Result<Recorded, StoreError> {
    const STATUS: &str = "SELECT status FROM account_tool_environments WHERE id = $1";
    const SQL: &str = concat!(
        "UPDATE account_tool_environments SET
            status = CASE WHEN status IN ($9, $10) THEN status ELSE $2 END, dtma_last_known_version = $3,
            dtma_health_details_json = $4, dtma_started_at = $5, heartbeat_sequence = $6, last_heartbeat_at = $7
        WHERE id = $1 AND ((dtma_started_at, heartbeat_sequence) < ($5, $6)
            OR last_heartbeat_at IS NULL OR last_heartbeat_at < $8)
        RETURNING ",
        columns!()
    );
    let sequence = to_bigint("sequence", heartbeat.sequence)?;
    let health = to_json("health", &heartbeat.health)?;
    let was: Option<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(STATUS).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    let was = status_of_word(&was.ok_or(StoreError::NotFound { what: "environment" })?)?;
    let found: Option<EnvironmentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(EnvironmentStatus::Active.word())
        .bind(shown(&heartbeat.dtma_version))
        .bind(health)
        .bind(heartbeat.dtma_started_at.0)
        .bind(sequence)
        .bind(heartbeat.at.0)
        .bind(heartbeat.silent_before.0)
        .bind(EnvironmentStatus::Deleting.word())
        .bind(EnvironmentStatus::ErrorDeletion.word())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    match found {
        Some(raw) => Ok(Recorded::Taken { was, row: Box::new(raw.try_into()?) }),
        None => Ok(Recorded::Overtaken),
    }
}

/// Sets the state of an environment.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn set_status(
    tx: &mut Tx,
    id: EnvironmentId,
    status: EnvironmentStatus,
    at: Timestamp,
) -> Result<EnvironmentRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_environments SET status = $2, updated_at = $3 WHERE id = $1 RETURNING ",
        columns!()
    );
    let found: Option<EnvironmentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(status.word())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "environment" })?.try_into()
}

/// Changes how an environment is reached and with which token.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Taken`] with field `dtma_token_hash`; [`StoreError::Invalid`].
pub async fn set_reach(
    tx: &mut Tx,
    id: EnvironmentId,
    reach: &serde_json::Value,
    token_sealed: &str,
    token_hash: &str,
    at: Timestamp,
) -> Result<EnvironmentRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_environments
        SET reach_json = $2, dtma_token_sealed = $3, dtma_token_hash = $4, updated_at = $5 WHERE id = $1 RETURNING ",
        columns!()
    );
    let reach = to_json("reach", reach)?;
    let (sealed, hash) = (text("dtma_token_sealed", token_sealed)?, text("dtma_token_hash", token_hash)?);
    let found: Option<EnvironmentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(reach)
        .bind(sealed)
        .bind(hash)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(|e| StoreError::from_write(e, &[("dtma_token_hash", "…")]))?;
    found.ok_or(StoreError::NotFound { what: "environment" })?.try_into()
}

/// Gives an environment another name.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Taken`] with field `name`.
pub async fn rename(
    tx: &mut Tx,
    id: EnvironmentId,
    name: &EnvironmentName,
    at: Timestamp,
) -> Result<EnvironmentRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_environments SET name = $2, updated_at = $3 WHERE id = $1 RETURNING ",
        columns!()
    );
    let found: Option<EnvironmentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(name.as_str())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(|e| StoreError::from_write(e, &[("name", name.as_str())]))?;
    found.ok_or(StoreError::NotFound { what: "environment" })?.try_into()
}

/// Gives an environment's host another token, or none, which opens nothing. What the host said before counts no more: it may be
/// another one, with a clock of its own, so the next heartbeat is taken whatever its number is.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Taken`] with field `dtma_token_hash`; [`StoreError::Invalid`].
pub async fn set_token(
    tx: &mut Tx,
    id: EnvironmentId,
    sealed_and_hash: Option<(&str, &str)>,
    at: Timestamp,
) -> Result<EnvironmentRow, StoreError> {
    // A state that is not about heartbeats stays: a machine that is being removed comes back by no enrolment.
    const SQL: &str = concat!(
        "UPDATE account_tool_environments
        SET dtma_token_sealed = $2, dtma_token_hash = $3, last_heartbeat_at = NULL, updated_at = $4,
            status = CASE WHEN status IN ($5, $6) THEN $7 ELSE status END
        WHERE id = $1 RETURNING ",
        columns!()
    );
    let sealed = optional_text("dtma_token_sealed", sealed_and_hash.map(|(sealed, _)| sealed))?;
    let hash = optional_text("dtma_token_hash", sealed_and_hash.map(|(_, hash)| hash))?;
    let found: Option<EnvironmentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(sealed)
        .bind(hash)
        .bind(at.0)
        .bind(EnvironmentStatus::Active.word())
        .bind(EnvironmentStatus::Unresponsive.word())
        .bind(EnvironmentStatus::AwaitingHeartbeat.word())
        .fetch_optional(db).await)
    .map_err(|e| StoreError::from_write(e, &[("dtma_token_hash", "…")]))?;
    found.ok_or(StoreError::NotFound { what: "environment" })?.try_into()
}

/// The names of an environment's instances that nobody has asked to remove, sorted; none can come in until the transaction ends.
pub async fn occupants(tx: &mut Tx, id: EnvironmentId) -> Result<Vec<InstanceName>, StoreError> {
    const SQL: &str =
        "SELECT name FROM account_tool_instances WHERE account_tool_environment_id = $1 AND NOT deleting";
    lock(tx, id).await?;
    let names: Vec<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(id.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let names = names.iter().map(|name| parsed("account_tool_instances", "name", name));
    let mut names = names.collect::<Result<Vec<InstanceName>, _>>()?;
    names.sort();
    Ok(names)
}

/// Removes an environment that has no instances. Otherwise nothing is changed, and the names of those it has are given,
/// sorted; one that is being removed counts until its host has let go of it.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn remove(tx: &mut Tx, id: EnvironmentId) -> Result<Vec<InstanceName>, StoreError> {
    const NAMES: &str = "SELECT name FROM account_tool_instances WHERE account_tool_environment_id = $1";
    const SQL: &str = "DELETE FROM account_tool_environments WHERE id = $1 RETURNING id";
    lock(tx, id).await?;
    let names: Vec<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(NAMES).bind(id.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    if !names.is_empty() {
        let names = names.iter().map(|name| parsed("account_tool_instances", "name", name));
        let mut names = names.collect::<Result<Vec<InstanceName>, _>>()?;
        names.sort();
        return Ok(names);
    }
    let gone: Option<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    gone.map(|_| Vec::new()).ok_or(StoreError::NotFound { what: "environment" })
}

/// The environment as it is until the transaction ends; `None` when there is none.
pub async fn hold(tx: &mut Tx, id: EnvironmentId) -> Result<Option<EnvironmentRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_environments WHERE id = $1");
    lock(tx, id).await?;
    let found: Option<EnvironmentRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Waits for everybody who is making an instance in the environment, and makes others wait: an instance made between the
/// look and the removal would go with it. SQLite has one writer at a time as it is.
async fn lock(tx: &mut Tx, id: EnvironmentId) -> Result<(), StoreError> {
    const SQL: &str = "SELECT id FROM account_tool_environments WHERE id = $1 FOR UPDATE";
    match tx.connection() {
        Dialect::Sqlite(_) => Ok(()),
        Dialect::Postgres(db) => {
            sqlx::query(SQL).bind(id.to_string()).execute(db).await.map(drop).map_err(StoreError::from_driver)
        }
    }
}

/// Makes `unresponsive` every active environment whose last heartbeat is older than `before`, and gives them back.
pub async fn mark_unresponsive(
    tx: &mut Tx,
    before: Timestamp,
    at: Timestamp,
) -> Result<Vec<EnvironmentRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_environments SET status = $1, updated_at = $2
        WHERE status = $3 AND last_heartbeat_at < $4 RETURNING ",
        columns!()
    );
    let found: Vec<EnvironmentRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(EnvironmentStatus::Unresponsive.word())
        .bind(at.0)
        .bind(EnvironmentStatus::Active.word())
        .bind(before.0)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    rows(found)
}

/// Converts and sorts here, because the databases sort texts by rules of their own.
fn rows(found: Vec<EnvironmentRaw>) -> Result<Vec<EnvironmentRow>, StoreError> {
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<EnvironmentRow>, _>>()?;
    rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    Ok(rows)
}

fn status_of_word(text: &str) -> Result<EnvironmentStatus, StoreError> {
    word(TABLE, "status", text, EnvironmentStatus::of_word(text))
}

#[derive(FromRow)]
struct EnvironmentRaw {
    id: String,
    account_id: String,
    user_id: Option<String>,
    name: String,
    description: Option<String>,
    status: String,
    do_droplet_id: Option<i64>,
    do_droplet_name: Option<String>,
    region_slug: Option<String>,
    size_slug: Option<String>,
    image_slug: Option<String>,
    public_ip_address: Option<String>,
    reach_json: String,
    dtma_token_sealed: Option<String>,
    dtma_last_known_version: Option<String>,
    dtma_health_details_json: Option<String>,
    last_heartbeat_at: Option<i64>,
    provisioning_error_message: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<EnvironmentRaw> for EnvironmentRow {
    type Error = StoreError;

    fn try_from(raw: EnvironmentRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            user: raw.user_id.map(|id| parsed(TABLE, "user_id", &id)).transpose()?,
            name: parsed(TABLE, "name", &raw.name)?,
            description: raw.description,
            status: status_of_word(&raw.status)?,
            droplet: Droplet {
                id: raw
                    .do_droplet_id
                    .map(|id| crate::columns::count(TABLE, "do_droplet_id", id))
                    .transpose()?,
                name: raw.do_droplet_name,
                region_slug: raw.region_slug,
                size_slug: raw.size_slug,
                image_slug: raw.image_slug,
            },
            public_ip_address: raw.public_ip_address,
            reach: json(TABLE, "reach_json", &raw.reach_json)?,
            dtma_token_sealed: raw.dtma_token_sealed,
            dtma_version: raw.dtma_last_known_version,
            health: raw
                .dtma_health_details_json
                .map(|health| json(TABLE, "dtma_health_details_json", &health))
                .transpose()?,
            last_heartbeat_at: raw.last_heartbeat_at.map(Timestamp),
            provisioning_error_message: raw.provisioning_error_message,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
