//! What instances use, for reports: asked of the runtime not too often, and turned from totals into rates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::InstanceId;
use domain::status::{InstanceMetrics, InstanceReport};
use runtime::{Runtime, Usage};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A measurement that is not older is good enough: changes of instances make many heartbeats in a row.
const FRESH: Duration = Duration::from_secs(5);
/// A runtime that hangs must not hold up a heartbeat.
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures what instances use. Cloning shares the last measurement.
#[derive(Debug, Clone)]
pub(crate) struct Gauge {
    runtime: Arc<dyn Runtime>,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Default)]
struct Last {
    at: Option<Instant>,
    usages: BTreeMap<InstanceId, Usage>,
    metrics: BTreeMap<InstanceId, InstanceMetrics>,
}

impl Gauge {
    /// Measures through `runtime`.
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, last: Arc::default() }
    }

    /// Writes into each report what its instance uses, and what it was kept from.
    pub(crate) async fn fill(&self, reports: &mut [InstanceReport]) {
        let mut last = self.last.lock().await;
        if last.at.is_none_or(|at| FRESH < at.elapsed()) {
            let ids: Vec<InstanceId> = reports.iter().map(|report| report.id).collect();
            // One that takes too long says nothing this time.
            let usages = tokio::time::timeout(PATIENCE, self.runtime.usage(&ids)).await.unwrap_or_default();
            let now = Instant::now();
            let passed = last.at.map(|at| now.duration_since(at));
            let metrics = usages.iter().map(|(id, usage)| (*id, rate(usage, last.usages.get(id), passed)));
            *last = Last { at: Some(now), metrics: metrics.collect(), usages };
        }
        let mut blocked = self.runtime.blocked();
        for report in reports {
            report.metrics = last.metrics.get(&report.id).cloned();
            report.blocked = blocked.remove(&report.id).unwrap_or_default();
        }
    }
}

fn rate(usage: &Usage, before: Option<&Usage>, passed: Option<Duration>) -> InstanceMetrics {
    let cpu = before.zip(passed).map(|(before, passed)| {
        let used = usage.cpu.saturating_sub(before.cpu).as_micros().saturating_mul(1000);
        u64::try_from(used / passed.as_micros().max(1)).unwrap_or(u64::MAX)
    });
    InstanceMetrics {
        cpu_millicores: cpu,
        memory_bytes: usage.memory_bytes,
        received_bytes: usage.network.map(|traffic| traffic.received_bytes),
        sent_bytes: usage.network.map(|traffic| traffic.sent_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_become_rates() {
        let usage = |millis| Usage { cpu: Duration::from_millis(millis), memory_bytes: 7, network: None };
        for (what, before, now, passed, expected) in [
            ("the first", None, 500, None, None),
            ("half a core", Some(500), 1500, Some(2), Some(500)),
            ("two cores", Some(0), 4000, Some(2), Some(2000)),
            ("idle", Some(500), 500, Some(2), Some(0)),
            ("restarted", Some(500), 100, Some(2), Some(0)),
        ] {
            let before = before.map(usage);
            let found = rate(&usage(now), before.as_ref(), passed.map(Duration::from_secs));
            assert_eq!((found.cpu_millicores, found.memory_bytes), (expected, 7), "{what}");
        }
    }
}
