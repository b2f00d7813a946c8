//! What can be deployed: one version of one server, what it is called, what it needs, how it runs.

use serde::{Deserialize, Serialize};

use crate::ids::CatalogEntryId;
use crate::package::Package;
use crate::spec::Launch;

/// One version of something that can be deployed (`tool_catalog`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CatalogEntry {
    /// Its id; stable for built-in entries.
    pub id: CatalogEntryId,
    /// The name that people type, unique in the catalog.
    pub name: String,
    /// The name that people read.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// Such as `development` or `productivity`.
    pub category: String,
    /// How a client's messages reach the server; means nothing for a container tool.
    #[serde(default)]
    pub transport: Transport,
    /// What is installed: a package pinned to an exact version, or an image pinned to a tag.
    pub package: Package,
    /// How it is installed and started.
    #[serde(default)]
    pub launch: Launch,
    /// The settings it takes, secrets among them.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
}

impl CatalogEntry {
    /// What it is.
    pub fn kind(&self) -> Kind {
        if self.launch.container.is_some() { Kind::Tool } else { Kind::Mcp }
    }
}

/// What an entry of the catalog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An MCP server.
    Mcp,
    /// A container tool, such as PostgreSQL.
    Tool,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mcp => "mcp",
            Self::Tool => "tool",
        })
    }
}

/// How a client's messages reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Newline-delimited JSON on standard input and output.
    #[default]
    Stdio,
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE of 2024-11-05.
    Sse,
}

impl Transport {
    /// Whether it is standard input and output.
    pub fn is_stdio(&self) -> bool {
        *self == Self::Stdio
    }
}

/// One setting of a server (`server.json`'s Input).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Input {
    /// The key people type in `--set K=V` or `--secret K=V`.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Where its value goes.
    pub target: InputTarget,
    /// What its value must be.
    #[serde(default)]
    pub format: InputFormat,
    /// Whether a deployment without it is refused.
    #[serde(default)]
    pub required: bool,
    /// Whether it is a secret: encrypted at rest, never shown again.
    #[serde(default)]
    pub secret: bool,
    /// Its value when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// Where a setting's value goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "to", rename_all = "lowercase")]
pub enum InputTarget {
    /// Into an environment variable.
    Env {
        /// Its name.
        variable: String,
    },
    /// Onto the command line, after the entry's own arguments: the flag when there is one, then the value.
    Argument {
        /// Such as `--repository`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flag: Option<String>,
    },
}

/// What a setting's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// Any text.
    #[default]
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A path inside the instance's own writable directory, relative to it.
    Filepath,
}

impl InputFormat {
    /// Checks a value. The error completes the sentence "`K` must be …".
    ///
    /// # Errors
    /// What the value must be, when it is not.
    pub fn check(self, value: &str) -> Result<(), &'static str> {
        match self {
            Self::Number if value.parse::<f64>().is_ok_and(f64::is_finite) => Ok(()),
            Self::Number => Err("a number, such as `8` or `0.5`"),
            Self::Boolean if matches!(value, "true" | "false") => Ok(()),
            Self::Boolean => Err("`true` or `false`"),
            Self::Filepath
                if value.is_empty() || value.starts_with('/') || value.split('/').any(|p| p == "..") =>
            {
                Err("a relative path inside the instance's own directory, such as `notes`")
            }
            Self::String | Self::Filepath if value.contains('\0') => Err("a text without NUL characters"),
            Self::String | Self::Filepath => Ok(()),
        }
    }
}
