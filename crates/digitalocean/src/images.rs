//! What a droplet starts from.

use serde::Deserialize;

use crate::client::Client;
use crate::errors::Error;
use crate::lenient;
use crate::words::words;

words! {
    /// Where an image comes from.
    ImageKind {
        /// From the provider.
        Base = "base",
        /// Taken of a droplet by its owner.
        Snapshot = "snapshot",
        /// Taken of a droplet by the provider.
        Backup = "backup",
        /// Uploaded.
        Custom = "custom",
        /// From the provider, for its own things.
        Admin = "admin",
    }
}

words! {
    /// Whether an image can be used.
    ImageStatus {
        /// Being made.
        New = "NEW",
        /// Yes.
        Available = "available",
        /// Being made available.
        Pending = "pending",
        /// No more.
        Deleted = "deleted",
        /// Only by those who already do.
        Retired = "retired",
    }
}

/// An image.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    /// Its number.
    pub id: u64,
    /// Its word, such as `debian-12-x64`; only the provider's have one.
    #[serde(default)]
    pub slug: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// The system on it.
    #[serde(default)]
    pub distribution: String,
    /// Where it comes from.
    #[serde(rename = "type", default)]
    pub kind: Option<ImageKind>,
    /// Whether all may use it.
    #[serde(default)]
    pub public: bool,
    /// The slugs of the regions that have it.
    #[serde(default, deserialize_with = "lenient::nothing_is_empty")]
    pub regions: Vec<String>,
    /// The smallest disk that it fits on, GiB.
    #[serde(default)]
    pub min_disk_size: Option<u64>,
    /// Whether it can be used.
    #[serde(default)]
    pub status: Option<ImageStatus>,
}

impl Client {
    /// The provider's bare systems.
    pub async fn distribution_images(&self) -> Result<Vec<Image>, Error> {
        self.list("images", &["images"], &[("type", "distribution")]).await
    }

    /// The account's own images.
    pub async fn private_images(&self) -> Result<Vec<Image>, Error> {
        self.list("images", &["images"], &[("private", "true")]).await
    }

    /// One image, by its slug or number.
    pub async fn image(&self, slug_or_id: &str) -> Result<Image, Error> {
        self.read("image", &["images", slug_or_id]).await
    }
}
