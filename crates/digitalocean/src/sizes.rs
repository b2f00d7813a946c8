//! How large droplets can be, and what that costs.

use serde::Deserialize;

use crate::client::Client;
use crate::errors::Error;

/// A size of droplets.
#[derive(Debug, Clone, Deserialize)]
pub struct Size {
    /// Its word, such as `s-1vcpu-1gb`.
    pub slug: String,
    /// Its kind for people, such as `Basic`.
    #[serde(default)]
    pub description: String,
    /// Memory, MiB.
    pub memory: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Disk, GiB.
    pub disk: u64,
    /// Traffic per month that costs nothing more, TiB.
    #[serde(default)]
    pub transfer: f64,
    /// US dollars for a month, the most that it costs.
    pub price_monthly: f64,
    /// US dollars for an hour.
    pub price_hourly: f64,
    /// The slugs of the regions that have it now.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Whether droplets of it can be created at all.
    pub available: bool,
}

impl Size {
    /// What a droplet of it costs in a month, the most that it costs, in US cents.
    pub fn price_cents(&self) -> u64 {
        cents(self.price_monthly)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a price in dollars, which is neither negative nor beyond 10^17"
)]
pub(crate) fn cents(dollars: f64) -> u64 {
    (dollars * 100.0).round().max(0.0) as u64
}

impl Client {
    /// All sizes.
    pub async fn sizes(&self) -> Result<Vec<Size>, Error> {
        self.list("sizes", &["sizes"], &[]).await
    }
}
