//! Berth's binary for containers: a copy in the data directory, in a directory named by its digest. It is mounted as long
//! as a container lives, whatever is installed over the original meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::DockerRuntime;
use crate::error::RuntimeError;
use crate::process::private_directory;

impl DockerRuntime {
    /// The copy's path; copied when it is not there yet.
    pub(super) async fn binary(&self) -> Result<&Path, RuntimeError> {
        let copied = self.binary.get_or_try_init(async || {
            let (berth, directory) = (self.berth.clone(), self.layout.binaries());
            let place = berth.clone();
            tokio::task::spawn_blocking(move || copy(&berth, &directory))
                .await
                .map_err(|e| RuntimeError::io("copy", place)(e.into()))?
        });
        copied.await.map(PathBuf::as_path)
    }
}

fn copy(berth: &Path, directory: &Path) -> Result<PathBuf, RuntimeError> {
    private_directory(directory)?;
    let draft = directory.join(format!(".draft-{}", std::process::id()));
    let copied = copy_over(berth, directory, &draft);
    if copied.is_err() {
        // What cannot be removed either is written over by the next try.
        let _ = fs::remove_file(&draft);
    }
    copied
}

fn copy_over(berth: &Path, directory: &Path, draft: &Path) -> Result<PathBuf, RuntimeError> {
    fs::copy(berth, draft).map_err(RuntimeError::io("copy to", draft))?;
    fs::set_permissions(draft, fs::Permissions::from_mode(0o555))
        .map_err(RuntimeError::io("change the permissions of", draft))?;
    // Of the copy, so that the name is true whatever happens to the original meanwhile.
    let mut file = fs::File::open(draft).map_err(RuntimeError::io("read", draft))?;
    file.sync_all().map_err(RuntimeError::io("write", draft))?;
    let digest = digest(&mut file).map_err(RuntimeError::io("read", draft))?;
    let own = directory.join(format!("sha256-{digest}"));
    private_directory(&own)?;
    let target = own.join("berth");
    if target.exists() {
        // It may be mounted; it is the same.
        fs::remove_file(draft).map_err(RuntimeError::io("remove", draft))?;
    } else {
        fs::rename(draft, &target).map_err(RuntimeError::io("put in place", &target))?;
    }
    Ok(target)
}

fn digest(file: &mut impl io::Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(crate::store::hexadecimal(&hasher.finalize())),
            length => hasher.update(&piece[..length]),
        }
    }
}
