//! What an API token is for. A token never does more than its user may; scopes make it less.
//!
//! They are written as OAuth writes scopes (RFC 6749 §3.3): `read`, `deploy`, `admin`, `mcp:call`, `mcp:call:INSTANCE`,
//! `mcp:call:INSTANCE/TOOL`, where `*` in TOOL stands for any characters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::InstanceName;

/// What every scope of calls begins with.
const CALL: &str = "mcp:call";
/// The longest pattern of tools, in characters: MCP's own limit of a tool's name.
const MAX_TOOL: usize = 128;
/// The most scopes that one token has.
const MAX: usize = 100;

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Reads through the API.
    Read,
    /// Reads and deploys.
    Deploy,
    /// Everything in the API that the user's role allows.
    Admin,
    /// Calls of MCP servers: of one, or of all when it is absent; of the tools that the pattern names, or of everything.
    Call {
        /// Whose.
        instance: Option<InstanceName>,
        /// Which tools; only together with an instance.
        tool: Option<String>,
    },
}

/// Why a text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It is none of those there are.
    #[error(
        "`{0}` is no scope: write `read`, `deploy`, `admin`, `mcp:call`, `mcp:call:INSTANCE` or `mcp:call:INSTANCE/TOOL`"
    )]
    Unknown(String),
    /// The instance cannot have that name.
    #[error("`{scope}` names no instance: {why}")]
    Instance {
        /// The scope.
        scope: String,
        /// What a name must be.
        why: String,
    },
    /// No tool has that name.
    #[error(
        "`{0}` names no tool: a tool's name has 1 to 128 letters, digits, `_`, `-`, `.` and `/`, and `*` for any characters"
    )]
    Tool(String),
    /// None, or too many.
    #[error("a token has 1 to {MAX} scopes")]
    Count,
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let unknown = || ScopeError::Unknown(text.to_owned());
        match text {
            "read" => return Ok(Self::Read),
            "deploy" => return Ok(Self::Deploy),
            "admin" => return Ok(Self::Admin),
            CALL => return Ok(Self::Call { instance: None, tool: None }),
            _ => {}
        }
        let rest = text.strip_prefix(CALL).and_then(|rest| rest.strip_prefix(':')).ok_or_else(unknown)?;
        let (instance, tool) = rest.split_once('/').map_or((rest, None), |(name, tool)| (name, Some(tool)));
        let instance = instance.parse().map_err(|error: crate::names::NameError| ScopeError::Instance {
            scope: text.to_owned(),
            why: error.to_string(),
        })?;
        let is_tool = |tool: &str| {
            (1..=MAX_TOOL).contains(&tool.len())
                && tool.chars().all(|c| c.is_ascii_alphanumeric() || "_-./*".contains(c))
        };
        if tool.is_some_and(|tool| !is_tool(tool)) {
            return Err(ScopeError::Tool(text.to_owned()));
        }
        Ok(Self::Call { instance: Some(instance), tool: tool.map(str::to_owned) })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Deploy => f.write_str("deploy"),
            Self::Admin => f.write_str("admin"),
            Self::Call { instance: None, .. } => f.write_str(CALL),
            Self::Call { instance: Some(instance), tool: None } => write!(f, "{CALL}:{instance}"),
            Self::Call { instance: Some(instance), tool: Some(tool) } => {
                write!(f, "{CALL}:{instance}/{tool}")
            }
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl Scope {
    /// Whether whoever has this one has the other one too. A pattern of tools covers itself alone.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Admin, Self::Admin | Self::Deploy | Self::Read)
            | (Self::Deploy, Self::Deploy | Self::Read)
            | (Self::Read, Self::Read)
            | (Self::Call { instance: None, .. }, Self::Call { .. }) => true,
            (Self::Call { instance: mine, tool: None }, Self::Call { instance: theirs @ Some(_), .. }) => {
                mine == theirs
            }
            _ => self == other,
        }
    }
}

/// The scopes of a token, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(Vec<Scope>);

impl TryFrom<Vec<Scope>> for Scopes {
    type Error = ScopeError;

    fn try_from(mut all: Vec<Scope>) -> Result<Self, ScopeError> {
        all.sort();
        all.dedup();
        if (1..=MAX).contains(&all.len()) { Ok(Self(all)) } else { Err(ScopeError::Count) }
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            write!(f, "{}`{scope}`", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Scopes {
    /// One alone.
    pub fn one(scope: Scope) -> Self {
        Self(vec![scope])
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether one of these covers a scope.
    pub fn cover(&self, scope: &Scope) -> bool {
        self.0.iter().any(|mine| mine.covers(scope))
    }

    /// The first of the others that these do not cover.
    pub fn lacking<'a>(&self, others: &'a Self) -> Option<&'a Scope> {
        others.0.iter().find(|other| !self.cover(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for text in ["read", "deploy", "admin", "mcp:call", "mcp:call:github", "mcp:call:github/get_*"] {
            assert_eq!(text.parse::<Scope>().map(|scope| scope.to_string()), Ok(text.to_owned()));
        }
        for (text, words) in [
            ("", "is no scope"),
            ("Read", "is no scope"),
            ("mcp", "is no scope"),
            ("mcp:calls", "is no scope"),
            ("mcp:call:", "names no instance"),
            ("mcp:call:*", "names no instance"),
            ("mcp:call:github/", "names no tool"),
            ("mcp:call:github/a b", "names no tool"),
            ("mcp:call:github/\"", "names no tool"),
        ] {
            let error = text.parse::<Scope>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_covers_what() {
        let all = [
            "admin",
            "deploy",
            "read",
            "mcp:call",
            "mcp:call:a",
            "mcp:call:a/x*",
            "mcp:call:a/xy",
            "mcp:call:b",
        ];
        let covered: [&[&str]; 8] = [
            &["admin", "deploy", "read"],
            &["deploy", "read"],
            &["read"],
            &["mcp:call", "mcp:call:a", "mcp:call:a/x*", "mcp:call:a/xy", "mcp:call:b"],
            &["mcp:call:a", "mcp:call:a/x*", "mcp:call:a/xy"],
            &["mcp:call:a/x*"],
            &["mcp:call:a/xy"],
            &["mcp:call:b"],
        ];
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        for (one, expected) in all.iter().zip(covered) {
            let scopes = Scopes::try_from(vec![scope(one)]).unwrap();
            let found: Vec<&str> = all.iter().copied().filter(|other| scopes.cover(&scope(other))).collect();
            assert_eq!(found, expected, "{one}");
        }
    }

    #[test]
    fn a_token_has_some_and_each_once() {
        let parse = |text: &str| serde_json::from_str::<Scopes>(text);
        assert_eq!(parse(r#"["read","mcp:call","read"]"#).unwrap().to_string(), "`read`, `mcp:call`");
        assert!(parse("[]").unwrap_err().to_string().contains("1 to 100"));
        assert!(parse(r#"["x"]"#).unwrap_err().to_string().contains("`x` is no scope"));
    }
}
