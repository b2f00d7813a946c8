//! The desired state on disk: one `spec.json` per instance, its secrets sealed, written whole or not at all.
//!
//! Beside it lies `record.json`: what was already done for the spec (see [`crate::plan::Mark`]), so that a DTMA that
//! starts again neither repeats a failed install nor takes a living shim for an old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use domain::ids::InstanceId;
use domain::registry::RegistryLogin;
use domain::secret::{self, Secret, Secrets};
use domain::spec::InstanceSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::note::Note;
use crate::plan::Record;
use crate::seal::Seal;

const SPEC: &str = "spec.json";
const RECORD: &str = "record.json";
const NOTE: &str = "older.json";
/// What the spec is called once the instance is being removed, so that a DTMA that starts in the middle of it goes on.
const REMOVING: &str = "removing";

/// The directory `{data}/instances`.
#[derive(Debug, Clone)]
pub(crate) struct Specs {
    dir: PathBuf,
    seal: Seal,
}

/// What lies on the disk of one instance.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which instance.
    pub(crate) id: InstanceId,
    /// Its spec, or why there is none.
    pub(crate) spec: Stored,
    /// What was done for it.
    pub(crate) record: Record,
    /// What the older caller that deployed it said.
    pub(crate) note: Option<Note>,
}

/// A spec as the disk has it.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Whole.
    Spec(Box<InstanceSpec>),
    /// Not readable, and why.
    Corrupt(String),
    /// The instance was being removed, or its first spec was never wholly written; the spec it had, if that is known.
    Removing(Option<Box<InstanceSpec>>),
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk or the quota is full; what was there before is unchanged.
    #[error("no room left on the disk that holds `{0}`")]
    NoSpace(PathBuf),
    /// Anything else.
    #[error("`{path}` cannot be written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// The file: the spec with its secrets taken out, and the secrets sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecFile {
    spec: InstanceSpec,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(serialize_with = "secret::expose")]
    key: Secret,
    #[serde(serialize_with = "secret::expose_all")]
    secrets: Secrets,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry: Option<RegistryLogin>,
}

impl Specs {
    /// Makes the directory when there is none.
    pub(crate) fn open(dir: PathBuf, seal: Seal) -> Result<Self, WriteError> {
        make_dir(&dir)?;
        Ok(Self { dir, seal })
    }

    /// Everything on disk, in the order of the ids. Files that are none of ours are logged and left alone.
    ///
    /// # Errors
    /// The directory itself cannot be read.
    pub(crate) fn load(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                found.push(self.load_one(id));
            } else {
                tracing::warn!(?name, "not an instance's directory; left alone");
            }
        }
        found.sort_by_key(|found| found.id);
        Ok(found)
    }

    /// Replaces the spec of an instance.
    pub(crate) fn write(&self, spec: &InstanceSpec) -> Result<(), WriteError> {
        let dir = self.instance_dir(spec.id);
        let path = dir.join(SPEC);
        let fresh = !dir.exists();
        make_dir(&dir)?;
        let written =
            self.render(spec).map_err(|source| failed(&path, source)).and_then(|text| replace(&path, &text));
        if written.is_err() && fresh {
            // Best effort: an empty directory is taken for a removed instance at the next start.
            let _ = fs::remove_dir(&dir);
        }
        written
    }

    /// Writes what an older caller said of an instance that is about to get its first spec. Until that is there, the
    /// directory is one of a removed instance.
    pub(crate) fn write_note(&self, id: InstanceId, note: &Note) -> Result<(), WriteError> {
        let path = self.instance_dir(id).join(NOTE);
        make_dir(&self.instance_dir(id))?;
        let text = serde_json::to_vec(note).map_err(|error| failed(&path, error.into()))?;
        replace(&path, &text)
    }

    /// Replaces the record of an instance.
    pub(crate) fn write_record(&self, id: InstanceId, record: &Record) -> Result<(), WriteError> {
        let path = self.instance_dir(id).join(RECORD);
        let text = serde_json::to_vec(record).map_err(|error| failed(&path, error.into()))?;
        replace(&path, &text)
    }

    /// The record of an instance. One that cannot be read costs a repeated install, so it is not worth an error.
    pub(crate) fn record(&self, id: InstanceId) -> Record {
        let record = read_json(&self.instance_dir(id).join(RECORD)).unwrap_or_else(|error| {
            tracing::warn!(instance = %id, error, "the record of what was done is unreadable; starting anew");
            None
        });
        record.unwrap_or_default()
    }

    /// The digests of what is installed for an instance and of what was before.
    ///
    /// # Errors
    /// The record is there and cannot be read.
    pub(crate) fn installed(&self, id: InstanceId) -> Result<Vec<String>, String> {
        let record: Record = read_json(&self.instance_dir(id).join(RECORD))?.unwrap_or_default();
        Ok([record.installed, record.before].into_iter().flatten().filter_map(|one| one.digest).collect())
    }

    /// Notes that an instance is being removed. It takes no room: a full disk must not keep anybody from removing.
    pub(crate) fn mark_removing(&self, id: InstanceId) -> Result<(), WriteError> {
        let dir = self.instance_dir(id);
        ignore_missing(fs::rename(dir.join(SPEC), dir.join(REMOVING)))
            .and_then(|()| sync_dir(&dir))
            .map_err(|source| failed(&dir, source))
    }

    /// Removes all that the disk has of an instance.
    pub(crate) fn remove(&self, id: InstanceId) -> Result<(), WriteError> {
        let dir = self.instance_dir(id);
        // A directory without a spec is one that is being removed, so this may be cut short anywhere.
        ignore_missing(fs::remove_file(dir.join(SPEC))).map_err(|source| failed(&dir, source))?;
        remove_tree(&dir)
    }

    /// The instance's own directory.
    pub(crate) fn instance_dir(&self, id: InstanceId) -> PathBuf {
        self.dir.join(id.to_string())
    }

    /// What its shim writes, the server's log among it.
    pub(crate) fn state_dir(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("state")
    }

    fn load_one(&self, id: InstanceId) -> Found {
        let dir = self.instance_dir(id);
        let spec = match self.load_spec(id, &dir.join(SPEC)) {
            Ok(Some(spec)) => Stored::Spec(Box::new(spec)),
            Ok(None) => {
                Stored::Removing(self.load_spec(id, &dir.join(REMOVING)).ok().flatten().map(Box::new))
            }
            Err(reason) => Stored::Corrupt(reason),
        };
        let note = read_json(&dir.join(NOTE)).unwrap_or_else(|error| {
            tracing::warn!(instance = %id, error, "what its older caller said is unreadable; it keeps the name of its spec");
            None
        });
        Found { id, spec, record: self.record(id), note }
    }

    fn load_spec(&self, id: InstanceId, path: &Path) -> Result<Option<InstanceSpec>, String> {
        let Some(SpecFile { mut spec, sealed }) = read_json(path)? else { return Ok(None) };
        if spec.id != id {
            return Err(format!("`{}` is the spec of another instance, {}", path.display(), spec.id));
        }
        let plain = self.seal.open(id, &sealed).map_err(|error| format!("its secrets are {error}"))?;
        let Sealed { key, secrets, registry } =
            serde_json::from_slice(&plain).map_err(|_| "its secrets are unreadable".to_owned())?;
        spec.key = key;
        spec.secrets = secrets;
        spec.registry = registry;
        Ok(Some(spec))
    }

    fn render(&self, spec: &InstanceSpec) -> io::Result<Vec<u8>> {
        let sealed =
            Sealed { key: spec.key.clone(), secrets: spec.secrets.clone(), registry: spec.registry.clone() };
        let plain = Zeroizing::new(serde_json::to_vec(&sealed)?);
        let sealed = self.seal.seal(spec.id, &plain)?;
        let mut spec = spec.clone();
        spec.key = Secret::new("");
        spec.secrets = Secrets::new();
        spec.registry = None;
        Ok(serde_json::to_vec_pretty(&SpecFile { spec, sealed })?)
    }
}

/// `None` when there is no such file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("`{}` is not what was written there: {error}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
    }
}

/// Written beside, synced, renamed: a reader and a crash see the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let beside = path.with_extension("new");
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), sync_dir)
    })();
    written.map_err(|source| {
        // Best effort: the next write truncates it.
        let _ = fs::remove_file(&beside);
        failed(path, source)
    })
}

/// Makes a directory that only its owner can enter, and its parents.
pub(crate) fn make_dir(dir: &Path) -> Result<(), WriteError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| failed(dir, source))
}

/// Removes a directory and all in it; a server may have closed directories of its own to everybody.
pub(crate) fn remove_tree(dir: &Path) -> Result<(), WriteError> {
    let removed = match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir).and_then(|()| fs::remove_dir_all(dir))
        }
        other => other,
    };
    ignore_missing(removed).map_err(|source| failed(dir, source))
}

/// Makes every directory of the tree enterable and writable for its owner; links are not followed.
fn open_up(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(crate) fn failed(path: &Path, source: io::Error) -> WriteError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteError::NoSpace(path.to_owned()),
        _ => WriteError::Io { path: path.to_owned(), source },
    }
}
