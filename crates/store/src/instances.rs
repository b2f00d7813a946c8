//! Instances: what their owners want, what their DTMAs report. Every function that acts on what a caller named takes
//! the caller's account and finds nothing of another's.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{AccountId, CatalogEntryId, EnvironmentId, InstanceId};
use domain::lease::Failover;
use domain::names::{InstanceName, MAX_NAME};
use domain::spec::DesiredState;
use domain::status::{InstanceReport, InstanceStatus};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, json, optional_text, parsed, shown, text, to_bigint, to_json, word};
use crate::errors::breaks_reference;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx, catalog, toolbelts};
pub use spec::{Moving, SpecColumn};

mod spec;

const TABLE: &str = "account_tool_instances";

macro_rules! columns {
    () => {
        "id, account_id, account_tool_environment_id, tool_catalog_id, name, instance_name_on_toolbox, \
         desired_state, generation, restarts_asked, observed_generation, status_on_toolbox, \
         instance_error_message, spec_json, config_values, secret_names_json, secrets_sealed, version, digest, \
         report_json, last_heartbeat_from_dtma, deleting, created_at, updated_at"
    };
}

mod becoming;
mod held;
mod names;
mod renewed;
pub use becoming::become_what;
pub use held::held;
pub use names::names;
pub use renewed::renew_users_of;

/// One instance (`account_tool_instances`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its id.
    pub id: InstanceId,
    /// Whose it is.
    pub account: AccountId,
    /// Where it runs; the account's own.
    pub environment: EnvironmentId,
    /// What it was made from; [`CatalogEntryId::GENERIC_MCP`] for a package that is in no catalog.
    pub catalog_entry: CatalogEntryId,
    /// Its name, unique in the account; never changes.
    pub name: InstanceName,
    /// Its name on the host, unique in the environment.
    pub instance_name_on_toolbox: String,
    /// What its owner wants.
    pub desired: DesiredState,
    /// Grows with every change of what its owner wants; the first is 1.
    pub generation: u64,
    /// Restarts its owner asked for.
    pub restarts_asked: u64,
    /// The newest generation that its DTMA reported about; 0 before the first report.
    pub observed_generation: u64,
    /// Its state.
    pub status: InstanceStatus,
    /// Why, and what to do about it.
    pub message: Option<String>,
    /// What runs.
    pub spec: SpecColumn,
    /// The settings as their owner gave them, secrets not among them.
    pub settings: BTreeMap<String, String>,
    /// The names of the secrets its owner gave.
    pub secret_names: Vec<String>,
    /// The secrets, sealed, as base64.
    pub secrets_sealed: Option<String>,
    /// The exact version that runs, as its DTMA said.
    pub version: Option<String>,
    /// The digest of what runs, as its DTMA said.
    pub digest: Option<String>,
    /// The last report that counted.
    pub report: Option<InstanceReport>,
    /// When that report came.
    pub last_heartbeat_from_dtma: Option<Timestamp>,
    /// Whether its owner wants it gone: the row stays until its DTMA has removed it.
    pub deleting: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}

/// How a report came, which says what it may overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedBy {
    /// In a heartbeat that was the newest of its DTMA: it is later than any report of the same generation.
    Heartbeat,
    /// In the answer to a request, which a heartbeat may have overtaken: it counts as the first news of a generation only.
    Answer,
}

/// Makes an instance. What a DTMA reports (`observed_generation`, `version`, `digest`, `report`) starts empty, whatever the
/// row says.
///
/// # Errors
/// [`StoreError::Taken`] with field `name`, also where a toolbelt has it, or `instance_name_on_toolbox`; [`StoreError::UnknownCatalogEntry`];
/// [`StoreError::NotFound`] when the account has no such environment; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &InstanceRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO account_tool_instances (id, account_id, account_tool_environment_id,
            tool_catalog_id, name, instance_name_on_toolbox, desired_state, generation, restarts_asked,
            status_on_toolbox, instance_error_message, spec_json, config_values, secret_names_json, secrets_sealed,
            mcp_server_type, mcp_endpoint_path, mcp_transport_type, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
    // Readers of the older schema tell servers from tools by these three.
    let (server_type, endpoint, transport) = match row.spec.launch.container {
        None => ("mcp_server", Some("/mcp"), Some("stdio")),
        Some(_) => ("standard_tool", None, None),
    };
    let on_toolbox = text("instance_name_on_toolbox", &row.instance_name_on_toolbox)?;
    let message = optional_text("instance_error_message", row.message.as_deref())?;
    let sealed = optional_text("secrets_sealed", row.secrets_sealed.as_deref())?;
    let generation = to_bigint("generation", row.generation)?;
    let restarts_asked = to_bigint("restarts_asked", row.restarts_asked)?;
    let spec = to_json("spec", &row.spec)?;
    let settings = to_json("settings", &row.settings)?;
    let secret_names = to_json("secret_names", &row.secret_names)?;
    if !catalog::exists(tx, row.catalog_entry).await? {
        return Err(StoreError::UnknownCatalogEntry { id: row.catalog_entry });
    }
    // Where both names are taken the caller is told of this one, which the database may or may not name first.
    if is_taken(tx, row.account, &row.name).await? || toolbelts::has_name(tx, row.account, &row.name).await? {
        return Err(StoreError::Taken { field: "name", value: row.name.to_string() });
    }
    if !is_environment_of(tx, row.account, row.environment).await? {
        return Err(StoreError::NotFound { what: "environment" });
    }
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(row.environment.to_string())
        .bind(row.catalog_entry.to_string())
        .bind(row.name.as_str())
        .bind(on_toolbox)
        .bind(desired_word(row.desired))
        .bind(generation)
        .bind(restarts_asked)
        .bind(row.status.word())
        .bind(message)
        .bind(spec)
        .bind(settings)
        .bind(secret_names)
        .bind(sealed)
        .bind(server_type)
        .bind(endpoint)
        .bind(transport)
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| {
        if breaks_reference(&e, "account_tool_instances_catalog") {
            return StoreError::UnknownCatalogEntry { id: row.catalog_entry };
        }
        if breaks_reference(&e, "account_tool_instances_environment") {
            return StoreError::NotFound { what: "environment" };
        }
        StoreError::from_write(e, &[("name", row.name.as_str()), ("instance_name_on_toolbox", on_toolbox)])
    })
}

/// An account's instance of a name, also while it is being deleted.
pub async fn by_name(
    store: &Store,
    account: AccountId,
    name: &InstanceName,
) -> Result<Option<InstanceRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM account_tool_instances WHERE account_id = $1 AND name = $2");
    let found: Option<InstanceRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// The instance of an id, whosever it is: for the control plane's own work, not for what a caller named.
pub async fn by_id(store: &Store, id: InstanceId) -> Result<Option<InstanceRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_instances WHERE id = $1");
    let found: Option<InstanceRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// An account's instances, by name.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<InstanceRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_instances WHERE account_id = $1");
    let found: Vec<InstanceRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    rows(found)
}

/// An environment's instances, by name.
pub async fn list_by_environment(
    store: &Store,
    environment: EnvironmentId,
) -> Result<Vec<InstanceRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM account_tool_instances WHERE account_tool_environment_id = $1");
    let found: Vec<InstanceRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(environment.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    rows(found)
}

/// Every instance of every account, by name: for the control plane's own work.
pub async fn list_all(store: &Store) -> Result<Vec<InstanceRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM account_tool_instances");
    let found: Vec<InstanceRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    rows(found)
}

/// A name that is free in the account: `base`, else `base-2`, `base-3` and so on, shortened where it would be too long.
///
/// Somebody else may take it before it is used; [`insert`] has the last word.
pub async fn next_free_name(
    store: &Store,
    account: AccountId,
    base: &InstanceName,
) -> Result<InstanceName, StoreError> {
    const SQL: &str = "SELECT name FROM account_tool_instances WHERE account_id = $1
        UNION SELECT name FROM toolbelts WHERE account_id = $1";
    let taken: Vec<String> =
        on_pool!(store.read(), db => sqlx::query_scalar(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let taken: BTreeSet<&str> = taken.iter().map(String::as_str).collect();
    let free = std::iter::once(base.as_str().to_owned())
        .chain((2..=taken.len() + 2).map(|number| numbered(base, number)))
        .find(|name| !taken.contains(name.as_str()))
        .unwrap_or_else(|| base.as_str().to_owned());
    parsed(TABLE, "name", &free)
}

/// Wants an instance to run or to stop. Its generation grows and `status` is shown until its DTMA reports, unless it was
/// wanted so already: then nothing changes.
///
/// # Errors
/// [`StoreError::NotFound`], also when it is being deleted.
pub async fn set_desired(
    tx: &mut Tx,
    account: AccountId,
    name: &InstanceName,
    desired: DesiredState,
    status: InstanceStatus,
    at: Timestamp,
) -> Result<InstanceRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET
            generation = CASE WHEN desired_state = $3 THEN generation ELSE generation + 1 END,
            status_on_toolbox = CASE WHEN desired_state = $3 THEN status_on_toolbox ELSE $4 END,
            instance_error_message = CASE WHEN desired_state = $3 THEN instance_error_message END,
            updated_at = CASE WHEN desired_state = $3 THEN updated_at ELSE $5 END,
            desired_state = $3
        WHERE account_id = $1 AND name = $2 AND NOT deleting RETURNING ",
        columns!()
    );
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .bind(desired_word(desired))
        .bind(status.word())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "instance" })?.try_into()
}

/// Asks for a restart: of the server alone, and of the install when that failed. It is wanted running from now on, and
/// `status` is shown until its DTMA reports.
///
/// # Errors
/// [`StoreError::NotFound`], also when it is being deleted.
pub async fn ask_restart(
    tx: &mut Tx,
    account: AccountId,
    name: &InstanceName,
    status: InstanceStatus,
    at: Timestamp,
) -> Result<InstanceRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET restarts_asked = restarts_asked + 1, generation = generation + 1,
            desired_state = 'running', status_on_toolbox = $3, instance_error_message = NULL, updated_at = $4
        WHERE account_id = $1 AND name = $2 AND NOT deleting RETURNING ",
        columns!()
    );
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .bind(status.word())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "instance" })?.try_into()
}

/// Sets when an instance, which is to be as `before` still, is moved away from a host that is not heard; `None` when it was changed
/// meanwhile. Its generation grows.
pub async fn set_failover(
    tx: &mut Tx,
    before: &InstanceRow,
    failover: Option<Failover>,
    at: Timestamp,
) -> Result<Option<InstanceRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET generation = $3, spec_json = $4, updated_at = $5
        WHERE id = $1 AND generation = $2 AND NOT deleting RETURNING ",
        columns!()
    );
    let mut spec = before.spec.clone();
    spec.moving.failover = failover;
    spec.moving.told_from = before.generation + 1;
    let spec = to_json("spec", &spec)?;
    let (from, to) =
        (to_bigint("generation", before.generation)?, to_bigint("generation", before.generation + 1)?);
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(before.id.to_string())
        .bind(from)
        .bind(to)
        .bind(spec)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Wants an instance gone. Asking again changes nothing.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn mark_deleting(
    tx: &mut Tx,
    account: AccountId,
    name: &InstanceName,
    at: Timestamp,
) -> Result<InstanceRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET
            generation = CASE WHEN deleting THEN generation ELSE generation + 1 END,
            updated_at = CASE WHEN deleting THEN updated_at ELSE $4 END,
            deleting = true, status_on_toolbox = $3, instance_error_message = NULL
        WHERE account_id = $1 AND name = $2 RETURNING ",
        columns!()
    );
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .bind(InstanceStatus::Deleting.word())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "instance" })?.try_into()
}

/// Removes the row of an instance that was marked before and that its DTMA has removed.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none or it is not marked.
pub async fn delete(tx: &mut Tx, id: InstanceId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM account_tool_instances WHERE id = $1 AND deleting RETURNING id";
    let gone: Option<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    gone.map(drop).ok_or(StoreError::NotFound { what: "instance that is being deleted" })
}

/// Removes every row that was marked before of an environment whose machine is gone, and with it whatever was on it.
pub async fn delete_marked_of(
    tx: &mut Tx,
    environment: EnvironmentId,
) -> Result<Vec<InstanceRow>, StoreError> {
    const SQL: &str = concat!(
        "DELETE FROM account_tool_instances WHERE account_tool_environment_id = $1 AND deleting RETURNING ",
        columns!()
    );
    let found: Vec<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(environment.to_string())
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Removes the row of an instance that is gone from its host, the one of `environment`, and gives it back; `None` when
/// that environment has none of this id.
pub async fn delete_gone(
    tx: &mut Tx,
    environment: EnvironmentId,
    id: InstanceId,
) -> Result<Option<InstanceRow>, StoreError> {
    const SQL: &str = concat!(
        "DELETE FROM account_tool_instances WHERE id = $1 AND account_tool_environment_id = $2 RETURNING ",
        columns!()
    );
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(environment.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Notes what the DTMA of `environment` reports, and gives back the row; `None` when the report does not count: another
/// environment's instance, one that is being deleted, an older generation than the owner's, or an answer that a heartbeat
/// overtook.
///
/// # Errors
/// [`StoreError::Invalid`] when the generation is beyond an `i64`.
pub async fn record_report(
    tx: &mut Tx,
    environment: EnvironmentId,
    report: &InstanceReport,
    by: ReportedBy,
    at: Timestamp,
) -> Result<Option<InstanceRow>, StoreError> {
    // A newer generation than the owner's is a lie or a restored backup, and counts for nothing either.
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET status_on_toolbox = $4, instance_error_message = $5,
            observed_generation = $3, version = coalesce($6, version), digest = coalesce($7, digest),
            report_json = $8, last_heartbeat_from_dtma = $9
        WHERE id = $1 AND account_tool_environment_id = $2 AND generation = $3 AND NOT deleting
            AND ($10 OR observed_generation < $3)
        RETURNING ",
        columns!()
    );
    let generation = to_bigint("generation", report.generation)?;
    let json = to_json("report", report)?;
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(report.id.to_string())
        .bind(environment.to_string())
        .bind(generation)
        .bind(report.status.word())
        .bind(report.message.as_deref().map(shown))
        .bind(report.version.as_deref().map(shown))
        .bind(report.digest.as_deref().map(shown))
        .bind(json)
        .bind(at.0)
        .bind(by == ReportedBy::Heartbeat)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Shows a state and a reason that the control plane found by itself, such as a host it cannot reach; `None` when the
/// instance is gone, or its owner or its DTMA has said something new since `row` was read.
pub async fn set_status(
    tx: &mut Tx,
    row: &InstanceRow,
    status: InstanceStatus,
    message: Option<&str>,
) -> Result<Option<InstanceRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET status_on_toolbox = $4, instance_error_message = $5
        WHERE id = $1 AND generation = $2 AND observed_generation = $3 RETURNING ",
        columns!()
    );
    let generation = to_bigint("generation", row.generation)?;
    let observed = to_bigint("observed_generation", row.observed_generation)?;
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(row.id.to_string())
        .bind(generation)
        .bind(observed)
        .bind(status.word())
        .bind(message.map(shown))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

pub(crate) async fn is_taken(
    tx: &mut Tx,
    account: AccountId,
    name: &InstanceName,
) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT id FROM account_tool_instances WHERE account_id = $1 AND name = $2";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

async fn is_environment_of(
    tx: &mut Tx,
    account: AccountId,
    environment: EnvironmentId,
) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT id FROM account_tool_environments WHERE account_id = $1 AND id = $2";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(environment.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

/// `base-number`, with `base` cut so that the whole is still a name.
pub(crate) fn numbered(base: &InstanceName, number: usize) -> String {
    let suffix = format!("-{number}");
    let kept = base.as_str().len().min(MAX_NAME - suffix.len());
    // A name is ASCII, so every byte is a boundary; the cut must not leave a hyphen before the suffix's own.
    format!("{}{suffix}", base.as_str()[..kept].trim_end_matches('-'))
}

/// Converts and sorts here, because the databases sort texts by rules of their own.
fn rows(found: Vec<InstanceRaw>) -> Result<Vec<InstanceRow>, StoreError> {
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<InstanceRow>, _>>()?;
    rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    Ok(rows)
}

fn desired_word(desired: DesiredState) -> &'static str {
    match desired {
        DesiredState::Running => "running",
        DesiredState::Stopped => "stopped",
    }
}

#[derive(FromRow)]
struct InstanceRaw {
    id: String,
    account_id: String,
    account_tool_environment_id: String,
    tool_catalog_id: String,
    name: String,
    instance_name_on_toolbox: String,
    desired_state: String,
    generation: i64,
    restarts_asked: i64,
    observed_generation: i64,
    status_on_toolbox: String,
    instance_error_message: Option<String>,
    spec_json: String,
    config_values: String,
    secret_names_json: String,
    secrets_sealed: Option<String>,
    version: Option<String>,
    digest: Option<String>,
    report_json: Option<String>,
    last_heartbeat_from_dtma: Option<i64>,
    deleting: bool,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<InstanceRaw> for InstanceRow {
    type Error = StoreError;

    fn try_from(raw: InstanceRaw) -> Result<Self, StoreError> {
        let desired = [DesiredState::Running, DesiredState::Stopped]
            .into_iter()
            .find(|d| desired_word(*d) == raw.desired_state);
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            environment: parsed(TABLE, "account_tool_environment_id", &raw.account_tool_environment_id)?,
            catalog_entry: parsed(TABLE, "tool_catalog_id", &raw.tool_catalog_id)?,
            name: parsed(TABLE, "name", &raw.name)?,
            instance_name_on_toolbox: raw.instance_name_on_toolbox,
            desired: word(TABLE, "desired_state", &raw.desired_state, desired)?,
            generation: count(TABLE, "generation", raw.generation)?,
            restarts_asked: count(TABLE, "restarts_asked", raw.restarts_asked)?,
            observed_generation: count(TABLE, "observed_generation", raw.observed_generation)?,
            status: word(
                TABLE,
                "status_on_toolbox",
                &raw.status_on_toolbox,
                InstanceStatus::of_word(&raw.status_on_toolbox),
            )?,
            message: raw.instance_error_message,
            spec: json(TABLE, "spec_json", &raw.spec_json)?,
            settings: json(TABLE, "config_values", &raw.config_values)?,
            secret_names: json(TABLE, "secret_names_json", &raw.secret_names_json)?,
            secrets_sealed: raw.secrets_sealed,
            version: raw.version,
            digest: raw.digest,
            report: raw.report_json.map(|report| json(TABLE, "report_json", &report)).transpose()?,
            last_heartbeat_from_dtma: raw.last_heartbeat_from_dtma.map(Timestamp),
            deleting: raw.deleting,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}
