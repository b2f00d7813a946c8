//! An MCP server behind a shim's socket, as far as the playground needs one.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::status::InstanceStatus;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::dtma::FakeDtma;
use crate::platform::Platform;

/// A PNG of one pixel.
pub(crate) const TINY: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

type Answering = Arc<dyn Fn(&Value) -> Option<Value> + Send + Sync>;

/// The server, and what it was sent.
#[derive(Clone)]
pub(crate) struct Server {
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    /// Told when `forever` was called.
    pub(crate) begun: Arc<Notify>,
    /// Told when its caller has gone.
    pub(crate) dropped: Arc<Notify>,
}

impl Server {
    /// The server of most tests, as the instance `welcome`.
    pub(crate) async fn start() -> (Platform, Self) {
        Self::start_with(Arc::new(ordinary)).await
    }

    /// One whose results are what `answering` gives of a request; `None`: there is no such method.
    pub(crate) async fn start_with(answering: Answering) -> (Platform, Self) {
        let dtma = Arc::new(FakeDtma::default());
        let (address, _) = dtma.listen(None).await;
        let platform = Platform::start(address).await;
        platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
        dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
        let server = Self { seen: Arc::default(), begun: Arc::default(), dropped: Arc::default() };
        let dir = platform.dir.path().join("sockets").join(dtma.spec("welcome").unwrap().id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let listener = hop::serve::Listener::Unix(hop::address::bind_unix(&dir, "shim.sock").unwrap());
        let own = server.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (own, answering) = (own.clone(), Arc::clone(&answering));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let text = String::from_utf8(body.to_vec()).unwrap();
                own.seen.lock().unwrap().push((text.clone(), parts.headers.clone()));
                Ok::<_, Infallible>(own.answer(&text, &parts.headers, &answering))
            }
        });
        tokio::spawn(hop::serve::serve(listener, service, std::future::pending()));
        (platform, server)
    }

    fn answer(
        &self,
        text: &str,
        headers: &HeaderMap,
        answering: &Answering,
    ) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let request: Value = serde_json::from_str(text).unwrap();
        let (id, tool) = (&request["id"], request["params"]["name"].as_str().unwrap_or_default());
        let error = |code: i64, message: &str| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        let is_call = request["method"] == "tools/call";
        if is_call && headers.contains_key("berth-rule") {
            let message = format!("the tool `{tool}` is not available to this caller");
            return of_json(&error(-32602, &message));
        }
        let ended = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "done" }] } });
        match tool {
            "steps" if is_call => {
                let said = [
                    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 1, "progress": 50, "total": 100, "message": "half" } }),
                    json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "warning", "logger": "log", "data": "<b>careful" } }),
                    json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": { "a": 1 } } }),
                    ended,
                ];
                let events = said.map(|one| Ok(Frame::data(Bytes::from(format!("data: {one}\n\n")))));
                of_events(StreamBody::new(futures_util::stream::iter(events)).boxed_unsync())
            }
            "forever" if is_call => {
                self.begun.notify_one();
                let gone = Gone(Arc::clone(&self.dropped));
                let endless = futures_util::stream::once(async move {
                    let _gone = gone;
                    std::future::pending::<()>().await;
                    Ok(Frame::data(Bytes::new()))
                });
                of_events(StreamBody::new(endless).boxed_unsync())
            }
            _ => match answering(&request) {
                Some(Value::String(message)) => of_json(&error(-32602, &message)),
                Some(result) => of_json(&json!({ "jsonrpc": "2.0", "id": id, "result": result })),
                None => of_json(&error(-32601, "no such method")),
            },
        }
    }

    fn all(&self, method: &str) -> Vec<(Value, HeaderMap)> {
        let seen = self.seen.lock().unwrap();
        let all = seen
            .iter()
            .map(|(text, headers)| (serde_json::from_str::<Value>(text).unwrap(), headers.clone()));
        all.filter(|(request, _)| request["method"] == method).collect()
    }

    /// The texts of all requests.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(text, _)| text.clone()).collect()
    }

    /// How often a method was called.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.all(method).len()
    }

    /// The last request of a method.
    pub(crate) fn last(&self, method: &str) -> Value {
        self.all(method).pop().expect("it was called").0
    }

    /// A header of the last request of a method.
    pub(crate) fn header(&self, method: &str, name: &str) -> Option<String> {
        let (_, headers) = self.all(method).pop().expect("it was called");
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn of_json(body: &Value) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn of_events(body: UnsyncBoxBody<Bytes, Infallible>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    response
}

/// What is discovered of a server that has everything.
pub(crate) fn discovered() -> Value {
    json!({
        "resultType": "complete", "supportedVersions": ["2026-07-28"], "instructions": "Be kind",
        "capabilities": { "tools": {}, "prompts": {}, "resources": {} },
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "ordinary", "version": "1" } },
    })
}

/// A result is its value, an error a text.
fn ordinary(request: &Value) -> Option<Value> {
    let params = &request["params"];
    let text = |text: &str| json!({ "content": [{ "type": "text", "text": text }] });
    Some(match request["method"].as_str()? {
        "server/discover" => discovered(),
        "tools/list" if params.get("cursor").is_none() => json!({ "nextCursor": "2", "tools": [
            { "name": "echo", "description": "Says it back", "annotations": { "readOnlyHint": true }, "inputSchema": {
                "type": "object", "required": ["message"], "properties": {
                    "message": { "type": "string", "description": "What is said" },
                    "count": { "type": "integer", "maximum": 9, "default": 3 } } } },
            { "name": "wipe", "annotations": { "destructiveHint": true }, "inputSchema": { "type": "object" } },
        ] }),
        "tools/list" => {
            let plain = ["mixed", "fails", "ask", "roots", "steps", "forever"];
            let mut tools: Vec<Value> = plain
                .iter()
                .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }))
                .collect();
            tools.push(json!({ "name": "big", "description": "Says a lot", "inputSchema": {} }));
            tools.push(
                json!({ "name": "app", "inputSchema": {}, "_meta": { "ui": { "resourceUri": "ui://app" } } }),
            );
            json!({ "tools": tools })
        }
        "prompts/list" => {
            json!({ "prompts": [{ "name": "greet", "arguments": [{ "name": "who", "required": true }] }] })
        }
        "resources/list" => json!({ "resources": [{ "uri": "a://text", "name": "A text" }] }),
        "resources/templates/list" => {
            json!({ "resourceTemplates": [{ "uriTemplate": "a://{id}/x", "name": "By id" }] })
        }
        "prompts/get" => {
            let who = params["arguments"]["who"].as_str()?;
            let content = json!({ "type": "text", "text": format!("Greet {who}") });
            json!({ "messages": [{ "role": "user", "content": content }] })
        }
        "resources/read" if params["uri"] == "ui://app" => json!({ "contents": [{
            "uri": "ui://app", "mimeType": "text/html;profile=mcp-app", "text": "<script>/* app-of-the-server */</script>" }] }),
        "resources/read" => {
            let uri = params["uri"].as_str()?;
            json!({ "contents": [{ "uri": uri, "mimeType": "text/plain", "text": format!("read {uri}") }] })
        }
        "tools/call" => match params["name"].as_str()? {
            "echo" => text(&match params["arguments"]["message"].as_str() {
                Some(message) => message.to_owned(),
                None => params["arguments"].to_string(),
            }),
            "wipe" | "app" => text("done"),
            "big" => text(&"x".repeat(100_000)),
            "fails" => json!({ "isError": true, "content": [{ "type": "text", "text": "it broke" }] }),
            "mixed" => mixed(),
            "ask" if params.get("inputResponses").is_some() => text("thank you"),
            "ask" => ask(),
            "roots" if params.get("inputResponses").is_some() => text("there are no roots"),
            "roots" => {
                json!({ "resultType": "input_required", "inputRequests": { "r": { "method": "roots/list" } } })
            }
            _ => Value::from("no such tool"),
        },
        _ => return None,
    })
}

fn mixed() -> Value {
    let structured: Value = serde_json::from_str(r#"{"count":1234567890123456789}"#).unwrap();
    json!({
        "content": [
            { "type": "image", "mimeType": "image/png", "data": TINY },
            { "type": "audio", "mimeType": "audio/wav", "data": "UklGRg==" },
            { "type": "resource_link", "uri": "a://linked", "name": "Linked" },
            { "type": "resource", "resource": { "uri": "a://zip", "mimeType": "application/zip", "blob": "AAAA" } },
            { "type": "text", "text": "123456789012345678901" },
        ],
        "structuredContent": structured,
    })
}

fn ask() -> Value {
    let schema = json!({
        "type": "object", "required": ["name"],
        "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
    });
    json!({ "resultType": "input_required", "requestState": "sealed \"state\"", "inputRequests": {
        "who": { "method": "elicitation/create", "params": { "mode": "form", "message": "Who are you?", "requestedSchema": schema } },
        "pay": { "method": "elicitation/create", "params": { "mode": "url", "message": "Pay", "url": "https://pay.example:8443/a", "elicitationId": "1" } },
        "say": { "method": "sampling/createMessage", "params": {
            "maxTokens": 50, "messages": [{ "role": "user", "content": { "type": "text", "text": "Capital of France?" } }] } },
        "dirs": { "method": "roots/list" },
    } })
}
