//! Secret texts: redacted in `Debug`, wiped when dropped, and not serialisable unless a field asks for it by name.
//!
//! [`same`] is the one place where what somebody shows is compared with what is expected: `cargo xtask tidy` finds every other. What is
//! stored is not compared at all, it is looked up by its SHA-256.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serializer};
use subtle::ConstantTimeEq as _;

/// A secret text. It has no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

/// Secrets by the name of their environment variable.
pub type Secrets = BTreeMap<String, Secret>;

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. Every call of this is a place to look at in a review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Whether two texts are the same, in a time that tells nothing but their length: how much of a guess is right would be told by a comparison
/// that ends at the first difference.
pub fn same(shown: &[u8], expected: &[u8]) -> bool {
    shown.ct_eq(expected).into()
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(self.expose().as_bytes(), other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// For `#[serde(serialize_with)]` on a field that is sent to the one party that needs the secret.
pub fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// As [`expose`], for a secret that may be absent.
pub fn expose_some<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose()),
        None => serializer.serialize_none(),
    }
}

/// As [`expose`], for a map of secrets.
pub fn expose_all<S: Serializer>(secrets: &Secrets, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(secrets.len()))?;
    for (name, secret) in secrets {
        map.serialize_entry(name, secret.expose())?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_and_others() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(same(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(Secret::new(one) == Secret::new(other), expected, "{one} {other}");
        };
        check("", "", true);
        check("hunter2", "hunter2", true);
        for other in ["hunter3", "Hunter2", "hunter", "hunter22", ""] {
            check("hunter2", other, false);
        }
    }

    #[test]
    fn is_redacted() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(redacted)");
    }
}
