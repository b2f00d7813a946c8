//! `/api/v1/catalog-sources`: registries that the catalog is read from, again and again.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/catalog-sources`: 201 with the [`CatalogSource`], which is read soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSourceRequest {
    /// `official`, the address of a registry that answers `/v0.1/servers`, or that of a document that ends in `.json`.
    pub url: String,
    /// Its name; absent: made of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CatalogSource {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Whether it is being read, or will be at once.
    pub reading: bool,
    /// Entries that the reading under way, or the last one, has seen.
    pub entries: u64,
    /// Those of them that were not taken.
    pub skipped: u64,
    /// When the last reading ended; absent while one is under way, and before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// When it is read next.
    pub due_at: Timestamp,
    /// Why the last reading failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
