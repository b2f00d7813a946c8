//! A small MCP client that says exactly what came back: status, headers and body, for tests of the gateway's address.
//!
//! The official SDKs are tested too; they hide what a test of errors must see.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The key of a modern request's revision in its `_meta`.
const META_REVISION: &str = "io.modelcontextprotocol/protocolVersion";
/// The revision whose requests stand alone, without a session.
const MODERN: &str = "2026-07-28";

/// One MCP address and a token for it.
#[derive(Debug, Clone)]
pub struct Mcp {
    http: reqwest::Client,
    url: String,
    token: String,
    manner: Manner,
}

/// What a request carries beside its message.
#[derive(Debug, Clone)]
enum Manner {
    /// Nothing: not opened yet, or never to be.
    Bare,
    /// The session and the revision that `initialize` agreed on.
    Legacy { session: Option<String>, revision: String },
    /// What every modern request says of itself, in `_meta` and in its headers.
    Modern,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The HTTP headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The JSON-RPC message in the body: the body itself, or the last event of a stream.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn message(&self) -> Value {
        let last = self.text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
        let json = last.map_or(self.text.as_str(), str::trim);
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }
}

impl Mcp {
    /// A client without a session.
    ///
    /// # Panics
    /// When the HTTP client cannot be made.
    pub fn new(url: &str, token: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self { http, url: url.to_owned(), token: token.to_owned(), manner: Manner::Bare }
    }

    /// A client with a session of revision 2025-11-25.
    ///
    /// # Errors
    /// When nobody answers, or the answer is no session.
    pub async fn open(url: &str, token: &str) -> anyhow::Result<Self> {
        Self::open_as(url, token, "2025-11-25").await
    }

    /// A client with a session, which asked for a revision; the server may have agreed to an older one.
    ///
    /// # Errors
    /// When nobody answers, or the answer is no session.
    pub async fn open_as(url: &str, token: &str, revision: &str) -> anyhow::Result<Self> {
        let mut client = Self::new(url, token);
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "testkit", "version": "0"}});
        let answer = client.post(&request(0, "initialize", &params)).await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text);
        let agreed = answer.message()["result"]["protocolVersion"].as_str().map(str::to_owned);
        let session = answer.headers.get("mcp-session-id").and_then(|value| value.to_str().ok());
        client.manner = Manner::Legacy {
            session: session.map(str::to_owned),
            revision: agreed.ok_or_else(|| anyhow::anyhow!("no revision was agreed on: {}", answer.text))?,
        };
        client.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    /// A client of revision 2026-07-28, which needs no session.
    ///
    /// # Panics
    /// When the HTTP client cannot be made.
    pub fn modern(url: &str, token: &str) -> Self {
        Self { manner: Manner::Modern, ..Self::new(url, token) }
    }

    /// The same client with the same session, for a server that has another address now.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Sends one message with the headers that a client of its revision sends.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn post(&self, message: &Value) -> anyhow::Result<Answer> {
        let response = self.stream(message).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// As [`Mcp::post`], with the body still to be read as it comes.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn stream(&self, message: &Value) -> anyhow::Result<reqwest::Response> {
        let mut request = self
            .http
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream");
        match &self.manner {
            Manner::Bare => request = request.json(message),
            Manner::Legacy { session, revision } => {
                request = request.json(message).header("mcp-protocol-version", revision);
                if let Some(session) = session {
                    request = request.header("mcp-session-id", session);
                }
            }
            Manner::Modern => {
                let message = modern(message.clone());
                request = request.json(&message).header("mcp-protocol-version", MODERN);
                if let Some(method) = message["method"].as_str() {
                    request = request.header("mcp-method", method);
                }
                let params = &message["params"];
                if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
                    request = request.header("mcp-name", name);
                }
            }
        }
        Ok(request.send().await?)
    }

    /// Ends the session; the HTTP status of the answer.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn end(&self) -> anyhow::Result<u16> {
        let mut request = self.http.delete(&self.url).bearer_auth(&self.token);
        if let Manner::Legacy { session: Some(session), .. } = &self.manner {
            request = request.header("mcp-session-id", session);
        }
        Ok(request.send().await?.status().as_u16())
    }

    /// Calls a tool and gives its result.
    ///
    /// # Errors
    /// When nobody answers, or the answer is an error.
    pub async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments})).await
    }

    /// Sends a request and gives its result.
    ///
    /// # Errors
    /// When nobody answers, or the answer is an error.
    pub async fn ask(&self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let answer = self.post(&request(1, method, params)).await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text);
        let message = answer.message();
        anyhow::ensure!(message.get("result").is_some(), "{message}");
        Ok(message["result"].clone())
    }
}

/// A JSON-RPC request.
pub fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The message with what a modern request says of its client.
fn modern(mut message: Value) -> Value {
    let meta = &mut message["params"]["_meta"];
    meta[META_REVISION] = json!(MODERN);
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "testkit", "version": "0"});
    message
}
