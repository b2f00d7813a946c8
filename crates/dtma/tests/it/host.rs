//! A host: a data directory, a [`Machine`], a DTMA on port 0 that can end and start again, and a client of its API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::errors::ErrorBody;
use domain::ids::{EnvironmentId, InstanceId};
use domain::secret::Secret;
use domain::spec::{DesiredState, InstanceSpec};
use domain::status::{InstanceReport, InstanceStatus};
use dtma::{Config, DtmaError};
use hop::serve::Listener;
use runtime::layout::Layout;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::machine::Machine;

pub(crate) const TOKEN: &str = "berth_dtma_right";
/// Nothing here takes longer, but on a machine that is busy with something else.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Host {
    pub(crate) machine: Arc<Machine>,
    pub(crate) layout: Layout,
    pub(crate) environment: EnvironmentId,
    pub(crate) control_url: Option<String>,
    pub(crate) backend_key: Option<Secret>,
    pub(crate) cleanup_percent: Option<u8>,
    pub(crate) log: dtma::OwnLog,
    client: reqwest::Client,
    dtma: Option<Dtma>,
    _dir: TempDir,
}

struct Dtma {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), DtmaError>>,
}

impl Host {
    /// A host whose DTMA runs.
    pub(crate) async fn start() -> Self {
        let mut host = Self::new();
        host.up().await;
        host
    }

    /// A host whose DTMA does not run yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("dtma")).unwrap();
        Self {
            machine: Arc::new(Machine::new(layout.clone())),
            layout,
            environment: EnvironmentId::generate(),
            control_url: None,
            backend_key: None,
            cleanup_percent: None,
            log: dtma::OwnLog::default(),
            client: reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap(),
            dtma: None,
            _dir: dir,
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            data: self.layout.data.clone(),
            environment: self.environment,
            token: Secret::new(TOKEN),
            control_url: self.control_url.clone(),
            tls_pin: None,
            proxy: None,
            tunnel: false,
            backend_key: self.backend_key.clone(),
            cleanup_percent: self.cleanup_percent,
            service: None,
            log: self.log.clone(),
            serves: Arc::default(),
            heartbeat: api::dtma::HEARTBEAT_PERIOD,
        }
    }

    pub(crate) async fn up(&mut self) {
        assert!(self.dtma.is_none(), "it runs");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let machine: Arc<Machine> = Arc::clone(&self.machine);
        let run = dtma::run(self.config(), machine, Listener::Both(listener), stop.clone().cancelled_owned());
        self.dtma = Some(Dtma { address, stop, task: tokio::spawn(run) });
    }

    /// Ends the DTMA as SIGTERM does.
    pub(crate) async fn down(&mut self) {
        let dtma = self.dtma.take().expect("it runs");
        dtma.stop.cancel();
        tokio::time::timeout(DEADLINE, dtma.task).await.unwrap().unwrap().unwrap();
    }

    /// Waits until the DTMA ended by itself.
    pub(crate) async fn ended(&mut self) {
        let dtma = self.dtma.take().expect("it runs");
        tokio::time::timeout(DEADLINE, dtma.task).await.unwrap().unwrap().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.dtma.as_ref().expect("it runs").address)
    }

    /// The port of the DTMA.
    pub(crate) fn port(&self) -> u16 {
        self.dtma.as_ref().expect("it runs").address.port()
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.stranger(method, path).bearer_auth(TOKEN)
    }

    /// A request without.
    pub(crate) fn stranger(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(path))
    }

    pub(crate) async fn put(&self, spec: &InstanceSpec) -> reqwest::Response {
        self.request("PUT", &format!("/v1/instances/{}", spec.id)).json(spec).send().await.unwrap()
    }

    /// `POST /v1/instances/{id}/{verb}`, which must be taken.
    pub(crate) async fn wish(&self, id: InstanceId, verb: &str) -> InstanceReport {
        let response = self.request("POST", &format!("/v1/instances/{id}/{verb}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{verb}");
        response.json().await.unwrap()
    }

    pub(crate) async fn report(&self, id: InstanceId) -> Option<InstanceReport> {
        let response = self.request("GET", &format!("/v1/instances/{id}")).send().await.unwrap();
        if response.status() == 404 { None } else { Some(response.json().await.unwrap()) }
    }

    /// Waits until the report is as wanted.
    pub(crate) async fn until(
        &self,
        id: InstanceId,
        what: &str,
        wanted: impl Fn(&InstanceReport) -> bool,
    ) -> InstanceReport {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let report = self.report(id).await.expect("the instance is there");
            if wanted(&report) {
                return report;
            }
            assert!(tokio::time::Instant::now() < deadline, "not {what}: {report:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the instance has this status at this generation.
    pub(crate) async fn status(
        &self,
        id: InstanceId,
        generation: u64,
        status: InstanceStatus,
    ) -> InstanceReport {
        self.until(id, &format!("{status} at generation {generation}"), |report| {
            report.status == status && report.generation == generation
        })
        .await
    }

    /// Puts a spec that runs and waits until it does.
    pub(crate) async fn deploy(&self) -> InstanceSpec {
        let spec = spec();
        assert_eq!(self.put(&spec).await.status(), 200);
        self.status(spec.id, 1, InstanceStatus::Running).await;
        spec
    }

    pub(crate) fn spec_file(&self, id: InstanceId) -> PathBuf {
        self.layout.instance_dir(id).join("spec.json")
    }
}

/// Waits for a condition of the test's own.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A spec of generation 1 that is to run.
pub(crate) fn spec() -> InstanceSpec {
    let id = InstanceId::generate();
    let json = serde_json::json!({
        "id": id,
        "account": "default",
        "name": "everything",
        "generation": 1,
        "desired": "running",
        "restarts_asked": 0,
        "package": {"kind": "npm", "name": "everything"},
        "env": {"PLAIN": "value"},
        "secrets": {"API_KEY": "hunter2-of-the-service"},
        "key": "0123456789abcdef-instance-key",
    });
    serde_json::from_value(json).unwrap()
}

/// The same spec, one generation on, changed.
pub(crate) fn next(spec: &InstanceSpec, desired: DesiredState) -> InstanceSpec {
    InstanceSpec { generation: spec.generation + 1, desired, ..spec.clone() }
}

/// The error of a refused request.
pub(crate) async fn error(response: reqwest::Response) -> (u16, ErrorBody) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body: ErrorBody = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status} {text:?}: {e}"));
    assert_eq!(body.error.code.status(), status, "the code is the status's: {body:?}");
    (status, body)
}
