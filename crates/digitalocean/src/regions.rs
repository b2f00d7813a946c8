//! Where droplets can be.

use serde::Deserialize;

use crate::client::Client;
use crate::errors::Error;

/// A data centre.
#[derive(Debug, Clone, Deserialize)]
pub struct Region {
    /// Its word, such as `fra1`.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether droplets can be created there now.
    pub available: bool,
    /// What it offers, such as `metadata`.
    #[serde(default)]
    pub features: Vec<String>,
    /// The slugs of the sizes that it has now.
    #[serde(default)]
    pub sizes: Vec<String>,
}

impl Client {
    /// All regions, also those that take no new droplets.
    pub async fn regions(&self) -> Result<Vec<Region>, Error> {
        self.list("regions", &["regions"], &[]).await
    }
}
