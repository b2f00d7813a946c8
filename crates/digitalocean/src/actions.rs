//! What is done to a droplet takes a while: an action says how far it is.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Call, Client};
use crate::droplets::NameOrId;
use crate::errors::Error;
use crate::retry::Effect;
use crate::words::words;

words! {
    /// How far an action is.
    ActionStatus {
        /// Not done yet.
        InProgress = "in-progress",
        /// Done.
        Completed = "completed",
        /// Failed. The API does not say why.
        Errored = "errored",
    }
}

/// Something that was done, or is being done, to a thing.
#[derive(Debug, Clone, Deserialize)]
pub struct Action {
    /// Its id.
    pub id: u64,
    /// How far it is.
    pub status: ActionStatus,
    /// What is done: `create`, `power_on` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it began, RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(default)]
    pub completed_at: Option<String>,
    /// To what, where that has a number.
    #[serde(default)]
    pub resource_id: Option<u64>,
}

/// What can be done to a droplet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DropletAction {
    /// Switches it on.
    PowerOn,
    /// Pulls its plug.
    PowerOff,
    /// Asks its system to end; it may not.
    Shutdown,
    /// Asks its system to start again.
    Reboot,
    /// Pulls its plug and puts it back.
    PowerCycle,
    /// Gives it another size. It has to be off.
    Resize {
        /// The size's slug.
        size: String,
        /// Whether its disk grows too, which cannot be undone.
        disk: bool,
    },
    /// Puts an image onto its disk. All that was on it is lost.
    Rebuild {
        /// The image's slug or number.
        image: NameOrId,
    },
    /// Gives it another name.
    Rename {
        /// The name.
        name: String,
    },
}

impl Client {
    /// Begins an action on a droplet. It is not repeated after a lost answer: the droplet itself shows what became of it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another action is in progress.
    pub async fn begin_action(&self, droplet: u64, action: &DropletAction) -> Result<Action, Error> {
        let id = droplet.to_string();
        let path = ["droplets", &id, "actions"];
        self.one("action", Call::new(Method::POST, Effect::Once, &path).body(action)?).await
    }

    /// How far an action is.
    pub async fn action(&self, id: u64) -> Result<Action, Error> {
        self.read("action", &["actions", &id.to_string()]).await
    }

    /// All actions on a droplet, the latest first.
    pub async fn droplet_actions(&self, droplet: u64) -> Result<Vec<Action>, Error> {
        self.list("actions", &["droplets", &droplet.to_string(), "actions"], &[]).await
    }
}
