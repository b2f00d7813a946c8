//! A certificate and its key on disk: made when there are none, and read anew when they change.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Pin, TlsError};

/// Two PEM files: a certificate with those that its issuers have, and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate first, then those between it and an authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Files {
    /// The self-signed certificate of a directory, `cert.pem` and `key.pem`. What is missing is made, directory and files for the
    /// owner alone: a key that is there is kept, and its pin with it. `names` are those of a new certificate, DNS names and IP
    /// addresses; whoever has the pin does not look at them, nor at the time until which it is valid, which is the year 4096.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Write`], [`TlsError::Content`], [`TlsError::Make`]
    pub fn own(dir: &Path, names: &[String]) -> Result<Self, TlsError> {
        let files = Self { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
        let failed = |source| TlsError::Make { names: names.join(", "), source };
        let key = match fs::read_to_string(&files.key) {
            Ok(_) if files.certificate.exists() => return Ok(files),
            Ok(text) => KeyPair::from_pem(&text).map_err(|error| TlsError::Content {
                path: files.key.clone(),
                reason: format!("holds no private key ({error})"),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate().map_err(failed)?;
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(dir)
                    .map_err(|source| TlsError::Write { path: dir.to_owned(), source })?;
                write(&files.key, &key.serialize_pem())?;
                key
            }
            Err(source) => return Err(TlsError::Read { path: files.key, source }),
        };
        let certificate =
            CertificateParams::new(names).and_then(|params| params.self_signed(&key)).map_err(failed)?;
        write(&files.certificate, &certificate.pem())?;
        Ok(files)
    }

    /// The pin of the certificate's key.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Content`]
    pub fn pin(&self) -> Result<Pin, TlsError> {
        let chain = self.chain()?;
        let content = |reason| TlsError::Content { path: self.certificate.clone(), reason };
        let first = chain.first().ok_or_else(|| content("holds no certificate".to_owned()))?;
        Pin::of(first).map_err(|error| content(format!("holds no certificate ({error})")))
    }

    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = &self.certificate;
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let chain: Vec<_> = read.map_err(|error| failure(path, "certificate", error))?;
        if chain.is_empty() {
            return Err(failure(path, "certificate", pem::Error::NoItemsFound));
        }
        Ok(chain)
    }

    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| failure(&self.key, "private key", error))?;
        CertifiedKey::from_der(self.chain()?, key, provider).map_err(|error| TlsError::Content {
            path: self.key.clone(),
            reason: format!("does not fit `{}` ({error})", self.certificate.display()),
        })
    }

    /// What changes when one of them is written or replaced.
    fn stamp(&self) -> Option<Stamp> {
        let of = |path| {
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
        };
        Some([of(&self.certificate)?, of(&self.key)?])
    }
}

type Stamp = [(u64, u64, i64, i64); 2];

/// Shows the certificate that its files hold. Each handshake looks at them, which is two questions to the kernel; while they do
/// not fit each other, such as between the writing of one and of the other, the certificate before is shown.
#[derive(Debug)]
pub(super) struct Fresh {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    /// Of the files as they were read.
    stamp: Option<Stamp>,
    /// Of files that could not be used, so that it is said once.
    refused: Option<Stamp>,
}

impl Fresh {
    pub(super) fn open(files: Files, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        // Before they are read: what is written meanwhile is another stamp.
        let stamp = files.stamp();
        let key = Arc::new(files.load(&provider)?);
        Ok(Self { files, provider, current: Mutex::new(Current { key, stamp, refused: None }) })
    }

    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.files.stamp();
        if stamp.is_some() && stamp != current.stamp {
            match self.files.load(&self.provider) {
                Ok(key) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read anew");
                    *current = Current { key: Arc::new(key), stamp, refused: None };
                }
                Err(error) if current.refused != stamp => {
                    tracing::warn!(%error, "the new certificate cannot be used; the one before is shown");
                    current.refused = stamp;
                }
                Err(_) => {}
            }
        }
        Arc::clone(&current.key)
    }
}

impl ResolvesServerCert for Fresh {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn failure(path: &Path, what: &str, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Read { path, source },
        error => TlsError::Content { path, reason: format!("holds no {what} in PEM ({error})") },
    }
}

/// Whole or not at all, for the owner alone.
pub(super) fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    let open = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
    open()
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| TlsError::Write { path: path.to_owned(), source })
}
