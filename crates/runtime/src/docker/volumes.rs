//! Named volumes of container tools: made before their first container, kept over all others, removed with the instance.
//!
//! As for containers, one is ours when its name, its labels and what is noted on our own disk agree; or when it has no labels, and
//! appeared while the engine was being asked to make it, which it did not finish. What a newer spec no
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

/// Whose a volume is, as far as the engine knows.
enum Whose {
    Ours,
    /// Nothing is said of it: somebody made it by hand, or it is half made.
    Nobodys,
    Others,
}

impl DockerRuntime {
    /// The mounts of an instance's volumes; all of them are there afterwards.
    pub(super) async fn volumes_of(&self, spec: &InstanceSpec) -> Result<Vec<Mount>, RuntimeError> {
        let wanted = spec.launch.container.as_ref().map_or(&[][..], |container| &container.volumes);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let names: BTreeSet<String> = wanted.iter().map(|volume| volume.name.clone()).collect();
        let mut record = mark::record_volumes(&self.layout, spec.id, names)?;
        let mut mounts = Vec::new();
        for volume in wanted {
            let name = mark::volume_name(spec.id, &volume.name);
            self.make_volume(spec.id, &volume.name, &mut record).await?;
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
        volume: &str,
        record: &mut VolumesRecord,
    ) -> Result<(), RuntimeError> {
        let name = mark::volume_name(instance, volume);
        match self.has_volume(instance, &name, record).await? {
            Some(Whose::Ours) => return self.made(instance, volume, record),
            Some(Whose::Nobodys) if record.making.contains(volume) => {
                tracing::info!(%instance, name, "the engine ended while it made this volume; it is made anew");
                self.remove_volume(&name).await?;
            }
            Some(_) => return Err(RuntimeError::VolumeTaken { name }),
            None => {}
        }
        if record.making.insert(volume.to_owned()) {
            mark::note_volumes(&self.layout, instance, record)?;
        }
        let request = VolumeCreateRequest {
            name: Some(name),
            labels: Some(mark::volume_labels(&self.identity, instance, record)),
            ..VolumeCreateRequest::default()
        };
        self.engine
            .ask("make a volume", WORK, |docker| async move { docker.create_volume(request).await.map(drop) })
            .await?;
        self.made(instance, volume, record)
    }

    fn made(
        &self,
        instance: InstanceId,
        volume: &str,
        record: &mut VolumesRecord,
    ) -> Result<(), RuntimeError> {
        if record.making.remove(volume) { mark::note_volumes(&self.layout, instance, record) } else { Ok(()) }
    }

    /// Removes the volumes of an instance that is removed itself; asks the engine nothing when none were made.
    pub(super) async fn remove_volumes(&self, instance: InstanceId) -> Result<(), RuntimeError> {
        let Some(record) = mark::recorded_volumes(&self.layout, instance)? else { return Ok(()) };
        for volume in &record.names {
            let name = mark::volume_name(instance, volume);
            match self.has_volume(instance, &name, &record).await? {
                None => continue,
                Some(Whose::Ours) => {}
                Some(Whose::Nobodys) if record.making.contains(volume) => {}
                Some(_) => {
                    tracing::warn!(%instance, name, "a volume has the name of the instance's and is not ours; it is left alone");
                    continue;
                }
            }
            self.remove_volume(&name).await?;
        }
        // The record goes with the instance's directory.
        Ok(())
    }

    /// Removes a volume that no container uses.
    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let removed = self
            .engine
            .ask("remove a volume", WORK, |docker| async move {
                docker.remove_volume(name, None::<RemoveVolumeOptions>).await
            })
            .await;
        match removed {
            Ok(()) | Err(RuntimeError::Engine { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the engine has a volume of this name, and whose it is.
    async fn has_volume(
        &self,
        instance: InstanceId,
        name: &str,
        record: &VolumesRecord,
    ) -> Result<Option<Whose>, RuntimeError> {
        let found = self
            .engine
            .find("look at a volume", LOOK, |docker| async move { docker.inspect_volume(name).await })
            .await?;
        let expected = mark::volume_labels(&self.identity, instance, record);
        Ok(found.map(|found| {
            if expected.iter().all(|(label, value)| found.labels.get(label) == Some(value)) {
                Whose::Ours
            } else if found.labels.is_empty() && found.options.is_empty() {
                Whose::Nobodys
            } else {
                Whose::Others
            }
        }))
    }
}
