//! What is told of an instance: made from what was seen and what is done about it.

use domain::shim::{ServerState, ShimStatus};
use domain::spec::InstanceSpec;
use domain::status::{InstanceReport, InstanceStatus, Progress};
use tokio::time::Instant;

use super::{Instance, now};
use crate::face::{Changes, Face};
use crate::plan::{self, Observed, Shim, Step};

impl Instance {
    pub(super) fn report(&self, spec: &InstanceSpec, observed: &Observed, step: Step) {
        // What the host refuses explains the rest.
        let (status, message) = match &self.trouble {
            Some(trouble) => (trouble.status(spec.desired, Instant::now()), Some(trouble.text.clone())),
            None => plan::status(spec, observed, step),
        };
        let server = match &observed.shim {
            Shim::Answers(ShimStatus {
                server: ServerState::Running { since, server_name, protocol_version },
                ..
            }) if status == InstanceStatus::Running => Some((*since, server_name, protocol_version)),
            _ => None,
        };
        let asleep = match &observed.shim {
            Shim::Answers(ShimStatus { server: ServerState::Asleep { since }, .. })
                if status == InstanceStatus::Asleep =>
            {
                Some(*since)
            }
            _ => None,
        };
        let present = self.status.as_ref().map_or(0, |status| status.restarts);
        self.say(Some(spec.generation), |report| {
            report.since = server.map(|(since, ..)| since).or(asleep).unwrap_or_else(now);
            report.generation = spec.generation;
            if self.trouble.is_some()
                || !(step == Step::Install && report.status == InstanceStatus::Installing)
            {
                report.status = status;
                report.progress = None;
            }
            report.message = message;
            report.restarts = self.record.restarts.saturating_add(present);
            if let Some((_, name, revision)) = server {
                // A container tool has neither.
                let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
                report.server_name = said(name);
                report.protocol_version = said(revision);
            }
            report.confinement = self.shared.runtime.confinement(spec);
            if let Some(installed) = &self.record.installed {
                report.version.clone_from(&installed.version);
                report.digest.clone_from(&installed.digest);
            }
        });
    }

    pub(super) fn unreadable(&self, reason: &str) {
        self.face.publish(&self.shared.changes, |report| {
            report.status = InstanceStatus::ErrorRuntime;
            report.message = Some(format!("its spec on this host is unreadable, deploy it again: {reason}"));
            report.since = now();
        });
    }

    /// Publishes, unless another generation is wanted already: a report must not go back.
    pub(super) fn say(&self, generation: Option<u64>, change: impl FnOnce(&mut InstanceReport)) {
        if self.face.order.borrow().generation() == generation {
            self.face.publish(&self.shared.changes, change);
        }
    }
}

/// How far an install is.
pub(super) fn progress(face: &Face, changes: &Changes, progress: Progress) {
    face.publish(changes, |report| {
        report.status = InstanceStatus::Installing;
        report.message = None;
        report.progress = Some(progress);
        report.since = now();
    });
}
