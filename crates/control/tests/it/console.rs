//! What an environment's DTMA says of itself and of its machine, from a DTMA that the tests play; and its pages.

use std::net::SocketAddr;

use api::users::Role;
use axum::extract::RawQuery;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::browser::{Browser, text};
use crate::dtma::heartbeat;
use crate::platform::{Life, PATIENCE, Platform, nobody};
use crate::web::{person, signed_in};

const LOG: &str = "/api/v1/environments/local/log";
const CHECKS: &str = "/api/v1/environments/local/checks";
const PAGE: &str = "/a/default/environments/local";

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The lines of a DTMA: what it was asked first, and for a follower a line that comes, with no end after it.
async fn lines(RawQuery(query): RawQuery) -> impl IntoResponse {
    let query = query.unwrap_or_default();
    let first = format!("asked {query}\nINFO <b>the DTMA starts</b>\n");
    let first = futures_util::stream::once(async { first });
    let rest = futures_util::stream::once(async { "INFO the shim was started\n".to_owned() })
        .chain(futures_util::stream::pending());
    let body = if query.contains("follow=true") {
        axum::body::Body::from_stream(first.chain(rest).map(Ok::<_, std::convert::Infallible>))
    } else {
        axum::body::Body::from_stream(first.map(Ok::<_, std::convert::Infallible>))
    };
    ([("content-type", "text/plain; charset=utf-8")], body)
}

fn found() -> Value {
    json!([
        { "name": "kernel", "verdict": "ok", "found": "6.1.0" },
        { "name": "docker", "verdict": "warn", "found": "none", "fix": "only container images need it: `apt-get install -y docker.io`",
          "command": "apt-get install -y docker.io" },
        { "name": "<script>alert(1)</script>", "verdict": "fail", "found": "<img src=x>", "fix": "mend `<i>` it",
          "command": "echo \"<u>\"" },
    ])
}

/// A DTMA that knows both.
async fn dtma() -> SocketAddr {
    serve(Router::new().route("/v1/log", get(lines)).route("/v1/checks", get(async || Json(found())))).await
}

#[tokio::test]
async fn a_dtma_is_asked_through_the_control_plane_by_its_own_account() {
    let platform = Platform::start(dtma().await).await;
    for (query, asked) in [
        ("", "follow=false"),
        ("?tail=5", "follow=false&tail=5"),
        ("?tail=5&follow=false", "follow=false&tail=5"),
    ] {
        let answer = platform.get(&format!("{LOG}{query}")).await;
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(text(&answer), format!("asked {asked}\nINFO <b>the DTMA starts</b>\n"), "{query}");
    }
    let wrong = platform.get(&format!("{LOG}?tail=many")).await;
    assert!(wrong.error().starts_with("400 bad_request | tail"), "{}", wrong.error());
    assert_eq!(platform.get(CHECKS).await.json(), found());

    let follow = platform.open(Some(&platform.owner), Method::GET, &format!("{LOG}?follow=true"), None).await;
    let mut body = follow.into_body();
    let mut all = String::new();
    while !all.contains("the shim was started") {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("it comes").unwrap().unwrap();
        all.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
    assert!(all.starts_with("asked follow=true\n"), "{all}");

    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let stopped = platform.scoped(&platform.owner, &["mcp:call"]).await;
    for path in [LOG, CHECKS] {
        for (who, token, status) in
            [("a viewer", &viewer, 200), ("a stranger", &stranger, 404), ("a caller", &stopped, 403)]
        {
            let answer = platform.send(Some(token), Method::GET, path, None).await;
            assert_eq!(answer.status.as_u16(), status, "{who} {path}");
            assert!(status == 200 || !text(&answer).contains("INFO"), "{who} {path}");
        }
    }
    let near = platform.get("/api/v1/environments/locl/checks").await;
    assert!(
        near.error().starts_with("404 not_found") && near.error().contains("`local`"),
        "{}",
        near.error()
    );
    platform.stop().await;
}

/// A host that answers as it does must be told with these words under both paths.
async fn check(dtma: SocketAddr, program: bool, status: u16, words: &[&str]) {
    let platform = Platform::start(dtma).await;
    if program {
        let mut body = heartbeat(&platform.local.id.to_string(), 1, &json!([]));
        body["program"] = json!("0".repeat(64));
        let token = platform.local.dtma_token.expose();
        let answer = platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    for path in [LOG, CHECKS] {
        let error = platform.get(path).await.error();
        assert!(error.starts_with(&status.to_string()), "{path}: {error}");
        for words in words {
            assert!(error.contains(words), "{path} does not say `{words}`: {error}");
        }
    }
    let admin = signed_in(&platform, &platform.owner).await;
    for tab in ["checks", "logs"] {
        let page = admin.get(&format!("{PAGE}/{tab}")).await;
        assert_eq!(page.status, StatusCode::OK, "{tab}");
        let read = text(&page).replace("<code>", "`").replace("</code>", "`");
        for words in words {
            assert!(read.contains(words), "{tab} does not say `{words}`: {read}");
        }
    }
    platform.stop().await;
}

#[tokio::test]
async fn a_host_that_is_away_older_or_another_is_told_with_what_to_do() {
    let older = || serve(Router::new());
    let says_so = async || {
        let body = json!({ "error": { "code": "not_found", "message": "no such path" } });
        serve(Router::new().fallback(async move || (StatusCode::NOT_FOUND, Json(body)))).await
    };
    let stranger = || serve(Router::new().fallback(async || (StatusCode::UNAUTHORIZED, "who are you? <b>")));
    let away = ["environment `local`: its DTMA does not answer", "`berth env show local`"];
    check(nobody(), false, 503, &away).await;
    check(older().await, false, 503, &["is older than what is asked for", "start `berth up` again"]).await;
    check(
        says_so().await,
        true,
        503,
        &["is older than what is asked for", "`berth env upgrade local --wait`"],
    )
    .await;
    check(stranger().await, false, 503, &["no DTMA of this control plane (HTTP 401"]).await;
}

#[tokio::test]
async fn the_machine_s_pages_show_checks_and_log_and_nothing_of_it_as_markup() {
    let platform = Platform::start(dtma().await).await;
    let mut body = heartbeat(&platform.local.id.to_string(), 1, &json!([]));
    body["protections"] = json!([{ "name": "Landlock", "granted": false, "detail": "the kernel has none" }]);
    let token = platform.local.dtma_token.expose();
    platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
    let viewer = person(&platform, "default", Role::Viewer).await;
    let stranger = person(&platform, "other", Role::Owner).await;
    let shown = async |browser: &Browser<'_>, path: &str| {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", text(&page));
        let page = text(&page);
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        for markup in ["<script>alert", "<img", "<i>", "<u>", "<b>the DTMA"] {
            assert!(!page.contains(markup), "{path} has {markup}: {page}");
        }
        page
    };

    // The machine's own page asks nobody: it is as quick when the host is silent.
    let own = shown(&viewer, PAGE).await;
    let load = format!("id=\"findings\" data-load=\"{PAGE}/checks\"");
    for words in [
        "Landlock",
        "5.13 or later",
        &load,
        &format!("href=\"{PAGE}/checks\""),
        &format!("href=\"{PAGE}/logs\""),
    ] {
        assert!(own.contains(words), "no `{words}` in {own}");
    }
    assert!(!own.contains("docker.io"), "{own}");

    let checks = shown(&viewer, &format!("{PAGE}/checks")).await;
    for words in [
        "Landlock",
        "5.13 or later",
        "1 of 3 will not do. 1 of 3 will do, for less than everything.",
        "<li class=\"warn\"><b>docker</b>",
        "<span class=\"fix\">only container images need it</span>",
        "<code id=\"mend-2\">apt-get install -y docker.io</code>",
        "data-copy=\"mend-2\"",
        "<b>&#60;script&#62;alert(1)&#60;/script&#62;</b>",
        "mend <code>&#60;i&#62;</code> it",
    ] {
        assert!(checks.contains(words), "no `{words}` in {checks}");
    }
    assert!(!checks.contains("data-load"), "{checks}");
    let (bad, good) = (checks.find("alert(1)"), checks.find("<b>kernel</b>"));
    assert!(bad < good, "what is wrong comes first: {checks}");

    let logs = format!("{PAGE}/logs");
    let page = shown(&viewer, &format!("{logs}?lines=1000")).await;
    for words in [
        "&#60;b&#62;the DTMA starts",
        "asked follow=false&#38;tail=1000",
        &format!("data-stream=\"{logs}/stream?lines=1000\""),
        &format!("href=\"{logs}/file\""),
        "log/dtma.log",
    ] {
        assert!(page.contains(words), "no `{words}` in {page}");
    }
    let searched = shown(&viewer, &format!("{logs}?q=DTMA%20STARTS")).await;
    assert!(searched.contains("1 of the last 200 lines has “DTMA STARTS”"), "{searched}");
    assert!(!searched.contains("data-stream"), "{searched}");
    let file = viewer.get(&format!("{logs}/file")).await;
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"local-host-agent.log\"");
    assert_eq!(file.headers["x-content-type-options"], "nosniff");
    assert!(text(&file).starts_with("asked follow=false&tail=4294967295\n"), "{}", text(&file));

    for path in ["/checks", "/logs", "/logs/stream", "/logs/file"] {
        let theirs = stranger.get(&format!("{PAGE}{path}")).await;
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!text(&theirs).contains("INFO") && !text(&theirs).contains("docker"), "{path}");
    }
    platform.stop().await;
}
