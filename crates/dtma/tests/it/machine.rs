//! A fake runtime. Its shims are real processes (`sleep`) with a real socket served by a thread of the test, so that
//! they outlive a DTMA and can be killed. It remembers what it was asked to do.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use domain::cleanup::{Found, Thing};
use domain::ids::InstanceId;
use domain::registry::RegistryLogin;
use domain::secret::Secrets;
use domain::shim::{
    KEY_HEADER, MCP_PATH, SHUTDOWN_PATH, SOCKET, STATUS_PATH, ServerState, ShimStatus, TOKEN_PATH,
    TokenAnswer, TokenAsk,
};
use domain::spec::InstanceSpec;
use domain::status::{Confinement, Progress, Protection};
use domain::time::Timestamp;
use futures_util::StreamExt as _;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use runtime::error::RuntimeError;
use runtime::layout::Layout;
use runtime::{BoxFuture, Inventory, OnProgress, Prepared, Runtime, Shim, Traffic, Usage};
use tokio::process::Command;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What the fakes of one host share, whichever DTMA runs there.
#[derive(Debug)]
pub(crate) struct Machine {
    layout: Layout,
    shims: Mutex<HashMap<InstanceId, Running>>,
    /// What was asked, in order: `install`, `cancelled install`, `start`, `kill`, each with the generation if any.
    pub(crate) asked: Mutex<Vec<String>>,
    /// An install takes one; a test that wants installs to hang takes all.
    pub(crate) gate: Arc<Semaphore>,
    /// What the next installs fail with; absent: they succeed.
    pub(crate) install_error: Mutex<Option<fn() -> RuntimeError>>,
    /// What the next starts fail with; absent: they succeed.
    pub(crate) start_error: Mutex<Option<fn() -> RuntimeError>>,
    /// The server state that new shims say.
    pub(crate) server: Mutex<ServerState>,
    /// Whether new shims let wait who knows their status already; those of earlier versions do not.
    pub(crate) let_wait: AtomicBool,
    /// How often a shim was asked how it is.
    pub(crate) questions: Arc<AtomicUsize>,
    /// What is found on the host.
    pub(crate) found: Mutex<Vec<Found>>,
    /// The secrets of the last start.
    pub(crate) secrets: Mutex<Secrets>,
    /// What opens the registry, of the last install.
    pub(crate) registry: Mutex<Option<RegistryLogin>>,
    /// What shims ask for in their status.
    pub(crate) asks: Arc<Mutex<Vec<TokenAsk>>>,
    /// What they were answered.
    pub(crate) answers: Arc<Mutex<Vec<TokenAnswer>>>,
}

#[derive(Debug)]
struct Running {
    pid: u32,
    stop: CancellationToken,
    over: watch::Receiver<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    server: watch::Sender<ServerState>,
}

pub(crate) fn running() -> ServerState {
    ServerState::Running {
        since: Timestamp(1_000_000),
        server_name: "fake".to_owned(),
        protocol_version: "2025-11-25".to_owned(),
    }
}

impl Machine {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            shims: Mutex::default(),
            asked: Mutex::default(),
            gate: Arc::new(Semaphore::new(100)),
            install_error: Mutex::default(),
            start_error: Mutex::default(),
            server: Mutex::new(running()),
            let_wait: AtomicBool::new(true),
            questions: Arc::default(),
            found: Mutex::default(),
            secrets: Mutex::default(),
            registry: Mutex::default(),
            asks: Arc::default(),
            answers: Arc::default(),
        }
    }

    /// The process id of the living shim of an instance.
    pub(crate) fn pid(&self, id: InstanceId) -> Option<u32> {
        self.shims.lock().unwrap().get(&id).filter(|shim| !*shim.over.borrow()).map(|shim| shim.pid)
    }

    /// What a living shim says of its server from now on.
    pub(crate) fn say(&self, id: InstanceId, server: ServerState) {
        self.shims.lock().unwrap()[&id].server.send_replace(server);
    }

    /// `kill -9` of a shim; done when it is dead.
    pub(crate) async fn kill_shim(&self, id: InstanceId) {
        let Some((stop, mut over)) =
            self.shims.lock().unwrap().get(&id).map(|shim| (shim.stop.clone(), shim.over.clone()))
        else {
            return;
        };
        stop.cancel();
        over.wait_for(|over| *over).await.unwrap();
    }

    /// Starts a shim that no DTMA asked for: left from before.
    pub(crate) fn plant(&self, spec: &InstanceSpec) -> oneshot::Receiver<String> {
        let server = watch::Sender::new(self.server.lock().unwrap().clone());
        let (said, ended) = oneshot::channel();
        let stop = CancellationToken::new();
        let (over_is, over) = watch::channel(false);
        let (started_is, started) = std::sync::mpsc::channel();
        let dir = self.layout.socket_dir(spec.id);
        let app = App {
            spec: Arc::new(spec.clone()),
            server: server.clone(),
            lets_wait: self.let_wait.load(Ordering::Relaxed),
            questions: Arc::clone(&self.questions),
            stop: stop.clone(),
            pid: 0,
            release: Arc::new(Notify::new()),
            asks: Arc::clone(&self.asks),
            answers: Arc::clone(&self.answers),
        };
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio.block_on(async move {
                std::fs::create_dir_all(&dir).unwrap();
                let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
                let pid = child.id().unwrap();
                let listener = hop::address::bind_unix(&dir, SOCKET).unwrap();
                let router = router(App { pid, ..app });
                started_is.send(pid).unwrap();
                tokio::select! {
                    () = hop::serve::serve_router(hop::serve::Listener::Unix(listener), router, std::future::pending()) => {}
                    _ = child.wait() => {}
                    () = told.cancelled() => child.kill().await.unwrap(),
                }
            });
            // Every connection ends as when a process dies: in the middle of whatever it was doing.
            drop(tokio);
            let _nobody_may_watch = over_is.send(true);
            let _nobody_may_wait = said.send("signal: 9 (SIGKILL)".to_owned());
        });
        let pid = started.recv().unwrap();
        self.shims.lock().unwrap().insert(spec.id, Running { pid, stop, over, thread: Some(thread), server });
        ended
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn ask(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for shim in self.shims.get_mut().unwrap().values_mut() {
            shim.stop.cancel();
            shim.thread.take().map(std::thread::JoinHandle::join);
        }
    }
}

impl Runtime for Machine {
    fn prepare<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>> {
        struct Cancelled<'a>(&'a Machine, bool);
        impl Drop for Cancelled<'_> {
            fn drop(&mut self) {
                if self.1 {
                    self.0.ask("cancelled install");
                }
            }
        }
        Box::pin(async move {
            self.registry.lock().unwrap().clone_from(&spec.registry);
            self.ask(format!("install {}", spec.generation));
            let mut cancelled = Cancelled(self, true);
            progress(Progress { step: "downloading".to_owned(), percent: Some(50) });
            let _permit = self.gate.acquire().await.unwrap();
            cancelled.1 = false;
            if let Some(error) = *self.install_error.lock().unwrap() {
                return Err(error());
            }
            Ok(Prepared {
                version: Some("1.2.3".to_owned()),
                digest: Some(format!("sha256:0{}", spec.generation)),
                command: vec!["fake".to_owned()],
                read: Vec::new(),
                env: BTreeMap::new(),
                image: None,
            })
        })
    }

    fn spawn_shim<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        _prepared: &'a Prepared,
    ) -> BoxFuture<'a, Result<Shim, RuntimeError>> {
        Box::pin(async move {
            self.ask(format!("start {}", spec.generation));
            if let Some(error) = *self.start_error.lock().unwrap() {
                return Err(error());
            }
            assert_eq!(self.pid(spec.id), None, "two shims of one instance");
            *self.secrets.lock().unwrap() = spec.secrets.clone();
            let ended = self.plant(spec);
            Ok(Shim { pid: self.pid(spec.id).unwrap(), ended })
        })
    }

    fn kill_leftovers(&self, instance: InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(async move {
            if self.pid(instance).is_some() {
                self.ask("kill");
            }
            self.kill_shim(instance).await;
            Ok(())
        })
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Inventory, RuntimeError>> {
        let found = self.found.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(Inventory { found, unseen: Vec::new() })))
    }

    fn discard<'a>(&'a self, thing: &'a Thing) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.ask(format!("discard {}", thing.name));
        self.found.lock().unwrap().retain(|found| found.thing != *thing);
        Box::pin(std::future::ready(Ok(())))
    }

    fn confinement(&self, _spec: &InstanceSpec) -> Option<Confinement> {
        None
    }

    fn protections(&self) -> Vec<Protection> {
        vec![Protection { name: "fake".to_owned(), granted: false, detail: "a test".to_owned() }]
    }

    fn usage<'a>(&'a self, instances: &'a [InstanceId]) -> BoxFuture<'a, BTreeMap<InstanceId, Usage>> {
        let living = instances.iter().filter(|id| self.pid(**id).is_some());
        let network = Some(Traffic { received_bytes: 11, sent_bytes: 12 });
        let usage = Usage { cpu: Duration::from_secs(1), memory_bytes: 1 << 20, network };
        Box::pin(std::future::ready(living.map(|id| (*id, usage)).collect()))
    }
}

#[derive(Clone)]
struct App {
    spec: Arc<InstanceSpec>,
    server: watch::Sender<ServerState>,
    lets_wait: bool,
    questions: Arc<AtomicUsize>,
    stop: CancellationToken,
    pid: u32,
    release: Arc<Notify>,
    asks: Arc<Mutex<Vec<TokenAsk>>>,
    answers: Arc<Mutex<Vec<TokenAnswer>>>,
}

fn router(app: App) -> Router {
    let guard = axum::middleware::from_fn_with_state(
        app.clone(),
        async |State(app): State<App>, request: Request, next: axum::middleware::Next| {
            let key = request.headers().get(KEY_HEADER).map(http::HeaderValue::as_bytes);
            if key == Some(app.spec.key.expose().as_bytes()) {
                next.run(request).await
            } else {
                StatusCode::UNAUTHORIZED.into_response()
            }
        },
    );
    Router::new()
        .route(STATUS_PATH, get(status))
        .route(SHUTDOWN_PATH, post(async |State(app): State<App>| app.stop.cancel()))
        .route(TOKEN_PATH, post(token))
        .route(MCP_PATH, any(mcp))
        .layer(guard)
        .with_state(app)
}

async fn token(State(app): State<App>, Json(answer): Json<TokenAnswer>) -> StatusCode {
    app.answers.lock().unwrap().push(answer);
    StatusCode::NO_CONTENT
}

async fn status(State(app): State<App>, headers: HeaderMap) -> Response {
    app.questions.fetch_add(1, Ordering::Relaxed);
    let mut server = app.server.subscribe();
    let tag = |server: &ServerState| format!("{:?}", format!("{server:?}"));
    if let Some(known) = headers.get(IF_NONE_MATCH).filter(|_| app.lets_wait) {
        let wait = headers["prefer"].to_str().unwrap().strip_prefix("wait=").unwrap().parse().unwrap();
        let news = server.wait_for(|server| known.as_bytes() != tag(server).as_bytes());
        let _over = tokio::time::timeout(Duration::from_secs(wait), news).await;
    }
    let status = ShimStatus {
        instance: app.spec.id,
        generation: app.spec.generation,
        pid: app.pid,
        server: server.borrow().clone(),
        restarts: 0,
        in_flight: 0,
        processes: 1,
        asks: app.asks.lock().unwrap().clone(),
    };
    let body = serde_json::to_vec(&status).unwrap();
    if app.lets_wait { ([(ETAG, tag(&status.server))], body).into_response() } else { body.into_response() }
}

/// By the body: `die` ends the shim, `stream` sends one piece and the next when `release` is posted; else it tells
/// what it was sent.
async fn mcp(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 25).await.unwrap();
    match body.as_ref() {
        b"die" => {
            app.stop.cancel();
            std::future::pending().await
        }
        b"stream" => {
            let release = Arc::clone(&app.release);
            let first = futures_util::stream::once(async { Bytes::from_static(b"data: 1\n\n") });
            let second = futures_util::stream::once(async move {
                release.notified().await;
                Bytes::from_static(b"data: 2\n\n")
            });
            Body::from_stream(first.chain(second).map(Ok::<_, std::convert::Infallible>)).into_response()
        }
        b"release" => {
            app.release.notify_one();
            StatusCode::ACCEPTED.into_response()
        }
        _ => {
            let mut told = format!("{} {}\n", parts.method, parts.uri);
            for (name, value) in &parts.headers {
                writeln!(told, "{name}: {}", value.to_str().unwrap()).unwrap();
            }
            write!(told, "\n{} bytes", body.len()).unwrap();
            ([("x-from-shim", "yes")], told).into_response()
        }
    }
}
