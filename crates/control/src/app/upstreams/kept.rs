//! What is kept, sealed, of one instance's authorization server.

use std::time::Duration;

use domain::ids::{InstanceId, UserId};
use domain::secret::Secret;
use domain::time::Timestamp;
use oauth::client::grant::Grant;
use oauth::client::identity::Identity;
use serde::{Deserialize, Serialize};
use store::upstreams::{Of, UpstreamRow};

use crate::app::Outcome;
use crate::directory::now;
use crate::secrets::{MasterKey, SecretsError};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The server that it is of: a token is never shown to another one.
    pub(super) server: String,
    /// Whose it is; absent: what all callers of the instance share. Rows of one instance are sealed alike.
    #[serde(default)]
    pub(super) user: Option<UserId>,
    /// What authorization servers know Berth by.
    #[serde(default)]
    pub(super) identities: Vec<Identity>,
    /// The present token and what the next one is got with.
    #[serde(default)]
    pub(super) grant: Option<Grant>,
    /// When it came.
    #[serde(default)]
    pub(super) since: Option<Timestamp>,
    /// Whether it came in the place of one that the server refused.
    #[serde(default)]
    pub(super) after_refusal: bool,
    /// Why there will be no next one.
    #[serde(default)]
    pub(super) over: Option<String>,
}

impl Kept {
    /// What a row holds, if it is of this server, and theirs whose row it is.
    pub(super) fn open(keys: &MasterKey, of: Of, server: &str, row: &UpstreamRow) -> Outcome<Self> {
        let empty = || Self { server: server.to_owned(), user: of.user, ..Self::default() };
        let Some(sealed) = &row.sealed else { return Ok(empty()) };
        let text = keys.unseal(of.instance.0, sealed)?;
        let kept: Self = serde_json::from_str(text.expose()).map_err(|_| SecretsError::Sealed)?;
        Ok(if kept.server == server && kept.user == of.user { kept } else { empty() })
    }

    pub(super) fn seal(&self, keys: &MasterKey, instance: InstanceId) -> Result<String, SecretsError> {
        let text = Secret::new(serde_json::to_string(self).map_err(|_| SecretsError::Sealed)?);
        keys.seal(instance.0, text.expose())
    }

    /// The same with a token that came just now.
    pub(super) fn with(mut self, grant: Grant) -> Self {
        self.add(&grant.identity);
        Self { grant: Some(grant), since: Some(now()), after_refusal: false, over: None, ..self }
    }

    /// Keeps what an authorization server knows Berth by, in the place of what it knew before.
    pub(super) fn add(&mut self, identity: &Identity) {
        self.identities.retain(|known| known.issuer != identity.issuer);
        self.identities.push(identity.clone());
    }

    /// When the present token ends, if it came at `at`.
    pub(super) fn ends(&self, at: Timestamp) -> Option<Timestamp> {
        let lifetime = self.grant.as_ref()?.lifetime?;
        Some(super::later(at, Duration::from_secs(lifetime)))
    }

    /// Whether the present token came less than that ago.
    pub(super) fn is_fresh(&self, time: Duration) -> bool {
        self.since.is_some_and(|since| now() < super::later(since, time))
    }
}
