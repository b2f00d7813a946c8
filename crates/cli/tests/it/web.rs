//! Pages in a real browser: each one in light and dark and on a phone, without barriers, and nothing from elsewhere.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use testkit::browser::Browser;
use testkit::platform::Platform;

use crate::BERTH;

/// A screen of a desk and one of a phone, in CSS pixels.
const DESK: (u32, u32) = (1280, 860);
const PHONE: (u32, u32) = (360, 740);
/// Of a page with what it needs, without pictures, compressed.
const HEAVIEST: u64 = 100 << 10;

/// A page of each pattern, and what it is called as a picture; nothing for what is no page to look at.
pub(crate) const PAGES: &[(&str, &[(&str, &str)])] = &[
    ("/a/{account}", &[("/a/default", "overview")]),
    ("/a/{account}/live", &[]),
    ("/a/{account}/marketplace", &[("/a/default/marketplace", "marketplace")]),
    ("/a/{account}/marketplace/{*name}", &[("/a/default/marketplace/everything", "marketplace-entry")]),
    ("/a/{account}/deploy", &[("/a/default/deploy", "deploy-custom")]),
    ("/a/{account}/deploy/{*name}", &[("/a/default/deploy/context7", "deploy")]),
    ("/a/{account}/people", &[("/a/default/people", "people")]),
    ("/a/{account}/people/{name}/role", &[]),
    ("/a/{account}/people/{name}/remove", &[("/a/default/people/admin/remove", "people-remove")]),
    ("/a/{account}/invitations/{id}/revoke", &[]),
    ("/a/{account}/tokens", &[("/a/default/tokens", "tokens")]),
    ("/a/{account}/tokens/{id}/revoke", &[]),
    ("/a/{account}/clients", &[("/a/default/clients", "clients")]),
    ("/a/{account}/clients/{id}/remove", &[]),
    ("/a/{account}/grants/{id}/revoke", &[]),
    ("/a/{account}/rules", &[("/a/default/rules", "rules")]),
    ("/a/{account}/rules/{id}/remove", &[]),
    ("/a/{account}/secrets", &[("/a/default/secrets", "secrets")]),
    ("/a/{account}/secrets/{name}/remove", &[("/a/default/secrets/GITHUB_TOKEN/remove", "secret-remove")]),
    ("/a/{account}/audit", &[("/a/default/audit", "audit")]),
    ("/a/{account}/audit/calls", &[("/a/default/audit/calls", "audit-calls")]),
    ("/a/{account}/audit/changes.jsonl", &[]),
    ("/a/{account}/audit/calls.jsonl", &[]),
    ("/a/{account}/check", &[("/a/default/check?instance=welcome", "check")]),
    ("/a/{account}/instances", &[("/a/default/instances", "instances")]),
    ("/a/{account}/instances/{name}", &[("/a/default/instances/welcome", "instance")]),
    ("/a/{account}/instances/{name}/order", &[]),
    ("/a/{account}/instances/{name}/logs", &[("/a/default/instances/welcome/logs", "instance-logs")]),
    (
        "/a/{account}/instances/{name}/playground",
        &[
            ("/a/default/instances/welcome/playground", "playground"),
            ("/a/default/instances/welcome/playground?tool=echo", "playground-tool"),
            ("/a/default/instances/welcome/playground?tool=add&raw", "playground-json"),
        ],
    ),
    ("/a/{account}/instances/{name}/playground/calls/{call}", &[]),
    ("/a/{account}/instances/{name}/playground/calls/{call}/result", &[]),
    ("/a/{account}/instances/{name}/playground/calls/{call}/part/{part}", &[]),
    ("/a/{account}/instances/{name}/playground/calls/{call}/app", &[]),
    ("/a/{account}/instances/{name}/logs/stream", &[]),
    ("/a/{account}/instances/{name}/logs/file", &[]),
    ("/a/{account}/environments", &[("/a/default/environments", "environments")]),
    ("/a/{account}/environments/add", &[("/a/default/environments/add", "environment-add")]),
    ("/a/{account}/environments/droplet", &[("/a/default/environments/droplet", "environment-droplet")]),
    ("/a/{account}/environments/upgrades", &[("/a/default/environments/upgrades", "environments-upgrades")]),
    ("/a/{account}/environments/{name}", &[("/a/default/environments/local", "environment")]),
    ("/a/{account}/environments/{name}/cordon", &[]),
    (
        "/a/{account}/environments/{name}/change",
        &[("/a/default/environments/local/change", "environment-change")],
    ),
    (
        "/a/{account}/environments/{name}/drain",
        &[("/a/default/environments/local/drain", "environment-drain")],
    ),
    (
        "/a/{account}/environments/{name}/enrol",
        &[("/a/default/environments/local/enrol", "environment-enrol")],
    ),
    (
        "/a/{account}/environments/{name}/revoke",
        &[("/a/default/environments/local/revoke", "environment-revoke")],
    ),
    (
        "/a/{account}/environments/{name}/cleanup",
        &[("/a/default/environments/local/cleanup", "environment-cleanup")],
    ),
    (
        "/a/{account}/environments/{name}/remove",
        &[("/a/default/environments/local/remove", "environment-remove")],
    ),
    (
        "/a/{account}/instances/{name}/connect",
        &[("/a/default/instances/welcome/connect", "instance-connect")],
    ),
    (
        "/a/{account}/instances/{name}/metrics",
        &[("/a/default/instances/welcome/metrics", "instance-metrics")],
    ),
    (
        "/a/{account}/instances/{name}/configuration",
        &[("/a/default/instances/welcome/configuration", "instance-configuration")],
    ),
    ("/a/{account}/instances/{name}/events", &[("/a/default/instances/welcome/events", "instance-events")]),
    ("/a/{account}/instances/{name}/danger", &[("/a/default/instances/welcome/danger", "instance-danger")]),
    ("/a/{account}/instances/{name}/move", &[]),
    ("/a/{account}/instances/{name}/remove", &[("/a/default/instances/welcome/remove", "instance-remove")]),
];

/// Pages of no account.
const OPEN: &[(&str, &str)] = &[("/you", "you")];

/// Where the pictures go, when some are wanted (`cargo xtask screenshots`).
fn pictures() -> Option<PathBuf> {
    std::env::var_os("BERTH_SCREENSHOTS").map(PathBuf::from)
}

fn axe() -> String {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
    let parts = std::env::var_os("BERTH_PARTS").map_or(default, PathBuf::from);
    let path = parts.join("axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(path).expect("axe-core is missing: run `cargo xtask parts`")
}

/// Signs in with a one-time link, as whoever has just started Berth.
pub(crate) async fn signed_in(platform: &Platform) -> Browser {
    let browser = Browser::start().await;
    let made = platform.json(&["recover"]);
    browser.open(made["link"].as_str().expect("a link").trim_end_matches("?next=/you")).await;
    browser.press("Sign in").await;
    browser.read("Overview").await;
    browser
}

/// Something on each page; more of it where somebody looks at the pictures.
fn furnish(platform: &Platform) {
    if pictures().is_some() {
        for server in ["everything", "memory", "time"] {
            platform.ok(&["deploy", server, "--wait"]);
        }
        platform.ok(&["call", "everything", "get-sum", r#"{"a":1,"b":2}"#]);
        platform.ok(&["stop", "memory"]);
        // It cannot be installed, and says why.
        platform.run(&["deploy", "npm:@berth-example/no-such-package", "--name", "misspelt"]);
        platform.wait_for("misspelt", "error_install");
    }
    platform.ok(&["invite", "create", "--role", "viewer", "--name", "sam"]);
    platform.ok(&["token", "create", "CI", "--scope", "deploy"]);
    platform.ok(&["client", "create", "Nightly report"]);
    platform.ok(&["rule", "add", "deny", "welcome/*", "--role", "viewer"]);
    platform.ok_with(&["secret", "set", "GITHUB_TOKEN", "--stdin"], "not a real one");
    platform.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]);
}

/// What axe finds, as lines.
async fn barriers(browser: &Browser, axe: &str) -> Vec<String> {
    browser.script(axe).await;
    let found = browser
        .script_later(
            "const done = arguments[arguments.length - 1];
             axe.run(document, { resultTypes: ['violations'] }).then((all) => done(all.violations.map(
                 (of) => `${of.id}: ${of.help}: ${of.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ')}`)),
                 (error) => done([String(error)]));",
        )
        .await;
    found.as_array().into_iter().flatten().map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn every_page_is_without_barriers() {
    let known: BTreeSet<&str> = PAGES.iter().map(|(pattern, _)| *pattern).collect();
    let served: BTreeSet<&str> = control::page_paths().into_iter().collect();
    assert_eq!(served, known, "each page has a line in PAGES");

    let platform = Platform::start(BERTH);
    furnish(&platform);
    let browser = signed_in(&platform).await;
    let axe = axe();
    let mut found = Vec::new();
    for (path, name) in PAGES.iter().flat_map(|(_, pages)| *pages).chain(OPEN) {
        for (look, is_dark, size) in [("light", false, DESK), ("dark", true, DESK), ("phone", false, PHONE)] {
            browser.look(is_dark, size).await;
            browser.open(&format!("{}{path}", platform.url())).await;
            let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
            assert_eq!(browser.script(status).await, 200, "{path}");
            let wide = browser.script("return document.scrollingElement.scrollWidth > innerWidth").await;
            if wide == Value::Bool(true) {
                found.push(format!("{name} ({look}) is wider than its window"));
            }
            found.extend(
                barriers(&browser, &axe).await.into_iter().map(|line| format!("{name} ({look}): {line}")),
            );
            if let Some(dir) = pictures() {
                std::fs::create_dir_all(&dir).expect("a directory");
                std::fs::write(dir.join(format!("{name}-{look}.png")), browser.picture().await)
                    .expect("a file");
            }
        }
        let loaded = browser
            .script(
                "return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
                     .map((of) => [of.name, of.encodedBodySize])",
            )
            .await;
        let loaded: Vec<(String, u64)> = serde_json::from_value(loaded).expect("names and sizes");
        for (from, _) in &loaded {
            if !from.starts_with(platform.url()) && !from.starts_with("data:") {
                found.push(format!("{name} asks {from}"));
            }
        }
        let weight: u64 = loaded.iter().map(|(_, size)| size).sum();
        if HEAVIEST < weight {
            found.push(format!("{name} weighs {weight} bytes: {loaded:?}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
