//! `/api/v1/environments`: the machines.

use std::collections::BTreeMap;

use domain::ids::EnvironmentId;
use domain::names::EnvironmentName;
use domain::placement::Labels;
use domain::secret::{self, Secret};
use domain::status::{EnvironmentStatus, Protection, SystemMetrics};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One machine as its account sees it. Its DTMA's token is never part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// What it is for, as who made it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its state.
    pub status: EnvironmentStatus,
    /// What is wrong, or waited for, and what to do; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where its DTMA is dialled; absent for the control plane's own machine, and for one that opens a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its DTMA's version, once it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtma_version: Option<String>,
    /// Whether its DTMA is another program than the control plane, and can be upgraded from there.
    #[serde(default)]
    pub outdated: bool,
    /// When its DTMA last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<Timestamp>,
    /// Load and room, once it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemMetrics>,
    /// What its runtime protects servers with, once it reported.
    #[serde(default)]
    pub protections: Vec<Protection>,
    /// Instances in it.
    pub instances: u64,
    /// Whether it takes no new instances.
    #[serde(default)]
    pub cordoned: bool,
    /// What it is told apart by when an instance looks for a place; a droplet's `region` and `size` among it.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Labels,
    /// The droplet that Berth made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub droplet: Option<EnvironmentDroplet>,
}

/// `PATCH /api/v1/environments/{name}`: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeEnvironmentRequest {
    /// Another name, unique in the account. Addresses of instances do not have it in them, so they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it takes no new instances; those that it has go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
    /// Labels to set, and with null those to take away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
}

/// A droplet that Berth made, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvironmentDroplet {
    /// DigitalOcean's number of it, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Its name there.
    pub name: String,
    /// Its region, such as `fra1`.
    pub region: String,
    /// Its size, such as `s-1vcpu-1gb`.
    pub size: String,
    /// Its image, such as `debian-13-x64`.
    pub image: String,
    /// US dollars for a month, as they were when it was ordered.
    pub price_monthly: f64,
    /// What DigitalOcean last said of it: `new`, `active`, `off` or `archive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Its public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What is being done while it is made or destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// `POST /api/v1/environments`: another machine becomes an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEnvironmentRequest {
    /// Its name, unique in the account.
    pub name: String,
    /// What it is.
    pub kind: EnvironmentKind,
    /// What it is for: at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where its DTMA will listen and is dialled: an IP address and a port, such as `10.0.0.5:30000`. Absent: its DTMA opens a
    /// tunnel, and needs no port that others can dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The key of the DTMA there, which serves TLS (`berth dtma --tls`), as `berth dtma pin` prints it: `sha256//…`. Absent: the host
    /// says it when it is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<String>,
    /// Speak plain HTTP to that address: whoever is between reads its token and the secrets of its servers.
    #[serde(default)]
    pub insecure_http: bool,
    /// Of a droplet: where it is to be, such as `fra1`. `GET /api/v1/digitalocean/options` has what there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Of a droplet: how large it is to be, such as `s-1vcpu-1gb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Of a droplet: what it starts from; absent: `debian-13-x64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Of a droplet: numbers, fingerprints or names of SSH keys of the DigitalOcean account that its root lets in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// Of a droplet: let SSH in from everywhere. Otherwise no port is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_ssh: bool,
}

impl AddEnvironmentRequest {
    /// A machine of that kind, with nothing said of it but its name.
    pub fn new(name: &str, kind: EnvironmentKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            description: None,
            address: None,
            tls_pin: None,
            insecure_http: false,
            region: None,
            size: None,
            image: None,
            ssh_keys: Vec::new(),
            allow_ssh: false,
        }
    }
}

/// What another machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum EnvironmentKind {
    /// A Linux host that is there already.
    #[serde(rename = "host")]
    Host,
    /// A droplet that Berth makes at DigitalOcean, and destroys when the environment is removed.
    #[serde(rename = "digitalocean")]
    DigitalOcean,
}

/// `POST …/{name}/token`: the token between an environment's DTMA and the control plane. Every time it is shown is a line
/// of the audit.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvironmentToken {
    /// Whose.
    pub environment: EnvironmentName,
    /// What the DTMA's callers show, and what the DTMA shows.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub token: Secret,
}
