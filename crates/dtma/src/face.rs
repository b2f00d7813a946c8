//! What others see of an instance's task and tell it.

use std::sync::Arc;

use domain::ids::InstanceId;
use domain::spec::{DesiredState, InstanceSpec};
use domain::status::{InstanceReport, InstanceStatus};
use hop::address::Address;
use tokio::sync::{Notify, watch};

use crate::note::Note;

/// What is wanted of an instance.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// To be as its spec says.
    Keep(Arc<InstanceSpec>),
    /// Nothing: its spec cannot be read, for this reason. What runs of it is left alone until a spec comes.
    Unreadable(String),
    /// To stop and be forgotten.
    Remove(Option<Arc<InstanceSpec>>),
    /// To stop with its desired state unchanged, because the DTMA ends.
    Halt(Option<Arc<InstanceSpec>>),
}

impl Order {
    /// The spec, when there is one.
    pub(crate) fn spec(&self) -> Option<&Arc<InstanceSpec>> {
        match self {
            Self::Keep(spec) => Some(spec),
            Self::Unreadable(_) => None,
            Self::Remove(spec) | Self::Halt(spec) => spec.as_ref(),
        }
    }

    /// The generation of its spec.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.spec().map(|spec| spec.generation)
    }
}

/// Where changes of reports are told.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Something that somebody may wait for.
    pub(crate) urgent: Notify,
    /// How far an install is: many a second, and none of them matters alone.
    pub(crate) progress: Notify,
}

/// What others see of an instance and tell it.
#[derive(Debug)]
pub(crate) struct Face {
    /// What is wanted.
    pub(crate) order: watch::Sender<Order>,
    /// What is.
    pub(crate) report: watch::Sender<InstanceReport>,
    /// Whether it was looked at since this DTMA started.
    pub(crate) seen: watch::Sender<bool>,
    /// Whether its task is over.
    pub(crate) ended: watch::Sender<bool>,
    /// Look now: something about the shim was noticed.
    pub(crate) nudge: Notify,
    /// Where its shim listens, made once for all calls.
    pub(crate) address: Address,
    /// What the older caller that deployed it said.
    pub(crate) note: Option<Note>,
}

impl Face {
    /// The face of an instance of which nothing is known yet.
    pub(crate) fn new(id: InstanceId, order: Order, address: Address, note: Option<Note>) -> Self {
        let report = InstanceReport {
            id,
            generation: order.spec().map_or(0, |spec| spec.generation),
            status: match order.spec().map(|spec| spec.desired) {
                Some(DesiredState::Running) => InstanceStatus::Starting,
                Some(DesiredState::Stopped) | None => InstanceStatus::Stopping,
            },
            message: None,
            progress: None,
            version: None,
            digest: None,
            server_name: None,
            protocol_version: None,
            confinement: None,
            restarts: 0,
            since: crate::instance::now(),
            metrics: None,
            blocked: Vec::new(),
        };
        Self {
            order: watch::Sender::new(order),
            report: watch::Sender::new(report),
            seen: watch::Sender::new(false),
            ended: watch::Sender::new(false),
            nudge: Notify::new(),
            address,
            note,
        }
    }

    /// Its name on this host: what its older caller says, else its own. `None` when its spec cannot be read.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.note {
            Some(note) => Some(note.name.clone()),
            None => self.order.borrow().spec().map(|spec| spec.name.to_string()),
        }
    }

    /// Changes the report; tells `changes` when anything but `since` became different.
    pub(crate) fn publish(&self, changes: &Changes, change: impl FnOnce(&mut InstanceReport)) {
        let mut urgent = true;
        let different = self.report.send_if_modified(|report| {
            let before = report.clone();
            change(report);
            if report.status == before.status {
                report.since = before.since;
                urgent = report.progress == before.progress;
            }
            *report != before
        });
        match (different, urgent) {
            (true, true) => changes.urgent.notify_one(),
            (true, false) => changes.progress.notify_one(),
            (false, _) => {}
        }
    }
}
