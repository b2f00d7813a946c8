//! One instance as the older callers know it: the union of the shapes that any of them reads.

use std::sync::Arc;

use domain::container::{Port, Protocol};
use domain::ids::InstanceId;
use domain::package::Package;
use domain::spec::InstanceSpec;
use domain::status::{InstanceReport, InstanceStatus};
use serde_json::{Value, json};

use super::super::App;
use super::answer::Failure;
use crate::face::Face;
use crate::ports;

/// One instance of this host.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) id: InstanceId,
    pub(crate) name: String,
    pub(crate) face: Arc<Face>,
    pub(crate) spec: Option<Arc<InstanceSpec>>,
    pub(crate) report: InstanceReport,
}

impl Tool {
    pub(crate) fn of(id: InstanceId, face: Arc<Face>) -> Self {
        let spec = face.order.borrow().spec().map(Arc::clone);
        let name = face.name().unwrap_or_else(|| id.to_string());
        let report = face.report.borrow().clone();
        Self { id, name, face, spec, report }
    }

    /// The instance of a name, or of what was given as its container's id.
    pub(crate) fn find(app: &App, given: &str) -> Result<Self, Failure> {
        let tools: Vec<Self> =
            app.instances.faces().into_iter().map(|(id, face)| Self::of(id, face)).collect();
        let by_name = tools.iter().find(|tool| tool.name == given);
        let found = by_name.or_else(|| {
            tools.iter().find(|tool| container_id(tool.id) == given || tool.id.to_string() == given)
        });
        found.cloned().ok_or_else(|| Failure::no_tool(given))
    }

    /// Every instance of this host, by name, with what each uses.
    pub(crate) async fn all(app: &App) -> Vec<Self> {
        let mut tools: Vec<Self> =
            app.instances.faces().into_iter().map(|(id, face)| Self::of(id, face)).collect();
        let mut reports: Vec<InstanceReport> = tools.iter().map(|tool| tool.report.clone()).collect();
        app.gauge.fill(&mut reports).await;
        for (tool, report) in tools.iter_mut().zip(reports) {
            tool.report = report;
        }
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        tools
    }

    /// What runs, such as `redis:7`.
    pub(crate) fn image(&self) -> String {
        match self.spec.as_ref().map(|spec| &spec.package) {
            Some(Package::Oci { image }) => image.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    pub(crate) fn ports(&self) -> Vec<Value> {
        self.spec.as_deref().map(ports::of).unwrap_or_default().iter().map(port).collect()
    }

    /// The union shape.
    pub(crate) fn render(&self) -> Value {
        let report = &self.report;
        let mut item = json!({
            "id": container_id(self.id),
            "container_id": container_id(self.id),
            "names": [self.name],
            "instance_name_on_toolbox": self.name,
            "account_tool_instance_id": self.id,
            "image": self.image(),
            "image_id": report.digest.clone().unwrap_or_default(),
            "command": "",
            "created": self.created(),
            "state": engine_word(report.status),
            "status": word(report.status),
            "status_text": self.text(),
            "ports": self.ports(),
            "restart_count": report.restarts,
        });
        if let Some(message) = &report.message {
            item["message"] = message.clone().into();
        }
        if let Some(metrics) = &report.metrics {
            item["metrics"] = json!({
                "cpu_percent": metrics.cpu_millicores.map(percent),
                "memory_bytes": metrics.memory_bytes,
                "network_rx_bytes": metrics.received_bytes,
                "network_tx_bytes": metrics.sent_bytes,
            });
        }
        item
    }

    /// Seconds since 1970: when it was deployed, which ids of the control plane's own tell.
    fn created(&self) -> i64 {
        match &self.face.note {
            Some(note) => note.created.0 / 1_000_000,
            None => match self.id.0.get_timestamp() {
                Some(made) => i64::try_from(made.to_unix().0).unwrap_or_default(),
                None => self.report.since.0 / 1_000_000,
            },
        }
    }

    /// `Up 2 hours`, as the engine says it.
    fn text(&self) -> String {
        let span = span(crate::instance::now().micros_since(self.report.since) / 1_000_000);
        match self.report.status {
            InstanceStatus::Running | InstanceStatus::Asleep => format!("Up {span}"),
            InstanceStatus::Stopped => format!("Exited {span} ago"),
            status => match &self.report.progress {
                Some(progress) => format!("{status} ({})", progress.step),
                None => status.to_string(),
            },
        }
    }
}

/// What stands for the container's id: the instance's, in the shape of one.
pub(crate) fn container_id(id: InstanceId) -> String {
    id.0.simple().to_string()
}

/// The words that the older backend takes: every other is an error to it.
pub(crate) fn word(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::PendingDeploy | InstanceStatus::Installing | InstanceStatus::Starting => "starting",
        InstanceStatus::Running | InstanceStatus::Asleep => "running",
        InstanceStatus::Stopping | InstanceStatus::Deleting => "stopping",
        InstanceStatus::Stopped => "stopped",
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => "error",
    }
}

/// The engine's words, for those who show them.
pub(crate) fn engine_word(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Running | InstanceStatus::Asleep | InstanceStatus::Stopping => "running",
        InstanceStatus::PendingDeploy
        | InstanceStatus::Installing
        | InstanceStatus::Starting
        | InstanceStatus::ErrorInstall => "created",
        InstanceStatus::ErrorRuntime => "restarting",
        InstanceStatus::Stopped => "exited",
        InstanceStatus::Deleting => "removing",
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage with one decimal")]
fn percent(millicores: u64) -> f64 {
    millicores as f64 / 10.0
}

fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// In both spellings that were ever read.
fn port(port: &Port) -> Value {
    let kind = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let ip = port.address.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
    json!({
        "ip": ip, "private_port": port.container, "public_port": port.host, "type": kind,
        "IP": ip, "PrivatePort": port.container, "PublicPort": port.host, "Type": kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (7200, "2 hours"),
            (90_000, "25 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
