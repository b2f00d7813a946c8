//! Pages in a real browser: each one in light and dark and on a phone, without barriers, and nothing from elsewhere.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use testkit::browser::Browser;
use testkit::platform::Platform;

use crate::BERTH;
use crate::conformance::fixture;

/// A screen of a desk and one of a phone, in CSS pixels.
const DESK: (u32, u32) = (1280, 860);
const PHONE: (u32, u32) = (360, 740);
/// A picture is no higher, in CSS pixels.
const TALLEST: f64 = 2600.0;
/// Of a page with what it needs, without pictures, compressed.
const HEAVIEST: u64 = 100 << 10;

/// A page of each pattern, and what it is called as a picture; nothing for what is no page to look at.
pub(crate) const PAGES: &[(&str, &[(&str, &str)])] = &[
    ("/a/{account}", &[("/a/default", "overview")]),
    ("/a/{account}/live", &[]),
    ("/a/{account}/marketplace", &[("/a/default/marketplace", "marketplace")]),
    ("/a/{account}/marketplace/{*name}", &[("/a/default/marketplace/everything", "marketplace-entry")]),
    ("/a/{account}/deploy", &[("/a/default/deploy", "deploy-custom")]),
    (
        "/a/{account}/deploy/{*name}",
        &[("/a/default/deploy/context7", "deploy"), ("/a/default/deploy/everything", "deploy-review")],
    ),
    ("/a/{account}/toolbelts", &[("/a/default/toolbelts", "toolbelts")]),
    ("/a/{account}/toolbelts/{name}", &[("/a/default/toolbelts/kit", "toolbelt")]),
    ("/a/{account}/toolbelts/{name}/members", &[]),
    (
        "/a/{account}/toolbelts/{name}/members/{instance}",
        &[("/a/default/toolbelts/kit/members/welcome", "toolbelt-member")],
    ),
    ("/a/{account}/toolbelts/{name}/members/{instance}/show", &[]),
    (
        "/a/{account}/toolbelts/{name}/members/{instance}/remove",
        &[("/a/default/toolbelts/kit/members/welcome/remove", "toolbelt-member-remove")],
    ),
    (
        "/a/{account}/toolbelts/{name}/feature",
        &[("/a/default/toolbelts/kit/feature?kind=tool&name=echo", "toolbelt-feature")],
    ),
    ("/a/{account}/toolbelts/{name}/changes", &[("/a/default/toolbelts/kit/changes", "toolbelt-changes")]),
    ("/a/{account}/toolbelts/{name}/connect", &[("/a/default/toolbelts/kit/connect", "toolbelt-connect")]),
    ("/a/{account}/toolbelts/{name}/settings", &[("/a/default/toolbelts/kit/settings", "toolbelt-settings")]),
    ("/a/{account}/toolbelts/{name}/remove", &[("/a/default/toolbelts/kit/remove", "toolbelt-remove")]),
    ("/a/{account}/agents", &[("/a/default/agents", "agents")]),
    ("/a/{account}/agents/{name}", &[("/a/default/agents/helper", "agent")]),
    ("/a/{account}/agents/{name}/machines", &[]),
    (
        "/a/{account}/agents/{name}/machines/{environment}/revoke",
        &[("/a/default/agents/helper/machines/local/revoke", "agent-machine-revoke")],
    ),
    (
        "/a/{account}/agents/{name}/members/{instance}",
        &[("/a/default/agents/helper/members/welcome", "agent-member")],
    ),
    ("/a/{account}/agents/{name}/members/{instance}/access", &[]),
    ("/a/{account}/agents/{name}/members/{instance}/permissions", &[]),
    ("/a/{account}/agents/{name}/members/{instance}/credentials", &[]),
    ("/a/{account}/agents/{name}/credentials/{id}/remove", &[]),
    ("/a/{account}/agents/{name}/tokens", &[("/a/default/agents/helper/tokens", "agent-tokens")]),
    ("/a/{account}/agents/{name}/tokens/{id}/revoke", &[]),
    ("/a/{account}/agents/{name}/settings", &[("/a/default/agents/helper/settings", "agent-settings")]),
    ("/a/{account}/agents/{name}/remove", &[("/a/default/agents/helper/remove", "agent-remove")]),
    ("/a/{account}/people", &[("/a/default/people", "people")]),
    ("/a/{account}/people/{name}/role", &[]),
    ("/a/{account}/people/{name}/remove", &[("/a/default/people/admin/remove", "people-remove")]),
    ("/a/{account}/invitations/{id}/revoke", &[]),
    ("/a/{account}/tokens", &[("/a/default/tokens", "tokens"), ("/a/default/tokens", "token-made")]),
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
    (
        "/a/{account}/check",
        &[
            ("/a/default/check?instance=welcome", "check"),
            ("/a/default/check?instance=welcome", "check-result"),
        ],
    ),
    ("/a/{account}/instances", &[("/a/default/instances", "instances")]),
    (
        "/a/{account}/instances/{name}",
        &[("/a/default/instances/welcome", "instance"), ("/a/default/instances/notes", "instance-owing")],
    ),
    (
        "/a/{account}/instances/{name}/own-values",
        &[("/a/default/instances/notes/own-values", "instance-own-values")],
    ),
    (
        "/a/{account}/instances/{name}/own-values/forget",
        &[("/a/default/instances/notes/own-values/forget", "own-values-forget")],
    ),
    ("/a/{account}/instances/{name}/order", &[]),
    ("/a/{account}/instances/{name}/logs", &[("/a/default/instances/welcome/logs", "instance-logs")]),
    (
        "/a/{account}/instances/{name}/playground",
        &[
            ("/a/default/instances/welcome/playground", "playground"),
            ("/a/default/instances/welcome/playground?tool=echo", "playground-tool"),
            ("/a/default/instances/welcome/playground?tool=add&raw", "playground-json"),
            ("/a/default/instances/tools/playground?tool=test_multiple_content_types", "playground-result"),
            ("/a/default/instances/tools/playground?tool=test_error_handling", "playground-error"),
            ("/a/default/instances/tools/playground?tool=test_tool_with_progress", "playground-progress"),
            (
                "/a/default/instances/tools/playground?tool=test_elicitation_sep1034_defaults",
                "playground-asks",
            ),
            ("/a/default/instances/tools/playground?tool=test_sampling", "playground-model"),
            ("/a/default/instances/tools/playground?tool=show", "playground-app"),
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
    (
        "/a/{account}/environments/{name}",
        &[
            ("/a/default/environments/local", "environment"),
            ("/a/default/environments/workshop", "environment-new"),
        ],
    ),
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
        &[
            ("/a/default/environments/workshop/enrol", "environment-enrol"),
            ("/a/default/environments/workshop/enrol", "environment-line"),
        ],
    ),
    (
        "/a/{account}/environments/{name}/revoke",
        &[("/a/default/environments/workshop/revoke", "environment-revoke")],
    ),
    (
        "/a/{account}/environments/{name}/cleanup",
        &[("/a/default/environments/local/cleanup", "environment-cleanup")],
    ),
    (
        "/a/{account}/environments/{name}/checks",
        &[("/a/default/environments/local/checks", "environment-checks")],
    ),
    ("/a/{account}/environments/{name}/logs", &[("/a/default/environments/local/logs", "environment-logs")]),
    ("/a/{account}/environments/{name}/logs/stream", &[]),
    ("/a/{account}/environments/{name}/logs/file", &[]),
    (
        "/a/{account}/environments/{name}/remove",
        &[("/a/default/environments/workshop/remove", "environment-remove")],
    ),
    (
        "/a/{account}/instances/{name}/connect",
        &[
            ("/a/default/instances/welcome/connect", "instance-connect"),
            ("/a/default/instances/welcome/connect?client=cursor", "connect-token"),
        ],
    ),
    (
        "/a/{account}/instances/{name}/metrics",
        &[("/a/default/instances/welcome/metrics", "instance-metrics")],
    ),
    (
        "/a/{account}/instances/{name}/configuration",
        &[("/a/default/instances/welcome/configuration", "instance-configuration")],
    ),
    (
        "/a/{account}/instances/{name}/changes",
        &[
            ("/a/default/instances/tools/changes", "instance-changes"),
            ("/a/default/instances/tools-next/changes", "instance-candidate"),
        ],
    ),
    ("/a/{account}/instances/{name}/changes/{number}", &[]),
    ("/a/{account}/instances/{name}/events", &[("/a/default/instances/welcome/events", "instance-events")]),
    ("/a/{account}/instances/{name}/danger", &[("/a/default/instances/welcome/danger", "instance-danger")]),
    ("/a/{account}/instances/{name}/move", &[]),
    ("/a/{account}/instances/{name}/remove", &[("/a/default/instances/welcome/remove", "instance-remove")]),
];

/// What is done on a page before it is looked at, by the name of its picture: fields by their labels, a button, and the words that come.
type Act = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const ACTS: &[Act] = &[
    ("playground-result", &[], "Call the tool", "Result"),
    ("playground-error", &[], "Call the tool", "The tool says that it failed"),
    ("playground-progress", &[], "Call the tool", "What it said meanwhile"),
    ("playground-asks", &[], "Call the tool", "The server asks"),
    ("playground-model", &[("prompt", "The capital of France?")], "Call the tool", "Here you are the model"),
    ("playground-app", &[("word", "ahoy")], "Call the tool", "Result"),
    ("check-result", &[], "Check", "The way to"),
    ("deploy-review", &[], "Review", "This will run"),
    ("connect-token", &[], "Make a token", "shown this once"),
    ("token-made", &[("What uses it", "A report")], "Make the token", "shown this once"),
    ("environment-line", &[], "Make the line", "shown this once"),
];

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
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "tools", "--wait"]);
    platform.ok(&["configure", "tools", "--set", "COLOR=blue", "--review", "--wait"]);
    platform.ok(&["deploy", &server, "--name", "notes", "--each-caller", "NAME", "--each-caller", "KEY"]);
    platform.ok_with(&["secret", "own", "notes", "NAME=@-"], "mine");
    platform.ok(&["env", "add", "host", "--name", "workshop"]);
    platform.ok(&["invite", "create", "--role", "viewer", "--name", "sam"]);
    platform.ok(&["token", "create", "CI", "--scope", "deploy"]);
    platform.ok(&["client", "create", "Nightly report"]);
    platform.ok(&["rule", "add", "deny", "welcome/*", "--role", "viewer"]);
    platform.ok_with(&["secret", "set", "GITHUB_TOKEN", "--stdin"], "not a real one");
    platform.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]);
    platform.ok(&["toolbelt", "create", "kit", "welcome", "--description", "What everybody here uses"]);
    platform.ok(&["agent", "create", "helper", "--description", "Answers letters"]);
    platform.ok(&["agent", "grant", "helper", "--environment", "local"]);
    platform.ok(&["toolbelt", "add", "helper", "welcome"]);
    platform.ok(&["agent", "grant", "helper", "--server", "welcome", "--expires", "8h"]);
    platform.ok(&["agent", "grant", "helper", "--tool", "welcome/echo", "--deny"]);
    platform.ok(&["agent", "token", "create", "helper", "ci"]);
    platform.ok_with(&["agent", "credential", "add", "helper", "welcome", "API_KEY=@-"], "not a real one");
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

/// Paths, and what they are called as pictures.
type Paths = Vec<(String, &'static str)>;

/// Pages of no account: those of somebody who is signed in, and those of nobody yet.
fn open_pages(platform: &Platform) -> (Paths, Paths) {
    let back = "http://127.0.0.1/callback";
    let client = platform.json(&["client", "create", "Desk", "--redirect-uri", back, "--public"]);
    let client = client["id"].as_str().expect("its id");
    let consent = format!(
        "/oauth/authorize?response_type=code&client_id={client}&redirect_uri={back}&state=x&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&resource={}",
        platform.mcp_url("welcome")
    );
    let path = |link: &str| link.trim().trim_start_matches(platform.url()).to_owned();
    let invited = platform.ok(&["invite", "create", "--role", "member"]);
    let recovered = platform.json(&["recover"]);
    let link = path(recovered["link"].as_str().expect("a link"));
    let signed_in = vec![("/you".to_owned(), "you"), (consent, "consent"), ("/device".to_owned(), "device")];
    let nobody =
        vec![("/sign-in".to_owned(), "sign-in"), (link, "sign-in-link"), (path(&invited), "invitation")];
    (signed_in, nobody)
}

/// How pages are looked at: its name, whether it is dark, and how large the window is.
type Look = (&'static str, bool, (u32, u32));

/// Looks at a page; what is wrong with it.
async fn looked_at(
    (browser, platform, axe): (&Browser, &Platform, &str),
    (look, is_dark, size): Look,
    path: &str,
    name: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    browser.look(is_dark, size).await;
    browser.open(&format!("{}{path}", platform.url())).await;
    let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
    assert_eq!(browser.script(status).await, 200, "{path}");
    if let Some((_, fields, button, words)) = ACTS.iter().find(|act| act.0 == name) {
        for (label, text) in *fields {
            browser.fill_labelled(label, text).await;
        }
        browser.press(button).await;
        browser.read(words).await;
    }
    let wide = browser.script("return document.scrollingElement.scrollWidth > innerWidth").await;
    if wide == Value::Bool(true) {
        found.push(format!("{name} ({look}) is wider than its window"));
    }
    let barriers = barriers(browser, axe).await.into_iter();
    found.extend(barriers.map(|line| format!("{name} ({look}): {line}")));
    if let Some(dir) = pictures() {
        std::fs::create_dir_all(&dir).expect("a directory");
        let picture = browser.picture(TALLEST).await;
        std::fs::write(dir.join(format!("{name}-{look}.png")), picture).expect("a file");
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
    found
}

async fn look_at_every_page(look: Look) {
    let known: BTreeSet<&str> = PAGES.iter().map(|(pattern, _)| *pattern).collect();
    let served: BTreeSet<&str> = control::page_paths().into_iter().collect();
    assert_eq!(served, known, "each page has a line in PAGES");
    let all: Vec<(&str, &str)> = PAGES.iter().flat_map(|(_, pages)| *pages).copied().collect();
    for (name, ..) in ACTS {
        assert!(all.iter().any(|(_, known)| known == name), "{name} is the name of a page");
    }

    let platform = Platform::start(BERTH);
    furnish(&platform);
    let (browser, stranger) = (signed_in(&platform).await, Browser::start().await);
    let axe = axe();
    let mut found = Vec::new();
    let (of_person, of_nobody) = open_pages(&platform);
    for (path, name) in &of_nobody {
        found.extend(looked_at((&stranger, &platform, &axe), look, path, name).await);
    }
    let all = all.into_iter().chain(of_person.iter().map(|(path, name)| (path.as_str(), *name)));
    for (path, name) in all {
        found.extend(looked_at((&browser, &platform, &axe), look, path, name).await);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn every_page_is_without_barriers_in_light() {
    look_at_every_page(("light", false, DESK)).await;
}

#[tokio::test]
async fn every_page_is_without_barriers_in_dark() {
    look_at_every_page(("dark", true, DESK)).await;
}

#[tokio::test]
async fn every_page_is_without_barriers_on_a_phone() {
    look_at_every_page(("phone", false, PHONE)).await;
}
