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
pub(super) struct Pulled {
    /// The name that was asked for.
    pub(super) name: String,
    /// The engine's id of what came.
    pub(super) id: String,
    /// The name under which the engine has it, when it can have no such name as was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<String>,
    /// What its registry calls it, when the engine does not know that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
}

impl Pulled {
    /// One that the engine has under the name that was asked for.
    pub(super) fn of(name: &str, found: &ImageInspect) -> Self {
        let id = found.id.clone().unwrap_or_default();
        Self { name: name.to_owned(), id, kept: None, digest: None }
    }

    fn kept(&self) -> &str {
        self.kept.as_deref().unwrap_or(&self.name)
    }
}

impl DockerRuntime {
    /// Notes an image that was just pulled.
    pub(super) fn note_pulled(&self, pulled: &Pulled) -> Result<(), RuntimeError> {
        private_directory(&self.layout.pulled())?;
        let path = self.note_of(&pulled.name);
        let text = serde_json::to_string(pulled).map_err(|e| RuntimeError::io("write", &path)(e.into()))?;
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
        for (path, pulled) in notes {
            let found = self.inspect(pulled.kept()).await?;
            let Some(found) = found.filter(|found| found.id.as_ref() == Some(&pulled.id)) else {
                fs::remove_file(&path).map_err(RuntimeError::io("remove", path))?;
                continue;
            };
            let of_registry = found.repo_digests.unwrap_or_default();
            let mut digests: Vec<String> =
                of_registry.iter().filter_map(|name| Some(name.split_once('@')?.1.to_owned())).collect();
            let Pulled { name, id, digest, .. } = pulled;
            digests.push(id.clone());
            digests.extend(digest);
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
        let kept = pulled.kept();
        if self.inspect(kept).await?.is_some_and(|found| found.id.as_ref() == Some(&pulled.id)) {
            let options = RemoveImageOptions { force: false, ..RemoveImageOptions::default() };
            let removed = self
                .engine
                .ask("remove an image", WORK, |docker| async move {
                    docker.remove_image(kept, Some(options), None).await.map(drop)
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

    /// What was noted of an image when it was pulled.
    pub(super) fn note(&self, name: &str) -> Result<Option<Pulled>, RuntimeError> {
        Ok(self.notes()?.into_iter().map(|(_, pulled)| pulled).find(|pulled| pulled.name == name))
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
