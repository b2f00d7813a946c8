//! Named volumes of container tools: made before their first container, kept over all others, removed with the instance.
//!
//! As for containers, one is ours when its name, its labels and what is noted on our own disk agree. What a newer spec no
//! longer names stays until the instance goes: nobody said that its data may be lost.

use std::collections::BTreeSet;

use bollard::models::{Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptions;
use domain::ids::InstanceId;
use domain::spec::InstanceSpec;

use super::engine::{LOOK, WORK};
use super::mark::VolumesRecord;
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;

impl DockerRuntime {
    /// The mounts of an instance's volumes; all of them are there afterwards.
    pub(super) async fn volumes_of(&self, spec: &InstanceSpec) -> Result<Vec<Mount>, RuntimeError> {
        let wanted = spec.launch.container.as_ref().map_or(&[][..], |container| &container.volumes);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let names: BTreeSet<String> = wanted.iter().map(|volume| volume.name.clone()).collect();
        let record = mark::record_volumes(&self.layout, spec.id, names)?;
        let mut mounts = Vec::new();
        for volume in wanted {
            let name = mark::volume_name(spec.id, &volume.name);
            self.make_volume(spec.id, &name, &record).await?;
            mounts.push(Mount {
                source: Some(name),
                target: Some(volume.path.clone()),
                typ: Some(MountType::VOLUME),
                ..Mount::default()
            });
        }
        Ok(mounts)
    }

    async fn make_volume(
        &self,
        instance: InstanceId,
        name: &str,
        record: &VolumesRecord,
    ) -> Result<(), RuntimeError> {
        match self.has_volume(instance, name, record).await? {
            Some(true) => return Ok(()),
            Some(false) => return Err(RuntimeError::VolumeTaken { name: name.to_owned() }),
            None => {}
        }
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(mark::volume_labels(&self.identity, instance, record)),
            ..VolumeCreateRequest::default()
        };
        self.engine
            .ask("make a volume", WORK, |docker| async move { docker.create_volume(request).await.map(drop) })
            .await
    }

    /// Removes the volumes of an instance that is removed itself; asks the engine nothing when none were made.
    pub(super) async fn remove_volumes(&self, instance: InstanceId) -> Result<(), RuntimeError> {
        let Some(record) = mark::recorded_volumes(&self.layout, instance)? else { return Ok(()) };
        for volume in &record.names {
            let name = mark::volume_name(instance, volume);
            match self.has_volume(instance, &name, &record).await? {
                None => continue,
                Some(false) => {
                    tracing::warn!(%instance, name, "a volume has the name of the instance's and is not ours; it is left alone");
                    continue;
                }
                Some(true) => {}
            }
            let removed = self
                .engine
                .ask("remove a volume", WORK, |docker| async move {
                    docker.remove_volume(&name, None::<RemoveVolumeOptions>).await
                })
                .await;
            match removed {
                Ok(()) | Err(RuntimeError::Engine { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // The record goes with the instance's directory.
        Ok(())
    }

    /// Whether the engine has a volume of this name, and whether it is ours.
    async fn has_volume(
        &self,
        instance: InstanceId,
        name: &str,
        record: &VolumesRecord,
    ) -> Result<Option<bool>, RuntimeError> {
        let found = self
            .engine
            .find("look at a volume", LOOK, |docker| async move { docker.inspect_volume(name).await })
            .await?;
        let expected = mark::volume_labels(&self.identity, instance, record);
        Ok(found.map(|found| expected.iter().all(|(label, value)| found.labels.get(label) == Some(value))))
    }
}
