//! What instances used and how they were called, by the minute and by the hour. Rows are written whole, again and again while their span lasts,
//! and removed when they are older than they are kept.

use domain::ids::{AccountId, InstanceId};
use domain::measure::Measure;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, json, parsed, text, to_bigint, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "instance_metrics";
/// Rows of one statement, fourteen values each.
const ROWS: usize = 500;

/// How long the span of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Step {
    /// In seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// One row (`instance_metrics`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsRow {
    /// Of which instance.
    pub instance: InstanceId,
    /// How long its span is.
    pub step: Step,
    /// When the span begins.
    pub at: Timestamp,
    /// Which process saw it.
    pub writer: String,
    /// What it saw.
    pub measure: Measure,
}

/// Writes rows as they are now. Those of instances that are gone are left out.
///
/// # Errors
/// [`StoreError::Invalid`] for a sum beyond an `i64`.
pub async fn put(tx: &mut Tx, rows: &[MetricsRow]) -> Result<(), StoreError> {
    const INTO: &str =
        "INSERT INTO instance_metrics (instance_id, step, at, writer, memory_samples, memory_sum, memory_max,
        cpu_samples, cpu_sum, cpu_max, calls, errors, refused, took_json)
        SELECT * FROM (";
    const WHERE: &str = ") AS v WHERE EXISTS (SELECT 1 FROM account_tool_instances i WHERE i.id = v.column1)
        ON CONFLICT (instance_id, step, at, writer) DO UPDATE SET
            memory_samples = excluded.memory_samples, memory_sum = excluded.memory_sum, memory_max = excluded.memory_max,
            cpu_samples = excluded.cpu_samples, cpu_sum = excluded.cpu_sum, cpu_max = excluded.cpu_max,
            calls = excluded.calls, errors = excluded.errors, refused = excluded.refused, took_json = excluded.took_json";
    for rows in rows.chunks(ROWS) {
        let rows = rows.iter().map(values).collect::<Result<Vec<_>, StoreError>>()?;
        on_pool!(tx.connection(), db => {
            let mut query = sqlx::QueryBuilder::new(INTO);
            query.push_values(rows, |mut values, row| {
                values.push_bind(row.instance).push_bind(row.step).push_bind(row.at).push_bind(row.writer);
                for number in row.numbers {
                    values.push_bind(number);
                }
                values.push_bind(row.took);
            });
            query.push(WHERE);
            // The text depends on how many there are, so it is not worth keeping.
            query.build().persistent(false).execute(db).await.map(drop)
        })
        .map_err(StoreError::from_driver)?;
    }
    Ok(())
}

struct Values {
    instance: String,
    step: i64,
    at: i64,
    writer: String,
    numbers: [i64; 9],
    took: String,
}

fn values(row: &MetricsRow) -> Result<Values, StoreError> {
    let seen = &row.measure;
    let mut numbers = [0; 9];
    let named = [
        ("memory_samples", seen.memory_samples),
        ("memory_sum", seen.memory_sum),
        ("memory_max", seen.memory_max),
        ("cpu_samples", seen.cpu_samples),
        ("cpu_sum", seen.cpu_sum),
        ("cpu_max", seen.cpu_max),
        ("calls", seen.calls),
        ("errors", seen.errors),
        ("refused", seen.refused),
    ];
    for (place, (field, number)) in numbers.iter_mut().zip(named) {
        *place = to_bigint(field, number)?;
    }
    Ok(Values {
        instance: row.instance.to_string(),
        step: row.step.seconds(),
        at: row.at.0,
        writer: text("writer", &row.writer)?.to_owned(),
        numbers,
        took: to_json("took", &seen.took)?,
    })
}

/// The rows of an instance whose span begins at `since` or later, by time.
pub async fn of_instance(
    store: &Store,
    instance: InstanceId,
    step: Step,
    since: Timestamp,
) -> Result<Vec<MetricsRow>, StoreError> {
    const SQL: &str = "SELECT instance_id, at, writer, memory_samples, memory_sum, memory_max, cpu_samples, cpu_sum, cpu_max,
            calls, errors, refused, took_json
        FROM instance_metrics WHERE instance_id = $1 AND step = $2 AND $3 <= at ORDER BY at, writer";
    let found: Vec<MetricsRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(instance.to_string())
        .bind(step.seconds())
        .bind(since.0)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(|raw| raw.row(step)).collect()
}

/// The rows of all of an account's instances whose span begins at `since` or later.
pub async fn of_account(
    store: &Store,
    account: AccountId,
    step: Step,
    since: Timestamp,
) -> Result<Vec<MetricsRow>, StoreError> {
    const SQL: &str =
        "SELECT m.instance_id, m.at, m.writer, m.memory_samples, m.memory_sum, m.memory_max, m.cpu_samples,
            m.cpu_sum, m.cpu_max, m.calls, m.errors, m.refused, m.took_json
        FROM instance_metrics m JOIN account_tool_instances i ON i.id = m.instance_id
        WHERE i.account_id = $1 AND m.step = $2 AND $3 <= m.at";
    let found: Vec<MetricsRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(step.seconds())
        .bind(since.0)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(|raw| raw.row(step)).collect()
}

/// Removes the rows of this step whose span began before `before`, of all accounts.
pub async fn prune(tx: &mut Tx, step: Step, before: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM instance_metrics WHERE step = $1 AND at < $2";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(step.seconds())
        .bind(before.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct MetricsRaw {
    instance_id: String,
    at: i64,
    writer: String,
    memory_samples: i64,
    memory_sum: i64,
    memory_max: i64,
    cpu_samples: i64,
    cpu_sum: i64,
    cpu_max: i64,
    calls: i64,
    errors: i64,
    refused: i64,
    took_json: String,
}

impl MetricsRaw {
    fn row(self, step: Step) -> Result<MetricsRow, StoreError> {
        Ok(MetricsRow {
            instance: parsed(TABLE, "instance_id", &self.instance_id)?,
            step,
            at: Timestamp(self.at),
            writer: self.writer,
            measure: Measure {
                memory_samples: count(TABLE, "memory_samples", self.memory_samples)?,
                memory_sum: count(TABLE, "memory_sum", self.memory_sum)?,
                memory_max: count(TABLE, "memory_max", self.memory_max)?,
                cpu_samples: count(TABLE, "cpu_samples", self.cpu_samples)?,
                cpu_sum: count(TABLE, "cpu_sum", self.cpu_sum)?,
                cpu_max: count(TABLE, "cpu_max", self.cpu_max)?,
                calls: count(TABLE, "calls", self.calls)?,
                errors: count(TABLE, "errors", self.errors)?,
                refused: count(TABLE, "refused", self.refused)?,
                took: json(TABLE, "took_json", &self.took_json)?,
            },
        })
    }
}
