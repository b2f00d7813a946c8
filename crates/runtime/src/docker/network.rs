//! The network of instances that may reach others: a bridge of this DTMA's own, on which containers do not see each other.

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use bollard::models::{
    ContainerInspectResponse, NetworkCreateRequest, NetworkDisconnectRequest, NetworkInspect,
};
use bollard::query_parameters::{InspectContainerOptions, InspectNetworkOptions};
use domain::egress::Egress;
use domain::ids::InstanceId;
use domain::spec::InstanceSpec;
use rustix::net::{AddressFamily, SocketType, netdevice};

use super::egress::{Bridge, Member};
use super::engine::{LOOK, WORK};
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;

/// The option of the engine that names a bridge's interface.
const INTERFACE: &str = "com.docker.network.bridge.name";

/// What a container's network is to be.
#[derive(Debug)]
pub(super) struct Network {
    /// As the engine calls it.
    pub(super) mode: String,
    /// The resolver that it asks; absent: the engine's choice.
    pub(super) resolver: Option<Ipv4Addr>,
}

impl DockerRuntime {
    /// The network of an instance's container, which is there and guarded afterwards.
    pub(super) async fn network_of(&self, spec: &InstanceSpec) -> Result<Network, RuntimeError> {
        let egress = spec.launch.egress.clone().unwrap_or_default();
        if egress == Egress::None {
            return Ok(Network { mode: "none".to_owned(), resolver: None });
        }
        let bridge = self.bridge().await?;
        let asks = self.filter.prepare(&egress, &bridge).await?;
        Ok(Network { mode: self.network_name(), resolver: asks.then_some(bridge.gateway) })
    }

    /// The name of the network that this DTMA's instances share.
    pub(super) fn network_name(&self) -> String {
        format!("berth-{}", &self.identity[..12])
    }

    async fn bridge(&self) -> Result<Bridge, RuntimeError> {
        let name = self.network_name();
        let _one_at_a_time = self.network.lock().await;
        self.has_no_network.store(false, Ordering::Relaxed);
        if let Some(found) = self.find_network().await? {
            return bridge_of(&found);
        }
        let options = [
            ("com.docker.network.bridge.enable_icc", "false".to_owned()),
            // Known beforehand and the same again, whatever the engine makes anew. 15 letters, which is as long as may be.
            (INTERFACE, format!("br-{}", &self.identity[..12])),
        ];
        let request = NetworkCreateRequest {
            name,
            driver: Some("bridge".to_owned()),
            // Whatever the engine's default is: what is guarded is IPv4.
            enable_ipv6: Some(false),
            options: Some(options.map(|(name, value)| (name.to_owned(), value)).into()),
            labels: Some(mark::shared_labels(&self.identity)),
            ..NetworkCreateRequest::default()
        };
        let made = self
            .engine
            .ask("make the network", WORK, |docker| async move { docker.create_network(request).await })
            .await;
        match made {
            // Made by the start of another instance meanwhile.
            Ok(_) | Err(RuntimeError::Engine { status: 409, .. }) => {}
            Err(error) => return Err(error),
        }
        let found = self.find_network().await?;
        bridge_of(&found.ok_or_else(|| unfit("it is gone again"))?)
    }

    /// An engine that was killed while it started a container may keep the end of its cable, and refuse every later container of that
    /// name for it: then that end is taken away, by force, and the next start goes well.
    pub(super) async fn free_endpoint(&self, instance: InstanceId, error: &RuntimeError) {
        let RuntimeError::Engine { detail, .. } = error else { return };
        if !(detail.contains("endpoint with name") && detail.contains("already exists")) {
            return;
        }
        let (network, name) = (self.network_name(), mark::name(instance));
        let taken = self
            .engine
            .ask("take a container off the network", WORK, |docker| async move {
                let request = NetworkDisconnectRequest { container: name, force: Some(true) };
                docker.disconnect_network(&network, request).await
            })
            .await;
        if let Err(error) = taken {
            tracing::warn!(%instance, %error, "what the engine kept of an earlier container could not be taken off the network");
        }
    }

    /// Removes the network when no container of ours needs it. It is made again with the next that does.
    pub(super) async fn drop_network(&self) -> Result<(), RuntimeError> {
        if self.has_no_network.load(Ordering::Relaxed) || self.filter.has_members()? {
            return Ok(());
        }
        // A container that is being started may have looked at it already.
        let Ok(_alone) = self.starting.try_write() else { return Ok(()) };
        if let Some(found) = self.find_network().await? {
            let labels = found.labels.unwrap_or_default();
            let is_ours = mark::shared_labels(&self.identity)
                .iter()
                .all(|(label, value)| labels.get(label) == Some(value));
            let is_busy = found.containers.is_some_and(|containers| !containers.is_empty());
            if is_ours && is_busy {
                return Ok(());
            }
            if is_ours {
                let name = self.network_name();
                let removing = self.engine.find("remove the network", WORK, |docker| async move {
                    docker.remove_network(&name).await
                });
                removing.await?;
            }
        }
        self.has_no_network.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn find_network(&self) -> Result<Option<NetworkInspect>, RuntimeError> {
        let name = self.network_name();
        self.engine
            .find("look at the network", LOOK, |docker| async move {
                docker.inspect_network(&name, None::<InspectNetworkOptions>).await
            })
            .await
    }

    /// What is known of a container before it is made: from here on nobody takes it for one of before.
    pub(super) fn note_network(
        &self,
        spec: &InstanceSpec,
        network: &Network,
    ) -> Result<Member, RuntimeError> {
        let record =
            mark::recorded(&self.layout, spec.id)?.ok_or_else(|| unfit("its container's mark is gone"))?;
        let member = Member {
            record: record.last().to_owned(),
            egress: spec.launch.egress.clone().unwrap_or_default(),
            asks: network.resolver.is_some(),
            published: spec
                .launch
                .container
                .as_ref()
                .map(|container| container.ports.clone())
                .unwrap_or_default(),
            address: None,
            end: None,
        };
        self.filter.keep_member(spec.id, &member)?;
        Ok(member)
    }

    /// Lets a container that was started reach what it may.
    pub(super) async fn admit(
        &self,
        instance: InstanceId,
        mut member: Member,
        found: &ContainerInspectResponse,
    ) -> Result<(), RuntimeError> {
        self.place(&mut member, found);
        if member.address.is_none() {
            return Ok(());
        }
        self.filter.admit(instance, &member).await
    }

    /// Where a container is on the network.
    fn place(&self, member: &mut Member, found: &ContainerInspectResponse) {
        let networks = found.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let endpoint = networks.and_then(|networks| networks.get(&self.network_name()));
        member.address = endpoint.and_then(|endpoint| endpoint.ip_address.as_ref()?.parse().ok());
        let pid = found.state.as_ref().and_then(|state| state.pid);
        member.end = pid.and_then(end_of_cable);
    }

    /// Finds out what is to be known of containers that were made by a DTMA which did not guard their network.
    pub(super) async fn know_older(&self) -> Result<(), RuntimeError> {
        for (instance, record) in self.filter.unknown()? {
            let name = mark::name(instance);
            let found = self
                .engine
                .find("look at the container", LOOK, |docker| async move {
                    docker.inspect_container(&name, None::<InspectContainerOptions>).await
                })
                .await?;
            let Some(found) = found else { continue };
            let labels = found.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
            let name = found.name.as_deref().unwrap_or_default();
            if !mark::is_ours(instance, &self.identity, &record, name, &labels) {
                continue;
            }
            let mode = found.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
            let egress = if mode == Some("none") { Egress::None } else { Egress::Open };
            if let (Egress::Open, Some(network)) = (&egress, self.find_network().await?) {
                self.filter.prepare(&egress, &bridge_of(&network)?).await?;
            }
            let mut member = Member {
                record: record.last().to_owned(),
                egress,
                asks: false,
                published: Vec::new(),
                address: None,
                end: None,
            };
            self.place(&mut member, &found);
            self.filter.keep_member(instance, &member)?;
        }
        Ok(())
    }
}

/// The interface of a network and its address.
fn bridge_of(network: &NetworkInspect) -> Result<Bridge, RuntimeError> {
    let named = network.options.as_ref().and_then(|options: &HashMap<_, _>| options.get(INTERFACE).cloned());
    let by_id = || network.id.as_ref().map(|id| format!("br-{}", id.get(..12).unwrap_or(id)));
    let interface = named.or_else(by_id).ok_or_else(|| unfit("it has no interface"))?;
    // The name is put into the packet filter's rules.
    if interface.is_empty() || !interface.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(unfit("its interface has a name that cannot be used"));
    }
    let mut configs = network.ipam.iter().flat_map(|ipam| ipam.config.iter().flatten());
    let gateway = configs.find_map(|config| {
        let address = config.gateway.as_ref()?;
        address.split_once('/').map_or(address.as_str(), |(address, _)| address).parse().ok()
    });
    Ok(Bridge { interface, gateway: gateway.ok_or_else(|| unfit("it has no IPv4 address on this host"))? })
}

fn unfit(detail: &str) -> RuntimeError {
    RuntimeError::Engine { action: "make the network", status: 500, detail: detail.to_owned() }
}

/// The interface on this host that a container's only cable ends at. While its first process is the shim, what lies in its
/// `/sys` is the kernel's.
fn end_of_cable(pid: i64) -> Option<String> {
    let index = fs::read_to_string(format!("/proc/{pid}/root/sys/class/net/eth0/iflink")).ok()?;
    let index = index.trim().parse().ok()?;
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    let name = netdevice::index_to_name(&socket, index).ok()?;
    name.starts_with("veth").then_some(name)
}

/// An interface's number, when this process sees it.
pub(super) fn index_of(interface: &str) -> Option<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, interface).ok()
}
