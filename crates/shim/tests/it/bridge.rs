//! Clients of one era on a server of the other, over the shim's socket; and what clients hear without having called.

use domain::shim::{KEY_HEADER, PRINCIPAL_HEADER};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, KEY, Shim, Stream, events, proper};

const PREFIX: &str = "io.modelcontextprotocol/";

/// A modern request with its headers.
pub(crate) async fn modern(shim: &Shim, method: &str, params: Value) -> Answer {
    let (headers, body) = modern_request(method, params);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    shim.ask(Method::POST, "/mcp", &headers, body).await
}

pub(crate) fn modern_request(method: &str, mut params: Value) -> (Vec<(&'static str, String)>, String) {
    let name = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
    let mut meta = json!({
        format!("{PREFIX}protocolVersion"): "2026-07-28",
        format!("{PREFIX}clientCapabilities"): {},
        format!("{PREFIX}clientInfo"): {"name": "t", "version": "1"},
    });
    if let Some(own) = params.get("_meta").and_then(Value::as_object) {
        meta.as_object_mut().unwrap().extend(own.clone());
    }
    params["_meta"] = meta;
    let mut headers = vec![
        (KEY_HEADER, KEY.to_owned()),
        (PRINCIPAL_HEADER, "user:m".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("accept", "application/json, text/event-stream".to_owned()),
        ("mcp-protocol-version", "2026-07-28".to_owned()),
        ("mcp-method", method.to_owned()),
    ];
    headers.extend(name.map(|name| ("mcp-name", name)));
    (headers, json!({"jsonrpc": "2.0", "id": "m", "method": method, "params": params}).to_string())
}

/// The stream of a modern client's `subscriptions/listen`.
pub(crate) async fn listen(shim: &Shim, filter: Value) -> Stream {
    let (headers, body) = modern_request("subscriptions/listen", json!({"notifications": filter}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Stream::open(shim, Method::POST, "/mcp", &headers, body).await
}

/// What the server has been sent since the last time, methods only.
pub(crate) async fn seen(shim: &Shim, session: &str) -> Vec<String> {
    let seen = shim.post(session, r#"{"jsonrpc":"2.0","id":9,"method":"seen"}"#).await.json();
    let methods = seen["result"].as_array().unwrap().iter().map(|m| m["method"].as_str().unwrap().to_owned());
    methods.collect()
}

#[tokio::test]
async fn a_modern_client_uses_a_legacy_server() {
    let (shim, session) = Shim::with_session("full").await;
    let discovered = modern(&shim, "server/discover", json!({})).await;
    assert_eq!((discovered.status, discovered.header("mcp-session-id")), (200, ""));
    let result = &discovered.json()["result"];
    assert_eq!(
        (&result["resultType"], &result["supportedVersions"][0], &result["cacheScope"]),
        (&json!("complete"), &json!("2026-07-28"), &json!("private"))
    );
    assert_eq!(result["_meta"][format!("{PREFIX}serverInfo")]["name"], "scripted");

    let list = modern(&shim, "tools/list", json!({})).await.json();
    let info = json!({format!("{PREFIX}serverInfo"): {"name": "scripted", "version": "1"}});
    assert_eq!(
        list,
        json!({"jsonrpc": "2.0", "id": "m", "result": {
            "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [], "_meta": info,
        }})
    );
    let echo = modern(&shim, "echo", json!({"a": 1, "_meta": {"own": 2}})).await.json();
    assert_eq!((&echo["result"]["a"], &echo["result"]["_meta"]["own"]), (&json!(1), &json!(2)));
    assert_eq!(echo["result"]["_meta"].as_object().unwrap().len(), 2, "{echo}");

    seen(&shim, &session).await;
    for removed in ["ping", "logging/setLevel", "resources/subscribe", "tasks/get", "initialize"] {
        let refused = modern(&shim, removed, json!({"taskId": "t", "name": "n"})).await;
        let expected = if removed == "tasks/get" { (400, -32020) } else { (404, -32601) };
        assert_eq!((refused.status, refused.code()), expected, "{removed}");
    }
    assert_eq!(seen(&shim, &session).await, Vec::<String>::new(), "none of them has reached the server");
    for (code, seen, status) in [(-32601, -32601, 404), (-32002, -32602, 200), (-32603, -32603, 200)] {
        let line =
            format!("{{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{{\"code\":{code},\"message\":\"m\"}}}}\n");
        let answer = modern(&shim, "script", json!({"lines": [line]})).await;
        assert_eq!((answer.status, answer.code()), (status, seen));
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_modern_client_gets_progress_and_the_log_it_asked_for() {
    let (shim, session) = Shim::with_session("full").await;
    let log = |level: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"{level}\"}}}}\n"
        )
    };
    let progress =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$TOKEN}}\n";
    let lines =
        json!([log("debug"), log("error"), progress, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"]);
    let meta = json!({format!("{PREFIX}logLevel"): "warning", "progressToken": "p"});
    let answer = modern(&shim, "script", json!({"lines": lines, "_meta": meta})).await;
    let got: Vec<Value> =
        events(&answer.text).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(
        (&got[0]["params"]["level"], &got[1]["params"]["progressToken"]),
        (&json!("error"), &json!("p"))
    );
    assert_eq!((&got[2]["result"]["resultType"], got.len()), (&json!("complete"), 3));
    assert_eq!(seen(&shim, &session).await, ["notifications/initialized", "logging/setLevel", "script"]);
    let answer = modern(&shim, "script", json!({"lines": lines})).await;
    assert_eq!(answer.json()["result"]["resultType"], "complete", "one that asked for no log gets none");
    shim.stop().await;
}

#[tokio::test]
async fn a_modern_client_who_leaves_has_cancelled() {
    let (shim, session) = Shim::with_session("full").await;
    {
        let call = modern(&shim, "script", json!({}));
        let in_flight = shim.until("in flight", |status| status.in_flight == 1);
        tokio::select! {
            _ = call => panic!("it hangs"),
            _ = in_flight => {}
        }
    }
    shim.until("cancelled", |status| status.in_flight == 0).await;
    assert_eq!(seen(&shim, &session).await.last().unwrap(), "notifications/cancelled");
    shim.stop().await;
}

#[tokio::test]
async fn listeners_and_sessions_hear_what_the_server_says() {
    let (shim, session) = Shim::with_session("full").await;
    let filter =
        json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["x:a"]});
    let mut listening = listen(&shim, filter).await;
    let acknowledged = listening.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let granted = json!({"toolsListChanged": true, "resourceSubscriptions": ["x:a"]});
    assert_eq!(acknowledged["params"]["notifications"], granted);
    let mut headers = proper(&session);
    headers[3].1 = "text/event-stream";
    let mut stream = Stream::open(&shim, Method::GET, "/mcp", &headers, String::new()).await;
    let notify = |method: &str| {
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{method}\",\"params\":{{\"uri\":\"x:a\"}}}}\n"
        );
        let lines = json!([line, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"]);
        json!({"jsonrpc": "2.0", "id": 1, "method": "script", "params": {"lines": lines}}).to_string()
    };
    for method in ["prompts/list_changed", "resources/updated", "tools/list_changed"] {
        assert_eq!(shim.post(&session, notify(method)).await.status, 200);
    }
    let heard = listening.next().await.unwrap();
    assert_eq!(
        (&heard["method"], &heard["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("x:a"))
    );
    assert_eq!(heard["params"]["_meta"][format!("{PREFIX}subscriptionId")], "m");
    assert_eq!(listening.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/prompts/list_changed");
    let heard = stream.next().await.unwrap();
    assert_eq!(heard["method"], "notifications/tools/list_changed", "the session watches no resource");
    assert_eq!(heard["params"].get("_meta"), None);

    // A session has one stream: a second one ends the first.
    let mut second = Stream::open(&shim, Method::GET, "/mcp", &headers, String::new()).await;
    assert_eq!(stream.next().await, None);
    seen(&shim, &session).await;
    drop(stream);
    assert_eq!(shim.ask(Method::DELETE, "/mcp", &proper(&session), "").await.status, 204);
    assert_eq!(second.next().await, None, "a session that has ended has no stream");
    shim.stop().await;
    let last = listening.next().await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("m"), &json!("complete")));
    assert_eq!(listening.next().await, None);
}

#[tokio::test]
async fn a_listener_who_leaves_is_forgotten_and_a_new_server_is_asked_again() {
    let (shim, session) = Shim::with_session("full").await;
    let mut listening = listen(&shim, json!({"resourceSubscriptions": ["x:a"]})).await;
    listening.next().await.unwrap();
    shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"script","params":{"exit":3}}"#).await;
    shim.until("restarted", |status| {
        status.restarts == 1 && matches!(status.server, domain::shim::ServerState::Running { .. })
    })
    .await;
    assert_eq!(seen(&shim, &session).await, ["notifications/initialized", "resources/subscribe"]);
    drop(listening);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !seen(&shim, &session).await.contains(&"resources/unsubscribe".to_owned()) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    shim.stop().await;
}

#[tokio::test]
async fn filters_that_are_none_are_refused() {
    let (shim, _) = Shim::with_session("full").await;
    for params in
        [json!({}), json!({"notifications": 1}), json!({"notifications": {"toolsListChanged": "yes"}})]
    {
        let answer = modern(&shim, "subscriptions/listen", params).await;
        assert_eq!((answer.status, answer.code()), (400, -32602));
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_legacy_client_uses_a_modern_server() {
    let (shim, session) = Shim::with_session("modern").await;
    let list = shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await.json();
    assert_eq!(list, json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}));
    let echo =
        shim.post(&session, r#"{"jsonrpc":"2.0","id":2,"method":"echo","params":{"a":1}}"#).await.json();
    let meta = &echo["result"]["_meta"];
    assert_eq!(
        (&meta[format!("{PREFIX}protocolVersion")], &meta[format!("{PREFIX}clientCapabilities")]),
        (&json!("2026-07-28"), &json!({}))
    );
    let ping = shim.post(&session, r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#).await.json();
    assert_eq!(ping["result"], json!({}));
    let echo = modern(&shim, "echo", json!({"b": 1})).await.json();
    assert_eq!(echo["result"]["_meta"][format!("{PREFIX}clientInfo")]["name"], "t", "the same era passes");
    let discovered = modern(&shim, "server/discover", json!({})).await.json();
    assert_eq!(discovered["result"]["cacheScope"], "public", "the server's own answer");
    shim.stop().await;
}
