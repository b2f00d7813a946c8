//! What only containers have: the checks of what a container tool publishes and keeps, and of how it is confined.

use std::net::{IpAddr, Ipv4Addr};

use api::instances::DeployRequest;
use domain::container::{Container, Health, Port, Volume};
use domain::egress::Egress;
use domain::package::Package;
use domain::spec::Launch;

use crate::app::Problem;

/// Ports and volumes of one tool, each.
const MAX_EACH: usize = 32;
/// The name of a volume, in bytes.
const MAX_NAME: usize = 32;
/// A path, in bytes.
const MAX_PATH: usize = 1024;

/// Puts what was asked for over what the catalog's entry has.
pub(super) fn fill(launch: &mut Launch, request: &DeployRequest, package: &Package) -> Result<(), Problem> {
    let is_image = matches!(package, Package::Oci { .. });
    if let Some(asked) = &request.container {
        if !is_image {
            return Err(Problem::invalid("container", "only an image can be a container tool")
                .hint("deploy `oci:IMAGE`, or leave `container` out"));
        }
        launch.container = Some(merged(launch.container.take(), asked));
    }
    launch.profile = request.profile.or(launch.profile);
    if request.egress.is_some() {
        launch.egress.clone_from(&request.egress);
    }
    if let Some(egress) = &launch.egress {
        egress.check().map_err(|error| Problem::invalid("egress.hosts", error.to_string()))?;
    }
    let Some(container) = &launch.container else { return Ok(()) };
    for (field, is_given) in [
        ("transport", request.transport.is_some()),
        ("path", request.path.is_some()),
        ("port", request.port.is_some()),
        ("mode", request.mode.is_some()),
        ("strict_sessions", request.strict_sessions.is_some()),
    ] {
        if is_given {
            return Err(Problem::invalid(
                field,
                format!("a container tool speaks no MCP and has no `{field}`"),
            )
            .hint(format!("leave `{field}` out")));
        }
    }
    if MAX_EACH < container.ports.len() || MAX_EACH < container.volumes.len() {
        return Err(Problem::invalid(
            "container",
            format!("at most {MAX_EACH} ports and volumes are accepted"),
        ));
    }
    check_ports(&container.ports)?;
    check_volumes(&container.volumes)?;
    if let Some(health) = &container.health {
        check_health(health)?;
    }
    if launch.egress == Some(Egress::None) && !container.ports.is_empty() {
        return Err(Problem::invalid("egress", "a container without a network can publish no port")
            .hint("use `open`, or publish none"));
    }
    Ok(())
}

/// Each part that was asked for takes the place of the entry's.
fn merged(entry: Option<Container>, asked: &Container) -> Container {
    let Some(entry) = entry else { return asked.clone() };
    Container {
        ports: if asked.ports.is_empty() { entry.ports } else { asked.ports.clone() },
        volumes: if asked.volumes.is_empty() { entry.volumes } else { asked.volumes.clone() },
        health: asked.health.clone().or(entry.health),
    }
}

fn check_ports(ports: &[Port]) -> Result<(), Problem> {
    for (i, port) in ports.iter().enumerate() {
        let field = format!("container.ports[{i}]");
        if port.host == 0 || port.container == 0 {
            return Err(Problem::invalid(field, "a port is a number from 1 to 65535"));
        }
        if port.host == api::dtma::DEFAULT_PORT {
            return Err(Problem::invalid(field, format!("port {} is the DTMA's own", port.host))
                .hint("choose another port of the host"));
        }
        if ports[..i].iter().any(|other| overlap(port, other)) {
            return Err(Problem::invalid(field, format!("port {} of the host is given twice", port.host))
                .hint("publish each port of the host once"));
        }
    }
    Ok(())
}

fn overlap(one: &Port, other: &Port) -> bool {
    let address = |port: &Port| port.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (a, b) = (address(one), address(other));
    one.host == other.host
        && one.protocol == other.protocol
        && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn check_volumes(volumes: &[Volume]) -> Result<(), Problem> {
    for (i, volume) in volumes.iter().enumerate() {
        let is_name = (1..=MAX_NAME).contains(&volume.name.len())
            && volume.name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && volume.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name {
            return Err(Problem::invalid(
                format!("container.volumes[{i}].name"),
                format!("`{}` is no name of a volume", volume.name),
            )
            .hint(format!("use at most {MAX_NAME} small letters, digits and hyphens, such as `data`")));
        }
        let field = format!("container.volumes[{i}].path");
        let path = volume.path.as_str();
        let mut parts = path.split('/').skip(1);
        let is_path = path.starts_with('/')
            && path.len() <= MAX_PATH
            && path.chars().all(|c| !c.is_control())
            && parts.all(|part| !matches!(part, "" | "." | ".."));
        if !is_path {
            return Err(Problem::invalid(field, format!("`{path}` is no absolute path in the container"))
                .hint("write it as `/var/lib/data`"));
        }
        if ["/berth", "/proc", "/sys", "/dev"]
            .iter()
            .any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        {
            return Err(Problem::invalid(field, format!("`{path}` belongs to Berth or to the system")));
        }
        let before = &volumes[..i];
        if before.iter().any(|other| other.name == volume.name || other.path == volume.path) {
            return Err(Problem::invalid(
                format!("container.volumes[{i}]"),
                format!("the volume `{}` or its path is given twice", volume.name),
            ));
        }
    }
    Ok(())
}

fn check_health(health: &Health) -> Result<(), Problem> {
    let (Health::Tcp { port } | Health::Http { port, .. }) = health;
    if *port == 0 {
        return Err(Problem::invalid("container.health.port", "a port is a number from 1 to 65535"));
    }
    if let Health::Http { path, .. } = health {
        let is_path =
            path.starts_with('/') && path.len() <= MAX_PATH && path.bytes().all(|b| b.is_ascii_graphic());
        if !is_path {
            return Err(Problem::invalid(
                "container.health.path",
                format!("`{path}` is no path, such as `/healthz`"),
            ));
        }
    }
    Ok(())
}
