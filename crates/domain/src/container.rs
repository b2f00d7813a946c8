//! What only containers have: what a container tool publishes and keeps, how it is watched, how an instance is confined.

use serde::{Deserialize, Serialize};

/// A container tool: something that is no MCP server, such as PostgreSQL. Its image's own command runs; it is watched by its
/// health check and reached on its ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// What is published on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What outlives the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// How it is known to work; absent: it runs as long as its process does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// In the container.
    pub container: u16,
    /// On the host.
    pub host: u16,
    /// The host's address that it is published on; absent: `127.0.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<std::net::IpAddr>,
    /// TCP unless said otherwise.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// A directory of the container that outlives it, and is removed with the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Unique in the instance, such as `data`.
    pub name: String,
    /// An absolute path in the container, such as `/var/lib/postgresql/data`.
    pub path: String,
}

/// How a container tool is known to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "check", rename_all = "lowercase", deny_unknown_fields)]
pub enum Health {
    /// Something listens on a port of the container.
    Tcp {
        /// The container's port.
        port: u16,
    },
    /// GET is answered with a status below 400.
    Http {
        /// The container's port.
        port: u16,
        /// Such as `/healthz`.
        path: String,
    },
}

/// How much an instance may do on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// No capabilities, no new privileges, a read-only root, limits. The default of MCP servers.
    Strict,
    /// The engine's own capabilities and a writable root, with limits. The default of container tools.
    Standard,
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Standard => "standard",
        })
    }
}

/// What an instance may reach on the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "egress", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Egress {
    /// Nothing.
    None,
    /// The named hosts, by names that the DTMA resolves for it.
    AllowList {
        /// Such as `api.github.com`, or `*.example.com`.
        hosts: Vec<String>,
    },
    /// All but the host itself, the control plane and the metadata addresses of clouds.
    #[default]
    Open,
}
