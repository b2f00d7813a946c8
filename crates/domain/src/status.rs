//! What is: the states that the DTMA reports and the control plane shows. The words are the seed's where it has one.

use serde::{Deserialize, Serialize};

use crate::container::Profile;
use crate::egress::{Blocked, Egress};
use crate::ids::{EnvironmentId, InstanceId};
use crate::program::ProgramDigest;
use crate::spec::InstanceSpec;
use crate::time::Timestamp;

/// How the message of a failed install ends that is tried again without anybody asking.
pub const TRIES_AGAIN: &str = "Berth tries again by itself";

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// The word as the tables and the wire have it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The state of a word; `None` for a word that is not one of these.
            pub fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// An instance's state (`status_on_toolbox`).
    InstanceStatus {
        /// The row exists; its DTMA has not taken it yet.
        PendingDeploy = "pending_deploy",
        /// The package is being installed.
        Installing = "installing",
        /// The process is started; no MCP probe has answered yet.
        Starting = "starting",
        /// An MCP probe answered.
        Running = "running",
        /// An MCP probe answered, and its process was stopped because nobody used it: the next call starts it.
        Asleep = "asleep",
        /// Being stopped.
        Stopping = "stopping",
        /// Stopped because its owner wants it so.
        Stopped = "stopped",
        /// The install failed; the message says what to do. Retried only when the spec changes or its owner asks.
        ErrorInstall = "error_install",
        /// Crashed or never answered; started again with backoff.
        ErrorRuntime = "error_runtime",
        /// Being removed.
        Deleting = "deleting",
    }
}

impl InstanceStatus {
    /// Whether it does what it is to do: it runs, or sleeps until it is called.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Running | Self::Asleep)
    }
}

words! {
    /// An environment's state (`account_tool_environments.status`).
    EnvironmentStatus {
        /// Its machine is asked for at the provider.
        Creating = "creating",
        /// The provider makes its machine.
        Provisioning = "provisioning",
        /// Made; its DTMA has not reported yet.
        AwaitingHeartbeat = "awaiting_heartbeat",
        /// Its DTMA reports.
        Active = "active",
        /// Three heartbeats missed; heals by itself with the next one.
        Unresponsive = "unresponsive",
        /// The provider made no machine; the message says why. Nothing is left there.
        ErrorCreation = "error_creation",
        /// The machine did not become usable; the message says what is left there.
        ErrorProvisioning = "error_provisioning",
        /// Its machine is being destroyed; it stays until the provider says that there is none.
        Deleting = "deleting",
        /// That takes longer than it should; the message says why. It is tried on.
        ErrorDeletion = "error_deletion",
        /// Its machine was destroyed by somebody else, or the provider.
        Deprovisioned = "deprovisioned",
    }
}

/// Something that takes a while and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// What is being done, such as `installing packages`.
    pub step: String,
    /// 0 to 100 when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// In what an instance runs on its host, and what it may use there at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Confinement {
    /// `docker`, a container; `process`, a sandboxed process.
    pub runtime: String,
    /// How much a container may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// What a container may reach on the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Memory: of a container in all, of a sandbox for each process. Absent: as much as there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Processes and threads.
    pub processes: u64,
    /// Open files of each process.
    pub open_files: u64,
    /// Thousandths of a core. Absent: nothing holds it back, as nothing does a sandboxed process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u64>,
}

/// What one instance is, as its DTMA sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceReport {
    /// Which instance.
    pub id: InstanceId,
    /// The generation of the spec that this report is about.
    pub generation: u64,
    /// Its state.
    pub status: InstanceStatus,
    /// Why, in words for people, and what to do about it; absent when there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far an install is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The exact version that was resolved and runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the installed package, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The server's own name, as it told the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The MCP revision that the server speaks, as it told the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// In what it runs; absent for a server that runs elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Confinement>,
    /// How often the server was started again after it ended by itself.
    #[serde(default)]
    pub restarts: u64,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// What it uses; absent where its runtime does not say, and while nothing runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<InstanceMetrics>,
    /// What it wanted to reach lately and could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Blocked>,
}

/// What one instance uses, its shim included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceMetrics {
    /// Thousandths of one core, the mean since the measurement before; absent at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u64>,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Received since its start; absent where it shares the host's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u64>,
    /// Sent since its start; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
}

/// Load and room of a host. Bytes and percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SystemMetrics {
    /// Of all cores together, 0 to 100.
    pub cpu_load_percent: f64,
    /// Cores; 0 when its DTMA, an older one, does not say.
    #[serde(default)]
    pub cores: u32,
    /// Memory of the host.
    pub memory: MemoryMetrics,
    /// The disk that holds the data directory; absent when it could not be read.
    pub disk: Option<DiskMetrics>,
    /// Seconds since the host started; 0 likewise.
    #[serde(default)]
    pub uptime_seconds: u64,
}

/// Memory of the host, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemoryMetrics {
    /// Installed.
    pub total_bytes: u64,
    /// In use and not reclaimable at once.
    pub active_bytes: u64,
    /// Untouched.
    pub free_bytes: u64,
    /// Total less free.
    pub used_bytes: u64,
}

/// One mounted file system, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiskMetrics {
    /// Where it is mounted.
    pub mount: String,
    /// Its size.
    pub total_bytes: u64,
    /// In use.
    pub used_bytes: u64,
    /// Free for us.
    pub free_bytes: u64,
}

/// One protection of the process runtime and whether this host's kernel grants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Protection {
    /// Such as `landlock`.
    pub name: String,
    /// Whether servers run under it.
    pub granted: bool,
    /// What was found, such as `ABI 7`, or why it is not granted.
    pub detail: String,
}

/// What a DTMA reports every 15 s and at once on change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Heartbeat {
    /// Which environment; must be the token's own.
    pub environment: EnvironmentId,
    /// The DTMA's version.
    pub dtma_version: String,
    /// Grows by one with each heartbeat of one DTMA process; an older one than the last is dropped.
    pub sequence: u64,
    /// When this DTMA process started; orders the sequences of two processes.
    pub started_at: Timestamp,
    /// Every instance it has.
    pub instances: Vec<InstanceReport>,
    /// Load and room.
    pub system: SystemMetrics,
    /// What the runtime protects servers with.
    pub protections: Vec<Protection>,
    /// Instances that older callers deployed on the host and that the control plane does not keep yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopt: Vec<Adoption>,
    /// Instances that older callers removed on the host since the last heartbeat that was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<InstanceId>,
    /// The binary that it is, where it is a service whose binary can be replaced from afar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramDigest>,
}

/// An instance that an older caller deployed on a host, for the control plane to keep from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Adoption {
    /// What it is. Its generation is 0, which is below every one that the control plane gives; its key is the host's own.
    pub spec: InstanceSpec,
    /// The name that the older caller gave it.
    pub name_on_toolbox: String,
}
