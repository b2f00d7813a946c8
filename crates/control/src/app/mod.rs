//! What the control plane does: one file per resource, one function per act. It knows no HTTP.

pub(crate) mod accounts;
pub(crate) mod adoption;
pub(crate) mod agents;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod calls;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod console;
pub(crate) mod deployment;
pub(crate) mod diagnosis;
pub(crate) mod droplets;
pub(crate) mod enrolments;
pub(crate) mod environments;
pub(crate) mod fleet;
pub(crate) mod foreign;
pub(crate) mod heartbeats;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod instance_events;
pub(crate) mod instances;
pub(crate) mod invitations;
pub(crate) mod leases;
pub(crate) mod machines;
pub(crate) mod members;
pub(crate) mod metrics;
pub(crate) mod moves;
pub(crate) mod oauth;
pub(crate) mod oidc;
pub(crate) mod older;
pub(crate) mod own_values;
pub(crate) mod passwords;
pub(crate) mod playground;
pub(crate) mod problem;
pub(crate) mod quotas;
pub(crate) mod registries;
pub(crate) mod relay;
pub(crate) mod rules;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod tokens;
pub(crate) mod toolbelts;
pub(crate) mod upgrades;
pub(crate) mod upstreams;

use std::sync::Arc;
use std::time::Duration;

use api::events::Event;
use domain::ids::AccountId;
use store::Store;
use store::agents::AgentRow;
use store::instances::InstanceRow;
use store::toolbelts::ToolbeltRow;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::acme::AcmeStatus;
use crate::config::LocalWay;
use crate::directory::LiveDirectory;
use crate::dtma_client::DtmaClient;
use crate::events::Hub;
use crate::hosts::Hosts;
use crate::metrics::Metrics;
use crate::public::Public;
use crate::secrets::MasterKey;
pub(crate) use problem::Outcome;
pub use problem::Problem;

/// What every act needs. One per process.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) keys: Arc<MasterKey>,
    pub(crate) directory: Arc<LiveDirectory>,
    /// The path of calls, for those that a page makes in somebody's name.
    pub(crate) gateway: Arc<gateway::Gateway>,
    /// Toolbelts that run here.
    pub(crate) belts: crate::belts::Belts,
    /// What people called from pages.
    pub(crate) played: playground::Played,
    /// What signing in with a browser needs.
    pub(crate) browsers: crate::auth::browser::Browsers,
    /// Who vouches for people, when somebody does.
    pub(crate) oidc: Option<crate::auth::oidc::Provider>,
    pub(crate) events: Hub,
    pub(crate) dtma: DtmaClient,
    pub(crate) tunnels: crate::tunnels::Tunnels,
    pub(crate) metrics: Metrics,
    /// How much an account may have.
    pub(crate) quotas: crate::config::Quotas,
    /// What instances use and how they are called.
    pub(crate) usage: crate::usage::Usage,
    /// Lines of the audit of calls that are not written yet.
    pub(crate) calls: Arc<gateway::Records>,
    /// What hosts are enrolled with.
    pub(crate) program: crate::program::Program,
    /// What hosts are upgraded to.
    pub(crate) offered: crate::program::Program,
    /// Wakes the reconciler of upgrades.
    pub(crate) upgrades: Notify,
    /// A change of an instance was begun, or decided on.
    pub(crate) changes: Notify,
    pub(crate) public: Public,
    /// All addresses that lead here.
    pub(crate) bases: gateway::Bases,
    /// Fetches what strangers name.
    pub(crate) outside: crate::outside::Outside,
    /// How often one address may register clients.
    pub(crate) registrations: gateway::Buckets<std::net::IpAddr>,
    /// How often one person may type the code of a device.
    pub(crate) device_codes: gateway::Buckets<domain::ids::UserId>,
    /// Fetches packages for hosts that cannot.
    pub(crate) relay: relay::Relay,
    /// Fetches container images for the same.
    pub(crate) images: images::Images,
    /// What can be deployed, and where that is read from.
    pub(crate) catalog: catalog::Catalog,
    /// Asks authorization servers of servers that run elsewhere.
    pub(crate) upstreams: upstreams::Upstreams,
    /// The certificate of the public address, where an authority is asked for it.
    pub(crate) acme: Option<Arc<AcmeStatus>>,
    pub(crate) local: LocalWay,
    /// Between two heartbeats.
    pub(crate) heartbeat: Duration,
    /// Which hosts answer when they are dialled.
    pub(crate) hosts: Hosts,
    /// Ids that hosts wanted adopted and that are others', so that each is told once.
    pub(crate) refused: adoption::RefusedOnce,
    /// Wakes the deploy reconciler.
    pub(crate) deploy: Notify,
    /// Where droplets are made; absent without a token for it.
    pub(crate) provider: Option<crate::provider::Provider>,
    /// Wakes the reconciler of droplets.
    pub(crate) droplets: Notify,
    /// Who is told of what is broken.
    pub(crate) receivers: crate::receivers::Receivers,
    /// Wakes those who tell them.
    pub(crate) alerts: Notify,
    /// What the reconcilers last did.
    pub(crate) statuses: crate::tasks::Statuses,
    /// Done when the process ends: streams that have no end of their own end with it.
    pub(crate) stop: CancellationToken,
}

impl App {
    /// Where this control plane is reached from elsewhere.
    pub(crate) fn public(&self) -> &Public {
        &self.public
    }

    /// A DTMA that was silent for longer is unresponsive: three heartbeats.
    pub(crate) fn silence(&self) -> Duration {
        self.heartbeat.saturating_mul(3)
    }

    /// After a change of instances was committed: the gateway knows it before anybody is told, then the reconciler works.
    pub(crate) async fn changed(&self, rows: &[InstanceRow]) -> Outcome<()> {
        self.directory.refresh().await?;
        self.tell(rows);
        self.deploy.notify_one();
        Ok(())
    }

    /// After a change of what callers may do was committed: the picture first, so that who is asked for after that is made of it.
    ///
    /// # Errors
    /// What the store says; callers that are known stay known for some seconds.
    pub(crate) async fn callers_changed(&self) -> Result<(), store::StoreError> {
        self.directory.refresh().await?;
        self.directory.forget_tokens();
        Ok(())
    }

    /// After a change of a toolbelt, of its members or of what these have was committed: what agents may call follows from it.
    pub(crate) async fn belt_changed(&self, belt: &ToolbeltRow) -> Outcome<()> {
        self.callers_changed().await?;
        self.belts.settle().await;
        self.publish(belt.account, Event::Toolbelt { name: belt.name.as_str().to_owned() });
        Ok(())
    }

    /// After a change of an agent, or of what it may do, was committed.
    pub(crate) fn agent_changed(&self, agent: &AgentRow) {
        self.directory.forget_tokens();
        self.publish(agent.account, Event::Agent { name: agent.name.as_str().to_owned() });
    }

    /// Tells the listeners of each instance's account.
    pub(crate) fn tell(&self, rows: &[InstanceRow]) {
        if !self.events.is_heard() {
            return;
        }
        let picture = self.directory.picture();
        for row in rows {
            if let Some(instance) = instances::render(row, &picture, &self.public.url) {
                self.events.publish(row.account, Event::Instance(Box::new(instance)));
            }
        }
    }

    /// Tells the listeners of an account.
    pub(crate) fn publish(&self, account: AccountId, event: Event) {
        self.events.publish(account, event);
    }
}
