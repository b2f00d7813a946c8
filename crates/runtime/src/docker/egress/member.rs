//! What the packet filter must know of each container, and of their network: on disk, so that a DTMA that starts knows
//! it without the engine.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use domain::container::Port;
use domain::egress::Egress;
use domain::ids::InstanceId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::docker::mark::{self, ContainerRecord};
use crate::error::RuntimeError;
use crate::layout::Layout;

/// The instances' network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bridge {
    /// The interface of this host.
    pub(crate) interface: String,
    /// Its address, where the resolver listens.
    pub(crate) gateway: Ipv4Addr,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The mark of the container, which is in its labels too.
    pub(crate) record: String,
    pub(crate) egress: Egress,
    /// Whether it asks the DTMA's resolver.
    pub(crate) asks: bool,
    /// What it publishes.
    pub(crate) published: Vec<Port>,
    /// Its address; absent until it was started, and without a network.
    pub(crate) address: Option<Ipv4Addr>,
    /// The interface of this host that its cable ends at.
    pub(crate) end: Option<String>,
}

/// Reads the network; `None` when there was none yet.
pub(super) fn bridge(layout: &Layout) -> Result<Option<Bridge>, RuntimeError> {
    read(&layout.network())
}

/// Keeps the network, when it is another.
pub(super) fn keep_bridge(layout: &Layout, found: &Bridge) -> Result<(), RuntimeError> {
    if bridge(layout)?.as_ref() == Some(found) {
        return Ok(());
    }
    write(&layout.network(), found)
}

/// Keeps what is known of an instance's container.
pub(super) fn keep(layout: &Layout, instance: InstanceId, member: &Member) -> Result<(), RuntimeError> {
    write(&layout.network_record(instance), member)
}

/// Forgets an instance's container; false when nothing was known.
pub(super) fn forget(layout: &Layout, instance: InstanceId) -> Result<bool, RuntimeError> {
    let path = layout.network_record(instance);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(RuntimeError::io("remove", path)(error)),
    }
}

/// What is on disk: containers, and those that were made by a DTMA which kept nothing of their network.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) members: Vec<(InstanceId, Member)>,
    pub(super) unknown: Vec<(InstanceId, ContainerRecord)>,
}

impl Found {
    /// Whether one of them may be on the network.
    pub(super) fn needs_network(&self) -> bool {
        !self.unknown.is_empty() || self.members.iter().any(|(_, member)| member.egress != Egress::None)
    }
}

/// Every instance that has a container.
pub(super) fn all(layout: &Layout) -> Result<Found, RuntimeError> {
    let mut found = Found::default();
    let instances = layout.instances();
    let entries = match fs::read_dir(&instances) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(RuntimeError::io("read", instances)(error)),
    };
    for entry in entries.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<InstanceId>().ok()) else {
            continue;
        };
        let Some(record) = mark::recorded(layout, id)? else { continue };
        match read::<Member>(&layout.network_record(id))? {
            Some(member) if member.record == record.last() => found.members.push((id, member)),
            _ => found.unknown.push((id, record)),
        }
    }
    found.members.sort_by_key(|(id, _)| *id);
    Ok(found)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RuntimeError> {
    match fs::read(path) {
        // What was half written when the host lost power is as good as nothing.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RuntimeError::io("read", path)(error)),
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), RuntimeError> {
    let text = serde_json::to_string(value).map_err(|e| RuntimeError::io("write", path)(e.into()))?;
    // In the place of the one before as a whole.
    let new = path.with_extension("new");
    mark::write(&new, &text)?;
    fs::rename(&new, path).map_err(RuntimeError::io("write", path))
}
