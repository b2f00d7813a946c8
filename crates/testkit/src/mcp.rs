//! A small MCP client that says exactly what came back: status, headers and body, for tests of the gateway's address.
//!
//! The official SDKs are tested too; they hide what a test of errors must see.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// One MCP address and a token for it.
#[derive(Debug, Clone)]
pub struct Mcp {
    http: reqwest::Client,
    url: String,
    token: String,
    session: Option<String>,
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
        Self { http, url: url.to_owned(), token: token.to_owned(), session: None }
    }

    /// A client with a session of revision 2025-11-25.
    ///
    /// # Errors
    /// When nobody answers, or the answer is no session.
    pub async fn open(url: &str, token: &str) -> anyhow::Result<Self> {
        let mut client = Self::new(url, token);
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "testkit", "version": "0"}});
        let answer = client.post(&request(0, "initialize", &params)).await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text);
        let session = answer.headers.get("mcp-session-id").and_then(|value| value.to_str().ok());
        client.session = session.map(str::to_owned);
        client.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    /// Sends one message with the headers that a client of revision 2025-11-25 sends.
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
            .header("accept", "application/json, text/event-stream")
            .json(message);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        Ok(request.send().await?)
    }

    /// Calls a tool and gives its result.
    ///
    /// # Errors
    /// When nobody answers, or the answer is an error.
    pub async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let answer =
            self.post(&request(1, "tools/call", &json!({"name": tool, "arguments": arguments}))).await?;
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
