//! Ports for programs that are told which to take, and cannot say which the system chose.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{TcpListener, UdpSocket};

/// Below those that Linux gives to connections and to sockets that ask for any port (`ip_local_port_range`), so that
/// nothing takes one of these by chance between the test's choice and the start of its program.
const FIRST: u16 = 20_000;

/// How many there are; the DTMA's own port, 30000, is the next one.
const COUNT: u16 = 10_000;

/// A port of 127.0.0.1, TCP and UDP, that nobody listens on and that no other call gives while this process lives,
/// whichever test's it is.
///
/// # Panics
/// When there is none.
pub fn free() -> u16 {
    let dir = std::env::temp_dir().join("berth-test-ports");
    fs::create_dir_all(&dir).expect("a directory for the ports of tests");
    let start = u16::try_from(RandomState::new().hash_one(0) % u64::from(COUNT)).expect("less than a u16");
    let port = (0..COUNT).map(|step| FIRST + (start + step) % COUNT).find(|&port| {
        let lock = File::create(dir.join(port.to_string())).expect("a lock of a port");
        let ours = lock.try_lock().is_ok()
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if ours {
            // Never closed: the lock ends with the process.
            Box::leak(Box::new(lock));
        }
        ours
    });
    port.expect("a free port")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_port_is_given_twice() {
        let mut given = HashSet::new();
        for _ in 0..500 {
            let port = super::free();
            assert!((super::FIRST..30_000).contains(&port), "{port}");
            assert!(given.insert(port), "{port} was given before");
        }
    }
}
