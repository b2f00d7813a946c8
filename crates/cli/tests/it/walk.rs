//! The walk of a new user through the pages, in a real browser: from the one-time link that `berth up` prints to a server that is removed.

use std::time::Duration;

use serde_json::Value;
use testkit::browser::Browser;
use testkit::platform::Platform;

use crate::enrol::Host;
use crate::{BERTH, clients, web};

/// An install fetches packages.
const INSTALL: Duration = Duration::from_mins(4);

/// The link that `berth up` printed.
fn link(platform: &Platform) -> String {
    let log = platform.data().with_file_name("up.log");
    let text = std::fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let line = text.lines().find(|line| line.contains("/sign-in/link/"));
    line.unwrap_or_else(|| panic!("no link:\n{text}")).trim().to_owned()
}

#[tokio::test]
async fn a_new_user_deploys_a_server_and_calls_it() {
    let platform = Platform::start(BERTH);
    let browser = Browser::start().await;
    browser.look(false, (1280, 860)).await;

    // The one-time link, and the first call.
    browser.open(&link(&platform)).await;
    browser.press("Sign in").await;
    browser.read("Your first server").await;
    browser.follow("Call its tool").await;
    browser.click("a[href*='tool=echo']").await;
    browser.fill_labelled("message", "ahoy").await;
    browser.press("Call the tool").await;
    browser.read("Result").await;
    browser.read("ahoy").await;

    // From the marketplace to a real server of npm's, watched until it runs.
    browser.follow("Marketplace").await;
    browser.fill("q", "everything").await;
    browser.read("1 entry").await;
    browser.click("a[href$='/marketplace/everything']").await;
    browser.click("a[href$='/deploy/everything']").await;
    browser.click(".actions button[value=review]").await;
    browser.read("This will run").await;
    browser.read("@modelcontextprotocol/server-everything").await;
    browser.press("Deploy").await;
    // Nobody presses anything: the page says by itself when it runs.
    browser.read_within("running", INSTALL).await;

    // Its tool, by a form that was made of its schema.
    browser.follow("Playground").await;
    browser.click("a[href*='tool=get-sum']").await;
    browser.fill_labelled("a", "2").await;
    browser.fill_labelled("b", "40").await;
    browser.press("Call the tool").await;
    browser.read("42").await;

    // What it asks in mid-call, answered by hand.
    browser.click("a[href*='tool=trigger-elicitation-request']").await;
    browser.press("Call the tool").await;
    browser.read("The server asks").await;
    browser.fill_labelled("String", "a word of mine").await;
    browser.press("Answer").await;
    browser.read("a word of mine").await;

    // The snippet for Cursor, as somebody copies it, in an SDK's client.
    browser.open(&format!("{}/a/default/instances/everything/connect?client=cursor", platform.url())).await;
    browser.press("Make a token").await;
    browser.read("is shown this once").await;
    let snippet =
        browser.script("return [...document.querySelectorAll('pre')].map((of) => of.textContent)").await;
    let found = snippet.as_array().into_iter().flatten().filter_map(Value::as_str);
    let server = found
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .find_map(|file| file["mcpServers"].as_object().and_then(|all| all.values().next().cloned()));
    let server = server.unwrap_or_else(|| panic!("no server in {snippet}"));
    let token = server["headers"]["Authorization"].as_str().and_then(|value| value.strip_prefix("Bearer "));
    clients::typescript_calls(server["url"].as_str().expect("a URL"), token.expect("a token"));

    // Stopped, started, removed.
    browser.open(&format!("{}/a/default/instances/everything", platform.url())).await;
    browser.press("Stop").await;
    browser.read("stopped").await;
    browser.press("Start").await;
    browser.read("running").await;
    browser.follow("Danger").await;
    browser.click("a[href$='/instances/everything/remove']").await;
    browser.read("everything").await;
    browser.click("main form[method=post] button[type=submit].danger").await;
    browser.read("Instances").await;
    testkit::wait::until("it is gone", || platform.instance("everything").is_none().then_some(()));
}

/// The text that is shown this once, or a command to paste.
async fn shown(browser: &Browser, selector: &str) -> String {
    let script = format!("return document.querySelector('{selector}').textContent");
    browser.script(&script).await.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_host_is_added_and_runs_and_somebody_invited_who_may_not_deploy() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500"]);
    let owner = web::signed_in(&platform).await;

    // A host: the line to run there, and then a machine that is waited for.
    owner.follow("Environments").await;
    owner.follow("Add a host").await;
    owner.fill("name", "workshop").await;
    owner.press("Add it, and make its line").await;
    owner.read("It is shown this once").await;
    owner.read("How far it is").await;
    let command = shown(&owner, "#line").await;
    // Its owner pastes the line there, and the page that gave it follows what becomes of it. Nobody loads it again.
    owner.script("window.isTheSame = true").await;
    let mut host = Host::new();
    let pasted = host.paste(command.trim());
    assert!(pasted.status.success(), "{}", String::from_utf8_lossy(&pasted.stderr));
    host.start();
    owner.read("It is there").await;
    assert_eq!(owner.script("return window.isTheSame").await, true, "the page was not loaded anew");
    owner.follow("Open workshop").await;
    owner.read("active").await;
    // It is a machine like any other: something is deployed there, and runs.
    platform.ok(&["deploy", "welcome", "--name", "far", "--env", "workshop", "--wait"]);
    owner.read("far").await;
    owner.follow("far").await;
    owner.read("running").await;

    // Somebody is invited, and comes with a browser of their own.
    owner.follow("People").await;
    owner.choose("role", "viewer").await;
    owner.press("Make a link").await;
    owner.read("whoever opens it first is in").await;
    let link = shown(&owner, "#once").await;
    let mary = Browser::start().await;
    mary.open(&link).await;
    mary.fill("name", "mary").await;
    mary.fill("password", "correct horse battery staple").await;
    mary.press("Join").await;
    mary.read("Overview").await;
    let sees = mary.text().await;
    assert!(!sees.contains("Deploy a server") && sees.contains("running"), "{sees}");
    mary.follow("Instances").await;
    mary.read("welcome").await;
    assert!(!mary.text().await.contains("Those ticked"), "no order that would be refused");
    mary.open(&format!("{}/a/default/marketplace/everything", platform.url())).await;
    mary.read("everything").await;
    assert!(!mary.text().await.contains("Deploy"), "no button that would be refused");
    mary.open(&format!("{}/a/default/deploy/everything", platform.url())).await;
    mary.read("That is not allowed").await;

    // Another account of hers, and no page of this one from there: she is taken out of it first.
    platform.ok(&["account", "create", "elsewhere"]);
    platform.ok(&["member", "remove", "mary"]);
    for (path, _) in web::PAGES.iter().flat_map(|(_, pages)| *pages) {
        mary.open(&format!("{}{path}", platform.url())).await;
        mary.read("There is no such page").await;
        let sees = mary.text().await;
        assert!(!sees.contains("workshop") && !sees.contains("builtin:welcome"), "{path}: {sees}");
    }
}

#[tokio::test]
async fn one_goes_by_keyboard_alone() {
    let platform = Platform::start(BERTH);
    let browser = Browser::start().await;
    browser.open(&link(&platform)).await;
    // The button has no other way to be reached than by the tabulator.
    let focused = async || {
        let text = browser
            .script(
                "const of = document.activeElement; return of.textContent.trim() || of.name || of.tagName",
            )
            .await;
        text.as_str().unwrap_or_default().to_owned()
    };
    browser.tab_to("Sign in", focused).await;
    browser.keys("\u{e007}").await;
    browser.read("Your first server").await;
    browser.tab_to("Skip to the content", focused).await;
    browser.keys("\u{e007}").await;
    assert_eq!(browser.script("return document.activeElement.id").await, "main");
    browser.tab_to("Call its tool", focused).await;
    browser.keys("\u{e007}").await;
    browser.read("Choose what to call").await;
    browser.open(&format!("{}/a/default/instances/welcome/playground?tool=echo", platform.url())).await;
    browser.fill_labelled("message", "by hand").await;
    browser.tab_to("Call the tool", focused).await;
    browser.keys("\u{e007}").await;
    browser.read("Result").await;
    // The menu of the person opens and closes.
    browser.open(&format!("{}/a/default", platform.url())).await;
    browser.tab_to("admin", focused).await;
    browser.keys("\u{e007}").await;
    browser.read("Sign out").await;
    browser.keys("\u{e00c}").await;
    assert_eq!(browser.script("return document.querySelectorAll('details.menu[open]').length").await, 0);
}
