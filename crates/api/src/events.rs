//! `GET /api/v1/events`: the account's changes as Server-Sent Events; the event's name is the tag, its data the value.

use serde::{Deserialize, Serialize};

use crate::environments::Environment;
use crate::instances::Instance;

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// An instance was made or changed.
    Instance(Box<Instance>),
    /// An instance is gone; the data has its name.
    InstanceRemoved {
        /// Its name.
        name: String,
    },
    /// An environment changed.
    Environment(Box<Environment>),
    /// An environment is gone; the data has its name.
    EnvironmentRemoved {
        /// Its name.
        name: String,
    },
    /// A toolbelt was made, changed or removed, or what its members have is new; the data has its name.
    Toolbelt {
        /// Its name.
        name: String,
    },
    /// An agent was made, changed or removed, or what it was granted is another thing; the data has its name.
    Agent {
        /// Its name.
        name: String,
    },
    /// Events were lost because the reader was slow: read the lists again.
    Lagged,
}
