//! What a runtime finds of its own on a host, for a cleanup to plan with, and sizes on disk.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use domain::cleanup::{Found, Thing, ThingKind};

use crate::error::RuntimeError;
use crate::leftovers::processes;

/// What a directory of binaries calls the ones that must stay whatever runs: links to the directories beside them.
const KEPT: [&str; 2] = ["current", "previous"];

/// What a runtime found of its own.
#[derive(Debug, Default)]
pub struct Inventory {
    /// It.
    pub found: Vec<Found>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// Bytes that a tree takes on the disk.
pub(crate) fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    let mut bytes = metadata.blocks().saturating_mul(512);
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            bytes = bytes.saturating_add(size(&entry?.path())?);
        }
    }
    Ok(bytes)
}

/// The directories called `sha256-…` in a directory; none when it is not there.
pub(crate) fn by_digest(directory: &Path) -> Result<Vec<(String, PathBuf)>, RuntimeError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(RuntimeError::io("read", directory))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RuntimeError::io("read", directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && name.strip_prefix("sha256-").is_some_and(is_digest) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The copies of Berth's binary in a directory, each in one of its own named by digest. What a process runs is busy, in
/// whatever container it is, and so is what `own` is.
pub(crate) fn binaries(directory: &Path, own: &Path) -> Result<Vec<Found>, RuntimeError> {
    let copies = by_digest(directory)?;
    if copies.is_empty() {
        return Ok(Vec::new());
    }
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let running: HashSet<(u64, u64)> =
        processes().filter_map(|pid| identity(Path::new(&format!("/proc/{pid}/exe")))).collect();
    let kept: Vec<PathBuf> =
        KEPT.iter().filter_map(|link| fs::canonicalize(directory.join(link)).ok()).collect();
    copies
        .into_iter()
        .map(|(name, path)| {
            let binary = path.join("berth");
            let busy = binary == own
                || fs::canonicalize(&path).is_ok_and(|path| kept.contains(&path))
                || identity(&binary).is_some_and(|file| running.contains(&file));
            let bytes = size(&path).map_err(RuntimeError::io("read", &path))?;
            let thing = Thing { kind: ThingKind::Binary, name, bytes };
            Ok(Found { thing, digests: Vec::new(), busy })
        })
        .collect()
}

/// Removes the copy of that name.
pub(crate) fn remove_binary(directory: &Path, name: &str) -> Result<(), RuntimeError> {
    for (found, path) in by_digest(directory)? {
        if found == name {
            fs::remove_dir_all(&path).map_err(RuntimeError::io("remove", path))?;
        }
    }
    Ok(())
}

/// The directory of the host's own copies of the binary, when this is one of them: `…/sha256-…/berth`.
pub(crate) fn programs_of(berth: &Path) -> Option<&Path> {
    let own = berth.parent()?;
    let name = own.file_name()?.to_str()?;
    name.strip_prefix("sha256-").filter(|digest| is_digest(digest))?;
    own.parent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_free_copies_are_free() {
        let dir = tempfile::tempdir().unwrap();
        let make = |digit: &str| {
            let path = dir.path().join(format!("sha256-{}", digit.repeat(64)));
            fs::create_dir(&path).unwrap();
            fs::copy("/bin/sleep", path.join("berth")).unwrap();
            path
        };
        let [own, running, previous, current, free] = ["0", "1", "2", "3", "4"].map(make);
        fs::create_dir(dir.path().join("sha256-not")).unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        std::os::unix::fs::symlink(previous.file_name().unwrap(), dir.path().join("previous")).unwrap();
        std::os::unix::fs::symlink(current.file_name().unwrap(), dir.path().join("current")).unwrap();
        let mut child = std::process::Command::new(running.join("berth")).arg("1000").spawn().unwrap();
        let found = binaries(dir.path(), &own.join("berth")).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.len(), 5);
        for found in found {
            let is_free = dir.path().join(&found.thing.name) == free;
            assert_eq!(found.busy, !is_free, "{}", found.thing.name);
            assert!(0 < found.thing.bytes);
        }
        remove_binary(dir.path(), free.file_name().unwrap().to_str().unwrap()).unwrap();
        remove_binary(dir.path(), "sha256-not").unwrap();
        assert!(!free.exists() && own.exists() && dir.path().join("sha256-not").exists());
    }

    #[test]
    fn copies_are_known_by_their_place() {
        let digest = "a".repeat(64);
        let path = PathBuf::from(format!("/usr/local/lib/berth/sha256-{digest}/berth"));
        assert_eq!(programs_of(&path), Some(Path::new("/usr/local/lib/berth")));
        for other in ["/usr/local/bin/berth", "/x/sha256-1/berth"] {
            assert_eq!(programs_of(Path::new(other)), None, "{other}");
        }
    }
}
