//! What the DTMA counts, for `GET /metrics` in the text format of Prometheus.

use std::fmt;

use domain::status::{InstanceReport, InstanceStatus};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// Calls forwarded to a shim, by what came of them.
    pub(crate) calls: Family<CallLabels, Counter>,
    /// Heartbeats, by whether the control plane took them.
    pub(crate) heartbeats: Family<HeartbeatLabels, Counter>,
    /// Shims started.
    pub(crate) shim_starts: Counter,
    /// Shims that ended by themselves.
    pub(crate) shim_ends: Counter,
    /// Installs, by whether they succeeded.
    pub(crate) installs: Family<InstallLabels, Counter>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabels {
    /// What came of it.
    pub(crate) outcome: CallOutcome,
}

/// What came of a call, as this hop sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum CallOutcome {
    /// The shim answered, whatever it said.
    Answered,
    /// The shim ended before it answered.
    Lost,
    /// There was no shim to ask.
    Unavailable,
}

/// Whether the control plane took a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HeartbeatLabels {
    /// Whether it did.
    pub(crate) taken: Truth,
}

/// Whether an install succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct InstallLabels {
    /// Whether it did.
    pub(crate) succeeded: Truth,
}

/// A truth value as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Truth(pub(crate) bool);

impl EncodeLabelValue for Truth {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.to_string().as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Status(InstanceStatus);

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.word().encode(encoder)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstanceLabels {
    status: Status,
}

impl Metrics {
    /// Everything as text, the instances counted from their reports.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub(crate) fn render(&self, reports: &[InstanceReport]) -> Result<String, fmt::Error> {
        let instances = Family::<InstanceLabels, Gauge>::default();
        for report in reports {
            instances.get_or_create(&InstanceLabels { status: Status(report.status) }).inc();
        }
        let mut registry = Registry::with_prefix("berth_dtma");
        registry.register("instances", "Instances by status", instances);
        registry.register("calls", "Calls forwarded to shims", self.calls.clone());
        registry.register("heartbeats", "Heartbeats sent to the control plane", self.heartbeats.clone());
        registry.register("shim_starts", "Shims started", self.shim_starts.clone());
        registry.register("shim_ends", "Shims that ended by themselves", self.shim_ends.clone());
        registry.register("installs", "Package installs", self.installs.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}
