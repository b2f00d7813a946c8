//! Pages of instances as a browser without a script has them: what they show, what their forms do, and who may.

use std::sync::Arc;

use api::users::Role;
use domain::measure::Measure;
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::json;
use store::metrics::{MetricsRow, Step};

use crate::browser::{Browser, location, text};
use crate::dtma::{FakeDtma, Up};
use crate::platform::{Life, Platform, now};

const PASSWORD: &str = "correct horse battery staple";
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// A platform with two servers, of which one is broken in hostile words.
async fn platform() -> (Platform, Arc<FakeDtma>, Up) {
    let dtma = Arc::new(FakeDtma::default());
    let (address, up) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    for name in ["clock", "docs"] {
        let body = json!({
            "server": format!("npm:{name}@1.0.0"), "name": name, "settings": { "ODD": HOSTILE }, "secrets": { "KEY": "hunter2" }
        });
        let made = platform.post("/api/v1/instances", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.error());
        platform.instance_until(name, |instance| instance["status"] == "installing").await;
    }
    dtma.report(&platform, |spec| match spec.name.as_str() {
        "docs" => (InstanceStatus::ErrorRuntime, Some(HOSTILE)),
        _ => (InstanceStatus::Running, None),
    })
    .await;
    platform.set_password(&platform.owner, PASSWORD).await;
    (platform, dtma, up)
}

async fn admin(platform: &Platform) -> Browser<'_> {
    let browser = Browser::new(platform);
    browser.sign_in("admin", PASSWORD).await;
    browser
}

/// The page at a path, which must be one, without what a hostile text would need.
async fn page(browser: &Browser<'_>, path: &str) -> String {
    let answer = browser.get(path).await;
    let page = text(&answer);
    assert_eq!(answer.status, StatusCode::OK, "{path}: {page}");
    assert!(!page.contains("<script>") && !page.contains("<img"), "{path}: {page}");
    assert!(!page.contains("hunter2"), "{path}: {page}");
    assert!(!page.contains("style=\"") && !page.contains(" onclick"), "{path}");
    page
}

fn has_row(page: &str, name: &str) -> bool {
    page.contains(&format!("/a/default/instances/{name}\"><b>"))
}

#[tokio::test]
async fn the_list_is_searched_and_filtered() {
    let (platform, _dtma, _up) = platform().await;
    let browser = admin(&platform).await;
    for (query, clock, docs) in [
        ("", true, true),
        ("?q=CLOCK", true, false),
        ("?q=npm+doc", false, true),
        ("?q=alert", false, true),
        ("?status=good", true, false),
        ("?status=bad", false, true),
        ("?status=bad&q=clock", false, false),
        ("?kind=server", true, true),
        ("?kind=tool", false, false),
        ("?environment=local", true, true),
        ("?environment=far", false, false),
        ("?page=7", true, true),
    ] {
        let page = page(&browser, &format!("/a/default/instances{query}")).await;
        assert_eq!((has_row(&page, "clock"), has_row(&page, "docs")), (clock, docs), "{query}");
    }
    let kept = page(&browser, "/a/default/instances?q=%22%3E%3Cscript%3E").await;
    assert!(kept.contains("value=\"&#34;&#62;&#60;script&#62;\""), "{kept}");
    platform.stop().await;
}

#[tokio::test]
async fn many_are_stopped_at_once() {
    let (platform, _dtma, _up) = platform().await;
    let browser = admin(&platform).await;
    let list = "/a/default/instances";
    let fields = [("name", "clock"), ("name", "docs"), ("order", "stop"), ("q", "npm")];
    let answer = browser.submit(list, list, &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", text(&answer));
    let to = location(&answer).to_owned();
    assert!(page(&browser, &to).await.contains("2 instances are to be stopped"), "{to}");
    for name in ["clock", "docs"] {
        let instance = platform.get(&format!("/api/v1/instances/{name}")).await.json();
        assert_eq!(instance["desired"], "stopped", "{name}");
    }
    for (fields, words) in [
        (vec![("order", "start")], "No instance was chosen"),
        (vec![("order", "start"), ("name", "clck"), ("name", "docs")], "there is no instance `clck`"),
    ] {
        let answer = browser.submit(list, list, &fields).await;
        let page = text(&answer).replace("&#96;", "`");
        assert_eq!(answer.status, StatusCode::CONFLICT, "{page}");
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(platform.get("/api/v1/instances/docs").await.json()["desired"], "running");
    for order in ["remove", "burn"] {
        let answer = browser.submit(list, list, &[("order", order), ("name", "docs")]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{order}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn every_tab_of_an_instance() {
    let (platform, _dtma, _up) = platform().await;
    let browser = admin(&platform).await;
    let id = store::instances::list_all(&platform.store).await.unwrap();
    let clock = id.iter().find(|row| row.name.as_str() == "clock").unwrap().id;
    let mut measure = Measure { calls: 7, errors: 2, ..Measure::default() };
    measure.sample(64 << 20, Some(250));
    measure.took.add(12_000);
    let at = Timestamp(now().0 / 60_000_000 * 60_000_000 - 60_000_000);
    let row = MetricsRow { instance: clock, step: Step::Minute, at, writer: "x".to_owned(), measure };
    let mut tx = platform.store.begin().await.unwrap();
    store::metrics::put(&mut tx, &[row]).await.unwrap();
    tx.commit().await.unwrap();
    for (path, words) in [
        ("clock", vec!["running", "/mcp/default/clock", "npm:clock@1.0.0", "Connect a client"]),
        ("docs", vec!["crashed", "alert(1)", "How far it came", "Try again"]),
        ("clock/connect", vec!["claude mcp add --transport http clock", "QR code"]),
        ("clock/connect?client=cursor", vec!["cursor://anysphere.cursor-deeplink/mcp/install?name=clock"]),
        ("clock/connect?client=windsurf", vec!["YOUR_TOKEN", "serverUrl"]),
        ("clock/connect?client=chatgpt", vec!["on the internet with HTTPS"]),
        ("clock/connect?client=%3Cscript%3E", vec!["Claude Code"]),
        ("clock/logs", vec!["data-stream=\"/a/default/instances/clock/logs/stream?lines=200\""]),
        ("clock/logs?q=nothing-like-it", vec!["0 of the last 200 lines have"]),
        ("clock/metrics", vec!["<svg", "<b>7</b> calls", "64 MiB", "<path class=\"line s1\" d=\"M"]),
        ("clock/metrics?range=30d", vec!["Nothing was seen"]),
        (
            "clock/configuration",
            vec!["<code>ODD</code>", "<code>KEY</code>", "per-principal", "Start it on another host"],
        ),
        ("clock/events", vec!["admin deployed it", "running"]),
        ("docs/events", vec!["crashed", "alert(1)"]),
        ("clock/danger", vec!["There is no other environment", "/a/default/instances/clock/remove"]),
        ("clock/remove", vec!["This destroys, for good", "<code>KEY</code>", "/mcp/default/clock"]),
    ] {
        let page = page(&browser, &format!("/a/default/instances/{path}")).await;
        for word in words {
            assert!(page.contains(word), "{path} lacks {word}: {page}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
    }
    for path in ["clock/logs/file", "clock/logs/stream?lines=5"] {
        let answer = browser.get(&format!("/a/default/instances/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    }
    let near = browser.get("/a/default/instances/clok").await;
    assert_eq!(near.status, StatusCode::NOT_FOUND);
    assert!(text(&near).contains("clock"), "{}", text(&near));
    platform.stop().await;
}

#[tokio::test]
async fn an_instance_is_stopped_changed_and_removed_by_forms() {
    let (platform, _dtma, _up) = platform().await;
    let browser = admin(&platform).await;
    let base = "/a/default/instances/clock";
    let desired = async || platform.get("/api/v1/instances/clock").await.json()["desired"].clone();
    for (order, tab, to, after) in
        [("stop", "/logs", "/logs", "stopped"), ("start", "", "", "running"), ("restart", "x", "", "running")]
    {
        let answer = browser.submit(base, &format!("{base}/order"), &[("order", order), ("tab", tab)]).await;
        let expected = format!("{base}{to}");
        assert_eq!((answer.status, location(&answer)), (StatusCode::SEE_OTHER, &*expected), "{order}");
        assert_eq!(desired().await, after, "{order}");
    }
    let failover = format!("{base}/configuration");
    for (fields, is_on) in [(vec![("failover", "on")], true), (vec![], false)] {
        let answer = browser.submit(&failover, &failover, &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", text(&answer));
        let instance = platform.get("/api/v1/instances/clock").await.json();
        assert_eq!(instance["failover"].is_object(), is_on);
    }
    let answer = browser.submit(base, &format!("{base}/move"), &[("environment", "nowhere")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", text(&answer));
    let answer = browser.submit(&format!("{base}/remove"), &format!("{base}/remove"), &[]).await;
    assert_eq!(
        (answer.status, location(&answer)),
        (StatusCode::SEE_OTHER, "/a/default/instances?done=remove-1")
    );
    let page = page(&browser, "/a/default/instances?done=remove-1").await;
    assert!(page.contains("1 instance is to be removed"), "{page}");
    platform.stop().await;
}

#[tokio::test]
async fn a_token_is_made_into_the_text() {
    let (platform, _dtma, _up) = platform().await;
    let browser = admin(&platform).await;
    let connect = "/a/default/instances/clock/connect";
    let answer = browser.submit(connect, connect, &[("client", "windsurf"), ("days", "30")]).await;
    let page = text(&answer);
    assert_eq!(answer.status, StatusCode::OK, "{page}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let token = page.split("Bearer ").nth(1).unwrap().split("&#34;").next().unwrap();
    assert!(token.starts_with("berth_") && !page.contains("YOUR_TOKEN"), "{page}");
    let tokens = platform.get("/api/v1/tokens").await.json();
    let made = tokens.as_array().unwrap().iter().find(|made| made["name"] == "Windsurf for clock").unwrap();
    assert_eq!(made["scopes"], json!(["mcp:call:clock"]));
    assert!(made["expires_at"].is_i64(), "{made}");
    // It is for this instance and nothing else.
    for (path, status) in [("/api/v1/instances", 403), ("/mcp/default/docs", 403)] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let method = if path.starts_with("/mcp") { Method::POST } else { Method::GET };
        let body = path.starts_with("/mcp").then_some(body);
        let answer = platform.send(Some(token), method, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    let forged = browser.post(connect, &[("client", "windsurf"), ("days", ""), ("csrf", "x")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    platform.stop().await;
}

/// The paths of this part, of an account and an instance.
fn paths(account: &str) -> Vec<String> {
    let ours = control::page_paths().into_iter().filter(|path| path.starts_with("/a/{account}/instances"));
    ours.map(|path| path.replace("{account}", account).replace("{name}", "clock").replace("{number}", "1"))
        .collect()
}

#[tokio::test]
async fn strangers_see_nothing_and_viewers_change_nothing() {
    let (platform, _dtma, _up) = platform().await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    // After a change of an instance, who is in which account is read anew.
    assert_eq!(platform.post("/api/v1/instances/clock/start", json!({})).await.status, StatusCode::OK);
    let mut browsers = Vec::new();
    for token in [&stranger, &viewer] {
        platform.set_password(token, PASSWORD).await;
        let whoami = platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await.json();
        let browser = Browser::new(&platform);
        browser.sign_in(whoami["user_name"].as_str().unwrap(), PASSWORD).await;
        browsers.push(browser);
    }
    let (stranger, viewer) = (&browsers[0], &browsers[1]);
    for path in paths("default") {
        let answer = stranger.get(&path).await;
        let takes_forms_alone = ["/order", "/move", "/changes/1"].iter().any(|end| path.ends_with(end));
        let expected = if takes_forms_alone { 405 } else { 404 };
        assert_eq!(answer.status.as_u16(), expected, "{path}");
        assert!(!text(&answer).contains("npm:"), "{path}");
        // In their own account there is no such instance.
        let own = path.replace("/default/", "/other/");
        let answer = stranger.get(&own).await;
        let expected = if path.ends_with("/instances") { 200 } else { expected };
        assert_eq!(answer.status.as_u16(), expected, "{own}");
    }
    let base = "/a/default/instances/clock";
    for (path, fields) in [
        ("/order", vec![("order", "stop")]),
        ("/remove", vec![]),
        ("/move", vec![("environment", "auto")]),
        ("/configuration", vec![("failover", "on")]),
    ] {
        let of_stranger = stranger.submit("/a/other", &format!("{base}{path}"), &fields).await;
        assert_eq!(of_stranger.status, StatusCode::NOT_FOUND, "{path}");
        let of_viewer = viewer.submit(&format!("{base}/connect"), &format!("{base}{path}"), &fields).await;
        assert_eq!(of_viewer.status, StatusCode::FORBIDDEN, "{path}: {}", text(&of_viewer));
    }
    let list = "/a/default/instances";
    let bulk = viewer.submit(&format!("{base}/connect"), list, &[("order", "stop"), ("name", "clock")]).await;
    assert_eq!(bulk.status, StatusCode::FORBIDDEN);
    assert_eq!(platform.get("/api/v1/instances/clock").await.json()["desired"], "running");
    for path in ["", "/danger", "/remove", "/configuration"] {
        let page = page(viewer, &format!("{base}{path}")).await;
        assert!(!page.contains("name=\"order\"") && !page.contains("class=\"danger\""), "{path}: {page}");
    }
    assert!(!page(viewer, list).await.contains("type=\"checkbox\""));
    platform.stop().await;
}
