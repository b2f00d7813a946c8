//! The log of an instance in a real browser: as it comes, also after the connection broke off.

use testkit::browser::Browser;
use testkit::platform::Platform;
use testkit::wait;

use crate::{BERTH, web};

/// How often its server was started, as the page has it.
async fn starts(browser: &Browser) -> usize {
    browser.text().await.matches("shim berth-welcome runs").count()
}

async fn until_starts(browser: &Browser, platform: &Platform, count: usize) {
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    while starts(browser).await != count {
        let log = || platform.ok(&["logs", "welcome"]);
        assert!(std::time::Instant::now() < deadline, "{}\nand not\n{}", browser.text().await, log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_log_goes_on_after_its_host_agent_was_away() {
    let platform = Platform::start(BERTH);
    let browser = web::signed_in(&platform).await;
    browser.open(&format!("{}/a/default/instances/welcome/logs", platform.url())).await;
    // The page says that it broke off for a moment only, so something in it looks out for that.
    browser
        .script(
            "window.isTheSame = true;
             const log = document.getElementById('log');
             new MutationObserver(() => { window.hasBroken ||= 'broken' in log.dataset; }).observe(log, { attributes: true });",
        )
        .await;
    until_starts(&browser, &platform, 1).await;
    platform.ok(&["restart", "welcome"]);
    until_starts(&browser, &platform, 2).await;

    // The host agent goes, and with it the connection that the lines come by.
    let dtma = platform.own("dtma");
    testkit::processes::kill(dtma);
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    platform.ok(&["restart", "welcome"]);
    until_starts(&browser, &platform, 3).await;
    assert_eq!(browser.script("return 'broken' in document.getElementById('log').dataset").await, false);
    assert_eq!(browser.script("return window.hasBroken").await, true, "it was the connection that broke");
    assert_eq!(browser.script("return window.isTheSame").await, true, "the page was not loaded anew");
}
