//! A server that nobody uses is stopped whole; what is answered for it meanwhile, what wakes it, and what keeps it awake.

use std::path::Path;
use std::time::Duration;

use domain::shim::{Link, Mode, ServerState, ShimStatus};
use http::Method;
use serde_json::{Value, json};

use crate::bridge::{listen, modern, seen};
use crate::harness::{Answer, INITIALIZE, Shim, ShimConfig, Stream, config, proper};
use crate::processes::{of_principal, process, session};

const AFTER_MS: u64 = 150;
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":"l","method":"tools/list"}"#;
const PROMPTS: &str = r#"{"jsonrpc":"2.0","id":"l","method":"prompts/list"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
const ECHO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;

fn sleepy(behaviour: &str, mode: Mode) -> Shim {
    Shim::start_with(behaviour, |config: &mut ShimConfig| {
        (config.mode, config.sleep_ms) = (mode, Some(AFTER_MS));
    })
}

async fn asleep(shim: &Shim) -> ShimStatus {
    let status = shim.until("asleep", |status| matches!(status.server, ServerState::Asleep { .. })).await;
    assert_eq!(status.processes, 0, "{status:?}");
    status
}

/// Waits until a process is gone.
async fn gone(pid: &Value) {
    let path = format!("/proc/{pid}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while Path::new(&path).exists() {
        assert!(tokio::time::Instant::now() < deadline, "{pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How often the server was started.
fn starts(shim: &Shim) -> usize {
    shim.log().matches("scripted runs").count()
}

async fn of(shim: &Shim, session: &str, principal: &str, body: &str) -> Answer {
    shim.ask(Method::POST, "/mcp", &of_principal(session, principal), body.to_owned()).await
}

#[tokio::test]
async fn it_sleeps_answers_lists_and_is_woken_by_a_call() {
    for mode in [Mode::Shared, Mode::PerPrincipal, Mode::PerSession, Mode::Pool(2)] {
        let shim = sleepy("tools", mode);
        let session = session(&shim, "user:a", "{}").await;
        let first = process(&shim, &session, "user:a").await["pid"].clone();
        let list = shim.post(&session, TOOLS).await.text;
        assert!(list.contains(r#"{"name": "ask", "x": 1.0}"#), "{mode}: {list}");
        asleep(&shim).await;
        gone(&first).await;

        let before = starts(&shim);
        assert_eq!(shim.post(&session, TOOLS).await.text, list, "{mode}");
        assert_eq!(
            shim.post(&session, PING).await.json(),
            json!({"jsonrpc": "2.0", "id": "p", "result": {}})
        );
        assert_eq!((starts(&shim), shim.status().await.processes), (before, 0), "{mode}: nothing was woken");

        let second = process(&shim, &session, "user:a").await["pid"].clone();
        assert!(second.is_u64() && second != first, "{mode}: {second}");
        let status = shim.until("awake", |status| status.processes == 1).await;
        assert!(matches!(status.server, ServerState::Running { .. }), "{mode}: {status:?}");
        assert_eq!(status.restarts, 0, "{mode}: nothing ended by itself");
        asleep(&shim).await;
        gone(&second).await;
        shim.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_comes_while_it_sleeps_is_answered_as_one_before() {
    for mode in [Mode::Shared, Mode::PerPrincipal] {
        let shim = sleepy("tools", mode);
        let mut headers = proper("");
        headers.retain(|(name, _)| *name != "mcp-session-id");
        let initialize = async || shim.ask(Method::POST, "/mcp", &headers, INITIALIZE).await;
        let awake = initialize().await;
        shim.post(awake.header("mcp-session-id"), TOOLS).await;
        asleep(&shim).await;
        let before = starts(&shim);
        let answer = initialize().await;
        assert_eq!((answer.status, &answer.text), (200, &awake.text), "{mode}");
        let session = answer.header("mcp-session-id").to_owned();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(shim.post(&session, initialized).await.status, 202);
        let stream = Stream::open(&shim, Method::GET, "/mcp", &proper(&session), "").await;
        assert_eq!(shim.post(&session, TOOLS).await.json()["result"]["tools"][1]["name"], "secret");
        assert_eq!((starts(&shim), shim.status().await.processes), (before, 0), "{mode}");
        assert_eq!(shim.post(&session, ECHO).await.status, 200);
        assert_eq!(starts(&shim), before + 1);
        drop(stream);
        shim.stop().await;
    }
}

#[tokio::test]
async fn clients_of_the_other_era_are_answered_too() {
    for behaviour in ["full", "modern"] {
        let shim = sleepy(behaviour, Mode::Shared);
        let session = shim.session("user:a").await;
        let (found, listed) =
            (modern(&shim, "server/discover", json!({})).await, modern(&shim, "tools/list", json!({})).await);
        assert_eq!((found.status, listed.status), (200, 200), "{behaviour}: {found:?} {listed:?}");
        let legacy = shim.post(&session, TOOLS).await.text;
        asleep(&shim).await;
        let before = starts(&shim);
        for _ in 0..2 {
            assert_eq!(modern(&shim, "server/discover", json!({})).await.text, found.text, "{behaviour}");
            assert_eq!(modern(&shim, "tools/list", json!({})).await.text, listed.text, "{behaviour}");
            assert_eq!(shim.post(&session, TOOLS).await.text, legacy, "{behaviour}");
        }
        assert_eq!((starts(&shim), shim.status().await.processes), (before, 0), "{behaviour}");
        assert_eq!(modern(&shim, "echo", json!({})).await.status, 200);
        assert_eq!(starts(&shim), before + 1);
        shim.stop().await;
    }
}

/// What was asked while the server was awake, and whether asking the last again while it sleeps wakes it.
async fn check_wakes(behaviour: &str, mode: Mode, asked: &[(&str, &str)], again: (&str, &str), wakes: bool) {
    let shim = sleepy(behaviour, mode);
    let (a, b) = (session(&shim, "user:a", "{}").await, session(&shim, "user:b", "{}").await);
    let session = |principal: &str| if principal == "user:a" { a.clone() } else { b.clone() };
    // Both have a process of their own, so that the kind of process is known of both.
    for (principal, body) in [("user:a", ECHO), ("user:b", ECHO)].iter().chain(asked) {
        assert_eq!(of(&shim, &session(principal), principal, body).await.status, 200);
    }
    asleep(&shim).await;
    let before = starts(&shim);
    let (principal, body) = again;
    assert_eq!(of(&shim, &session(principal), principal, body).await.status, 200);
    let woken = usize::from(wakes);
    assert_eq!(starts(&shim) - before, woken, "{behaviour} {mode}: {asked:?}, then {again:?}");
    shim.stop().await;
}

#[tokio::test]
async fn what_was_not_said_wakes_it() {
    let tame = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"tame"}}"#;
    let page = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"more"}}"#;
    let (shared, own) = (Mode::Shared, Mode::PerPrincipal);
    let list = ("user:a", TOOLS);
    check_wakes("tools", shared, &[list], list, false).await;
    check_wakes("tools", shared, &[list], ("user:b", TOOLS), false).await;
    check_wakes("tools", shared, &[], list, true).await;
    check_wakes("tools", shared, &[list], ("user:a", PROMPTS), true).await;
    check_wakes("tools", own, &[list], ("user:b", TOOLS), true).await;
    // It says that its list has changed, and is asked for it before it sleeps.
    check_wakes("tools", shared, &[list, ("user:b", tame)], list, false).await;
    check_wakes("tools", shared, &[list, ("user:b", tame)], ("user:a", PROMPTS), true).await;
    check_wakes("tools", shared, &[("user:b", tame)], list, true).await;
    // Pages are asked of the server, the first as all others.
    check_wakes("hints", shared, &[list, ("user:a", page)], list, true).await;
    check_wakes("hints", shared, &[list, ("user:a", page)], ("user:a", page), true).await;
    check_wakes("tools", shared, &[list], ("user:a", page), true).await;
}

#[tokio::test]
async fn a_list_that_has_changed_is_answered_as_it_is() {
    let shim = sleepy("tools", Mode::Shared);
    let session = shim.session("user:a").await;
    let tame = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"tame"}}"#;
    for body in [TOOLS, tame] {
        assert_eq!(shim.post(&session, body).await.status, 200);
    }
    asleep(&shim).await;
    let list = shim.post(&session, TOOLS).await.json();
    assert_eq!((&list["result"]["tools"][2]["name"], shim.status().await.processes), (&json!("tamed"), 0));
    shim.stop().await;
}

#[tokio::test]
async fn a_rule_holds_for_what_is_answered_while_it_sleeps() {
    use base64::Engine as _;
    let rule = base64::engine::general_purpose::STANDARD.encode(r#"{"tools":{"deny":["sec*"]}}"#);
    let shim = sleepy("tools", Mode::Shared);
    let session = shim.session("user:a").await;
    shim.post(&session, TOOLS).await;
    asleep(&shim).await;
    let mut headers = proper(&session);
    headers.push((domain::shim::RULE_HEADER, &rule));
    let list = shim.ask(Method::POST, "/mcp", &headers, TOOLS).await.json();
    assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(1), "{list}");
    let all = shim.post(&session, TOOLS).await.json();
    assert_eq!(all["result"]["tools"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(shim.status().await.processes, 0);
    shim.stop().await;
}

#[tokio::test]
async fn a_call_keeps_it_awake_and_pings_and_lists_do_not() {
    let shim = sleepy("normal", Mode::Shared);
    let session = shim.session("user:a").await;
    let pid = process(&shim, &session, "user:a").await["pid"].clone();
    let slow = json!({"jsonrpc": "2.0", "id": 5, "method": "script",
        "params": {"then_wait_for": "go", "then_lines": ["{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"]}});
    let headers = proper(&session);
    let call = shim.ask(Method::POST, "/mcp", &headers, slow.to_string());
    let later = async {
        shim.until("in flight", |status| status.in_flight == 1).await;
        // Longer than it takes to fall asleep.
        tokio::time::sleep(Duration::from_millis(4 * AFTER_MS)).await;
        let status = shim.status().await;
        assert!(matches!(status.server, ServerState::Running { .. }), "{status:?}");
        std::fs::write(shim.dir.path().join("work/go"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(call, later);
    assert_eq!(answer.json()["id"], 5);
    assert_eq!(process(&shim, &session, "user:a").await["pid"], pid, "the same process answered");
    // More often than it would sleep.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        for body in [PING, TOOLS] {
            assert_eq!(shim.post(&session, body).await.status, 200);
        }
        if matches!(shim.status().await.server, ServerState::Asleep { .. }) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "a ping or a list keeps it awake");
        tokio::time::sleep(Duration::from_millis(AFTER_MS / 10)).await;
    }
    gone(&pid).await;
    shim.stop().await;
}

#[tokio::test]
async fn who_only_listens_lets_it_sleep_and_hears_it_when_it_is_woken() {
    let shim = sleepy("full", Mode::Shared);
    let session = shim.session("user:a").await;
    let mut stream = Stream::open(&shim, Method::GET, "/mcp", &proper(&session), "").await;
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["test://a"]});
    let mut modern_stream = listen(&shim, filter.clone()).await;
    assert_eq!(modern_stream.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    let watch = r#"{"jsonrpc":"2.0","id":4,"method":"resources/subscribe","params":{"uri":"test://b"}}"#;
    assert_eq!(shim.post(&session, watch).await.status, 200);
    asleep(&shim).await;
    let before = starts(&shim);
    // One that begins to listen to a server that sleeps.
    let mut late = listen(&shim, filter).await;
    let acknowledged = late.next().await.unwrap();
    assert_eq!(acknowledged["params"]["notifications"]["toolsListChanged"], true, "{acknowledged}");
    assert_eq!((starts(&shim), shim.status().await.processes), (before, 0));
    let methods = seen(&shim, &session).await;
    assert_eq!(starts(&shim), before + 1);
    let subscribed = methods.iter().filter(|method| *method == "resources/subscribe").count();
    assert_eq!(subscribed, 2, "of each resource once: {methods:?}");
    let tame = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"tame"}}"#;
    assert_eq!(shim.post(&session, tame).await.status, 200);
    for stream in [&mut stream, &mut modern_stream, &mut late] {
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_subscription_that_the_server_has_itself_outlives_its_process() {
    let shim = sleepy("modern", Mode::Shared);
    let mut stream = listen(&shim, json!({"toolsListChanged": true})).await;
    shim.until("in flight", |status| status.in_flight == 1).await;
    asleep(&shim).await;
    let before = starts(&shim);
    let asked = modern(&shim, "seen", json!({})).await.json();
    assert_eq!(starts(&shim), before + 1);
    let sent: Vec<&Value> = asked["result"].as_array().unwrap().iter().collect();
    let ours = sent.iter().find(|message| {
        message["method"] == "subscriptions/listen"
            && message["params"]["_meta"].to_string().contains(r#""name":"t""#)
    });
    let id = ours.unwrap_or_else(|| panic!("the client's own subscription: {asked}"))["id"].clone();
    let tagged = |method: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{method}\",\"params\":{{\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}}}}}\n"
        )
    };
    let lines = json!([
        tagged("subscriptions/acknowledged"),
        tagged("tools/list_changed"),
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"resultType\":\"complete\"}}\n"
    ]);
    assert_eq!(modern(&shim, "script", json!({ "lines": lines })).await.status, 200);
    // The first process acknowledged nothing, and what the second one says was acknowledged before.
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    shim.stop().await;
}

#[tokio::test]
async fn one_that_cannot_be_woken_says_why_until_it_can() {
    for mode in [Mode::Shared, Mode::PerPrincipal] {
        let shim = sleepy("tools", mode);
        let session = session(&shim, "user:a", "{}").await;
        of(&shim, &session, "user:a", TOOLS).await;
        asleep(&shim).await;
        let broken = shim.dir.path().join("work/broken");
        std::fs::write(&broken, "").unwrap();
        let answer = of(&shim, &session, "user:a", ECHO).await;
        assert_eq!(answer.status, 503, "{mode}: {answer:?}");
        assert!(answer.text.contains("ended with exit code 3"), "{mode}: {answer:?}");
        assert!(!answer.header("retry-after").is_empty(), "{mode}: {answer:?}");
        let message = shim.failure().await;
        assert!(message.contains("no such database"), "{mode}: {message}");
        // It is not asleep any more, and nothing is made up for it.
        let listed = of(&shim, &session, "user:a", TOOLS).await;
        assert_eq!(listed.status, 503, "{mode}: {listed:?}");
        std::fs::remove_file(&broken).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while of(&shim, &session, "user:a", ECHO).await.status != 200 {
            assert!(tokio::time::Instant::now() < deadline, "{mode}: it never comes back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = shim.status().await;
        assert!(matches!(status.server, ServerState::Running { .. }), "{mode}: {status:?}");
        asleep(&shim).await;
        shim.stop().await;
    }
}

#[tokio::test]
async fn a_strict_session_ends_when_its_server_sleeps() {
    let shim = Shim::start_with("tools", |config| {
        (config.mode, config.strict_sessions, config.sleep_ms) = (Mode::Shared, true, Some(AFTER_MS));
    });
    let session = shim.session("user:a").await;
    assert_eq!(shim.post(&session, TOOLS).await.status, 200);
    asleep(&shim).await;
    assert_eq!(shim.post(&session, TOOLS).await.status, 404);
    shim.stop().await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let remote = Link::Remote { url: "http://127.0.0.1:9/mcp".to_owned(), sse: false };
    let tool = Link::Tool { health: None, stop_signal: None };
    for (sleep_ms, link) in [(0, Link::Stdio), (1000, remote), (1000, tool)] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir, "normal");
        (config.sleep_ms, config.link) = (Some(sleep_ms), link);
        let error = shim::run(config, async {}).await.unwrap_err().to_string();
        assert!(error.contains("`sleep_ms`"), "{error}");
    }
}
