//! The program that this process is, which it hands to hosts that are to be enrolled: the very file that runs, also after another
//! one took its place on the disk.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::secrets::hex;

/// The kernel's name of the file that this process was started from.
const OWN: &str = "/proc/self/exe";

/// The program. It is read once it is asked for: that takes a part of a second.
#[derive(Debug, Default)]
pub(crate) struct Program {
    sha256: OnceCell<String>,
    /// Another file than the own one, for tests.
    file: Option<PathBuf>,
}

impl Program {
    /// Another file than the own one.
    pub(crate) fn of(file: Option<PathBuf>) -> Self {
        Self { sha256: OnceCell::new(), file }
    }

    fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| PathBuf::from(OWN))
    }

    /// Its SHA-256 when it was asked for before.
    pub(crate) fn known(&self) -> Option<&str> {
        self.sha256.get().map(String::as_str)
    }

    /// Its SHA-256 in hexadecimal.
    ///
    /// # Errors
    /// What the system says when it cannot be read; the next call tries again.
    pub(crate) async fn sha256(&self) -> io::Result<&str> {
        let path = self.path();
        self.sha256
            .get_or_try_init(|| async { tokio::task::spawn_blocking(move || hash(&path)).await? })
            .await
            .map(String::as_str)
    }

    /// Opens it, and says how many bytes it has.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn open(&self) -> io::Result<(tokio::fs::File, u64)> {
        let file = tokio::fs::File::open(self.path()).await?;
        let length = file.metadata().await?.len();
        Ok((file, length))
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let (mut file, mut part) = (File::open(path)?, vec![0; 1 << 16]);
    loop {
        match file.read(&mut part)? {
            0 => break,
            read => sha256.update(part.get(..read).unwrap_or_default()),
        }
    }
    Ok(hex(&sha256.finalize()))
}
