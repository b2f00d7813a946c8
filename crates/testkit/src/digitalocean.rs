//! DigitalOcean's API, version 2, as far as Berth uses it: stateful, in memory, on this machine, with a clock that tests
//! turn and faults that they order. A test of the client holds its answers against the provider's official document.
//!
//! It makes no machines. Who wants one for each droplet gives [`Config::on_event`] and starts it there.

mod actions;
mod catalogue;
mod droplets;
mod faults;
mod firewalls;
mod keys;
mod limits;
mod pages;
mod reply;
mod routes;
mod server;
mod tags;
mod time;
mod world;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

pub use faults::Fault;
use world::World;
pub use world::{Event, Hook, Machine};

/// The token that a fake knows.
pub const TOKEN: &str = "dop_v1_fake";

/// How a fake behaves.
#[derive(Clone)]
pub struct Config {
    /// Where it listens; by default any port of 127.0.0.1.
    pub listen: SocketAddr,
    /// How many droplets the account may have.
    pub droplet_limit: usize,
    /// `active`, `warning` or `locked`.
    pub account_status: &'static str,
    /// What the token may do, as `droplet:create`; `None`: everything.
    pub scopes: Option<Vec<&'static str>>,
    /// Requests in an hour.
    pub hourly: usize,
    /// Requests in a minute.
    pub burst: usize,
    /// After so long a droplet has its addresses.
    pub network_after: Duration,
    /// After so long it is active.
    pub boots_after: Duration,
    /// After so long it is in lists; one asked for by its number is there at once.
    pub listed_after: Duration,
    /// After so long any other action is done, and a firewall in force.
    pub acts_after: Duration,
    /// The network that droplets get their public addresses from, from its eleventh on.
    pub network: Ipv4Addr,
    /// Who is told of what happens to droplets.
    pub on_event: Option<Hook>,
}

impl Default for Config {
    /// An account with nothing in it, whose droplets are there at once.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            droplet_limit: 25,
            account_status: "active",
            scopes: None,
            hourly: 5000,
            burst: 250,
            network_after: Duration::ZERO,
            boots_after: Duration::ZERO,
            listed_after: Duration::ZERO,
            acts_after: Duration::ZERO,
            network: Ipv4Addr::new(203, 0, 113, 0),
            on_event: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// A request and what it was answered.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET` and so on.
    pub method: String,
    /// `/v2/…`, without the query.
    pub path: String,
    /// The query.
    pub query: Vec<(String, String)>,
    /// The request's body.
    pub request: Option<Value>,
    /// The status of the answer, also of one that was lost.
    pub status: u16,
    /// The answer's body.
    pub answer: Option<Value>,
}

impl Exchange {
    fn of(ask: &reply::Ask, reply: &reply::Reply) -> Self {
        Self {
            method: ask.method.clone(),
            path: ask.path.clone(),
            query: ask.query.clone(),
            request: ask.body.clone(),
            status: reply.status,
            answer: reply.body.clone(),
        }
    }
}

/// A running fake. It ends when this is dropped.
#[derive(Debug)]
pub struct Fake {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    /// Starts one, on a thread of its own.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(config: Config) -> Self {
        let listener = std::net::TcpListener::bind(config.listen).expect("an address to listen on");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the listener's address");
        let world = Arc::new(Mutex::new(World::new(config, format!("http://{address}"))));
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&world);
        let thread = std::thread::spawn(move || server::run(listener, served, stopped));
        Self { address, world, stop: Some(stop), thread: Some(thread) }
    }

    /// Its address, for `DIGITALOCEAN_API_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Turns its clock on. It runs by itself too.
    pub fn advance(&self, by: Duration) {
        let mut world = self.world();
        world.advance(by);
        let (events, hook) = world.take_events();
        drop(world);
        world::tell(&events, hook.as_ref());
    }

    /// The next request with this method (empty: any) and a path that begins so meets this fault. Each fault is met once, the
    /// first ordered first.
    pub fn inject(&self, method: &str, path: &str, fault: Fault) {
        self.world().faults.push(method, path, fault);
    }

    /// Orders no more faults.
    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }

    /// How many faults were ordered and not met.
    pub fn faults_left(&self) -> usize {
        self.world().faults.len()
    }

    /// The droplets that there are, whether listed yet or not.
    pub fn machines(&self) -> Vec<Machine> {
        self.world().machines()
    }

    /// How many firewalls there are.
    pub fn firewalls(&self) -> usize {
        self.world().firewalls.len()
    }

    /// Destroys a droplet as somebody else would, past the API; whether it was there.
    pub fn destroy(&self, id: u64) -> bool {
        let mut world = self.world();
        let was = world.destroy(id);
        let (events, hook) = world.take_events();
        drop(world);
        world::tell(&events, hook.as_ref());
        was
    }

    /// Gives a droplet another public address, as a move past the API does; whether it is there.
    pub fn readdress(&self, id: u64, address: std::net::Ipv4Addr) -> bool {
        self.world().droplets.get_mut(&id).map(|droplet| droplet.machine.public_v4 = address).is_some()
    }

    /// What was asked and answered so far, but for what was refused or answered by an ordered fault.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.world().exchanges.clone()
    }

    /// How many requests came, whatever became of them.
    pub fn requests(&self, method: &str, path: &str) -> usize {
        let world = self.world();
        world.seen.iter().filter(|(m, p)| m == method && p == path).count()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; there is nothing else to do about it here.
            let _ = thread.join();
        }
    }
}
