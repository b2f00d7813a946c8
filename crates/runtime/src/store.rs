//! The package store: each package installs once, into a directory named by what was installed.
//!
//! ```text
//! packages/requests/<hash>.json   what a request resolved to: exact version, digest, executables
//! packages/sha256-<digest>/       one installed tree; readable to all, written by nobody
//! packages/.staging-<hash>-…/     an install in progress; removed when it ends or at the next start
//! ```
//!
//! A request (package, version or none, constraints, interpreter) is resolved once; asking again costs no network.
//! The digest is over the lock (names, versions, integrity hashes), so two requests that resolve alike share a tree.
//! What lies on the host (`file:`) is read anew each time it is asked for; its digest is over the content.

mod config;
mod file;
mod install;
mod npm;
mod pypi;
mod unused;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use domain::package::Package;
use domain::spec::Launch;
use domain::status::Progress;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::error::RuntimeError;
use crate::interpreter::{self, Node, Python};
use crate::process::{private_directory, text};
use crate::sandbox::policy::Enforce;
use crate::{OnProgress, Prepared};

/// The packages of this host.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    berth: PathBuf,
    enforce: Enforce,
    /// Variables that every installer gets, over those of the host.
    pub(crate) fetching: OnceLock<BTreeMap<String, String>>,
    /// One lock per request in progress, so that the second of two waits for the first and finds its result.
    running: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    node: Mutex<Option<Node>>,
    python: Mutex<Option<Python>>,
}

/// What a request resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// For people who look into the file.
    request: Request,
    /// The exact version; what lies on the host has none.
    version: Option<String>,
    /// `sha256:…` of the lock.
    digest: String,
    /// Each executable's path below the tree, by name.
    executables: BTreeMap<String, PathBuf>,
}

/// Everything that an install depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    package: Package,
    constraints: Vec<String>,
    install_scripts: bool,
    /// Compiled parts fit one interpreter only.
    interpreter: String,
}

/// What an installer left in its staging directory.
struct Installed {
    version: Option<String>,
    /// One line for each package, or of what lies on the host each file, in the tree.
    lock: Vec<String>,
    executables: BTreeMap<String, PathBuf>,
}

/// Where a package comes from, with what is needed to install it.
enum Source {
    Npm(Node),
    Pypi(Python),
    File(PathBuf),
}

impl Store {
    /// Opens the store and removes what a killed install left. Only one process may have it open.
    pub(crate) fn open(directory: PathBuf, berth: PathBuf, enforce: Enforce) -> Result<Self, RuntimeError> {
        private_directory(&directory.join("requests"))?;
        for entry in fs::read_dir(&directory).map_err(RuntimeError::io("read", &directory))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".staging-") {
                remove_abandoned(&entry.path()).map_err(RuntimeError::io("remove", entry.path()))?;
            }
        }
        Ok(Self {
            directory,
            berth,
            enforce,
            fetching: OnceLock::new(),
            running: Mutex::default(),
            node: Mutex::default(),
            python: Mutex::default(),
        })
    }

    /// The package, installed if it was not.
    pub(crate) async fn install(
        &self,
        package: &Package,
        launch: &Launch,
        progress: OnProgress<'_>,
    ) -> Result<Prepared, RuntimeError> {
        let mut constraints = launch.constraints.clone();
        constraints.sort();
        constraints.dedup();
        let source = match package {
            Package::Pypi { .. } => Source::Pypi(self.python().await?),
            Package::File { path } => Source::File(PathBuf::from(path)),
            Package::Oci { image } => return Err(RuntimeError::NeedsDocker { image: image.clone() }),
            // The last two are nothing to install, and do not come here.
            Package::Npm { .. } | Package::Builtin { .. } | Package::Remote { .. } => {
                Source::Npm(self.node().await?)
            }
        };
        let tag = match &source {
            Source::Npm(node) => node.tag.clone(),
            Source::Pypi(python) => format!("{} {}", python.tag, std::env::consts::ARCH),
            Source::File(_) => String::new(),
        };
        let request = Request {
            package: package.clone(),
            constraints,
            install_scripts: launch.install_scripts,
            interpreter: tag,
        };
        let name = hash(
            &serde_json::to_vec(&request)
                .map_err(|e| RuntimeError::io("write the request in", &self.directory)(e.into()))?,
        );

        let lock = Arc::clone(self.running.lock().await.entry(name.clone()).or_default());
        let result = {
            let _turn = lock.lock().await;
            match (self.recorded(&name), &source) {
                // Somebody is working on it; what they removed still runs as it was.
                (Some(_), Source::File(path)) if path.exists() => {
                    self.install_new(&name, request, &source, progress).await
                }
                (Some(record), _) => Ok(record),
                (None, _) => self.install_new(&name, request, &source, progress).await,
            }
        };
        let mut running = self.running.lock().await;
        drop(lock);
        running.retain(|_, lock| Arc::strong_count(lock) > 1);
        drop(running);

        let record = result?;
        let executable = choose(package, launch.executable.as_deref(), &record.executables)?;
        let tree = self.tree(&record.digest);
        Ok(match &source {
            Source::Npm(node) => npm::prepared(node, &tree, executable, &record),
            Source::Pypi(python) => pypi::prepared(python, &tree, executable, &record),
            Source::File(_) if npm::is_for_node(&tree.join(executable)) => {
                npm::prepared(&self.node().await?, &tree, executable, &record)
            }
            Source::File(_) => file::prepared(&tree, executable, &record),
        })
    }

    async fn install_new(
        &self,
        name: &str,
        request: Request,
        source: &Source,
        progress: OnProgress<'_>,
    ) -> Result<Record, RuntimeError> {
        progress(Progress { step: format!("resolving {}", request.package), percent: None });
        let staging = Staging::make(&self.directory, name)?;
        let sandbox = install::Installer {
            berth: &self.berth,
            enforce: self.enforce,
            staging: &staging.0,
            fetching: self.fetching.get(),
        };
        let installed = match source {
            Source::Npm(node) => npm::install(&sandbox, node, &request, progress).await?,
            Source::Pypi(python) => pypi::install(&sandbox, python, &request, progress).await?,
            Source::File(path) => file::install(path, staging.tree(), &self.directory).await?,
        };
        progress(Progress { step: "finishing".to_owned(), percent: None });

        let mut lock = installed.lock;
        lock.sort();
        let digest = hash(format!("{}\n{}", request.interpreter, lock.join("\n")).as_bytes());
        let record = Record {
            request,
            version: installed.version,
            digest: format!("sha256:{digest}"),
            executables: installed.executables,
        };
        let target = self.tree(&record.digest);
        let tree = staging.tree();
        if !target.exists() {
            open_to_readers(&tree)?;
            // Another request may have resolved to the same tree meanwhile; then that one is as good.
            match fs::rename(&tree, &target) {
                Err(error) if !target.exists() => {
                    return Err(RuntimeError::io("put in place", target)(error));
                }
                _ => {}
            }
        }
        let path = self.record_path(name);
        let content =
            serde_json::to_vec_pretty(&record).map_err(|e| RuntimeError::io("write", &path)(e.into()))?;
        let draft = staging.0.join("record.json");
        write_durably(&draft, &content).map_err(RuntimeError::io("write", &path))?;
        fs::rename(&draft, &path).map_err(RuntimeError::io("write", path))?;
        Ok(record)
    }

    /// A record whose tree is gone is none.
    fn recorded(&self, name: &str) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(self.record_path(name)).ok()?).ok()?;
        self.tree(&record.digest).is_dir().then_some(record)
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.directory.join("requests").join(format!("{name}.json"))
    }

    /// `sha256-…` for `sha256:…`: a colon in a path would split `PYTHONPATH` and `PATH`.
    fn tree(&self, digest: &str) -> PathBuf {
        self.directory.join(digest.replace(':', "-"))
    }

    /// Asked once; again when it is gone, or was not there (so that installing it helps at once).
    async fn node(&self) -> Result<Node, RuntimeError> {
        let mut known = self.node.lock().await;
        match &*known {
            Some(node) if node.program.exists() && node.npm.exists() => Ok(node.clone()),
            _ => Ok(known.insert(interpreter::node().await?).clone()),
        }
    }

    async fn python(&self) -> Result<Python, RuntimeError> {
        let mut known = self.python.lock().await;
        match &*known {
            Some(python) if python.program.exists() => Ok(python.clone()),
            _ => Ok(known.insert(interpreter::python().await?).clone()),
        }
    }
}

/// The path of the executable that is asked for, the only one, or the one named as the package.
fn choose<'a>(
    package: &Package,
    asked: Option<&str>,
    executables: &'a BTreeMap<String, PathBuf>,
) -> Result<&'a Path, RuntimeError> {
    let names = || executables.keys().cloned().collect::<Vec<_>>();
    let package_name = package.name().to_owned();
    if let Some(executable) = asked {
        return executables.get(executable).map(PathBuf::as_path).ok_or_else(|| {
            RuntimeError::UnknownExecutable {
                package: package_name,
                executable: executable.to_owned(),
                executables: names(),
            }
        });
    }
    let own = package.name().rsplit('/').next().unwrap_or_default();
    let same = |name: &str| name.replace(['_', '.'], "-").eq_ignore_ascii_case(&own.replace(['_', '.'], "-"));
    let mut paths = executables.values();
    match (paths.next(), paths.next()) {
        (None, _) => Err(RuntimeError::NoExecutable { package: package_name }),
        (Some(only), None) => Ok(only),
        _ => {
            executables.iter().find(|(name, _)| same(name)).map(|(_, path)| path.as_path()).ok_or_else(|| {
                RuntimeError::AmbiguousExecutable { package: package_name, executables: names() }
            })
        }
    }
}

/// A directory for one install; removed with all in it when dropped.
struct Staging(PathBuf);

impl Staging {
    fn make(store: &Path, name: &str) -> Result<Self, RuntimeError> {
        // Counted, since the last processes of a dropped install of the same request may still be writing.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = store.join(format!(".staging-{}-{}-{count}", &name[..16], std::process::id()));
        let staging = Self(path);
        for directory in [staging.0.clone(), staging.tree(), staging.0.join("tmp"), staging.0.join("cache")] {
            private_directory(&directory)?;
        }
        Ok(staging)
    }

    /// What becomes the package's tree.
    fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A killed installer may still be writing for a moment; the next start removes what stays.
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(path = %self.0.display(), %error, "a staging directory stays until the next start");
        }
    }
}

/// Removes what a killed install left. Its processes were killed with their parent, which takes them a moment, and
/// until then they may write where it was just emptied.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Servers run as users of their own and read the tree; nobody writes it any more.
fn open_to_readers(path: &Path) -> Result<(), RuntimeError> {
    let metadata = fs::symlink_metadata(path).map_err(RuntimeError::io("read", path))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(path, Some(0), Some(0))
            .map_err(RuntimeError::io("change the owner of", path))?;
    }
    if metadata.is_symlink() {
        return Ok(());
    }
    let executable = metadata.is_dir() || metadata.permissions().mode() & 0o111 != 0;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(RuntimeError::io("change the permissions of", path))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(RuntimeError::io("read", path))? {
            open_to_readers(&entry.map_err(RuntimeError::io("read", path))?.path())?;
        }
    }
    Ok(())
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()
}

/// SHA-256 in lower-case hexadecimal.
fn hash(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The directories of interpreters on a server's `PATH`.
fn search_path(program: &Path) -> String {
    program.parent().map(text).unwrap_or_default()
}
