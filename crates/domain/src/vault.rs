//! Names of an account's secrets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in characters.
pub const MAX_SECRET_NAME: usize = 64;

/// The name of a secret: letters, digits, `_`, `-` and `.`, beginning with a letter, a digit or `_`, so that those of environment variables
/// are names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
pub struct SecretName(String);

/// A text that is no name of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret's name has 1 to {MAX_SECRET_NAME} letters, digits, `_`, `-` and `.`, and begins with a letter, a digit or `_`, such as `GITHUB_TOKEN`"
)]
pub struct SecretNameError;

impl SecretName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_name = text.bytes().next().is_some_and(is_first)
            && text.len() <= MAX_SECRET_NAME
            && text.bytes().all(|b| is_first(b) || matches!(b, b'-' | b'.'));
        if is_name { Ok(Self(text.to_owned())) } else { Err(SecretNameError) }
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        let long = "x".repeat(MAX_SECRET_NAME);
        for good in ["GITHUB_TOKEN", "_x", "a", "7", "prod.db-password", &long] {
            assert_eq!(good.parse::<SecretName>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", ".x", "-x", "a b", "a/b", "ä", "a\n", &format!("{long}x")] {
            assert_eq!(bad.parse::<SecretName>(), Err(SecretNameError), "{bad}");
        }
    }
}
