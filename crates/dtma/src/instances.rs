//! Every instance of this host: takes what is wanted, writes it down, tells the instance's own task.
//!
//! Nothing here waits for a machine, but [`Instances::remove`] and [`Instances::halt`], which say when it is done.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::InstanceId;
use domain::spec::{DesiredState, InstanceSpec};
use domain::status::{Adoption, InstanceReport, InstanceStatus};
use futures_util::FutureExt as _;
use tokio::task::AbortHandle;

use crate::face::{Face, Order};
use crate::instance::{self, End, Shared};
use crate::leases::Moment;
use crate::note::Note;
use crate::plan::Record;
use crate::ports::{self, PortError};
use crate::specs::{Found, Stored, WriteError};

/// A removal that takes longer goes on, and the caller is told so.
const REMOVE_LIMIT: Duration = Duration::from_secs(8);
/// The pause after a fault of our own, so that one that repeats itself does not fill the log.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// Instances that were let go of and are kept in mind.
const MOST_LET_GO: usize = 10_000;
/// How long the end of a DTMA may wait for its instances.
pub(crate) const HALT_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take after that to remove what they shared.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// The instances of this host. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Instances {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    map: Mutex<BTreeMap<InstanceId, Handle>>,
    /// One change at a time, so that what is on disk and what is told are in the same order.
    changing: tokio::sync::Mutex<()>,
    halting: AtomicBool,
    /// The generation up to which specs of an instance that this host let go of are refused: a request that was on its way all the
    /// while must not bring it back. In memory, since no request outlives the process that takes it.
    let_go: Mutex<BTreeMap<InstanceId, u64>>,
}

#[derive(Debug, Clone)]
struct Handle {
    face: Arc<Face>,
    task: AbortHandle,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// No such instance here.
    #[error("no instance {0} is on this host")]
    Unknown(InstanceId),
    /// A newer spec is here.
    #[error("generation {given} is older than generation {known}, which this host has")]
    Older {
        /// What was given.
        given: u64,
        /// What is here.
        known: u64,
    },
    /// It was let go of.
    #[error("this host let go of the instance at generation {known}, and {given} is not newer")]
    LetGo {
        /// What was given.
        given: u64,
        /// When it was let go of.
        known: u64,
    },
    /// The instance is being removed.
    #[error("the instance is being removed")]
    Removing,
    /// Its spec on disk cannot be read, so nothing in it can be changed.
    #[error("the spec of the instance on this host is unreadable")]
    Unreadable,
    /// The DTMA ends.
    #[error("this DTMA is ending")]
    Halting,
    /// An older caller removed it here, and the control plane, which asks for it, is not told yet.
    #[error("the instance was removed on this host by a caller of the older contract")]
    RemovedHere,
    /// An instance of this host is called so.
    #[error("Instance with name '{0}' already exists.")]
    NameTaken(String),
    /// The id is that of an instance of this host.
    #[error("the id {id} belongs to the instance '{name}' of this host")]
    IdTaken {
        /// The id.
        id: InstanceId,
        /// Its name.
        name: String,
    },
    /// A port cannot be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It takes too long; it goes on.
    #[error("the instance is still being removed after {} s", REMOVE_LIMIT.as_secs())]
    Slow,
    /// The disk refused; nothing was changed.
    #[error("the desired state could not be written")]
    Write(#[source] WriteError),
}

/// What one word of its owner changes in a spec, on this host only. The control plane's next spec, which has a greater
/// generation, wins over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Run it; an install that failed is tried again.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start its server; a stopped one is started.
    Restart,
}

impl Instances {
    /// Starts a task for everything found on disk.
    pub(crate) fn start(shared: Arc<Shared>, found: Vec<Found>) -> Self {
        let inner = Inner {
            shared,
            map: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
            halting: AtomicBool::new(false),
            let_go: Mutex::default(),
        };
        let instances = Self { inner: Arc::new(inner) };
        for Found { id, spec, record, note } in found {
            let order = match spec {
                Stored::Spec(spec) => Order::Keep(Arc::from(spec)),
                Stored::Corrupt(reason) => {
                    tracing::error!(instance = %id, reason, "an instance's spec is unreadable");
                    Order::Unreadable(reason)
                }
                Stored::Removing(spec) => Order::Remove(spec.map(Arc::from)),
            };
            instances.spawn(id, order, record, note);
        }
        instances
    }

    /// Every report, in the order of the ids.
    pub(crate) fn reports(&self) -> Vec<InstanceReport> {
        self.map().values().map(|handle| handle.face.report.borrow().clone()).collect()
    }

    /// Waits until every instance has been looked at once, at most `limit` long: until then a report says only what is
    /// wanted, and a living instance must not be told as a starting one.
    pub(crate) async fn seen(&self, limit: Duration) {
        let faces: Vec<Arc<Face>> = self.map().values().map(|handle| Arc::clone(&handle.face)).collect();
        let all = async {
            for face in faces {
                let mut seen = face.seen.subscribe();
                // An error means that the face is gone: there is nothing to wait for.
                let _ = seen.wait_for(|seen| *seen).await;
            }
        };
        // At the limit the rest is told as it is known.
        let _ = tokio::time::timeout(limit, all).await;
    }

    /// One instance's face.
    pub(crate) fn face(&self, id: InstanceId) -> Result<Arc<Face>, ChangeError> {
        self.map().get(&id).map(|handle| Arc::clone(&handle.face)).ok_or(ChangeError::Unknown(id))
    }

    /// Every instance's face, in the order of the ids.
    pub(crate) fn faces(&self) -> Vec<(InstanceId, Arc<Face>)> {
        self.map().iter().map(|(id, handle)| (*id, Arc::clone(&handle.face))).collect()
    }

    /// What older callers deployed and the control plane has not sent a spec of its own for.
    pub(crate) fn adoptions(&self) -> Vec<Adoption> {
        let adoption = |face: &Face| {
            let Order::Keep(spec) = face.order.borrow().clone() else { return None };
            let note = face.note.as_ref().filter(|_| spec.generation == 0)?;
            Some(Adoption { spec: InstanceSpec::clone(&spec), name_on_toolbox: note.name.clone() })
        };
        self.faces().iter().filter_map(|(_, face)| adoption(face)).collect()
    }

    /// Takes what an older caller deploys: a spec of generation 0 of an instance that is not here yet, under a name that
    /// is free.
    pub(crate) async fn make(&self, spec: InstanceSpec, note: Note) -> Result<Arc<Face>, ChangeError> {
        let _changing = self.changing().await?;
        let id = spec.id;
        for (other, face) in self.faces() {
            let name = face.name().unwrap_or_default();
            if name == note.name {
                return Err(ChangeError::NameTaken(name));
            }
            if other == id {
                return Err(ChangeError::IdTaken { id, name });
            }
        }
        self.check_ports(&spec)?;
        let (shared, written) = (Arc::clone(&self.inner.shared), note.clone());
        blocking(move || shared.specs.write_note(id, &written)).await?;
        let spec = match self.write(spec).await {
            Ok(spec) => spec,
            Err(error) => {
                let shared = Arc::clone(&self.inner.shared);
                // The first error is the one that matters; what is left is taken for removed at the next start.
                if let Err(error) = blocking(move || shared.specs.remove(id)).await {
                    tracing::warn!(instance = %id, error = instance::chain(&error), "its first file is left behind");
                }
                return Err(error);
            }
        };
        Ok(self.spawn(id, Order::Keep(spec), Record::default(), Some(note)))
    }

    /// As [`Self::remove`], for an older caller: the control plane is told, so that it does not deploy it again.
    pub(crate) async fn remove_for_good(&self, id: InstanceId) -> Result<(), ChangeError> {
        self.face(id)?;
        let shared = Arc::clone(&self.inner.shared);
        blocking(move || shared.removed.add(id)).await?;
        self.remove(id, None).await
    }

    /// Takes a spec. One of the same generation changes nothing but what opens its registry, for which nothing is restarted.
    pub(crate) async fn put(&self, spec: InstanceSpec) -> Result<InstanceReport, ChangeError> {
        let _changing = self.changing().await?;
        let id = spec.id;
        if self.inner.shared.removed.contains(id) {
            return Err(ChangeError::RemovedHere);
        }
        if let Some(known) = self.let_go().get(&id).copied().filter(|known| spec.generation <= *known) {
            return Err(ChangeError::LetGo { given: spec.generation, known });
        }
        let Ok(face) = self.face(id) else {
            self.check_ports(&spec)?;
            // What was granted to an earlier stay on this host says nothing of this one.
            self.inner.shared.leases.forget(id);
            let spec = self.write(spec).await?;
            return Ok(self.spawn(id, Order::Keep(spec), Record::default(), None).report.borrow().clone());
        };
        let order = face.order.borrow().clone();
        match order {
            Order::Keep(known) if spec.generation < known.generation => {
                Err(ChangeError::Older { given: spec.generation, known: known.generation })
            }
            Order::Keep(known) if spec.generation == known.generation => {
                if spec.registry != known.registry {
                    let spec = InstanceSpec { registry: spec.registry, ..InstanceSpec::clone(&known) };
                    face.order.send_replace(Order::Keep(self.write(spec).await?));
                }
                Ok(face.report.borrow().clone())
            }
            Order::Keep(_) | Order::Unreadable(_) => {
                self.check_ports(&spec)?;
                self.keep(&face, spec).await
            }
            Order::Remove(_) => Err(ChangeError::Removing),
            Order::Halt(_) => Err(ChangeError::Halting),
        }
    }

    /// Changes what is wanted of an instance, on this host, without the control plane.
    pub(crate) async fn wish(&self, id: InstanceId, wish: Wish) -> Result<InstanceReport, ChangeError> {
        let _changing = self.changing().await?;
        let face = self.face(id)?;
        let order = face.order.borrow().clone();
        let mut spec = match order {
            Order::Keep(spec) => InstanceSpec::clone(&spec),
            Order::Unreadable(_) => return Err(ChangeError::Unreadable),
            Order::Remove(_) => return Err(ChangeError::Removing),
            Order::Halt(_) => return Err(ChangeError::Halting),
        };
        let failed = face.report.borrow().status == InstanceStatus::ErrorInstall;
        let again = match wish {
            Wish::Start => failed && spec.desired == DesiredState::Running,
            Wish::Stop => false,
            Wish::Restart => true,
        };
        let desired = if wish == Wish::Stop { DesiredState::Stopped } else { DesiredState::Running };
        if !again && spec.desired == desired {
            return Ok(face.report.borrow().clone());
        }
        spec.desired = desired;
        spec.restarts_asked = spec.restarts_asked.saturating_add(u64::from(again));
        self.keep(&face, spec).await
    }

    /// Stops an instance and forgets it, its files included; done when it is gone. With a generation, specs up to that one are
    /// refused from then on, and a newer one is left alone.
    pub(crate) async fn remove(&self, id: InstanceId, generation: Option<u64>) -> Result<(), ChangeError> {
        let face = {
            let _changing = self.changing().await?;
            let known = self.face(id).ok().and_then(|face| face.order.borrow().generation());
            if let (Some(given), Some(known)) = (generation, known)
                && given < known
            {
                return Err(ChangeError::Older { given, known });
            }
            if let Some(generation) = generation {
                let mut let_go = self.let_go();
                if MOST_LET_GO <= let_go.len() {
                    let_go.pop_first();
                }
                let known = let_go.entry(id).or_default();
                *known = generation.max(*known);
            }
            let face = self.face(id)?;
            let shared = Arc::clone(&self.inner.shared);
            blocking(move || shared.specs.mark_removing(id)).await?;
            face.order.send_modify(|order| *order = Order::Remove(order.spec().cloned()));
            face
        };
        tokio::time::timeout(REMOVE_LIMIT, ended(&face)).await.map_err(|_| ChangeError::Slow)
    }

    /// Stops every instance with what is wanted of it unchanged, at most [`HALT_LIMIT`] long; no change is taken after.
    pub(crate) async fn halt(&self) {
        let faces: Vec<Arc<Face>> = {
            let _changing = self.inner.changing.lock().await;
            self.inner.halting.store(true, Ordering::Relaxed);
            self.map().values().map(|handle| Arc::clone(&handle.face)).collect()
        };
        for face in &faces {
            face.order.send_if_modified(|order| {
                let stops = !matches!(order, Order::Remove(_));
                if stops {
                    *order = Order::Halt(order.spec().cloned());
                }
                stops
            });
        }
        let all = async {
            for face in &faces {
                ended(face).await;
            }
        };
        if tokio::time::timeout(HALT_LIMIT, all).await.is_err() {
            tracing::warn!("some instances had not stopped in time; they are found again at the next start");
            return;
        }
        // What is not done in time is done at the next start.
        let _ = tokio::time::timeout(LEAVE_LIMIT, self.inner.shared.runtime.leave()).await;
    }

    /// Lets go of every instance and leaves all of them as they are.
    pub(crate) fn abandon(&self) {
        for handle in std::mem::take(&mut *self.map()).into_values() {
            handle.task.abort();
        }
    }

    /// Takes what the answer to a heartbeat that was sent at `sent` lets run, and has it looked at: it may wait for that, and its shim is
    /// told.
    pub(crate) fn granted(&self, sent: Moment, leases: &[InstanceId]) {
        self.inner.shared.leases.acknowledge(sent, leases);
        for id in leases {
            if let Ok(face) = self.face(*id) {
                face.nudge.notify_one();
            }
        }
    }

    /// What the instances share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    async fn changing(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, ChangeError> {
        let changing = self.inner.changing.lock().await;
        if self.inner.halting.load(Ordering::Relaxed) { Err(ChangeError::Halting) } else { Ok(changing) }
    }

    /// Whether the ports that a spec publishes can be had, before anything is created.
    fn check_ports(&self, spec: &InstanceSpec) -> Result<(), ChangeError> {
        let faces = self.faces();
        let specs: Vec<(InstanceId, String, Arc<InstanceSpec>)> = faces
            .iter()
            .filter_map(|(id, face)| {
                let spec = face.order.borrow().spec().map(Arc::clone)?;
                Some((*id, face.name().unwrap_or_default(), spec))
            })
            .collect();
        let before =
            specs.iter().find(|(id, ..)| *id == spec.id).map_or(&[][..], |(.., spec)| ports::of(spec));
        let others = specs.iter().filter(|(id, ..)| *id != spec.id);
        let others = others.map(|(_, name, spec)| (name.clone(), spec.as_ref()));
        Ok(ports::check(spec, self.inner.shared.own_port, others, before)?)
    }

    /// Writes a spec and tells its instance; the report is of the new generation from here on.
    async fn keep(&self, face: &Face, spec: InstanceSpec) -> Result<InstanceReport, ChangeError> {
        let spec = self.write(spec).await?;
        face.order.send_replace(Order::Keep(Arc::clone(&spec)));
        face.publish(&self.inner.shared.changes, |report| {
            report.generation = spec.generation;
            report.status = match spec.desired {
                DesiredState::Running => InstanceStatus::Starting,
                DesiredState::Stopped => InstanceStatus::Stopping,
            };
            report.message = None;
            report.progress = None;
            report.since = instance::now();
        });
        Ok(face.report.borrow().clone())
    }

    async fn write(&self, spec: InstanceSpec) -> Result<Arc<InstanceSpec>, ChangeError> {
        let shared = Arc::clone(&self.inner.shared);
        let spec = Arc::new(spec);
        let written = Arc::clone(&spec);
        blocking(move || shared.specs.write(&written)).await?;
        Ok(spec)
    }

    fn spawn(&self, id: InstanceId, order: Order, record: Record, note: Option<Note>) -> Arc<Face> {
        let face = Arc::new(Face::new(id, order, self.inner.shared.address(id), note));
        let (inner, told) = (Arc::downgrade(&self.inner), Arc::clone(&face));
        let running = keep(Arc::clone(&self.inner.shared), Arc::clone(&face), id, record);
        // The map is locked until the handle is in it, so that a task that ends at once finds it there.
        let mut map = self.map();
        let task = tokio::spawn(async move {
            let end = running.await;
            // Gone from the map before anybody is told that it ended, so that the next `put` starts anew.
            if let Some(inner) = inner.upgrade() {
                if end == End::Removed {
                    inner.map.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                }
                told.ended.send_replace(true);
                inner.shared.changes.urgent.notify_one();
            }
        });
        map.insert(id, Handle { face: Arc::clone(&face), task: task.abort_handle() });
        drop(map);
        self.inner.shared.changes.urgent.notify_one();
        face
    }

    fn let_go(&self) -> std::sync::MutexGuard<'_, BTreeMap<InstanceId, u64>> {
        self.inner.let_go.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<InstanceId, Handle>> {
        self.inner.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the instance's task is over.
pub(crate) async fn ended(face: &Face) {
    let mut ended = face.ended.subscribe();
    // An error means that the face is gone, and so is the task.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// As [`instance::run`], and over a fault of our own: it is told, and the instance is looked at anew.
async fn keep(shared: Arc<Shared>, face: Arc<Face>, id: InstanceId, mut record: Record) -> End {
    loop {
        let running = instance::run(Arc::clone(&shared), Arc::clone(&face), id, record);
        match AssertUnwindSafe(running).catch_unwind().await {
            Ok(end) => return end,
            Err(_panic) => {
                tracing::error!(instance = %id, "looking after the instance failed by a fault of ours; it is looked at anew");
                face.publish(&shared.changes, |report| {
                    report.status = InstanceStatus::ErrorRuntime;
                    report.message =
                        Some("the DTMA failed by a fault of its own; its log has the reason".to_owned());
                    report.since = instance::now();
                });
                tokio::time::sleep(AFTER_FAULT).await;
                record = shared.specs.record(id);
            }
        }
    }
}

async fn blocking(
    write: impl FnOnce() -> Result<(), WriteError> + Send + 'static,
) -> Result<(), ChangeError> {
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written.map_err(ChangeError::Write),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
