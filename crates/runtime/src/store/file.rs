//! Servers that lie on this host: an executable, or a directory with one, is copied into the store, so that a server
//! sees the copy and nothing around the original, and runs on unchanged while its owner works on the next.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Installed, Record, npm};
use crate::Prepared;
use crate::error::RuntimeError;
use crate::process::{private_directory, text};

/// More than any server has, less than a disk: whoever names `/home` by mistake hears so before it is full.
const MOST_FILES: usize = 200_000;
/// The same, in bytes (4 GiB).
const MOST_BYTES: u64 = 4 << 30;
/// What is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Copies `source` into `tree`; `store` is the package store, which must not lie in it.
pub(super) async fn install(source: &Path, tree: PathBuf, store: &Path) -> Result<Installed, RuntimeError> {
    let (source, store) = (source.to_owned(), store.to_owned());
    let place = source.clone();
    tokio::task::spawn_blocking(move || copy(&source, &tree, &store))
        .await
        .map_err(|e| RuntimeError::io("copy", place)(e.into()))?
}

/// How the copy is started: by itself.
pub(super) fn prepared(tree: &Path, executable: &Path, record: &Record) -> Prepared {
    Prepared {
        version: None,
        digest: Some(record.digest.clone()),
        command: vec![text(&tree.join(executable))],
        read: vec![tree.to_owned()],
        env: BTreeMap::new(),
        image: None,
    }
}

fn copy(source: &Path, tree: &Path, store: &Path) -> Result<Installed, RuntimeError> {
    let unknown = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            RuntimeError::UnknownFile { path: source.to_owned() }
        }
        _ => RuntimeError::io("find", source)(error),
    };
    // The path itself may go over links; what lies in it is copied as it is.
    let found = fs::canonicalize(source).map_err(unknown)?;
    refuse_own_files(source, &found, store)?;
    let name = source.file_name().map_or(source, Path::new);
    let mut copier = Copier { lines: vec![], bytes: 0 };
    if !found.is_dir() {
        copier.file(&found, &tree.join(name), name)?;
        if !is_executable(&found) && !npm::is_for_node(&found) {
            return Err(RuntimeError::NotExecutable { path: source.to_owned() });
        }
        let executables = BTreeMap::from([(name.to_string_lossy().into_owned(), name.to_owned())]);
        return Ok(Installed { version: None, lock: copier.lines, executables });
    }
    copier.directory(&found, tree, Path::new(""))?;
    let mut executables = BTreeMap::new();
    if tree.join("package.json").is_file() {
        executables = npm::executables(tree, Path::new(""), &name.to_string_lossy())?;
    }
    if executables.is_empty() {
        for entry in fs::read_dir(tree).map_err(RuntimeError::io("read", tree))?.flatten() {
            if is_executable(&entry.path()) {
                let name = entry.file_name();
                executables.insert(name.to_string_lossy().into_owned(), PathBuf::from(name));
            }
        }
    }
    if executables.is_empty() {
        return Err(RuntimeError::NotExecutable { path: source.to_owned() });
    }
    Ok(Installed { version: None, lock: copier.lines, executables })
}

/// A server must never get to see Berth's own files, and a copy of the store into itself would not end.
fn refuse_own_files(source: &Path, found: &Path, store: &Path) -> Result<(), RuntimeError> {
    let data = store.parent().unwrap_or(store);
    let data = fs::canonicalize(data).map_err(RuntimeError::io("find", data))?;
    if found.starts_with(&data) || data.starts_with(found) {
        return Err(RuntimeError::NotCopied {
            path: source.to_owned(),
            reason: format!("Berth's own files lie in {}: put the server elsewhere", data.display()),
        });
    }
    Ok(())
}

/// A regular file that its owner may execute, links not followed.
fn is_executable(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o100 != 0)
}

/// A copy in progress.
struct Copier {
    /// What the digest is over: a line for each file and link, with path, kind and content.
    lines: Vec<String>,
    bytes: u64,
}

impl Copier {
    /// `name` is the path within what is copied.
    fn directory(&mut self, from: &Path, to: &Path, name: &Path) -> Result<(), RuntimeError> {
        private_directory(to)?;
        for entry in fs::read_dir(from).map_err(RuntimeError::io("read", from))? {
            let entry = entry.map_err(RuntimeError::io("read", from))?;
            let (from, to, name) = (entry.path(), to.join(entry.file_name()), name.join(entry.file_name()));
            let kind = entry.file_type().map_err(RuntimeError::io("read", &from))?;
            if kind.is_dir() {
                self.directory(&from, &to, &name)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&from).map_err(RuntimeError::io("read", &from))?;
                std::os::unix::fs::symlink(&target, &to).map_err(RuntimeError::io("create", &to))?;
                self.line(&from, &name, "link", target.as_os_str().as_bytes())?;
            } else {
                self.file(&from, &to, &name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path, name: &Path) -> Result<(), RuntimeError> {
        let refused =
            |reason: &str| RuntimeError::NotCopied { path: from.to_owned(), reason: reason.to_owned() };
        // Whoever can write here may put a link or a pipe in place of a file at any moment.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut source = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(from)
            .map_err(RuntimeError::io("open", from))?;
        let metadata = source.metadata().map_err(RuntimeError::io("read", from))?;
        if !metadata.is_file() {
            return Err(refused("it is no regular file"));
        }
        let mode = if metadata.mode() & 0o100 == 0 { 0o600 } else { 0o700 };
        let mut target = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(to)
            .map_err(RuntimeError::io("create", to))?;
        let mut digest = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = source.read(&mut chunk).map_err(RuntimeError::io("read", from))?;
            if length == 0 {
                break;
            }
            self.bytes += length as u64;
            if MOST_BYTES < self.bytes {
                return Err(refused("a server of more than 4 GiB is not accepted"));
            }
            digest.update(&chunk[..length]);
            target.write_all(&chunk[..length]).map_err(RuntimeError::io("write", to))?;
        }
        let kind = if mode == 0o700 { "program" } else { "file" };
        self.line(from, name, kind, &digest.finalize())
    }

    fn line(&mut self, from: &Path, name: &Path, kind: &str, content: &[u8]) -> Result<(), RuntimeError> {
        if MOST_FILES <= self.lines.len() {
            let reason = format!("a server of more than {MOST_FILES} files is not accepted");
            return Err(RuntimeError::NotCopied { path: from.to_owned(), reason });
        }
        // Names may hold line breaks, digests may not: hashed, two trees never look alike by a trick.
        let name = super::hash(name.as_os_str().as_bytes());
        self.lines.push(format!("{name} {kind} {}", super::hash(content)));
        Ok(())
    }
}
