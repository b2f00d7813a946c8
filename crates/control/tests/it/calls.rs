//! The audit of calls: what is in it, who sees it, and that nothing of it is lost when the process ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::users::Role;
use bytes::Bytes;
use domain::status::InstanceStatus;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::dtma::FakeDtma;
use crate::platform::{Life, PATIENCE, Platform, nobody};

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

pub(crate) fn call(arguments: &Value) -> Value {
    let params = json!({ "name": "echo", "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

pub(crate) fn serve_shim(platform: &Platform, id: &str) {
    let dir = platform.dir.path().join("sockets").join(id);
    std::fs::create_dir_all(&dir).unwrap();
    let listener = hop::address::bind_unix(&dir, "shim.sock").unwrap();
    let service = hyper::service::service_fn(|_: Request<Incoming>| async move {
        let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        Ok::<_, Infallible>(response)
    });
    let listener = hop::serve::Listener::Unix(listener);
    tokio::spawn(hop::serve::serve(listener, service, std::future::pending()));
}

/// The lines, once there are so many.
async fn lines(platform: &Platform, query: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = platform.get(&format!("/api/v1/audit/calls?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
        let lines = answer.json().as_array().unwrap().clone();
        if lines.len() == count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{count} lines were expected: {lines:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A platform whose instance `keyed` has a secret and is served.
async fn keyed(arguments: bool) -> Platform {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start_with(address, |config| config.audit_arguments = arguments).await;
    let body = json!({ "server": "npm:keyed@1.0.0", "name": "keyed", "secrets": { "KEY": "hunter2-\"x" } });
    assert_eq!(platform.post("/api/v1/instances", body).await.status, StatusCode::CREATED);
    platform.instance_until("keyed", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    serve_shim(&platform, &dtma.spec("keyed").unwrap().id.to_string());
    platform
}

#[tokio::test]
async fn every_call_leaves_a_line_for_admins_of_its_account() {
    let platform = keyed(false).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    for (token, path) in [
        (&platform.owner, "/mcp/default/keyed"),
        (&viewer, "/mcp/default/keyed"),
        (&viewer, "/mcp/default/nothing"),
        (&stranger, "/mcp/other/keyed"),
        (&stranger, "/mcp/default/keyed"),
    ] {
        platform.send(Some(token), Method::POST, path, Some(call(&json!({})))).await;
    }
    let found = lines(&platform, "", 3).await;
    let shown = |line: &Value| {
        let word = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {}",
            word("instance"),
            word("method"),
            word("name"),
            word("result"),
            line["status"]
        )
    };
    assert_eq!(
        found.iter().map(shown).collect::<Vec<_>>(),
        [
            "nothing tools/call echo refused 404",
            "keyed tools/call echo ok 200",
            "keyed tools/call echo ok 200"
        ]
    );
    let of_owner = &found[2];
    let keyed = platform.get("/api/v1/instances/keyed").await.json();
    assert_eq!((&of_owner["actor_name"], &of_owner["instance_id"]), (&json!("admin"), &keyed["id"]));
    let tokens = platform.get("/api/v1/tokens").await.json();
    let own = tokens.as_array().unwrap().iter().find(|token| token["name"] == "berth up").unwrap();
    assert_eq!(of_owner["credential"], format!("token:{}", own["id"].as_str().unwrap()));
    assert!(of_owner.get("arguments").is_none(), "they were not wanted");
    let took = of_owner["took_us"].as_u64().unwrap();
    assert!(0 < took && u128::from(took) < PATIENCE.as_micros(), "{took}");

    let after = format!("after={}", found[0]["id"].as_str().unwrap());
    for (query, count) in [
        ("by=admin", 1),
        ("instance=nothing", 1),
        ("result=ok", 2),
        ("method=tools/", 3),
        ("name=other", 0),
        ("limit=2", 2),
        (after.as_str(), 2),
    ] {
        lines(&platform, query, count).await;
    }
    for (query, start) in [
        ("limit=0", "422 invalid | limit"),
        ("result=fine", "400 bad_request"),
        ("after=x", "400 bad_request"),
        ("object=x", "400 bad_request"),
    ] {
        let answer = platform.get(&format!("/api/v1/audit/calls?{query}")).await;
        assert!(answer.error().starts_with(start), "{query}: {}", answer.error());
    }
    let theirs = platform.send(Some(&stranger), Method::GET, "/api/v1/audit/calls", None).await.json();
    let theirs: Vec<String> = theirs.as_array().unwrap().iter().map(shown).collect();
    assert_eq!(theirs, ["keyed tools/call echo refused 404", "keyed tools/call echo refused 404"]);
    let metrics = platform.send(None, Method::GET, "/metrics", None).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in ["berth_audit_calls_written_total 5", "berth_audit_calls_lost_total 0"] {
        assert!(text.contains(line), "{text}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn parameters_are_in_it_when_wanted_and_secrets_never() {
    let platform = keyed(true).await;
    let arguments = json!({ "a": "hunter2-\"x", "b": ["xhunter2-\"xx", 7], "long": null });
    platform.post("/mcp/default/keyed", call(&arguments)).await;
    let found = lines(&platform, "instance=keyed", 1).await;
    let expected =
        json!({ "name": "echo", "arguments": { "a": "[secret]", "b": ["x[secret]x", 7], "long": null } });
    assert_eq!(found[0]["arguments"], expected);
    platform.post("/mcp/default/keyed", call(&json!({ "long": "hunter2".repeat(4000) }))).await;
    let found = lines(&platform, "instance=keyed", 2).await;
    assert_eq!(found[0]["arguments"], "(not kept: 28039 bytes, more than are kept)");
    platform.stop().await;
}

#[tokio::test]
async fn what_is_not_written_when_the_process_ends_is_written_then_and_old_lines_go() {
    let platform = Platform::start(nobody()).await;
    for _ in 0..20 {
        platform.post("/mcp/default/welcome", call(&json!({}))).await;
    }
    // Before the first has waited for long enough.
    let platform = platform.again(|_| {}).await;
    lines(&platform, "", 20).await;
    let platform = platform.again(|config| config.audit_keep = Some(Duration::ZERO)).await;
    lines(&platform, "", 0).await;
    platform.stop().await;
}
