//! What can be deployed: one version of one server, what it is called, what it needs, how it runs.

use serde::{Deserialize, Serialize};

use crate::ids::CatalogEntryId;
use crate::package::Package;
use crate::spec::Launch;
use crate::time::Timestamp;

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
    /// What is installed: a package pinned to an exact version, or an image pinned to a tag. Absent when Berth has no name for it;
    /// then [`Listing::unavailable`] says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// How it is installed and started.
    #[serde(default)]
    pub launch: Launch,
    /// The settings it takes, secrets among them.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Values that are made of settings and of text around them. Arguments among them come last, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Whose it is, and how it stands where it comes from.
    #[serde(default, skip_serializing_if = "Listing::is_plain")]
    pub listing: Listing,
}

impl CatalogEntry {
    /// What is installed.
    ///
    /// # Errors
    /// Why it cannot be deployed, in words that complete "`NAME` cannot be deployed: …".
    pub fn deployable(&self) -> Result<&Package, &str> {
        match (&self.listing.unavailable, &self.package) {
            (None, Some(package)) => Ok(package),
            (Some(why), _) => Err(why),
            (None, None) => Err("it names no package"),
        }
    }

    /// Whether its publisher is who its name says: it is part of Berth, or the registry made sure.
    pub fn is_verified(&self) -> bool {
        self.listing.source.is_none() || self.listing.verified
    }

    /// Whether it takes secrets.
    pub fn takes_secrets(&self) -> bool {
        self.inputs.iter().any(|input| input.secret)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        if self.launch.container.is_some() { Kind::Tool } else { Kind::Mcp }
    }
}

/// Whose an entry is, and how it stands where it comes from. Of what is part of Berth almost nothing has to be said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Listing {
    /// The source that it came from; absent: it is part of Berth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The entry's own version, which may be another than its package's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who publishes it: the first part of its name, such as `io.github.owner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// What its registry says of it.
    #[serde(skip_serializing_if = "Standing::is_active")]
    pub status: Standing,
    /// Why, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// When this version was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// When its registry last changed anything about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Where its source lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_url: Option<String>,
    /// Its picture, which nothing of ours loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// Whether its registry made sure that its publisher is who the name says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
    /// Whether it is known to need no network while it runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// Why it cannot be deployed; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// What it offers besides [`CatalogEntry::package`], and what could be deployed in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Package>,
}

impl Listing {
    /// Whether there is nothing to say.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a registry says of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is there to be used.
    #[default]
    Active,
    /// It can be used and should not be begun with.
    Deprecated,
    /// It was withdrawn: it is neither listed nor deployed any more, and what runs goes on.
    Deleted,
}

impl Standing {
    /// Whether it is there to be used.
    pub fn is_active(&self) -> bool {
        *self == Self::Active
    }

    /// The word that registries and tables have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Deleted => "deleted",
        }
    }

    /// The standing of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Deprecated, Self::Deleted].into_iter().find(|standing| standing.as_str() == word)
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
    /// An example of a value, which is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// The values that it may have; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// A value that is made of settings, such as `Bearer {token}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Template {
    /// Where it goes.
    pub target: InputTarget,
    /// `{NAME}` stands for the setting of that name; where one of them has no value, the whole is left out. What names no setting
    /// stays as it is.
    pub text: String,
}

impl Template {
    /// The names in braces, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        pieces(&self.text).filter_map(|piece| match piece {
            Piece::Name(name) => Some(name),
            Piece::Text(_) => None,
        })
    }

    /// The text with values in the place of names. `value` gives, for the name of a setting, its value or that it has none, and for
    /// anything else `None`.
    ///
    /// A value is not looked into again, whatever braces it has.
    pub fn fill<'a>(&'a self, value: impl Fn(&str) -> Option<Option<&'a str>>) -> Option<String> {
        let mut filled = String::with_capacity(self.text.len());
        for piece in pieces(&self.text) {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Name(name) => {
                    if let Some(value) = value(name) {
                        filled.push_str(value?);
                    } else {
                        filled.push('{');
                        filled.push_str(name);
                        filled.push('}');
                    }
                }
            }
        }
        Some(filled)
    }
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_name = |name: &str| !name.is_empty() && !name.contains(['{', '}']);
        if let Some((name, after)) = rest.strip_prefix('{').and_then(|inside| inside.split_once('}'))
            && is_name(name)
        {
            rest = after;
            return Some(Piece::Name(name));
        }
        // A brace that opens nothing is text.
        let end = rest.char_indices().skip(1).find(|&(_, c)| c == '{').map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
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
    /// Into a header of every request to a server that runs elsewhere.
    Header {
        /// Such as `Authorization`.
        header: String,
    },
    /// Into the address of a server that runs elsewhere; only of a [`Template`].
    Address,
    /// Into the templates that name it, and nowhere else.
    Part,
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

/// Variables that decide which code runs, or that Berth sets itself: no setting is one of them.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "BASH_ENV",
    "ENV",
    "IFS",
    "SHELL",
];
const RESERVED_PREFIXES: &[&str] = &["LD_", "BERTH_", "DYLD_", "GLIBC_"];
/// Headers that say how a message travels.
const OWN_HEADERS: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "te",
    "transfer-encoding",
    "upgrade",
];
const OWN_HEADER_PREFIXES: &[&str] = &["berth-", "mcp-", "content-"];

/// Whether a text is the name of an environment variable: letters, digits and underscores, no digit first.
pub fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a variable is set by Berth, or decides which code runs.
pub fn is_reserved_variable(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a text is a name of a header (RFC 9110 §5.1).
pub fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a header is one that Berth sets.
pub fn is_own_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OWN_HEADERS.contains(&name.as_str()) || OWN_HEADER_PREFIXES.iter().any(|own| name.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, filled: Option<&str>) {
        let template = Template { target: InputTarget::Part, text: text.to_owned() };
        let value = |name: &str| match name {
            "a" => Some(Some("{b}")),
            "b" => Some(Some("2")),
            "none" => Some(None),
            _ => None,
        };
        assert_eq!(template.fill(value).as_deref(), filled, "{text}");
    }

    #[test]
    fn templates() {
        check("", Some(""));
        check("Bearer {b}", Some("Bearer 2"));
        check("{a}{b}", Some("{b}2"));
        check("x{none}", None);
        check("{work}/{b}", Some("{work}/2"));
        check("{", Some("{"));
        check("{}", Some("{}"));
        check("{{b}}", Some("{2}"));
        check("ä{b", Some("ä{b"));
    }
}
