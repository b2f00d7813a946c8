//! Removing an instance's container, and nothing else.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptions};
use domain::ids::InstanceId;
use tokio::time::Instant;

use super::engine::{LOOK, WORK};
use super::mark::ContainerRecord;
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;

/// A container that an earlier DTMA asked for, and did not live to see, is there within this.
const ON_ITS_WAY: Duration = Duration::from_secs(3);
/// How often it is looked whether that has come, and whether a removal that somebody else began is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl DockerRuntime {
    /// Removes the instance's container, running or not, with its anonymous volumes; returns when it is gone. Asks the
    /// engine nothing when none was made.
    pub(super) async fn remove_container(&self, instance: InstanceId) -> Result<(), RuntimeError> {
        let Some(record) = mark::recorded(&self.layout, instance)? else { return Ok(()) };
        let (begun, deadline) = (Instant::now(), Instant::now() + WORK);
        loop {
            let Some(id) = self.own_container(instance, &record).await? else {
                if record.answered {
                    break;
                }
                if begun.elapsed() < ON_ITS_WAY {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                // The record stays: should it come after all, it is known as ours.
                return Ok(());
            };
            if self.ask_to_remove(&id, deadline).await? {
                break;
            }
        }
        self.filter.release(instance).await?;
        mark::forget(&self.layout, instance)
    }

    /// Removes the containers of instances of this host that have ended, where nothing runs in containers any more.
    pub(super) async fn clear_ended(&self) -> Result<(), RuntimeError> {
        for instance in self.filter.instances()? {
            let Some(record) = mark::recorded(&self.layout, instance)? else { continue };
            let has_ended = match self.inspect_own(instance, &record).await? {
                Some(found) => found.state.is_none_or(|state| state.running != Some(true)),
                None => record.answered,
            };
            if has_ended {
                self.remove_container(instance).await?;
            }
        }
        Ok(())
    }

    /// Removes the container that has the instance's name when it is ours; whether it was. What is noted stays.
    pub(super) async fn remove_own(&self, instance: InstanceId) -> Result<bool, RuntimeError> {
        let Some(record) = mark::recorded(&self.layout, instance)? else { return Ok(false) };
        let deadline = Instant::now() + WORK;
        let mut was_ours = false;
        while let Some(id) = self.own_container(instance, &record).await? {
            was_ours = true;
            if self.ask_to_remove(&id, deadline).await? {
                break;
            }
        }
        Ok(was_ours)
    }

    /// Whether the engine removed it; false while somebody else is at it, after a moment.
    async fn ask_to_remove(&self, id: &str, deadline: Instant) -> Result<bool, RuntimeError> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = self
            .engine
            .ask("remove the container", WORK, |docker| async move {
                docker.remove_container(id, Some(options)).await
            })
            .await;
        match removed {
            Ok(()) | Err(RuntimeError::Engine { status: 404, .. }) => Ok(true),
            Err(RuntimeError::Engine { status: 409, .. }) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The engine's id of the instance's container, when it is there and ours.
    async fn own_container(
        &self,
        instance: InstanceId,
        record: &ContainerRecord,
    ) -> Result<Option<String>, RuntimeError> {
        Ok(self.inspect_own(instance, record).await?.and_then(|found| found.id))
    }

    /// The instance's container, when it is there and ours.
    async fn inspect_own(
        &self,
        instance: InstanceId,
        record: &ContainerRecord,
    ) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        let name = mark::name(instance);
        let found = self
            .engine
            .find("look at the container", LOOK, |docker| async move {
                docker.inspect_container(&name, None::<InspectContainerOptions>).await
            })
            .await?;
        let Some(found) = found else { return Ok(None) };
        let labels = found.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
        let name = found.name.as_deref().unwrap_or_default();
        if mark::is_ours(instance, &self.identity, record, name, &labels) {
            return Ok(Some(found));
        }
        tracing::warn!(%instance, name, "a container has the instance's name and is not ours; it is left alone");
        Ok(None)
    }
}
