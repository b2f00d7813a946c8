//! What is or was broken: one row for each trouble, and beside it what is to be said of it to whom ([`deliveries`]).
//!
//! Several control planes may look at once, so every change says what it was planned from, and tells whether it was the one.

pub mod deliveries;

use domain::alerts::{AlertKind, Trouble};
use domain::ids::{AccountId, AlertId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, parsed, shown, to_bigint, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "alerts";

macro_rules! columns {
    () => {
        "id, account_id, kind, subject_id, subject_name, environment_name, message, broken_since, well_since, \
         told_at, healed_at"
    };
}
pub(crate) use columns;

/// One trouble (`alerts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// Its id.
    pub id: AlertId,
    /// Whose subject it is.
    pub account: AccountId,
    /// What is broken.
    pub kind: AlertKind,
    /// The id of the subject, an environment or an instance, which may be gone.
    pub subject: String,
    /// Its name when that was last seen broken.
    pub subject_name: String,
    /// The environment of an instance.
    pub environment_name: Option<String>,
    /// What is wrong, for people.
    pub message: String,
    /// How far it is.
    pub trouble: Trouble,
    /// When it was over, which was told.
    pub healed_at: Option<Timestamp>,
}

/// A trouble with how it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAlert {
    /// It.
    pub row: AlertRow,
    /// Messages about it that no receiver took yet.
    pub undelivered: u64,
    /// Why, of one of them.
    pub delivery_trouble: Option<String>,
}

/// Keeps a trouble that begins, unless its subject has one of that kind already. Whether it did.
///
/// # Errors
/// What the driver says.
pub async fn open(tx: &mut Tx, row: &AlertRow) -> Result<bool, StoreError> {
    const SQL: &str =
        "INSERT INTO alerts (id, account_id, kind, subject_id, subject_name, environment_name, message,
            broken_since, told_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let made = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(row.kind.word())
        .bind(shown(&row.subject))
        .bind(shown(&row.subject_name))
        .bind(row.environment_name.as_deref().map(shown))
        .bind(shown(&row.message))
        .bind(row.trouble.broken_since.0)
        .bind(row.trouble.told_at.map(|at| at.0))
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(made == 1)
}

/// Notes that a trouble that was `before` is like this now. Whether it was still as before, and is not over.
///
/// # Errors
/// What the driver says.
pub async fn advance(
    tx: &mut Tx,
    before: &AlertRow,
    now: Trouble,
    message: &str,
) -> Result<bool, StoreError> {
    // Compared as numbers, because `IS NOT DISTINCT FROM` is not in every SQLite.
    const SQL: &str = "UPDATE alerts SET well_since = $2, told_at = $3, message = $4
        WHERE id = $1 AND healed_at IS NULL AND coalesce(told_at, 0) = $5 AND coalesce(well_since, 0) = $6";
    let changed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(before.id.to_string())
        .bind(now.well_since.map(|at| at.0))
        .bind(now.told_at.map(|at| at.0))
        .bind(shown(message))
        .bind(before.trouble.told_at.map_or(0, |at| at.0))
        .bind(before.trouble.well_since.map_or(0, |at| at.0))
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed == 1)
}

/// Closes a trouble that was told. Whether it was open.
///
/// # Errors
/// What the driver says.
pub async fn heal(tx: &mut Tx, id: AlertId, at: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str =
        "UPDATE alerts SET healed_at = $2 WHERE id = $1 AND healed_at IS NULL AND told_at IS NOT NULL";
    let changed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed == 1)
}

/// Forgets a trouble that nobody was told of.
///
/// # Errors
/// What the driver says.
pub async fn forget(tx: &mut Tx, id: AlertId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM alerts WHERE id = $1 AND told_at IS NULL";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(id.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// Removes what was over before a moment, with what was still to be said of it. How many.
///
/// # Errors
/// What the driver says.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM alerts WHERE healed_at < $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(before.0)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)
}

/// Every trouble of every account that is not over.
pub async fn list_open(store: &Store) -> Result<Vec<AlertRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM alerts WHERE healed_at IS NULL");
    let found: Vec<AlertRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// An account's troubles that were told, the newest `limit` of them: open ones first, then the newest.
///
/// # Errors
/// [`StoreError::Invalid`] for a limit beyond an `i64`.
pub async fn list(store: &Store, account: AccountId, limit: u64) -> Result<Vec<ListedAlert>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        ", (SELECT count(*) FROM alert_deliveries WHERE alert_id = id AND done_at IS NULL) AS undelivered,
        (SELECT max(trouble) FROM alert_deliveries WHERE alert_id = id AND done_at IS NULL) AS delivery_trouble
        FROM alerts WHERE account_id = $1 AND told_at IS NOT NULL
        ORDER BY CASE WHEN healed_at IS NULL THEN 0 ELSE 1 END, told_at DESC, id DESC LIMIT $2"
    );
    let limit = to_bigint("limit", limit)?;
    let found: Vec<ListedRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(limit)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found
        .into_iter()
        .map(|raw| {
            Ok(ListedAlert {
                row: raw.alert.try_into()?,
                undelivered: count(TABLE, "undelivered", raw.undelivered)?,
                delivery_trouble: raw.delivery_trouble,
            })
        })
        .collect()
}

#[derive(FromRow)]
pub(crate) struct AlertRaw {
    id: String,
    account_id: String,
    kind: String,
    subject_id: String,
    subject_name: String,
    environment_name: Option<String>,
    message: String,
    broken_since: i64,
    well_since: Option<i64>,
    told_at: Option<i64>,
    healed_at: Option<i64>,
}

#[derive(FromRow)]
struct ListedRaw {
    #[sqlx(flatten)]
    alert: AlertRaw,
    undelivered: i64,
    delivery_trouble: Option<String>,
}

impl TryFrom<AlertRaw> for AlertRow {
    type Error = StoreError;

    fn try_from(raw: AlertRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            kind: word(TABLE, "kind", &raw.kind, AlertKind::of_word(&raw.kind))?,
            subject: raw.subject_id,
            subject_name: raw.subject_name,
            environment_name: raw.environment_name,
            message: raw.message,
            trouble: Trouble {
                broken_since: Timestamp(raw.broken_since),
                well_since: raw.well_since.map(Timestamp),
                told_at: raw.told_at.map(Timestamp),
            },
            healed_at: raw.healed_at.map(Timestamp),
        })
    }
}
