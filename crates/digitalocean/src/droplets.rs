//! The machines themselves. Creating one is the only thing that costs money by being done twice.

mod create;

use serde::{Deserialize, Serialize, Serializer};

use crate::client::Client;
use crate::errors::Error;
use crate::lenient;
use crate::sizes::cents;
use crate::tags::Tag;
use crate::words::words;
pub use create::{Created, Earlier, MAX_USER_DATA, NewDroplet};

words! {
    /// What a droplet is doing.
    DropletStatus {
        /// Being made.
        New = "new",
        /// On. Its system may still be starting.
        Active = "active",
        /// Off. It costs as much as before.
        Off = "off",
        /// Put away by the provider.
        Archive = "archive",
    }
}

words! {
    /// Who reaches an address.
    AddressKind {
        /// Everybody.
        Public = "public",
        /// Those in the same private network.
        Private = "private",
    }
}

/// An address of a droplet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Address {
    /// The address.
    pub ip_address: String,
    /// Who reaches it.
    #[serde(rename = "type")]
    pub kind: AddressKind,
}

/// The addresses of a droplet; there are none while it is new.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Networks {
    /// IPv4.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub v4: Vec<Address>,
    /// IPv6.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub v6: Vec<Address>,
}

/// Of a droplet's region only the slug counts; [`Client::regions`] has the rest as it is now.
#[derive(Debug, Clone, Deserialize)]
struct Slug {
    slug: String,
}

/// A droplet.
#[derive(Debug, Clone, Deserialize)]
pub struct Droplet {
    /// Its number.
    pub id: u64,
    /// Its name. Several may have the same.
    pub name: String,
    /// What it is doing.
    pub status: DropletStatus,
    /// Whether something is being done to it that must not be disturbed.
    #[serde(default)]
    pub locked: bool,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub created_at: String,
    /// Memory, MiB.
    #[serde(default)]
    pub memory: u64,
    /// Virtual processors.
    #[serde(default)]
    pub vcpus: u32,
    /// Disk, GiB.
    #[serde(default)]
    pub disk: u64,
    /// The slug of its size.
    #[serde(default)]
    pub size_slug: String,
    #[serde(default)]
    size: Priced,
    region: Slug,
    /// Its addresses.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub networks: Networks,
    /// Its tags.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub tags: Vec<String>,
    /// The private network that it is in.
    #[serde(default)]
    pub vpc_uuid: Option<String>,
}

impl Droplet {
    /// The slug of its region.
    pub fn region(&self) -> &str {
        &self.region.slug
    }

    /// What it costs in a month, in US cents; `None`: it does not say.
    pub fn price_cents(&self) -> Option<u64> {
        self.size.price_monthly.map(cents)
    }

    /// Its address for everybody, once it has one.
    pub fn public_v4(&self) -> Option<&str> {
        self.networks
            .v4
            .iter()
            .find(|address| address.kind == AddressKind::Public)
            .map(|address| address.ip_address.as_str())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Priced {
    #[serde(default)]
    price_monthly: Option<f64>,
}

/// A slug, or a number, which the API wants to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameOrId(String);

impl From<&str> for NameOrId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Serialize for NameOrId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<u64>() {
            Ok(id) => serializer.serialize_u64(id),
            Err(_) => serializer.serialize_str(&self.0),
        }
    }
}

impl Client {
    /// All droplets, without those that have graphics processors, which the API lists apart.
    pub async fn droplets(&self) -> Result<Vec<Droplet>, Error> {
        self.list("droplets", &["droplets"], &[]).await
    }

    /// All droplets with a tag.
    pub async fn droplets_by_tag(&self, tag: &Tag) -> Result<Vec<Droplet>, Error> {
        self.list("droplets", &["droplets"], &[("tag_name", tag.as_str())]).await
    }

    /// All droplets with a name.
    pub async fn droplets_by_name(&self, name: &str) -> Result<Vec<Droplet>, Error> {
        self.list("droplets", &["droplets"], &[("name", name)]).await
    }

    /// One droplet.
    pub async fn droplet(&self, id: u64) -> Result<Droplet, Error> {
        self.read("droplet", &["droplets", &id.to_string()]).await
    }

    /// Destroys a droplet and what is on it. One that is not there is destroyed.
    ///
    /// To destroy all with a tag in one request is not offered: a wrong tag would cost everything that carries it.
    pub async fn delete_droplet(&self, id: u64) -> Result<(), Error> {
        self.delete(&["droplets", &id.to_string()]).await
    }
}
