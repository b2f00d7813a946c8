//! Droplets that boot: for each one that the fake provider makes, a machine with systemd and the provider's own cloud-init,
//! which reads its `user_data` from a metadata service as it would there.
//!
//! They are in a network of the test's engine that leads nowhere but to [`GATEWAY`], where the control plane listens, and to
//! the package registries that are named when it is made: whoever connects to those is passed on by the test.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::digitalocean::{self as provider, Event, Fake, Hook};
use crate::docker::Docker;
use crate::systemd::{Machine, Options};
use crate::wait;

/// The address of the control plane. The fake provider is on the loopback address beside it, where droplets do not reach.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 1);
/// Where droplets get their addresses from.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 0);
/// The name of the engine's network, and of its bridge.
const BRIDGE: &str = "br-droplets";
/// Where a droplet asks what it is to be.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

type Machines = BTreeMap<u64, Arc<Machine<'static>>>;

/// The droplets of one fake provider, which it is made with.
#[derive(Debug)]
pub struct Droplets {
    docker: &'static Docker,
    names: Vec<String>,
    fake: Fake,
    machines: Arc<Mutex<Machines>>,
}

impl Droplets {
    /// Makes the network, its services and a provider without droplets. `registries` are names that every droplet reaches
    /// over HTTPS, as this machine does.
    ///
    /// # Panics
    /// When something of it cannot be made.
    pub fn start(docker: &'static Docker, registries: &[&str]) -> Self {
        docker.post(
            "/networks/create",
            &json!({
                "Name": BRIDGE, "Options": {"com.docker.network.bridge.name": BRIDGE},
                "IPAM": {"Config": [{"Subnet": format!("{NETWORK}/24"), "Gateway": GATEWAY}]},
            }),
        );
        docker.in_its_network(|| give(&format!("{METADATA}/16")));
        // Each has an address of its own, since TLS does not say to others whom it is for.
        let mut names = Vec::new();
        for (name, last) in registries.iter().zip(2..) {
            let address = Ipv4Addr::new(10, 90, 0, last);
            docker.in_its_network(|| give(&format!("{address}/32")));
            pass_on(docker.in_its_network(|| listen(address, 443)), (*name).to_owned());
            names.push(format!("{name}:{address}"));
        }
        let machines: Arc<Mutex<Machines>> = Arc::default();
        let (events, told) = channel();
        let metadata: Arc<Mutex<BTreeMap<Ipv4Addr, Value>>> = Arc::default();
        serve_metadata(docker.in_its_network(|| listen(METADATA, 80)), Arc::clone(&metadata));
        let there = Arc::clone(&machines);
        let known = names.clone();
        thread::spawn(move || carry_out(docker, &told, &there, &metadata, &known));
        let fake = docker.in_its_network(|| {
            Fake::start(provider::Config {
                network: NETWORK,
                on_event: Some(hook(events)),
                ..provider::Config::default()
            })
        });
        Self { docker, names, fake, machines }
    }

    /// The provider.
    pub fn fake(&self) -> &Fake {
        &self.fake
    }

    /// Boots a machine beside the droplets that no provider knows, at an address that ends so (from 200 on).
    ///
    /// # Panics
    /// When it does not boot.
    pub fn host(&self, name: &str, last: u8) -> Machine<'static> {
        let [a, b, c, _] = NETWORK.octets();
        let address = Ipv4Addr::new(a, b, c, last);
        let options = Options {
            hostname: name,
            network: Some((BRIDGE, address)),
            names: &self.names,
            ..Options::default()
        };
        let machine = Machine::start(self.docker, &options);
        machine.wait();
        machine
    }

    /// The machine of a droplet, as soon as it is switched on.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn machine(&self, id: u64) -> Arc<Machine<'static>> {
        let machines = || self.machines.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        wait::until("the machine of a droplet", machines)
    }

    /// How many machines there are, on or off.
    pub fn count(&self) -> usize {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Droplets {
    fn drop(&mut self) {
        // Here, and not in the thread that made them: after a failed test each prints what it has to say.
        std::mem::take(&mut *self.machines.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Gives the bridge a further address.
fn give(address: &str) {
    let status =
        Command::new("ip").args(["addr", "replace", address, "dev", BRIDGE, "scope", "link"]).status();
    assert!(status.is_ok_and(|status| status.success()), "the bridge does not get {address}");
}

fn listen(address: Ipv4Addr, port: u16) -> TcpListener {
    TcpListener::bind((address, port)).expect("a listener in the droplets' network")
}

/// A request to the provider must not wait for a machine: what happened is carried out elsewhere, in order.
fn hook(events: Sender<Event>) -> Hook {
    let events = Mutex::new(events);
    Arc::new(move |event| {
        let events = events.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more when the test is over.
        let _ = events.send(event.clone());
    })
}

fn carry_out(
    docker: &'static Docker,
    events: &Receiver<Event>,
    machines: &Mutex<Machines>,
    metadata: &Mutex<BTreeMap<Ipv4Addr, Value>>,
    names: &[String],
) {
    let all = || machines.lock().unwrap_or_else(PoisonError::into_inner);
    let power = |id: &u64, what: &str| {
        let machine = all().get(id).cloned();
        if let Some(machine) = machine {
            machine.power(what);
        }
    };
    for event in events {
        match event {
            Event::Created(droplet) | Event::Rebuilt(droplet) => {
                all().remove(&droplet.id);
                let told = json!({
                    "droplet_id": droplet.id, "hostname": droplet.name, "region": droplet.region,
                    "user_data": droplet.user_data, "vendor_data": "", "public_keys": [], "auth_key": "",
                    "interfaces": {"public": [{"type": "public", "mac": mac(droplet.public_v4), "ipv4": {
                        "ip_address": droplet.public_v4, "netmask": "255.255.255.0", "gateway": GATEWAY,
                    }}]},
                    "floating_ip": {"ipv4": {"active": false}}, "reserved_ip": {"ipv4": {"active": false}},
                    "dns": {"nameservers": [GATEWAY]}, "tags": droplet.tags, "features": {"dhcp_enabled": false},
                });
                metadata.lock().unwrap_or_else(PoisonError::into_inner).insert(droplet.public_v4, told);
                let options = Options {
                    hostname: &droplet.name,
                    network: Some((BRIDGE, droplet.public_v4)),
                    serial: Some(droplet.id),
                    names,
                    ..Options::default()
                };
                let machine = Machine::start(docker, &options);
                all().insert(droplet.id, Arc::new(machine));
            }
            Event::On(id) => power(&id, "start"),
            Event::Off(id) => power(&id, "kill"),
            Event::Shutdown(id) => power(&id, "stop"),
            Event::Rebooted(id) => power(&id, "restart"),
            Event::Destroyed(id) => drop(all().remove(&id)),
        }
    }
}

/// The address of hardware that an engine makes for an address of its network.
fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Answers every droplet with what it is to be; the one path that cloud-init asks for.
fn serve_metadata(listener: TcpListener, metadata: Arc<Mutex<BTreeMap<Ipv4Addr, Value>>>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(SocketAddr::V4(peer)) = stream.peer_addr() else { continue };
            let told = metadata.lock().unwrap_or_else(PoisonError::into_inner).get(peer.ip()).cloned();
            thread::spawn(move || answer(&stream, told.as_ref()));
        }
    });
}

fn answer(mut stream: &TcpStream, told: Option<&Value>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let asked = lines.next().unwrap_or_default();
    let _ = lines.find(String::is_empty);
    let told = told.filter(|_| asked.starts_with("GET /metadata/v1.json "));
    let (status, body) = told.map_or(("404 Not Found", String::new()), |told| ("200 OK", told.to_string()));
    // Who has gone away meanwhile needs no answer.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

/// Connects whoever comes with a registry, byte by byte.
fn pass_on(listener: TcpListener, name: String) {
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let name = name.clone();
            thread::spawn(move || {
                let Ok(far) = TcpStream::connect((name.as_str(), 443)) else { return };
                crate::hosts::copy_both(&near, &far);
            });
        }
    });
}
