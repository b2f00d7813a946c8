//! One DTMA per data directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

const LOCK: &str = "lock";

/// Why a data directory was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another DTMA has it.
    #[error("process {pid} is a DTMA on `{dir}` already: stop it, or use another data directory")]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// The other's process id, as it wrote it.
        pid: String,
    },
    /// The lock cannot be made.
    #[error("`{path}` cannot be locked")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Takes the directory until the file is closed, by whatever end of this process.
pub(crate) fn take(dir: &Path) -> Result<File, LockError> {
    let path = dir.join(LOCK);
    let locked = (|| {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                return Ok(Err(pid.trim().to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Ok(file))
    })();
    match locked {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(pid)) => Err(LockError::Held { dir: dir.to_owned(), pid }),
        Err(source) => Err(LockError::Io { path, source }),
    }
}
