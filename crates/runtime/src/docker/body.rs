//! What the engine is asked to make: one container, from an instance's spec. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding,
    PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use domain::container::{Profile, Protocol};
use domain::egress::Egress;
use domain::spec::InstanceSpec;
use domain::status::Confinement;

use super::handover;
use super::network::Network;
use crate::config::{OPEN_FILES, PROCESSES};
use crate::error::RuntimeError;
use crate::process::text;

/// Where the binary is in a container.
const BINARY: &str = "/berth/berth";
/// Where the socket directory is.
pub(super) const SOCKETS: &str = "/berth/socket";
/// Where the shim's state is.
pub(super) const STATE: &str = "/berth/state";
/// Where the instance's own writable directory is.
pub(super) const WORK: &str = "/berth/work";

/// MiB of memory, when nobody says how much.
const MEMORY_MIB: u64 = 1024;
/// Less is not enough for the shim and any server; the engine itself refuses less than 6.
const LEAST_MEMORY_MIB: u64 = 16;
/// Fewer processes are not enough for the shim and any server.
const FEWEST_PROCESSES: u64 = 8;
/// Thousandths of a core, when nobody says how many: two cores.
const CPU_MILLICORES: u64 = 2000;
/// The engine takes no less.
const LEAST_CPU_MILLICORES: u64 = 10;
/// What the engine counts in.
const NANO_OF_MILLI: i64 = 1_000_000;
/// What is written to `/tmp` counts as memory.
const TMP: &str = "rw,nosuid,nodev,mode=1777,size=256m";
/// What the shim itself writes is little.
const LOG_SIZE: &str = "1m";

/// Refuses what cannot be kept, and limits under which nothing can run, before anything is made.
pub(super) fn check(spec: &InstanceSpec) -> Result<(), RuntimeError> {
    let least = [
        ("memory_mib", spec.limits.memory_mib, LEAST_MEMORY_MIB),
        ("cpu_millicores", spec.limits.cpu_millicores, LEAST_CPU_MILLICORES),
        ("processes", spec.limits.processes, FEWEST_PROCESSES),
    ];
    for (limit, given, least) in least {
        if let Some(given) = given.filter(|given| *given < least) {
            return Err(RuntimeError::LimitTooLow { limit, given, least });
        }
    }
    let publishes = spec.launch.container.as_ref().is_some_and(|container| !container.ports.is_empty());
    match spec.launch.egress {
        // The engine publishes nothing of a container without a network, and says nothing about it.
        Some(Egress::None) if publishes => Err(RuntimeError::NoNetwork),
        _ => Ok(()),
    }
}

/// How much an instance may do.
pub(super) fn profile(spec: &InstanceSpec) -> Profile {
    let otherwise = if spec.launch.container.is_some() { Profile::Standard } else { Profile::Strict };
    spec.launch.profile.unwrap_or(otherwise)
}

/// What the body enforces, for people.
pub(super) fn confinement(spec: &InstanceSpec) -> Confinement {
    let limits = &spec.limits;
    Confinement {
        runtime: "docker".to_owned(),
        profile: Some(profile(spec)),
        egress: Some(spec.launch.egress.clone().unwrap_or_default()),
        memory_mib: Some(limits.memory_mib.unwrap_or(MEMORY_MIB)),
        processes: limits.processes.unwrap_or(PROCESSES),
        open_files: limits.open_files.unwrap_or(OPEN_FILES),
        cpu_millicores: Some(limits.cpu_millicores.unwrap_or(CPU_MILLICORES)),
    }
}

/// What a container is made of, beside its instance's spec.
pub(super) struct Parts<'a> {
    pub(super) image: &'a str,
    /// `UID:GID`; absent: the image's own.
    pub(super) user: Option<String>,
    /// Absent: the image's own.
    pub(super) workdir: Option<&'a str>,
    pub(super) labels: HashMap<String, String>,
    pub(super) network: Network,
    pub(super) binary: &'a Path,
    pub(super) sockets: &'a Path,
    pub(super) state: &'a Path,
    pub(super) work: &'a Path,
    /// Files of the host that are shown at their own place, read-only.
    pub(super) host: Vec<String>,
    /// Named volumes and their places, which are there already.
    pub(super) volumes: Vec<Mount>,
    /// Cores that the engine has.
    pub(super) cores: u16,
}

/// The body of the engine's `create`.
pub(super) fn body(spec: &InstanceSpec, parts: Parts<'_>) -> ContainerCreateBody {
    let command = [BINARY, "shim", "--config-socket", &format!("{SOCKETS}/{}", handover::SOCKET)];
    let passed_on = ["RUST_LOG", "RUST_BACKTRACE"];
    let env = passed_on.into_iter().filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)));
    let mut mounts = vec![
        mount(&text(parts.binary), BINARY, true),
        mount(&text(parts.sockets), SOCKETS, false),
        mount(&text(parts.state), STATE, false),
        mount(&text(parts.work), WORK, false),
    ];
    mounts.extend(parts.volumes);
    mounts.extend(parts.host.iter().map(|path| mount(path, path, true)));
    ContainerCreateBody {
        image: Some(parts.image.to_owned()),
        user: parts.user,
        working_dir: parts.workdir.map(str::to_owned),
        entrypoint: Some(command.map(str::to_owned).to_vec()),
        cmd: Some(Vec::new()),
        env: Some(env.collect()),
        labels: Some(parts.labels),
        // The shim's word for stopping, whatever the image's server would like.
        stop_signal: Some("SIGTERM".to_owned()),
        // A little more than the shim gives a tool, for whoever stops the container beside us.
        stop_timeout: spec.launch.container.is_some().then_some(15),
        exposed_ports: spec.launch.container.is_some().then(|| ports(spec).into_keys().collect()),
        // The shim knows better how the server is.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host_config(spec, mounts, &parts.network, parts.cores)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &InstanceSpec, mounts: Vec<Mount>, network: &Network, cores: u16) -> HostConfig {
    let Confinement { memory_mib, processes, open_files, cpu_millicores, .. } = confinement(spec);
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let memory = signed(memory_mib.unwrap_or(MEMORY_MIB).saturating_mul(1 << 20));
    let files = signed(open_files);
    let cpu = cpu_millicores.unwrap_or(CPU_MILLICORES);
    let limit = |name: &str, value| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    };
    let ports = ports(spec);
    let log_options = [("max-size", LOG_SIZE), ("max-file", "1")];
    let mut config = HostConfig {
        mounts: Some(mounts),
        network_mode: Some(network.mode.clone()),
        dns: network.resolver.map(|address| vec![address.to_string()]),
        // Names are meant as they are written: a list says nothing of the host's search domains.
        dns_search: network.resolver.map(|_| vec![".".to_owned()]),
        port_bindings: (!ports.is_empty()).then_some(ports),
        // The engine's promises to start things again do not hold after it was killed; the DTMA's do.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            ..RestartPolicy::default()
        }),
        // The shim reaps; with another in front it would not be the first process.
        init: Some(false),
        memory: Some(memory),
        memory_swap: Some(memory),
        pids_limit: Some(signed(processes)),
        // More than there are is refused by the engine.
        nano_cpus: Some(signed(cpu.min(u64::from(cores) * 1000)).saturating_mul(NANO_OF_MILLI)),
        ulimits: Some(vec![limit("nofile", files), limit("core", 0)]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log_options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        }),
        ..HostConfig::default()
    };
    if profile(spec) == Profile::Strict {
        config.cap_drop = Some(vec!["ALL".to_owned()]);
        config.security_opt = Some(vec!["no-new-privileges:true".to_owned()]);
        config.readonly_rootfs = Some(true);
        config.tmpfs = Some([("/tmp".to_owned(), TMP.to_owned())].into());
    }
    config
}

/// What is published, in the engine's words.
fn ports(spec: &InstanceSpec) -> PortMap {
    let mut map = PortMap::new();
    for port in spec.launch.container.iter().flat_map(|container| &container.ports) {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let binding = PortBinding {
            host_ip: Some(port.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string()),
            host_port: Some(port.host.to_string()),
        };
        let bindings = map.entry(format!("{}/{protocol}", port.container)).or_default();
        bindings.get_or_insert_default().push(binding);
    }
    map
}

fn mount(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Mount::default()
    }
}
