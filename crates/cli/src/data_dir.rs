//! The data directory: what lies where, who holds it, and files that are whole or absent.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{CliError, io_failure};

/// The data directory when none is named.
pub(crate) const DEFAULT: &str = "berth-data";
/// Address and token, for the command line on the same machine.
pub(crate) const CLIENT_FILE: &str = "client.toml";

/// One data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Names it; nothing is made.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The named one, or the default one.
    pub(crate) fn or_default(path: Option<&Path>) -> Self {
        Self::new(path.unwrap_or(Path::new(DEFAULT)))
    }

    /// Makes the directory (0700) and its absolute path.
    pub(crate) fn create(self) -> Result<Self, CliError> {
        make(&self.0)?;
        let whole = self.0.canonicalize().map_err(|e| io_failure("open the data directory", &self.0, e))?;
        // An existing directory may be open to others; what lies in it is not for them.
        std::fs::set_permissions(&whole, Permissions::from_mode(0o700))
            .map_err(|e| io_failure("close to others the data directory", &whole, e))?;
        Ok(Self(whole))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// `client.toml`.
    pub(crate) fn client_file(&self) -> PathBuf {
        self.0.join(CLIENT_FILE)
    }

    /// What the control plane keeps.
    pub(crate) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// What the DTMA keeps.
    pub(crate) fn dtma(&self) -> PathBuf {
        self.0.join("dtma")
    }

    /// The logs of Berth's own processes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Takes the directory for this process, until the value is dropped or the process ends.
    pub(crate) fn lock(&self) -> Result<UpLock, CliError> {
        let path = self.0.join("up.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| io_failure("open", &path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(UpLock { file, path }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(self.held_by(holder.trim()))
            }
            Err(error) => Err(io_failure("lock", &path, error.into())),
        }
    }

    fn held_by(&self, holder: &str) -> CliError {
        let fact = |key: &str| holder.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let who = match (fact("pid:"), fact("url:")) {
            (Some(pid), Some(url)) => format!("process {pid}, {url}"),
            (Some(pid), None) => format!("process {pid}"),
            _ => "another process".to_owned(),
        };
        let stop = fact("pid:").map_or_else(String::new, |pid| format!(" with Ctrl-C or `kill {pid}`"));
        CliError::failed(format!("a Berth runs on `{}` already: {who}", self.0.display())).with_hint(format!(
            "use it, stop it{stop}, or start another with `--data DIR --listen 127.0.0.1:0 --dtma-listen 127.0.0.1:0`"
        ))
    }
}

/// The right to a data directory. The kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct UpLock {
    file: File,
    path: PathBuf,
}

impl UpLock {
    /// Says who holds it, for the next one that tries.
    pub(crate) fn describe(&mut self, text: &str) -> Result<(), CliError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(|e| io_failure("write", &self.path, e))
    }
}

/// Makes a directory that only its owner enters, and those above it.
pub(crate) fn make(path: &Path) -> Result<(), CliError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| io_failure("make the directory", path, e))
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), CliError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        // The temporary file is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    written().map_err(|e| io_failure("write", path, e))
}
