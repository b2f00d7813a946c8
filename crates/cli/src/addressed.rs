//! What has an MCP address: an instance, or a toolbelt.

use api::errors::ErrorCode;
use api::instances::Instance;
use api::toolbelts::Toolbelt;

use crate::client::{Client, path_part};
use crate::error::CliError;

/// One of them, by its name.
#[derive(Debug)]
pub(crate) enum Addressed {
    /// An instance.
    Instance(Box<Instance>),
    /// A toolbelt.
    Toolbelt(Box<Toolbelt>),
}

impl Addressed {
    /// Looks it up: a name is one address in an account.
    ///
    /// # Errors
    /// For a name of neither what is said of instances, with the nearest one.
    pub(crate) async fn find(client: &Client, name: &str) -> Result<Self, CliError> {
        match client.instance(name).await {
            Err(CliError::Refused(detail)) if detail.code == ErrorCode::NotFound => {
                let toolbelt = client.get(&format!("/toolbelts/{}", path_part(name))).await;
                toolbelt.map(|found| Self::Toolbelt(Box::new(found))).map_err(|_| CliError::Refused(detail))
            }
            found => found.map(|found| Self::Instance(Box::new(found))),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Instance(instance) => instance.name.as_str(),
            Self::Toolbelt(toolbelt) => toolbelt.name.as_str(),
        }
    }

    /// Its MCP address.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Instance(instance) => &instance.url,
            Self::Toolbelt(toolbelt) => &toolbelt.url,
        }
    }
}
