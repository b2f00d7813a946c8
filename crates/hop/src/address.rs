//! Where a hop goes, and how its sockets are opened.
//!
//! A unix socket is named by a directory and a file in it. The directory is opened without following a link and the
//! socket is reached through `/proc/self/fd/N/file`: the kernel's limit of 108 bytes on socket paths does not apply,
//! and whoever can write in the directory cannot lead us elsewhere by swapping the directory for a link.

use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::tls;

/// A host that has not taken a connection by then is away.
const CONNECT: Duration = Duration::from_secs(5);
/// A host that has acknowledged nothing for so long is away, however long an answer may take: hosts acknowledge what they
/// get and what asks whether they are there, servers need not.
const SILENCE: Duration = Duration::from_secs(10);

/// Where a hop goes.
#[derive(Debug, Clone, Eq)]
pub enum Address {
    /// A unix socket of this host.
    Unix {
        /// The directory that holds it.
        dir: PathBuf,
        /// Its name in the directory.
        file: String,
    },
    /// A TCP address.
    Tcp(SocketAddr),
    /// A TCP address where HTTP/2 is spoken from the first byte (RFC 9113 §3.3).
    Http2(SocketAddr),
    /// A TCP address where HTTP/1.1 is spoken over TLS, by whoever has this key.
    Tls(SocketAddr, tls::Pin),
    /// The connection that a host has opened to us, by the id under which it was attached
    /// ([`crate::pool::Pool::attach`]); HTTP/2 is spoken on it.
    Tunnel(u128),
}

/// Byte by byte: a path compares component by component, which would be paid for by every call. Two spellings of one
/// directory are two addresses, with a connection of their own each.
impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { dir, file }, Self::Unix { dir: other_dir, file: other_file }) => {
                dir.as_os_str() == other_dir.as_os_str() && file == other_file
            }
            (Self::Tcp(address), Self::Tcp(other)) | (Self::Http2(address), Self::Http2(other)) => {
                address == other
            }
            (Self::Tls(address, pin), Self::Tls(other, other_pin)) => address == other && pin == other_pin,
            (Self::Tunnel(id), Self::Tunnel(other)) => id == other,
            _ => false,
        }
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Unix { dir, file } => {
                dir.as_os_str().hash(state);
                file.hash(state);
            }
            // The kinds are not told apart by their hash: nobody has two of one address.
            Self::Tcp(address) | Self::Http2(address) | Self::Tls(address, _) => address.hash(state),
            Self::Tunnel(id) => id.hash(state),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { dir, file } => write!(f, "unix:{}", dir.join(file).display()),
            Self::Tcp(address) | Self::Http2(address) | Self::Tls(address, _) => address.fmt(f),
            Self::Tunnel(_) => f.write_str("its tunnel"),
        }
    }
}

/// Listens on `dir/file`, mode 0600. A socket that an ended process left there is replaced; anything else is not.
///
/// # Errors
/// `AddrInUse` when something that is no socket has the name; otherwise what the kernel says.
pub fn bind_unix(dir: &Path, file: &str) -> io::Result<UnixListener> {
    let handle = open_dir(dir)?;
    match rustix::fs::statat(&handle, file, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => {
            rustix::fs::unlinkat(&handle, file, AtFlags::empty())?;
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "a file that is no socket has the name"));
        }
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(through(&handle, file))?;
    rustix::fs::chmodat(&handle, file, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
    Ok(listener)
}

pub(crate) async fn connect_unix(dir: &Path, file: &str) -> io::Result<UnixStream> {
    let handle = open_dir(dir)?;
    let stat = rustix::fs::statat(&handle, file, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "not a socket"));
    }
    UnixStream::connect(through(&handle, file)).await
}

/// `TCP_NODELAY` is set: without it a small message waits for the acknowledgement of the one before. A host that is cut off
/// says nothing, so its connections end after [`SILENCE`], those that wait for an answer and those that nobody uses alike.
pub(crate) async fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nothing answers there");
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)??;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, SILENCE / 2)?;
    sockopt::set_tcp_keepintvl(&stream, SILENCE / 4)?;
    sockopt::set_tcp_user_timeout(&stream, u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))?;
    Ok(stream)
}

/// As [`connect_tcp`], to whoever has the key.
pub(crate) async fn connect_tls(address: SocketAddr, pin: &tls::Pin) -> io::Result<TlsStream<TcpStream>> {
    let stream = connect_tcp(address).await?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not agree on a key");
    tokio::time::timeout(CONNECT, tls::connect(stream, address.ip(), pin)).await.map_err(late)?
}

fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::empty())?)
}

fn through(dir: &OwnedFd, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{file}", dir.as_raw_fd()))
}
