//! A shim in a directory of its own, and a client of it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::InstanceId;
use domain::secret::Secret;
pub(crate) use domain::shim::ShimConfig;
use domain::shim::{KEY_HEADER, Link, Mode, Opening, PRINCIPAL_HEADER, ServerState, ShimStatus};
use hop::address::Address;
use hop::pool::{Pool, PooledBody};
pub(crate) use http::Method;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use shim::ShimError;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const KEY: &str = "the-key";
/// Longer than anything takes on a loaded machine; reached only by a failing test.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Shim {
    pub(crate) dir: TempDir,
    pub(crate) address: Address,
    pool: Pool<Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ShimError>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON-RPC error code; 0 when there is none.
    pub(crate) fn code(&self) -> i64 {
        serde_json::from_str::<serde_json::Value>(&self.text)
            .ok()
            .and_then(|body| body["error"]["code"].as_i64())
            .unwrap_or(0)
    }
}

pub(crate) fn config(dir: &TempDir, mode: &str) -> ShimConfig {
    let sockets =
        dir.path().join("a-directory-whose-name-alone-is-longer-than-what-a-socket-path-may-be".repeat(2));
    let work = dir.path().join("work");
    std::fs::create_dir_all(&sockets).unwrap();
    std::fs::create_dir_all(&work).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/server.py");
    ShimConfig {
        pid: None,
        instance: InstanceId::generate(),
        name: "scripted".parse().unwrap(),
        generation: 7,
        socket_dir: sockets,
        log: dir.path().join("server.log"),
        sessions: dir.path().join("sessions"),
        facts: dir.path().join("facts"),
        mode: Mode::Shared,
        link: Link::Stdio,
        strict_sessions: false,
        idle_ms: 600_000,
        sleep_ms: None,
        command: vec![python(), script.to_str().unwrap().into(), mode.into()],
        cwd: work,
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        secrets: BTreeMap::from([("TOKEN".to_owned(), Secret::new("hunter2"))]),
        key: Secret::new(KEY),
        opening: Opening::Legacy,
        startup_ms: 20_000,
        max_in_flight: 8,
        each_caller: None,
        filter: false,
    }
}

/// The interpreter itself: what `PATH` names may be a wrapper that changes the environment.
fn python() -> String {
    let output = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Shim {
    pub(crate) fn start(mode: &str) -> Self {
        Self::start_with(mode, |_| {})
    }

    pub(crate) fn start_with(mode: &str, change: impl FnOnce(&mut ShimConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), mode, change)
    }

    /// One where another was before.
    pub(crate) fn start_in(dir: TempDir, mode: &str, change: impl FnOnce(&mut ShimConfig)) -> Self {
        let mut config = config(&dir, mode);
        change(&mut config);
        let address = Address::Unix { dir: config.socket_dir.clone(), file: "shim.sock".into() };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(shim::run(config, async {
            // A dropped sender stops it too.
            let _ = stopped.await;
        }));
        Self { dir, address, pool: Pool::new(), stop: Some(stop), task }
    }

    /// One whose server is code.
    pub(crate) fn start_virtual(code: std::sync::Arc<dyn shim::Virtual>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir, "normal");
        (config.link, config.command) = (Link::Virtual, Vec::new());
        let address = Address::Unix { dir: config.socket_dir.clone(), file: "shim.sock".into() };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(shim::run_virtual(config, code, async {
            // A dropped sender stops it too.
            let _ = stopped.await;
        }));
        Self { dir, address, pool: Pool::new(), stop: Some(stop), task }
    }

    /// A started one, a session in it.
    pub(crate) async fn with_session(mode: &str) -> (Self, String) {
        let shim = Self::start(mode);
        let session = shim.session("user:a").await;
        (shim, session)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<PooledBody<Full<Bytes>>> {
        let body = body.into();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let mut request = Request::builder().method(method.clone()).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Full::new(body.clone())).unwrap();
            let sent = tokio::time::timeout(DEADLINE, self.pool.send(&self.address, request)).await;
            match sent.unwrap_or_else(|_| panic!("no answer within {DEADLINE:?}: {method} {path}")) {
                Ok(response) => return response,
                // It is about to bind its socket.
                Err(hop::pool::HopError::Connect { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.send(method, path, headers, body).await;
        let (head, body) = response.into_parts();
        let bytes = tokio::time::timeout(DEADLINE, body.collect()).await.unwrap().unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, text }
    }

    /// A legacy message in a session, with the headers that a proper client sends.
    pub(crate) async fn post(&self, session: &str, body: impl Into<Bytes>) -> Answer {
        self.ask(Method::POST, "/mcp", &proper(session), body).await
    }

    pub(crate) async fn session(&self, principal: &str) -> String {
        self.session_of(principal, "2025-06-18").await
    }

    pub(crate) async fn session_of(&self, principal: &str, revision: &str) -> String {
        let mut headers = proper("");
        headers.retain(|(name, _)| *name != "mcp-session-id");
        headers.retain(|(name, _)| *name != PRINCIPAL_HEADER);
        headers.push((PRINCIPAL_HEADER, principal));
        let answer =
            self.ask(Method::POST, "/mcp", &headers, INITIALIZE.replace("2025-06-18", revision)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("mcp-session-id").to_owned()
    }

    pub(crate) async fn status(&self) -> ShimStatus {
        let answer = self.ask(Method::GET, "/status", &[(KEY_HEADER, KEY)], "").await;
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&ShimStatus) -> bool) -> ShimStatus {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the server has failed, and gives its message.
    pub(crate) async fn failure(&self) -> String {
        let status = self.until("failed", |status| matches!(status.server, ServerState::Failed { .. })).await;
        match status.server {
            ServerState::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap()
    }

    /// Waits until the log has the text.
    pub(crate) async fn logged(&self, text: &str) -> String {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(tokio::time::Instant::now() < deadline, "never logged {text}: {log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        tokio::time::timeout(DEADLINE, &mut self.task).await.unwrap().unwrap().unwrap();
        self.dir
    }

    /// Ends it as a crash would: nothing more of it runs.
    pub(crate) async fn crash(self) -> TempDir {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.dir
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) {
        tokio::time::timeout(DEADLINE, &mut self.task).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

pub(crate) fn proper(session: &str) -> Vec<(&str, &str)> {
    vec![
        (KEY_HEADER, KEY),
        (PRINCIPAL_HEADER, "user:a"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-06-18"),
        ("mcp-session-id", session),
    ]
}

/// The messages of an event stream.
pub(crate) fn events(text: &str) -> Vec<String> {
    let mut events = Vec::new();
    mcp::sse::Decoder::new(1 << 20).push(text.as_bytes(), &mut events).unwrap();
    events.into_iter().map(|event| event.data).collect()
}

/// An open event stream.
pub(crate) struct Stream {
    body: PooledBody<Full<Bytes>>,
    decoder: mcp::sse::Decoder,
    waiting: VecDeque<mcp::sse::Event>,
}

impl Stream {
    pub(crate) async fn open(
        shim: &Shim,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Self {
        let response = shim.send(method, path, headers, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let decoder = mcp::sse::Decoder::new(1 << 20);
        Self { body: response.into_body(), decoder, waiting: VecDeque::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<mcp::sse::Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame()).await;
            let bytes = frame.unwrap()?.unwrap().into_data().unwrap();
            let mut events = Vec::new();
            self.decoder.push(&bytes, &mut events).unwrap();
            self.waiting.extend(events);
        }
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<serde_json::Value> {
        Some(serde_json::from_str(&self.event().await?.data).unwrap())
    }
}
