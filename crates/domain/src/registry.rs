//! Registries of container images: which one an image comes from, and what opens it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::secret::{self, Secret};

/// Docker Hub in the name of an image; also what is meant when a name says nothing.
pub const HUB: &str = "docker.io";
/// Other names that people and tools have for it.
const ALSO_HUB: &[&str] = &["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// The longest name: a DNS name, a colon and a port.
const MAX_HOST: usize = 253 + 6;

/// The registry of an image's name, as the name has it.
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => HUB,
    }
}

/// A registry's host, with its port when it has one, as the names of its images begin: `ghcr.io`, `localhost:5000`.
/// Docker Hub is `docker.io`, however it is written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct RegistryHost(String);

/// A text is not the host of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the host of a registry: write it as its images' names begin, such as `ghcr.io` or `localhost:5000`"
)]
pub struct RegistryError(String);

impl RegistryHost {
    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an image comes from here.
    pub fn has(&self, image: &str) -> bool {
        registry_of(image).parse().is_ok_and(|registry: Self| registry == *self)
    }
}

impl FromStr for RegistryHost {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        // What `docker login` shows for Docker Hub, and what is copied from a browser.
        let host = text.strip_prefix("https://").unwrap_or(text);
        let host = host.strip_suffix("/v1/").unwrap_or(host).trim_end_matches('/').to_ascii_lowercase();
        if host == HUB || ALSO_HUB.contains(&host.as_str()) {
            return Ok(Self(HUB.to_owned()));
        }
        let (name, port) =
            host.split_once(':').map_or((host.as_str(), None), |(name, port)| (name, Some(port)));
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let is_host = host.len() <= MAX_HOST
            && edge(name.bytes().next())
            && edge(name.bytes().last())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
            && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        // What is neither would be a part of a name on Docker Hub.
        if is_host && (host.contains(['.', ':']) || host == "localhost") {
            Ok(Self(host))
        } else {
            Err(RegistryError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for RegistryHost {
    type Error = RegistryError;

    fn try_from(text: String) -> Result<Self, RegistryError> {
        text.parse()
    }
}

impl From<RegistryHost> for String {
    fn from(host: RegistryHost) -> Self {
        host.0
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What opens a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// Which registry.
    pub host: RegistryHost,
    /// The user.
    pub username: String,
    /// Their password, or a token that takes its place.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String, write_only)]
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_of_images() {
        for (image, expected) in [
            ("nginx", "docker.io"),
            ("owner/image:1", "docker.io"),
            ("ghcr.io/owner/image:1", "ghcr.io"),
            ("localhost:5000/image", "localhost:5000"),
            ("localhost/image", "localhost"),
        ] {
            assert_eq!(registry_of(image), expected, "{image}");
        }
    }

    #[test]
    fn hosts_are_written_one_way() {
        for (text, expected) in [
            ("ghcr.io", Some("ghcr.io")),
            ("GHCR.io", Some("ghcr.io")),
            ("https://ghcr.io/", Some("ghcr.io")),
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("registry-1.docker.io", Some("docker.io")),
            ("localhost", Some("localhost")),
            ("127.0.0.1:5000", Some("127.0.0.1:5000")),
            ("registry:5000", Some("registry:5000")),
            ("registry", None),
            ("", None),
            ("http://ghcr.io", None),
            ("ghcr.io/owner", None),
            ("ghcr.io:", None),
            ("ghcr.io:0", None),
            ("ghcr.io:65536", None),
            ("a@ghcr.io", None),
            (".ghcr.io", None),
            ("ghcr.io\n", None),
        ] {
            let host = text.parse::<RegistryHost>().ok().map(|host| host.to_string());
            assert_eq!(host.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_login_is_for_the_images_of_its_host() {
        let has = |host: &str, image: &str| host.parse::<RegistryHost>().unwrap().has(image);
        assert!(has("docker.io", "nginx") && has("docker.io", "docker.io/library/nginx:1"));
        assert!(has("docker.io", "index.docker.io/library/nginx") && has("ghcr.io", "GHCR.IO/a/b"));
        assert!(!has("docker.io", "ghcr.io/a/b") && !has("ghcr.io", "nginx"));
        assert!(!has("ghcr.io", "ghcr.io.example/a/b") && !has("localhost:5000", "localhost:5001/a"));
    }
}
