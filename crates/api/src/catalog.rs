//! `/api/v1/catalog`: what can be deployed.

pub use domain::catalog::{
    CatalogEntry, Input, InputFormat, InputTarget, Kind, Listing, Standing, Template, Transport,
};
use domain::package::PackageKind;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/catalog?…`. Whatever is absent chooses nothing.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams,
)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CatalogQuery {
    /// Words that must all occur in name, title, publisher, description or category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// A category, such as `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// `mcp` or `tool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// How a client's messages reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Where what is installed comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageKind>,
    /// Whether it takes secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<bool>,
    /// Whether it is known to need no network while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
    /// Whether its publisher is who its name says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Whether it can be deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployable: Option<bool>,
    /// The order; absent: `relevance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// How many, 1 to 1000; absent: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How many of the first are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
}

/// An order of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// What fits the words best; without words what can be deployed and is verified first.
    #[default]
    Relevance,
    /// By name.
    Name,
    /// What was published last first.
    Newest,
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

/// `POST /api/v1/catalog`: entries of a file. 200 with [`AddedEntries`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEntries {
    /// Each a `server.json`, or one with a registry's words around it; at most 500.
    #[schema(value_type = Vec<Object>)]
    pub entries: Vec<serde_json::Value>,
}

/// What became of entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AddedEntries {
    /// Versions that are new.
    pub added: u64,
    /// Versions that stand differently now.
    pub updated: u64,
    /// Versions that are as they were.
    pub unchanged: u64,
    /// What was not taken.
    #[serde(default)]
    pub refused: Vec<RefusedEntry>,
}

/// One that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefusedEntry {
    /// Its name, where it has one.
    pub name: String,
    /// Why.
    pub why: String,
}
