//! The catalog: what can be deployed. Searching in it is its reader's business.

use domain::catalog::{CatalogEntry, Kind, Standing, Transport};
use domain::ids::CatalogEntryId;
use domain::package::Package;
use domain::time::Timestamp;

use crate::columns::{json, optional_text, parsed, text, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

/// Makes an entry or replaces the one of the same id. `provider` says whose it is, such as `Official`.
///
/// # Errors
/// [`StoreError::Taken`] when an entry of another id has the name; [`StoreError::Invalid`].
pub async fn upsert(
    tx: &mut Tx,
    entry: &CatalogEntry,
    provider: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO tool_catalog (id, tool_name, name, description, documentation_url, category,
            categories, provider, packaging_type, package_identifier, version_info, version,
            default_config_template, required_secrets_schema, required_config_schema, entry_json,
            created_at, updated_at, developer_org_name, icon_url, status, source, repository_url, is_verified, published_at)
        VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17, $18, $19, $20, $21, $22, $23)
        ON CONFLICT (id) DO UPDATE SET
            tool_name = excluded.tool_name, name = excluded.name, description = excluded.description,
            documentation_url = excluded.documentation_url, category = excluded.category,
            categories = excluded.categories, provider = excluded.provider,
            packaging_type = excluded.packaging_type, package_identifier = excluded.package_identifier,
            version_info = excluded.version_info, version = excluded.version,
            default_config_template = excluded.default_config_template,
            required_secrets_schema = excluded.required_secrets_schema,
            required_config_schema = excluded.required_config_schema, entry_json = excluded.entry_json,
            updated_at = excluded.updated_at, developer_org_name = excluded.developer_org_name,
            icon_url = excluded.icon_url, status = excluded.status, source = excluded.source,
            repository_url = excluded.repository_url, is_verified = excluded.is_verified,
            published_at = excluded.published_at";
    let listing = &entry.listing;
    let name = text("name", &entry.name)?;
    let description = text("description", &entry.description)?;
    let documentation_url = optional_text("documentation_url", entry.documentation_url.as_deref())?;
    let category = text("category", &entry.category)?;
    let provider = text("provider", provider)?;
    let package = text("package", entry.package.as_ref().map_or("", Package::name))?;
    let (secrets, settings): (Vec<_>, Vec<_>) = entry.inputs.iter().partition(|input| input.secret);
    let config = match (entry.kind(), entry.transport) {
        (Kind::Tool, _) => serde_json::json!({}),
        (Kind::Mcp, Transport::Stdio) => serde_json::json!({ "transport": "stdio" }),
        (Kind::Mcp, Transport::Http) => serde_json::json!({ "transport": "http" }),
        (Kind::Mcp, Transport::Sse) => serde_json::json!({ "transport": "sse" }),
    };
    let of_package = entry.package.as_ref().and_then(Package::version);
    let version = text("version", listing.version.as_deref().or(of_package).unwrap_or(NO_VERSION))?;
    let versions = serde_json::json!({ "default_version": version, "available_versions": [version] });
    let status = match listing.status {
        Standing::Active => "available",
        Standing::Deprecated => "deprecated",
        Standing::Deleted => "archived",
    };
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(entry.id.to_string())
        .bind(name)
        .bind(description)
        .bind(documentation_url)
        .bind(category)
        .bind(to_json("category", &[category])?)
        .bind(provider)
        .bind(entry.package.as_ref().map_or("none", packaging))
        .bind(package)
        .bind(versions.to_string())
        .bind(version)
        .bind(config.to_string())
        .bind(to_json("inputs", &secrets)?)
        .bind(to_json("inputs", &settings)?)
        .bind(to_json("entry", entry)?)
        .bind(at.0)
        .bind(optional_text("publisher", listing.publisher.as_deref())?)
        .bind(optional_text("icon_url", listing.icon_url.as_deref())?)
        .bind(status)
        .bind(optional_text("source", listing.source.as_deref())?)
        .bind(optional_text("repository_url", listing.repository_url.as_deref())?)
        .bind(entry.is_verified())
        .bind(listing.published_at.map(|at| at.0))
        .execute(db).await.map(drop))
    .map_err(|e| StoreError::from_write(e, &[("name", name), ("tool_name", name)]))
}

/// Whose an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The entry.
    pub id: CatalogEntryId,
    /// Its source; absent: it is part of Berth.
    pub source: Option<String>,
}

/// Whose the entry of a name is, and nobody else's until the transaction ends.
pub async fn holder(tx: &mut Tx, name: &str) -> Result<Option<Holder>, StoreError> {
    const SQL: &str = "SELECT id, source FROM tool_catalog WHERE name = $1";
    let name = text("name", name)?;
    let found: Option<(String, Option<String>)> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(name).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(|(id, source)| Ok(Holder { id: parsed("tool_catalog", "id", &id)?, source })).transpose()
}

/// Removes what came from a source. What instances were made of stays, withdrawn; gives how many of each there were.
pub async fn forget_source(tx: &mut Tx, source: &str, at: Timestamp) -> Result<(u64, u64), StoreError> {
    const REMOVE: &str = "DELETE FROM tool_catalog WHERE source = $1
        AND NOT EXISTS (SELECT id FROM account_tool_instances WHERE tool_catalog_id = tool_catalog.id)";
    const LEFT: &str = "SELECT entry_json FROM tool_catalog WHERE source = $1 AND entry_json IS NOT NULL";
    let source = text("source", source)?;
    let removed = on_pool!(tx.connection(), db =>
        sqlx::query(REMOVE).bind(source).execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    let left: Vec<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(LEFT).bind(source).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    for text in &left {
        let mut entry: CatalogEntry = json("tool_catalog", "entry_json", text)?;
        entry.listing.status = Standing::Deleted;
        entry.listing.status_message = Some(format!("the source `{source}` was removed from this Berth"));
        let provider = entry.listing.publisher.clone().unwrap_or_default();
        upsert(tx, &entry, &provider, at).await?;
    }
    Ok((removed, left.len().try_into().unwrap_or(u64::MAX)))
}

/// What changes whenever the catalog does: how many entries there are, and when the last of them changed.
pub async fn mark(store: &Store) -> Result<(i64, i64), StoreError> {
    const SQL: &str = "SELECT count(*), coalesce(max(updated_at), 0) FROM tool_catalog";
    on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_one(db).await).map_err(StoreError::from_driver)
}

/// Every entry that can be shown, as JSON of a [`CatalogEntry`], in no order: reading thousands of them is work that a caller may want
/// to do elsewhere.
pub async fn texts(store: &Store) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "SELECT entry_json FROM tool_catalog WHERE entry_json IS NOT NULL";
    on_pool!(store.read(), db => sqlx::query_scalar(SQL).fetch_all(db).await).map_err(StoreError::from_driver)
}

/// Reads one of [`texts`].
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read(text: &str) -> Result<CatalogEntry, StoreError> {
    json("tool_catalog", "entry_json", text)
}

/// The entry of a name. The generic entry is not one: nothing in it can be deployed.
pub async fn by_name(store: &Store, name: &str) -> Result<Option<CatalogEntry>, StoreError> {
    const SQL: &str = "SELECT entry_json FROM tool_catalog WHERE name = $1 AND entry_json IS NOT NULL";
    let name = text("name", name)?;
    let found: Option<String> =
        on_pool!(store.read(), db => sqlx::query_scalar(SQL).bind(name).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(|entry| json("tool_catalog", "entry_json", &entry)).transpose()
}

/// Every entry that can be deployed, by name.
pub async fn all(store: &Store) -> Result<Vec<CatalogEntry>, StoreError> {
    let found = texts(store).await?;
    let mut entries = found.iter().map(|text| read(text)).collect::<Result<Vec<CatalogEntry>, _>>()?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Whether there is an entry of that id, the generic one included.
pub(crate) async fn exists(tx: &mut Tx, id: CatalogEntryId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT id FROM tool_catalog WHERE id = $1";
    let found: Option<String> =
        on_pool!(tx.connection(), db => sqlx::query_scalar(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

/// What the column `version` says of an entry that is not pinned; the seed's word.
const NO_VERSION: &str = "latest";

fn packaging(package: &Package) -> &'static str {
    match package {
        Package::Npm { .. } => "npm",
        Package::Pypi { .. } => "pypi",
        Package::Oci { .. } => "docker_image",
        Package::File { .. } => "file",
        Package::Remote { .. } => "remote",
        Package::Builtin { .. } => "builtin",
    }
}
