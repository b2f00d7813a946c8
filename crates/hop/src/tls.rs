//! TLS of a hop: who answers is proven by a certificate of a known authority, or by its key alone ([`Pin`]).
//!
//! One provider, aws-lc-rs, and HTTP/1.1. It renews nothing; it notices that certificate files were renewed.

mod files;
mod pin;
mod verify;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::OtherError;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConfigBuilder, ConfigSide, WantsVerifier, WantsVersions};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use files::Files;
pub use pin::{Pin, PinError};
pub use rustls::ServerConfig;
pub use verify::OtherKey;

/// The one protocol, as it is negotiated (RFC 7301 §6).
const ALPN: &[u8] = b"http/1.1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("`{path}` cannot be written")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}` {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("no certificate can be made for {names}")]
    Make {
        /// The names that were to stand in it.
        names: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// TLS cannot be set up, such as on a machine that knows no authority.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a server needs, which shows the certificate of `files`: read now, and anew whenever they change.
///
/// # Errors
/// [`TlsError::Read`], [`TlsError::Content`], [`TlsError::Setup`]
pub fn server_config(files: Files) -> Result<Arc<ServerConfig>, TlsError> {
    let resolver = Arc::new(files::Fresh::open(files, provider())?);
    let builder = ServerConfig::builder_with_provider(provider());
    let mut config = versions(builder)?.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // What lets a client come back with less work is kept by the client: a thousand hosts come back every few seconds.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// What a client needs. With a pin exactly the server with that key is accepted, and neither name, nor time, nor issuer of its
/// certificate are looked at; without one the machine's authorities decide.
///
/// # Errors
/// [`TlsError::Setup`]: without a pin on a machine that knows no authority.
pub fn client_config(pin: Option<&Pin>) -> Result<ClientConfig, TlsError> {
    let builder = versions(ClientConfig::builder_with_provider(provider()))?;
    let mut config = match pin {
        Some(pin) => {
            let verifier = Arc::new(verify::Pinned::new(*pin, provider()));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        None => builder.with_platform_verifier()?.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Agrees on a key with whoever has the one of `pin`. It has no name that would be looked at.
pub(crate) async fn connect(stream: TcpStream, ip: IpAddr, pin: &Pin) -> io::Result<TlsStream<TcpStream>> {
    let config = client_config(Some(pin)).map_err(io::Error::other)?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(ServerName::from(ip), stream).await;
    shaken.map_err(|error| match other_key(&error) {
        // As itself, for whoever has to say what to do.
        Some(other) => io::Error::new(io::ErrorKind::PermissionDenied, other),
        None => error,
    })
}

fn other_key(error: &io::Error) -> Option<OtherKey> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::Other(OtherError(inner)) => inner.downcast_ref::<OtherKey>().copied(),
        _ => None,
    }
}

/// Named, because a default could be another one when a dependency asks for it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn versions<S: ConfigSide>(
    builder: ConfigBuilder<S, WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, TlsError> {
    Ok(builder.with_safe_default_protocol_versions()?)
}
