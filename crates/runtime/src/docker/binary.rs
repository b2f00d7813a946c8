//! Berth's binary for containers: a copy in the data directory that is mounted as long as a container lives.

use std::path::{Path, PathBuf};

use super::DockerRuntime;
use crate::binary;
use crate::error::RuntimeError;

impl DockerRuntime {
    /// The copy's path; copied when it is not there yet.
    pub(super) async fn binary(&self) -> Result<&Path, RuntimeError> {
        let copied = self.binary.get_or_try_init(async || {
            let (berth, directory) = (self.berth.clone(), self.layout.binaries());
            let place = berth.clone();
            tokio::task::spawn_blocking(move || binary::place(&berth, &directory))
                .await
                .map_err(|e| RuntimeError::io("copy", place)(e.into()))?
        });
        copied.await.map(PathBuf::as_path)
    }
}
