//! Validated names. A name is an address part and a word on the command line, so the rule is that of a DNS label:
//! lower-case letters, digits and inner hyphens, 1 to 40 characters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in characters.
pub const MAX_NAME: usize = 40;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside `a-z0-9-`, or a hyphen at an edge.
    #[error(
        "`{given}` is not a name: use lower-case letters, digits and inner hyphens, such as `{proposal}`"
    )]
    Shape {
        /// What was given.
        given: String,
        /// The nearest valid name.
        proposal: String,
    },
}

fn check(text: &str) -> Result<(), NameError> {
    let length = text.chars().count();
    if length == 0 {
        return Err(NameError::Empty);
    }
    if MAX_NAME < length {
        return Err(NameError::TooLong(length));
    }
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !inner || text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Shape { given: text.to_owned(), proposal: slug(text) });
    }
    Ok(())
}

/// The nearest valid name to any text: `My Server!` becomes `my-server`, nothing usable becomes `server`.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() == MAX_NAME {
            break;
        }
    }
    let out = out.trim_matches('-');
    if out.is_empty() { "server".to_owned() } else { out.to_owned() }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

names! {
    /// An account's name: the first part of every MCP address.
    AccountName;
    /// A person's name, unique everywhere. It has no `@`, so it is never mistaken for an e-mail address.
    UserName;
    /// An environment's name, unique in its account.
    EnvironmentName;
    /// An instance's name, unique in its account: its address and its word on the command line; never changes.
    InstanceName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn accepts(text: &str) {
        assert_eq!(text.parse::<InstanceName>().map(String::from), Ok(text.to_owned()));
    }

    #[track_caller]
    fn refuses(text: &str, proposal: &str) {
        let error = text.parse::<InstanceName>().expect_err("not a name");
        let NameError::Shape { proposal: found, .. } = error else { panic!("{error}") };
        assert_eq!(found, proposal);
        assert!(found.parse::<InstanceName>().is_ok(), "the proposal is itself a name");
    }

    #[test]
    fn names() {
        for text in ["a", "everything", "my-server-2", "0", &"x".repeat(MAX_NAME)] {
            accepts(text);
        }
        refuses("My Server", "my-server");
        refuses("-x", "x");
        refuses("x-", "x");
        refuses("ä", "server");
        refuses("a/b", "a-b");
        refuses("../../etc", "etc");
        refuses("a b\n", "a-b");
        assert_eq!("".parse::<InstanceName>(), Err(NameError::Empty));
        assert_eq!("x".repeat(41).parse::<InstanceName>(), Err(NameError::TooLong(41)));
    }
}
