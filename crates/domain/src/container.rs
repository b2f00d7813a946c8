//! What only containers have: what a container tool publishes and keeps, how it is watched, how an instance is confined.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        write!(f, "{}:{}", SocketAddr::new(address, self.host), self.container)?;
        f.write_str(match self.protocol {
            Protocol::Tcp => "",
            Protocol::Udp => "/udp",
        })
    }
}

impl std::fmt::Display for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.path)
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { port } => write!(f, "tcp:{port}"),
            Self::Http { port, path } => write!(f, "http:{port}{path}"),
        }
    }
}

/// Why a text is none of the things of this module; in words, with what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct WordsError {
    text: String,
    what: &'static str,
}

impl WordsError {
    fn of(text: &str, what: &'static str) -> Self {
        Self { text: text.to_owned(), what }
    }
}

impl std::str::FromStr for Port {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let parsed = || {
            let (ports, protocol) = match text.rsplit_once('/') {
                None => (text, Protocol::Tcp),
                Some((ports, "tcp")) => (ports, Protocol::Tcp),
                Some((ports, "udp")) => (ports, Protocol::Udp),
                Some(_) => return None,
            };
            let (rest, container) = ports.rsplit_once(':')?;
            let (address, host) = match rest.rsplit_once(':') {
                None => (None, rest),
                Some((address, host)) => {
                    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
                    (Some(bare.unwrap_or(address).parse().ok()?), host)
                }
            };
            let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number != 0);
            Some(Self { container: number(container)?, host: number(host)?, address, protocol })
        };
        parsed().ok_or_else(|| {
            WordsError::of(text, "a published port: write `HOST:CONTAINER`, such as `8080:80`, `0.0.0.0:8080:80` or `53:53/udp`")
        })
    }
}

impl std::str::FromStr for Volume {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let parts = text.split_once(':').filter(|(name, path)| !name.is_empty() && path.starts_with('/'));
        let (name, path) = parts.ok_or_else(|| {
            WordsError::of(text, "a volume: write `NAME:/PATH`, such as `data:/var/lib/data`")
        })?;
        Ok(Self { name: name.to_owned(), path: path.to_owned() })
    }
}

impl std::str::FromStr for Health {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let parsed = || {
            let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number != 0);
            let (kind, rest) = text.split_once(':')?;
            match kind {
                "tcp" => Some(Self::Tcp { port: number(rest)? }),
                "http" => {
                    let (port, path) = rest.split_at(rest.find('/')?);
                    Some(Self::Http { port: number(port)?, path: path.to_owned() })
                }
                _ => None,
            }
        };
        parsed().ok_or_else(|| {
            WordsError::of(
                text,
                "a health check: write `tcp:PORT` or `http:PORT/PATH`, such as `http:80/healthz`",
            )
        })
    }
}

impl std::str::FromStr for Profile {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        match text {
            "strict" => Ok(Self::Strict),
            "standard" => Ok(Self::Standard),
            _ => Err(WordsError::of(text, "a profile: write `strict` or `standard`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_volumes_and_health_checks_are_texts() {
        for (text, shown) in [
            ("8080:80", Some("127.0.0.1:8080:80")),
            ("0.0.0.0:8080:80", Some("0.0.0.0:8080:80")),
            ("[::1]:53:53/udp", Some("[::1]:53:53/udp")),
            ("53:53/tcp", Some("127.0.0.1:53:53")),
            ("80", None),
            ("0:80", None),
            ("80:65536", None),
            ("here:80:80", None),
            ("80:80/sctp", None),
        ] {
            assert_eq!(text.parse::<Port>().ok().map(|port| port.to_string()).as_deref(), shown, "{text}");
        }
        for (text, is_good) in
            [("data:/data", true), ("data", false), (":/data", false), ("data:data", false)]
        {
            assert_eq!(
                text.parse::<Volume>().is_ok_and(|volume| volume.to_string() == text),
                is_good,
                "{text}"
            );
        }
        for (text, is_good) in [
            ("tcp:80", true),
            ("http:80/", true),
            ("http:80/a/b", true),
            ("http:80", false),
            ("tcp:x", false),
            ("80", false),
        ] {
            assert_eq!(
                text.parse::<Health>().is_ok_and(|health| health.to_string() == text),
                is_good,
                "{text}"
            );
        }
    }
}
