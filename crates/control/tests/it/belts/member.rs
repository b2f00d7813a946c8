//! Instances whose server the tests play, behind real shims, and a toolbelt over them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::ids::{InstanceId, ToolbeltId, ToolbeltItemId};
use domain::shim::{Link, Mode, Opening, ShimConfig};
use domain::status::InstanceStatus;
use domain::toolbelts::OnChange;
use hop::address::Address;
use hop::pool::{Pool, PooledBody};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use shim::Asked;
use store::toolbelts::{ItemRow, ToolbeltRow};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::dtma::FakeDtma;
use crate::platform::{Answer, PATIENCE, Platform, now};

/// A server of 2026-07-28 that says what it is told to.
#[derive(Debug)]
pub(crate) struct Scripted {
    name: String,
    pub(crate) tools: Mutex<Vec<Value>>,
    /// What it says in the place of its tools.
    pub(crate) fails: Mutex<Option<String>>,
    changes: broadcast::Sender<()>,
    /// Calls that were ended before they were answered.
    pub(crate) left: Arc<Mutex<Vec<String>>>,
    /// Lets a call of `wait` go on.
    pub(crate) go_on: Notify,
    /// What each call was sent with.
    pub(crate) asked: Mutex<Vec<Value>>,
}

impl Scripted {
    pub(crate) fn change(&self, tools: &[Value]) {
        *self.tools.lock().unwrap() = tools.to_vec();
        let _ = self.changes.send(());
    }

    async fn result(&self, request: &Value, asked: &Asked<'_>) -> Result<Value, Value> {
        let params = &request["params"];
        let done = |mut result: Value| {
            result["resultType"] = json!("complete");
            Ok(result)
        };
        match request["method"].as_str().unwrap() {
            "server/discover" => done(json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": { "listChanged": true }, "prompts": {}, "resources": { "subscribe": true } },
                "ttlMs": 0, "cacheScope": "private",
            })),
            "tools/list" => {
                if let Some(words) = self.fails.lock().unwrap().clone() {
                    return Err(json!({ "code": -32603, "message": words }));
                }
                done(json!({ "tools": *self.tools.lock().unwrap(), "ttlMs": 0, "cacheScope": "private" }))
            }
            "prompts/list" => {
                done(json!({ "prompts": [{ "name": "greet" }], "ttlMs": 0, "cacheScope": "private" }))
            }
            "prompts/get" => done(json!({ "messages": [], "description": self.name })),
            "resources/list" => done(json!({
                "resources": [{ "uri": "memo://all", "name": "all" }], "ttlMs": 0, "cacheScope": "private",
            })),
            "resources/templates/list" => done(json!({
                "resourceTemplates": [{ "uriTemplate": format!("{}://{{id}}", self.name), "name": "one" }],
                "ttlMs": 0, "cacheScope": "private",
            })),
            "resources/read" => done(json!({
                "contents": [{ "uri": params["uri"], "text": self.name }], "ttlMs": 0, "cacheScope": "private",
            })),
            "completion/complete" => done(json!({ "completion": { "values": [self.name] } })),
            "subscriptions/listen" => {
                let mut changes = self.changes.subscribe();
                let meta = json!({ "io.modelcontextprotocol/subscriptionId": request["id"] });
                let say = |method: &str, mut params: Value| {
                    params["_meta"] = meta.clone();
                    let line = json!({ "jsonrpc": "2.0", "method": method, "params": params });
                    (asked.say)(line.to_string().as_bytes());
                };
                say(
                    "notifications/subscriptions/acknowledged",
                    json!({ "notifications": params["notifications"] }),
                );
                while changes.recv().await.is_ok() {
                    say("notifications/tools/list_changed", json!({}));
                    for uri in
                        params["notifications"]["resourceSubscriptions"].as_array().unwrap_or(&Vec::new())
                    {
                        say("notifications/resources/updated", json!({ "uri": uri }));
                    }
                }
                done(json!({}))
            }
            "tools/call" => {
                self.asked.lock().unwrap().push(request.clone());
                self.call(params, asked).await
            }
            method => Err(json!({ "code": -32601, "message": format!("no {method}") })),
        }
    }

    async fn call(&self, params: &Value, asked: &Asked<'_>) -> Result<Value, Value> {
        let name = params["name"].as_str().unwrap();
        let said = |text: String| {
            Ok(json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] }))
        };
        match name {
            "ask" if params["inputResponses"]["who"].is_object() => said(format!(
                "{} {}",
                params["requestState"].as_str().unwrap_or("-"),
                params["inputResponses"]["who"]["content"]["name"]
            )),
            "ask" => Ok(json!({
                "resultType": "input_required", "requestState": format!("state of \"{}\"", self.name),
                "inputRequests": { "who": { "method": "elicitation/create", "params": {
                    "message": "who?", "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } } },
                } } },
            })),
            "wait" => {
                self.go_on.notified().await;
                said("waited".to_owned())
            }
            "slow" => {
                let _left = Left(Arc::clone(&self.left), self.name.clone());
                let token = &params["_meta"]["progressToken"];
                let line = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": { "progressToken": token, "progress": 1 } });
                (asked.say)(line.to_string().as_bytes());
                std::future::pending().await
            }
            name => said(format!("{name} of {} for {}", self.name, asked.principal.unwrap_or("-"))),
        }
    }
}

/// Says when it was dropped.
struct Left(Arc<Mutex<Vec<String>>>, String);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(std::mem::take(&mut self.1));
    }
}

impl shim::Virtual for Scripted {
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + 'a>> {
        Box::pin(async move {
            let request: Value = serde_json::from_slice(asked.request).unwrap();
            let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
            match self.result(&request, &asked).await {
                Ok(result) => answer["result"] = result,
                Err(error) => answer["error"] = error,
            }
            answer.to_string().into_bytes()
        })
    }
}

/// A platform with instances whose servers the tests play.
pub(crate) struct Members {
    pub(crate) platform: Platform,
    dtma: Arc<FakeDtma>,
    pub(crate) servers: BTreeMap<String, Arc<Scripted>>,
    stops: BTreeMap<String, CancellationToken>,
    pool: Pool<Full<Bytes>>,
}

pub(crate) fn tool(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}

impl Members {
    /// Instances and their tools.
    pub(crate) async fn start(members: &[(&str, &[&str])]) -> Self {
        let dtma = Arc::new(FakeDtma::default());
        let (address, _) = dtma.listen(None).await;
        let platform = Platform::start(address).await;
        for (name, _) in members {
            platform.deploy(name).await;
            platform.instance_until(name, |instance| instance["status"] == "installing").await;
        }
        dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
        let (servers, stops) = (BTreeMap::new(), BTreeMap::new());
        let mut all = Self { platform, dtma, servers, stops, pool: Pool::new() };
        for (name, tools) in members {
            let tools = tools.iter().map(|tool| self::tool(tool, &format!("{tool} of {name}"))).collect();
            all.serve(name, tools);
        }
        all
    }

    fn serve(&mut self, name: &str, tools: Vec<Value>) {
        let spec = self.dtma.spec(name).unwrap();
        let dir = self.platform.dir.path().join("sockets").join(spec.id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let server = Arc::new(Scripted {
            name: name.to_owned(),
            tools: Mutex::new(tools),
            fails: Mutex::default(),
            changes: broadcast::Sender::new(8),
            left: Arc::default(),
            go_on: Notify::new(),
            asked: Mutex::default(),
        });
        let config = ShimConfig {
            instance: spec.id,
            name: spec.name.clone(),
            generation: spec.generation,
            pid: None,
            log: dir.join("log"),
            sessions: dir.join("sessions"),
            facts: dir.join("facts"),
            mode: Mode::Shared,
            strict_sessions: false,
            idle_ms: 600_000,
            sleep_ms: None,
            link: Link::Virtual,
            command: Vec::new(),
            cwd: dir.clone(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            each_caller: None,
            filter: false,
            key: spec.key.clone(),
            opening: Opening::Legacy,
            startup_ms: 20_000,
            max_in_flight: 64,
            socket_dir: dir,
        };
        let stop = CancellationToken::new();
        let code = Arc::clone(&server) as Arc<dyn shim::Virtual>;
        tokio::spawn(shim::run_virtual(config, code, stop.clone().cancelled_owned()));
        self.servers.insert(name.to_owned(), server);
        self.stops.insert(name.to_owned(), stop);
    }

    /// The server of an instance dies.
    pub(crate) fn kill(&self, name: &str) {
        self.stops[name].cancel();
    }

    /// A toolbelt of the default account over these, once it answers.
    pub(crate) async fn belt(
        &self,
        name: &str,
        members: &[&str],
        change: impl FnOnce(&mut ToolbeltRow),
    ) -> ToolbeltId {
        let at = now();
        let mut row = ToolbeltRow {
            id: ToolbeltId::generate(),
            account: self.platform.account("default").await,
            name: name.parse().unwrap(),
            agent: None,
            description: None,
            mode: domain::toolbelts::Mode::List,
            on_change: OnChange::Keep,
            generation: 1,
            created_at: at,
            updated_at: at,
        };
        change(&mut row);
        let mut tx = self.platform.store.begin().await.unwrap();
        store::toolbelts::insert(&mut tx, &row).await.unwrap();
        for member in members {
            let instance: InstanceId = self.dtma.spec(member).unwrap().id;
            let item = ItemRow {
                id: ToolbeltItemId::generate(),
                toolbelt: row.id,
                instance,
                instance_name: member.parse().unwrap(),
                environment: self.platform.local.id,
                is_active: true,
                created_at: at,
                updated_at: at,
            };
            store::toolbelts::add_item(&mut tx, &item).await.unwrap();
        }
        tx.commit().await.unwrap();
        self.until(name, "server/discover", json!({}), |answer| answer["result"].is_object()).await;
        row.id
    }

    /// Sends a request to a toolbelt, as a modern client does.
    pub(crate) async fn ask_as(&self, token: &str, belt: &str, method: &str, params: Value) -> Answer {
        let response = self.open_as(token, belt, method, params).await;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As [`Members::ask`], without reading the body.
    pub(crate) async fn open(
        &self,
        belt: &str,
        method: &str,
        params: Value,
    ) -> Response<PooledBody<Full<Bytes>>> {
        self.open_as(&self.platform.owner, belt, method, params).await
    }

    async fn open_as(
        &self,
        token: &str,
        belt: &str,
        method: &str,
        mut params: Value,
    ) -> Response<PooledBody<Full<Bytes>>> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        });
        let named = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
        let bearer = format!("Bearer {token}");
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        if let Some(name) = &named {
            headers.push(("mcp-name", name));
        }
        let body = json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params });
        let path = format!("/mcp/default/{belt}");
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let address = Address::Tcp(self.platform.address);
        let sent = self.pool.send(&address, request);
        tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap()
    }

    pub(crate) async fn ask(&self, belt: &str, method: &str, params: Value) -> Value {
        self.ask_as(&self.platform.owner, belt, method, params).await.json()
    }

    /// Asks until the answer is as it should be.
    pub(crate) async fn until(
        &self,
        belt: &str,
        method: &str,
        params: Value,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.ask_as(&self.platform.owner, belt, method, params.clone()).await;
            if answer.status != StatusCode::NOT_FOUND {
                let answer = answer.json();
                if is(&answer) {
                    return answer;
                }
                assert!(std::time::Instant::now() < deadline, "waited in vain, it is {answer:#}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The names of what a list has.
    pub(crate) async fn names(&self, belt: &str, method: &str) -> Vec<String> {
        let answer = self.ask(belt, method, json!({})).await;
        names_of(&answer)
    }

    /// The text that a tool answers with.
    pub(crate) async fn call(&self, belt: &str, tool: &str) -> String {
        let answer = self.ask(belt, "tools/call", json!({ "name": tool, "arguments": {} })).await;
        text_of(&answer)
    }
}

pub(crate) fn names_of(answer: &Value) -> Vec<String> {
    let result = answer["result"].as_object().unwrap_or_else(|| panic!("{answer:#}"));
    let list = ["tools", "prompts", "resources", "resourceTemplates"];
    let items = list.iter().find_map(|list| result.get(*list)?.as_array()).unwrap();
    let key = |item: &Value| {
        ["uriTemplate", "uri", "name"].iter().find_map(|key| Some(item.get(*key)?.as_str()?.to_owned()))
    };
    items.iter().map(|item| key(item).unwrap()).collect()
}

pub(crate) fn text_of(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str().or(answer["error"]["message"].as_str());
    text.unwrap_or_else(|| panic!("{answer:#}")).to_owned()
}
