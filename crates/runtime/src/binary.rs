//! Copies of Berth's own binary, each in a directory named by its digest. One stays as long as anything runs of it,
//! whatever is installed over the original meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::RuntimeError;
use crate::process::private_directory;

/// Copies a binary below `directory` when it is not there yet; gives the copy's path, `sha256-…/berth`. Blocks.
///
/// # Errors
/// [`RuntimeError::Io`], [`RuntimeError::NoSpace`]; nothing is left then.
pub fn place(binary: &Path, directory: &Path) -> Result<PathBuf, RuntimeError> {
    open_directory(directory)?;
    let draft = directory.join(format!(".draft-{}", std::process::id()));
    let copied = copy_over(binary, directory, &draft);
    if copied.is_err() {
        // What cannot be removed either is written over by the next try.
        let _ = fs::remove_file(&draft);
    }
    copied
}

fn copy_over(binary: &Path, directory: &Path, draft: &Path) -> Result<PathBuf, RuntimeError> {
    fs::copy(binary, draft).map_err(RuntimeError::io("copy to", draft))?;
    fs::set_permissions(draft, fs::Permissions::from_mode(0o555))
        .map_err(RuntimeError::io("change the permissions of", draft))?;
    // Of the copy, so that the name is true whatever happens to the original meanwhile.
    let mut file = fs::File::open(draft).map_err(RuntimeError::io("read", draft))?;
    file.sync_all().map_err(RuntimeError::io("write", draft))?;
    let digest = digest(&mut file).map_err(RuntimeError::io("read", draft))?;
    let own = directory.join(format!("sha256-{digest}"));
    open_directory(&own)?;
    let target = own.join("berth");
    if target.exists() {
        // It may be mounted; it is the same.
        fs::remove_file(draft).map_err(RuntimeError::io("remove", draft))?;
    } else {
        fs::rename(draft, &target).map_err(RuntimeError::io("put in place", &target))?;
    }
    Ok(target)
}

/// A directory that everybody may enter: there is nothing in it but the program, and who executes it may be any user, such as
/// the one that an engine has for root of its containers.
fn open_directory(path: &Path) -> Result<(), RuntimeError> {
    private_directory(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(RuntimeError::io("change the permissions of", path))
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
