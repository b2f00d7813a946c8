//! Where instances have left from: a move is a row here until the host that it left has confirmed that it let go.

use std::collections::BTreeMap;

use domain::ids::{EnvironmentId, InstanceId};
use domain::names::InstanceName;
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, parsed, to_bigint, to_json, word};
use crate::instances::InstanceRow;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "instance_departures";

/// One environment that an instance has left, and whose host may still have it (`instance_departures`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Which instance; it may be gone.
    pub instance: InstanceId,
    /// Which environment it left.
    pub environment: EnvironmentId,
    /// The instance's generation from then on: whatever the host has is older.
    pub generation: u64,
    /// Why it left.
    pub why: Why,
    /// When.
    pub since: Timestamp,
    /// From when on the host certainly runs it no more, though it has not confirmed that; absent: only once it confirms.
    pub free_at: Option<Timestamp>,
}

/// Why an instance left an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its owner moved it.
    Move,
    /// The environment was drained.
    Drain,
    /// The environment was lost.
    Failover,
    /// The environment's host had it, though it belongs elsewhere.
    Found,
}

impl Why {
    const ALL: [Self; 4] = [Self::Move, Self::Drain, Self::Failover, Self::Found];

    /// The word as the table has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Drain => "drain",
            Self::Failover => "failover",
            Self::Found => "found",
        }
    }
}

impl Departure {
    /// Whether the instance must not run elsewhere yet.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.free_at.is_none_or(|free_at| now < free_at)
    }
}

/// Every departure that is not confirmed, by instance.
pub async fn list_all(store: &Store) -> Result<BTreeMap<InstanceId, Vec<Departure>>, StoreError> {
    const SQL: &str =
        "SELECT instance_id, environment_id, generation, why, since, free_at FROM instance_departures";
    let found: Vec<DepartureRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut all: BTreeMap<InstanceId, Vec<Departure>> = BTreeMap::new();
    for raw in found {
        let departure = Departure::try_from(raw)?;
        all.entry(departure.instance).or_default().push(departure);
    }
    for of_one in all.values_mut() {
        of_one.sort_by_key(|departure| (departure.since, departure.environment));
    }
    Ok(all)
}

/// Moves an instance, which is to be as `before` still: its generation grows, and its host is to let go of it. Gives it back as it is
/// now; `None` when it was changed meanwhile.
///
/// # Errors
/// [`StoreError::Taken`] with field `instance_name_on_toolbox`; [`StoreError::NotFound`] when one of the environments is gone.
pub async fn depart(
    tx: &mut Tx,
    before: &InstanceRow,
    to: EnvironmentId,
    why: Why,
    free_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<Option<InstanceRow>, StoreError> {
    const MOVE: &str = "UPDATE account_tool_instances SET account_tool_environment_id = $4, generation = $5,
            observed_generation = 0, status_on_toolbox = $6, instance_error_message = NULL, report_json = NULL,
            spec_json = $7, updated_at = $8
        WHERE id = $1 AND account_tool_environment_id = $2 AND generation = $3 AND NOT deleting RETURNING id";
    // Selected from the environment, so that one that is gone gives no row rather than a broken reference.
    const LEAVE: &str = "INSERT INTO instance_departures (instance_id, environment_id, generation, why, since, free_at)
        SELECT $1, id, $3, $4, $5, $6 FROM account_tool_environments WHERE id = $2
        ON CONFLICT (instance_id, environment_id) DO UPDATE SET generation = excluded.generation, why = excluded.why,
            since = excluded.since, free_at = excluded.free_at
        RETURNING environment_id";
    let was_leaving_there = cancel(tx, before.id, to).await?;
    let mut after = before.clone();
    after.environment = to;
    after.generation = before.generation + 1;
    after.observed_generation = 0;
    after.status = InstanceStatus::PendingDeploy;
    after.message = None;
    after.report = None;
    after.updated_at = at;
    // A host that never let go of it may have an older spec, which says other things of failover.
    after.spec.moving.arrived = if was_leaving_there { 0 } else { after.generation };
    let (from, to_generation) =
        (to_bigint("generation", before.generation)?, to_bigint("generation", after.generation)?);
    let spec = to_json("spec", &after.spec)?;
    let moved: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(MOVE)
        .bind(before.id.to_string())
        .bind(before.environment.to_string())
        .bind(from)
        .bind(to.to_string())
        .bind(to_generation)
        .bind(after.status.word())
        .bind(spec)
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(|e| {
        StoreError::from_write(e, &[("instance_name_on_toolbox", &before.instance_name_on_toolbox)])
    })?;
    if moved.is_none() {
        return Ok(None);
    }
    let left: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(LEAVE)
        .bind(before.id.to_string())
        .bind(before.environment.to_string())
        .bind(to_generation)
        .bind(why.word())
        .bind(at.0)
        .bind(free_at.map(|at| at.0))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    left.map(|_| Some(after)).ok_or(StoreError::NotFound { what: "environment" })
}

/// Notes that the host of `environment` has an instance that belongs to another environment, so that it is told to remove it. Nothing
/// is changed when it is known, or when the instance is of this environment or gone.
pub async fn note_found(
    tx: &mut Tx,
    instance: InstanceId,
    environment: EnvironmentId,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO instance_departures (instance_id, environment_id, generation, why, since, free_at)
        SELECT id, $2, generation, $3, $4, NULL FROM account_tool_instances
        WHERE id = $1 AND account_tool_environment_id <> $2
            AND account_id = (SELECT account_id FROM account_tool_environments WHERE id = $2)
        ON CONFLICT (instance_id, environment_id) DO NOTHING";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(instance.to_string())
        .bind(environment.to_string())
        .bind(Why::Found.word())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Drops a departure, unless the instance has left there anew since.
pub async fn confirm(tx: &mut Tx, departure: &Departure) -> Result<(), StoreError> {
    const SQL: &str =
        "DELETE FROM instance_departures WHERE instance_id = $1 AND environment_id = $2 AND generation = $3";
    let generation = to_bigint("generation", departure.generation)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(departure.instance.to_string())
        .bind(departure.environment.to_string())
        .bind(generation)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The names of instances that an environment's host has not let go of, and that are elsewhere, sorted.
pub async fn leaving(store: &Store, environment: EnvironmentId) -> Result<Vec<InstanceName>, StoreError> {
    const SQL: &str = "SELECT name FROM account_tool_instances JOIN instance_departures ON id = instance_id
        WHERE environment_id = $1 AND NOT deleting";
    let names: Vec<String> =
        on_pool!(store.read(), db => sqlx::query_scalar(SQL).bind(environment.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let names = names.iter().map(|name| parsed("account_tool_instances", "name", name));
    let mut names = names.collect::<Result<Vec<InstanceName>, _>>()?;
    names.sort();
    Ok(names)
}

/// Drops the departure from an environment; whether there was one.
async fn cancel(tx: &mut Tx, instance: InstanceId, environment: EnvironmentId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM instance_departures WHERE instance_id = $1 AND environment_id = $2 RETURNING instance_id";
    let gone: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(instance.to_string())
        .bind(environment.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(gone.is_some())
}

#[derive(FromRow)]
struct DepartureRaw {
    instance_id: String,
    environment_id: String,
    generation: i64,
    why: String,
    since: i64,
    free_at: Option<i64>,
}

impl TryFrom<DepartureRaw> for Departure {
    type Error = StoreError;

    fn try_from(raw: DepartureRaw) -> Result<Self, StoreError> {
        let why = Why::ALL.into_iter().find(|why| why.word() == raw.why);
        Ok(Self {
            instance: parsed(TABLE, "instance_id", &raw.instance_id)?,
            environment: parsed(TABLE, "environment_id", &raw.environment_id)?,
            generation: count(TABLE, "generation", raw.generation)?,
            why: word(TABLE, "why", &raw.why, why)?,
            since: Timestamp(raw.since),
            free_at: raw.free_at.map(Timestamp),
        })
    }
}
