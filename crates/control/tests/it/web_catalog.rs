//! The marketplace and the form of a deployment, without a script: searching, a card, an entry, a review, a deployment; hostile entries; who
//! may not.

use api::users::Role;
use http::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, location, text};
use crate::platform::{Platform, nobody};
use crate::web::{person, signed_in};

const MARKET: &str = "/a/default/marketplace";
const DEPLOY: &str = "/a/default/deploy";

/// What would run, or leave its place, if it were markup.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea></select></title><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% include %}",
    "<!--",
    "\u{202e}\u{0}\u{7}&lt;b&gt;",
];

async fn shown(browser: &Browser<'_>, path: &str) -> String {
    let page = browser.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", text(&page));
    text(&page)
}

#[track_caller]
fn has(page: &str, all: &[&str]) {
    for words in all {
        assert!(page.contains(words), "`{words}` is missing in\n{page}");
    }
}

#[track_caller]
fn lacks(page: &str, all: &[&str]) {
    for words in all {
        assert!(!page.contains(words), "`{words}` is in\n{page}");
    }
}

fn server(name: &str, package: &Value) -> Value {
    json!({ "name": name, "title": "Weather", "description": "Tells the weather", "version": "1.2.0", "packages": [package] })
}

/// A server with a setting, a choice and a secret.
fn weather() -> Value {
    server(
        "io.acme/weather",
        &json!({
            "registryType": "npm", "identifier": "@acme/weather", "version": "1.2.0",
            "packageArguments": [{ "type": "named", "name": "--units", "choices": ["metric", "imperial"], "default": "metric" }],
            "environmentVariables": [
                { "name": "API_KEY", "description": "Of your account", "isRequired": true, "isSecret": true },
                { "name": "CITY", "isRequired": true, "placeholder": "Oslo" },
                { "name": "DAYS", "format": "number", "default": "3" },
            ],
        }),
    )
}

async fn add(platform: &Platform, entries: &[Value]) {
    let added = platform.post("/api/v1/catalog", json!({ "entries": entries })).await;
    assert_eq!(added.json()["refused"], json!([]), "{added:?}");
}

#[tokio::test]
async fn the_marketplace_is_searched_and_filtered() {
    let platform = Platform::start(nobody()).await;
    let bundle = json!({ "registryType": "mcpb", "identifier": "x" });
    add(&platform, &[weather(), server("io.acme/bundle", &bundle)]).await;
    let viewer = person(&platform, "default", Role::Viewer).await;
    let owner = signed_in(&platform, &platform.owner).await;

    let page = shown(&owner, MARKET).await;
    has(
        &page,
        &[
            "data-search=\"found\"",
            "Filesystem",
            "io.acme/weather",
            "href=\"/a/default/deploy/io.acme/weather\"",
            "1 secret",
        ],
    );
    lacks(&page, &["io.acme/bundle", "style=", "onclick", "http-equiv"]);
    // Nothing is loaded from elsewhere.
    lacks(&page, &["<img", "src=\"http", "url(http"]);
    for (query, found, missing) in [
        ("q=weather", "io.acme/weather", "Filesystem"),
        ("q=WEATHER+tells", "io.acme/weather", "Filesystem"),
        ("q=filesystem&verified=1", "Filesystem", "io.acme/weather"),
        ("verified=1", "Filesystem", "io.acme/weather"),
        ("offline=1", "Filesystem", "io.acme/weather"),
        ("secrets=yes", "io.acme/weather", "Filesystem"),
        ("secrets=no", "Filesystem", "io.acme/weather"),
        ("package=npm&category=&sort=name&kind=mcp&transport=stdio", "io.acme/weather", "pypi"),
        ("kind=tool", "PostgreSQL", "io.acme/weather"),
        ("all=1&q=bundle", "io.acme/bundle", "io.acme/weather"),
        ("package=nonsense&sort=nonsense&q=weather&page=x", "io.acme/weather", "Filesystem"),
    ] {
        let page = shown(&owner, &format!("{MARKET}?{query}")).await;
        let (_, list) = page.split_once("id=\"found\"").unwrap();
        assert!(list.contains(found), "{query}: {list}");
        assert!(missing == "pypi" || !list.contains(missing), "{query}: {list}");
    }
    has(&shown(&owner, &format!("{MARKET}?q=xyzzy")).await, &["Nothing fits", "href=\"/a/default/deploy\""]);

    let entry = shown(&owner, &format!("{MARKET}/io.acme/weather")).await;
    has(
        &entry,
        &[
            "npm:@acme/weather@1.2.0 --units {units}",
            "API_KEY={API_KEY}",
            "Of your account",
            "required",
            "1.2.0",
            ">Deploy<",
        ],
    );
    has(
        &shown(&owner, &format!("{MARKET}/io.acme/bundle")).await,
        &["It cannot be deployed: it is an MCPB bundle"],
    );
    assert_eq!(owner.get(&format!("{MARKET}/io.acme/nothing")).await.status, StatusCode::NOT_FOUND);

    // Who may not deploy sees no way to.
    let page = shown(&viewer, MARKET).await;
    has(&page, &["io.acme/weather"]);
    lacks(&page, &["/a/default/deploy"]);
    lacks(&shown(&viewer, &format!("{MARKET}/io.acme/weather")).await, &["/a/default/deploy"]);
    for path in [DEPLOY, "/a/default/deploy/io.acme/weather"] {
        assert_eq!(viewer.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        let posted = viewer.submit("/you", path, &[("do", "deploy"), ("what", "x"), ("kind", "npm")]).await;
        assert_eq!(posted.status, StatusCode::FORBIDDEN, "{path}");
    }
    platform.stop().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one form, step by step")]
async fn a_card_is_deployed_after_a_review() {
    let platform = Platform::start(nobody()).await;
    add(&platform, &[weather()]).await;
    let owner = signed_in(&platform, &platform.owner).await;
    let path = "/a/default/deploy/io.acme/weather";
    let page = shown(&owner, path).await;
    // It knows what it is, so it never asks.
    lacks(&page, &["name=\"kind\"", "name=\"what\"", "name=\"transport\"", "name=\"path\""]);
    has(
        &page,
        &[
            "Deploy Weather",
            "name=\"secret.API_KEY\"",
            "type=\"password\"",
            "placeholder=\"Oslo\"",
            "<option value=\"metric\" selected>",
            "type=\"number\" step=\"any\" name=\"set.DAYS\" value=\"3\"",
            "<option value=\"local\" selected>",
            "/a/default/environments/droplet",
        ],
    );
    lacks(&page, &["id=\"review\""]);

    // What is wrong is said where it is, and what was typed stays; a secret stays too, and is not in the page.
    let typed = [
        ("name", "Not A Name"),
        ("set.CITY", "Berg\"en"),
        ("set.units", "imperial"),
        ("secret.API_KEY", "hunter2"),
        ("memory_mib", "64"),
    ];
    let wrong = owner.submit(path, path, &[&typed[..], &[("do", "review")]].concat()).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = text(&wrong);
    has(
        &page,
        &[
            "value=\"Not A Name\"",
            "aria-invalid=\"true\"",
            "id=\"wrong\"",
            "value=\"Berg&#34;en\"",
            "value=\"64\"",
            "as typed before",
            "<option value=\"imperial\" selected>",
        ],
    );
    lacks(&page, &["hunter2", "id=\"review\""]);
    let field = |page: &str, name: &str| -> String {
        let (_, after) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        after.split('"').next().unwrap().to_owned()
    };
    let (kept, csrf) = (field(&page, "kept"), field(&page, "csrf"));
    assert!(!kept.is_empty());

    let right = [
        ("csrf", csrf.as_str()),
        ("kept", &kept),
        ("name", "weather"),
        ("set.CITY", "Bergen"),
        ("set.units", "imperial"),
        ("environment", "local"),
    ];
    let reviewed = owner.post(path, &[&right[..], &[("do", "review")]].concat()).await;
    assert_eq!(reviewed.status, StatusCode::OK);
    let page = text(&reviewed);
    has(
        &page,
        &[
            "npm:@acme/weather@1.2.0 --units imperial",
            "CITY=Bergen",
            "API_KEY=(a secret)",
            "/mcp/default/weather",
            "Nothing has been changed yet",
        ],
    );
    lacks(&page, &["hunter2"]);
    let list = platform.get("/api/v1/instances").await.json();
    assert!(
        list.as_array().unwrap().iter().all(|instance| instance["name"] != "weather"),
        "a review writes nothing"
    );

    // Something else than what was seen is shown once more.
    let reviewed = field(&page, "reviewed");
    let other = [&right[..], &[("do", "deploy"), ("reviewed", &reviewed), ("args", "--evil")]].concat();
    let other = owner.post(path, &other).await;
    has(&text(&other), &["not what you saw before", "--evil"]);
    let unseen = owner.post(path, &[&right[..], &[("do", "deploy")]].concat()).await;
    has(&text(&unseen), &["not what you saw before"]);
    let deployed =
        owner.post(path, &[&right[..], &[("do", "deploy"), ("reviewed", &reviewed)]].concat()).await;
    assert_eq!(
        (deployed.status, location(&deployed)),
        (StatusCode::SEE_OTHER, "/a/default/instances/weather?deployed"),
        "{}",
        text(&deployed)
    );
    let made = platform.get("/api/v1/instances/weather").await.json();
    assert_eq!(
        (&made["package"], &made["secret_names"], &made["settings"]["CITY"]),
        (&json!("npm:@acme/weather@1.2.0"), &json!(["API_KEY"]), &json!("Bergen"))
    );

    // The name is taken now; a secret of the account may be what was typed before; one that somebody else typed is nobody's.
    platform
        .send(
            Some(&platform.owner),
            http::Method::PUT,
            "/api/v1/secrets/WEATHER",
            Some(json!({ "value": "v" })),
        )
        .await;
    let again = [&right[..], &[("do", "deploy"), ("reviewed", &reviewed)]].concat();
    let again = owner.post(path, &again).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    has(&text(&again), &["exists already", "aria-invalid=\"true\""]);
    let vault = [
        ("csrf", csrf.as_str()),
        ("kept", ""),
        ("set.CITY", "x"),
        ("vault.API_KEY", "WEATHER"),
        ("do", "review"),
    ];
    has(&text(&owner.post(path, &vault).await), &["API_KEY=(the secret WEATHER)"]);
    let member = person(&platform, "default", Role::Member).await;
    let stolen = member.submit(path, path, &[("kept", &kept), ("set.CITY", "x"), ("do", "review")]).await;
    assert_eq!(stolen.status, StatusCode::UNPROCESSABLE_ENTITY);
    has(&text(&stolen), &["API_KEY"]);
    platform.stop().await;
}

#[tokio::test]
async fn anything_else_is_deployed_by_its_name() {
    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;
    let page = shown(&owner, DEPLOY).await;
    has(&page, &["name=\"kind\"", "name=\"what\"", "name=\"transport\"", "name=\"key\""]);
    has(
        &shown(&owner, &format!("{DEPLOY}?server=oci:ghcr.io/a/b:1")).await,
        &["value=\"oci:ghcr.io/a/b:1\"", "<option value=\"oci\" selected>"],
    );

    let fields = [
        ("kind", "npm"),
        ("what", "@acme/thing@1.0.0"),
        ("settings", "A=1\r\nB=two words"),
        ("key", "KEY"),
        ("value", "hunter2"),
        ("vault", ""),
        ("key", ""),
        ("value", ""),
        ("vault", ""),
        ("args", "--flag\r\na b"),
        ("egress", "none"),
        ("mode", "pool"),
        ("pool", "2"),
        ("memory_mib", "128"),
        ("sleep_after_seconds", "900"),
    ];
    let more = owner.submit(DEPLOY, DEPLOY, &[&fields[..], &[("do", "rows")]].concat()).await;
    let more = text(&more);
    has(
        &more,
        &["value=\"@acme/thing@1.0.0\"", "B=two words", "id=\"key-5\"", "<option value=\"900\" selected>"],
    );
    lacks(&more, &["hunter2"]);
    let reviewed = text(&owner.submit(DEPLOY, DEPLOY, &[&fields[..], &[("do", "review")]].concat()).await);
    has(
        &reviewed,
        &[
            "npm:@acme/thing@1.0.0 --flag &#39;a b&#39;",
            "A=1",
            "B=two words",
            "KEY=(a secret)",
            "pool(2)",
            "after 15 min without use",
            "128 MiB",
        ],
    );
    let (_, digest) = reviewed.split_once("name=\"reviewed\" value=\"").unwrap();
    let digest = digest.split('"').next().unwrap();
    let deployed = owner
        .submit(DEPLOY, DEPLOY, &[&fields[..], &[("do", "deploy"), ("reviewed", digest)]].concat())
        .await;
    assert_eq!(location(&deployed), "/a/default/instances/thing?deployed", "{}", text(&deployed));
    let configuration = shown(&owner, "/a/default/instances/thing/configuration").await;
    has(&configuration, &["Sleeps", "after 15 min without use"]);

    for (fields, status, words) in [
        (&[("kind", "npm"), ("what", "")][..], 422, "Say what is to run"),
        (&[("kind", "npm"), ("what", "UPPER")], 422, "is not an npm package name"),
        (&[("kind", "remote"), ("what", "https://a:b@x")], 422, "without user"),
        (&[("kind", "npm"), ("what", "x"), ("settings", "nothing")], 422, "is no setting"),
        (&[("kind", "npm"), ("what", "x"), ("memory_mib", "1")], 422, "At least 16"),
        (&[("kind", "npm"), ("what", "x"), ("egress", "list"), ("hosts", "a b")], 422, "id=\"network\" open"),
        (
            &[("kind", "npm"), ("what", "x"), ("environment", "nowhere"), ("do", "deploy")],
            200,
            "not what you saw before",
        ),
    ] {
        let fields = [fields, &[("do", "review")]].concat();
        let answer = owner.submit(DEPLOY, DEPLOY, &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?}: {}", text(&answer));
        has(&text(&answer), &[words]);
    }
    // Which addresses may be reached is an admin's to say.
    let member = person(&platform, "default", Role::Member).await;
    has(&shown(&member, DEPLOY).await, &["only admins deploy that"]);
    let elsewhere = member
        .submit(
            DEPLOY,
            DEPLOY,
            &[("kind", "remote"), ("what", "https://mcp.example.com/mcp"), ("do", "review")],
        )
        .await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN);
    platform.stop().await;
}

/// The tags of a page with the names of their attributes, which texts must not change.
fn tags(page: &str) -> Vec<String> {
    let mut found = vec![];
    for part in page.split('<').skip(1) {
        let tag: String =
            part.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '!' | '-')).collect();
        found.push(tag);
    }
    found
}

#[tokio::test]
async fn what_publishers_say_is_text() {
    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;
    let hostile = |at: usize, words: &str| {
        json!({
            "name": format!("io.acme/hostile-{at}"), "title": words, "description": words, "version": format!("1.0.{at}"),
            "websiteUrl": words, "repository": { "url": words }, "icons": [{ "src": words }],
            "packages": [{
                "registryType": "npm", "identifier": "x", "version": "1.0.0",
                "packageArguments": [{ "type": "positional", "value": words }],
                "environmentVariables": [
                    { "name": "PLAIN", "description": words, "default": words, "placeholder": words },
                    { "name": "CHOICE", "description": words, "choices": [words, "b"] },
                    { "name": "KEY", "description": words, "isSecret": true, "placeholder": words },
                ],
            }],
        })
    };
    let entries: Vec<Value> = std::iter::once("plain")
        .chain(HOSTILE.iter().copied())
        .enumerate()
        .map(|(at, words)| hostile(at, words))
        .collect();
    add(&platform, &entries).await;
    let mut plain = vec![];
    for at in 0..entries.len() {
        for (i, path) in [
            format!("{MARKET}?q=hostile-{at}"),
            format!("{MARKET}/io.acme/hostile-{at}"),
            format!("{DEPLOY}/io.acme/hostile-{at}"),
        ]
        .iter()
        .enumerate()
        {
            let page = shown(&owner, path).await;
            lacks(
                &page,
                &[
                    "<script>alert",
                    "<img",
                    "<svg/",
                    " onerror=alert(1)>",
                    "' onmouseover='",
                    "<!--",
                    "href=\"javascript:",
                    "\u{0}",
                ],
            );
            assert!(!page.contains("49{"), "nothing is computed");
            if at == 0 {
                plain.push(tags(&page));
            } else {
                assert_eq!(tags(&page), plain[i], "{path}");
            }
        }
        // What was typed comes back as text, too.
        let words = if at == 0 { "plain" } else { HOSTILE[at - 1] };
        let path = format!("{DEPLOY}/io.acme/hostile-{at}");
        let typed = [
            ("name", words),
            ("set.PLAIN", words),
            ("args", words),
            ("hosts", words),
            ("version", words),
            ("do", "review"),
        ];
        let page = text(&owner.submit(&path, &path, &typed).await);
        lacks(&page, &["<script>alert", "<img", "<svg/", " onerror=alert(1)>", "' onmouseover='", "<!--"]);
    }
    let hostile =
        shown(&owner, &format!("{MARKET}?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&category=%22%3E%3Cimg"))
            .await;
    lacks(&hostile, &["<script>alert", "<img"]);
    platform.stop().await;
}
