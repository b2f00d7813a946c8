//! `/api/v1/metrics` and `/api/v1/instances/{name}/metrics`: what instances used and how they were called.
//!
//! Memory is in bytes, the processor in thousandths of one core, durations in microseconds.

use domain::names::InstanceName;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The query of `GET /api/v1/instances/{name}/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MetricsQuery {
    /// How far back: `1h` (a point for each minute), `24h` (for ten minutes) or `30d` (for each hour); `1h` when absent.
    #[serde(default)]
    #[param(inline)]
    pub range: MetricsRange,
}

/// How far back one looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum MetricsRange {
    /// The last hour, a point for each minute.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// The last day, a point for ten minutes.
    #[serde(rename = "24h")]
    Day,
    /// The last thirty days, a point for each hour.
    #[serde(rename = "30d")]
    Month,
}

impl MetricsRange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Month => "30d",
        }
    }

    /// The one that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.word() == word)
    }

    /// How much time it is, in seconds.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Month => 2_592_000,
        }
    }

    /// How much time one point stands for, in seconds.
    pub fn step_seconds(self) -> u32 {
        match self {
            Self::Hour => 60,
            Self::Day => 600,
            Self::Month => 3600,
        }
    }
}

/// What was seen of an instance over a range of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricsHistory {
    /// Which range.
    pub range: MetricsRange,
    /// How many seconds a point stands for.
    pub step_seconds: u32,
    /// When the first point begins that there could be, in microseconds since 1970 UTC.
    pub from: Timestamp,
    /// When the last one ends.
    pub until: Timestamp,
    /// By time. Where nothing was seen there is no point.
    pub points: Vec<MetricsPoint>,
    /// All of it as one.
    pub total: MetricsPoint,
}

/// What was seen in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricsPoint {
    /// When it begins, in microseconds since 1970 UTC.
    pub at: Timestamp,
    /// The mean, in thousandths of one core; absent when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u64>,
    /// The most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores_max: Option<u64>,
    /// The mean of resident memory, in bytes; absent when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    /// Requests at its MCP address that ended in the span.
    pub calls: u64,
    /// Those that were answered with an error, or whose answer was lost.
    pub errors: u64,
    /// Those that were not carried out: who called may not, or the instance could not take them.
    pub refused: u64,
    /// Half of those that were answered took no longer, in microseconds until the answer was complete; within a fifth. Absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// 95 of a hundred took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_us: Option<u64>,
    /// 99 of a hundred took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

/// What the account's instances used and how they were called in the last minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountMetrics {
    /// Since when, in microseconds since 1970 UTC.
    pub since: Timestamp,
    /// How many seconds that is.
    pub seconds: u32,
    /// By name; those of which nothing was seen are not there.
    pub instances: Vec<InstanceFigures>,
}

/// One instance of [`AccountMetrics`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceFigures {
    /// Its name.
    pub name: InstanceName,
    /// What was seen of it.
    pub figures: MetricsPoint,
}
