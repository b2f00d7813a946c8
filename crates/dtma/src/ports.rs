//! Ports of this host that instances publish: who has which, before anything is created.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use api::dtma::DEFAULT_PORT;
use domain::container::{Port, Protocol};
use domain::spec::InstanceSpec;

/// Why a port cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortError {
    /// It is the DTMA's.
    #[error("port {0} is the DTMA's own")]
    Own(u16),
    /// It is given twice, or 0.
    #[error("port {0} cannot be published like this: each port once, and none is 0")]
    Shape(u16),
    /// Another instance has it.
    #[error("port {port} of this host belongs to the instance `{name}`")]
    Taken {
        /// The port.
        port: u16,
        /// Whose.
        name: String,
    },
    /// Something that is no instance listens on it.
    #[error("port {0} of this host is in use")]
    InUse(u16),
    /// The host has no such address.
    #[error("this host has no address {0}")]
    Address(IpAddr),
}

/// What a spec publishes.
pub(crate) fn of(spec: &InstanceSpec) -> &[Port] {
    spec.launch.container.as_ref().map_or(&[], |container| &container.ports)
}

/// Checks the ports of a spec: in themselves, against the DTMA's own, against the other instances' (with the names by
/// which they are known), and those that it did not have `before` against the host.
pub(crate) fn check<'a>(
    spec: &InstanceSpec,
    own: Option<u16>,
    others: impl Iterator<Item = (String, &'a InstanceSpec)>,
    before: &[Port],
) -> Result<(), PortError> {
    let wanted = of(spec);
    for (i, port) in wanted.iter().enumerate() {
        // Its default too: what listens on another port today may be started on it tomorrow.
        if port.host == DEFAULT_PORT || Some(port.host) == own {
            return Err(PortError::Own(port.host));
        }
        if port.host == 0 || port.container == 0 || wanted[..i].iter().any(|other| overlap(port, other)) {
            return Err(PortError::Shape(port.host));
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    for (name, other) in others {
        if let Some(port) = wanted.iter().find(|port| of(other).iter().any(|theirs| overlap(port, theirs))) {
            return Err(PortError::Taken { port: port.host, name });
        }
    }
    wanted.iter().filter(|port| !before.iter().any(|had| overlap(port, had))).try_for_each(is_free)
}

fn overlap(one: &Port, other: &Port) -> bool {
    let (a, b) = (address(one), address(other));
    one.host == other.host
        && one.protocol == other.protocol
        && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn address(port: &Port) -> IpAddr {
    port.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Tried for real: nothing else knows who listens.
fn is_free(port: &Port) -> Result<(), PortError> {
    let at = SocketAddr::new(address(port), port.host);
    let tried = match port.protocol {
        Protocol::Tcp => TcpListener::bind(at).map(drop),
        Protocol::Udp => UdpSocket::bind(at).map(drop),
    };
    match tried.map_err(|error| error.kind()) {
        Err(io::ErrorKind::AddrInUse) => Err(PortError::InUse(port.host)),
        Err(io::ErrorKind::AddrNotAvailable) => Err(PortError::Address(at.ip())),
        // What this process may not try, the engine may still have.
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(ports: &serde_json::Value) -> InstanceSpec {
        serde_json::from_value(serde_json::json!({
            "id": domain::ids::InstanceId::generate(), "account": "a", "name": "n", "generation": 1,
            "desired": "running", "restarts_asked": 0, "key": "k",
            "package": {"kind": "oci", "image": "redis"}, "launch": {"container": {"ports": ports}}
        }))
        .unwrap()
    }

    #[test]
    fn ports_are_had_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let used = listener.local_addr().unwrap().port();
        let port = |host: u16, address: &str, protocol: &str| serde_json::json!({"container": 80, "host": host, "address": address, "protocol": protocol});
        let other = spec(&serde_json::json!([port(7001, "127.0.0.1", "tcp"), port(7002, "0.0.0.0", "udp")]));
        let taken = |port| Err(PortError::Taken { port, name: "other".to_owned() });
        for (what, ports, expected) in [
            ("none", serde_json::json!([]), Ok(())),
            ("the default", serde_json::json!([port(30000, "0.0.0.0", "tcp")]), Err(PortError::Own(30000))),
            ("its own", serde_json::json!([port(40000, "127.0.0.1", "udp")]), Err(PortError::Own(40000))),
            ("zero", serde_json::json!([port(0, "0.0.0.0", "tcp")]), Err(PortError::Shape(0))),
            (
                "twice",
                serde_json::json!([port(7003, "0.0.0.0", "tcp"), port(7003, "127.0.0.1", "tcp")]),
                Err(PortError::Shape(7003)),
            ),
            ("another's", serde_json::json!([port(7001, "0.0.0.0", "tcp")]), taken(7001)),
            ("another's, everywhere", serde_json::json!([port(7002, "127.0.0.1", "udp")]), taken(7002)),
            ("another protocol", serde_json::json!([port(7001, "127.0.0.1", "udp")]), Ok(())),
            ("another address", serde_json::json!([port(7001, "127.0.0.2", "tcp")]), Ok(())),
            ("in use", serde_json::json!([port(used, "127.0.0.1", "tcp")]), Err(PortError::InUse(used))),
            (
                "no address of ours",
                serde_json::json!([port(7004, "192.0.2.1", "tcp")]),
                Err(PortError::Address("192.0.2.1".parse().unwrap())),
            ),
        ] {
            let others = std::iter::once(("other".to_owned(), &other));
            assert_eq!(check(&spec(&ports), Some(40000), others, &[]), expected, "{what}");
        }
        let mine = spec(&serde_json::json!([port(used, "127.0.0.1", "tcp")]));
        assert_eq!(check(&mine, None, std::iter::empty(), of(&mine)), Ok(()), "what it has it may keep");
    }
}
