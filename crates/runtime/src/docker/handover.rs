//! How a shim in a container learns what it must know: it connects to a socket in its mounted directory, and the one who
//! made the container writes.
//!
//! The socket is there only while a container starts. It is served once, and to the container's first process alone, so
//! nothing else on the host or in the container can ask, and nothing that is secret is on a disk, on a command line or in
//! what the engine shows.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;

use crate::error::RuntimeError;

/// The socket's name in the instance's socket directory.
pub(super) const SOCKET: &str = "config.sock";

/// A socket that waits for one shim.
#[derive(Debug)]
pub(super) struct Handover {
    directory: rustix::fd::OwnedFd,
    listener: UnixListener,
    path: PathBuf,
}

impl Handover {
    /// Listens. The directory is reached through a descriptor, which no length of path and no link disturbs.
    pub(super) fn listen(directory: &Path) -> Result<Self, RuntimeError> {
        let path = directory.join(SOCKET);
        let listen = || -> io::Result<_> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::open(directory, flags, Mode::empty())?;
            remove(&directory)?;
            let through = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
            let listener = UnixListener::bind(&through)?;
            // Whoever the container's user is; the directory above lets nobody else of this host in.
            std::fs::set_permissions(&through, std::fs::Permissions::from_mode(0o666))?;
            Ok((directory, listener))
        };
        let (directory, listener) = listen().map_err(RuntimeError::io("listen on", &path))?;
        Ok(Self { directory, listener, path })
    }

    /// Waits for the process `pid` and gives it `document`. Whoever else connects gets nothing.
    pub(super) async fn give(&self, pid: u32, document: &[u8]) -> Result<(), RuntimeError> {
        let given = async {
            loop {
                let (mut stream, _) = self.listener.accept().await?;
                let peer = stream.peer_cred()?.pid();
                if peer.and_then(|peer| u32::try_from(peer).ok()) == Some(pid) {
                    stream.write_all(document).await?;
                    return stream.shutdown().await;
                }
                tracing::warn!(peer, expected = pid, "another process asked for a shim's configuration");
            }
        };
        given.await.map_err(RuntimeError::io("give the configuration over", &self.path))
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.directory) {
            tracing::warn!(path = %self.path.display(), %error, "a socket that is over cannot be removed");
        }
    }
}

fn remove(directory: &rustix::fd::OwnedFd) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, SOCKET, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
