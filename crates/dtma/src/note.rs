//! What older callers said of an instance and no spec has: the name they call it by, the group they put it in. It lies
//! beside the spec, and is gone with it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use domain::ids::InstanceId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::specs::{WriteError, failed, make_dir};

/// What was said with the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The name as the caller wrote it, such as `Redis_1`; unique on the host.
    pub(crate) name: String,
    /// The group it is removed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// The path of its MCP endpoint, only to be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// The word for its transport, only to be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transport: Option<String>,
    /// When it was deployed.
    pub(crate) created: Timestamp,
}

/// What older callers removed and the control plane was not told of yet: without it, it would deploy again what its host
/// lacks. One empty file for each, in a directory of their own.
#[derive(Debug)]
pub(crate) struct Removed {
    /// Absent on a host without a control plane, which has nobody to tell.
    dir: Option<PathBuf>,
    ids: Mutex<BTreeSet<InstanceId>>,
}

impl Removed {
    /// Reads what an earlier DTMA left. `dir` is absent where there is no control plane to tell.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub(crate) fn open(dir: Option<PathBuf>) -> Result<Self, WriteError> {
        let mut ids = BTreeSet::new();
        if let Some(dir) = &dir {
            make_dir(dir)?;
            for entry in fs::read_dir(dir).map_err(|source| failed(dir, source))? {
                let name = entry.map_err(|source| failed(dir, source))?.file_name();
                ids.extend(name.to_str().and_then(|name| name.parse::<InstanceId>().ok()));
            }
        }
        Ok(Self { dir, ids: Mutex::new(ids) })
    }

    /// Notes that an instance is removed.
    pub(crate) fn add(&self, id: InstanceId) -> Result<(), WriteError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(id.to_string());
        let written = fs::File::create(&path).and_then(|file| file.sync_all());
        written.map_err(|source| failed(&path, source))?;
        self.ids().insert(id);
        Ok(())
    }

    /// Those that the control plane must be told of.
    pub(crate) fn list(&self) -> Vec<InstanceId> {
        self.ids().iter().copied().collect()
    }

    /// Whether this one is among them.
    pub(crate) fn contains(&self, id: InstanceId) -> bool {
        self.ids().contains(&id)
    }

    /// They were told. A file that cannot be removed is told once more after the next start, which changes nothing.
    pub(crate) fn forget(&self, told: &[InstanceId]) {
        let Some(dir) = &self.dir else { return };
        for id in told {
            self.ids().remove(id);
            match fs::remove_file(dir.join(id.to_string())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(instance = %id, %error, "the mark of a removed instance cannot be removed");
                }
                _ => {}
            }
        }
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, BTreeSet<InstanceId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_told_until_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Removed::open(Some(dir.path().join("removed"))).unwrap();
        let (one, other) = (InstanceId::generate(), InstanceId::generate());
        let removed = open();
        removed.add(one).unwrap();
        removed.add(other).unwrap();
        assert_eq!(open().list(), [one, other], "a DTMA that starts again knows");
        removed.forget(&[one]);
        assert!(!removed.contains(one) && removed.contains(other));
        assert_eq!(open().list(), [other]);
        let alone = Removed::open(None).unwrap();
        alone.add(one).unwrap();
        assert_eq!(alone.list(), [], "there is nobody to tell");
    }
}
