//! Where the catalog is read from: registries by their address, and how far the last reading came.

use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{count, optional_text, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

macro_rules! columns {
    () => {
        "name, url, created_by, created_at, due_at, claimed_until, updated_since, entries, skipped, started_at, finished_at, error"
    };
}

/// One source (`catalog_sources`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// Its address: of a registry, or of a document.
    pub url: String,
    /// Who added it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it is read next.
    pub due_at: Timestamp,
    /// Until when somebody reads it.
    pub claimed_until: Option<Timestamp>,
    /// The newest change that a whole reading has seen, by the source's clock.
    pub updated_since: Option<Timestamp>,
    /// Entries that the reading under way, or the last one, has seen.
    pub entries: u64,
    /// Those of them that were not taken.
    pub skipped: u64,
    /// When the reading began.
    pub started_at: Option<Timestamp>,
    /// When it ended; absent while it is under way, and before the first.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Adds a source that is due at once.
///
/// # Errors
/// [`StoreError::Taken`] when there is one of the name; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, name: &str, url: &str, by: &str, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO catalog_sources (name, url, created_by, created_at, due_at) VALUES ($1, $2, $3, $4, $4)";
    let (name, url, by) = (text("name", name)?, text("url", url)?, text("created_by", by)?);
    on_pool!(tx.connection(), db =>
        sqlx::query(SQL).bind(name).bind(url).bind(by).bind(at.0).execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("name", name)]))
}

/// All sources, by name.
pub async fn list(store: &Store) -> Result<Vec<SourceRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM catalog_sources");
    let found: Vec<Raw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<SourceRow>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// Has a source read as soon as possible.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn ask(tx: &mut Tx, name: &str, at: Timestamp) -> Result<SourceRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE catalog_sources SET due_at = $2, finished_at = NULL WHERE name = $1 RETURNING ",
        columns!()
    );
    let name = text("name", name)?;
    let found: Option<Raw> = on_pool!(tx.connection(), db =>
        sqlx::query_as(SQL).bind(name).bind(at.0).fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "source of the catalog" })?.try_into()
}

/// Removes a source; what came from it is [`crate::catalog::forget_source`]'s.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn remove(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM catalog_sources WHERE name = $1 RETURNING name";
    let name = text("name", name)?;
    let found: Option<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(name).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(drop).ok_or(StoreError::NotFound { what: "source of the catalog" })
}

/// Takes a source that is due and that nobody reads, until `until`.
pub async fn claim(tx: &mut Tx, at: Timestamp, until: Timestamp) -> Result<Option<SourceRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE catalog_sources SET claimed_until = $2, started_at = $1, finished_at = NULL, entries = 0, skipped = 0,
            error = NULL
        WHERE name = (SELECT name FROM catalog_sources
            WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until < $1) ORDER BY due_at LIMIT 1)
            AND (claimed_until IS NULL OR claimed_until < $1)
        RETURNING ",
        columns!()
    );
    let found: Option<Raw> = on_pool!(tx.connection(), db =>
        sqlx::query_as(SQL).bind(at.0).bind(until.0).fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Notes how far a reading is.
///
/// # Errors
/// [`StoreError::NotFound`] when the source was removed meanwhile.
pub async fn progress(
    tx: &mut Tx,
    name: &str,
    (entries, skipped): (u64, u64),
    until: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE catalog_sources SET entries = $2, skipped = $3, claimed_until = $4 WHERE name = $1 RETURNING name";
    let (name, bigint) = (text("name", name)?, |number: u64| i64::try_from(number).unwrap_or(i64::MAX));
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(name)
        .bind(bigint(entries))
        .bind(bigint(skipped))
        .bind(until.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(drop).ok_or(StoreError::NotFound { what: "source of the catalog" })
}

/// How a reading ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// When.
    pub at: Timestamp,
    /// When the next one is due.
    pub due_at: Timestamp,
    /// The newest change that was seen; absent: as before.
    pub updated_since: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<&'a str>,
}

/// Gives a source back. One that was removed meanwhile is no error.
pub async fn end(tx: &mut Tx, name: &str, ended: &Ended<'_>) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE catalog_sources SET claimed_until = NULL, finished_at = $2, due_at = $3,
        updated_since = coalesce($4, updated_since), error = $5 WHERE name = $1";
    let (name, error) = (text("name", name)?, optional_text("error", ended.error)?);
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(name)
        .bind(ended.at.0)
        .bind(ended.due_at.0)
        .bind(ended.updated_since.map(|at| at.0))
        .bind(error)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct Raw {
    name: String,
    url: String,
    created_by: String,
    created_at: i64,
    due_at: i64,
    claimed_until: Option<i64>,
    updated_since: Option<i64>,
    entries: i64,
    skipped: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    error: Option<String>,
}

impl TryFrom<Raw> for SourceRow {
    type Error = StoreError;

    fn try_from(raw: Raw) -> Result<Self, StoreError> {
        Ok(Self {
            entries: count("catalog_sources", "entries", raw.entries)?,
            skipped: count("catalog_sources", "skipped", raw.skipped)?,
            name: raw.name,
            url: raw.url,
            created_by: raw.created_by,
            created_at: Timestamp(raw.created_at),
            due_at: Timestamp(raw.due_at),
            claimed_until: raw.claimed_until.map(Timestamp),
            updated_since: raw.updated_since.map(Timestamp),
            started_at: raw.started_at.map(Timestamp),
            finished_at: raw.finished_at.map(Timestamp),
            error: raw.error,
        })
    }
}
