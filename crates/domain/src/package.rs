//! What an instance runs: a package of a registry, a container image, a server that lies on the host, one that is part of the binary, or one
//! that runs elsewhere and is reached over HTTP.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::{Parts, is_digest, parts};

/// Where a package comes from. The text form is what people type: `npm:PKG[@V]`, `pypi:PKG[@V]`, `oci:IMAGE`, `file:PATH`,
/// `builtin:NAME`, `https://…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Package {
    /// An npm package, with its scope.
    Npm {
        /// Such as `@modelcontextprotocol/server-everything`.
        name: String,
        /// An exact version; absent means the newest at the time of the first install.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// A PyPI project, its name normalised as PEP 503 says.
    Pypi {
        /// Such as `mcp-server-time`.
        name: String,
        /// An exact version; absent means the newest at the time of the first install.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// A container image. It runs on hosts with the `docker` runtime.
    Oci {
        /// A reference as the engine takes it: `[REGISTRY/]NAME[:TAG][@sha256:DIGEST]`.
        image: String,
    },
    /// An executable, or a directory with one, that lies on the host. What runs is a copy.
    File {
        /// An absolute path, such as `/srv/my-server`.
        path: String,
    },
    /// A server that runs elsewhere: nothing is installed, and its instance has no process.
    Remote {
        /// Such as `https://mcp.example.com/mcp`.
        url: String,
    },
    /// A server that is part of this binary.
    Builtin {
        /// `welcome`.
        name: String,
    },
}

/// Where packages come from, in one word each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// npm.
    Npm,
    /// PyPI.
    Pypi,
    /// A registry of container images.
    Oci,
    /// The host itself.
    File,
    /// Nowhere: it runs elsewhere.
    Remote,
    /// This binary.
    Builtin,
}

/// Why a text names no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// Neither `npm:`, `pypi:`, `oci:`, `file:`, `builtin:` nor an address.
    #[error(
        "`{0}` names no package: write `npm:PKG[@VERSION]`, `pypi:PKG[@VERSION]`, `oci:IMAGE`, `file:PATH` or `https://…`, \
         or a name of the catalog"
    )]
    Kind(String),
    /// The name breaks the registry's rule.
    #[error("`{0}` is not an npm package name (such as `@scope/name`)")]
    NpmName(String),
    /// The name breaks PEP 508's rule.
    #[error("`{0}` is not a PyPI project name (letters, digits, `-`, `_` and `.`)")]
    PypiName(String),
    /// The reference breaks the registry's rule.
    #[error("`{0}` is not an image reference (such as `ghcr.io/owner/image:1.2` or `nginx@sha256:…`)")]
    ImageName(String),
    /// A relative path, or one that says more than where something lies.
    #[error("`{0}` is not an absolute path without `.` and `..` (such as `/srv/my-server`)")]
    FilePath(String),
    /// No address of a server.
    #[error(
        "`{0}` is not an address of a server: write it as `https://HOST/PATH`, without user, password and fragment"
    )]
    Url(String),
    /// What lies on a host, or runs elsewhere, has no versions.
    #[error("what `file:` or an address names has no versions, it is what is there")]
    NoVersions,
    /// Neither a tag nor a digest where an image's version belongs.
    #[error("`{0}` is neither a tag of an image nor a digest (`sha256:` and 64 hexadecimal digits)")]
    ImageVersion(String),
    /// A range, a tag or an empty text where an exact version belongs.
    #[error("`{0}` is not an exact version: ranges and tags are not accepted, leave it out for the newest")]
    Version(String),
}

impl Package {
    /// Where it comes from.
    pub fn kind(&self) -> PackageKind {
        match self {
            Self::Npm { .. } => PackageKind::Npm,
            Self::Pypi { .. } => PackageKind::Pypi,
            Self::Oci { .. } => PackageKind::Oci,
            Self::File { .. } => PackageKind::File,
            Self::Remote { .. } => PackageKind::Remote,
            Self::Builtin { .. } => PackageKind::Builtin,
        }
    }

    /// The name without kind and version; of what lies on the host, its path.
    pub fn name(&self) -> &str {
        match self {
            Self::Npm { name, .. } | Self::Pypi { name, .. } | Self::Builtin { name } => name,
            Self::Oci { image } => image,
            Self::File { path } => path,
            Self::Remote { url } => url,
        }
    }

    /// The exact version, when one is asked for; of an image its digest, since a tag is one image today and another tomorrow.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Npm { version, .. } | Self::Pypi { version, .. } => version.as_deref(),
            Self::Oci { image } => parts(image).digest,
            Self::File { .. } | Self::Remote { .. } | Self::Builtin { .. } => None,
        }
    }

    /// The same package as `version`: an exact version, or a tag or digest of an image (or both), whose tag stays beside a digest. A built-in has
    /// none and stays as it is.
    ///
    /// # Errors
    /// [`PackageError::Version`] when the text is not an exact version, [`PackageError::ImageVersion`], [`PackageError::NoVersions`].
    pub fn with_version(self, version: &str) -> Result<Self, PackageError> {
        Ok(match self {
            Self::Npm { name, .. } => Self::Npm { name, version: Some(exact_version(version)?) },
            Self::Pypi { name, .. } => Self::Pypi { name, version: Some(exact_version(version)?) },
            Self::Oci { image } => {
                let now = parts(&image);
                let image = match now.tag {
                    Some(tag) if is_digest(version) => format!("{}:{tag}@{version}", now.name),
                    None if is_digest(version) => format!("{}@{version}", now.name),
                    _ => format!("{}:{version}", now.name),
                };
                // What is in a version must not make it the image of another name.
                if !is_image(&image) || parts(&image).name != now.name {
                    return Err(PackageError::ImageVersion(version.to_owned()));
                }
                Self::Oci { image }
            }
            Self::File { .. } | Self::Remote { .. } => return Err(PackageError::NoVersions),
            builtin @ Self::Builtin { .. } => builtin,
        })
    }

    /// Whether its name asks for another version than this one already.
    pub fn contradicts(&self, version: &str) -> bool {
        let is_other = |own: &str| own != version;
        match self {
            Self::Oci { image } if !is_digest(version) => {
                let own = parts(image);
                own.digest.is_some() || own.tag.is_some_and(is_other)
            }
            _ => self.version().is_some_and(is_other),
        }
    }

    /// The same package without the exact version that it is pinned to. An image keeps its tag.
    #[must_use]
    pub fn unpinned(self) -> Self {
        match self {
            Self::Npm { name, .. } => Self::Npm { name, version: None },
            Self::Pypi { name, .. } => Self::Pypi { name, version: None },
            Self::Oci { image } => {
                let image = image.split_once('@').map_or(image.as_str(), |(tagged, _)| tagged).to_owned();
                Self::Oci { image }
            }
            other => other,
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Npm { name, version: None } => write!(f, "npm:{name}"),
            Self::Npm { name, version: Some(version) } => write!(f, "npm:{name}@{version}"),
            Self::Pypi { name, version: None } => write!(f, "pypi:{name}"),
            Self::Pypi { name, version: Some(version) } => write!(f, "pypi:{name}@{version}"),
            Self::Oci { image } => write!(f, "oci:{image}"),
            Self::File { path } => write!(f, "file:{path}"),
            Self::Builtin { name } => write!(f, "builtin:{name}"),
            Self::Remote { url } => f.write_str(url),
        }
    }
}

impl FromStr for Package {
    type Err = PackageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| PackageError::Kind(text.to_owned()))?;
        match kind {
            "npm" => {
                // The `@` of a scope is the first character, never the separator.
                let at = rest.char_indices().skip(1).find(|&(_, c)| c == '@').map(|(i, _)| i);
                let (name, version) = split_at_option(rest, at);
                if !is_npm_name(name) {
                    return Err(PackageError::NpmName(name.to_owned()));
                }
                Ok(Self::Npm { name: name.to_owned(), version: version.map(exact_version).transpose()? })
            }
            "pypi" => {
                let (name, version) = split_at_option(rest, rest.find('@'));
                if !is_pypi_name(name) {
                    return Err(PackageError::PypiName(name.to_owned()));
                }
                Ok(Self::Pypi {
                    name: normalise_pypi(name),
                    version: version.map(exact_version).transpose()?,
                })
            }
            "file" => {
                let path = rest.strip_suffix('/').unwrap_or(rest);
                if !is_plain_path(path) {
                    return Err(PackageError::FilePath(rest.to_owned()));
                }
                Ok(Self::File { path: path.to_owned() })
            }
            "builtin" => Ok(Self::Builtin { name: rest.to_owned() }),
            "oci" if is_image(rest) => Ok(Self::Oci { image: rest.to_owned() }),
            "oci" => Err(PackageError::ImageName(rest.to_owned())),
            "http" | "https" if is_server_url(text) => Ok(Self::Remote { url: text.to_owned() }),
            "http" | "https" => Err(PackageError::Url(text.to_owned())),
            _ => Err(PackageError::Kind(text.to_owned())),
        }
    }
}

fn split_at_option(text: &str, at: Option<usize>) -> (&str, Option<&str>) {
    at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

/// An exact version: semver or PEP 440 shapes begin with a digit (or `v`) and hold no range operator or space.
fn exact_version(text: &str) -> Result<String, PackageError> {
    let shaped = text.starts_with(|c: char| c.is_ascii_digit())
        && text.len() <= 100
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_' | b'!'));
    let ranged = text.split('.').any(|part| part == "x" || part == "X");
    if shaped && !ranged { Ok(text.to_owned()) } else { Err(PackageError::Version(text.to_owned())) }
}

/// Absolute, at most 4096 bytes (Linux's `PATH_MAX`), each part a name; nothing in it that a terminal would act on.
fn is_plain_path(text: &str) -> bool {
    text.len() < 4096
        && !text.chars().any(char::is_control)
        && text
            .strip_prefix('/')
            .is_some_and(|parts| parts.split('/').all(|part| !part.is_empty() && part != "." && part != ".."))
}

/// The distribution specification's reference: a registry's host when the first part looks like one, a path of lower-case
/// names, a tag, a digest.
pub(crate) fn is_image(text: &str) -> bool {
    let Parts { name, tag, digest } = parts(text);
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, name),
    };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_tag = |tag: &str| {
        tag.len() <= 128
            && tag.bytes().next().is_some_and(is_word)
            && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
    };
    let is_host = |host: &str| {
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
            && port.is_none_or(|port| port.parse::<u16>().is_ok())
    };
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b))
    };
    name.len() + tag.map_or(0, |tag| 1 + tag.len()) <= 255
        && path.split('/').all(is_part)
        && host.is_none_or(is_host)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// An address with a host and a path, and nothing that says who asks or what part is meant.
fn is_server_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    !host.is_empty()
        && !host.starts_with(':')
        && !host.contains('@')
        && text.len() <= 2048
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\'))
}

/// npm's rule for new packages: URL-safe, lower-case, at most 214 characters, not starting with `.`, `_` or `-`.
fn is_npm_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '_', '-'])
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.~".contains(&b))
    };
    text.len() <= 214
        && match text.strip_prefix('@') {
            Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name)),
            None => part(text),
        }
}

/// PEP 508: ASCII letters and digits at both ends, `-`, `_`, `.` inside.
fn is_pypi_name(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 214
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// PEP 503: runs of `-`, `_`, `.` become one `-`, letters become lower-case.
fn normalise_pypi(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.push(c.to_ascii_lowercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(text.parse::<Package>().map_or_else(|e| format!("{e:?}"), |p| p.to_string()), shown);
    }

    #[test]
    fn packages() {
        check("npm:@modelcontextprotocol/server-everything", "npm:@modelcontextprotocol/server-everything");
        check("npm:@a/b@1.2.3", "npm:@a/b@1.2.3");
        check("npm:left-pad@1.0.0-beta.1", "npm:left-pad@1.0.0-beta.1");
        check("pypi:MCP_Server.Time@2026.10.19", "pypi:mcp-server-time@2026.10.19");
        check("builtin:welcome", "builtin:welcome");
        check("file:/srv/my server", "file:/srv/my server");
        check("file:/srv/my-server/", "file:/srv/my-server");
        check("file:server", "FilePath(\"server\")");
        check("file:/", "FilePath(\"/\")");
        check("file:/srv/../etc", "FilePath(\"/srv/../etc\")");
        check("file:/srv//x", "FilePath(\"/srv//x\")");
        check("file:/srv/x\n", "FilePath(\"/srv/x\\n\")");
        check("npm:@a", "NpmName(\"@a\")");
        check("npm:A", "NpmName(\"A\")");
        check("npm:a b", "NpmName(\"a b\")");
        check("npm:../x", "NpmName(\"../x\")");
        check("npm:x@^1", "Version(\"^1\")");
        check("npm:x@latest", "Version(\"latest\")");
        check("npm:x@1.x", "Version(\"1.x\")");
        check("npm:x@", "Version(\"\")");
        check("pypi:-x", "PypiName(\"-x\")");
        check("pypi:x; rm -rf /", "PypiName(\"x; rm -rf /\")");
        check("oci:nginx", "oci:nginx");
        check("oci:ghcr.io/owner/mcp-server:1.2", "oci:ghcr.io/owner/mcp-server:1.2");
        check("oci:localhost:5000/a/b_c.d", "oci:localhost:5000/a/b_c.d");
        let digest = "0123456789abcdef".repeat(4);
        check(&format!("oci:a/b:1@sha256:{digest}"), &format!("oci:a/b:1@sha256:{digest}"));
        check("oci:", "ImageName(\"\")");
        check("oci:Nginx", "ImageName(\"Nginx\")");
        check("oci:a b", "ImageName(\"a b\")");
        check("oci:a:", "ImageName(\"a:\")");
        check("oci:a@sha256:12", "ImageName(\"a@sha256:12\")");
        check("oci:../x", "ImageName(\"../x\")");
        check("oci:a//b", "ImageName(\"a//b\")");
        check("https://example.com/mcp?x=1", "https://example.com/mcp?x=1");
        check("http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080/mcp");
        check("https://a:b@example.com/mcp", "Url(\"https://a:b@example.com/mcp\")");
        check("https:///mcp", "Url(\"https:///mcp\")");
        check("https://example.com/#x", "Url(\"https://example.com/#x\")");
        check("everything", "Kind(\"everything\")");
        check("gem:x", "Kind(\"gem:x\")");
    }

    #[test]
    fn versions() {
        let (old, new) = (format!("sha256:{}", "0".repeat(64)), format!("sha256:{}", "f".repeat(64)));
        let check = |package: &str, version: &str, shown: &str, contradicts: bool| {
            let package: Package = package.parse().unwrap();
            let with = package.clone().with_version(version);
            assert_eq!(
                with.map_or_else(|e| format!("{e:?}"), |p| p.to_string()),
                shown,
                "{package} {version}"
            );
            assert_eq!(package.contradicts(version), contradicts, "{package} {version}");
        };
        check("npm:a@1.0.0", "2.0.0", "npm:a@2.0.0", true);
        check("npm:a", "2.0.0", "npm:a@2.0.0", false);
        check("npm:a", "latest", "Version(\"latest\")", false);
        check("oci:a", "2", "oci:a:2", false);
        check("oci:a:1", "2", "oci:a:2", true);
        check("oci:a:1", "1", "oci:a:1", false);
        check("oci:r.example:5000/a", "2", "oci:r.example:5000/a:2", false);
        check(&format!("oci:a:1@{old}"), "2", "oci:a:2", true);
        check("oci:a:1", &new, &format!("oci:a:1@{new}"), false);
        check("oci:a", &new, &format!("oci:a@{new}"), false);
        check(&format!("oci:a:1@{old}"), &new, &format!("oci:a:1@{new}"), true);
        check("oci:a:1", "a b", "ImageVersion(\"a b\")", true);
        check("oci:a", "sha256:12", "ImageVersion(\"sha256:12\")", false);
        check("oci:a", "", "ImageVersion(\"\")", false);
        check("oci:a", &format!("2@{new}"), &format!("oci:a:2@{new}"), false);
        check("oci:a", "1/b", "ImageVersion(\"1/b\")", false);
        check("file:/a", "2", "NoVersions", false);
        check("builtin:welcome", "2", "builtin:welcome", false);
        let unpinned = |text: &str| text.parse::<Package>().unwrap().unpinned().to_string();
        assert_eq!(unpinned("npm:@a/b@1.0.0"), "npm:@a/b");
        assert_eq!(unpinned(&format!("oci:r.example:5000/a:1@{old}")), "oci:r.example:5000/a:1");
    }
}
