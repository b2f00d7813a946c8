//! `berth backup` and `berth restore`: everything that the control plane knows in one file, and a control plane of that file.
//!
//! The file has the tables, the keys and certificates that the control plane shows, which hosts know it by, and, unless it was given
//! from elsewhere, the master key that opens what is sealed in the tables. The last two can be left out.
//! What hosts have is not in it: they have it, and go on with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use domain::secret::{Secret, Secrets};
use domain::time::Timestamp;
use store::backup::Backup;
use store::{Database, Store, StoreError};

use crate::config::Config;
use crate::directory::now;
use crate::rewrap;
use crate::secrets::{GivenKey, MASTER_KEY_FILE, MasterKey, SecretsError};
use crate::setup::{StartError, database_of, make_private, open};

/// What a copy is called that becomes a database.
const COPY: &str = "restore.part";
/// The name of the fact that says when it was made, in microseconds since 1970 UTC.
const MADE_AT: &str = "made_at";
const VERSION: &str = "version";
const KEY: &str = "master_key";
/// Directories of [`Config::data`] whose files go with it: keys and certificates, and the account at their authority.
const FOLDERS: [&str; 2] = ["tls", "acme"];
/// What the name of a file's fact begins with.
const FILE: &str = "file ";

/// What a backup has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// When it was made.
    pub made_at: Timestamp,
    /// Which version of Berth made it.
    pub version: String,
    /// Accounts, each with its people, secrets and rules.
    pub accounts: usize,
    /// Machines.
    pub environments: usize,
    /// Instances.
    pub instances: usize,
    /// Whether the master key is in it.
    pub has_key: bool,
    /// Where the master key is that opens it.
    pub key_source: String,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database or the master key cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file cannot be read or written.
    #[error("cannot {doing} `{}`", .path.display())]
    File {
        /// What was being done, such as "write".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is a control plane where one is to be restored.
    #[error("there is a Berth already: `{}`", .path.display())]
    Occupied {
        /// Its database.
        path: PathBuf,
    },
    /// The backup was made without its key, and none is given.
    #[error("the backup was made without its master key, and none was given")]
    NoKey,
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Start(StartError::Store(error))
    }
}

impl From<SecretsError> for BackupError {
    fn from(error: SecretsError) -> Self {
        Self::Start(StartError::Secrets(error))
    }
}

/// Writes a backup to `out`. May run beside a running control plane. With `with_key` the keys of certificates are in it, and the master
/// key, when it lies in a file of ours. Until it is whole it lies in [`Config::data`].
///
/// # Errors
/// Any [`BackupError`] but the last two.
pub async fn back_up(
    config: &Config,
    with_key: bool,
    out: &mut (dyn Write + Send),
) -> Result<Contents, BackupError> {
    let (store, keys) = open(config).await?;
    let part = Part::new(config.data.join(format!("backup.{}.part", std::process::id())))?;
    let written = async {
        let key = if with_key { keys.text_of_file() } else { None };
        let made_at = now();
        let mut facts = Secrets::new();
        facts.insert(MADE_AT.to_owned(), Secret::new(made_at.0.to_string()));
        facts.insert(VERSION.to_owned(), Secret::new(env!("CARGO_PKG_VERSION")));
        if let Some(key) = key {
            facts.insert(KEY.to_owned(), key);
        }
        if with_key {
            for folder in FOLDERS {
                take_files(&config.data, folder, &mut facts)?;
            }
        }
        store::backup::write(&store, part.path(), &facts).await?;
        contents(&store, &facts, keys.source()).await
    };
    let written = written.await;
    store.close().await;
    let contents = written?;
    let mut file = File::open(part.path()).map_err(part.failed("read"))?;
    io::copy(&mut file, out).and_then(|_| out.flush()).map_err(part.failed("write out"))?;
    Ok(contents)
}

/// Makes a control plane of a backup, where none is. The master key is the one that is given, the one that lies in [`Config::data`], or
/// the backup's own.
///
/// # Errors
/// Any [`BackupError`]; nothing is left then but perhaps keys.
pub async fn restore(config: &Config, backup: &mut (dyn Read + Send)) -> Result<Contents, BackupError> {
    let database = database_of(config)?;
    make_private(&config.data)?;
    if let Database::Sqlite(path) = &database
        && path.exists()
    {
        return Err(BackupError::Occupied { path: path.clone() });
    }
    let part = match &database {
        // In the same directory, so that it needs only another name.
        Database::Sqlite(path) => Part::new(beside(path))?,
        Database::Postgres(_) => Part::new(config.data.join(COPY))?,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part.path())
        .map_err(part.failed("write"))?;
    io::copy(backup, &mut file).and_then(|_| file.sync_all()).map_err(part.failed("write"))?;
    drop(file);

    let backup = Backup::open(part.path()).await?;
    let facts = backup.facts().clone();
    let keys = key_for(config, &facts)?;
    let store = backup.become_database().await?;
    let restored = async {
        rewrap::check(&store, &keys).await?;
        let contents = contents(&store, &facts, keys.source()).await?;
        if config.master_key.is_none() {
            keys.keep_in(&config.data)?;
        }
        put_files(&config.data, &facts)?;
        if let Database::Postgres(_) = &database {
            store::backup::copy(&store, &database).await?;
        }
        Ok::<_, BackupError>(contents)
    };
    let restored = restored.await;
    // Closed, the file is complete without another beside it.
    store.close().await;
    let contents = restored?;
    if let Database::Sqlite(path) = &database {
        fs::rename(part.path(), path).map_err(part.failed("rename"))?;
    }
    Ok(contents)
}

fn key_for(config: &Config, facts: &Secrets) -> Result<MasterKey, BackupError> {
    if let Some(given) = &config.master_key {
        return Ok(MasterKey::given(given)?);
    }
    if config.data.join(MASTER_KEY_FILE).exists() {
        return Ok(MasterKey::open(&config.data)?);
    }
    let text = facts.get(KEY).ok_or(BackupError::NoKey)?.clone();
    let from = "the master key of the backup".to_owned();
    Ok(MasterKey::given(&GivenKey { text, from })?)
}

async fn contents(store: &Store, facts: &Secrets, key_source: String) -> Result<Contents, BackupError> {
    let made_at = facts.get(MADE_AT).and_then(|text| text.expose().parse().ok()).map_or_else(now, Timestamp);
    Ok(Contents {
        made_at,
        version: facts.get(VERSION).map(|text| text.expose().to_owned()).unwrap_or_default(),
        accounts: store::accounts::list_accounts(store).await?.len(),
        environments: store::environments::list_all(store).await?.len(),
        instances: store::instances::list_all(store).await?.len(),
        has_key: facts.contains_key(KEY),
        key_source,
    })
}

fn take_files(data: &Path, folder: &str, facts: &mut Secrets) -> Result<(), BackupError> {
    let dir = data.join(folder);
    let failed = |path: &Path| failed("read", path);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed(&dir))?,
    };
    for entry in entries {
        let path = entry.map_err(failed(&dir))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        facts.insert(format!("{FILE}{folder}/{name}"), Secret::new(text));
    }
    Ok(())
}

/// Files that are there already stay as they are: hosts may know those by now.
fn put_files(data: &Path, facts: &Secrets) -> Result<(), BackupError> {
    for (name, text) in facts {
        let Some((folder, name)) = name.strip_prefix(FILE).and_then(|name| name.split_once('/')) else {
            continue;
        };
        // Nobody else's file is written, whoever wrote the backup.
        let is_plain = FOLDERS.contains(&folder) && !name.contains('/') && !name.starts_with('.');
        if !is_plain {
            continue;
        }
        let dir = data.join(folder);
        make_private(&dir)?;
        let path = dir.join(name);
        let failed = failed("write", &path);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened.map_err(&failed)?,
        };
        file.write_all(text.expose().as_bytes()).map_err(failed)?;
    }
    Ok(())
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::File { doing, path: path.clone(), source }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(COPY);
    PathBuf::from(name)
}

/// A file that is there while it is not whole; with it goes what the database made beside it.
struct Part(PathBuf);

impl Part {
    /// What another process left under the name goes.
    fn new(path: PathBuf) -> Result<Self, BackupError> {
        let part = Self(path);
        part.remove().map_err(part.failed("remove"))?;
        Ok(part)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> BackupError + use<> {
        failed(doing, &self.0)
    }

    fn remove(&self) -> io::Result<()> {
        let (Some(dir), Some(name)) = (self.0.parent(), self.0.file_name()) else { return Ok(()) };
        let entries = match fs::read_dir(dir) {
            // Who writes there says so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(path = %self.0.display(), %error, "what was not finished could not be removed");
        }
    }
}
