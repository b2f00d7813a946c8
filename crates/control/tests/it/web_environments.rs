//! The pages of the machines: who sees and does what, and each act from its form to its effect.

mod droplets;
mod hostile;
mod hosts;
mod upkeep;

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, csrf, location, text};
use crate::dtma::heartbeat;
use crate::environments::beat;
use crate::platform::{Answer, Platform, nobody};
use crate::web::{person, signed_in};

const PAGE: &str = "/a/default/environments";
const API: &str = "/api/v1/environments";

/// A browser of the owner.
async fn admin(platform: &Platform) -> Browser<'_> {
    signed_in(platform, &platform.owner).await
}

/// Adds a host that opens a tunnel; its id and its token.
async fn host(platform: &Platform, name: &str) -> (String, String) {
    let added = platform.post(API, json!({ "name": name, "kind": "host" })).await.json();
    let token = platform.post(&format!("{API}/{name}/token"), json!({})).await.json();
    (added["id"].as_str().unwrap().to_owned(), token["token"].as_str().unwrap().to_owned())
}

/// The same that reports, with 4 GiB free.
async fn active(platform: &Platform, name: &str) -> (String, String) {
    let (id, token) = host(platform, name).await;
    beat(platform, &token, roomy(&id, 1)).await;
    (id, token)
}

fn roomy(id: &str, sequence: u64) -> Value {
    let mut body = heartbeat(id, sequence, &json!([]));
    body["system"]["memory"] = json!({
        "total_bytes": 8_u64 << 30, "active_bytes": 0, "free_bytes": 4_u64 << 30, "used_bytes": 4_u64 << 30,
    });
    body
}

async fn shown(browser: &Browser<'_>, path: &str) -> String {
    let page = browser.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", text(&page));
    text(&page)
}

/// A page must have all of these words; what stands between backticks is code in it.
fn has(page: &str, words: &[&str]) {
    let read = page.replace("<code>", "`").replace("</code>", "`");
    for words in words {
        assert!(page.contains(words) || read.contains(words), "no `{words}` in {page}");
    }
}

/// A page must have none of them.
fn lacks(page: &str, words: &[&str]) {
    for words in words {
        assert!(!page.contains(words), "`{words}` in {page}");
    }
}

fn goes_to(answer: &Answer, path: &str) {
    assert_eq!((answer.status, location(answer)), (StatusCode::SEE_OTHER, path), "{}", text(answer));
}

/// A form that is shown again, with these words.
fn again(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status.as_u16(), status, "{}", text(answer));
    has(&text(answer), words);
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Everybody reads it, admins act on it.
    All,
    /// Admins read it.
    Admins,
    /// It is no page, only a form's target.
    NoPage,
}

/// What each pattern is for, and whether it takes a form.
const PATTERNS: &[(&str, For, bool)] = &[
    ("/a/{account}/environments", For::All, false),
    ("/a/{account}/environments/add", For::Admins, true),
    ("/a/{account}/environments/droplet", For::Admins, true),
    ("/a/{account}/environments/upgrades", For::All, true),
    ("/a/{account}/environments/{name}", For::All, false),
    ("/a/{account}/environments/{name}/cordon", For::NoPage, true),
    ("/a/{account}/environments/{name}/change", For::Admins, true),
    ("/a/{account}/environments/{name}/drain", For::Admins, true),
    ("/a/{account}/environments/{name}/enrol", For::Admins, true),
    ("/a/{account}/environments/{name}/revoke", For::Admins, true),
    ("/a/{account}/environments/{name}/cleanup", For::Admins, true),
    ("/a/{account}/environments/{name}/remove", For::Admins, true),
    ("/a/{account}/environments/{name}/checks", For::All, false),
    ("/a/{account}/environments/{name}/logs", For::All, false),
    ("/a/{account}/environments/{name}/logs/stream", For::All, false),
    ("/a/{account}/environments/{name}/logs/file", For::All, false),
];

fn fields(csrf: &str) -> Vec<(&str, &str)> {
    vec![
        ("csrf", csrf),
        ("name", "taken-over"),
        ("reached", "tunnel"),
        ("cordoned", "yes"),
        ("confirm", "workshop"),
        ("environment", "workshop"),
        ("region", "fra1"),
        ("size", "s-1vcpu-1gb"),
    ]
}

#[tokio::test]
async fn pages_are_for_those_who_may() {
    let served: Vec<&str> =
        control::page_paths().into_iter().filter(|path| path.contains("/environments")).collect();
    let known: Vec<&str> = PATTERNS.iter().map(|(pattern, ..)| *pattern).collect();
    for path in &served {
        assert!(known.contains(path), "{path} has no line in PATTERNS");
    }
    assert_eq!(served.len(), known.len());

    let platform = Platform::start(nobody()).await;
    active(&platform, "workshop").await;
    let anybody = Browser::new(&platform);
    let stranger = person(&platform, "other", Role::Owner).await;
    let viewer = person(&platform, "default", Role::Viewer).await;
    let member = person(&platform, "default", Role::Member).await;
    let admin = person(&platform, "default", Role::Admin).await;
    let facts = async || {
        let workshop = platform.get(&format!("{API}/workshop")).await.json();
        ["id", "name", "cordoned", "labels", "instances"].map(|fact| workshop[fact].clone())
    };
    let before = facts().await;
    let of_stranger = csrf(&stranger.get("/a/other/environments").await);

    for (pattern, whose, takes) in PATTERNS {
        let path = pattern.replace("{account}", "default").replace("{name}", "workshop");
        if *whose != For::NoPage {
            let turned = anybody.get(&path).await;
            goes_to(&turned, &format!("/sign-in?next={path}"));
            assert_eq!(stranger.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
            // Nobody is there who could say what can be cleaned up, or has lines to give.
            let needs_host = ["/cleanup", "/stream", "/file"].iter().any(|end| path.ends_with(end));
            let expected = if needs_host { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            let for_others = if *whose == For::All { expected } else { StatusCode::FORBIDDEN };
            for (who, browser) in [("viewer", &viewer), ("member", &member)] {
                let page = browser.get(&path).await;
                assert_eq!(page.status, for_others, "{who} {path}: {}", text(&page));
                let text = text(&page);
                let shell = text.split("<main").nth(1).unwrap_or_default();
                lacks(shell, &["method=\"post\"", "/drain", "/remove", "/add\"", "/droplet\""]);
            }
            let status = admin.get(&path).await.status;
            assert_eq!(status, expected, "{path}");
        }
        if *takes {
            goes_to(&anybody.post(&path, &fields("x")).await, "/sign-in");
            let theirs = stranger.post(&path, &fields(&of_stranger)).await;
            assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{path}: {}", text(&theirs));
            for (who, browser) in [("viewer", &viewer), ("member", &member)] {
                let csrf = csrf(&browser.get(PAGE).await);
                let refused = browser.post(&path, &fields(&csrf)).await;
                assert_eq!(refused.status, StatusCode::FORBIDDEN, "{who} {path}: {}", text(&refused));
            }
            let forged = admin.post(&path, &fields("another-text")).await;
            assert_eq!(forged.status, StatusCode::FORBIDDEN, "{path}: {}", text(&forged));
            lacks(&text(&forged), &["berth_enrol_"]);
        }
    }
    assert_eq!(facts().await, before, "nothing was changed");
    let all = platform.get(API).await.json();
    assert_eq!(all.as_array().unwrap().len(), 2, "and nothing made: {all}");
    platform.stop().await;
}

#[tokio::test]
async fn the_list_teaches_and_tells() {
    let platform = Platform::start(nobody()).await;
    let mine = person(&platform, "mine", Role::Owner).await;
    let guest = person(&platform, "mine", Role::Viewer).await;
    let empty = shown(&mine, "/a/mine/environments").await;
    has(
        &empty,
        &[
            "No machine yet",
            "href=\"/a/mine/environments/add\"",
            "New droplet",
            "id=\"environments\" data-live",
        ],
    );
    lacks(&empty, &["local"]);
    let empty = shown(&guest, "/a/mine/environments").await;
    has(&empty, &["An admin of this account can add one"]);

    active(&platform, "workshop").await;
    host(&platform, "awaited").await;
    let patch = json!({ "cordoned": true, "labels": { "gpu": "yes" } });
    platform.send(Some(&platform.owner), Method::PATCH, &format!("{API}/workshop"), Some(patch)).await;
    let admin = admin(&platform).await;
    let list = shown(&admin, PAGE).await;
    has(
        &list,
        &[
            "href=\"/a/default/environments/workshop\"",
            "<span class=\"tag\">cordoned</span>",
            "<span class=\"tag\">gpu=yes</span>",
            "4.0 GiB of 8.0 GiB",
            "aria-label=\"Memory: 50 %\"",
            "DTMA 0.1.0",
            "waiting for its DTMA",
            "no heartbeat yet: run on its host",
        ],
    );
    platform.stop().await;
}
