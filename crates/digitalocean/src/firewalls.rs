//! Rules on what reaches a droplet and what it reaches. What no rule lets through is kept out.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Call, Client};
use crate::errors::Error;
use crate::lenient;
use crate::retry::Effect;
use crate::words::words;

words! {
    /// Whether a firewall's rules are in force.
    FirewallStatus {
        /// Not everywhere yet.
        Waiting = "waiting",
        /// Yes.
        Succeeded = "succeeded",
        /// Not everywhere, and that stays so.
        Failed = "failed",
    }
}

words! {
    /// What a rule is for.
    Protocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// ICMP, which has no ports.
        Icmp = "icmp",
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// Addresses and networks; `0.0.0.0/0` and `::/0` are everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::nothing_is_empty")]
    pub addresses: Vec<String>,
    /// Droplets.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::nothing_is_empty")]
    pub droplet_ids: Vec<u64>,
    /// All droplets with these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::nothing_is_empty")]
    pub tags: Vec<String>,
}

impl Peers {
    /// Everybody.
    pub fn everybody() -> Self {
        Self { addresses: ["0.0.0.0/0", "::/0"].map(str::to_owned).to_vec(), ..Self::default() }
    }
}

/// What may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundRule {
    /// Of which protocol.
    pub protocol: Protocol,
    /// `22`, `8000-9000` or `all`; the API gives `0` for all.
    #[serde(default)]
    pub ports: String,
    /// From whom.
    pub sources: Peers,
}

/// What may go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundRule {
    /// Of which protocol.
    pub protocol: Protocol,
    /// `22`, `8000-9000` or `all`; the API gives `0` for all.
    #[serde(default)]
    pub ports: String,
    /// To whom.
    pub destinations: Peers,
}

/// A firewall that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewFirewall {
    /// Its name: letters, digits, `.` and `-`.
    pub name: String,
    /// What may come in.
    pub inbound_rules: Vec<InboundRule>,
    /// What may go out.
    pub outbound_rules: Vec<OutboundRule>,
    /// For these droplets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub droplet_ids: Vec<u64>,
    /// For all droplets, also later ones, with these tags. The tags have to be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<crate::Tag>,
}

/// A firewall.
#[derive(Debug, Clone, Deserialize)]
pub struct Firewall {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether its rules are in force.
    pub status: FirewallStatus,
    /// What may come in.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub inbound_rules: Vec<InboundRule>,
    /// What may go out.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub outbound_rules: Vec<OutboundRule>,
    /// The droplets that it is for.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub droplet_ids: Vec<u64>,
    /// The tags of droplets that it is for.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub tags: Vec<String>,
    /// Where its rules are not in force yet.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub pending_changes: Vec<PendingChange>,
}

/// A droplet that rules are being put onto, or taken off.
#[derive(Debug, Clone, Deserialize)]
pub struct PendingChange {
    /// The droplet.
    pub droplet_id: u64,
    /// Whether they are taken off.
    #[serde(default)]
    pub removing: bool,
    /// How far that is.
    #[serde(default)]
    pub status: String,
}

impl Client {
    /// All firewalls.
    pub async fn firewalls(&self) -> Result<Vec<Firewall>, Error> {
        self.list("firewalls", &["firewalls"], &[]).await
    }

    /// One firewall.
    pub async fn firewall(&self, id: &str) -> Result<Firewall, Error> {
        self.read("firewall", &["firewalls", id]).await
    }

    /// Makes a firewall. It is not repeated after a lost answer: [`Self::firewalls`] has it by its name.
    pub async fn create_firewall(&self, wanted: &NewFirewall) -> Result<Firewall, Error> {
        self.one("firewall", Call::new(Method::POST, Effect::Once, &["firewalls"]).body(wanted)?).await
    }

    /// Makes a firewall what is wanted; whatever is not named is taken off.
    pub async fn update_firewall(&self, id: &str, wanted: &NewFirewall) -> Result<Firewall, Error> {
        self.one("firewall", Call::new(Method::PUT, Effect::Repeatable, &["firewalls", id]).body(wanted)?)
            .await
    }

    /// Removes a firewall. One that is not there is removed.
    pub async fn delete_firewall(&self, id: &str) -> Result<(), Error> {
        self.delete(&["firewalls", id]).await
    }
}
