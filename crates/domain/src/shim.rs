//! What the DTMA and a shim say to each other: the configuration on the shim's standard input, and its status.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::container::Health;
use crate::ids::InstanceId;
use crate::names::InstanceName;
use crate::secret::{self, Secret, Secrets};
use crate::time::Timestamp;

/// The header under which the gateway and the DTMA show a shim its instance's key.
pub const KEY_HEADER: &str = "berth-key";
/// The header that names the principal of a call, such as `user:0198…` or `token:0198…`.
pub const PRINCIPAL_HEADER: &str = "berth-principal";
/// The header that carries the compiled rule of a call's principal, as Base64 of JSON; absent: everything is allowed.
pub const RULE_HEADER: &str = "berth-rule";
/// The header of a question for the status that says until when the shim may run, in milliseconds since the boot of its host; absent:
/// what was said before counts.
pub const LEASE_HEADER: &str = "berth-lease";
/// Header of an answer, by which the shim, or the DTMA before it, tells the gateway why a request was kept from the server.
pub const REFUSED_HEADER: &str = "berth-refused";
/// The caller's rule kept it.
pub const REFUSED_BY_RULE: &str = "rule";
/// The process that would take it ends, or is not there: nothing was done, and another one may be there soon.
pub const REFUSED_AWAY: &str = "away";
/// Everything that begins with this is Berth's own and is stripped from what comes from outside.
pub const HEADER_PREFIX: &str = "berth-";
/// The socket's file name in the instance's own socket directory.
pub const SOCKET: &str = "shim.sock";
/// The path on a shim's socket that answers with a [`ShimStatus`]; needs the key. The answer's `ETag` names the server's
/// state; whoever sends it back as `If-None-Match`, with `Prefer: wait=SECONDS`, is answered when there is another state, or
/// when that time is over. Older shims give no tag and answer at once.
pub const STATUS_PATH: &str = "/status";
/// The longest time that a shim lets anybody wait for another status.
pub const MAX_STATUS_WAIT: Duration = Duration::from_mins(1);
/// The path on a shim's socket that ends the server and then the shim (POST); needs the key.
pub const SHUTDOWN_PATH: &str = "/shutdown";
/// The path on a shim's socket that takes a [`TokenAnswer`] (POST); needs the key.
pub const TOKEN_PATH: &str = "/token";
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
    /// Its process id as the host has it, when it is in a process tree of its own and cannot know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The directory that holds [`SOCKET`]; the shim binds it and nothing else.
    pub socket_dir: PathBuf,
    /// Where the server's standard error goes; rotated by the shim.
    pub log: PathBuf,
    /// Where the shim keeps which sessions were ended, so that they stay so when it is started again. What their clients
    /// said of themselves lies beside it, in `clients`.
    pub sessions: PathBuf,
    /// Where is kept what is found out of a package's servers, such as the eras that they speak.
    pub facts: PathBuf,
    /// Which clients share a process of the server.
    pub mode: Mode,
    /// Whether sessions end with the process that served them, for servers that keep state for each.
    #[serde(default)]
    pub strict_sessions: bool,
    /// Milliseconds after which a process that nobody has called is stopped; the shared one is kept.
    pub idle_ms: u64,
    /// Milliseconds after which a server that nobody uses is stopped whole, until somebody does; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_ms: Option<u64>,
    /// How the server is reached.
    #[serde(default)]
    pub link: Link,
    /// Program and arguments, empty for a server that runs elsewhere. The runtime has put its sandbox in front.
    pub command: Vec<String>,
    /// The working directory of the command.
    pub cwd: PathBuf,
    /// The whole environment of the command, less the secrets; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// The secret part of the environment.
    #[serde(serialize_with = "secret::expose_all")]
    pub secrets: Secrets,
    /// What each caller brings; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each_caller: Option<EachCaller>,
    /// Whether it puts the sandbox's system call filter on itself and on all that it starts.
    #[serde(default)]
    pub filter: bool,
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

/// What each caller of an instance brings, and where the processes that have it are apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachCaller {
    /// The environment variables, or headers.
    pub variables: BTreeSet<String>,
    /// The directory in which each process has a writable one of its own, [`CALLER_PLACEHOLDER`] in command and environment; absent where
    /// nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<PathBuf>,
    /// Whose those directories are; absent: the shim's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

/// What stands for a caller's own directory below [`EachCaller::work`].
pub const CALLER_PLACEHOLDER: &str = "{caller}";

/// How a shim reaches its server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Link {
    /// Standard input and output of the process that it starts.
    #[default]
    Stdio,
    /// HTTP, on a port of this host that the process it starts is told.
    Port {
        /// The port that the process takes whatever it is told; absent: a free one is found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// Such as `/mcp`.
        path: String,
        /// HTTP+SSE of 2024-11-05.
        sse: bool,
    },
    /// None: its answers come from code of the shim's own program.
    Virtual,
    /// None: it is a container tool and speaks no MCP. Its process is kept alive and watched, and that is all.
    Tool {
        /// How it is known to work; absent: its process lives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        health: Option<Health>,
        /// What its image wants to be asked to end with, such as `SIGQUIT`; absent: SIGTERM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_signal: Option<String>,
    },
    /// HTTP, somewhere else. The environment and the secrets are headers.
    Remote {
        /// Such as `https://mcp.example.com/mcp`.
        url: String,
        /// HTTP+SSE of 2024-11-05.
        sse: bool,
    },
}

/// What stands for the port in arguments and environment of a server with [`Link::Port`].
pub const PORT_PLACEHOLDER: &str = "{port}";

/// Which clients share a process of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mode {
    /// All. The server is told of no client, and so can ask none anything.
    Shared,
    /// Those of one principal that declare the same capabilities.
    #[default]
    PerPrincipal,
    /// None: each session has its own. Modern clients, which have no sessions, share as in [`Mode::PerPrincipal`].
    PerSession,
    /// Those that declare the same capabilities, spread over so many processes.
    Pool(u16),
}

/// The most processes of a [`Mode::Pool`].
const MAX_POOL: u16 = 64;

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shared => f.write_str("shared"),
            Self::PerPrincipal => f.write_str("per-principal"),
            Self::PerSession => f.write_str("per-session"),
            Self::Pool(processes) => write!(f, "pool({processes})"),
        }
    }
}

/// Why a text names no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no process mode: use `shared`, `per-principal`, `per-session` or `pool(N)` with N from 1 to {MAX_POOL}"
)]
pub struct ModeError(String);

impl std::str::FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "shared" => Ok(Self::Shared),
            "per-principal" => Ok(Self::PerPrincipal),
            "per-session" => Ok(Self::PerSession),
            _ => text
                .strip_prefix("pool(")
                .and_then(|rest| rest.strip_suffix(')')?.parse().ok())
                .filter(|processes| (1..=MAX_POOL).contains(processes))
                .map(Self::Pool)
                .ok_or_else(|| ModeError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Mode {
    type Error = ModeError;

    fn try_from(text: String) -> Result<Self, ModeError> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
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
    /// Its process id, as the host has it.
    pub pid: u32,
    /// The server's state.
    pub server: ServerState,
    /// Times the server was started again after it ended by itself.
    pub restarts: u64,
    /// Calls in flight.
    pub in_flight: usize,
    /// Processes of the server that run now.
    pub processes: usize,
    /// Tokens that calls wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<TokenAsk>,
}

/// The state of the server beside a shim.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        /// `serverInfo.name`; empty of a container tool, as is what follows.
        server_name: String,
        /// `protocolVersion`.
        protocol_version: String,
    },
    /// Stopped because nobody used it; the next call starts it.
    Asleep {
        /// Since when.
        since: Timestamp,
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

/// What a shim asks its DTMA for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenAsk {
    /// Names the question in the life of this shim.
    pub number: u64,
    /// What is asked for.
    pub wanted: TokenWanted,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// Which question.
    pub number: u64,
    /// The answer.
    pub outcome: TokenOutcome,
}

/// A token, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenOutcome {
    /// Show this.
    Token {
        /// The token itself, which is shown as `Bearer`.
        #[serde(serialize_with = "secret::expose")]
        #[schema(value_type = String)]
        token: Secret,
        /// Counts the tokens of an instance.
        version: u64,
        /// Seconds until it ends, as far as anybody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_in: Option<u64>,
    },
    /// What a caller brings.
    Values {
        /// By their variables or headers.
        #[serde(serialize_with = "secret::expose_all")]
        #[schema(value_type = BTreeMap<String, String>)]
        values: Secrets,
    },
    /// The caller brings nothing yet, or no longer.
    Unset {
        /// What to do, in words.
        why: String,
    },
    /// There is none.
    None {
        /// Why, and what to do, in words.
        why: String,
    },
}

/// A token that a shim needs for a server that runs elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenWanted {
    /// Why.
    pub reason: TokenReason,
    /// The values of the server's `WWW-Authenticate`, as it wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenge: Vec<String>,
    /// The version of the token that was shown, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Whose it is to be, as [`PRINCIPAL_HEADER`] names them; absent: what all callers share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// Why a shim needs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenReason {
    /// It is no token that is needed, but what a caller brings.
    Values,
    /// The server answered 401.
    Refused,
    /// The server answered 403: the token's scopes are not enough (RFC 6750 §3.1).
    Scope,
    /// The token ends soon.
    Expiring,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_texts() {
        for text in ["shared", "per-principal", "per-session", "pool(4)"] {
            assert_eq!(text.parse::<Mode>().map(|mode| mode.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Shared", "pool", "pool()", "pool(0)", "pool(65)", "pool(x)"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}
