//! The versions of what came from a source of the catalog, as it published them. What a version is never changes here.

use domain::catalog::Standing;
use domain::ids::CatalogEntryId;
use domain::server_json::Document;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{json, optional_text, text, to_json, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

macro_rules! columns {
    () => {
        "version, server_json, v.status, v.status_message, v.is_latest_there, v.is_latest, v.published_at, v.updated_at"
    };
}

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRow {
    /// What its source says of it.
    pub document: Document,
    /// Whether it is the version that people get.
    pub is_latest: bool,
}

/// Keeps a version, or how one that is there stands now: what it is stays as it was.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn put(
    tx: &mut Tx,
    entry: CatalogEntryId,
    row: &VersionRow,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO catalog_versions
        (tool_catalog_id, version, server_json, status, status_message, is_latest_there, is_latest, published_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (tool_catalog_id, version) DO UPDATE SET
            status = excluded.status, status_message = excluded.status_message,
            is_latest_there = excluded.is_latest_there, is_latest = excluded.is_latest,
            published_at = excluded.published_at, updated_at = excluded.updated_at";
    let document = &row.document;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(entry.to_string())
        .bind(text("version", &document.version)?)
        .bind(to_json("server", &document.server)?)
        .bind(document.status.as_str())
        .bind(optional_text("status_message", document.status_message.as_deref())?)
        .bind(document.is_latest)
        .bind(row.is_latest)
        .bind(document.published_at.map(|at| at.0))
        .bind(document.updated_at.unwrap_or(at).0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Forgets the versions of an entry, because somebody else takes its name over.
pub async fn clear(tx: &mut Tx, entry: CatalogEntryId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM catalog_versions WHERE tool_catalog_id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(entry.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// The versions of an entry, inside a change.
pub async fn of_entry(tx: &mut Tx, entry: CatalogEntryId) -> Result<Vec<VersionRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT c.name, v.",
        columns!(),
        " FROM catalog_versions v JOIN tool_catalog c ON c.id = v.tool_catalog_id WHERE c.id = $1"
    );
    let found: Vec<Raw> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(entry.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// The versions of a name, those that were published last first.
pub async fn of_name(store: &Store, name: &str) -> Result<Vec<VersionRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT c.name, v.",
        columns!(),
        " FROM catalog_versions v JOIN tool_catalog c ON c.id = v.tool_catalog_id WHERE c.name = $1"
    );
    let name = text("name", name)?;
    let found: Vec<Raw> = on_pool!(store.read(), db => sqlx::query_as(SQL).bind(name).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<VersionRow>, _>>()?;
    rows.sort_by_key(|row| std::cmp::Reverse((row.is_latest, row.document.published_at)));
    Ok(rows)
}

/// Which versions are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Those after this name and version, in the database's own order.
    pub after: Option<(&'a str, &'a str)>,
    /// How many.
    pub limit: u32,
    /// A text that their name has, whatever the case.
    pub search: &'a str,
    /// Those that changed since.
    pub updated_since: Option<Timestamp>,
    /// Only the versions that people get.
    pub only_latest: bool,
    /// Those that were withdrawn, too.
    pub with_deleted: bool,
    /// Also of entries of this source, which the others are not shown.
    pub hidden_source: &'a str,
}

/// A page of versions.
pub async fn page(store: &Store, wanted: &Wanted<'_>) -> Result<Vec<VersionRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT c.name, v.",
        columns!(),
        " FROM catalog_versions v JOIN tool_catalog c ON c.id = v.tool_catalog_id
        WHERE ($1 = '' OR c.name > $1 OR (c.name = $1 AND v.version > $2))
            AND lower(c.name) LIKE $3 ESCAPE '!'
            AND v.updated_at >= $4
            AND ($5 = 0 OR v.is_latest)
            AND ($6 = 1 OR v.status <> 'deleted')
            AND c.source <> $7
        ORDER BY c.name, v.version LIMIT $8"
    );
    let (name, version) = wanted.after.unwrap_or_default();
    let pattern: String = wanted
        .search
        .to_lowercase()
        .chars()
        .flat_map(|c| if matches!(c, '%' | '_' | '!') { vec!['!', c] } else { vec![c] })
        .collect();
    let found: Vec<Raw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(text("cursor", name)?)
        .bind(text("cursor", version)?)
        .bind(text("search", &format!("%{pattern}%"))?)
        .bind(wanted.updated_since.map_or(i64::MIN, |at| at.0))
        .bind(i64::from(wanted.only_latest))
        .bind(i64::from(wanted.with_deleted))
        .bind(text("source", wanted.hidden_source)?)
        .bind(i64::from(wanted.limit))
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

#[derive(FromRow)]
struct Raw {
    name: String,
    version: String,
    server_json: String,
    status: String,
    status_message: Option<String>,
    is_latest_there: Option<bool>,
    is_latest: bool,
    published_at: Option<i64>,
    updated_at: i64,
}

impl TryFrom<Raw> for VersionRow {
    type Error = StoreError;

    fn try_from(raw: Raw) -> Result<Self, StoreError> {
        const TABLE: &str = "catalog_versions";
        Ok(Self {
            document: Document {
                status: word(TABLE, "status", &raw.status, Standing::of_word(&raw.status))?,
                server: json(TABLE, "server_json", &raw.server_json)?,
                name: raw.name,
                version: raw.version,
                status_message: raw.status_message,
                is_latest: raw.is_latest_there,
                published_at: raw.published_at.map(Timestamp),
                updated_at: Some(Timestamp(raw.updated_at)),
            },
            is_latest: raw.is_latest,
        })
    }
}
