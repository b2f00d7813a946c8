//! The audit of calls: a line for every request at an MCP address. Lines are added many at a time and read, never changed, and removed only
//! when they are older than the installation keeps them.

use api::audit::CallOutcome;
use domain::ids::{AccountId, CallId, InstanceId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, parsed, shown, text, to_bigint, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "call_audit";
/// Rows of one statement: thirteen values each, of which SQLite takes 32,766 and PostgreSQL 65,535.
const ROWS: usize = 500;
/// Rows that are removed in one transaction, so that nobody waits long for it.
const PRUNED: i64 = 10_000;

/// One line (`call_audit`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    /// Its id, which orders lines by when they were written.
    pub id: CallId,
    /// In which account.
    pub account: AccountId,
    /// When the request came.
    pub at: Timestamp,
    /// Until its answer was complete, in microseconds.
    pub took: u64,
    /// Who, such as `user:0198…`.
    pub actor: String,
    /// What they showed, such as `token:0198…`.
    pub credential: Option<String>,
    /// Which instance, when there was one that serves.
    pub instance_id: Option<InstanceId>,
    /// Its name as the address has it.
    pub instance: String,
    /// Such as `tools/call`.
    pub method: String,
    /// The tool, prompt or resource.
    pub name: Option<String>,
    /// What came of it.
    pub result: CallOutcome,
    /// The HTTP status of the answer; 0 when there was none.
    pub status: u16,
    /// The parameters as JSON, when they are kept, without secrets.
    pub arguments: Option<String>,
}

/// Adds lines. What callers wrote into them is kept as it can be: NUL becomes U+FFFD.
pub async fn append(tx: &mut Tx, rows: &[CallRow]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO call_audit (id, account_id, at, took, actor, credential, instance_id, instance, method, name, \
        result, status, arguments) ";
    for rows in rows.chunks(ROWS) {
        let rows = rows.iter().map(|row| Ok((row, to_bigint("took", row.took)?)));
        let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
        on_pool!(tx.connection(), db => {
            let mut query = sqlx::QueryBuilder::new(SQL);
            query.push_values(rows, |mut values, (row, took)| {
                values
                    .push_bind(row.id.to_string())
                    .push_bind(row.account.to_string())
                    .push_bind(row.at.0)
                    .push_bind(took)
                    .push_bind(shown(&row.actor))
                    .push_bind(row.credential.as_deref().map(shown))
                    .push_bind(row.instance_id.map(|id| id.to_string()))
                    .push_bind(shown(&row.instance))
                    .push_bind(shown(&row.method))
                    .push_bind(row.name.as_deref().map(shown))
                    .push_bind(row.result.word())
                    .push_bind(i64::from(row.status))
                    .push_bind(row.arguments.as_deref().map(shown));
            });
            // The text depends on how many there are, so it is not worth keeping.
            query.build().persistent(false).execute(db).await.map(drop)
        })
        .map_err(StoreError::from_driver)?;
    }
    Ok(())
}

/// Which lines of an account are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// None of a request that came earlier.
    pub since: Option<Timestamp>,
    /// Of the instance with this name or id.
    pub instance: Option<&'a str>,
    /// Methods that begin so.
    pub method: Option<&'a str>,
    /// Of the tool, prompt or resource of this name.
    pub name: Option<&'a str>,
    /// Of this actor, credential, or user's name.
    pub by: Option<&'a str>,
    /// With this result.
    pub result: Option<CallOutcome>,
    /// Those that come after this one.
    pub after: Option<CallId>,
    /// How many.
    pub limit: u32,
}

/// Lines of an account, newest first, each with the name of the user who is its actor.
pub async fn list(
    store: &Store,
    account: AccountId,
    wanted: &Wanted<'_>,
) -> Result<Vec<(CallRow, Option<String>)>, StoreError> {
    // A prefix is compared as such: LIKE would take `_` for any character, and upper case for lower in SQLite.
    const SQL: &str = "SELECT c.id, account_id, at, took, actor, credential, instance_id, instance, method, c.name, result, status, arguments,
            u.name AS actor_name
        FROM call_audit c LEFT JOIN users u ON c.actor = 'user:' || u.id
        WHERE account_id = $1 AND $2 <= at AND substr(method, 1, length($3)) = $3
            AND ($4 = '' OR instance = $4 OR instance_id = $4)
            AND ($5 = '' OR c.name = $5)
            AND ($6 = '' OR actor = $6 OR credential = $6 OR u.name = $6)
            AND ($7 = '' OR result = $7)
            AND ($8 = '' OR c.id < $8)
        ORDER BY c.id DESC LIMIT $9";
    let method = text("method", wanted.method.unwrap_or_default())?;
    let instance = text("instance", wanted.instance.unwrap_or_default())?;
    let name = text("name", wanted.name.unwrap_or_default())?;
    let by = text("by", wanted.by.unwrap_or_default())?;
    let found: Vec<ListedRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(wanted.since.map_or(i64::MIN, |at| at.0))
        .bind(method)
        .bind(instance)
        .bind(name)
        .bind(by)
        .bind(wanted.result.map(CallOutcome::word).unwrap_or_default())
        .bind(wanted.after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(wanted.limit))
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(|raw| Ok((raw.line.try_into()?, raw.actor_name))).collect()
}

/// Removes some of the lines of requests that came before `before`, of all accounts; whether there may be more.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM call_audit WHERE (account_id, id) IN
        (SELECT account_id, id FROM call_audit WHERE at < $1 ORDER BY at LIMIT $2)";
    let removed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(before.0)
        .bind(PRUNED)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(PRUNED.unsigned_abs() <= removed)
}

#[derive(FromRow)]
struct ListedRaw {
    #[sqlx(flatten)]
    line: CallRaw,
    actor_name: Option<String>,
}

#[derive(FromRow)]
struct CallRaw {
    id: String,
    account_id: String,
    at: i64,
    took: i64,
    actor: String,
    credential: Option<String>,
    instance_id: Option<String>,
    instance: String,
    method: String,
    name: Option<String>,
    result: String,
    status: i64,
    arguments: Option<String>,
}

impl TryFrom<CallRaw> for CallRow {
    type Error = StoreError;

    fn try_from(raw: CallRaw) -> Result<Self, StoreError> {
        let status = u16::try_from(raw.status).map_err(|e| StoreError::Corrupt {
            table: TABLE,
            column: "status",
            source: Box::new(e),
        })?;
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            at: Timestamp(raw.at),
            took: count(TABLE, "took", raw.took)?,
            actor: raw.actor,
            credential: raw.credential,
            instance_id: raw.instance_id.as_deref().map(|id| parsed(TABLE, "instance_id", id)).transpose()?,
            instance: raw.instance,
            method: raw.method,
            name: raw.name,
            result: word(TABLE, "result", &raw.result, CallOutcome::of_word(&raw.result))?,
            status,
            arguments: raw.arguments,
        })
    }
}
