//! Starting, failing, restarting, stopping, and the log.

use std::time::{Duration, Instant};

use domain::shim::{KEY_HEADER, ServerState};
use http::Method;
use serde_json::json;
use shim::ShimError;

use crate::harness::{INITIALIZE, KEY, Shim, config, proper};

fn script(params: &serde_json::Value) -> String {
    json!({"jsonrpc": "2.0", "id": "c", "method": "script", "params": params}).to_string()
}

#[tokio::test]
async fn runs_once_the_opening_is_answered() {
    let shim = Shim::start("chatty");
    let status = shim.until("running", |status| matches!(status.server, ServerState::Running { .. })).await;
    assert_eq!((status.generation, status.restarts, status.in_flight), (7, 0, 0));
    let ServerState::Running { server_name, protocol_version, .. } = status.server else { unreachable!() };
    assert_eq!((server_name.as_str(), protocol_version.as_str()), ("scripted", "2025-11-25"));
    shim.stop().await;
}

#[tokio::test]
async fn the_environment_is_what_the_configuration_says() {
    let (shim, session) = Shim::with_session("normal").await;
    let answer = shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"environment"}"#).await.json();
    let mut names: Vec<_> = answer["result"].as_object().unwrap().keys().cloned().collect();
    // The interpreter sets this one itself.
    names.retain(|name| name != "LC_CTYPE");
    assert_eq!(names, ["PATH", "TOKEN"]);
    assert!(!shim.log().contains("hunter2"));
    shim.stop().await;
}

#[tokio::test]
async fn a_server_that_never_runs_says_why() {
    for (mode, startup_ms, expected) in [
        (
            "exit",
            20_000,
            "the server ended with exit code 3 before it answered `initialize`; its last lines on standard error:\n\
             first words\nno such database",
        ),
        (
            "silent",
            300,
            "the server did not answer `initialize` within 0.3 s; is it an MCP server that speaks over standard input \
             and output?",
        ),
        ("refuse", 20_000, "it refused `initialize`: not today (-32603)"),
    ] {
        let shim = Shim::start_with(mode, |config| config.startup_ms = startup_ms);
        assert_eq!(shim.failure().await, expected);
        shim.stop().await;
    }
}

#[tokio::test]
async fn garbage_instead_of_an_opening_is_shown() {
    let shim = Shim::start_with("garbage", |config| config.startup_ms = 1500);
    let message = shim.failure().await;
    assert!(
        message.contains("did not answer `initialize` within 1.5 s")
            && message.contains("it printed 2 line(s) on standard output that are no MCP message")
            && message.contains("`Welcome to my server!`"),
        "{message}"
    );
    shim.stop().await;
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let shim = Shim::start_with("normal", |config| config.command = vec!["/nonexistent/program".into()]);
    let message = shim.failure().await;
    assert!(
        message.starts_with("the server could not be started: /nonexistent/program: No such file"),
        "{message}"
    );
    shim.stop().await;
}

#[tokio::test]
async fn callers_of_a_failed_server_hear_why_at_once() {
    let shim = Shim::start("exit");
    let status = shim
        .until("a crash loop", |status| matches!(status.server, ServerState::Failed { crash_loop: true, .. }))
        .await;
    assert!(4 <= status.restarts, "{status:?}");
    let begun = Instant::now();
    let mut headers = proper("");
    headers.truncate(4);
    let answer = shim.ask(Method::POST, "/mcp", &headers, INITIALIZE).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((answer.status, answer.json()["id"].as_str()), (503, Some("init")));
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("exit code 3") && message.contains("keeps failing"), "{message}");
    assert!(!message.contains("no such database"), "standard error is for the owner: {message}");
    assert!((1..=4).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
    shim.stop().await;
}

#[tokio::test]
async fn callers_wait_for_a_server_that_starts_soon() {
    let shim = Shim::start("exit-once");
    shim.until("running", |status| matches!(status.server, ServerState::Running { .. })).await;
    assert_eq!(shim.status().await.restarts, 1);
    shim.session("user:a").await;
    shim.stop().await;
}

#[tokio::test]
async fn a_crash_ends_calls_at_once_and_the_session_goes_on() {
    let (shim, session) = Shim::with_session("normal").await;
    let hang = r#"{"jsonrpc":"2.0","id":"h","method":"script"}"#;
    for (params, how) in [
        (json!({"exit": 3}), "ended with exit code 3"),
        (json!({"exit": 139}), "ended with exit code 139, as after signal 11 (SIGSEGV)"),
        (json!({"kill": 9}), "was killed by signal 9 (SIGKILL)"),
    ] {
        let before = shim.status().await.restarts;
        let headers = proper(&session);
        let hanging = shim.ask(Method::POST, "/mcp", &headers, hang);
        let crash = async {
            shim.until("in flight", |status| status.in_flight == 1).await;
            shim.post(&session, script(&params)).await
        };
        let (hanging, crash) = tokio::join!(hanging, crash);
        for (answer, id) in [(hanging, "h"), (crash, "c")] {
            assert_eq!((answer.status, answer.code()), (200, -32603), "{answer:?}");
            assert_eq!(answer.json()["id"], id);
            assert_eq!(answer.json()["error"]["message"], format!("the server {how}"));
        }
        let again = |status: &domain::shim::ShimStatus| {
            before < status.restarts && matches!(status.server, ServerState::Running { .. })
        };
        shim.until("running again", again).await;
        let answer = shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_crash_in_mid_stream_ends_the_stream_with_an_error() {
    let (shim, session) = Shim::with_session("normal").await;
    let params = json!({
        "_meta": {"progressToken": 5},
        "lines": ["{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$TOKEN}}\n"],
        "exit": 4,
    });
    let answer = shim.post(&session, script(&params)).await;
    let events = crate::harness::events(&answer.text);
    assert_eq!(events.len(), 2, "{answer:?}");
    assert_eq!(
        events[1],
        r#"{"jsonrpc":"2.0","id":"c","error":{"code":-32603,"message":"the server ended with exit code 4"}}"#
    );
    shim.stop().await;
}

#[tokio::test]
async fn a_server_that_closes_its_output_is_replaced() {
    let (shim, session) = Shim::with_session("normal").await;
    let answer = shim.post(&session, script(&json!({"close": true}))).await;
    assert_eq!((answer.status, answer.code()), (200, -32603));
    assert_eq!(answer.json()["error"]["message"], "the server closed its standard output");
    shim.until("running again", |status| {
        status.restarts == 1 && matches!(status.server, ServerState::Running { .. })
    })
    .await;
    shim.stop().await;
}

#[tokio::test]
async fn what_the_server_spawned_ends_with_it() {
    let (shim, session) = Shim::with_session("normal").await;
    let work = shim.dir.path().join("work");
    let in_work = || {
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .any(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == work))
    };
    assert!(in_work(), "the server runs in its directory");
    let answer = shim.post(
        &session,
        script(&json!({"spawn": true, "lines": ["{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":1}\n"]})),
    );
    assert_eq!(answer.await.status, 200);
    let dir = shim.stop().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while in_work() {
        assert!(Instant::now() < deadline, "something is left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(dir);
}

#[tokio::test]
async fn shutdown_answers_after_the_server_has_ended() {
    let (mut shim, _) = Shim::with_session("stubborn").await;
    let begun = Instant::now();
    let answer = shim.ask(Method::POST, "/shutdown", &[(KEY_HEADER, KEY)], "").await;
    assert_eq!(answer.status, 200);
    assert!(Duration::from_secs(5) <= begun.elapsed(), "it was asked politely first");
    shim.ended().await;
    assert!(shim.log().ends_with("shim stopped\n"));
}

#[tokio::test]
async fn a_second_shim_on_one_directory_is_told_so() {
    let (shim, session) = Shim::with_session("normal").await;
    let error = shim::run(config(&shim.dir, "normal"), std::future::pending()).await.unwrap_err();
    assert!(matches!(error, ShimError::Held { .. }), "{error}");
    assert_eq!(shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#).await.status, 200);
    let dir = shim.stop().await;
    let again = shim::run(config(&dir, "normal"), std::future::ready(()));
    again.await.unwrap();
}

type Change = fn(&mut domain::shim::ShimConfig);

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, Change); 4] = [
        ("command", |config| config.command.clear()),
        ("key", |config| config.key = domain::secret::Secret::new("")),
        ("max_in_flight", |config| config.max_in_flight = 0),
        ("startup_ms", |config| config.startup_ms = 0),
    ];
    for (expected, change) in cases {
        let mut config = config(&dir, "normal");
        change(&mut config);
        let error = shim::run(config, std::future::pending()).await.unwrap_err();
        assert!(
            matches!(error, ShimError::Setting { field, .. } if field == expected),
            "{expected}: {error}"
        );
    }
    let error = shim::read_config(&b"{\"key\": \"hunter2\", \"x\": 1}"[..]).unwrap_err().to_string();
    assert!(
        error.contains("a missing, unknown or wrong field at line 1") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_disk_stops_nothing() {
    let shim = Shim::start_with("normal", |config| config.log = "/dev/full".into());
    let session = shim.session("user:a").await;
    let done = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":1}\n";
    let params = json!({"stderr": ["one\n"], "lines": [done], "flood": 1000});
    assert_eq!(shim.post(&session, script(&params)).await.status, 200);
    assert_eq!(shim.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#).await.status, 200);
    shim.stop().await;
}

#[tokio::test]
async fn the_log_has_every_line_and_stays_within_bounds() {
    let (shim, session) = Shim::with_session("normal").await;
    let done = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":1}\n";
    let params = json!({"stderr": ["one\ntwo é\n", "half", " whole\n"], "lines": [done]});
    assert_eq!(shim.post(&session, script(&params)).await.status, 200);
    let log = shim.logged("stderr half whole\n").await;
    assert!(log.contains("Z stderr one\n") && log.contains("Z stderr two é\n"), "{log}");
    assert!(log.lines().all(|line| line.starts_with("20")), "each line begins with its time");

    let params = json!({"flood": 30_000, "stderr": [], "exit": 0});
    shim.post(&session, script(&params)).await;
    shim.logged("ended with exit code 0").await;
    let size = |name: &str| std::fs::metadata(shim.dir.path().join(name)).unwrap().len();
    assert!(size("server.log") <= 5 << 20 && size("server.log.1") <= 5 << 20);
    assert!(1 << 20 < size("server.log.1"), "the flood was logged");
    shim.stop().await;
}

#[tokio::test]
async fn a_session_outlives_its_shim_and_one_that_was_ended_does_not() {
    let shim = Shim::start("normal");
    let [ended, kept] = [shim.session("user:a").await, shim.session("user:a").await];
    assert_eq!(shim.ask(Method::DELETE, "/mcp", &proper(&ended), "").await.status, 204);
    let mut dir = shim.crash().await;
    let echo = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
    // More than once, because the file is written anew each time; and after a change of the spec.
    for generation in [7, 8] {
        let shim = Shim::start_in(dir, "normal", |config| config.generation = generation);
        assert_eq!(shim.post(&kept, echo).await.status, 200);
        assert_eq!(shim.post(&ended, echo).await.status, 404);
        assert_eq!(shim.ask(Method::GET, "/mcp", &proper(&ended), "").await.status, 404);
        dir = shim.crash().await;
    }
    let shim = Shim::start_in(dir, "normal", |config| config.key = domain::secret::Secret::new("another"));
    let mut headers = proper(&kept);
    headers[0].1 = "another";
    assert_eq!(shim.ask(Method::POST, "/mcp", &headers, echo).await.status, 404, "another instance's");
    shim.stop().await;
}

/// The one who asks names the status that it knows; another one is heard at once, the same one when the time is over.
#[tokio::test]
async fn whoever_knows_the_status_waits_for_the_next() {
    let (shim, session) = Shim::with_session("normal").await;
    shim.until("running", |status| matches!(status.server, ServerState::Running { .. })).await;
    let ask = async |tag: &str, wait: &str| {
        let headers = [(KEY_HEADER, KEY), ("if-none-match", tag), ("prefer", wait)];
        shim.ask(Method::GET, "/status", &headers, "").await
    };
    let known = ask("", "wait=60").await;
    let tag = known.header("etag").to_owned();
    assert!(!tag.is_empty(), "{known:?}");
    for wait in ["wait=0", "wait=x", "respond-async", ""] {
        assert_eq!(ask(&tag, wait).await.header("etag"), tag, "{wait}: answered at once");
    }
    let begun = Instant::now();
    assert_eq!(ask(&tag, "wait=1").await.header("etag"), tag, "nothing happened");
    assert!(Duration::from_secs(1) <= begun.elapsed(), "and it waited for that");

    let crash = script(&json!({"exit": 3}));
    let (next, _) = tokio::join!(ask(&tag, "wait=60"), shim.post(&session, crash));
    assert_ne!(next.header("etag"), tag, "{next:?}");

    // Its end waits for nobody.
    let tag = ask("", "").await.header("etag").to_owned();
    let (last, _) = tokio::join!(ask(&tag, "wait=60"), async {
        shim.ask(Method::POST, "/shutdown", &[(KEY_HEADER, KEY)], "").await
    });
    assert_ne!(last.header("etag"), tag, "{last:?}");
}
