//! What instances in containers reach on the network: the packet filter's tables, which are this DTMA's own, and the
//! resolver of those that may reach listed names alone.
//!
//! All that the tables are made of lies on disk ([`member`]), so they are made anew from it whenever they are not what they
//! must be: after a start of the DTMA, after somebody emptied the packet filter. They go when no container needs them.

mod dns;
mod member;
mod nameservers;
mod nft;
mod opened;
mod resolver;
mod rules;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use domain::egress::{Blocked, Egress};
use domain::ids::InstanceId;
use domain::status::Protection;

pub(super) use member::{Bridge, Member};
use opened::Asker;
use resolver::Resolver;
use rules::{Facts, Present};

use super::mark::ContainerRecord;
use crate::error::RuntimeError;
use crate::layout::Layout;

/// How often it is looked whether the tables are there, and what was blocked.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// How often the control plane's name is resolved again.
const RESOLVED: Duration = Duration::from_mins(1);

/// What the packet filter must know of the DTMA that it is for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The port that the DTMA listens on.
    pub own_port: Option<u16>,
    /// The control plane's host and port.
    pub control: Option<(String, u16)>,
    /// Resolvers that names are asked of; empty: those of this host.
    pub nameservers: Vec<SocketAddr>,
}

/// The rules of this DTMA's containers.
#[derive(Debug)]
pub(super) struct Filter {
    layout: Layout,
    /// For the resolver's tasks, which outlive the call that starts them.
    own: Weak<Self>,
    /// The tables' name.
    table: String,
    options: Options,
    /// `nft`, when it is installed.
    program: Option<PathBuf>,
    /// One transaction at a time.
    state: tokio::sync::Mutex<State>,
    /// Why the rules are not enforced, if they are not.
    standing: Mutex<Result<(), String>>,
    blocked: Mutex<BTreeMap<InstanceId, Vec<Blocked>>>,
    /// Who asks the resolver, by address.
    askers: RwLock<HashMap<Ipv4Addr, Arc<Asker>>>,
}

#[derive(Debug, Default)]
struct State {
    /// What was last done, without what it removed.
    applied: Option<String>,
    /// Whether the tables are known to be gone.
    is_clean: bool,
    control: Vec<(Ipv4Addr, u16)>,
    resolved: Option<Instant>,
    resolver: Option<Resolver>,
}

impl Filter {
    /// Tries for real whether this host takes the rules, without making any.
    pub(super) fn new(layout: &Layout, identity: &str, options: Options) -> Arc<Self> {
        let program = nft::program();
        let filter = Arc::new_cyclic(|own| Self {
            own: Weak::clone(own),
            layout: layout.clone(),
            table: format!("berth-{}", &identity[..12]),
            options,
            standing: Mutex::new(Ok(())),
            program,
            state: tokio::sync::Mutex::default(),
            blocked: Mutex::default(),
            askers: RwLock::default(),
        });
        filter.stand(filter.tried());
        filter
    }

    fn tried(&self) -> Result<(), String> {
        let Some(program) = &self.program else {
            return Err("`nft` is not installed: run `apt-get install nftables`".to_owned());
        };
        let bridge = Bridge { interface: "lo".to_owned(), gateway: Ipv4Addr::LOCALHOST };
        let sample = Member {
            record: "sample".to_owned(),
            egress: Egress::AllowList { hosts: Vec::new() },
            asks: true,
            published: Vec::new(),
            address: Some(Ipv4Addr::LOCALHOST),
            end: Some("lo".to_owned()),
        };
        let members = [sample];
        let facts =
            Facts { table: "berth-trial", bridge: &bridge, members: &members, own_ports: &[1], control: &[] };
        nft::check(program, &rules::script(&facts, &Present::default()))
    }

    fn stand(&self, standing: Result<(), String>) {
        let mut known = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match &standing {
            Err(reason) if *known != standing => tracing::warn!(reason, "egress rules are not enforced"),
            Ok(()) if known.is_err() => tracing::info!("egress rules are enforced"),
            _ => {}
        }
        *known = standing;
    }

    /// Whether the rules are enforced.
    fn standing(&self) -> Result<(), String> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As an environment's status has it.
    pub(super) fn protection(&self) -> Protection {
        let (granted, detail) = match self.standing() {
            Ok(()) => (true, "nftables".to_owned()),
            Err(reason) => (false, format!("not enforced: {reason}")),
        };
        Protection { name: "egress rules".to_owned(), granted, detail }
    }

    /// Makes ready for a container that is about to be made; whether it asks the resolver, which then listens. A list that
    /// cannot be enforced is refused.
    pub(super) async fn prepare(&self, egress: &Egress, bridge: &Bridge) -> Result<bool, RuntimeError> {
        member::keep_bridge(&self.layout, bridge)?;
        if let Ok(()) = self.standing() {
            self.stand(is_here(bridge));
        }
        let is_list = matches!(egress, Egress::AllowList { .. });
        if let Err(reason) = self.standing() {
            // It is looked again: what was missing may be there by now.
            let again = is_here(bridge).and_then(|()| self.tried());
            self.stand(again.clone());
            if again.is_err() {
                return if is_list { Err(RuntimeError::NoEgressRules { reason }) } else { Ok(false) };
            }
        }
        let asks = is_list || nameservers::are_out_of_reach(&self.options.nameservers);
        if asks {
            self.listen(&mut *self.state.lock().await, bridge.gateway).await?;
        }
        Ok(asks)
    }

    /// Keeps what is known of a container.
    pub(super) fn keep_member(&self, instance: InstanceId, member: &Member) -> Result<(), RuntimeError> {
        member::keep(&self.layout, instance, member)
    }

    /// Lets a container that has an address by now reach what it may. Nothing that nobody trusts runs in it yet.
    pub(super) async fn admit(&self, instance: InstanceId, member: &Member) -> Result<(), RuntimeError> {
        member::keep(&self.layout, instance, member)?;
        match self.apply().await {
            Err(RuntimeError::NoEgressRules { .. }) if member.egress == Egress::Open => Ok(()),
            done => done,
        }
    }

    /// Forgets a container that is gone.
    pub(super) async fn release(&self, instance: InstanceId) -> Result<(), RuntimeError> {
        if member::forget(&self.layout, instance)? {
            self.blocked.lock().unwrap_or_else(PoisonError::into_inner).remove(&instance);
            // What is left in a table of a container that is gone harms nobody: it is tried again on the clock.
            if let Err(error) = self.apply().await {
                tracing::debug!(%error, "the rules of a container that is gone could not be removed yet");
            }
        }
        Ok(())
    }

    /// The containers that were made before anything was kept of their network.
    pub(super) fn unknown(&self) -> Result<Vec<(InstanceId, ContainerRecord)>, RuntimeError> {
        Ok(member::all(&self.layout)?.unknown)
    }

    /// Whether a container may be on the network, or one of which that is not known.
    pub(super) fn has_members(&self) -> Result<bool, RuntimeError> {
        let found = member::all(&self.layout)?;
        let is_on_it = |(_, member): &(InstanceId, Member)| member.egress != Egress::None;
        Ok(!found.unknown.is_empty() || found.members.iter().any(is_on_it))
    }

    /// The instances that have a container, or may have one.
    pub(super) fn instances(&self) -> Result<Vec<InstanceId>, RuntimeError> {
        let found = member::all(&self.layout)?;
        let unknown = found.unknown.into_iter().map(|(id, _)| id);
        Ok(found.members.into_iter().map(|(id, _)| id).chain(unknown).collect())
    }

    /// What instances wanted lately and could not reach.
    pub(super) fn blocked(&self) -> BTreeMap<InstanceId, Vec<Blocked>> {
        let mut all = self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for asker in self.askers.read().unwrap_or_else(PoisonError::into_inner).values() {
            let names = asker.refused();
            if !names.is_empty() {
                all.entry(asker.instance).or_default().extend(names);
            }
        }
        for list in all.values_mut() {
            list.sort();
        }
        all
    }

    /// Makes the tables what they must be, when they are not, and reads what was blocked.
    pub(super) async fn apply(&self) -> Result<(), RuntimeError> {
        let mut state = self.state.lock().await;
        let applied = self.apply_once(&mut state).await;
        if let Err(RuntimeError::NoEgressRules { reason }) = &applied {
            state.applied = None;
            self.stand(Err(reason.clone()));
        }
        applied
    }

    async fn apply_once(&self, state: &mut State) -> Result<(), RuntimeError> {
        let trouble = |reason: String| RuntimeError::NoEgressRules { reason };
        let found = member::all(&self.layout)?;
        let members: Vec<(InstanceId, Member)> =
            found.members.into_iter().filter(|(_, member)| member.address.is_some()).collect();
        self.know_askers(&members);
        let bridge = member::bridge(&self.layout)?;
        let (Some(bridge), false) = (bridge, members.is_empty()) else {
            state.resolver = None;
            return self.remove(state).await;
        };
        let program = self.program.as_ref().ok_or_else(|| trouble(self.tried().err().unwrap_or_default()))?;
        is_here(&bridge).map_err(trouble)?;
        if members.iter().any(|(_, member)| member.asks) {
            self.listen(state, bridge.gateway).await?;
        } else {
            state.resolver = None;
        }
        if state.resolved.is_none() {
            // The first of all: nothing starts before it is known where not to.
            state.control = self.find_control().await.unwrap_or_default();
            state.resolved = Some(Instant::now());
        }
        let own_ports: Vec<u16> = self
            .options
            .own_port
            .into_iter()
            .chain(self.options.control.iter().map(|(_, port)| *port))
            .collect();
        let only: Vec<Member> = members.iter().map(|(_, member)| member.clone()).collect();
        let facts = Facts {
            table: &self.table,
            bridge: &bridge,
            members: &only,
            own_ports: &own_ports,
            control: &state.control,
        };
        let listing = nft::list(program, &self.table).await.map_err(trouble)?;
        let wanted = rules::script(&facts, &Present::default());
        if listing.is_none() || state.applied.as_ref() != Some(&wanted) {
            let present = listing.as_ref().map(nft::present).unwrap_or_default();
            let mut is_new = listing.is_none();
            state.is_clean = false;
            if let Err(error) = nft::run(program, &rules::script(&facts, &present)).await {
                tracing::info!(error, "the packet filter's tables are made from nothing");
                is_new = true;
                nft::run(program, &(rules::removal(&self.table) + &wanted)).await.map_err(trouble)?;
            }
            if is_new {
                self.open_again(program).await.map_err(trouble)?;
            }
            state.applied = Some(wanted);
        }
        if let Some(listing) = listing {
            let read = members.iter().map(|(id, member)| (*id, nft::blocked(&listing, member)));
            *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) =
                read.filter(|(_, blocked)| !blocked.is_empty()).collect();
        }
        self.stand(Ok(()));
        Ok(())
    }

    async fn remove(&self, state: &mut State) -> Result<(), RuntimeError> {
        let trouble = |reason: String| RuntimeError::NoEgressRules { reason };
        let Some(program) = self.program.as_ref() else { return Ok(()) };
        // Where the rules cannot be there is nothing to remove.
        if self.standing().is_err() && state.applied.is_none() {
            return Ok(());
        }
        if !state.is_clean {
            nft::run(program, &rules::removal(&self.table)).await.map_err(trouble)?;
        }
        state.applied = None;
        state.is_clean = true;
        Ok(())
    }

    async fn listen(&self, state: &mut State, gateway: Ipv4Addr) -> Result<(), RuntimeError> {
        if state.resolver.as_ref().is_some_and(|resolver| resolver.is_at(gateway)) {
            return Ok(());
        }
        state.resolver = None;
        state.resolver = Some(Resolver::start(&self.own, gateway).await?);
        Ok(())
    }

    fn know_askers(&self, members: &[(InstanceId, Member)]) {
        let mut askers = self.askers.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *askers);
        for (instance, member) in members.iter().filter(|(_, member)| member.asks) {
            let Some(address) = member.address else { continue };
            let known = before.remove(&address).filter(|known| known.member.record == member.record);
            askers.insert(address, known.unwrap_or_else(|| Arc::new(Asker::new(*instance, member.clone()))));
        }
    }

    /// Looks where the control plane is by now, and makes the tables what they must be.
    pub(super) async fn refresh(&self) -> Result<(), RuntimeError> {
        let resolved = self.state.lock().await.resolved;
        if resolved.is_none_or(|at| RESOLVED < at.elapsed()) {
            // Outside of the lock: containers that start must not wait for a resolver that hangs.
            let found = self.find_control().await;
            let mut state = self.state.lock().await;
            state.control = found.unwrap_or(std::mem::take(&mut state.control));
            state.resolved = Some(Instant::now());
        }
        self.apply().await
    }

    /// Where the control plane is, if not on this host; `None` when that cannot be found out.
    async fn find_control(&self) -> Option<Vec<(Ipv4Addr, u16)>> {
        let Some((host, port)) = &self.options.control else { return Some(Vec::new()) };
        let asking = tokio::net::lookup_host((host.as_str(), *port));
        let found = match tokio::time::timeout(Duration::from_secs(3), asking).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(host, %error, "the control plane's name cannot be resolved");
                return None;
            }
            Err(_elapsed) => {
                tracing::debug!(host, "the control plane's name is not resolved in time");
                return None;
            }
        };
        let elsewhere = found.filter_map(|address| match address.ip() {
            IpAddr::V4(ip) if !ip.is_loopback() => Some((ip, *port)),
            _ => None,
        });
        let mut control: Vec<(Ipv4Addr, u16)> = elsewhere.collect();
        control.sort();
        control.dedup();
        Some(control)
    }
}

/// The engine may have another network than this process, where nothing can be enforced from here.
fn is_here(bridge: &Bridge) -> Result<(), String> {
    if super::network::index_of(&bridge.interface).is_some() {
        return Ok(());
    }
    Err(format!("the engine's network `{}` is not on the host of this DTMA", bridge.interface))
}
