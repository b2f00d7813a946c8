//! `/api/v1/catalog`: what can be deployed.

pub use domain::catalog::{CatalogEntry, Input, InputFormat, InputTarget, Kind, Transport};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/catalog?search=`.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams,
)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CatalogQuery {
    /// Words that must all occur in name, title, description or category; absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// One entry of the catalog, as it is listed and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CatalogItem {
    /// Whether it is an MCP server or a container tool.
    pub kind: Kind,
    /// The entry.
    #[serde(flatten)]
    pub entry: CatalogEntry,
}

impl From<CatalogEntry> for CatalogItem {
    fn from(entry: CatalogEntry) -> Self {
        Self { kind: entry.kind(), entry }
    }
}
