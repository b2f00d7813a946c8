//! Which clients share a process, what the process is told of them, when it ends, and whom its questions reach.

use domain::shim::{KEY_HEADER, Mode, PRINCIPAL_HEADER, RULE_HEADER, ServerState};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, INITIALIZE, KEY, Shim, ShimConfig, Stream, proper};

const META: &str = "io.modelcontextprotocol";
const ELICITS: &str = r#"{"elicitation":{}}"#;

fn start(mode: Mode) -> Shim {
    Shim::start_with("normal", |config| config.mode = mode)
}

/// A session of a principal whose client declares these capabilities.
pub(crate) async fn session(shim: &Shim, principal: &str, capabilities: &str) -> String {
    let mut headers = proper("");
    headers.retain(|(name, _)| !["mcp-session-id", PRINCIPAL_HEADER].contains(name));
    headers.push((PRINCIPAL_HEADER, principal));
    let body = INITIALIZE.replace(r#""capabilities":{}"#, &format!(r#""capabilities":{capabilities}"#));
    let answer = shim.ask(Method::POST, "/mcp", &headers, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("mcp-session-id").to_owned()
}

pub(crate) fn of_principal<'a>(session: &'a str, principal: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut headers = proper(session);
    headers[1].1 = principal;
    headers
}

/// Which process serves a session, and what it was told.
pub(crate) async fn process(shim: &Shim, session: &str, principal: &str) -> Value {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"process"}"#;
    let answer = shim.ask(Method::POST, "/mcp", &of_principal(session, principal), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["result"].clone()
}

/// A modern call of a tool, with these capabilities and what else `params` has.
async fn call(shim: &Shim, principal: &str, capabilities: &str, tool: &str, more: Value) -> Answer {
    let mut params = json!({
        "name": tool,
        "_meta": {
            format!("{META}/protocolVersion"): "2026-07-28",
            format!("{META}/clientCapabilities"): serde_json::from_str::<Value>(capabilities).unwrap(),
        },
    });
    params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let headers = [
        (KEY_HEADER, KEY),
        (PRINCIPAL_HEADER, principal),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", tool),
    ];
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    shim.ask(Method::POST, "/mcp", &headers, body).await
}

/// Sessions by principal and capabilities, and how many processes they share.
async fn check(mode: Mode, sessions: &[(&str, &str)], processes: usize) {
    let shim = start(mode);
    let mut pids = std::collections::BTreeSet::new();
    for (principal, capabilities) in sessions {
        let session = session(&shim, principal, capabilities).await;
        pids.insert(process(&shim, &session, principal).await["pid"].as_u64());
    }
    assert_eq!((pids.len(), shim.status().await.processes), (processes, processes), "{mode}");
    shim.stop().await;
}

#[tokio::test]
async fn each_mode_shares_as_it_says() {
    let same = [("user:a", "{}"); 20];
    let mixed = [("user:a", "{}"), ("user:a", ELICITS), ("user:b", "{}"), ("user:b", "{}")];
    check(Mode::Shared, &same, 1).await;
    check(Mode::Shared, &mixed, 1).await;
    check(Mode::PerPrincipal, &same, 1).await;
    check(Mode::PerPrincipal, &mixed, 3).await;
    check(Mode::PerSession, &mixed, 4).await;
    check(Mode::Pool(4), &mixed, 2).await;
}

#[tokio::test]
async fn a_pool_grows_while_all_are_busy_and_no_further() {
    let shim = start(Mode::Pool(2));
    let session = session(&shim, "user:a", "{}").await;
    let hang = r#"{"jsonrpc":"2.0","id":7,"method":"script"}"#;
    let headers = proper(&session);
    let hanging = futures(3, || shim.ask(Method::POST, "/mcp", &headers, hang));
    let seen =
        shim.until("three calls on two processes", |status| status.in_flight == 3 && status.processes == 2);
    tokio::select! {
        () = hanging => panic!("they hang"),
        _ = seen => {}
    }
    shim.stop().await;
}

/// Runs several of one kind at once.
async fn futures<F: Future<Output = Answer>>(count: usize, one: impl Fn() -> F) {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(one())).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_process_is_told_of_its_client_also_after_the_shim_was_started_again() {
    let shim = start(Mode::PerPrincipal);
    let capabilities = r#"{"elicitation":{"form":{}},"experimental":{"x":1}}"#;
    let session = session(&shim, "user:a", capabilities).await;
    let expected = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": serde_json::from_str::<Value>(capabilities).unwrap(),
        "clientInfo": {"name": "t", "version": "1"},
    });
    assert_eq!(process(&shim, &session, "user:a").await["hello"], expected);
    let dir = shim.crash().await;
    let shim = Shim::start_in(dir, "normal", |config| config.mode = Mode::PerPrincipal);
    assert_eq!(process(&shim, &session, "user:a").await["hello"], expected);
    let stranger = of_principal(&session, "user:b");
    let echo = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
    assert_eq!(shim.ask(Method::POST, "/mcp", &stranger, echo).await.status, 404);
    shim.stop().await;
}

#[tokio::test]
async fn an_idle_process_ends_and_the_session_goes_on() {
    let change = |config: &mut ShimConfig| (config.mode, config.idle_ms) = (Mode::PerPrincipal, 50);
    let shim = Shim::start_with("normal", change);
    let session = session(&shim, "user:a", "{}").await;
    let first = process(&shim, &session, "user:a").await["pid"].clone();
    shim.until("asleep", |status| status.processes == 0).await;
    let status = shim.status().await;
    assert!(matches!(status.server, ServerState::Running { .. }), "it works, and nobody calls: {status:?}");
    assert_ne!(process(&shim, &session, "user:a").await["pid"], first);
    shim.stop().await;
}

#[tokio::test]
async fn a_strict_session_ends_with_its_process() {
    for (strict, status) in [(true, 404), (false, 200)] {
        let shim = Shim::start_with("normal", |config| {
            (config.mode, config.strict_sessions) = (Mode::PerSession, strict);
        });
        let session = session(&shim, "user:a", "{}").await;
        let exit = r#"{"jsonrpc":"2.0","id":1,"method":"script","params":{"exit":3}}"#;
        shim.post(&session, exit).await;
        let answer = loop {
            let answer = shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#).await;
            // It is being started again.
            if answer.status != 503 {
                break answer;
            }
        };
        assert_eq!(answer.status, status, "{answer:?}");
        shim.stop().await;
    }
}

#[tokio::test]
async fn a_legacy_client_answers_on_the_stream_of_its_call() {
    let shim = start(Mode::PerPrincipal);
    let session = session(&shim, "user:a", ELICITS).await;
    let ask = r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"ask"}}"#;
    let mut stream = Stream::open(&shim, Method::POST, "/mcp", &proper(&session), ask).await;
    let question = stream.next().await.unwrap();
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("who?"))
    );
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}).to_string();
    // Nobody else's answer counts, whatever id it has.
    let stranger = self::session(&shim, "user:b", ELICITS).await;
    let theirs = reply.replace("decline", "accept");
    let sent = shim.ask(Method::POST, "/mcp", &of_principal(&stranger, "user:b"), theirs).await;
    assert_eq!(sent.status, 202);
    assert_eq!(shim.post(&session, reply).await.status, 202);
    let answer = stream.next().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["said"]), (&json!("c"), &json!({"action": "decline"})));
    assert_eq!(stream.next().await, None);
    shim.stop().await;
}

#[tokio::test]
async fn a_modern_client_calls_again_and_keeps_nobody_waiting_meanwhile() {
    for mode in [Mode::PerPrincipal, Mode::Pool(2)] {
        check_calls_again(mode).await;
    }
}

async fn check_calls_again(mode: Mode) {
    let shim = start(mode);
    let asked = call(&shim, "user:m", ELICITS, "ask", json!({})).await.json()["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    // Another call of the same principal is asked its own question, by another process.
    let other = call(&shim, "user:m", ELICITS, "ask", json!({})).await.json()["result"].clone();
    assert_ne!(other["requestState"], asked["requestState"]);
    shim.until("two processes", |status| status.processes == 2 && status.in_flight == 2).await;

    let again = |asked: &Value, name: &str| json!({"requestState": asked["requestState"], "inputResponses": {&key: {"action": "accept", "content": {"name": name}}}});
    let stolen = call(&shim, "user:x", ELICITS, "ask", again(&asked, "x")).await;
    assert_eq!((stolen.status, stolen.code()), (200, -32602), "another principal's: {stolen:?}");
    for (asked, name) in [(&other, "Grace"), (&asked, "Ada")] {
        let answer = call(&shim, "user:m", ELICITS, "ask", again(asked, name)).await.json();
        assert_eq!(answer["result"]["said"]["content"]["name"], name, "{answer}");
    }
    let refused = call(&shim, "user:m", "{}", "ask", json!({})).await;
    assert_eq!((refused.status, refused.code()), (400, -32021), "{refused:?}");
    shim.stop().await;
}

#[tokio::test]
async fn what_was_found_out_of_a_server_is_not_asked_again() {
    let shim = start(Mode::Shared);
    let facts = shim.dir.path().join("facts");
    call(&shim, "user:m", "{}", "x", json!({})).await;
    let known = std::fs::read_to_string(&facts).unwrap();
    assert_eq!(known, "legacy yes\nmodern no\n");
    assert_eq!(shim.status().await.processes, 1, "the one that was asked has ended");
    let dir = shim.stop().await;
    let shim = Shim::start_in(dir, "normal", |config| config.mode = Mode::Shared);
    call(&shim, "user:m", "{}", "x", json!({})).await;
    let log = std::fs::read_to_string(shim.dir.path().join("server.log")).unwrap();
    assert_eq!(log.matches("scripted runs").count(), 3, "two of the first shim, one of the second: {log}");
    shim.stop().await;
}

#[tokio::test]
async fn a_rule_holds_for_calls_lists_and_each_part_of_a_batch() {
    use base64::Engine as _;
    let encode = |rule: &str| base64::engine::general_purpose::STANDARD.encode(rule);
    let shim = Shim::start("tools");
    let session = shim.session_of("user:a", "2025-03-26").await;
    let rule = encode(r#"{"tools":{"deny":["sec*"]}}"#);
    let mut headers = proper(&session);
    headers[4].1 = "2025-03-26";
    headers.push((RULE_HEADER, &rule));
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let denied = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"secret"}}"#;
    let kept = r#"{"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "ask", "x": 1.0}]}}"#;
    assert_eq!(shim.ask(Method::POST, "/mcp", &headers, list).await.text, kept);
    let answer = shim.ask(Method::POST, "/mcp", &headers, denied).await;
    assert_eq!((answer.status, answer.code()), (200, -32602), "{answer:?}");
    let batch = shim.ask(Method::POST, "/mcp", &headers, format!("[{list},{denied}]")).await.json();
    assert_eq!(batch[0]["error"]["code"], -32602, "{batch}");
    assert_eq!(batch[1]["result"]["tools"].as_array().unwrap().len(), 1, "{batch}");
    for wrong in ["no base64", &encode("[]"), &encode(r#"{"tool":{}}"#)] {
        headers.pop();
        headers.push((RULE_HEADER, wrong));
        let answer = shim.ask(Method::POST, "/mcp", &headers, list).await;
        assert_eq!((answer.status, answer.code()), (400, -32000), "{wrong}");
    }
    shim.stop().await;
}
