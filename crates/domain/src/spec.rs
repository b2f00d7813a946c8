//! What one instance should be: the body of `PUT /v1/instances/{id}`, made by the control plane, kept by the DTMA.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Transport;
use crate::container::{Container, Profile};
use crate::egress::Egress;
use crate::ids::InstanceId;
use crate::names::{AccountName, InstanceName};
use crate::package::Package;
use crate::registry::RegistryLogin;
use crate::secret::{self, Secret, Secrets};
use crate::shim::Mode;

/// Whether an instance should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// Keep it running, whatever dies.
    Running,
    /// Keep it stopped.
    Stopped,
}

/// What one instance should be. `generation` grows with every change of any field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Which instance.
    pub id: InstanceId,
    /// The account's name: the first part of its MCP address.
    pub account: AccountName,
    /// Its name: the second part.
    pub name: InstanceName,
    /// Grows with every change; a DTMA refuses a spec older than the one it has.
    pub generation: u64,
    /// Run or stop.
    pub desired: DesiredState,
    /// Restarts asked for by its owner; a change restarts the server and nothing else.
    pub restarts_asked: u64,
    /// What runs.
    pub package: Package,
    /// How the package is installed and started.
    #[serde(default)]
    pub launch: Launch,
    /// Plain settings, as environment variables. `{work}` in a value is the instance's own writable directory.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Secret settings, as environment variables. Sent to this host only.
    #[serde(default, serialize_with = "secret::expose_all")]
    #[schema(value_type = BTreeMap<String, String>, write_only)]
    pub secrets: Secrets,
    /// What opens the registry of its image. Sent to this host only, and only when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryLogin>,
    /// What the server may use.
    #[serde(default)]
    pub limits: Limits,
    /// Seconds that it may run after the last heartbeat that the control plane answered for it was sent; absent: for as long as nobody
    /// says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u64>,
    /// The key under which the gateway and the DTMA speak to this instance's shim.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String, write_only)]
    pub key: Secret,
}

/// How a package is installed and started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Which of the package's executables, when it has several; absent: the only one, or the one named as the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// Arguments after the executable. `{work}` in one is the instance's own writable directory.
    #[serde(default)]
    pub args: Vec<String>,
    /// Further constraints for the install, such as `mcp<2` (PyPI) or `zod@3.25.0` (npm).
    #[serde(default)]
    pub constraints: Vec<String>,
    /// Lets the package's own install scripts (npm) or source distributions (PyPI) run. Off unless the entry says so.
    #[serde(default)]
    pub install_scripts: bool,
    /// How messages reach the server.
    #[serde(default, skip_serializing_if = "Transport::is_stdio")]
    pub transport: Transport,
    /// Where a server that serves HTTP on its host takes messages; absent: `/mcp`, of HTTP+SSE `/sse`. It finds its port in
    /// the environment variable `PORT`, and for `{port}` in its arguments and settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The port on which an image's server serves HTTP whatever it is told; absent: it takes the one that it finds as above.
    /// It is the container's own, and nothing of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Further programs that the server starts (such as `git`), which must be on the host.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Which clients share a process of it: `shared`, `per-principal`, `per-session` or `pool(N)`. Absent: `per-principal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mode: Option<Mode>,
    /// Whether a session ends with the process that served it, because the server keeps state for each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict_sessions: bool,
    /// Seconds after which a server that nobody uses is stopped, until the next call; absent: never. Only of MCP servers that are
    /// processes of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_after_seconds: Option<u64>,
    /// What each caller brings: the environment variable, or of a server that runs elsewhere the header, by the name under which it is
    /// given. Each caller's process then has their own values, and shares nothing with another's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub each_caller: BTreeMap<String, String>,
    /// Environment variables that every instance of it gets, below its settings. `{work}` as in `args`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Present when it is a container tool and no MCP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// How much it may do on its host; absent: `strict` for MCP servers, `standard` for container tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// What it may reach; absent: the default of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// What a server may use. Absent: the runtime's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Address space or memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Processor time, in thousandths of a core; default 2000. Only containers are held to it: a sandboxed process is not, and
    /// its status says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Open files per process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Seconds until the server must have answered `initialize`; default 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_seconds: Option<u64>,
}
