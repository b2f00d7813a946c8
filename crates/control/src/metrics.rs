//! What the control plane counts, for Prometheus. No label names an account or an instance.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters and the registry that writes them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    /// Counters of the hot path, found once.
    call_counters: Vec<(&'static str, Counter)>,
    instances: Family<StatusLabels, Gauge>,
    calls_written: Counter,
    calls_lost: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

const OUTCOMES: &[&str] = &["ok", "unauthorized", "refused", "not_found", "unavailable", "lost"];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("berth");
        let requests = Family::<RequestLabels, Counter>::default();
        let calls = Family::<CallLabels, Counter>::default();
        let instances = Family::<StatusLabels, Gauge>::default();
        registry.register("http_requests", "Requests of the JSON API by route and status", requests.clone());
        registry.register("mcp_requests", "Requests at MCP addresses by outcome", calls.clone());
        let (calls_written, calls_lost) = (Counter::default(), Counter::default());
        registry.register(
            "audit_calls_written",
            "Lines of the audit of calls that were written",
            calls_written.clone(),
        );
        registry.register(
            "audit_calls_lost",
            "Lines of the audit of calls that were lost",
            calls_lost.clone(),
        );
        registry.register("instances", "Instances by status", instances.clone());
        let call_counters = OUTCOMES
            .iter()
            .map(|&outcome| (outcome, calls.get_or_create(&CallLabels { outcome }).clone()))
            .collect();
        Self { registry, requests, calls, call_counters, instances, calls_written, calls_lost }
    }
}

impl Metrics {
    /// One request of the JSON API. `route` is the pattern, not the path.
    pub(crate) fn request(&self, route: &str, method: &http::Method, status: http::StatusCode) {
        let method = match method.as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            "HEAD" => "HEAD",
            _ => "other",
        };
        let labels = RequestLabels { route: route.to_owned(), method, status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
    }

    /// One request at an MCP address.
    pub(crate) fn call(&self, status: http::StatusCode) {
        let outcome = match status.as_u16() {
            0..=399 => "ok",
            401 => "unauthorized",
            404 => "not_found",
            502 => "lost",
            503 => "unavailable",
            _ => "refused",
        };
        match self.call_counters.iter().find(|(name, _)| *name == outcome) {
            Some((_, counter)) => counter.inc(),
            None => self.calls.get_or_create(&CallLabels { outcome }).inc(),
        };
    }

    /// Lines of the audit of calls that were written.
    pub(crate) fn calls_written(&self, lines: u64) {
        self.calls_written.inc_by(lines);
    }

    /// Lines of the audit of calls that were lost, so far.
    pub(crate) fn calls_lost(&self, lines: u64) {
        self.calls_lost.inner().store(lines, std::sync::atomic::Ordering::Relaxed);
    }

    /// How many instances are in each state.
    pub(crate) fn instances(&self, counts: &[(&'static str, i64)]) {
        self.instances.clear();
        for &(status, count) in counts {
            self.instances.get_or_create(&StatusLabels { status }).set(count);
        }
    }

    /// Everything, in Prometheus's text format.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &self.registry);
        out
    }
}
