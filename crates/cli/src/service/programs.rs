//! The binaries of the service: each in a directory named by its digest, with links that say which counts.
//!
//! ```text
//! /usr/local/bin/berth            → ../lib/berth/current/berth
//! /usr/local/lib/berth/current    → sha256-…   what runs
//! /usr/local/lib/berth/previous   → sha256-…   what ran before
//! /usr/local/lib/berth/sha256-…/berth
//! ```
//!
//! A shim goes on with the binary that it was started of, and starts its server's sandbox with the very same, whatever is
//! current meanwhile. What nothing runs of is removed by a cleanup.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::error::{CliError, io_failure};

/// The binaries of one host.
#[derive(Debug)]
pub(crate) struct Programs {
    root: PathBuf,
}

impl Programs {
    /// Of the host whose file system begins at `root`.
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn directory(&self) -> PathBuf {
        self.root.join("usr/local/lib/berth")
    }

    /// `/usr/local/bin/berth`.
    pub(crate) fn command(&self) -> PathBuf {
        self.root.join("usr/local/bin/berth")
    }

    /// Copies a binary there; gives the name of its directory.
    pub(crate) fn place(&self, file: &Path) -> Result<String, CliError> {
        let placed = runtime::binary::place(file, &self.directory())
            .map_err(|e| CliError::because(format!("cannot copy `{}`", file.display()), e))?;
        let own = placed.parent().unwrap_or(Path::new("/"));
        // Everybody may be a client of Berth.
        for directory in [&*self.directory(), own] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
                .map_err(|e| io_failure("open to others the directory", directory, e))?;
        }
        Ok(own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
    }

    /// The path of the binary of that name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name).join("berth")
    }

    /// What counts; `None` when nothing is installed.
    pub(crate) fn current(&self) -> Option<String> {
        let target = fs::read_link(self.directory().join("current")).ok()?;
        self.path(target.to_str()?).exists().then(|| target.to_string_lossy().into_owned())
    }

    /// Makes it count, at once for whoever starts the command.
    pub(crate) fn make_current(&self, name: &str) -> Result<(), CliError> {
        self.link(&self.directory().join("current"), Path::new(name))
    }

    /// Keeps it as the way back.
    pub(crate) fn make_previous(&self, name: &str) -> Result<(), CliError> {
        self.link(&self.directory().join("previous"), Path::new(name))
    }

    /// Puts the command in the place of whatever has its name.
    pub(crate) fn link_command(&self) -> Result<(), CliError> {
        let command = self.command();
        let directory = command.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).map_err(|e| io_failure("make the directory", directory, e))?;
        self.link(&command, Path::new("../lib/berth/current/berth"))
    }

    /// Removes the command; the binaries stay for what runs of them.
    pub(crate) fn unlink_command(&self) -> Result<(), CliError> {
        let command = self.command();
        match fs::remove_file(&command) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_failure("remove", &command, error))
            }
            _ => Ok(()),
        }
    }

    /// Removes what was placed for nothing.
    pub(crate) fn discard(&self, name: &str) -> Result<(), CliError> {
        let path = self.directory().join(name);
        fs::remove_dir_all(&path).map_err(|e| io_failure("remove", &path, e))
    }

    /// One rename, so that there is always the one or the other.
    fn link(&self, link: &Path, target: &Path) -> Result<(), CliError> {
        let draft = link.with_extension("new");
        let made = match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => symlink(target, &draft).and_then(|()| fs::rename(&draft, link)),
        };
        made.map_err(|e| io_failure("make the link", link, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_takes_the_place_of_another() {
        let root = tempfile::tempdir().unwrap();
        let programs = Programs::below(root.path());
        assert_eq!(programs.current(), None);
        let make = |content: &str| {
            let file = root.path().join("new");
            fs::write(&file, content).unwrap();
            programs.place(&file).unwrap()
        };
        let (one, two) = (make("one"), make("two"));
        assert_eq!(make("one"), one, "the same again is the same");
        programs.make_current(&one).unwrap();
        programs.link_command().unwrap();
        assert_eq!(fs::read_to_string(programs.command()).unwrap(), "one");
        assert_eq!(programs.command().metadata().unwrap().permissions().mode() & 0o777, 0o555);
        programs.make_previous(&one).unwrap();
        programs.make_current(&two).unwrap();
        assert_eq!(programs.current(), Some(two));
        assert_eq!(fs::read_to_string(programs.command()).unwrap(), "two");
        assert!(programs.path(&one).exists());
    }
}
