//! The command that the conformance suite runs as a client: the shim's own way to a server over HTTP with Berth's own OAuth
//! behind it, and a person who agrees to everything without looking.
//!
//! `visitor URL` lists the server's tools and calls the first one, in the revision of `MCP_CONFORMANCE_PROTOCOL_VERSION`.

mod person;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::HeaderMap;
use serde_json::{Value, json};
use shim::upstream::{self, Incoming, Purse, Target, Transport};
use tokio::sync::mpsc;

use crate::person::{Known, Person};

/// The first revision without a handshake.
const MODERN: &str = "2026-07-28";
/// Longer than anything takes; the suite itself waits thirty seconds.
const DEADLINE: Duration = Duration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().next_back().context("usage: visitor URL")?;
    let version = std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_else(|_| MODERN.to_owned());
    let known = match std::env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(text) => serde_json::from_str(&text).context("MCP_CONFORMANCE_CONTEXT")?,
        Err(_) => Known::default(),
    };
    let purse = Arc::new(Purse::new(Arc::new(Person::new(&url, known)?)));
    let (to_server, outgoing) = mpsc::channel(8);
    let (push, from_server) = mpsc::unbounded_channel();
    let target = Target {
        url: url.parse().context("the URL")?,
        transport: Transport::Streamable,
        headers: HeaderMap::new(),
        purse: Some(purse),
    };
    let link = tokio::spawn(upstream::run(target, outgoing, move |incoming| {
        if let Incoming::Message { message, .. } = incoming {
            // Whoever reads may have seen enough.
            let _ = push.send(message.to_vec());
        }
    }));
    let mut visit = Visit { to_server, from_server, is_modern: version.as_str() >= MODERN, next_id: 1 };
    let outcome = tokio::time::timeout(DEADLINE, visit.run(&version)).await.context("the server is slow")?;
    drop(visit);
    // The session, if there is one, is ended.
    let _ = tokio::time::timeout(Duration::from_secs(3), link).await;
    outcome
}

struct Visit {
    to_server: mpsc::Sender<Vec<u8>>,
    from_server: mpsc::UnboundedReceiver<Vec<u8>>,
    is_modern: bool,
    next_id: u64,
}

impl Visit {
    async fn run(&mut self, version: &str) -> anyhow::Result<()> {
        if !self.is_modern {
            let client = json!({"name": "visitor", "version": env!("CARGO_PKG_VERSION")});
            let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
            self.ask("initialize", params).await?;
            self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        }
        let list = self.ask("tools/list", json!({})).await?;
        if let Some(name) = list["tools"][0]["name"].as_str() {
            self.ask("tools/call", json!({"name": name, "arguments": {}})).await?;
        }
        Ok(())
    }

    async fn send(&self, message: &Value) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.to_server.send(line).await.context("the connection is over")
    }

    async fn ask(&mut self, method: &str, mut params: Value) -> anyhow::Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        if self.is_modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "visitor", "version": env!("CARGO_PKG_VERSION")},
            });
        }
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        while let Some(message) = self.from_server.recv().await {
            let message: Value = serde_json::from_slice(&message)?;
            if message["id"] != id {
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(message["result"].clone());
        }
        bail!("{method}: the connection ended")
    }
}
