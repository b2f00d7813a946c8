//! A small MCP client over Streamable HTTP, of the revision 2025-11-25: what `berth tools` and `berth call` need.
//! It declares no capabilities, so a server may not ask it anything.

use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::addressed::Addressed;
use crate::client::Client;
use crate::commands::status::next_step;
use crate::error::CliError;
use crate::sse::Events;

/// The newest revision that has sessions; every server speaks it or answers with one that it speaks.
const REVISION: &str = "2025-11-25";
const SESSION_HEADER: &str = "mcp-session-id";
const REVISION_HEADER: &str = "mcp-protocol-version";
/// The handshake may have to wait for a server that is just being started.
const HANDSHAKE: Duration = Duration::from_mins(1);
/// The last words to a server are not waited for longer than this.
const GOODBYE: Duration = Duration::from_secs(5);

/// One session with one MCP address.
#[derive(Debug)]
pub(crate) struct McpClient<'a> {
    client: &'a Client,
    url: String,
    name: &'a str,
    session: Option<String>,
    revision: String,
    next_id: u64,
}

/// What a server says while it works.
#[derive(Debug, Deserialize)]
pub(crate) struct ProgressSaid {
    /// How far it is.
    #[serde(default)]
    pub(crate) progress: f64,
    /// Of how much.
    pub(crate) total: Option<f64>,
    /// In words.
    pub(crate) message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    id: Option<Value>,
    method: Option<String>,
    params: Option<Value>,
    result: Option<Box<RawValue>>,
    error: Option<RpcError>,
}

/// A page of `tools/list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

/// What is needed of an `InitializeResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    protocol_version: String,
}

#[derive(Debug, Deserialize)]
struct RpcError {
    code: i64,
    message: String,
}

impl<'a> McpClient<'a> {
    /// Opens a session with an instance or a toolbelt.
    pub(crate) async fn open(client: &'a Client, server: &'a Addressed) -> Result<Self, CliError> {
        let name = server.name();
        // Under the address by which this command knows its Berth: the one that others use may lead nowhere from here, and has
        // another key.
        let path = reqwest::Url::parse(server.url()).map(|url| url.path().to_owned()).unwrap_or_default();
        let url = format!("{}{path}", client.settings().url);
        let mut this = Self { client, url, name, session: None, revision: REVISION.to_owned(), next_id: 1 };
        let params = json!({
            "protocolVersion": REVISION,
            "capabilities": {},
            "clientInfo": { "name": "berth", "version": env!("CARGO_PKG_VERSION") },
        });
        let opened = tokio::time::timeout(HANDSHAKE, this.initialize(params)).await.unwrap_or_else(|_| {
            Err(CliError::failed(format!("`{name}` did not answer within {} s", HANDSHAKE.as_secs()))
                .with_hint(format!("`berth logs {name}` shows what it says")))
        });
        match (opened, server) {
            (Ok(()), _) => Ok(this),
            // Whoever is not running has a better next step than any answer can tell.
            (Err(error), Addressed::Instance(instance)) if !instance.status.is_well() => {
                let hint =
                    next_step(instance).unwrap_or_else(|| format!("`berth status {name}` shows how it is"));
                Err(error.with_hint(hint))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// All pages of `tools/list`, each tool as the server gave it.
    pub(crate) async fn tools(&mut self) -> Result<Vec<Box<RawValue>>, CliError> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let result = self.request("tools/list", params, &mut |_| {}).await?;
            let page: Page = serde_json::from_str(result.get()).map_err(|e| self.not_mcp(e))?;
            tools.extend(page.tools);
            match page.next_cursor {
                None => return Ok(tools),
                next => cursor = next,
            }
        }
    }

    /// `tools/call`. The result is as the server gave it, to the byte, its own errors (`isError`) included.
    pub(crate) async fn call(
        &mut self,
        tool: &str,
        arguments: Value,
        progress: &mut dyn FnMut(ProgressSaid),
    ) -> Result<Box<RawValue>, CliError> {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": 1 } });
        self.request("tools/call", params, progress).await
    }

    /// Gives up the request under way.
    pub(crate) async fn cancel(&self) {
        let params = json!({ "requestId": self.next_id - 1, "reason": "the caller gave up" });
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        // Nothing is left to do when it cannot be said.
        let _ = tokio::time::timeout(GOODBYE, self.post(&body)).await;
    }

    /// Ends the session. That it cannot be ended is no failure: it ends by itself.
    pub(crate) async fn close(self) {
        if self.session.is_some() {
            let request = self.client.http().delete(&self.url).timeout(GOODBYE);
            let _ = self.headers(request).send().await;
        }
    }

    async fn initialize(&mut self, params: Value) -> Result<(), CliError> {
        let id = self.id();
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": params });
        let response = self.post(&body).await?;
        self.session =
            response.headers().get(SESSION_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let result = self.answer(response, id, &mut |_| {}).await?;
        let opened: Opened = serde_json::from_str(result.get()).map_err(|e| self.not_mcp(e))?;
        self.revision = opened.protocol_version;
        self.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await.map(drop)
    }

    async fn request(
        &mut self,
        method: &str,
        params: Value,
        progress: &mut dyn FnMut(ProgressSaid),
    ) -> Result<Box<RawValue>, CliError> {
        let id = self.id();
        let response =
            self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        self.answer(response, id, progress).await
    }

    fn id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn headers(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = request
            .bearer_auth(self.client.settings().token.expose())
            .header(REVISION_HEADER, &self.revision);
        match &self.session {
            Some(session) => request.header(SESSION_HEADER, session),
            None => request,
        }
    }

    async fn post(&self, body: &Value) -> Result<Response, CliError> {
        let request = self
            .headers(self.client.http().post(&self.url))
            .header(header::ACCEPT, "application/json, text/event-stream")
            .json(body);
        let response = request.send().await.map_err(|e| self.client.lost(e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|e| self.client.lost(e))?;
        Err(self.refused(status, &body))
    }

    async fn answer(
        &self,
        response: Response,
        id: u64,
        progress: &mut dyn FnMut(ProgressSaid),
    ) -> Result<Box<RawValue>, CliError> {
        let streamed = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !streamed {
            let body = response.bytes().await.map_err(|e| self.client.lost(e))?;
            return match self.message(&body, id, progress)? {
                Some(result) => Ok(result),
                None => Err(self.no_answer()),
            };
        }
        let mut events = Events::new(response);
        while let Some(event) = events
            .next()
            .await
            .map_err(|e| CliError::because(format!("the answer of `{}` broke off", self.name), e))?
        {
            if event.data.is_empty() {
                continue;
            }
            if let Some(result) = self.message(event.data.as_bytes(), id, progress)? {
                return Ok(result);
            }
        }
        Err(self.no_answer())
    }

    /// The result, when the message is the answer; `None` when it is something else that was said on the way.
    fn message(
        &self,
        bytes: &[u8],
        id: u64,
        progress: &mut dyn FnMut(ProgressSaid),
    ) -> Result<Option<Box<RawValue>>, CliError> {
        let message: Message = serde_json::from_slice(bytes).map_err(|e| self.not_mcp(e))?;
        if message.method.as_deref() == Some("notifications/progress") {
            if let Some(said) = message.params.and_then(|params| serde_json::from_value(params).ok()) {
                progress(said);
            }
            return Ok(None);
        }
        if message.id != Some(json!(id)) {
            return Ok(None);
        }
        match (message.result, message.error) {
            (_, Some(error)) => Err(self.rpc_error(&error)),
            (Some(result), None) => Ok(Some(result)),
            (None, None) => Err(self.no_answer()),
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> CliError {
        if let Ok(Message { error: Some(error), .. }) = serde_json::from_slice(body) {
            return self.rpc_error(&error);
        }
        if let Ok(api::errors::ErrorBody { error }) = serde_json::from_slice(body) {
            return CliError::Refused(Box::new(error));
        }
        CliError::failed(format!("the MCP address of `{}` answered {status}", self.name))
            .with_hint(format!("`berth status {}` shows how it is", self.name))
    }

    fn rpc_error(&self, error: &RpcError) -> CliError {
        CliError::failed(format!("{} (JSON-RPC error {})", error.message.trim_end_matches('.'), error.code))
            .with_hint(format!(
                "`berth status {0}` shows how it is, `berth tools {0}` what it offers",
                self.name
            ))
    }

    fn not_mcp(&self, error: serde_json::Error) -> CliError {
        CliError::because(format!("`{}` answered what is no MCP message", self.name), error)
            .with_hint(format!("`berth logs {}` shows what it says", self.name))
    }

    fn no_answer(&self) -> CliError {
        CliError::failed(format!("`{}` ended without an answer to the request", self.name))
            .with_hint(format!("`berth logs {}` shows what it says", self.name))
    }
}
