//! Changing what an instance is: `/api/v1/instances/{name}/changes` and `…/rollback`.
//!
//! What it would be is started beside it and looked at, and takes its place when it works.

use std::collections::BTreeMap;

use domain::change::{ChangeState, ToolChanges};
use domain::container::Profile;
use domain::egress::Egress;
use domain::names::InstanceName;
use domain::spec::Limits;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secrets::GivenSecrets;

/// The word for the newest version in [`ChangeRequest::version`].
pub const NEWEST: &str = "newest";

/// `POST …/{name}/changes`: what is to be different. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// An exact version, of an image a tag or a digest, or `newest`, of an image what its tag is now; absent: the one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Plain settings with another value, or new ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Secret settings with another value, or new ones: each a text, or `{"secret": "NAME"}` for one of the account's secrets.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Object>, write_only)]
    pub secrets: GivenSecrets,
    /// Settings and secrets that it is to have no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
    /// All arguments after the entry's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// All further install constraints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Vec<String>>,
    /// Which clients share a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// How much it may do on its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// What it may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Seconds without use after which it sleeps; 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_after_seconds: Option<u64>,
    /// Those of its limits that are given.
    #[serde(default)]
    pub limits: Limits,
    /// Whether it waits, once it works beside the instance, for somebody who has looked at it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub review: bool,
}

/// `POST …/{name}/rollback`: to be again what it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The number of the change to go back to; absent: what it was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// As in [`ChangeRequest`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub review: bool,
}

/// One change of an instance; the first is how it was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// Its number among the instance's changes, from 1.
    pub number: u64,
    /// How far it is.
    pub state: ChangeState,
    /// What it waits for, or why it ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What differs from what the instance was, such as `version` and `settings.WORD`; of the first nothing.
    pub changed: Vec<String>,
    /// What runs with it.
    pub package: String,
    /// The exact version that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of what ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its settings, secrets not among them.
    pub settings: BTreeMap<String, String>,
    /// The names of its secrets.
    pub secret_names: Vec<String>,
    /// Whether it waits for somebody once it works beside the instance.
    pub review: bool,
    /// The change whose state it brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<u64>,
    /// The instance that it is tried as, while there is one. It has an address of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<InstanceName>,
    /// What is different about its tools; absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolChanges>,
    /// Who asked, such as `user:0198…`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was over, one way or the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}
