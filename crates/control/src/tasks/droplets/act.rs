//! One environment's steps: what the plan says is done here, one after the other, until there is something to wait for.

use std::sync::Arc;
use std::time::Duration;

use api::events::Event;
use digitalocean::{
    Droplet, DropletStatus, Earlier, Error, InboundRule, NewDroplet, NewFirewall, OutboundRule, Peers,
    Protocol,
};
use domain::ids::EnvironmentId;
use domain::provisioning::{Fault, Firewall, Machine, Record, Seen, Step, plan};
use domain::secret::Secret;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use store::Tx;
use store::droplets::{Change, DropletRow, Facts};
use store::environments::EnvironmentRow;

use super::BACKOFF;
use crate::app::droplets::cloud_init::{TooLarge, cloud_init};
use crate::app::droplets::failure;
use crate::app::environments::tell;
use crate::app::{App, Outcome, Problem, enrolments, instances};
use crate::provider::{Provider, advice, common_tag, operation, operation_tag};

/// A life has fewer steps; more at once are a fault of the plan, and the next look goes on.
const MOST_STEPS: u64 = 16;
/// What one may do to droplets of Berth's: leave, but let nobody in.
const OPEN: [(Protocol, &str); 3] = [(Protocol::Tcp, "all"), (Protocol::Udp, "all"), (Protocol::Icmp, "0")];

/// One environment, while it is worked on.
struct Work<'a> {
    app: &'a App,
    provider: &'a Provider,
    clock: &'a (dyn Fn() -> Timestamp + Send + Sync),
    environment: EnvironmentRow,
    droplet: DropletRow,
    /// What carries its tag; an error is the provider's.
    seen: Result<Vec<Droplet>, String>,
}

/// What a step came to.
enum Came {
    /// It is done: what is next?
    Done,
    /// There is something to wait for.
    Wait,
    /// The provider says no, or nothing.
    Failed(Error),
}

/// Does what is due; how many steps that were.
pub(super) async fn serve(
    app: &App,
    clock: &Arc<dyn Fn() -> Timestamp + Send + Sync>,
    id: EnvironmentId,
    mut seen: Result<Vec<Droplet>, String>,
) -> Outcome<u64> {
    let Some(provider) = &app.provider else { return Ok(0) };
    for steps in 0..MOST_STEPS {
        // As it is now: its owner may have changed it, and a heartbeat may have come.
        let Some(environment) = store::environments::by_id(&app.store, id).await? else { return Ok(steps) };
        let Some(droplet) = store::droplets::by_environment(&app.store, id).await? else { return Ok(steps) };
        let mut work = Work { app, provider, clock: clock.as_ref(), environment, droplet, seen };
        work.look_closer().await;
        work.note_what_is_seen().await?;
        let step = plan(&work.record(), &work.observed(), (work.clock)(), &provider.limits);
        let came = work.act(step).await?;
        match came {
            Came::Done => {}
            Came::Wait => return Ok(steps),
            Came::Failed(error) => {
                work.failed(step, &error).await?;
                return Ok(steps);
            }
        }
        seen = work.seen;
    }
    Ok(MOST_STEPS)
}

impl Work<'_> {
    fn at(&self) -> Timestamp {
        (self.clock)()
    }

    fn record(&self) -> Record {
        let (environment, droplet) = (&self.environment, &self.droplet);
        Record {
            wish: droplet.wish,
            status: environment.status,
            since: droplet.since,
            fault: droplet.fault,
            machine: environment.droplet.id,
            sent_at: droplet.sent_at,
            firewall: droplet.firewall,
            heartbeat: environment.last_heartbeat_at,
            next_try: droplet.next_try_at,
        }
    }

    fn observed(&self) -> Seen {
        let Ok(seen) = &self.seen else { return Seen::Unknown };
        // A tag that somebody put onto another machine destroys nothing; one of ours that was renamed is known by its number.
        let name = &self.droplet.order.name;
        let ours =
            |droplet: &&Droplet| droplet.name == *name || Some(droplet.id) == self.environment.droplet.id;
        let machine = |droplet: &Droplet| Machine {
            id: droplet.id,
            made: droplet.status != DropletStatus::New && droplet.public_v4().is_some(),
        };
        Seen::Machines(seen.iter().filter(ours).map(machine).collect())
    }

    /// A droplet whose number is known and that is not in the list is asked for by it: the list may be behind.
    async fn look_closer(&mut self) {
        let (Ok(seen), Some(id)) = (&mut self.seen, self.environment.droplet.id) else { return };
        if seen.iter().any(|droplet| droplet.id == id) {
            return;
        }
        match self.provider.quick.droplet(id).await {
            Ok(droplet) => seen.push(droplet),
            Err(Error::NotFound(_)) => {}
            Err(error) => self.seen = Err(error.to_string()),
        }
    }

    /// Writes down what is new of its droplet, or that the provider does not answer.
    async fn note_what_is_seen(&mut self) -> Outcome<()> {
        let id = self.environment.id;
        let changed = match &self.seen {
            Ok(seen) => {
                let its = seen.iter().find(|droplet| Some(droplet.id) == self.environment.droplet.id);
                match its {
                    Some(its) => self.note_facts(&its.clone()).await?,
                    None => false,
                }
            }
            Err(error)
                if self.droplet.trouble.is_none()
                    && super::is_under_way(self.environment.status, &self.droplet) =>
            {
                let (failures, next) = (self.droplet.failures, self.droplet.next_try_at);
                let mut tx = self.app.store.begin().await?;
                store::droplets::note_trouble(&mut tx, id, failures, next, Some(error)).await?;
                tx.commit().await?;
                self.droplet.trouble = Some(error.clone());
                true
            }
            Err(_) => false,
        };
        if changed {
            self.tell().await?;
        }
        Ok(())
    }

    /// Whether something of it was new.
    async fn note_facts(&mut self, its: &Droplet) -> Outcome<bool> {
        let (known, status) = (&self.environment.droplet, its.status.as_str());
        let address = its.public_v4();
        let same = known.id == Some(its.id)
            && known.name.as_deref() == Some(&its.name)
            && known.size_slug.as_deref() == Some(&its.size_slug)
            && self.environment.public_ip_address.as_deref() == address
            && self.droplet.provider_status.as_deref() == Some(status)
            && its.price_cents().is_none_or(|price| price == self.droplet.price_cents);
        if same {
            return Ok(false);
        }
        let price_cents = its.price_cents();
        let facts = Facts { id: its.id, name: &its.name, size: &its.size_slug, price_cents, address, status };
        let mut tx = self.app.store.begin().await?;
        store::droplets::note_facts(&mut tx, self.environment.id, &facts, self.at()).await?;
        tx.commit().await?;
        self.environment.droplet.id = Some(its.id);
        Ok(true)
    }

    async fn act(&mut self, step: Step) -> Outcome<Came> {
        tracing::debug!(environment = %self.environment.name, ?step, "a droplet");
        match step {
            Step::Wait => Ok(Came::Wait),
            Step::MakeFirewall => self.make_firewall().await,
            Step::Order { again } => self.order(again).await,
            Step::Adopt(id) => self.adopt(id).await,
            Step::Become(status, fault) => {
                let message = fault.map(|fault| failure(&self.environment, &self.droplet, fault, None));
                self.advance(status, fault, message.as_deref()).await
            }
            Step::Destroy(id) => match self.provider.client.delete_droplet(id).await {
                Ok(()) => {
                    tracing::info!(environment = %self.environment.name, droplet = id, "destroyed");
                    self.settle().await?;
                    // Whether it is gone the next look says.
                    Ok(Came::Wait)
                }
                Err(error) => Ok(Came::Failed(error)),
            },
            Step::CleanUp => self.clean_up().await,
            Step::Forget => self.forget().await,
        }
    }

    async fn make_firewall(&mut self) -> Outcome<Came> {
        self.set_firewall(Firewall::Perhaps).await?;
        let made = self.firewall().await;
        if let Err(error) = made {
            return Ok(Came::Failed(error));
        }
        self.set_firewall(Firewall::Made).await?;
        self.settle().await?;
        Ok(Came::Done)
    }

    /// The firewall goes by the tag that only this droplet gets, and is there before the droplet is.
    async fn firewall(&self) -> Result<(), Error> {
        let (client, id) = (&self.provider.client, self.environment.id);
        let (common, own) = (tag(common_tag())?, tag(operation_tag(id))?);
        client.create_tag(&common).await?;
        client.create_tag(&own).await?;
        let name = operation(id);
        if client.firewalls().await?.iter().any(|there| there.name == name) {
            return Ok(());
        }
        let ssh =
            InboundRule { protocol: Protocol::Tcp, ports: "22".to_owned(), sources: Peers::everybody() };
        let outbound = OPEN.map(|(protocol, ports)| OutboundRule {
            protocol,
            ports: ports.to_owned(),
            destinations: Peers::everybody(),
        });
        let wanted = NewFirewall {
            name,
            inbound_rules: if self.droplet.order.allow_ssh { vec![ssh] } else { Vec::new() },
            outbound_rules: outbound.to_vec(),
            droplet_ids: Vec::new(),
            tags: vec![own],
        };
        client.create_firewall(&wanted).await.map(drop)
    }

    /// Orders the droplet. One that is ordered again has the same user data, so that whichever comes true can enrol.
    async fn order(&mut self, again: bool) -> Outcome<Came> {
        let (id, keys) = (self.environment.id, &self.app.keys);
        let kept =
            self.droplet.user_data_sealed.as_deref().map(|sealed| keys.unseal(id.0, sealed)).transpose()?;
        // Read before others are kept waiting for the transaction.
        self.app.program.sha256().await.map_err(|error| Problem::Failed(Box::new(error)))?;
        let mut tx = self.app.store.begin().await?;
        let user_data = match kept {
            Some(kept) => Ok(kept),
            None => self.user_data(&mut tx).await?,
        };
        let user_data = match user_data {
            Ok(user_data) => user_data,
            Err(error) => {
                drop(tx);
                return self.refused(&error.to_string()).await;
            }
        };
        let sealed = keys.seal(id.0, user_data.expose())?;
        if !store::droplets::note_sending(&mut tx, id, &sealed, self.at()).await? {
            // Nobody wants it any more.
            return Ok(Came::Done);
        }
        tx.commit().await?;
        let made = self.create(user_data.expose(), again).await;
        match made {
            Ok(droplet) => {
                tracing::info!(environment = %self.environment.name, droplet = droplet.id, "made");
                let number = droplet.id;
                if let Ok(seen) = &mut self.seen
                    && !seen.iter().any(|known| known.id == number)
                {
                    seen.push(droplet);
                }
                self.adopt(number).await
            }
            Err(error) => Ok(Came::Failed(error)),
        }
    }

    /// What the droplet runs when it first starts, with a token of its own.
    async fn user_data(&self, tx: &mut Tx) -> Outcome<Result<Secret, TooLarge>> {
        let (token, _) = enrolments::issue(tx, &self.environment, enrolments::LIFETIME).await?;
        let line = enrolments::command(self.app, &token).await?;
        // A droplet comes with none of what instances need.
        Ok(cloud_init(&format!("{} --install-missing", line.expose())))
    }

    async fn create(&self, user_data: &str, again: bool) -> Result<Droplet, Error> {
        let made = &self.environment.droplet;
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let mut wanted = NewDroplet::new(
            &self.droplet.order.name,
            &text(&made.region_slug),
            &text(&made.size_slug),
            &text(&made.image_slug),
        );
        let own = tag(operation_tag(self.environment.id))?;
        wanted.tags = vec![tag(common_tag())?, own.clone()];
        wanted.ssh_keys = self.droplet.order.ssh_keys.iter().map(|key| key.as_str().into()).collect();
        wanted.user_data = Some(user_data.to_owned());
        let earlier = if again { Earlier::Perhaps } else { Earlier::Never };
        self.provider.client.create_droplet(&wanted, &own, earlier).await.map(|created| created.droplet)
    }

    async fn adopt(&mut self, number: u64) -> Outcome<Came> {
        let its = self.seen.as_ref().ok().and_then(|seen| seen.iter().find(|droplet| droplet.id == number));
        let Some(its) = its.cloned() else { return Ok(Came::Wait) };
        self.note_facts(&its).await?;
        if self.environment.status == EnvironmentStatus::Creating {
            return self.advance(EnvironmentStatus::Provisioning, None, None).await;
        }
        self.settle().await?;
        Ok(Came::Done)
    }

    async fn clean_up(&mut self) -> Outcome<Came> {
        let (client, id) = (&self.provider.client, self.environment.id);
        let name = operation(id);
        let removed = async {
            for firewall in client.firewalls().await?.iter().filter(|there| there.name == name) {
                client.delete_firewall(&firewall.id).await?;
            }
            client.delete_tag(&tag(operation_tag(id))?).await
        };
        if let Err(error) = removed.await {
            return Ok(Came::Failed(error));
        }
        self.set_firewall(Firewall::None).await?;
        self.settle().await?;
        Ok(Came::Done)
    }

    /// Nothing is left at the provider: the row goes, and with it the instances that were to go.
    async fn forget(&mut self) -> Outcome<Came> {
        let (app, environment) = (self.app, &self.environment);
        let mut tx = app.store.begin().await?;
        let gone = store::instances::delete_marked_of(&mut tx, environment.id).await?;
        store::enrolments::forget(&mut tx, environment.id).await?;
        let left = store::environments::remove(&mut tx, environment.id).await?;
        if !left.is_empty() {
            drop(tx);
            let names: Vec<&str> = left.iter().map(domain::names::InstanceName::as_str).collect();
            let message = format!(
                "its droplet is gone; the environment goes when its instances are removed: {}",
                names.join(", ")
            );
            return self
                .advance(EnvironmentStatus::ErrorDeletion, None, Some(&message))
                .await
                .map(|_| Came::Wait);
        }
        tx.commit().await?;
        app.tunnels.close(environment.id);
        app.directory.refresh().await?;
        for instance in &gone {
            instances::tell_removed(app, instance);
        }
        tracing::info!(environment = %environment.name, "nothing of it is left");
        let name = environment.name.as_str().to_owned();
        app.publish(environment.account, Event::EnvironmentRemoved { name });
        Ok(Came::Wait)
    }

    /// What the provider said, and when it is asked again; or that it is not.
    async fn failed(&mut self, step: Step, error: &Error) -> Outcome<()> {
        let orders = matches!(step, Step::MakeFirewall | Step::Order { .. });
        if orders && !error.may_pass() {
            return self.refused(&format!("{error}; {}", advice(error))).await.map(drop);
        }
        tracing::warn!(environment = %self.environment.name, ?step, %error, "DigitalOcean did not do it");
        let failures = self.droplet.failures.saturating_add(1);
        let mut wait = BACKOFF.wait(failures);
        if let Error::RateLimited { wait: limit, .. } = error {
            wait = wait.max(*limit);
        }
        let words = if error.may_pass() { error.to_string() } else { format!("{error}; {}", advice(error)) };
        let mut tx = self.app.store.begin().await?;
        let next = after(self.at(), wait);
        store::droplets::note_trouble(&mut tx, self.environment.id, failures, next, Some(&words)).await?;
        tx.commit().await?;
        self.tell().await
    }

    async fn refused(&mut self, why: &str) -> Outcome<Came> {
        tracing::warn!(environment = %self.environment.name, why, "no droplet can be made");
        let message = failure(&self.environment, &self.droplet, Fault::Refused, Some(why));
        self.advance(EnvironmentStatus::ErrorCreation, Some(Fault::Refused), Some(&message)).await
    }

    async fn advance(
        &mut self,
        to: EnvironmentStatus,
        fault: Option<Fault>,
        message: Option<&str>,
    ) -> Outcome<Came> {
        let from = self.environment.status;
        let mut tx = self.app.store.begin().await?;
        let change = Change { from, to, fault, message };
        let done = store::droplets::advance(&mut tx, self.environment.id, &change, self.at()).await?;
        tx.commit().await?;
        if done {
            tracing::info!(environment = %self.environment.name, %from, %to, message, "a droplet");
            self.app.directory.refresh().await?;
            self.tell().await?;
        }
        Ok(Came::Done)
    }

    async fn set_firewall(&self, firewall: Firewall) -> Outcome<()> {
        let mut tx = self.app.store.begin().await?;
        store::droplets::set_firewall(&mut tx, self.environment.id, firewall).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What failed before is over.
    async fn settle(&self) -> Outcome<()> {
        if self.droplet.failures == 0 && self.droplet.trouble.is_none() {
            return Ok(());
        }
        let mut tx = self.app.store.begin().await?;
        store::droplets::note_trouble(&mut tx, self.environment.id, 0, Timestamp(0), None).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn tell(&self) -> Outcome<()> {
        match store::environments::by_id(&self.app.store, self.environment.id).await? {
            Some(row) => tell(self.app, row).await,
            None => Ok(()),
        }
    }
}

fn tag(tag: Result<digitalocean::Tag, digitalocean::TagError>) -> Result<digitalocean::Tag, Error> {
    tag.map_err(|error| Error::Unsendable { field: "tags", reason: error.to_string() })
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
}
