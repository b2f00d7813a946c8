//! Secrets at rest, and the keys derived from the master key.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes; the row's id is associated data, so a sealed text moved to another
//! row does not open. The master key lies in a file of its own or is given, never in the database.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use domain::ids::InstanceId;
use domain::secret::{Secret, Secrets};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// The file in the control plane's directory.
pub const MASTER_KEY_FILE: &str = "master.key";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// A master key that does not lie in a file of ours.
#[derive(Debug, Clone)]
pub struct GivenKey {
    /// The key.
    pub text: Secret,
    /// Where it comes from, such as "the variable `BERTH_MASTER_KEY`".
    pub from: String,
}

/// Why the master key cannot be used, or a sealed text not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read or made.
    #[error("the master key `{}` cannot be read or made", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error(
        "the master key `{}` is damaged: restore it from a backup, without it stored secrets cannot be read",
        .path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// What was given is no key.
    #[error(
        "{from} is no master key: it is 64 hexadecimal digits, or lines of a version and 64 such digits, the oldest first"
    )]
    Given {
        /// Where it comes from.
        from: String,
    },
    /// The key is given anew with each start, so it cannot be changed here.
    #[error(
        "{from} is not changed by Berth: add a line to it there, with the next version and 64 hexadecimal digits, and start Berth again, which then seals everything anew"
    )]
    NotOurs {
        /// Where it comes from.
        from: String,
    },
    /// The key is not the one of what is stored.
    #[error("{from} is not the master key of this installation: {what}")]
    Other {
        /// Where it comes from.
        from: String,
        /// What is missing.
        what: String,
    },
    /// The system has no randomness to give.
    #[error("the system gave no random bytes")]
    Random,
    /// Sealed with another key, for another row, or changed.
    #[error("a stored secret does not open: the master key is not the one it was sealed with")]
    Sealed,
}

/// The master key, by version; new texts are sealed with the newest.
pub(crate) struct MasterKey {
    known: ArcSwap<Keys>,
    /// Where the file lies, when it is one of ours.
    dir: Option<PathBuf>,
    source: String,
}

/// Version and key, oldest first; never empty.
struct Keys {
    all: Vec<(u32, [u8; KEY_BYTES])>,
    /// The file as it was when it was read.
    stamp: Option<Stamp>,
}

/// What changes with a file: it is replaced, never written to.
type Stamp = (u64, i64, i64);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey(redacted, of {})", self.source)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        for (_, key) in &mut self.all {
            zeroize::Zeroize::zeroize(key);
        }
    }
}

impl Keys {
    /// `VERSION HEX`, one a line; the versions grow.
    fn parse(text: &str, stamp: Option<Stamp>) -> Option<Self> {
        let lines = text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty());
        let all = lines
            .map(|line| {
                let (version, key) = line.split_once(' ')?;
                Some((version.parse().ok()?, unhex(key.trim())?))
            })
            .collect::<Option<Vec<(u32, _)>>>()?;
        // Made before anything can fail, so that what was read is wiped.
        let keys = Self { all, stamp };
        let grow = keys.all.windows(2).all(|two| two[0].0 < two[1].0);
        (!keys.all.is_empty() && grow).then_some(keys)
    }

    fn text(&self) -> Secret {
        let lines = self.all.iter().map(|(version, key)| format!("{version} {}\n", hex(key)));
        Secret::new(lines.collect::<String>())
    }

    fn newest(&self) -> &(u32, [u8; KEY_BYTES]) {
        &self.all[self.all.len() - 1]
    }
}

impl MasterKey {
    /// Reads the key of `dir`, or makes one (mode 0600) when there is none. A file that is replaced later is read again.
    ///
    /// # Errors
    /// [`SecretsError::File`] and [`SecretsError::Damaged`].
    pub(crate) fn open(dir: &Path) -> Result<Self, SecretsError> {
        let path = dir.join(MASTER_KEY_FILE);
        let keys = match read(&path) {
            Err(SecretsError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let text = Secret::new(format!("1 {}\n", hex(&random::<KEY_BYTES>()?)));
                match create(dir, &path, text.expose()) {
                    Ok(()) => read(&path)?,
                    // Another process was first: its key is the key.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(&path)?,
                    Err(source) => return Err(SecretsError::File { path, source }),
                }
            }
            read => read?,
        };
        let source = format!("the file `{}`", path.display());
        Ok(Self { known: ArcSwap::from_pointee(keys), dir: Some(dir.to_owned()), source })
    }

    /// Takes a key that does not lie in a file of ours: lines as in one, or one key of 64 hexadecimal digits alone.
    ///
    /// # Errors
    /// [`SecretsError::Given`].
    pub(crate) fn given(given: &GivenKey) -> Result<Self, SecretsError> {
        let text = given.text.expose().trim();
        let whole = if text.contains(' ') { Secret::new(text) } else { Secret::new(format!("1 {text}")) };
        let keys = Keys::parse(whole.expose(), None)
            .ok_or_else(|| SecretsError::Given { from: given.from.clone() })?;
        Ok(Self { known: ArcSwap::from_pointee(keys), dir: None, source: given.from.clone() })
    }

    /// All of it, as a file of ours has it; `None` when it does not lie in one.
    pub(crate) fn text_of_file(&self) -> Option<Secret> {
        self.dir.as_ref().map(|_| self.current().text())
    }

    /// Writes the key into a file of ours in `dir` (mode 0600), where there is none yet.
    ///
    /// # Errors
    /// [`SecretsError::File`].
    pub(crate) fn keep_in(&self, dir: &Path) -> Result<(), SecretsError> {
        let path = dir.join(MASTER_KEY_FILE);
        match create(dir, &path, self.current().text().expose()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(SecretsError::File { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Where it comes from.
    pub(crate) fn source(&self) -> String {
        self.source.clone()
    }

    /// Its versions, oldest first.
    pub(crate) fn versions(&self) -> Vec<u32> {
        self.current().all.iter().map(|(version, _)| *version).collect()
    }

    /// The version that new texts are sealed with.
    pub(crate) fn newest_version(&self) -> u32 {
        self.current().newest().0
    }

    /// The keys as they are now: another process may have added one, and what it seals must open here.
    fn current(&self) -> Arc<Keys> {
        let known = self.known.load_full();
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(MASTER_KEY_FILE)) else { return known };
        let now = fs::metadata(&path).map(|metadata| stamp(&metadata)).ok();
        if now.is_none() || now == known.stamp {
            return known;
        }
        match read(&path) {
            // Keys of instances are derived from the oldest, so a file with another one is not this installation's.
            Ok(keys) if keys.all[0] == known.all[0] => {
                self.known.store(Arc::new(keys));
                self.known.load_full()
            }
            Ok(_) => {
                tracing::error!(path = %path.display(), "the master key was replaced by another one: the known one stays in use");
                known
            }
            Err(error) => {
                tracing::error!(%error, "the master key was changed and cannot be read: the known one stays in use");
                known
            }
        }
    }

    /// Adds a version, with which everything is sealed from now on, by whichever process.
    ///
    /// # Errors
    /// [`SecretsError::NotOurs`] when it does not lie in a file of ours, [`SecretsError::File`].
    pub(crate) fn add_version(&self) -> Result<u32, SecretsError> {
        let random = random::<KEY_BYTES>()?;
        self.change(|keys| {
            let version = keys.newest().0 + 1;
            keys.all.push((version, random));
            version
        })
    }

    /// Lets go of versions that nothing is sealed with; never of the oldest, from which the keys of instances are derived, nor of the
    /// newest. Whether they were in a file of ours; otherwise nothing is done.
    ///
    /// # Errors
    /// [`SecretsError::File`].
    pub(crate) fn drop_versions(&self, unused: &[u32]) -> Result<bool, SecretsError> {
        if self.dir.is_none() {
            return Ok(false);
        }
        self.change(|keys| {
            let (oldest, newest) = (keys.all[0].0, keys.newest().0);
            keys.all
                .retain(|(version, _)| *version == oldest || *version == newest || !unused.contains(version));
        })?;
        Ok(true)
    }

    /// Replaces the file, while no other process does.
    fn change<T>(&self, change: impl FnOnce(&mut Keys) -> T) -> Result<T, SecretsError> {
        let Some(dir) = &self.dir else { return Err(SecretsError::NotOurs { from: self.source.clone() }) };
        let path = dir.join(MASTER_KEY_FILE);
        let failed = |source| SecretsError::File { path: path.clone(), source };
        // The directory itself is what is locked: the file goes.
        let lock = fs::File::open(dir).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut keys = read(&path)?;
        let done = change(&mut keys);
        let scratch = dir.join(format!("{MASTER_KEY_FILE}.{}", Uuid::now_v7()));
        let written = write_whole(&scratch, keys.text().expose()).and_then(|()| fs::rename(&scratch, &path));
        if written.is_err() {
            let _ = fs::remove_file(&scratch);
        }
        written.and_then(|()| fs::File::open(dir)?.sync_all()).map_err(failed)?;
        Ok(done)
    }

    /// Seals `text` for the row `row`: `VERSION.BASE64(nonce ‖ ciphertext)`.
    ///
    /// # Errors
    /// [`SecretsError::Random`].
    pub(crate) fn seal(&self, row: Uuid, text: &str) -> Result<String, SecretsError> {
        let keys = self.current();
        let (version, key) = keys.newest();
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: text.as_bytes(), aad: row.as_bytes() };
        let sealed = XChaCha20Poly1305::new(key.into())
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SecretsError::Sealed)?;
        let mut whole = nonce.to_vec();
        whole.extend_from_slice(&sealed);
        Ok(format!("{version}.{}", BASE64.encode(whole)))
    }

    /// Opens what [`MasterKey::seal`] made for the same row.
    ///
    /// # Errors
    /// [`SecretsError::Sealed`].
    pub(crate) fn unseal(&self, row: Uuid, sealed: &str) -> Result<Secret, SecretsError> {
        let open = || {
            let (version, rest) = sealed.split_once('.')?;
            let version: u32 = version.parse().ok()?;
            let mut keys = self.known.load_full();
            if keys.all.iter().all(|(known, _)| *known != version) {
                keys = self.current();
            }
            let (_, key) = keys.all.iter().find(|(v, _)| *v == version)?;
            let whole = BASE64.decode(rest).ok()?;
            let (nonce, text) = whole.split_at_checked(NONCE_BYTES)?;
            let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
            let payload = Payload { msg: text, aad: row.as_bytes() };
            let text = XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(nonce), payload).ok()?;
            String::from_utf8(text).ok()
        };
        open().map(Secret::new).ok_or(SecretsError::Sealed)
    }

    /// Seals a map of secrets; `None` when there is none.
    ///
    /// # Errors
    /// As [`MasterKey::seal`].
    pub(crate) fn seal_all(&self, row: Uuid, secrets: &Secrets) -> Result<Option<String>, SecretsError> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let exposed: std::collections::BTreeMap<&str, &str> =
            secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let text = Secret::new(serde_json::to_string(&exposed).map_err(|_| SecretsError::Sealed)?);
        self.seal(row, text.expose()).map(Some)
    }

    /// Opens what [`MasterKey::seal_all`] made.
    ///
    /// # Errors
    /// [`SecretsError::Sealed`].
    pub(crate) fn unseal_all(&self, row: Uuid, sealed: Option<&str>) -> Result<Secrets, SecretsError> {
        let Some(sealed) = sealed else { return Ok(Secrets::new()) };
        let text = self.unseal(row, sealed)?;
        serde_json::from_str(text.expose()).map_err(|_| SecretsError::Sealed)
    }

    /// The key between the gateway and one instance's shim: HMAC-SHA256(master, `instance-key` ‖ id), in hex.
    ///
    /// It is derived from the oldest version: a new master key version must not lock running shims out.
    pub(crate) fn instance_key(&self, instance: InstanceId) -> Secret {
        let keys = self.known.load();
        let (_, key) = &keys.all[0];
        // HMAC takes keys of any length (RFC 2104 §2), so this cannot fail; an empty key would be refused by the shim.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Secret::new("") };
        mac.update(b"instance-key");
        mac.update(instance.0.as_bytes());
        Secret::new(hex(&mac.finalize().into_bytes()))
    }
}

/// Random bytes from the system.
///
/// # Errors
/// [`SecretsError::Random`].
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SecretsError::Random)?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(key)
}

fn read(path: &Path) -> Result<Keys, SecretsError> {
    let failed = |source| SecretsError::File { path: path.to_owned(), source };
    // Asked before: a file that is replaced in between is read again, rather than never.
    let stamp = stamp(&fs::metadata(path).map_err(failed)?);
    let text = Secret::new(fs::read_to_string(path).map_err(failed)?);
    Keys::parse(text.expose(), Some(stamp)).ok_or_else(|| SecretsError::Damaged { path: path.to_owned() })
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The key appears under its name only when it is whole on the disk.
fn create(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    let scratch = dir.join(format!("{MASTER_KEY_FILE}.{}", Uuid::now_v7()));
    let write = || {
        write_whole(&scratch, text)?;
        // A link refuses to replace what is there, a rename would not.
        fs::hard_link(&scratch, path)?;
        fs::File::open(dir)?.sync_all()
    };
    let written = write();
    let removed = fs::remove_file(&scratch);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(dir: &Path) -> MasterKey {
        MasterKey::open(dir).expect("a key")
    }

    #[test]
    fn seals_for_one_row_and_one_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let other = tempfile::tempdir().expect("a directory");
        let (row, key_one) = (Uuid::now_v7(), key(dir.path()));
        let sealed = key_one.seal(row, "hunter2").expect("sealed");
        assert!(!sealed.contains("hunter2"));
        assert_eq!(key(dir.path()).unseal(row, &sealed).expect("opens again").expose(), "hunter2");
        assert!(key_one.unseal(Uuid::now_v7(), &sealed).is_err(), "another row");
        assert!(key(other.path()).unseal(row, &sealed).is_err(), "another key");
        assert!(key_one.unseal(row, &sealed[..sealed.len() - 2]).is_err(), "cut short");
        assert!(key_one.unseal(row, "").is_err());
        assert_ne!(key_one.seal(row, "hunter2").expect("sealed"), sealed, "a nonce is never used twice");
    }

    #[test]
    fn the_key_is_private_and_a_damaged_one_is_not_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        key(dir.path());
        let path = dir.path().join(MASTER_KEY_FILE);
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 1, "no scratch file is left");
        fs::write(&path, "1 abc\n").expect("damage");
        assert!(matches!(MasterKey::open(dir.path()), Err(SecretsError::Damaged { .. })));
        assert_eq!(fs::read_to_string(&path).expect("the file"), "1 abc\n");
    }

    #[test]
    fn instance_keys_differ_and_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (InstanceId::generate(), InstanceId::generate());
        let one = key(dir.path());
        assert_eq!(one.instance_key(a), key(dir.path()).instance_key(a));
        assert_ne!(one.instance_key(a), one.instance_key(b));
        assert_eq!(one.instance_key(a).expose().len(), 64);
    }
}
