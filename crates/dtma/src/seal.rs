//! Secrets at rest: XChaCha20-Poly1305 under the host's key file, with the instance's id as associated data, so that a
//! sealed text moved to another instance's file does not open.
//!
//! It knows bytes only; what is sealed is decided in [`crate::specs`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use domain::ids::InstanceId;
use zeroize::Zeroizing;

/// Before every sealed text, so that a later way of sealing can be told apart.
const PREFIX: &str = "x1.";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Seals and opens under one key.
#[derive(Clone)]
pub(crate) struct Seal(XChaCha20Poly1305);

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or made.
    #[error("the key file `{path}` cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It has another length than a key.
    #[error(
        "the key file `{0}` does not hold 32 bytes: restore it from a backup, or remove it and deploy again"
    )]
    Length(PathBuf),
}

/// Why a sealed text does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed under another key, for another instance, or changed since")]
pub(crate) struct OpenError;

impl Seal {
    /// Reads the key file, or makes it (mode 0600) when there is none.
    pub(crate) fn of_file(path: &Path) -> Result<Self, KeyError> {
        let io_error = |source| KeyError::Io { path: path.to_owned(), source };
        let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        match File::open(path) {
            Ok(file) => {
                file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key).map_err(io_error)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                key.resize(KEY_BYTES, 0);
                getrandom::fill(&mut key).map_err(|error| io_error(io::Error::other(error)))?;
                make(path, &key).map_err(io_error)?;
            }
            Err(error) => return Err(io_error(error)),
        }
        XChaCha20Poly1305::new_from_slice(&key).map(Self).map_err(|_| KeyError::Length(path.to_owned()))
    }

    /// Seals `plain` for one instance.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub(crate) fn seal(&self, instance: InstanceId, plain: &[u8]) -> io::Result<String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let payload = Payload { msg: plain, aad: instance.0.as_bytes() };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| io::Error::other("the text is too long to seal"))?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(format!("{PREFIX}{}", STANDARD_NO_PAD.encode(bytes)))
    }

    /// Opens what [`Self::seal`] made for the same instance.
    pub(crate) fn open(&self, instance: InstanceId, sealed: &str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let text = sealed.strip_prefix(PREFIX).ok_or(OpenError)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| OpenError)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        let payload = Payload { msg: sealed, aad: instance.0.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| OpenError)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(redacted)")
    }
}

/// Written beside and renamed: a key file that exists is whole.
fn make(path: &Path, key: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(key)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed_for_the_same_instance() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::of_file(&dir.path().join("key")).unwrap();
        let (one, two) = (InstanceId::generate(), InstanceId::generate());
        let sealed = seal.seal(one, b"hunter2").unwrap();

        assert_eq!(seal.open(one, &sealed).unwrap().as_slice(), b"hunter2");
        assert_eq!(seal.open(two, &sealed), Err(OpenError), "another instance");
        let mut changed = sealed.clone().into_bytes();
        let last = changed.last_mut().unwrap();
        *last = if *last == b'A' { b'Q' } else { b'A' };
        assert_eq!(seal.open(one, &String::from_utf8(changed).unwrap()), Err(OpenError), "changed");
        for broken in ["", "x1.", "x1.AAAA", "x2.AAAA", "hunter2"] {
            assert_eq!(seal.open(one, broken), Err(OpenError), "{broken:?}");
        }

        let again = Seal::of_file(&dir.path().join("key")).unwrap();
        assert_eq!(again.open(one, &sealed).unwrap().as_slice(), b"hunter2", "the key file is read again");
        let other = Seal::of_file(&dir.path().join("other")).unwrap();
        assert_eq!(other.open(one, &sealed), Err(OpenError), "another key");
    }

    #[test]
    fn the_key_file_is_private_and_its_length_is_checked() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        Seal::of_file(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for length in [0, 31, 33] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert!(matches!(Seal::of_file(&path), Err(KeyError::Length(_))), "{length} bytes");
        }
    }
}
