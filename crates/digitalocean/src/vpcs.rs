//! Private networks that droplets of a region are in.

use serde::Deserialize;

use crate::client::Client;
use crate::errors::Error;

/// A private network.
#[derive(Debug, Clone, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The slug of its region.
    #[serde(default)]
    pub region: String,
    /// Its addresses, `10.10.10.0/24`.
    #[serde(default)]
    pub ip_range: String,
    /// Whether its region's droplets get into it where nothing else is said.
    #[serde(default)]
    pub default: bool,
}

impl Client {
    /// All private networks.
    pub async fn vpcs(&self) -> Result<Vec<Vpc>, Error> {
        self.list("vpcs", &["vpcs"], &[]).await
    }

    /// One private network.
    pub async fn vpc(&self, id: &str) -> Result<Vpc, Error> {
        self.read("vpc", &["vpcs", id]).await
    }
}
