//! The resolvers of this host.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Where a host says whom it asks.
const FILE: &str = "/etc/resolv.conf";
/// The address of a local forwarder, and where it says whom it asks itself, as engines know too.
const STUB: &str = "127.0.0.53";
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";
/// More are asked by nobody.
const MOST: usize = 3;

/// Whom to ask: those given, or those of this host as it says now.
pub(super) fn all(given: &[SocketAddr]) -> Vec<SocketAddr> {
    if given.is_empty() { of_file(FILE) } else { given.to_vec() }
}

/// Whether a container that asks them as its engine tells it to would ask what it can never reach: link-local addresses,
/// as some clouds have them, and this host's own.
pub(super) fn are_out_of_reach(given: &[SocketAddr]) -> bool {
    let mut servers = all(given);
    if servers.iter().any(|server| server.ip().to_string() == STUB) {
        servers = of_file(BEHIND_STUB);
    }
    servers.iter().any(|server| match server.ip() {
        // Engines leave these out and ask others.
        IpAddr::V4(ip) if ip.is_loopback() => false,
        IpAddr::V4(ip) => ip.is_link_local() || UdpSocket::bind((ip, 0)).is_ok(),
        IpAddr::V6(_) => false,
    })
}

fn of_file(path: &str) -> Vec<SocketAddr> {
    std::fs::read_to_string(path).map(|text| of_text(&text)).unwrap_or_default()
}

fn of_text(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())??.parse::<IpAddr>().ok()
    });
    servers.take(MOST).map(|ip| SocketAddr::new(ip, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_them() {
        let text = "# nameserver 1.1.1.1\nsearch a.b\nnameserver 192.0.2.1\n nameserver 2001:db8::1 \nnameserver x\n";
        let found: Vec<String> = of_text(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }

    #[test]
    fn some_can_never_be_reached() {
        for (server, expected) in [
            ("169.254.169.254:53", true),
            ("192.0.2.1:53", false),
            ("127.0.0.1:53", false),
            ("[2001:db8::1]:53", false),
        ] {
            assert_eq!(are_out_of_reach(&[server.parse().unwrap()]), expected, "{server}");
        }
    }
}
