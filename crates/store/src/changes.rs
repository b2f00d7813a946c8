//! What instances were and are to be: how each was deployed, and every change of it since.

use std::collections::BTreeMap;

use domain::change::{ChangeState, ToolChanges};
use domain::ids::{CatalogEntryId, ChangeId, InstanceId};
use domain::time::Timestamp;
use domain::vault::SecretName;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::columns::{count, json, optional_text, parsed, shown, text, to_bigint, to_json, word};
use crate::instances::SpecColumn;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "instance_changes";

/// So many changes of an instance are kept.
const KEPT: u64 = 50;

macro_rules! columns {
    () => {
        "id, instance_id, number, state, message, changed_json, review, back_to, candidate_id, tools_json, asked_json, \
         asked_sealed, what_json, secrets_sealed, version, digest, created_by, created_at, since, ended_at"
    };
}

/// All that an instance is, but the values of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct What {
    /// What it was made from.
    pub catalog_entry: CatalogEntryId,
    /// What runs.
    pub spec: SpecColumn,
    /// The settings as their owner gave them, secrets not among them.
    pub settings: BTreeMap<String, String>,
    /// The names of the secrets its owner gave.
    pub secret_names: Vec<String>,
    /// Those of its variables whose values are secrets of the account.
    pub named: BTreeMap<String, SecretName>,
}

/// One change (`instance_changes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its id, for which its secrets are sealed.
    pub id: ChangeId,
    /// Of which instance.
    pub instance: InstanceId,
    /// Its number among the instance's changes; how it was deployed is 1. [`insert`] gives it, whatever the row says.
    pub number: u64,
    /// How far it is.
    pub state: ChangeState,
    /// What it waits for, or why it ended so.
    pub message: Option<String>,
    /// What differs from what the instance was, such as `settings.WORD`.
    pub changed: Vec<String>,
    /// Whether somebody wants to see it before it takes the instance's place.
    pub review: bool,
    /// The change whose state it brings back.
    pub back_to: Option<u64>,
    /// The instance that it is tried as.
    pub candidate: Option<InstanceId>,
    /// What is different about its tools; absent: not known.
    pub tools: Option<ToolChanges>,
    /// The request that it was made of, without the values of secrets, as JSON; absent: there was none.
    pub asked: Option<String>,
    /// Those values, sealed.
    pub asked_sealed: Option<String>,
    /// What the instance is with it.
    pub what: What,
    /// The values of its secrets, sealed.
    pub secrets_sealed: Option<String>,
    /// The exact version that ran.
    pub version: Option<String>,
    /// The digest of what ran.
    pub digest: Option<String>,
    /// Who asked, such as `user:0198…`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Since when it is in its state.
    pub since: Timestamp,
    /// When it was over, one way or the other.
    pub ended_at: Option<Timestamp>,
}

/// Keeps a new change, forgets the oldest ones, and gives its number.
///
/// # Errors
/// [`StoreError::Taken`] with field `change` while the instance has an open one; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &ChangeRow) -> Result<u64, StoreError> {
    const SQL: &str = "INSERT INTO instance_changes (id, instance_id, number, state, message, changed_json, review,
            back_to, candidate_id, asked_json, asked_sealed, what_json, secrets_sealed, version, digest, created_by,
            created_at, since, ended_at)
        VALUES ($1, $2, (SELECT coalesce(max(number), 0) + 1 FROM instance_changes WHERE instance_id = $2), $3, $4, $5,
            $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT DO NOTHING RETURNING number";
    const FORGET: &str = "DELETE FROM instance_changes WHERE instance_id = $1 AND number <= $2
        AND state NOT IN ('current', 'trying', 'ready', 'switching')";
    let message = row.message.as_deref().map(shown);
    let changed = to_json("changed", &row.changed)?;
    let back_to = row.back_to.map(|number| to_bigint("back_to", number)).transpose()?;
    let asked = optional_text("asked", row.asked.as_deref())?;
    let asked_sealed = optional_text("asked_sealed", row.asked_sealed.as_deref())?;
    let what = to_json("what", &row.what)?;
    let secrets = optional_text("secrets_sealed", row.secrets_sealed.as_deref())?;
    let by = text("created_by", &row.created_by)?;
    let number: Option<i64> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(row.id.to_string())
        .bind(row.instance.to_string())
        .bind(row.state.word())
        .bind(message)
        .bind(changed)
        .bind(row.review)
        .bind(back_to)
        .bind(row.candidate.map(|id| id.to_string()))
        .bind(asked)
        .bind(asked_sealed)
        .bind(what)
        .bind(secrets)
        .bind(row.version.as_deref().map(shown))
        .bind(row.digest.as_deref().map(shown))
        .bind(by)
        .bind(row.created_at.0)
        .bind(row.since.0)
        .bind(row.ended_at.map(|at| at.0))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    let Some(number) = number else {
        return Err(StoreError::Taken { field: "change", value: "one is under way".to_owned() });
    };
    let number = count(TABLE, "number", number)?;
    if let Some(last) = number.checked_sub(KEPT) {
        let last = to_bigint("number", last)?;
        on_pool!(tx.connection(), db => sqlx::query(FORGET)
            .bind(row.instance.to_string())
            .bind(last)
            .execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    }
    Ok(number)
}

/// Brings a change on. Whether it was in the state `before`, and not changed by somebody else meanwhile.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn advance(tx: &mut Tx, before: ChangeState, now: &ChangeRow) -> Result<bool, StoreError> {
    const SQL: &str =
        "UPDATE instance_changes SET state = $3, message = $4, candidate_id = $5, tools_json = $6,
            version = $7, digest = $8, since = $9, ended_at = $10
        WHERE id = $1 AND state = $2";
    let tools = now.tools.as_ref().map(|tools| to_json("tools", tools)).transpose()?;
    let changed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(now.id.to_string())
        .bind(before.word())
        .bind(now.state.word())
        .bind(now.message.as_deref().map(shown))
        .bind(now.candidate.map(|id| id.to_string()))
        .bind(tools)
        .bind(now.version.as_deref().map(shown))
        .bind(now.digest.as_deref().map(shown))
        .bind(now.since.0)
        .bind(now.ended_at.map(|at| at.0))
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed == 1)
}

/// The change that an instance is has been replaced by another; gives how many there were, one or none.
pub async fn replace_current(tx: &mut Tx, instance: InstanceId, at: Timestamp) -> Result<u64, StoreError> {
    const SQL: &str = "UPDATE instance_changes SET state = 'replaced', since = $2
        WHERE instance_id = $1 AND state = 'current'";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(instance.to_string())
        .bind(at.0)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)
}

/// Every open change of every account, the oldest first.
pub async fn list_open(store: &Store) -> Result<Vec<ChangeRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM instance_changes WHERE state IN ('trying', 'ready', 'switching') ORDER BY id"
    );
    let found: Vec<ChangeRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// An instance's changes, the newest first.
pub async fn list(store: &Store, instance: InstanceId) -> Result<Vec<ChangeRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM instance_changes WHERE instance_id = $1 ORDER BY number DESC");
    let found: Vec<ChangeRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(instance.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

#[derive(FromRow)]
struct ChangeRaw {
    id: String,
    instance_id: String,
    number: i64,
    state: String,
    message: Option<String>,
    changed_json: String,
    review: bool,
    back_to: Option<i64>,
    candidate_id: Option<String>,
    tools_json: Option<String>,
    asked_json: Option<String>,
    asked_sealed: Option<String>,
    what_json: String,
    secrets_sealed: Option<String>,
    version: Option<String>,
    digest: Option<String>,
    created_by: String,
    created_at: i64,
    since: i64,
    ended_at: Option<i64>,
}

impl TryFrom<ChangeRaw> for ChangeRow {
    type Error = StoreError;

    fn try_from(raw: ChangeRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            instance: parsed(TABLE, "instance_id", &raw.instance_id)?,
            number: count(TABLE, "number", raw.number)?,
            state: word(TABLE, "state", &raw.state, ChangeState::of_word(&raw.state))?,
            message: raw.message,
            changed: json(TABLE, "changed_json", &raw.changed_json)?,
            review: raw.review,
            back_to: raw.back_to.map(|number| count(TABLE, "back_to", number)).transpose()?,
            candidate: raw.candidate_id.map(|id| parsed(TABLE, "candidate_id", &id)).transpose()?,
            tools: raw.tools_json.map(|tools| json(TABLE, "tools_json", &tools)).transpose()?,
            asked: raw.asked_json,
            asked_sealed: raw.asked_sealed,
            what: json(TABLE, "what_json", &raw.what_json)?,
            secrets_sealed: raw.secrets_sealed,
            version: raw.version,
            digest: raw.digest,
            created_by: raw.created_by,
            created_at: Timestamp(raw.created_at),
            since: Timestamp(raw.since),
            ended_at: raw.ended_at.map(Timestamp),
        })
    }
}
