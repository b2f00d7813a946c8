//! `/api/v1/secrets`: the account's secrets, by name. Values go in and never come out.

use std::collections::BTreeMap;

use domain::names::InstanceName;
use domain::secret::{self, Secret, Secrets};
use domain::time::Timestamp;
use domain::vault::SecretName;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `PUT /api/v1/secrets/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRequest {
    /// The value, 1 byte to 64 KiB without NUL. It is never shown again.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String, write_only)]
    pub value: Secret,
    /// Whether running instances that use it are restarted; absent: yes. Those that are not go on with the value that they have until they
    /// are started, restarted or moved.
    #[serde(default = "yes")]
    pub restart: bool,
}

fn yes() -> bool {
    true
}

/// One secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoredSecret {
    /// Its name.
    pub name: SecretName,
    /// The newest version; the first is 1.
    pub version: u64,
    /// When it was first given.
    pub created_at: Timestamp,
    /// When the newest version was given.
    pub updated_at: Timestamp,
    /// The versions, newest first, ten at most.
    pub versions: Vec<SecretVersion>,
    /// Which instances use it, by name.
    pub used_by: Vec<SecretUse>,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretVersion {
    /// Its number.
    pub version: u64,
    /// When it was given.
    pub created_at: Timestamp,
    /// By whom, such as `user:0198…`.
    pub created_by: String,
    /// The user's name, where it was one that is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_name: Option<String>,
}

/// An instance that uses a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretUse {
    /// The instance.
    pub instance: InstanceName,
    /// As which variable or header.
    pub variable: String,
    /// The version that its host was told last; absent: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// The answer to `PUT /api/v1/secrets/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretKept {
    /// The secret as it is now.
    pub secret: StoredSecret,
    /// Instances that get the new version now; those of them that run are restarted.
    pub renewed: Vec<InstanceName>,
    /// Instances that go on with an older version until they are started, restarted or moved.
    pub left: Vec<InstanceName>,
}

/// The secrets of a deployment: values, and names of secrets of the account. On the wire one map, whose members are texts or
/// `{"secret": "NAME"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenSecrets {
    /// Those that were given as values.
    pub values: Secrets,
    /// Those that were given as names.
    pub named: BTreeMap<String, SecretName>,
}

impl GivenSecrets {
    /// The names under which they were given, of both kinds.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.values.keys().chain(self.named.keys().filter(|key| !self.values.contains_key(*key)))
    }
}

impl From<Secrets> for GivenSecrets {
    fn from(values: Secrets) -> Self {
        Self { values, named: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a secret is a text, or `{\"secret\": \"NAME\"}` for one of the account's")]
enum Given {
    Value(Secret),
    Named(Reference),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    secret: SecretName,
}

impl<'de> Deserialize<'de> for GivenSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        for (key, given) in BTreeMap::<String, Given>::deserialize(deserializer)? {
            match given {
                Given::Value(value) => drop(all.values.insert(key, value)),
                Given::Named(Reference { secret }) => drop(all.named.insert(key, secret)),
            }
        }
        Ok(all)
    }
}

impl Serialize for GivenSecrets {
    /// For the one party that needs the values.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len() + self.named.len()))?;
        for (key, value) in &self.values {
            map.serialize_entry(key, value.expose())?;
        }
        for (key, secret) in &self.named {
            map.serialize_entry(key, &Reference { secret: secret.clone() })?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_are_told_apart() {
        let text = r#"{"A":"hunter2","B":{"secret":"PROD_KEY"}}"#;
        let given: GivenSecrets = serde_json::from_str(text).unwrap();
        assert_eq!(given.values["A"].expose(), "hunter2");
        assert_eq!(given.named["B"].as_str(), "PROD_KEY");
        assert_eq!(serde_json::to_string(&given).unwrap(), text);
        for bad in [
            r#"{"A":1}"#,
            r#"{"A":{"secret":""}}"#,
            r#"{"A":{"secret":"x","version":1}}"#,
            r#"{"A":{"name":"x"}}"#,
        ] {
            let error = serde_json::from_str::<GivenSecrets>(bad).unwrap_err().to_string();
            assert!(error.starts_with("a secret is a text"), "{bad}: {error}");
        }
    }
}
