//! One instance's reconciler: looks, asks [`crate::plan`] for the step, takes it, publishes the report, looks again.
//!
//! It is one task per instance, so that a slow install or a hung shim keeps nobody else waiting. It reads what is
//! wanted at the head of every round and takes no other input; being woken early is always harmless.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use domain::backoff::Backoff;
use domain::ids::InstanceId;
use domain::package::Package;
use domain::shim::{ServerState, ShimStatus};
use domain::spec::InstanceSpec;
use domain::status::{InstanceStatus, Progress};
use domain::time::Timestamp;
use hop::address::Address;
use hop::pool::Pool;
use http::HeaderValue;
use runtime::error::RuntimeError;
use runtime::{Prepared, Runtime};
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::time::Instant;

use crate::face::{Changes, Face, Order};
use crate::leases::Leases;
use crate::life::Life;
use crate::metrics::{InstallLabels, Metrics, Truth};
use crate::note::Removed;
use crate::plan::{self, Install, Installed, Mark, Observed, Record, Shim, Step};
use crate::shim_client::{self, Answer};
use crate::specs::Specs;
use crate::tokens::{self, Taken, Tokens};

mod report;
mod trouble;

use trouble::Trouble;

/// A shim that was told to end has this long to stop its server; then both are killed.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);
/// As above, for a container tool: its image's own way of ending may take longer.
const TOOL_SHUTDOWN_LIMIT: Duration = Duration::from_secs(12);
/// As above, for an instance whose lease has ended: with the kill afterwards it is within [`domain::lease::STOP`].
const LEASE_SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
/// The pause before something that the host refused (a kill, a removal) is tried again: short at first, because an engine
/// that is started again is there in a moment.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(2),
    healthy_after: Duration::MAX,
    crash_loop_after: u32::MAX,
};

/// What all instances share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Starts and clears away.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Connections to shims.
    pub(crate) pool: Pool<Body>,
    /// The disk.
    pub(crate) specs: Specs,
    /// The directory of the socket directories.
    pub(crate) sockets: PathBuf,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Told of every change of a report.
    pub(crate) changes: Changes,
    /// What older callers removed and the control plane must be told of.
    pub(crate) removed: Removed,
    /// Until when instances with a lease may run.
    pub(crate) leases: Leases,
    /// Where tokens that shims ask for come from; absent: there is no control plane.
    pub(crate) tokens: Option<Tokens>,
    /// The port that this DTMA listens on, which no instance can have.
    pub(crate) own_port: Option<u16>,
    /// Installs at a time: they are heavy, and a host that starts with twenty instances has few cores.
    pub(crate) installs: Semaphore,
    /// Held by whoever installs, until what they installed is known to be needed; a cleanup holds it alone.
    pub(crate) installing: RwLock<()>,
}

impl Shared {
    /// Where the shim of an instance listens.
    pub(crate) fn address(&self, id: InstanceId) -> Address {
        shim_client::address(&self.sockets.join(id.to_string()))
    }
}

/// How an instance's task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing of it is left.
    Removed,
    /// It is stopped, and comes back with the next start of the DTMA.
    Halted,
}

/// Keeps one instance as it is wanted until it is removed or halted.
pub(crate) async fn run(shared: Arc<Shared>, face: Arc<Face>, id: InstanceId, record: Record) -> End {
    let address = shared.address(id);
    let order = face.order.subscribe();
    let mut instance = Instance {
        shared,
        face,
        order,
        id,
        address,
        record,
        prepared: None,
        life: None,
        status: None,
        tag: None,
        heard: None,
        deaf_since: None,
        silences: 0,
        clean: false,
        killed: false,
        failures: 0,
        not_before: Instant::now(),
        trouble: None,
        refusals: 0,
        installs_failed: (0, Instant::now()),
        known: None,
        taken: Taken::default(),
    };
    instance.keep().await
}

struct Instance {
    shared: Arc<Shared>,
    face: Arc<Face>,
    order: watch::Receiver<Order>,
    id: InstanceId,
    address: Address,
    record: Record,
    /// What this process has installed or found installed.
    prepared: Option<(Mark, Prepared)>,
    /// The shim's process, when it is known.
    life: Option<Life>,
    /// The shim's last answer.
    status: Option<ShimStatus>,
    /// What the shim calls that answer.
    tag: Option<HeaderValue>,
    /// What it has said since it was last looked at.
    heard: Option<Answer>,
    deaf_since: Option<Instant>,
    silences: u32,
    clean: bool,
    /// Whether the last step was a kill too.
    killed: bool,
    failures: u32,
    not_before: Instant,
    /// What the host refused last; cleared by the next success.
    trouble: Option<Trouble>,
    /// What the host refused in a row.
    refusals: u32,
    /// Installs in a row that failed for now, and when the next is due.
    installs_failed: (u32, Instant),
    /// The spec, as of the last look.
    known: Option<Arc<InstanceSpec>>,
    /// Which of the shim's questions were taken up.
    taken: Taken,
}

impl Instance {
    async fn keep(&mut self) -> End {
        loop {
            let order = self.order.borrow_and_update().clone();
            let stopping = match &order {
                Order::Keep(spec) => {
                    let before = self.known.replace(Arc::clone(spec));
                    if before.is_some_and(|before| before.registry != spec.registry) {
                        // What could not be pulled may be open now.
                        self.record.failed = None;
                    }
                    self.round(spec).await;
                    continue;
                }
                Order::Unreadable(reason) => {
                    self.unreadable(reason);
                    self.face.seen.send_replace(true);
                    self.pause(Duration::MAX).await;
                    continue;
                }
                Order::Remove(_) => InstanceStatus::Deleting,
                Order::Halt(_) => InstanceStatus::Stopping,
            };
            self.say(order.generation(), |report| {
                report.status = stopping;
                report.message = None;
                report.progress = None;
            });
            self.face.seen.send_replace(true);
            if !self.clear(&order).await {
                self.pause_refused().await;
                continue;
            }
            if let Order::Halt(_) = order {
                self.say(order.generation(), |report| report.status = InstanceStatus::Stopped);
                return End::Halted;
            }
            match self.forget().await {
                Ok(()) => return End::Removed,
                Err(error) => {
                    tracing::warn!(instance = %self.id, error, "the instance's files cannot be removed; trying again");
                    self.say(order.generation(), |report| {
                        report.message = Some(format!("its files cannot be removed: {error}"));
                    });
                    self.pause_refused().await;
                }
            }
        }
    }

    /// One look and one step.
    async fn round(&mut self, spec: &Arc<InstanceSpec>) {
        let observed = self.observe(spec).await;
        let step = plan::next(spec, &observed);
        if let (Shim::Answers(_), Step::Watch(_)) = (&observed.shim, step) {
            self.untroubled();
        }
        self.report(spec, &observed, step);
        self.face.seen.send_replace(true);
        self.killed &= step == Step::Kill;
        match step {
            Step::Install => self.install(spec).await,
            Step::Start => self.start(spec).await,
            Step::ShutDown => self.shut_down(spec).await,
            Step::Kill => self.kill_again().await,
            Step::Watch(time) => self.watch(spec, &observed, time).await,
            Step::Rest => self.pause(Duration::MAX).await,
        }
    }

    /// Asks the shim how it is, and the kernel whether it lives.
    async fn observe(&mut self, spec: &Arc<InstanceSpec>) -> Observed {
        let until = self.shared.leases.of(self.id, spec.lease_seconds).until();
        let mut answer = match self.heard.take() {
            Some(answer) => answer,
            None => shim_client::status(&self.shared.pool, &self.address, &spec.key, until).await,
        };
        self.tag = None;
        if let (Answer::Status(status, _), Some(life)) = (&answer, &mut self.life)
            && life.end().is_some()
        {
            if life.pid == status.pid {
                // Its last words; it has ended since.
                answer = Answer::Refused;
            } else {
                // The one we started found another in its place and left.
                self.life = None;
            }
        }
        let shim = match answer {
            Answer::Status(status, tag) if status.instance == self.id => {
                self.tag = tag;
                self.silences = 0;
                self.deaf_since = None;
                self.clean = false;
                if self.life.is_none() && self.status.as_ref().is_none_or(|known| known.pid != status.pid) {
                    self.adopt(spec, &status);
                }
                tokens::take_up(&self.shared, spec, &status, &mut self.taken);
                self.status = Some(status.clone());
                Shim::Answers(status)
            }
            Answer::Status(..) | Answer::WrongKey => Shim::Foreign,
            Answer::Silent => {
                self.silences += 1;
                Shim::Silent { times: self.silences }
            }
            Answer::Refused => {
                self.silences = 0;
                match self.life.as_mut().map(Life::end) {
                    Some(None) => {
                        let since = *self.deaf_since.get_or_insert_with(Instant::now);
                        Shim::Deaf { since: since.elapsed() }
                    }
                    Some(Some(how)) => {
                        self.died(&how);
                        Shim::Absent { clean: self.clean }
                    }
                    None => {
                        // It answered before, on a host that gives no descriptor of a process.
                        if self.status.is_some() {
                            self.died("unknown");
                        }
                        Shim::Absent { clean: self.clean }
                    }
                }
            }
        };
        let mark = Mark::of(spec);
        let install = match (&self.prepared, &self.record.failed) {
            (Some((of, _)), _) if *of == mark => Install::Done,
            (_, Some(failed)) if failed.mark == mark => Install::Failed {
                message: failed.message.clone(),
                again: failed
                    .for_now
                    .then(|| self.installs_failed.1.saturating_duration_since(Instant::now())),
            },
            // What is part of the binary is always there.
            _ if self.record.installed.is_none() && !is_builtin(spec) => Install::Never,
            _ => Install::Unknown,
        };
        Observed {
            shim,
            started: self.record.started,
            install,
            failures: self.failures,
            // Something new is tried at once.
            wait: if self.record.started == Some(mark) {
                self.not_before.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            },
            now: now(),
            lease: self.shared.leases.of(self.id, spec.lease_seconds),
        }
    }

    /// Takes over a shim that an earlier DTMA started.
    fn adopt(&mut self, spec: &InstanceSpec, status: &ShimStatus) {
        self.life = Life::of_pid(status.pid);
        if self.record.started.is_none() {
            self.record.started =
                Some(Mark { generation: status.generation, restarts_asked: spec.restarts_asked });
        }
        if !self.shared.runtime.keeps(self.id) {
            tracing::info!(instance = %self.id, "a living shim was found that runs where none is to run any more; it is replaced");
            self.record.started = None;
            return;
        }
        tracing::info!(instance = %self.id, pid = status.pid, generation = status.generation, "a living shim was found and is kept");
    }

    /// The shim ended and nobody had asked it to.
    fn died(&mut self, how: &str) {
        let lived = self.life.take().map(|life| life.since.elapsed()).unwrap_or_default();
        self.failures = Backoff::OWN.failures_after(self.failures, lived);
        self.not_before = Instant::now() + Backoff::OWN.wait(self.failures);
        self.clean = false;
        self.deaf_since = None;
        let restarts = self.status.take().map_or(0, |status| status.restarts);
        self.record.restarts = self.record.restarts.saturating_add(restarts).saturating_add(1);
        self.shared.metrics.shim_ends.inc();
        tracing::warn!(instance = %self.id, how, failures = self.failures, "the shim ended by itself");
        self.save();
    }

    async fn install(&mut self, spec: &Arc<InstanceSpec>) {
        let mark = Mark::of(spec);
        let (face, shared) = (Arc::clone(&self.face), Arc::clone(&self.shared));
        // What failed before says nothing until it goes well.
        let is_quiet = self.record.failed.as_ref().is_some_and(|failed| failed.mark == mark);
        let on_progress = move |progress| {
            if !is_quiet {
                report::progress(&face, &shared.changes, progress);
            }
        };
        let shared = Arc::clone(&self.shared);
        let gate = Arc::clone(&self.shared);
        let _no_cleanup = gate.installing.read().await;
        let installing = async {
            let _turn = match shared.installs.try_acquire() {
                Ok(turn) => Some(turn),
                // Only downloads are worth a queue: what is installed is found at once.
                Err(_) if self.record.installed.is_some() || is_builtin(spec) => None,
                Err(_) => {
                    let step = "waiting for other installs".to_owned();
                    on_progress(Progress { step, percent: None });
                    // The semaphore is never closed, so there is no error to speak of.
                    shared.installs.acquire().await.ok()
                }
            };
            shared.runtime.prepare(spec, &on_progress).await
        };
        let outcome = tokio::select! {
            outcome = installing => outcome,
            // Another spec, or a stop: what is wanted now decides, and a dropped install cleans up after itself.
            _ = self.order.changed() => return,
        };
        self.shared
            .metrics
            .installs
            .get_or_create(&InstallLabels { succeeded: Truth(outcome.is_ok()) })
            .inc();
        match outcome {
            Ok(prepared) => {
                let installed =
                    Installed { version: prepared.version.clone(), digest: prepared.digest.clone() };
                self.say(Some(spec.generation), |report| report.digest.clone_from(&installed.digest));
                self.record.take(installed);
                self.record.failed = None;
                self.installs_failed.0 = 0;
                self.prepared = Some((mark, prepared));
            }
            Err(error) if error.is_passing() => {
                self.refused("its package cannot be looked at", &error);
                self.pause_refused().await;
                return;
            }
            Err(error) => {
                self.untroubled();
                self.install_failed(mark, &error);
            }
        }
        self.save();
    }

    async fn start(&mut self, spec: &Arc<InstanceSpec>) {
        // Noted before the start: a DTMA that ends in between takes the shim for what it is.
        let mark = Mark::of(spec);
        if self.record.started.is_none_or(|started| started.generation != mark.generation) {
            self.record.restarts = 0;
        }
        self.record.started = Some(mark);
        self.save();
        if !self.shared.leases.of(self.id, spec.lease_seconds).runs() {
            return;
        }
        let Some((_, prepared)) = &self.prepared else { return };
        match self.shared.runtime.spawn_shim(spec, prepared).await {
            Ok(shim) => {
                tracing::info!(instance = %self.id, pid = shim.pid, generation = spec.generation, "the shim was started");
                self.shared.metrics.shim_starts.inc();
                self.untroubled();
                self.clean = false;
                self.deaf_since = Some(Instant::now());
                self.life = Some(Life::of_child(shim));
            }
            Err(error) => {
                if let RuntimeError::ImageGone { .. } = error {
                    self.prepared = None;
                }
                self.failures = self.failures.saturating_add(1);
                self.not_before = Instant::now() + Backoff::OWN.wait(self.failures);
                self.refused("its shim cannot be started", &error);
            }
        }
    }

    async fn shut_down(&mut self, spec: &InstanceSpec) {
        let may_run = self.shared.leases.of(self.id, spec.lease_seconds).runs();
        let limit = if may_run { shutdown_limit(spec) } else { LEASE_SHUTDOWN_LIMIT };
        shim_client::shut_down(&self.shared.pool, &self.address, &spec.key, limit).await;
        if let Some(life) = &mut self.life {
            // It answered that its server is stopped; ending itself is a matter of milliseconds.
            let _ended_or_killed_below = tokio::time::timeout(Duration::from_secs(1), life.ended()).await;
        }
        if !self.kill().await {
            self.pause_refused().await;
        }
    }

    /// As [`Self::kill`], with a pause when it did not help the last time either.
    async fn kill_again(&mut self) {
        if !self.kill().await {
            // That is the host's trouble; nobody has answered after a kill yet.
            self.killed = false;
            self.pause_refused().await;
        } else if std::mem::replace(&mut self.killed, true) {
            let trouble =
                format!("something that is not its shim answers at {}: end that process", self.address);
            tracing::warn!(instance = %self.id, error = trouble, "there is nothing of ours to kill; trying again");
            self.troubled(trouble, false);
            self.pause_refused().await;
        }
    }

    /// Kills all that may be left of a shim; false when the host refused.
    async fn kill(&mut self) -> bool {
        match self.shared.runtime.kill_leftovers(self.id).await {
            Ok(()) => {
                self.life = None;
                self.status = None;
                self.deaf_since = None;
                self.silences = 0;
                self.clean = true;
                self.untroubled();
                true
            }
            Err(error) => {
                self.refused("what is left of its shim cannot be killed", &error);
                false
            }
        }
    }

    /// Takes the instance to where nothing of it runs; false when the host refused.
    async fn clear(&mut self, order: &Order) -> bool {
        if let Some(spec) = order.spec().map(Arc::clone)
            && plan::towards_stopped(&self.observe(&spec).await) == Step::ShutDown
        {
            shim_client::shut_down(&self.shared.pool, &self.address, &spec.key, shutdown_limit(&spec)).await;
        }
        self.kill().await
    }

    /// Removes the instance's files.
    async fn forget(&self) -> Result<(), String> {
        self.shared.runtime.remove_kept(self.id).await.map_err(|error| chain(&error))?;
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let removing = tokio::task::spawn_blocking(move || {
            crate::specs::remove_tree(&shared.sockets.join(id.to_string()))?;
            shared.specs.remove(id)
        });
        match removing.await {
            Ok(removed) => removed.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A pause that grows with each refusal in a row.
    async fn pause_refused(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
        self.pause(RETRY.wait(self.refusals)).await;
    }

    /// Until the next look: a shim that can says by itself when there is something new, others are asked again after `time`.
    async fn watch(&mut self, spec: &InstanceSpec, observed: &Observed, time: Duration) {
        let tag = match &observed.shim {
            // A shim that is about to end lets nobody wait.
            Shim::Answers(status) if !matches!(status.server, ServerState::Stopping { .. }) => {
                self.tag.clone()
            }
            _ => None,
        };
        let Some(tag) = tag else { return self.pause(time).await };
        let begun = Instant::now();
        let (shared, address) = (Arc::clone(&self.shared), self.address.clone());
        let asking = shim_client::news(&shared.pool, &address, &spec.key, tag.clone());
        // A lease ends whether there is news or not.
        match self.until(tokio::time::timeout(observed.lease.left(), asking)).await.and_then(Result::ok) {
            // It does not let us wait after all.
            Some(Answer::Status(_, again))
                if again == Some(tag) && begun.elapsed() < shim_client::NEWS_WAIT =>
            {
                self.pause(time).await;
            }
            heard => self.heard = heard,
        }
    }

    /// Waits until the time is over, or something happens: another order, a nudge, the end of the shim.
    async fn pause(&mut self, time: Duration) {
        self.until(tokio::time::sleep(time)).await;
    }

    /// Waits for the future; `None` when something happens before: another order, a nudge, the end of the shim.
    async fn until<T>(&mut self, awaited: impl Future<Output = T>) -> Option<T> {
        let ended = async {
            match &mut self.life {
                Some(life) => life.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = awaited => Some(done),
            _ = self.order.changed() => None,
            () = self.face.nudge.notified() => None,
            () = ended => None,
        }
    }

    /// A record that cannot be written costs a repeated install or a replaced shim after the next start, no more.
    fn save(&self) {
        if let Err(error) = self.shared.specs.write_record(self.id, &self.record) {
            tracing::warn!(instance = %self.id, error = chain(&error), "the record of what was done cannot be written");
        }
    }
}

fn shutdown_limit(spec: &InstanceSpec) -> Duration {
    if spec.launch.container.is_some() { TOOL_SHUTDOWN_LIMIT } else { SHUTDOWN_LIMIT }
}

fn is_builtin(spec: &InstanceSpec) -> bool {
    matches!(spec.package, Package::Builtin { .. })
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
