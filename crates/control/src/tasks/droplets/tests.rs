//! Whatever the provider, the network or the control plane's own process does: in the end exactly the wanted droplets are there,
//! and every row says what is so. `BERTH_DROPLET_CASES` makes it more cases; a failure prints its smallest case.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use digitalocean::DropletAction;
use domain::ids::EnvironmentId;
use domain::provisioning::{Fault as Why, Firewall, Limits};
use domain::status::{MemoryMetrics, SystemMetrics};
use proptest::prelude::*;
use store::droplets::Order;
use store::environments::{Droplet as Machine, EnvironmentRow, Health, HeartbeatRow};
use testkit::digitalocean::{Config as FakeConfig, Fake, Fault, TOKEN};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{Config, DigitalOcean};
use crate::reach::Way;

const CASES: u32 = 60;

/// What happens in one round, before the reconciler looks.
#[derive(Debug, Clone)]
enum Chance {
    /// Nothing out of order.
    Nothing,
    /// The next requests of this kind meet this.
    Fault(&'static str, &'static str, Fault, usize),
    /// The reconciler's process ends after so many microseconds of work, and another one starts.
    Killed(u64),
    /// Every machine that is on reports.
    Beat,
    /// Somebody destroys the first droplet past Berth.
    Theft,
    /// The first environment is not wanted any more.
    Unwanted,
    /// The first environment gets another name; its droplet has the one that it was ordered with.
    Renamed,
    /// Time passes, in seconds.
    Later(u64),
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let fault = prop_oneof![
        2 => Just(Fault::Lost),
        2 => (1..100u64).prop_map(|seconds| Fault::LostLate(Duration::from_secs(seconds))),
        1 => Just(Fault::Cut),
        1 => Just(Fault::Before(503)),
        1 => Just(Fault::After(502)),
        1 => Just(Fault::Garbled),
        1 => Just(Fault::TooMany { retry_after: Some(29) }),
        1 => Just(Fault::Before(403)),
    ];
    let order = fault.clone().prop_map(|fault| Chance::Fault("POST", "/v2/droplets", fault, 1));
    let any = (fault, 1..20usize).prop_map(|(fault, times)| Chance::Fault("", "/v2/", fault, times));
    let chance = prop_oneof![
        2 => Just(Chance::Nothing),
        3 => order,
        3 => any,
        1 => Just(Chance::Fault("POST", "/v2/droplets", Fault::NeverBoots, 1)),
        1 => Just(Chance::Fault("DELETE", "/v2/", Fault::Before(500), 9)),
        3 => (0..4000u64).prop_map(Chance::Killed),
        2 => Just(Chance::Beat),
        1 => Just(Chance::Theft),
        2 => prop_oneof![Just(Chance::Unwanted), Just(Chance::Renamed)],
        2 => (1..200u64).prop_map(Chance::Later),
    ];
    prop::collection::vec(chance, 1..10)
}

struct World {
    app: Arc<App>,
    fake: Fake,
    clock: Arc<AtomicI64>,
    sequence: u64,
    cases: u32,
    _dir: tempfile::TempDir,
}

fn limits() -> Limits {
    let seconds = Duration::from_secs;
    Limits {
        creating: seconds(300),
        provisioning: seconds(200),
        first_heartbeat: seconds(200),
        deleting: seconds(200),
        quarantine: seconds(120),
        silence: seconds(45),
    }
}

impl World {
    async fn new() -> Self {
        let fake = Fake::start(FakeConfig {
            hourly: usize::MAX,
            burst: usize::MAX,
            boots_after: Duration::from_secs(20),
            network_after: Duration::from_secs(10),
            listed_after: Duration::from_secs(3),
            ..FakeConfig::default()
        });
        let token = digitalocean::Token::new(TOKEN).unwrap();
        let mut settings = digitalocean::Settings::at(&fake.url(), token).unwrap();
        settings.first_wait = Duration::from_millis(1);
        settings.settle = Duration::from_millis(2);
        settings.give_up_after = Duration::from_millis(20);
        settings.answer_within = Duration::from_secs(1);
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            digitalocean: Some(DigitalOcean { limits: limits(), ..DigitalOcean::new(settings) }),
            ..Config::new(dir.path().join("control"), crate::Public::new("http://127.0.0.1:1", None).unwrap())
        };
        crate::setup(&config).await.unwrap();
        let app = crate::serve::assemble(&config, CancellationToken::new()).await.unwrap();
        let clock = Arc::new(AtomicI64::new(crate::directory::now().0));
        Self { app, fake, clock, sequence: 0, cases: 0, _dir: dir }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::Relaxed))
    }

    fn pass(&self, seconds: u64) {
        self.fake.advance(Duration::from_secs(seconds));
        self.clock.fetch_add(i64::try_from(seconds).unwrap() * 1_000_000, Ordering::Relaxed);
    }

    fn reconciler(&self) -> Reconciler {
        let clock = Arc::clone(&self.clock);
        Reconciler::new(Arc::new(move || Timestamp(clock.load(Ordering::Relaxed))))
    }

    async fn add(&mut self) -> EnvironmentId {
        self.cases += 1;
        let account =
            store::accounts::account_by_name(&self.app.store, &"default".parse().unwrap()).await.unwrap();
        let id = EnvironmentId::generate();
        let text = |text: &str| Some(text.to_owned());
        let row = EnvironmentRow {
            droplet: Machine {
                id: None,
                name: None,
                region_slug: text("fra1"),
                size_slug: text("s-1vcpu-1gb"),
                image_slug: text("debian-13-x64"),
            },
            dtma_token_sealed: Some(self.app.keys.seal(id.0, "x").unwrap()),
            ..EnvironmentRow::new(
                id,
                account.unwrap().id,
                format!("far-{}", self.cases).parse().unwrap(),
                EnvironmentStatus::Creating,
                serde_json::to_value(Way::Tunnel).unwrap(),
                self.now(),
            )
        };
        let droplet = DropletRow {
            environment: id,
            wish: Wish::Present,
            since: self.now(),
            fault: None,
            sent_at: None,
            firewall: Firewall::None,
            order: Order { name: format!("berth-far-{}", self.cases), ..Order::default() },
            user_data_sealed: None,
            price_cents: 600,
            failures: 0,
            next_try_at: Timestamp(0),
            trouble: None,
            provider_status: None,
        };
        let mut tx = self.app.store.begin().await.unwrap();
        store::environments::insert(&mut tx, &row, None).await.unwrap();
        store::droplets::insert(&mut tx, &droplet).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn state(&self, id: EnvironmentId) -> Option<(EnvironmentRow, DropletRow)> {
        let row = store::environments::by_id(&self.app.store, id).await.unwrap()?;
        Some((row, store::droplets::by_environment(&self.app.store, id).await.unwrap()?))
    }

    fn machines(&self, id: EnvironmentId) -> Vec<u64> {
        let tag = crate::provider::operation(id);
        let all = self.fake.machines().into_iter();
        all.filter(|machine| machine.tags.contains(&tag)).map(|machine| machine.id).collect()
    }

    async fn beat(&mut self, id: EnvironmentId) {
        let Some((row, droplet)) = self.state(id).await else { return };
        let on = droplet.provider_status.as_deref() == Some("active");
        if !on || !row.droplet.id.is_some_and(|number| self.machines(id).contains(&number)) {
            return;
        }
        self.sequence += 1;
        let memory = MemoryMetrics { total_bytes: 1, active_bytes: 0, free_bytes: 1, used_bytes: 0 };
        let system = SystemMetrics { cpu_load_percent: 0.0, cores: 1, memory, disk: None, uptime_seconds: 1 };
        let heartbeat = HeartbeatRow {
            dtma_version: "0.1.0".to_owned(),
            health: Health { system, protections: Vec::new(), program: None },
            dtma_started_at: Timestamp(1),
            sequence: self.sequence,
            at: self.now(),
            silent_before: Timestamp(0),
        };
        let mut tx = self.app.store.begin().await.unwrap();
        store::environments::record_heartbeat(&mut tx, id, &heartbeat).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn unwanted(&self, id: EnvironmentId) {
        let mut tx = self.app.store.begin().await.unwrap();
        store::droplets::want_absent(&mut tx, id, self.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn rename(&self, id: EnvironmentId) {
        let name = format!("other-{}", self.cases).parse().unwrap();
        let mut tx = self.app.store.begin().await.unwrap();
        // It may be gone already.
        if store::environments::rename(&mut tx, id, &name, self.now()).await.is_ok() {
            tx.commit().await.unwrap();
        }
    }

    async fn happen(&mut self, chance: &Chance, ids: &[EnvironmentId]) {
        match chance {
            Chance::Nothing | Chance::Killed(_) => {}
            Chance::Fault(method, path, fault, times) => {
                for _ in 0..*times {
                    self.fake.inject(method, path, fault.clone());
                }
            }
            Chance::Beat => {
                for &id in ids {
                    self.beat(id).await;
                }
            }
            Chance::Theft => {
                if let Some(machine) = self.fake.machines().first() {
                    self.fake.destroy(machine.id);
                }
            }
            Chance::Unwanted => self.unwanted(ids[0]).await,
            Chance::Renamed => self.rename(ids[0]).await,
            Chance::Later(seconds) => self.pass(*seconds),
        }
    }

    /// One look, and everything that comes of it.
    async fn look(&self, reconciler: &mut Reconciler) {
        reconciler.look(&self.app).await;
        while let Some(worked) = reconciler.working.join_next_with_id().await {
            reconciler.finish(worked);
        }
    }

    /// What is so, compared with what its row says; an error is what does not fit.
    async fn check(&self, id: EnvironmentId) -> Result<(), String> {
        let there = self.machines(id);
        let Some((row, droplet)) = self.state(id).await else {
            return if there.is_empty() { Ok(()) } else { Err(format!("forgotten: {there:?}")) };
        };
        let known = row.droplet.id.is_some_and(|number| there == [number]);
        let fits = match row.status {
            EnvironmentStatus::ErrorProvisioning if droplet.fault == Some(Why::NoHeartbeat) => known,
            EnvironmentStatus::ErrorCreation
            | EnvironmentStatus::Deprovisioned
            | EnvironmentStatus::ErrorProvisioning => there.is_empty(),
            EnvironmentStatus::Active | EnvironmentStatus::Unresponsive => known,
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{there:?} are there, and it says {row:#?} {droplet:#?}")) }
    }

    async fn case(&mut self, chances: &[Chance], two: bool) -> Result<(), String> {
        let mut ids = vec![self.add().await];
        if two {
            ids.push(self.add().await);
        }
        let mut reconciler = self.reconciler();
        for chance in chances {
            self.happen(chance, &ids).await;
            if let Chance::Killed(micros) = chance {
                let span = Duration::from_micros(*micros);
                // What was asked of the provider may be carried out all the same.
                let _ = tokio::time::timeout(span, self.look(&mut reconciler)).await;
                reconciler = self.reconciler();
            } else {
                self.look(&mut reconciler).await;
            }
            self.pass(7);
        }
        self.fake.clear_faults();
        for _ in 0..16 {
            self.look(&mut reconciler).await;
            self.pass(60);
        }
        for &id in &ids {
            self.check(id).await?;
        }
        for &id in &ids {
            self.unwanted(id).await;
        }
        for _ in 0..8 {
            self.look(&mut reconciler).await;
            self.pass(60);
        }
        for &id in &ids {
            if let Some((row, droplet)) = self.state(id).await {
                return Err(format!("it is not forgotten: {row:#?} {droplet:#?}"));
            }
        }
        let machines = self.fake.machines();
        if !machines.is_empty() {
            return Err(format!("these are left: {machines:#?}"));
        }
        let provider = self.app.provider.as_ref().unwrap();
        let firewalls = provider.client.firewalls().await.unwrap();
        if firewalls.is_empty() { Ok(()) } else { Err(format!("these are left: {firewalls:#?}")) }
    }
}

/// What is done at the provider's own pages is told for what it is, and told apart from a host agent that is silent.
#[tokio::test]
async fn what_is_done_past_berth_is_recognised() {
    use EnvironmentStatus::{Active, Deprovisioned, Unresponsive};
    struct Case {
        what: &'static str,
        done: Vec<DropletAction>,
        moves: bool,
        destroys: bool,
        reports: bool,
        status: EnvironmentStatus,
        says: &'static str,
    }
    let case = |what, status, says| {
        let (done, reports) = (Vec::new(), status == Active);
        Case { what, done, moves: false, destroys: false, reports, status, says }
    };
    let resize = DropletAction::Resize { size: "s-2vcpu-2gb".to_owned(), disk: false };
    let off = || DropletAction::PowerOff;
    let cases = [
        case("its agent is silent", Unresponsive, "is on at DigitalOcean"),
        Case { done: vec![off()], ..case("switched off", Unresponsive, "is off at DigitalOcean") },
        Case { done: vec![off(), DropletAction::PowerOn], ..case("switched off and on", Active, "") },
        Case {
            done: vec![DropletAction::Rebuild { image: "debian-12-x64".into() }],
            ..case("rebuilt", Unresponsive, "one that was rebuilt is enrolled again")
        },
        Case { done: vec![off(), resize, DropletAction::PowerOn], ..case("resized", Active, "") },
        Case { moves: true, ..case("moved to another address", Active, "") },
        Case { destroys: true, ..case("destroyed", Deprovisioned, "was destroyed outside Berth") },
    ];
    for Case { what, done, moves, destroys, reports, status, says } in cases {
        let mut world = World::new().await;
        let id = world.add().await;
        let mut reconciler = world.reconciler();
        for _ in 0..6 {
            world.look(&mut reconciler).await;
            world.pass(15);
            world.beat(id).await;
        }
        let (row, _) = world.state(id).await.unwrap();
        assert_eq!(row.status, Active, "{what}: before");
        let (number, before) = (row.droplet.id.unwrap(), row.public_ip_address.clone());

        let is_resized = done.iter().any(|action| matches!(action, DropletAction::Resize { .. }));
        for action in &done {
            world.app.provider.as_ref().unwrap().client.begin_action(number, action).await.unwrap();
            world.pass(60);
        }
        if moves {
            assert!(world.fake.readdress(number, std::net::Ipv4Addr::new(203, 0, 113, 77)));
        }
        if destroys {
            assert!(world.fake.destroy(number));
        }
        world.pass(60);
        world.look(&mut reconciler).await;
        if reports {
            world.beat(id).await;
        } else {
            let mut tx = world.app.store.begin().await.unwrap();
            store::environments::mark_unresponsive(&mut tx, world.now(), world.now()).await.unwrap();
            tx.commit().await.unwrap();
        }
        world.look(&mut reconciler).await;

        let (row, droplet) = world.state(id).await.unwrap();
        assert_eq!(row.status, status, "{what}");
        let message = crate::app::droplets::message_of(&world.app, &row, &droplet).unwrap_or_default();
        assert!(message.contains(says), "{what}: {message}");
        let shown = crate::app::droplets::render(&row, &droplet);
        let size = if is_resized { ("s-2vcpu-2gb", 18.0) } else { ("s-1vcpu-1gb", 6.0) };
        assert_eq!((shown.size.as_str(), shown.price_monthly), size, "{what}");
        assert_eq!(shown.address == before, !moves, "{what}: {:?}", shown.address);
    }
}

#[test]
fn in_the_end_exactly_the_wanted_droplets_are_there() {
    let cases = std::env::var("BERTH_DROPLET_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = std::cell::RefCell::new(runtime.block_on(World::new()));
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::with_cases(cases)
    };
    proptest!(config, |(chances in chances(), two in any::<bool>())| {
        let mut world = world.borrow_mut();
        let done = runtime.block_on(world.case(&chances, two));
        if done.is_err() {
            // What this case left is no matter of the next one.
            *world = runtime.block_on(World::new());
        }
        prop_assert!(done.is_ok(), "{}", done.unwrap_err());
    });
}
