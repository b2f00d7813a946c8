//! What the playground does by its script, in a real browser: what a server says comes while it works, a call is cancelled, and a server's own
//! page is told what came of it and can do nothing else.

use serde_json::Value;
use testkit::browser::Browser;
use testkit::platform::Platform;
use testkit::wait;

use crate::conformance::fixture;
use crate::playground::{Player, has};
use crate::{BERTH, web};

/// Longer than any call may take: what ends before was cancelled.
const FOREVER: &str = "3600000";

async fn open(browser: &Browser, platform: &Platform, tool: &str) {
    let path = format!("/a/default/instances/tools/playground?tool={tool}");
    browser.open(&format!("{}{path}", platform.url())).await;
}

/// What an attribute or the like of the page is.
async fn value(browser: &Browser, expression: &str) -> Value {
    browser.script(&format!("return {expression}")).await
}

#[tokio::test]
async fn what_a_tool_says_comes_while_it_runs_and_a_call_can_be_cancelled() {
    let platform = Platform::start(BERTH);
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "tools", "--wait"]);
    let browser = web::signed_in(&platform).await;
    browser.look(false, (1280, 860)).await;

    // The first step is read while the second is an hour away.
    open(&browser, &platform, "steps").await;
    browser.fill_labelled("message", "one step after the other").await;
    browser.fill_labelled("count", "2").await;
    browser.fill_labelled("ms", FOREVER).await;
    browser.press("Call the tool").await;
    browser.read("Running…").await;
    browser.read("one step after the other").await;
    browser.read("1 of 2").await;
    assert_eq!(value(&browser, "document.querySelector('[value=call]').disabled").await, true);
    // Another browser of the same person sees that the server is at it.
    let player = Player::new(&platform, "tools");
    has(&player.call("running", &[]), &["<pre tabindex=\"0\">1</pre>"]);

    browser.press("Cancel the call").await;
    browser.read("The call was cancelled.").await;
    let stopped = || player.call("running", &[]).contains("<pre tabindex=\"0\">0</pre>").then_some(());
    wait::until("the server to hear that it is cancelled", stopped);
    assert_eq!(value(&browser, "document.querySelector('[value=call]').disabled").await, false);
    // What was typed is still there, and is called anew with less patience.
    browser.fill_labelled("ms", "20").await;
    browser.press("Call the tool").await;
    browser.read("Result").await;
    browser.read("What it said meanwhile").await;
    browser.read("2 of 2").await;
    assert_eq!(
        value(&browser, "document.activeElement.textContent").await,
        "Result",
        "whoever does not see is told"
    );

    // What is wrong with what was typed is said by the page, and nothing typed is lost.
    browser.script("document.querySelector('main form[data-play]').noValidate = true").await;
    browser.fill_labelled("count", "").await;
    browser.press("Call the tool").await;
    wait_for(&browser, "document.activeElement.name", "a/count").await;
    assert_eq!(
        value(&browser, "document.querySelector('[name=\"a/message\"]').value").await,
        "one step after the other"
    );
}

/// Waits until an expression in the page or frame is a text.
async fn wait_for(browser: &Browser, expression: &str, text: &str) {
    let script = format!(
        "const done = arguments[0]; const look = () => {expression} === '{text}' ? done(true) : setTimeout(look, 20); look();"
    );
    assert_eq!(browser.script_later(&script).await, true, "{expression}");
}

#[tokio::test]
async fn an_app_is_told_its_result_and_can_do_nothing_else() {
    let platform = Platform::start(BERTH);
    let server = format!("file:{}", fixture().display());
    for era in ["modern", "legacy"] {
        platform.ok(&["deploy", &server, "--name", "tools", "--wait", "--arg=--era", "--arg", era]);
        let browser = web::signed_in(&platform).await;
        open(&browser, &platform, "show").await;
        browser.fill_labelled("word", "ahoy").await;
        browser.press("Call the tool").await;
        browser.read("Result").await;
        told(&browser).await;
        // Also where the page of the call is opened again.
        browser.click(".history a").await;
        told(&browser).await;
        let calls = value(&browser, "document.querySelectorAll('.history li').length").await;
        assert_eq!(calls, 1, "the app called nothing");
        platform.ok(&["remove", "tools", "--yes"]);
        wait::until("it is gone", || platform.instance("tools").is_none().then_some(()));
    }
}

/// The app of the page knows its call and the result, and got at nothing.
async fn told(browser: &Browser) {
    browser.enter_frame("iframe.app").await;
    browser.read("Reaching out: no page, no cookies, no network").await;
    for words in
        ["Host: berth-playground", "Asked with: ahoy", "Result: ahoy", "Calling a tool: refused -32601"]
    {
        browser.read(words).await;
    }
    browser.leave_frame().await;
    wait_for(browser, "document.querySelector('iframe.app').style.height", "333px").await;
}
