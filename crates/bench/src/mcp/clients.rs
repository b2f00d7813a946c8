//! Clients of either era over Streamable HTTP, each with a connection of its own, calling one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hop::address::Address;
use hop::pool::Pool;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};

use crate::load::{self, Figures};
use crate::processes;

/// Which revisions a client, or a server, speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
    /// Sends the message without opening anything: to a hop that knows no MCP.
    Bare,
}

/// Where a server is and how it is called.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) address: Address,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    /// The name under which `echo` is offered.
    pub(crate) tool: &'static str,
    /// What the client speaks.
    pub(crate) era: Era,
}

/// So many sessions are opened at a time.
const OPENED_AT_ONCE: usize = 8;
/// One that fails so often in a row is given up, so that refusals are not what is measured.
const MOST_ERRORS: u64 = 50;
/// An answer that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(30);
const VERSION: &str = "2026-07-28";
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"0"},"io.modelcontextprotocol/clientCapabilities":{}},"#;

/// Sessions that are open.
pub(crate) struct Clients {
    way: Arc<Way>,
    clients: Vec<Client>,
}

struct Client {
    pool: Pool<Full<Bytes>>,
    session: Option<HeaderValue>,
    calls: u64,
}

/// What the calls of one client came to.
struct Came {
    client: Client,
    latencies: Vec<Duration>,
    errors: u64,
    last: Instant,
}

impl Clients {
    /// Opens `sessions` sessions, and nothing for clients that have none.
    pub(crate) async fn open(way: &Way, sessions: usize) -> anyhow::Result<Self> {
        let way = Arc::new(way.clone());
        let mut clients = vec![];
        while clients.len() < sessions {
            let some = OPENED_AT_ONCE.min(sessions - clients.len());
            let opening: Vec<_> = (0..some).map(|_| tokio::spawn(Client::open(Arc::clone(&way)))).collect();
            for client in opening {
                clients.push(client.await??);
            }
        }
        Ok(Self { way, clients })
    }

    /// All sessions call for `time`; what `pids` used of the CPU is theirs. Also gives the calls that failed.
    pub(crate) async fn call(
        &mut self,
        text: &Arc<str>,
        time: Duration,
        pids: &[u32],
    ) -> anyhow::Result<(Figures, u64)> {
        let before = processes::cpu(pids);
        let begun = Instant::now();
        let calling: Vec<_> = std::mem::take(&mut self.clients)
            .into_iter()
            .map(|client| tokio::spawn(client.call(Arc::clone(&self.way), Arc::clone(text), begun + time)))
            .collect();
        let (mut latencies, mut errors, mut end) = (vec![], 0, begun);
        for came in calling {
            let came = came.await?;
            latencies.extend(came.latencies);
            errors += came.errors;
            end = end.max(came.last);
            self.clients.push(came.client);
        }
        let cpu = processes::cpu(pids).saturating_sub(before);
        if latencies.is_empty() {
            bail!("no call was answered, {errors} failed");
        }
        Ok((load::figures(latencies, cpu, end - begun)?, errors))
    }

    /// Ends the sessions, so that nobody keeps a process for them.
    pub(crate) async fn close(self) {
        for client in self.clients {
            if client.session.is_some() {
                // A server that cannot end sessions has nothing to end.
                drop(client.send(&self.way, Method::DELETE, String::new()).await);
            }
        }
    }
}

impl Client {
    async fn open(way: Arc<Way>) -> anyhow::Result<Self> {
        let mut client = Self { pool: Pool::new(), session: None, calls: 0 };
        if way.era == Era::Legacy {
            let (session, answer) = client.send(&way, Method::POST, load::INITIALIZE.to_owned()).await?;
            if !load::contains(&answer, b"serverInfo") {
                bail!("not initialised: {}", String::from_utf8_lossy(&answer));
            }
            client.session = session;
            client.send(&way, Method::POST, load::INITIALIZED.to_owned()).await?;
        }
        Ok(client)
    }

    async fn call(mut self, way: Arc<Way>, text: Arc<str>, until: Instant) -> Came {
        let meta = if way.era == Era::Modern { META } else { "" };
        let (mut latencies, mut errors, mut in_a_row) = (vec![], 0, 0);
        loop {
            let begun = Instant::now();
            if until <= begun || MOST_ERRORS <= in_a_row {
                return Came { client: self, latencies, errors, last: begun };
            }
            self.calls += 1;
            let body = load::call(self.calls, way.tool, &text, meta);
            match self.send(&way, Method::POST, body).await {
                Ok((_, answer)) if load::contains(&answer, text.as_bytes()) => {
                    in_a_row = 0;
                    latencies.push(begun.elapsed());
                }
                _ => (errors, in_a_row) = (errors + 1, in_a_row + 1),
            }
        }
    }

    async fn send(
        &self,
        way: &Way,
        method: Method,
        body: String,
    ) -> anyhow::Result<(Option<HeaderValue>, Bytes)> {
        let is_call = body.contains("tools/call");
        let mut request =
            Request::builder().method(method).uri(&way.path).header("content-type", "application/json");
        request = request.header("accept", "application/json, text/event-stream");
        if way.era == Era::Modern {
            request = request.header("mcp-protocol-version", VERSION);
            request = request.header("mcp-method", "tools/call").header("mcp-name", way.tool);
        } else if is_call {
            request = request.header("mcp-protocol-version", "2025-11-25");
        }
        if let Some(token) = &way.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let response = self.pool.send(&way.address, request).await?;
            let session = response.headers().get("mcp-session-id").cloned();
            let status = response.status();
            let answer = response.into_body().collect().await?.to_bytes();
            if !status.is_success() {
                bail!("{status}: {}", String::from_utf8_lossy(&answer));
            }
            Ok((session, answer))
        };
        tokio::time::timeout(PATIENCE, exchange).await.context("no answer in time")?
    }
}
