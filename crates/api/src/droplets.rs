//! `/api/v1/digitalocean`: what droplets there can be, and which belong to nobody.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/digitalocean/options`: what a droplet can be, as DigitalOcean has it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DropletOptions {
    /// Where it can be.
    pub regions: Vec<RegionOption>,
    /// How large, the cheapest first.
    pub sizes: Vec<SizeOption>,
    /// What it can start from.
    pub images: Vec<ImageOption>,
    /// The image when none is named.
    pub default_image: String,
    /// The SSH keys of the DigitalOcean account.
    pub ssh_keys: Vec<KeyOption>,
    /// How many droplets the DigitalOcean account has.
    pub droplets: u64,
    /// How many it may have.
    pub droplet_limit: u64,
}

/// A region that takes droplets now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RegionOption {
    /// Its word.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// A size that there is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SizeOption {
    /// Its word.
    pub slug: String,
    /// Its kind.
    pub description: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Disk, GiB.
    pub disk_gib: u64,
    /// US dollars for a month.
    pub price_monthly: f64,
    /// US dollars for an hour.
    pub price_hourly: f64,
    /// The regions that have it.
    pub regions: Vec<String>,
}

/// A system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImageOption {
    /// Its word.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// An SSH key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyOption {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
}

/// A droplet that carries Berth's tags and is no environment's: what a control plane left that is no more, or another one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Stray {
    /// DigitalOcean's number of it.
    pub id: u64,
    /// Its name there.
    pub name: String,
    /// Its region, such as `fra1`.
    pub region: String,
    /// Its size, such as `s-1vcpu-1gb`.
    pub size: String,
    /// What DigitalOcean says of it: `new`, `active`, `off` or `archive`.
    pub status: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Its public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}
