//! A certificate that an authority gives for the key of a self-signed one. Until it is there, and when it is damaged, the self-signed one
//! is shown; the key stays the same, and so does the pin. It asks no authority for anything: that is its owner's affair.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::files::{Fresh, write};
use super::{ALPN, Files, TlsError, provider, versions};

/// The protocol of an authority that looks whether the key of a name is here (RFC 8737 §4).
const CHALLENGE: &[u8] = b"acme-tls/1";

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Its first second.
    pub begins: SystemTime,
    /// Its last second.
    pub ends: SystemTime,
}

impl Lifetime {
    /// When it is to be renewed: after two thirds of its life.
    pub fn renewal(&self) -> SystemTime {
        self.begins + self.ends.duration_since(self.begins).unwrap_or_default() * 2 / 3
    }
}

/// What is shown to callers.
#[derive(Debug)]
pub struct Obtained {
    own: Fresh,
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Mutex<Option<Arc<Fresh>>>,
    challenges: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Obtained {
    /// `own` is the self-signed one, `certificate` the file of the other, which may not be there yet.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Content`]: of the self-signed one.
    pub fn open(own: Files, certificate: PathBuf) -> Result<Self, TlsError> {
        let files = Files { certificate, key: own.key.clone() };
        Ok(Self {
            own: Fresh::open(own, provider())?,
            files,
            provider: provider(),
            current: Mutex::default(),
            challenges: Mutex::default(),
        })
    }

    /// The lifetime of the certificate that an authority gave; `None` when there is none for this name and key.
    pub fn lifetime(&self, name: &str) -> Option<Lifetime> {
        self.fresh()?;
        let chain = self.files.chain().ok()?;
        lifetime(chain.first()?, name)
    }

    /// What an authority is asked to sign for a name: DER (PKCS #10).
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Content`], [`TlsError::Make`]
    pub fn request(&self, name: &str) -> Result<Vec<u8>, TlsError> {
        let path = self.files.key.clone();
        let text =
            fs::read_to_string(&path).map_err(|source| TlsError::Read { path: path.clone(), source })?;
        let key = KeyPair::from_pem(&text)
            .map_err(|error| TlsError::Content { path, reason: format!("holds no private key ({error})") })?;
        let made = params(name).and_then(|params| params.serialize_request(&key));
        Ok(made.map_err(failed(name))?.der().to_vec())
    }

    /// Keeps what an authority gave, in PEM, and shows it from now on. What does not fit the key or the name is refused, and what was
    /// shown before stays.
    ///
    /// # Errors
    /// [`TlsError::Write`], [`TlsError::Content`]
    pub fn keep(&self, name: &str, chain: &str) -> Result<Lifetime, TlsError> {
        let beside =
            Files { certificate: self.files.certificate.with_extension("given"), ..self.files.clone() };
        write(&beside.certificate, chain)?;
        let fits = beside.load(&self.provider).and_then(|key| {
            let content = |reason: &str| TlsError::Content {
                path: beside.certificate.clone(),
                reason: reason.to_owned(),
            };
            key.cert
                .first()
                .and_then(|first| lifetime(first, name))
                .ok_or_else(|| content("is for another name"))
        });
        let lifetime = match fits {
            Ok(lifetime) => lifetime,
            Err(error) => {
                remove(&beside.certificate);
                return Err(error);
            }
        };
        let path = &self.files.certificate;
        fs::rename(&beside.certificate, path)
            .map_err(|source| TlsError::Write { path: path.clone(), source })?;
        Ok(lifetime)
    }

    /// Shows an authority that asks for `name` what proves it: the digest of the key authorization (RFC 8737 §3). Until
    /// [`Self::end_challenge`].
    ///
    /// # Errors
    /// [`TlsError::Make`], [`TlsError::Setup`]
    pub fn challenge(&self, name: &str, digest: &[u8]) -> Result<(), TlsError> {
        let made = KeyPair::generate().and_then(|key| {
            let mut params = params(name)?;
            params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
            Ok((params.self_signed(&key)?, key))
        });
        let (certificate, key) = made.map_err(failed(name))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Not compared with the certificate, whose extension is critical and nothing that a caller of ours would know.
        let key = self.provider.key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        self.challenges().insert(name.to_ascii_lowercase(), Arc::new(certified));
        Ok(())
    }

    /// Shows it no longer.
    pub fn end_challenge(&self, name: &str) {
        self.challenges().remove(&name.to_ascii_lowercase());
    }

    fn challenges(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate of the authority, once it is there.
    fn fresh(&self) -> Option<Arc<Fresh>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_none() && self.files.certificate.exists() {
            // A damaged one is as one that is not there: another is asked for.
            *current = Fresh::open(self.files.clone(), Arc::clone(&self.provider)).ok().map(Arc::new);
        }
        current.clone()
    }
}

impl ResolvesServerCert for Obtained {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut asked| asked.next() == Some(CHALLENGE) && asked.next().is_none()) {
            return self.challenges().get(&hello.server_name()?.to_ascii_lowercase()).cloned();
        }
        Some(self.fresh().map_or_else(|| self.own.current(), |fresh| fresh.current()))
    }
}

/// What a server needs that shows what an authority gave.
///
/// # Errors
/// [`TlsError::Setup`]
pub fn obtained_config(obtained: Arc<Obtained>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider());
    let mut config = versions(builder)?.with_no_client_auth().with_cert_resolver(obtained);
    config.alpn_protocols = vec![ALPN.to_vec(), CHALLENGE.to_vec()];
    Ok(Arc::new(config))
}

fn params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

fn failed(name: &str) -> impl Fn(rcgen::Error) -> TlsError {
    let names = name.to_owned();
    move |source| TlsError::Make { names: names.clone(), source }
}

/// Of a certificate for this name.
fn lifetime(certificate: &CertificateDer<'_>, name: &str) -> Option<Lifetime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let covers = |given: &GeneralName<'_>| matches!(given, GeneralName::DNSName(given) if given.eq_ignore_ascii_case(name));
    if !names.value.general_names.iter().any(covers) {
        return None;
    }
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let validity = certificate.validity();
    Some(Lifetime { begins: at(validity.not_before.timestamp()), ends: at(validity.not_after.timestamp()) })
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a certificate that was refused could not be removed");
    }
}
