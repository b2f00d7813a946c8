//! Instances whose callers each bring their own: processes that have one caller's values, and what happens to whoever brings none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use domain::shim::{EachCaller, KEY_HEADER, Link, Mode, PRINCIPAL_HEADER, ServerState, TokenReason};
use serde_json::{Value, json};

use crate::harness::{INITIALIZE, KEY, Method, Shim, ShimConfig, proper};

/// What the control plane would say, by principal.
type Said<'a> = RefCell<BTreeMap<&'a str, Value>>;

fn values(key: &str, value: &str) -> Value {
    // Nobody but its owner says what else a server is started with.
    json!({ "kind": "values", "values": { key: value, "PYTHONSTARTUP": "/evil.py" } })
}

fn unset() -> Value {
    json!({ "kind": "unset", "why": "run `berth secret own notes KEY=@FILE`" })
}

/// Does something while a host agent answers what the shim asks.
async fn with_host<T>(shim: &Shim, said: &Said<'_>, act: impl Future<Output = T>) -> T {
    let mut act = std::pin::pin!(act);
    loop {
        let asks = tokio::select! {
            done = &mut act => return done,
            status = shim.until("a question", |status| !status.asks.is_empty()) => status.asks,
        };
        for ask in asks {
            let is_token = ask.wanted.reason == TokenReason::Refused;
            assert!(is_token || ask.wanted.reason == TokenReason::Values, "{ask:?}");
            let principal = ask.wanted.principal.clone().unwrap_or_default();
            if is_token {
                assert_eq!(principal, "user:d", "who brought the header is asked for no other");
            }
            let token = json!({ "kind": "token", "token": "good", "version": 1 });
            let known = said.borrow().get(principal.as_str()).cloned().unwrap_or_else(unset);
            let outcome = if is_token { token } else { known };
            let body = json!({ "number": ask.number, "outcome": outcome }).to_string();
            let told = shim.ask(Method::POST, "/token", &[(KEY_HEADER, KEY)], body).await;
            assert_eq!(told.status, 204, "{told:?}");
        }
    }
}

fn of<'a>(principal: &'a str, session: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut headers = proper(session);
    headers.retain(|(name, value)| {
        *name != PRINCIPAL_HEADER && !(*name == "mcp-session-id" && value.is_empty())
    });
    headers.push((PRINCIPAL_HEADER, principal));
    headers
}

/// The session that a caller begins, or what they are told instead.
async fn begin(shim: &Shim, said: &Said<'_>, principal: &str) -> Result<String, String> {
    let answer = with_host(shim, said, shim.ask(Method::POST, "/mcp", &of(principal, ""), INITIALIZE)).await;
    let body = answer.json();
    match body["error"]["message"].as_str() {
        Some(message) => Err(format!("{} {message}", answer.status)),
        None => Ok(answer.header("mcp-session-id").to_owned()),
    }
}

/// The environment of the process that serves a caller.
async fn environment(shim: &Shim, said: &Said<'_>, principal: &str, session: &str) -> Value {
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"environment"}"#;
    let answer = with_host(shim, said, shim.ask(Method::POST, "/mcp", &of(principal, session), ask)).await;
    answer.json()
}

/// Until something is so; the shim believes what it was told for some seconds.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn each(work: Option<&Path>, variable: &str) -> EachCaller {
    let variables = BTreeSet::from([variable.to_owned()]);
    EachCaller { variables, work: work.map(Into::into), uid: None }
}

#[tokio::test]
async fn each_caller_has_a_process_with_their_own_values() {
    let shim = Shim::start_with("normal", |config: &mut ShimConfig| {
        config.mode = Mode::PerPrincipal;
        config.each_caller = Some(each(Some(&config.cwd), "KEY"));
        config.env.insert("HOME".to_owned(), format!("{}/{{caller}}", config.cwd.display()));
    });
    let said: Said<'_> = RefCell::default();
    // It is known to work before anybody brings anything.
    shim.until("it runs", |status| matches!(status.server, ServerState::Running { .. })).await;

    let refused = begin(&shim, &said, "user:a").await.unwrap_err();
    assert_eq!(refused, "200 run `berth secret own notes KEY=@FILE`");
    assert_eq!(shim.status().await.processes, 0, "nothing is started for who brings nothing");

    said.borrow_mut().extend([("user:a", values("KEY", "of-a")), ("user:b", values("KEY", "of-b"))]);
    let a = until("served", async || begin(&shim, &said, "user:a").await.ok()).await;
    let b = begin(&shim, &said, "user:b").await.unwrap();
    let (of_a, of_b) =
        (environment(&shim, &said, "user:a", &a).await, environment(&shim, &said, "user:b", &b).await);
    let (of_a, of_b) = (&of_a["result"], &of_b["result"]);
    assert_eq!((&of_a["KEY"], &of_b["KEY"]), (&json!("of-a"), &json!("of-b")));
    assert_eq!(of_a["PYTHONSTARTUP"], Value::Null);
    let home = |of: &Value| of["HOME"].as_str().unwrap().to_owned();
    assert_ne!(home(of_a), home(of_b));
    assert!(Path::new(&home(of_a)).is_dir() && !home(of_a).contains("user"), "{of_a}");
    // Another one's session is no way to their process.
    assert_eq!(environment(&shim, &said, "user:b", &a).await["error"]["code"], -32000);

    // Another value is another process, in the same session and the same directory.
    said.borrow_mut().insert("user:a", values("KEY", "newer"));
    let newer = until("newer", async || {
        let now = environment(&shim, &said, "user:a", &a).await["result"].clone();
        (now["KEY"] == "newer").then_some(now)
    });
    let newer = newer.await;
    assert_eq!(home(&newer), home(of_a));
    assert_eq!(environment(&shim, &said, "user:b", &b).await["result"]["KEY"], "of-b");

    // Nobody can be asked: it goes on. Taken back: it ends.
    said.borrow_mut().insert("user:a", json!({ "kind": "none", "why": "the control plane is away" }));
    assert_eq!(environment(&shim, &said, "user:a", &a).await["result"]["KEY"], "newer");
    said.borrow_mut().insert("user:a", unset());
    until("taken back", async || {
        let now = environment(&shim, &said, "user:a", &a).await;
        now["error"]["message"].as_str().is_some_and(|text| text.contains("berth secret own")).then_some(())
    })
    .await;
    assert!(!shim.log().contains("of-a"));
    shim.stop().await;
}

#[tokio::test]
async fn a_server_elsewhere_gets_each_callers_own_header() {
    let url = crate::tokens::server().await;
    let shim = Shim::start_with("normal", |config: &mut ShimConfig| {
        config.mode = Mode::PerPrincipal;
        config.link = Link::Remote { url, sse: false };
        config.command.clear();
        config.secrets.clear();
        config.env.clear();
        config.each_caller = Some(each(None, "Authorization"));
    });
    // It refuses nobody's credentials, which shows that it is there.
    let status = shim.until("it runs", |status| matches!(status.server, ServerState::Running { .. })).await;
    assert!(status.asks.is_empty(), "{status:?}");
    let said: Said<'_> = RefCell::new(BTreeMap::from([
        ("user:a", values("Authorization", "Bearer good")),
        ("user:b", values("Authorization", "Bearer bad")),
        // Has authorized Berth at the server instead.
        ("user:d", json!({ "kind": "values", "values": {} })),
    ]));
    begin(&shim, &said, "user:a").await.unwrap();
    begin(&shim, &said, "user:d").await.unwrap();
    let refused = begin(&shim, &said, "user:b").await.unwrap_err();
    assert!(refused.starts_with("503 ") && refused.contains("refused the credentials (401)"), "{refused}");
    assert!(!refused.contains("Bearer"), "{refused}");
    let refused = begin(&shim, &said, "user:c").await.unwrap_err();
    assert!(refused.contains("berth secret own"), "{refused}");
    // What one caller brings and is no good says nothing of the server.
    let status = shim.status().await;
    assert!(matches!(status.server, ServerState::Running { .. }), "{status:?}");
    shim.stop().await;
}
