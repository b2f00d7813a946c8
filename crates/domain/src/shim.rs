//! What the DTMA and a shim say to each other: the configuration on the shim's standard input, and its status.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;
use crate::names::InstanceName;
use crate::secret::{self, Secret, Secrets};
use crate::time::Timestamp;

/// The header under which the gateway and the DTMA show a shim its instance's key.
pub const KEY_HEADER: &str = "berth-key";
/// The header that names the principal of a call, such as `user:0198…` or `token:0198…`.
pub const PRINCIPAL_HEADER: &str = "berth-principal";
/// Everything that begins with this is Berth's own and is stripped from what comes from outside.
pub const HEADER_PREFIX: &str = "berth-";
/// The socket's file name in the instance's own socket directory.
pub const SOCKET: &str = "shim.sock";
/// The path on a shim's socket that answers with a [`ShimStatus`]; needs the key.
pub const STATUS_PATH: &str = "/status";
/// The path on a shim's socket that ends the server and then the shim (POST); needs the key.
pub const SHUTDOWN_PATH: &str = "/shutdown";
/// The path on a shim's socket that carries MCP.
pub const MCP_PATH: &str = "/mcp";
/// The path on a shim's socket for HTTP+SSE of 2024-11-05: GET opens a session and its stream, POST takes its messages.
pub const SSE_PATH: &str = "/mcp/sse";
/// The largest message in either direction, in bytes (16 MiB).
pub const MAX_MESSAGE: usize = 16 << 20;

/// All a shim knows. One JSON document on its standard input, then end of file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShimConfig {
    /// Which instance it serves.
    pub instance: InstanceId,
    /// Its name, for logs.
    pub name: InstanceName,
    /// The generation of the spec it was started for.
    pub generation: u64,
    /// The directory that holds [`SOCKET`]; the shim binds it and nothing else.
    pub socket_dir: PathBuf,
    /// Where the server's standard error goes; rotated by the shim.
    pub log: PathBuf,
    /// Where the shim keeps which sessions were ended, so that they stay so when it is started again.
    pub sessions: PathBuf,
    /// Program and arguments. The runtime has put its sandbox in front.
    pub command: Vec<String>,
    /// The working directory of the command.
    pub cwd: PathBuf,
    /// The whole environment of the command, less the secrets; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// The secret part of the environment.
    #[serde(serialize_with = "secret::expose_all")]
    pub secrets: Secrets,
    /// What callers must show.
    #[serde(serialize_with = "secret::expose")]
    pub key: Secret,
    /// How the server is first spoken to.
    pub opening: Opening,
    /// Milliseconds until the server must have answered the opening.
    pub startup_ms: u64,
    /// Calls in flight, all clients together; more are answered 503 with `Retry-After`.
    pub max_in_flight: usize,
}

/// How a stdio server is first spoken to. Some SDKs lock their era on the first message, so nobody else may speak first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opening {
    /// With `initialize`: the process serves the legacy revisions, and a modern request never reaches it.
    Legacy,
    /// With `initialize`, and modern requests pass too: the process is known to serve both eras at once.
    Both,
}

/// What a shim says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimStatus {
    /// Which instance it serves.
    pub instance: InstanceId,
    /// The generation it was started for.
    pub generation: u64,
    /// Its process id, as seen by itself.
    pub pid: u32,
    /// The server's state.
    pub server: ServerState,
    /// Times the server was started again after it ended by itself.
    pub restarts: u64,
    /// Calls in flight.
    pub in_flight: usize,
}

/// The state of the server beside a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerState {
    /// Started; the opening is not answered yet.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// The opening was answered.
    Running {
        /// Since when.
        since: Timestamp,
        /// `serverInfo.name`.
        server_name: String,
        /// `protocolVersion`.
        protocol_version: String,
    },
    /// Ended or never answered; the next start is due.
    Failed {
        /// Since when.
        since: Timestamp,
        /// Failures in a row.
        failures: u32,
        /// Whether so many failures in a row are a crash loop.
        crash_loop: bool,
        /// How it ended, with its last words on standard error.
        message: String,
    },
    /// Being stopped.
    Stopping {
        /// Since when.
        since: Timestamp,
    },
}
