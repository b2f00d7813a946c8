//! A DTMA as the tests play it: it keeps what it is given and reports what the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use domain::ids::InstanceId;
use domain::package::Package;
use domain::spec::InstanceSpec;
use domain::status::{InstanceReport, InstanceStatus};
use hop::serve::Listener;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::images::digest;
use crate::platform::Platform;

#[derive(Debug, Default)]
pub(crate) struct FakeDtma {
    pub(crate) specs: Mutex<BTreeMap<InstanceId, InstanceSpec>>,
    pub(crate) deleted: Mutex<Vec<InstanceId>>,
    pub(crate) bearers: Mutex<Vec<String>>,
    /// What `PUT` answers instead of taking the spec.
    pub(crate) refusal: Mutex<Option<(StatusCode, Value)>>,
    /// Whose it says it is.
    pub(crate) environment: Mutex<String>,
    sequence: AtomicU64,
}

/// A DTMA that listens, also when this is dropped.
pub(crate) struct Up {
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Up {
    /// Ends it; nobody answers there any more, on connections that are kept neither.
    pub(crate) async fn end(&mut self) {
        self.stop.cancel();
        (&mut self.served).await.unwrap();
    }
}

impl FakeDtma {
    /// Listens on a port of its own, or on `address`; gives where, and what ends it.
    pub(crate) async fn listen(self: &Arc<Self>, address: Option<SocketAddr>) -> (SocketAddr, Up) {
        let wanted = address.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let listener = tokio::net::TcpListener::bind(wanted).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/instances/{id}", put(take).delete(remove))
            .route("/v1/instances/{id}/logs", get(logs))
            .route("/v1/instances/{id}/mcp", post(mcp))
            .route("/v1/info", get(info))
            .with_state(Arc::clone(self));
        let stop = CancellationToken::new();
        let until = stop.clone();
        let served = tokio::spawn(hop::serve::serve_router(Listener::Tcp(listener), router, async move {
            until.cancelled().await;
        }));
        (address, Up { stop, served })
    }

    pub(crate) fn spec(&self, name: &str) -> Option<InstanceSpec> {
        self.specs.lock().unwrap().values().find(|spec| spec.name.as_str() == name).cloned()
    }

    /// A heartbeat in which every instance has the status that `status` gives.
    pub(crate) async fn report(
        &self,
        platform: &Platform,
        status: impl Fn(&InstanceSpec) -> (InstanceStatus, Option<&'static str>),
    ) -> StatusCode {
        let reports: Vec<InstanceReport> = self
            .specs
            .lock()
            .unwrap()
            .values()
            .map(|spec| {
                let (status, message) = status(spec);
                report_of(spec, status, message)
            })
            .collect();
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let body = heartbeat(&platform.local.id.to_string(), sequence, &json!(reports));
        let token = platform.local.dtma_token.expose();
        let answer =
            platform.send(Some(token), http::Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
        answer.status
    }
}

pub(crate) fn heartbeat(environment: &str, sequence: u64, instances: &Value) -> Value {
    json!({
        "environment": environment, "dtma_version": "0.1.0", "sequence": sequence, "started_at": 1,
        "instances": instances, "protections": [],
        "system": {
            "cpu_load_percent": 1.5, "cores": 2, "disk": null, "uptime_seconds": 9,
            "memory": { "total_bytes": 4, "active_bytes": 1, "free_bytes": 2, "used_bytes": 2 }
        }
    })
}

pub(crate) fn report_of(
    spec: &InstanceSpec,
    status: InstanceStatus,
    message: Option<&'static str>,
) -> InstanceReport {
    // An image is known by its digest, and one that is asked for by its tag has the one that its name gives here.
    let (version, digest) = match &spec.package {
        Package::Oci { image } => {
            let of_name = || digest(image.as_bytes());
            (None, Some(spec.package.version().map_or_else(of_name, str::to_owned)))
        }
        package => (package.version().map(str::to_owned), None),
    };
    InstanceReport {
        id: spec.id,
        generation: spec.generation,
        status,
        message: message.map(str::to_owned),
        progress: None,
        version,
        digest,
        server_name: None,
        protocol_version: None,
        confinement: None,
        restarts: 0,
        since: SystemTime::now().into(),
        metrics: None,
        blocked: Vec::new(),
    }
}

async fn take(
    State(dtma): State<Arc<FakeDtma>>,
    Path(id): Path<InstanceId>,
    headers: HeaderMap,
    Json(spec): Json<InstanceSpec>,
) -> Response {
    assert_eq!(spec.id, id);
    let bearer = headers["authorization"].to_str().unwrap().to_owned();
    dtma.bearers.lock().unwrap().push(bearer);
    if let Some((status, body)) = dtma.refusal.lock().unwrap().clone() {
        return (status, Json(body)).into_response();
    }
    let report = report_of(&spec, InstanceStatus::Installing, None);
    dtma.specs.lock().unwrap().insert(id, spec);
    Json(report).into_response()
}

async fn remove(State(dtma): State<Arc<FakeDtma>>, Path(id): Path<InstanceId>) -> Response {
    dtma.deleted.lock().unwrap().push(id);
    if dtma.specs.lock().unwrap().remove(&id).is_some() {
        return StatusCode::NO_CONTENT.into_response();
    }
    let body = json!({ "error": { "code": "not_found", "message": "no such instance" } });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn info(State(dtma): State<Arc<FakeDtma>>) -> Json<Value> {
    let environment = dtma.environment.lock().unwrap().clone();
    Json(json!({ "version": "0.1.0", "environment": environment, "protections": [] }))
}

/// What the instance's shim would be shown, and the DTMA itself.
async fn mcp(Path(id): Path<InstanceId>, headers: HeaderMap) -> String {
    let shown = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    format!("{id} {} {} {}", shown("authorization"), shown("berth-key"), shown("berth-principal"))
}

async fn logs(Path(id): Path<InstanceId>, axum::extract::RawQuery(query): axum::extract::RawQuery) -> String {
    format!("{id} {}\n", query.unwrap_or_default())
}
