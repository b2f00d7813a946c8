//! Removing an instance's container, and nothing else.

use std::time::Duration;

use bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptions};
use domain::ids::InstanceId;
use tokio::time::Instant;

use super::engine::{LOOK, WORK};
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;

/// How often it is looked whether a removal that somebody else began is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl DockerRuntime {
    /// Removes the instance's container, running or not, with its anonymous volumes; returns when it is gone. Asks the
    /// engine nothing when none was made.
    pub(super) async fn remove_container(&self, instance: InstanceId) -> Result<(), RuntimeError> {
        let Some(record) = mark::recorded(&self.layout, instance)? else { return Ok(()) };
        let deadline = Instant::now() + WORK;
        while let Some(id) = self.own_container(instance, &record).await? {
            let options = RemoveContainerOptions { force: true, v: true, link: false };
            let removed = self
                .engine
                .ask("remove the container", WORK, |docker| async move {
                    docker.remove_container(&id, Some(options)).await
                })
                .await;
            match removed {
                Ok(()) | Err(RuntimeError::Engine { status: 404, .. }) => break,
                // Somebody else is removing it.
                Err(RuntimeError::Engine { status: 409, .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.filter.release(instance).await?;
        mark::forget(&self.layout, instance)
    }

    /// The engine's id of the instance's container, when it is there and ours.
    async fn own_container(
        &self,
        instance: InstanceId,
        record: &str,
    ) -> Result<Option<String>, RuntimeError> {
        let name = mark::name(instance);
        let found = self
            .engine
            .find("look at the container", LOOK, |docker| async move {
                docker.inspect_container(&name, None::<InspectContainerOptions>).await
            })
            .await?;
        let Some(found) = found else { return Ok(None) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let name = found.name.unwrap_or_default();
        if mark::is_ours(instance, &self.identity, record, &name, &labels) {
            return Ok(found.id);
        }
        tracing::warn!(%instance, name, "a container has the instance's name and is not ours; it is left alone");
        Ok(None)
    }
}
