//! A real browser: Debian's Chromium, driven by its own driver. Nothing that it does leaves this machine.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thirtyfour::DesiredCapabilities;
use thirtyfour::prelude::*;

use crate::{ports, processes, wait};

/// What Chromium is started with: as root, without a window, and without asking its makers for anything.
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// One browser with a profile of its own. Dropped, it and its driver end.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// When Chromium or its driver is missing, or does not start.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let port = ports::free();
        let chromedriver = Command::new("/usr/bin/chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: run `cargo xtask parts`");
        wait::until("chromedriver", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in ARGUMENTS {
            capabilities.add_arg(argument).expect("an argument");
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display())).expect("an argument");
        capabilities.set_binary("/usr/bin/chromium").expect("a path");
        let driver =
            WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities).await.expect("Chromium starts");
        driver.set_page_load_timeout(Duration::from_secs(30)).await.expect("a limit");
        driver.set_implicit_wait_timeout(Duration::from_secs(10)).await.expect("a limit");
        Self { driver, chromedriver, _profile: profile }
    }

    /// Opens an address.
    ///
    /// # Panics
    /// When nothing is there.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Types into the field of that name.
    ///
    /// # Panics
    /// When there is none.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.driver.find(By::Name(name)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        field.send_keys(text).await.expect("a field that takes text");
    }

    /// Chooses of the list of that name.
    ///
    /// # Panics
    /// When there is none, or it has no such value.
    pub async fn choose(&self, name: &str, value: &str) {
        let option = format!("select[name='{name}'] option[value='{value}']");
        let option =
            self.driver.find(By::Css(option)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        option.click().await.expect("a choice");
    }

    /// Presses the button with these words.
    ///
    /// # Panics
    /// When there is none; with the page's text.
    pub async fn press(&self, words: &str) {
        let path = format!("//button[normalize-space()='{words}' and not(@aria-hidden)]");
        match self.driver.find(By::XPath(path)).await {
            Ok(button) => button.click().await.expect("a button"),
            Err(error) => panic!("no button `{words}`: {error}\n{}", self.text().await),
        }
    }

    /// What a person reads.
    pub async fn text(&self) -> String {
        let body = self.driver.find(By::Css("body")).await;
        match body {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until a person can read these words.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn read(&self, words: &str) {
        self.read_within(words, wait::PATIENCE).await;
    }

    /// As [`Browser::read`], for what takes longer.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn read_within(&self, words: &str, patience: Duration) {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let text = self.text().await;
            if text.contains(words) {
                return;
            }
            let late = deadline < std::time::Instant::now();
            assert!(!late, "no `{words}` at {}:\n{text}", self.address().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it is.
    pub async fn address(&self) -> String {
        self.driver.current_url().await.map(String::from).unwrap_or_default()
    }

    /// A picture of the whole page as wide as the window, as PNG: also of what one scrolls to, up to `most` CSS pixels.
    ///
    /// # Panics
    /// When there is none.
    pub async fn picture(&self, most: f64) -> Vec<u8> {
        let size = "const page = document.scrollingElement; return [innerWidth, Math.max(innerHeight, page.scrollHeight)]";
        let size: (f64, f64) = serde_json::from_value(self.script(size).await).expect("two numbers");
        let clip =
            serde_json::json!({ "x": 0, "y": 0, "width": size.0, "height": size.1.min(most), "scale": 1 });
        let wanted = serde_json::json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.driver.cdp().send_raw("Page.captureScreenshot", wanted).await.expect("a picture");
        STANDARD.decode(taken["data"].as_str().expect("a text")).expect("base64")
    }

    /// Types into the field that is labelled so, in the place of what is there.
    ///
    /// # Panics
    /// When there is none; with the page's text.
    pub async fn fill_labelled(&self, label: &str, text: &str) {
        let path = format!("//*[@id=//label[starts-with(normalize-space(), '{label}')]/@for]");
        let field = self.driver.find(By::XPath(path)).await;
        let Ok(field) = field else { panic!("no field `{label}`:\n{}", self.text().await) };
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("a field that takes text");
    }

    /// Clicks on what a CSS selector finds first.
    ///
    /// # Panics
    /// When that is nothing; with the page's text.
    pub async fn click(&self, selector: &str) {
        match self.driver.find(By::Css(selector)).await {
            Ok(found) => found.click().await.unwrap_or_else(|error| panic!("{selector}: {error}")),
            Err(error) => panic!("no `{selector}`: {error}\n{}", self.text().await),
        }
    }

    /// Works within the frame that a CSS selector finds, until [`Browser::leave_frame`].
    ///
    /// # Panics
    /// When there is none; with the page's text.
    pub async fn enter_frame(&self, selector: &str) {
        match self.driver.find(By::Css(selector)).await {
            Ok(frame) => frame.enter_frame().await.unwrap_or_else(|error| panic!("{selector}: {error}")),
            Err(error) => panic!("no `{selector}`: {error}\n{}", self.text().await),
        }
    }

    /// Works within the page again.
    ///
    /// # Panics
    /// When there is none any more.
    pub async fn leave_frame(&self) {
        self.driver.enter_default_frame().await.expect("a page");
    }

    /// What a script in the page returns.
    ///
    /// # Panics
    /// When it fails.
    pub async fn script(&self, script: &str) -> serde_json::Value {
        let answer = self.driver.execute(script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{error}")).json().clone()
    }

    /// What a script in the page gives to the function that is its last argument.
    ///
    /// # Panics
    /// When it fails.
    pub async fn script_later(&self, script: &str) -> serde_json::Value {
        let answer = self.driver.execute_async(script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{error}")).json().clone()
    }

    /// Whether its person likes it dark, and how large the window is, in CSS pixels.
    ///
    /// # Panics
    /// When it is no browser that can be told.
    pub async fn look(&self, is_dark: bool, (width, height): (u32, u32)) {
        let scheme = if is_dark { "dark" } else { "light" };
        let media = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let size =
            serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        for (method, parameters) in
            [("Emulation.setEmulatedMedia", media), ("Emulation.setDeviceMetricsOverride", size)]
        {
            self.driver
                .cdp()
                .send_raw(method, parameters)
                .await
                .unwrap_or_else(|error| panic!("{method}: {error}"));
        }
    }

    /// Presses keys where the focus is.
    ///
    /// # Panics
    /// When nothing has it.
    pub async fn keys(&self, keys: &str) {
        let focused = self.driver.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("it takes keys");
    }

    /// Goes on with the tabulator until what has the focus has these words.
    ///
    /// # Panics
    /// When a hundred steps do not lead there.
    pub async fn tab_to(&self, words: &str, focused: impl AsyncFn() -> String) {
        let mut seen = Vec::new();
        for _ in 0..100 {
            self.driver.action_chain().send_keys(Key::Tab).perform().await.expect("a key");
            let text = focused().await;
            if text == words {
                return;
            }
            seen.push(text);
        }
        panic!("the tabulator does not lead to `{words}`: {seen:?}");
    }

    /// Follows the link with these words.
    ///
    /// # Panics
    /// When there is none; with the page's text.
    pub async fn follow(&self, words: &str) {
        let path = format!("//a[normalize-space()='{words}']");
        match self.driver.find(By::XPath(path)).await {
            Ok(link) => link.click().await.expect("a link"),
            Err(error) => panic!("no link `{words}`: {error}\n{}", self.text().await),
        }
    }

    /// Signs in to a Berth with a password.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn sign_in(&self, berth: &str, name: &str, password: &str) {
        self.open(&format!("{berth}/sign-in")).await;
        self.fill("login", name).await;
        self.fill("password", password).await;
        self.press("Sign in").await;
        self.read("Overview").await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session ends with its driver, which nobody is asked through any more.
        drop(self.driver.clone().leak());
        // The driver alone would leave Chromium behind.
        let all = processes::below(self.chromedriver.id());
        drop(self.chromedriver.kill());
        for process in all {
            let pid = i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // One that ended already needs no signal.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        drop(self.chromedriver.wait());
    }
}
