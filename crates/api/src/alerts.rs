//! What is or was broken, as its account sees it.

use domain::alerts::AlertKind;
use domain::ids::AlertId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that is broken, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alert {
    /// Its id; the messages about it carry it.
    pub id: AlertId,
    /// What is broken.
    pub kind: AlertKind,
    /// The name of the environment or instance.
    pub subject: String,
    /// The environment of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What is wrong, for people.
    pub message: String,
    /// When it was first seen broken.
    pub broken_since: Timestamp,
    /// When that was told.
    pub told_at: Timestamp,
    /// When it was over; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed_at: Option<Timestamp>,
    /// Messages about it that were not taken yet.
    pub undelivered: u64,
    /// Why, of one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_trouble: Option<String>,
}

/// What became of a message to one receiver (`POST /api/v1/alerts/test`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestedReceiver {
    /// Which: the host of a web hook, whose path may be a secret, or an e-mail address.
    pub receiver: String,
    /// Why it did not take the message; absent: it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
