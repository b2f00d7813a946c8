//! Public keys that a droplet's root lets in.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::client::{Call, Client};
use crate::errors::Error;
use crate::retry::Effect;

/// A public key of the account.
#[derive(Debug, Clone, Deserialize)]
pub struct SshKey {
    /// Its number.
    pub id: u64,
    /// Its fingerprint, `aa:bb:…`.
    pub fingerprint: String,
    /// The key, as in `authorized_keys`.
    pub public_key: String,
    /// Its name for people.
    pub name: String,
}

impl Client {
    /// All keys. The provider answers this ten times a minute at most.
    pub async fn ssh_keys(&self) -> Result<Vec<SshKey>, Error> {
        self.list("ssh_keys", &["account", "keys"], &[]).await
    }

    /// One key, by its number or fingerprint.
    pub async fn ssh_key(&self, id_or_fingerprint: &str) -> Result<SshKey, Error> {
        self.read("ssh_key", &["account", "keys", id_or_fingerprint]).await
    }

    /// Adds a key. The provider refuses one that is already there.
    pub async fn create_ssh_key(&self, name: &str, public_key: &str) -> Result<SshKey, Error> {
        let body = json!({"name": name, "public_key": public_key});
        self.one("ssh_key", Call::new(Method::POST, Effect::Once, &["account", "keys"]).body(&body)?).await
    }

    /// Removes a key from the account, not from droplets. One that is not there is removed.
    pub async fn delete_ssh_key(&self, id: u64) -> Result<(), Error> {
        self.delete(&["account", "keys", &id.to_string()]).await
    }
}
