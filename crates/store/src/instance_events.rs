//! What became of instances: their states as they were taken in, the newest of each instance.

use api::instance_events::EventKind;
use domain::ids::{InstanceEventId, InstanceId};
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{parsed, shown, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "instance_events";
/// How many are kept of each instance: one that crashes all day must not fill the disk.
pub const KEPT: i64 = 500;

/// One row (`instance_events`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceEventRow {
    /// Its id; orders events by when they were written.
    pub id: InstanceEventId,
    /// Of which instance.
    pub instance: InstanceId,
    /// When it was taken in.
    pub at: Timestamp,
    /// What it is.
    pub kind: EventKind,
    /// The state that began; of [`EventKind::Status`] alone.
    pub status: Option<InstanceStatus>,
    /// Why, in words for people.
    pub message: Option<String>,
}

/// Adds one, in the transaction of what it tells about, and removes the oldest when there are too many.
pub async fn append(tx: &mut Tx, row: &InstanceEventRow) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO instance_events (id, instance_id, at, kind, status, message)
        VALUES ($1, $2, $3, $4, $5, $6)";
    const TRIM: &str = "DELETE FROM instance_events WHERE instance_id = $1 AND id <=
        (SELECT id FROM instance_events WHERE instance_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    let (id, instance) = (row.id.to_string(), row.instance.to_string());
    on_pool!(tx.connection(), db => {
        sqlx::query(INSERT)
            .bind(id)
            .bind(&instance)
            .bind(row.at.0)
            .bind(row.kind.word())
            .bind(row.status.map(InstanceStatus::word))
            .bind(row.message.as_deref().map(shown))
            .execute(&mut *db).await
            .map_err(StoreError::from_driver)?;
        sqlx::query(TRIM).bind(&instance).bind(KEPT).execute(db).await.map(drop)
    })
    .map_err(StoreError::from_driver)
}

/// The events of an instance, newest first.
pub async fn list(
    store: &Store,
    instance: InstanceId,
    limit: u32,
) -> Result<Vec<InstanceEventRow>, StoreError> {
    const SQL: &str = "SELECT id, instance_id, at, kind, status, message FROM instance_events
        WHERE instance_id = $1 ORDER BY id DESC LIMIT $2";
    let found: Vec<EventRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(instance.to_string())
        .bind(i64::from(limit))
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

#[derive(FromRow)]
struct EventRaw {
    id: String,
    instance_id: String,
    at: i64,
    kind: String,
    status: Option<String>,
    message: Option<String>,
}

impl TryFrom<EventRaw> for InstanceEventRow {
    type Error = StoreError;

    fn try_from(raw: EventRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            instance: parsed(TABLE, "instance_id", &raw.instance_id)?,
            at: Timestamp(raw.at),
            kind: word(TABLE, "kind", &raw.kind, EventKind::of_word(&raw.kind))?,
            status: raw
                .status
                .map(|status| word(TABLE, "status", &status, InstanceStatus::of_word(&status)))
                .transpose()?,
            message: raw.message,
        })
    }
}
