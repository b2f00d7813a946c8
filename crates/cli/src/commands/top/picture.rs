//! What there is at a moment: machines and instances, with their figures.

use std::collections::HashMap;

use api::environments::Environment;
use api::instances::Instance;
use api::metrics::{AccountMetrics, MetricsPoint};
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;
use serde::Serialize;

use crate::client::Client;
use crate::error::CliError;

/// Everything at a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Picture {
    /// When, in microseconds since 1970 UTC.
    pub(super) at: Timestamp,
    pub(super) environments: Vec<Machine>,
    pub(super) instances: Vec<Row>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) status: EnvironmentStatus,
    pub(super) instances: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_total_bytes: Option<u64>,
}

/// An instance. What is of calls is of the last minutes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) environment: String,
    pub(super) status: InstanceStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_millicores: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<u64>,
    pub(super) calls_per_second: f64,
    pub(super) errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p95_us: Option<u64>,
}

impl Picture {
    /// Asks the control plane.
    pub(super) async fn ask(client: &Client) -> Result<Self, CliError> {
        let environments: Vec<Environment> = client.get("/environments").await?;
        let instances: Vec<Instance> = client.get("/instances").await?;
        let metrics: AccountMetrics = client.get("/metrics").await?;
        Ok(Self::of(std::time::SystemTime::now().into(), environments, instances, &metrics))
    }

    fn of(
        at: Timestamp,
        environments: Vec<Environment>,
        instances: Vec<Instance>,
        metrics: &AccountMetrics,
    ) -> Self {
        let figures: HashMap<&str, &MetricsPoint> =
            metrics.instances.iter().map(|one| (one.name.as_str(), &one.figures)).collect();
        let seconds = f64::from(metrics.seconds.max(1));
        let row = |instance: Instance| {
            let seen = figures.get(instance.name.as_str());
            Row {
                environment: instance.environment.to_string(),
                status: instance.status,
                cpu_millicores: instance.metrics.as_ref().and_then(|metrics| metrics.cpu_millicores),
                memory_bytes: instance.metrics.as_ref().map(|metrics| metrics.memory_bytes),
                calls_per_second: seen.map_or(0.0, |seen| float(seen.calls) / seconds),
                errors: seen.map_or(0, |seen| seen.errors),
                p95_us: seen.and_then(|seen| seen.p95_us),
                message: instance.message,
                name: instance.name.to_string(),
            }
        };
        let machine = |environment: Environment| {
            let system = environment.system.as_ref();
            Machine {
                name: environment.name.to_string(),
                status: environment.status,
                instances: environment.instances,
                cpu_percent: system.map(|system| system.cpu_load_percent),
                memory_used_bytes: system.map(|system| system.memory.used_bytes),
                memory_total_bytes: system.map(|system| system.memory.total_bytes),
            }
        };
        Self {
            at,
            environments: environments.into_iter().map(machine).collect(),
            instances: instances.into_iter().map(row).collect(),
        }
    }

    /// With the instances alone that have all of these words in their name, environment or state.
    pub(super) fn filtered(&self, words: &str) -> Self {
        let has = |row: &&Row| row.has(words);
        Self { instances: self.instances.iter().filter(has).cloned().collect(), ..self.clone() }
    }
}

impl Row {
    /// Whether all of these words are in its name, environment or state.
    pub(super) fn has(&self, words: &str) -> bool {
        let texts = [&*self.name, &*self.environment, self.status.word()];
        words.to_lowercase().split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

/// A count as a number that can be divided; beyond 2^53 it is no longer exact, which no count here is.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: u64) -> f64 {
    count as f64
}
