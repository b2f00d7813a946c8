//! A root directory of its own: an empty file system with the allow-list bound into it at the same paths, and
//! nothing else. What is not listed is not merely unreadable, it is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::Failure;
use super::policy::Policy;
use super::sys;

/// Mount attributes (linux/mount.h).
const READ_ONLY: u64 = 0x1;
const NO_SETUID: u64 = 0x2;
const NO_DEVICES: u64 = 0x4;
const NO_EXECUTE: u64 = 0x8;

/// Where the host's root hangs while the new one is built.
const OLD: &str = "/.old";
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// The largest file that is copied in.
const MAX_COPY: u64 = 1 << 20;

/// Builds the root and enters it. The process must be alone in a mount namespace of its own.
pub(super) fn enter(policy: &Policy) -> Result<(), Failure> {
    // Everything is resolved while the host's root is still the root: an absolute link would else lead astray.
    let mut plan = Plan::default();
    for path in policy.read.iter().filter(|path| !is_account_file(path)) {
        plan.add(path, Access::Read)?;
    }
    for path in &policy.write {
        plan.add(path, Access::Write)?;
    }
    let copies = policy.copy.iter().filter_map(|path| read_copy(path)).collect::<Vec<_>>();

    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(Failure::of("separate the mounts from the host's"))?;
    let base = ["/tmp", "/run", "/var", "/usr"]
        .into_iter()
        .find(|path| Path::new(path).is_dir())
        .ok_or_else(|| Failure::new("find a directory to build a root on", io::ErrorKind::NotFound.into()))?;
    tmpfs(base, "mode=0755,size=4m")?;
    make_directory(Path::new(&format!("{base}{OLD}")))?;
    rustix::process::pivot_root(base, format!("{base}{OLD}"))
        .map_err(Failure::of("change to the new root"))?;
    rustix::process::chdir("/").map_err(Failure::of("enter the new root"))?;

    // First, since what is allowed may lie below it.
    make_directory(Path::new("/tmp"))?;
    tmpfs("/tmp", "mode=1777,size=256m")?;
    for (link, target) in &plan.links {
        make_parents(link)?;
        match std::os::unix::fs::symlink(target, link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::new(format!("link {}", link.display()), error));
            }
            _ => {}
        }
    }
    for (path, access) in &plan.binds {
        bind(path, *access)?;
    }
    devices()?;
    account_files(policy)?;
    for (path, content) in &copies {
        write_copy(path, content, policy.uid)?;
    }
    make_directory(Path::new("/proc"))?;
    if policy.enforce.pid_namespace {
        // Before the host's root goes: the kernel allows a new one only where an unmasked one is visible.
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("proc", "/proc", "proc", flags, None)
            .map_err(Failure::of("mount a process file system"))?;
    }

    rustix::mount::unmount(OLD, UnmountFlags::DETACH).map_err(Failure::of("let go of the host's root"))?;
    fs::remove_dir(OLD).map_err(Failure::of("remove the host's root"))?;
    sys::set_mount_attributes(Path::new("/"), READ_ONLY | NO_SETUID | NO_DEVICES, false)
        .map_err(Failure::of("make the root read-only"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// What goes into the root: links as they are, and the real files and directories that they lead to.
#[derive(Debug, Default)]
struct Plan {
    links: BTreeMap<PathBuf, PathBuf>,
    /// By path, so that a directory comes before what lies in it.
    binds: BTreeMap<PathBuf, Access>,
}

impl Plan {
    fn add(&mut self, path: &Path, access: Access) -> Result<(), Failure> {
        let real = self
            .resolve(path)
            .map_err(|source| Failure::new(format!("resolve {}", path.display()), source))?;
        let covered = self.binds.iter().any(|(bound, held)| *held == access && real.starts_with(bound));
        if !covered {
            self.binds.insert(real, access);
        }
        Ok(())
    }

    /// The real path, noting every link on the way.
    fn resolve(&mut self, path: &Path) -> io::Result<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = vec![path.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(next) = rest.pop() {
            let mut components = next.components();
            let Some(first) = components.next() else { continue };
            rest.push(components.as_path().to_owned());
            match first {
                Component::RootDir => real = PathBuf::from("/"),
                Component::ParentDir => {
                    real.pop();
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(name) => {
                    real.push(name);
                    if fs::symlink_metadata(&real)?.is_symlink() {
                        let target = fs::read_link(&real)?;
                        if !seen.insert((real.clone(), rest.clone())) {
                            return Err(io::Error::other("the links lead in a circle"));
                        }
                        self.links.insert(real.clone(), target.clone());
                        real.pop();
                        rest.push(target);
                    }
                }
            }
        }
        Ok(real)
    }
}

fn bind(path: &Path, access: Access) -> Result<(), Failure> {
    let failure = |step: &str| format!("{step} {}", path.display());
    let source = PathBuf::from(format!("{OLD}{}", path.display()));
    let is_directory = source.metadata().map_err(|e| Failure::new(failure("look at"), e))?.is_dir();
    if is_directory {
        make_directory(path)?;
    } else {
        make_parents(path)?;
        make_file(path)?;
    }
    rustix::mount::mount_bind_recursive(&source, path)
        .map_err(|e| Failure::new(failure("bind"), e.into()))?;
    let attributes = match access {
        Access::Read => READ_ONLY | NO_SETUID | NO_DEVICES,
        Access::Write => NO_SETUID | NO_DEVICES,
    };
    sys::set_mount_attributes(path, attributes, true).map_err(|e| Failure::new(failure("restrict"), e))
}

fn devices() -> Result<(), Failure> {
    for path in DEVICES.iter().map(Path::new) {
        make_parents(path)?;
        make_file(path)?;
        rustix::mount::mount_bind(PathBuf::from(format!("{OLD}{}", path.display())), path)
            .map_err(|e| Failure::new(format!("bind {}", path.display()), e.into()))?;
        sys::set_mount_attributes(path, NO_SETUID | NO_EXECUTE, false)
            .map_err(|e| Failure::new(format!("restrict {}", path.display()), e))?;
    }
    let links = [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")];
    for (name, part) in links {
        std::os::unix::fs::symlink(format!("/proc/self/fd{part}"), format!("/dev/{name}"))
            .map_err(Failure::of("link the standard streams"))?;
    }
    make_directory(Path::new("/dev/shm"))?;
    tmpfs("/dev/shm", "mode=1777,size=64m")
}

/// These name the program's own user and nobody of the host's: some programs fail without an entry for theirs.
fn is_account_file(path: &Path) -> bool {
    [Path::new("/etc/passwd"), Path::new("/etc/group")].contains(&path)
}

fn account_files(policy: &Policy) -> Result<(), Failure> {
    let uid = policy.uid.unwrap_or_else(|| rustix::process::getuid().as_raw());
    let gid = policy.uid.unwrap_or_else(|| rustix::process::getgid().as_raw());
    let home = policy.cwd.display();
    let mut passwd = format!("server:x:{uid}:{gid}::{home}:/usr/sbin/nologin\n");
    let mut group = format!("server:x:{gid}:\n");
    if uid != 0 {
        passwd.insert_str(0, "root:x:0:0::/:/usr/sbin/nologin\n");
        group.insert_str(0, "root:x:0:\n");
    }
    for (path, content) in [("/etc/passwd", passwd), ("/etc/group", group)] {
        make_parents(Path::new(path))?;
        fs::write(path, content).map_err(Failure::of("write the account files"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
            .map_err(Failure::of("open the account files"))?;
    }
    Ok(())
}

/// A copy that cannot be made is left out: whoever needs the file says so better.
fn read_copy(path: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let mut content = Vec::new();
    let file = fs::File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(MAX_COPY).read_to_end(&mut content).ok()?;
    Some((path.to_owned(), content))
}

fn write_copy(path: &Path, content: &[u8], uid: Option<u32>) -> Result<(), Failure> {
    make_parents(path)?;
    let failure = |e| Failure::new(format!("copy {}", path.display()), e);
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(path);
    let mut file = match opened {
        Ok(file) => file,
        // It lies in a directory that is readable anyhow.
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists) => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => return Ok(()),
        Err(error) => return Err(failure(error)),
    };
    file.write_all(content).map_err(failure)?;
    if let Some(uid) = uid {
        std::os::unix::fs::chown(path, Some(uid), Some(uid)).map_err(failure)?;
    }
    Ok(())
}

fn tmpfs(path: &str, options: &str) -> Result<(), Failure> {
    let failure = || format!("mount an empty file system on {path}");
    let options = std::ffi::CString::new(options).map_err(|e| Failure::new(failure(), e.into()))?;
    rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .map_err(|e| Failure::new(failure(), e.into()))
}

fn make_parents(path: &Path) -> Result<(), Failure> {
    path.parent().map_or(Ok(()), make_directory)
}

/// Open to all whatever the host's permissions are: `/root` of the host may be closed, this one is empty.
fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|e| Failure::new(format!("make {}", path.display()), e))
}

fn make_file(path: &Path) -> Result<(), Failure> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o444).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("make {}", path.display()), error))
        }
        _ => Ok(()),
    }
}
