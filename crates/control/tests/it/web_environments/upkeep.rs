//! Draining, cleaning up, upgrading.

use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use super::{API, PAGE, active, admin, again, goes_to, has, lacks, roomy, shown};
use crate::browser::text;
use crate::environments::beat;
use crate::platform::{Platform, audit_lines, nobody};

#[tokio::test]
async fn a_drain_shows_its_plan_and_does_it() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    active(&platform, "workshop").await;
    let drain = format!("{PAGE}/workshop/drain");
    has(&shown(&admin, &drain).await, &["Nothing is on it. Draining would cordon it"]);
    for (name, more) in [
        ("moves", json!({})),
        ("stays", json!({ "args": ["{work}/notes.db"] })),
        ("wide", json!({ "limits": { "memory_mib": 6000 } })),
    ] {
        let mut body = json!({ "server": "npm:thing", "name": name, "environment": "workshop" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = platform.post("/api/v1/instances", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.error());
    }
    // Nobody takes any of them.
    let alone = shown(&admin, &drain).await;
    has(
        &alone,
        &["Find no place now", "`local` does not report", "Stay, because they cannot move", "{work}"],
    );
    lacks(&alone, &["Would move"]);

    active(&platform, "lab").await;
    let plan = shown(&admin, &drain).await;
    has(&plan, &["Would move, as things are now", "to <a href=\"/a/default/environments/lab\">lab</a>"]);
    has(&plan, &["has 3840 MiB free of the 6000 needed"]);
    let where_is = async |name: &str| -> String {
        let instance = platform.get(&format!("/api/v1/instances/{name}")).await.json();
        instance["environment"].as_str().unwrap().to_owned()
    };
    assert_eq!(where_is("moves").await, "workshop", "a plan moves nothing");
    assert_eq!(platform.get(&format!("{API}/workshop")).await.json()["cordoned"], false);

    goes_to(&admin.submit(&drain, &drain, &[]).await, &drain);
    for (name, place) in [("moves", "lab"), ("stays", "workshop"), ("wide", "workshop")] {
        assert_eq!(where_is(name).await, place, "{name}");
    }
    let after = shown(&admin, &drain).await;
    has(&after, &["Drain again", "Find no place now", "Stay, because they cannot move"]);
    lacks(&after, &["Would move"]);
    has(&shown(&admin, &format!("{PAGE}/workshop")).await, &["It takes no new instances", "npm:thing"]);
    platform.stop().await;
}

/// A host that has two things which nobody needs, until it is cleared of them.
async fn littered() -> (std::net::SocketAddr, Arc<Mutex<Vec<bool>>>) {
    let asked: Arc<Mutex<Vec<bool>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::clone(&asked);
    let answer = move |Json(request): Json<Value>| async move {
        let dry_run = request["dry_run"].as_bool().unwrap();
        let is_clean = heard.lock().unwrap().contains(&false);
        heard.lock().unwrap().push(dry_run);
        if is_clean {
            return Json(json!({ "dry_run": dry_run, "things": [], "bytes": 0 }));
        }
        Json(json!({
            "dry_run": dry_run, "bytes": 3 << 20, "troubles": ["the engine is <b>away</b>"],
            "things": [
                { "kind": "image", "name": "example/old:<script>1</script>", "bytes": 2 << 20 },
                { "kind": "package", "name": "sha256:abc", "bytes": 1 << 20 },
            ],
        }))
    };
    let router = Router::new().route("/v1/cleanup", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}

#[tokio::test]
async fn a_cleanup_is_shown_before_it_is_done() {
    let (address, asked) = littered().await;
    let platform = Platform::start(address).await;
    let admin = admin(&platform).await;
    let cleanup = format!("{PAGE}/local/cleanup");
    let found = shown(&admin, &cleanup).await;
    has(&found, &["What no instance needs", "2.0 MiB", "3.0 MiB in all", "sha256:abc", "Remove these"]);
    has(&found, &["example/old:&#60;script&#62;1&#60;/script&#62;", "the engine is &#60;b&#62;away"]);
    assert_eq!(*asked.lock().unwrap(), [true], "looking removes nothing");
    let done = admin.submit(PAGE, &cleanup, &[]).await;
    has(&text(&done), &["These are gone; 3.0 MiB at most came free"]);
    lacks(&text(&done), &["Remove these"]);
    assert_eq!(*asked.lock().unwrap(), [true, false]);
    let clean = shown(&admin, &cleanup).await;
    has(&clean, &["Nothing to remove"]);
    lacks(&clean, &["Remove these"]);
    let lines = audit_lines(&platform.store, platform.account("default").await, 5).await.unwrap();
    assert_eq!(lines.iter().filter(|line| line.action == "environment.cleanup").count(), 1);
    platform.stop().await;

    // A host that does not answer is told, with what to do.
    let platform = Platform::start(nobody()).await;
    let admin = super::admin(&platform).await;
    again(&admin.get(&cleanup).await, 503, &["Environment `local`", "Look again"]);
    platform.stop().await;
}

#[tokio::test]
async fn host_agents_are_upgraded_in_waves() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("berth");
    std::fs::write(&file, b"another program").unwrap();
    let platform = Platform::start_with(nobody(), |config| config.upgrade_program = Some(file.clone())).await;
    let admin = admin(&platform).await;
    let upgrades = format!("{PAGE}/upgrades");
    has(&shown(&admin, &upgrades).await, &["All are this version"]);
    for name in ["a", "b", "c"] {
        let (id, token) = super::host(&platform, name).await;
        let mut body = roomy(&id, 1);
        body["program"] = json!("0".repeat(64));
        beat(&platform, &token, body).await;
    }
    crate::environments::environment_until(&platform, "a", |shown| shown["outdated"] == true).await;
    has(&shown(&admin, PAGE).await, &["3 host agents are", &upgrades, "<span class=\"tag\">outdated</span>"]);
    has(&shown(&admin, &format!("{PAGE}/a")).await, &["Its host agent is another program", &upgrades]);
    let page = shown(&admin, &upgrades).await;
    assert_eq!(page.matches("name=\"environment\"").count(), 3);
    assert_eq!(page.matches(" checked").count(), 3, "{page}");
    has(&page, &["value=\"1,25%,100%\""]);

    for (fields, status, words) in [
        (vec![("act", "begin"), ("environment", "a"), ("waves", "0")], 422, "`0`: a wave is a number"),
        (vec![("act", "plan"), ("waves", "1")], 422, "No environment is named"),
        (
            vec![("act", "begin"), ("environment", "local"), ("waves", "1")],
            409,
            "cannot be replaced from here",
        ),
    ] {
        let answer = admin.submit(&upgrades, &upgrades, &fields).await;
        again(&answer, status, &[words, "role=\"alert\""]);
        let waves = fields.iter().find(|(name, _)| *name == "waves").unwrap().1;
        has(&text(&answer), &[&format!("value=\"{waves}\"")]);
    }
    let chosen = [("environment", "c"), ("environment", "a"), ("waves", "1, 100%")];
    let plan = admin.submit(&upgrades, &upgrades, &[&chosen[..], &[("act", "plan")]].concat()).await;
    let planned = text(&plan);
    has(&planned, &["<b>Wave 1</b><span>c</span>", "<b>Wave 2</b><span>a</span>"]);
    assert_eq!(planned.matches(" checked").count(), 2, "what is chosen stays chosen: {planned}");
    assert!(
        platform.get("/api/v1/upgrades").await.json().as_array().unwrap().is_empty(),
        "a plan begins nothing"
    );

    let begun = admin.submit(&upgrades, &upgrades, &[&chosen[..], &[("act", "begin")]].concat()).await;
    goes_to(&begun, &upgrades);
    let page = shown(&admin, &upgrades).await;
    has(
        &page,
        &[
            "0 of 2 done",
            "badge busy\">under way",
            "wave 1",
            "waits for its wave",
            "value=\"begin\" disabled",
        ],
    );
    let second = admin.submit(&upgrades, &upgrades, &[&chosen[..], &[("act", "begin")]].concat()).await;
    again(&second, 409, &["Hosts are being upgraded already"]);
    platform.stop().await;
}
