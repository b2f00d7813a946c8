//! Which images this DTMA pulled: the only ones that a cleanup may remove. An image has no label of whoever pulled it, so
//! each is noted on our own disk, and counts as ours while its name means what was pulled.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use bollard::models::ImageInspect;
use bollard::query_parameters::{ListContainersOptions, RemoveImageOptions};
use domain::cleanup::{Found, Thing, ThingKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::engine::{LOOK, WORK};
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;
use crate::process::private_directory;
use crate::store::hexadecimal;

/// One image that was not there before it was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pulled {
    /// The name that was asked for.
    name: String,
    /// The engine's id of what came.
    id: String,
}

impl DockerRuntime {
    /// Notes an image that was just pulled.
    pub(super) fn note_pulled(&self, name: &str, found: &ImageInspect) -> Result<(), RuntimeError> {
        let Some(id) = found.id.clone() else { return Ok(()) };
        private_directory(&self.layout.pulled())?;
        let path = self.note_of(name);
        let text = serde_json::to_string(&Pulled { name: name.to_owned(), id })
            .map_err(|e| RuntimeError::io("write", &path)(e.into()))?;
        mark::write(&path, &text)
    }

    /// Every image that is ours still. What is gone or means another image meanwhile is forgotten.
    pub(super) async fn found_images(&self) -> Result<Vec<Found>, RuntimeError> {
        let notes = self.notes()?;
        if notes.is_empty() {
            return Ok(Vec::new());
        }
        let busy = self.images_of_containers().await?;
        let mut all = Vec::new();
        for (path, Pulled { name, id }) in notes {
            let Some(found) = self.inspect(&name).await?.filter(|found| found.id.as_ref() == Some(&id))
            else {
                fs::remove_file(&path).map_err(RuntimeError::io("remove", path))?;
                continue;
            };
            let of_registry = found.repo_digests.unwrap_or_default();
            let mut digests: Vec<String> =
                of_registry.iter().filter_map(|name| Some(name.split_once('@')?.1.to_owned())).collect();
            digests.push(id.clone());
            let bytes = found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            let thing = Thing { kind: ThingKind::Image, name, bytes };
            all.push(Found { thing, digests, busy: busy.contains(&id) });
        }
        Ok(all)
    }

    /// Takes the name from the image that was pulled under it; the image goes unless it has other names. The engine
    /// refuses when a container needs it.
    pub(super) async fn remove_image(&self, name: &str) -> Result<(), RuntimeError> {
        let note = self.notes()?.into_iter().find(|(_, pulled)| pulled.name == name);
        let Some((path, pulled)) = note else { return Ok(()) };
        if self.inspect(name).await?.is_some_and(|found| found.id == Some(pulled.id)) {
            let options = RemoveImageOptions { force: false, ..RemoveImageOptions::default() };
            let removed = self
                .engine
                .ask("remove an image", WORK, |docker| async move {
                    docker.remove_image(name, Some(options), None).await.map(drop)
                })
                .await;
            match removed {
                Ok(()) | Err(RuntimeError::Engine { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        fs::remove_file(&path).map_err(RuntimeError::io("remove", path))
    }

    /// The ids of the images that containers were made of, whoever made them.
    async fn images_of_containers(&self) -> Result<BTreeSet<String>, RuntimeError> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let list =
            self.engine
                .ask("list the containers", LOOK, |docker| async move {
                    docker.list_containers(Some(options)).await
                })
                .await?;
        Ok(list.into_iter().filter_map(|container| container.image_id).collect())
    }

    fn note_of(&self, name: &str) -> PathBuf {
        self.layout.pulled().join(hexadecimal(&Sha256::digest(name.as_bytes())))
    }

    fn notes(&self) -> Result<Vec<(PathBuf, Pulled)>, RuntimeError> {
        let directory = self.layout.pulled();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(RuntimeError::io("read", &directory))?,
        };
        let mut notes = Vec::new();
        for entry in entries {
            let path = entry.map_err(RuntimeError::io("read", &directory))?.path();
            let text = fs::read(&path).map_err(RuntimeError::io("read", &path))?;
            // One that cannot be read is of an image that then stays.
            match serde_json::from_slice(&text) {
                Ok(pulled) => notes.push((path, pulled)),
                Err(error) => tracing::warn!(path = %path.display(), %error, "not a note of an image"),
            }
        }
        Ok(notes)
    }
}
