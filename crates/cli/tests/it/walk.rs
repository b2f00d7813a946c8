//! The walk of a new user through the pages, in a real browser: from the one-time link that `berth up` prints to a server that is removed.

use std::time::Duration;

use serde_json::Value;
use testkit::browser::Browser;
use testkit::platform::Platform;

use crate::{BERTH, clients};

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
