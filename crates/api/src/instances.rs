//! `/api/v1/instances`: deploy, list, show, start, stop, restart, remove, logs.

use std::collections::BTreeMap;

use domain::catalog::Transport;
use domain::container::{Container, Profile};
use domain::egress::{Blocked, Egress};
use domain::ids::{CatalogEntryId, InstanceId};
use domain::lease::Failover;
use domain::names::{EnvironmentName, InstanceName};
use domain::spec::{DesiredState, Limits};
use domain::status::{Confinement, InstanceMetrics, InstanceStatus, Progress};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secrets::GivenSecrets;

/// `POST /api/v1/instances`: what to deploy where. 201 with the [`Instance`]; nothing waits for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// A catalog name, `npm:PKG[@VERSION]`, `pypi:PKG[@VERSION]`, `oci:IMAGE`, `https://…` for a server that runs elsewhere, or
    /// `file:PATH` for one that lies on this machine (the last two take the role `admin`).
    pub server: String,
    /// The instance's name; absent: made from the server's, with a number when taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The environment; absent: `local`, or the only one; `auto`: the one with most room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// With the environment `auto`: labels that it must have, such as `region`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_labels: BTreeMap<String, String>,
    /// An exact version, of an image a tag or a digest; absent: the catalog's, or the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Plain settings by the names of the entry's inputs; for a bare package, environment variables; for a server that
    /// runs elsewhere, headers.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Secret settings, likewise: each a text, or `{"secret": "NAME"}` for one of the account's secrets.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Object>, write_only)]
    pub secrets: GivenSecrets,
    /// What each caller brings for themselves, by the names of the entry's inputs; for a bare package, environment variables; for a server
    /// that runs elsewhere, headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each_caller: Vec<String>,
    /// Arguments after the entry's own.
    #[serde(default)]
    pub args: Vec<String>,
    /// Further install constraints, such as `mcp<2`.
    #[serde(default)]
    pub constraints: Vec<String>,
    /// How messages reach the server; absent: the catalog's, else standard input and output, else HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Where a server that serves HTTP takes messages; absent: `/mcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The port on which an image's server serves HTTP whatever it is told; absent: it takes the one that it finds in `PORT`
    /// or in the place of `{port}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Which clients share a process: `shared`, `per-principal`, `per-session` or `pool(N)`; absent: the catalog's, else
    /// `per-principal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whether a session ends with the process that served it; absent: the catalog's, else no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_sessions: Option<bool>,
    /// Seconds after which it is stopped when nobody uses it, from 10 to 604800; the next call wakes it. 0: never. Absent: the catalog's, else
    /// never. Only of MCP servers that Berth starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_after_seconds: Option<u64>,
    /// Present for a container tool, which is no MCP server; of an `oci:` package only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// How much it may do on its host; absent: `strict` for MCP servers, `standard` for container tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// What it may reach; absent: the default of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// What the server may use.
    #[serde(default)]
    pub limits: Limits,
    /// When it is moved away from a host that is not heard; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
}

/// One instance as its account sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its name.
    pub name: InstanceName,
    /// Its environment's name.
    pub environment: EnvironmentName,
    /// Its state.
    pub status: InstanceStatus,
    /// Why, and what to do; absent when there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far an install is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Its MCP address.
    pub url: String,
    /// What its owner wants.
    pub desired: DesiredState,
    /// What runs, such as `npm:@modelcontextprotocol/server-everything@2026.8.31`.
    pub package: String,
    /// The catalog entry it came from.
    pub catalog_entry: CatalogEntryId,
    /// The exact version that was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the installed package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The server's own name, as it told the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The MCP revision the server speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// In what it runs on its host, as its DTMA said; absent for a server that runs elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Box<Confinement>>,
    /// What it publishes and keeps; present for a container tool, whose `url` answers nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<Container>>,
    /// Times the server was started again after it ended by itself.
    pub restarts: u64,
    /// The settings it was deployed with, secrets not among them.
    pub settings: BTreeMap<String, String>,
    /// The names of the secrets it was deployed with.
    pub secret_names: Vec<String>,
    /// The names of what each caller brings for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each_caller: Vec<String>,
    /// Seconds after which it is stopped when nobody uses it; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_after_seconds: Option<u64>,
    /// Grows with every change of what its owner wants.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is in this state, as its DTMA said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What it used at the last heartbeat; absent when its host did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<InstanceMetrics>,
    /// What it wanted to reach lately and could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Blocked>,
    /// When it is moved away from a host that is not heard; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// The instance that it is tried beside, and whose place it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_of: Option<InstanceName>,
    /// Why it cannot be moved to another environment; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
    /// Environments that it has left and whose hosts have not confirmed that they let go of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<EnvironmentName>,
}

/// `GET …/logs?tail=&follow=`: lines as `text/plain`, oldest first. Both the control plane and the DTMA take it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams,
)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// How many of the last lines; default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// Keep the answer open and send new lines as they come.
    #[serde(default)]
    pub follow: bool,
}
