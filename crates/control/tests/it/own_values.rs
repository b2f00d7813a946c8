//! What callers bring for themselves: given over the API, asked for by the host, shown to nobody.

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{location, text};
use crate::platform::{Answer, Life, Platform, audit_lines, nobody};

const PATH: &str = "/api/v1/instances/notes/own-values";

async fn deployed(body: Value) -> (Platform, String) {
    let platform = Platform::start(nobody()).await;
    let mut request = json!({ "server": "npm:x@1.0.0", "name": "notes", "each_caller": ["KEY"] });
    request.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let made = platform.post("/api/v1/instances", request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    (platform, id)
}

async fn principal(platform: &Platform, token: &str) -> String {
    let me = platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await.json();
    format!("user:{}", me["user"].as_str().unwrap())
}

async fn put(platform: &Platform, token: &str, values: Value) -> Answer {
    platform.send(Some(token), Method::PUT, PATH, Some(json!({ "values": values }))).await
}

/// What a host is answered that asks for a caller's.
async fn asked(platform: &Platform, dtma: &str, id: &str, principal: &str) -> Answer {
    let wanted = json!({ "reason": "values", "principal": principal });
    let body = json!({ "instance": id, "wanted": wanted });
    platform.send(Some(dtma), Method::POST, "/api/v1/dtma/upstream-token", Some(body)).await
}

#[tokio::test]
async fn each_gives_their_own_and_the_host_gets_it_for_them_alone() {
    let (platform, id) = deployed(json!({})).await;
    let shown = platform.get("/api/v1/instances/notes").await.json();
    assert_eq!(shown["each_caller"], json!(["KEY"]));
    let dtma = platform.local.dtma_token.expose().to_owned();
    // Who may look at the instance may call it, and so bring what that takes.
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let (mary, bob) = (principal(&platform, &platform.owner).await, principal(&platform, &viewer).await);
    let unset = asked(&platform, &dtma, &id, &mary).await.json();
    let why = "`notes` works with your own `KEY`, which you have not given yet: run `berth secret own notes KEY=@FILE`";
    assert_eq!(unset, json!({ "kind": "unset", "why": why }));

    let kept = put(&platform, &platform.owner, json!({ "KEY": "of-mary" })).await;
    assert_eq!(kept.status, StatusCode::OK, "{kept:?}");
    assert_eq!(kept.json()["values"], json!([{ "name": "KEY", "is_set": true }]));
    let given = asked(&platform, &dtma, &id, &mary).await;
    assert_eq!(given.json(), json!({ "kind": "values", "values": { "KEY": "of-mary" } }));
    assert_eq!(given.headers["cache-control"], "no-store");
    assert_eq!(asked(&platform, &dtma, &id, &bob).await.json()["kind"], "unset");
    assert_eq!(put(&platform, &viewer, json!({ "KEY": "of-bob" })).await.status, StatusCode::OK);
    assert_eq!(asked(&platform, &dtma, &id, &bob).await.json()["values"]["KEY"], "of-bob");
    for principal in ["", "user:", "token:x", "user:00000000-0000-0000-0000-000000000000"] {
        assert_eq!(asked(&platform, &dtma, &id, principal).await.json()["kind"], "unset", "{principal}");
    }

    // Not for another host, and not from another account.
    let added = json!({ "name": "far", "kind": "host" });
    platform.post("/api/v1/environments", added).await;
    let issued = platform.post("/api/v1/environments/far/enrolment", json!({})).await.json();
    let body = json!({ "token": issued["token"], "nonce": "0123456789abcdef", "hostname": "b", "dtma_version": "9.9.9" });
    let enrolled = platform.send(None, Method::POST, api::enrolments::ENROL_PATH, Some(body)).await.json();
    let other = asked(&platform, enrolled["token"].as_str().unwrap(), &id, &mary).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    assert_eq!(put(&platform, &stranger, json!({ "KEY": "x" })).await.status, StatusCode::NOT_FOUND);
    // A token for calls is often in a program of somebody else's.
    let caller = platform.scoped(&platform.owner, &["mcp:call"]).await;
    assert_eq!(put(&platform, &caller, json!({ "KEY": "x" })).await.status, StatusCode::FORBIDDEN);

    let gone = platform.send(Some(&platform.owner), Method::DELETE, PATH, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(asked(&platform, &dtma, &id, &mary).await.json()["kind"], "unset");
    assert_eq!(asked(&platform, &dtma, &id, &bob).await.json()["kind"], "values");

    let account = platform.account("default").await;
    let lines = audit_lines(&platform.store, account, 100).await.unwrap();
    let of = |action: &str| lines.iter().filter(|line| line.action == action).count();
    assert_eq!((of("own_values.set"), of("own_values.forget")), (2, 1));
    let text = format!("{lines:?}");
    assert!(!text.contains("of-mary") && !text.contains("of-bob"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_brought_is_refused() {
    let (platform, _) = deployed(json!({})).await;
    let check = async |values: Value, field: &str, words: &str| {
        let refused = put(&platform, &platform.owner, values.clone()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{values}");
        let error = refused.json()["error"].clone();
        assert_eq!(error["field"], field, "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    };
    check(json!({}), "values", "give `KEY`").await;
    check(json!({ "KEYS": "x" }), "values.KEYS", "did you mean `KEY`?").await;
    check(json!({ "KEY": "" }), "values.KEY", "a text without NUL").await;
    check(json!({ "KEY": "a\u{0}b" }), "values.KEY", "a text without NUL").await;
    check(json!({ "KEY": "x".repeat(65 << 10) }), "values", "at most 64 KiB").await;
    let welcome = "/api/v1/instances/welcome/own-values";
    let body = json!({ "values": { "KEY": "x" } });
    let refused = platform.send(Some(&platform.owner), Method::PUT, welcome, Some(body)).await;
    assert!(refused.error().contains("callers of `welcome` bring nothing of their own"), "{refused:?}");

    let deploy = async |body: Value, field: &str, words: &str| {
        let refused = platform.post("/api/v1/instances", body.clone()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {refused:?}");
        let error = refused.json()["error"].clone();
        assert_eq!(error["field"], field, "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    };
    let npm = |more: Value| {
        let mut body = json!({ "server": "npm:x@1.0.0", "each_caller": ["KEY"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    deploy(npm(json!({ "server": "oci:x:1" })), "each_caller", "kept from one another").await;
    deploy(npm(json!({ "mode": "shared" })), "mode", "use `per-principal`").await;
    deploy(npm(json!({ "mode": "pool(2)" })), "mode", "callers share a process").await;
    deploy(npm(json!({ "transport": "http" })), "each_caller", "one process for all callers").await;
    deploy(npm(json!({ "each_caller": ["PATH"] })), "each_caller", "decides which code runs").await;
    deploy(npm(json!({ "secrets": { "KEY": "x" } })), "each_caller", "do the one or the other").await;
    deploy(
        npm(json!({ "server": "https://x.example/mcp", "each_caller": ["Host"] })),
        "each_caller",
        "set by Berth",
    )
    .await;
    deploy(npm(json!({ "server": "time", "each_caller": ["local_timezon"] })), "each_caller", "it takes")
        .await;
}

#[tokio::test]
async fn headers_are_one_line_and_a_required_input_may_be_each_callers() {
    let (platform, id) = deployed(json!({
        "server": "https://x.example/mcp", "each_caller": ["Authorization", "X-Team"],
    }))
    .await;
    let dtma = platform.local.dtma_token.expose().to_owned();
    let mary = principal(&platform, &platform.owner).await;
    let refused = put(&platform, &platform.owner, json!({ "X-Team": "a\r\nb" })).await;
    assert!(refused.error().contains("one line"), "{refused:?}");
    // One after the other; those that are not named stay.
    put(&platform, &platform.owner, json!({ "X-Team": "blue" })).await;
    let why = asked(&platform, &dtma, &id, &mary).await.json()["why"].to_string();
    assert!(why.contains("Authorization=@FILE") && !why.contains("X-Team="), "{why}");
    put(&platform, &platform.owner, json!({ "Authorization": "Bearer m" })).await;
    let given = asked(&platform, &dtma, &id, &mary).await.json();
    assert_eq!(given["values"], json!({ "Authorization": "Bearer m", "X-Team": "blue" }));
}

#[tokio::test]
async fn on_its_page_everybody_gives_their_own_and_sees_names_alone() {
    let (platform, id) = deployed(json!({ "each_caller": ["KEY", "CERTIFICATE"] })).await;
    let dtma = platform.local.dtma_token.expose().to_owned();
    let viewer = crate::web::person(&platform, "default", Role::Viewer).await;
    let owner = crate::web::signed_in(&platform, &platform.owner).await;
    let page = "/a/default/instances/notes/own-values";
    let mary = principal(&platform, &platform.owner).await;

    // Every tab says what is missing, and where it is given.
    let connect = text(&owner.get("/a/default/instances/notes/connect").await);
    let words = "which you have not given yet. <a href=\"/a/default/instances/notes/own-values\">";
    assert!(connect.contains(words) && connect.contains(">Your values</a>"), "{connect}");
    let other = text(&owner.get("/a/default/instances/welcome").await);
    assert!(!other.contains("Your values") && !other.contains("not given yet"), "{other}");

    let check = async |fields: &[(&str, &str)], status: StatusCode, words: &str| {
        let answer = owner.submit(page, page, fields).await;
        let said = text(&answer);
        assert_eq!(answer.status, status, "{fields:?}: {said}");
        assert!(said.contains(words), "{fields:?}: {words}: {said}");
        assert!(!said.contains("sesame"), "what was typed is not shown: {said}");
    };
    check(&[("values.KEY", "")], StatusCode::UNPROCESSABLE_ENTITY, "No value is given").await;
    check(&[("values.KEYS", "sesame")], StatusCode::UNPROCESSABLE_ENTITY, "bring no <code>KEYS</code>").await;
    check(&[("values.KEY", "sesame\0")], StatusCode::UNPROCESSABLE_ENTITY, "data-field=\"values.KEY\"").await;
    check(&[("values.KEY", "open sesame"), ("values.CERTIFICATE", "")], StatusCode::SEE_OTHER, "").await;
    let shown = text(&owner.get(page).await);
    assert!(!shown.contains("sesame"), "{shown}");
    assert_eq!(
        (shown.matches(">given<").count(), shown.matches(">not given yet<").count()),
        (1, 1),
        "{shown}"
    );
    assert_eq!(asked(&platform, &dtma, &id, &mary).await.json()["kind"], "unset", "one is missing");
    // The first one stays, and lines end as they do in files.
    check(&[("values.KEY", ""), ("values.CERTIFICATE", "one\r\ntwo\r\n")], StatusCode::SEE_OTHER, "").await;
    let given = asked(&platform, &dtma, &id, &mary).await.json()["values"].clone();
    assert_eq!(given, json!({ "KEY": "open sesame", "CERTIFICATE": "one\ntwo\n" }));
    assert!(!text(&owner.get("/a/default/instances/notes").await).contains("not given yet"));

    // A viewer may call, and so brings their own; what another gave is not theirs.
    let seen = text(&viewer.get(page).await);
    assert_eq!(seen.matches(">not given yet<").count(), 2, "{seen}");
    let given = viewer.submit(page, page, &[("values.KEY", "of-bob")]).await;
    assert_eq!((given.status, location(&given)), (StatusCode::SEE_OTHER, page));

    // Removed, and by each their own alone.
    let forget = format!("{page}/forget");
    let asks = text(&owner.get(&forget).await);
    assert!(asks.contains("CERTIFICATE, KEY") && asks.contains("Nobody else is touched"), "{asks}");
    let gone = owner.submit(&forget, &forget, &[]).await;
    assert_eq!((gone.status, location(&gone)), (StatusCode::SEE_OTHER, page));
    assert_eq!(asked(&platform, &dtma, &id, &mary).await.json()["kind"], "unset");
    assert_eq!(text(&owner.get(page).await).matches(">not given yet<").count(), 2);
    assert_eq!(text(&viewer.get(page).await).matches(">given<").count(), 1);

    let account = platform.account("default").await;
    let lines = audit_lines(&platform.store, account, 100).await.unwrap();
    let of = |action: &str| lines.iter().filter(|line| line.action == action).count();
    assert_eq!((of("own_values.set"), of("own_values.forget")), (3, 1));
    platform.stop().await;
}
