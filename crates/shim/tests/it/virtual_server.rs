//! A server that is code, for clients of both eras; and what it asks them.

use std::pin::Pin;

use domain::shim::Link;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Shim, Stream, proper};

/// Greets whoever it has asked for a name.
#[derive(Debug)]
struct Greeter;

impl shim::Virtual for Greeter {
    fn answer<'a>(&'a self, asked: shim::Asked<'a>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + 'a>> {
        Box::pin(async move {
            let request: Value = serde_json::from_slice(asked.request).unwrap();
            let params = &request["params"];
            let result = match request["method"].as_str().unwrap() {
                "server/discover" => json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                    "ttlMs": 0, "cacheScope": "private",
                    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "greeter", "version": "1"}},
                }),
                "tools/call" if params["inputResponses"]["who"].is_object() => {
                    let name = &params["inputResponses"]["who"]["content"]["name"];
                    json!({"resultType": "complete", "content": [{"type": "text", "text": name}]})
                }
                "tools/call" => json!({
                    "resultType": "input_required",
                    "inputRequests": {"who": {"method": "elicitation/create", "params": {"message": "who?"}}},
                }),
                _ => return json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no"}})
                    .to_string()
                    .into_bytes(),
            };
            json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string().into_bytes()
        })
    }
}

#[tokio::test]
async fn a_legacy_client_uses_a_server_that_is_code() {
    let shim = Shim::start_virtual(std::sync::Arc::new(Greeter));
    let mut headers = proper("");
    headers.retain(|(name, _)| *name != "mcp-session-id");
    let initialize =
        crate::harness::INITIALIZE.replace(r#""capabilities":{}"#, r#""capabilities":{"elicitation":{}}"#);
    let opened = shim.ask(Method::POST, "/mcp", &headers, initialize).await;
    assert_eq!(opened.json()["result"]["serverInfo"]["name"], "greeter");
    let session = opened.header("mcp-session-id").to_owned();
    let call = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"greet"}}"#;
    let mut stream = Stream::open(&shim, Method::POST, "/mcp", &proper(&session), call).await;
    let question = stream.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ada"}}});
    assert_eq!(shim.post(&session, answer.to_string()).await.status, 202);
    let answer = stream.next().await.unwrap();
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": 5, "result": {"content": [{"type": "text", "text": "Ada"}]}})
    );
    shim.stop().await;
}

#[tokio::test]
async fn code_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = crate::harness::config(&dir, "normal");
    config.link = Link::Virtual;
    let error = shim::run(config, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, shim::ShimError::Setting { field: "link", .. }), "{error}");
}
