//! Where the DTMA's files lie. Paths only; nothing here touches the disk.

use std::path::{Path, PathBuf};

use domain::ids::InstanceId;

/// The DTMA's part of the data directory, such as `berth-data/dtma`; always absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The directory itself.
    pub data: PathBuf,
}

impl Layout {
    /// The layout of `data`, made absolute: a path in a sandbox or of a shim has no working directory to start from.
    ///
    /// # Errors
    /// When the path is empty or the working directory cannot be read.
    pub fn new(data: &Path) -> std::io::Result<Self> {
        Ok(Self { data: std::path::absolute(data)? })
    }

    /// Every instance's directory lies here.
    pub fn instances(&self) -> PathBuf {
        self.data.join("instances")
    }

    /// One instance's directory: its spec, its logs, its record of the shim.
    pub fn instance_dir(&self, id: InstanceId) -> PathBuf {
        self.instances().join(id.to_string())
    }

    /// The only directory that the instance's server can write.
    pub fn work_dir(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("work")
    }

    /// What the shim writes and reads again. In a container nothing else of the instance's directory is visible.
    pub fn state_dir(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("state")
    }

    /// Which sessions were ended; the shim's own.
    pub fn sessions(&self, id: InstanceId) -> PathBuf {
        self.state_dir(id).join("sessions")
    }

    /// What is found out of the servers of packages.
    pub fn facts(&self) -> PathBuf {
        self.data.join("facts")
    }

    /// What is found out of the servers of one package, by its digest; of what has none, of the instance's alone.
    pub fn facts_of(&self, digest: Option<&str>, id: InstanceId) -> PathBuf {
        let name = digest.map_or_else(|| id.to_string(), |digest| digest.replace(':', "-"));
        self.facts().join(name)
    }

    /// What the server wrote to standard error; the shim rotates it to `server.log.1`.
    pub fn server_log(&self, id: InstanceId) -> PathBuf {
        self.state_dir(id).join("server.log")
    }

    /// What the shim itself wrote.
    pub fn shim_log(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("shim.log")
    }

    /// Which process the instance's shim is.
    pub fn shim_record(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("shim.pid")
    }

    /// The mark and the names of the volumes that were made for the instance; there while any may exist.
    pub fn volumes_record(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("volumes")
    }

    /// The mark of the container that was last made for the instance; there while one may exist.
    pub fn container_record(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("container")
    }

    /// What the packet filter must know of that container.
    pub fn network_record(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("network")
    }

    /// Which user the instance's server runs as, when it has its own.
    pub fn uid_record(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("uid")
    }

    /// The directory of every instance's socket directory.
    pub fn sockets(&self) -> PathBuf {
        self.data.join("sockets")
    }

    /// The directory that holds one instance's socket and nothing else.
    pub fn socket_dir(&self, id: InstanceId) -> PathBuf {
        self.sockets().join(id.to_string())
    }

    /// Copies of Berth's own binary for containers, each in a directory named by its digest.
    pub fn binaries(&self) -> PathBuf {
        self.data.join("bin")
    }

    /// Which of a Docker engine's objects are this DTMA's.
    pub fn identity(&self) -> PathBuf {
        self.data.join("docker-identity")
    }

    /// Which network of the engine is this DTMA's, as the packet filter must know it.
    pub fn network(&self) -> PathBuf {
        self.data.join("docker-network")
    }

    /// A note of each image that was pulled here.
    pub fn pulled(&self) -> PathBuf {
        self.data.join("pulled")
    }

    /// The package store.
    pub fn packages(&self) -> PathBuf {
        self.data.join("packages")
    }
}
