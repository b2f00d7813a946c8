//! What there is at the fake provider.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::actions::Action;
use super::faults::Faults;
use super::limits::Limits;
use super::reply::Ask;
use super::time::Clock;
use super::{Config, Exchange, routes};

/// A droplet, as who would start a machine for it needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The slug of its region.
    pub region: String,
    /// The slug of its size.
    pub size: String,
    /// The slug of its image.
    pub image: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// What cloud-init gets.
    pub user_data: String,
    /// The address that the API says it has.
    pub public_v4: Ipv4Addr,
    /// The same in its private network.
    pub private_v4: Ipv4Addr,
}

/// What happens to a droplet. It is told when the request is taken, not when the action is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is made and switched on.
    Created(Box<Machine>),
    /// It is switched on.
    On(u64),
    /// Its plug is pulled.
    Off(u64),
    /// Its system is asked to end.
    Shutdown(u64),
    /// Its system is started again.
    Rebooted(u64),
    /// It starts from an image again: what was on it is lost.
    Rebuilt(Box<Machine>),
    /// It is no more.
    Destroyed(u64),
}

/// Is told of what happens to droplets, while the request waits.
pub type Hook = Arc<dyn Fn(&Event) + Send + Sync>;

/// A droplet.
#[derive(Debug)]
pub(super) struct Droplet {
    pub(super) machine: Machine,
    pub(super) created: Duration,
    pub(super) boots: bool,
    pub(super) on: bool,
    /// What was asked for: `ipv6`, `monitoring`.
    pub(super) extras: Vec<&'static str>,
    pub(super) vpc: String,
}

/// Everything.
pub(super) struct World {
    pub(super) config: Config,
    /// The fake's own address, for links.
    pub(super) home: String,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) faults: Faults,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) seen: Vec<(String, String)>,
    pub(super) droplets: BTreeMap<u64, Droplet>,
    pub(super) actions: BTreeMap<u64, Action>,
    /// By its small letters: as it was first written.
    pub(super) tags: BTreeMap<String, String>,
    pub(super) firewalls: BTreeMap<String, super::firewalls::Firewall>,
    pub(super) keys: BTreeMap<u64, Value>,
    /// Requests that are carried out later.
    pub(super) later: Vec<(Duration, Ask)>,
    events: Vec<Event>,
    last_id: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("home", &self.home).finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn new(config: Config, home: String) -> Self {
        Self {
            home,
            clock: Clock::new(),
            limits: Limits::new(config.hourly, config.burst),
            faults: Faults::default(),
            exchanges: vec![],
            seen: vec![],
            droplets: BTreeMap::new(),
            actions: BTreeMap::new(),
            tags: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            keys: BTreeMap::new(),
            later: vec![],
            events: vec![],
            last_id: 400_000_000,
            config,
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// What happened since the last time, and whom to tell once the lock is free.
    pub(super) fn take_events(&mut self) -> (Vec<Event>, Option<Hook>) {
        (std::mem::take(&mut self.events), self.config.on_event.clone())
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.catch_up();
    }

    /// Does what has become due.
    pub(super) fn catch_up(&mut self) {
        let now = self.clock.now();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        for (at, ask) in due {
            let before = self.last_id;
            let reply = routes::answer(self, &ask);
            // It came true when it was due, not when somebody looked.
            for droplet in self.droplets.range_mut(before..).map(|(_, droplet)| droplet) {
                droplet.created = droplet.created.min(at);
            }
            self.exchanges.push(Exchange::of(&ask, &reply));
        }
        self.finish_actions();
    }

    pub(super) fn machines(&self) -> Vec<Machine> {
        self.droplets.values().map(|droplet| droplet.machine.clone()).collect()
    }

    /// Whether it was there.
    pub(super) fn destroy(&mut self, id: u64) -> bool {
        let Some(gone) = self.droplets.remove(&id) else { return false };
        for firewall in self.firewalls.values_mut() {
            firewall.forget(id);
        }
        if gone.boots {
            self.event(Event::Destroyed(id));
        }
        true
    }
}

/// Tells the hook, in order.
pub(super) fn tell(events: &[Event], hook: Option<&Hook>) {
    if let Some(hook) = hook {
        for event in events {
            hook(event);
        }
    }
}
