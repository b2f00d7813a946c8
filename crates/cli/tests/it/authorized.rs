//! A server that runs elsewhere and wants tokens, made with an SDK: deployed by its address, authorized by a person, called, and its tokens
//! renewed without a caller noticing.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::header::LOCATION;
use serde_json::{Value, json};
use testkit::mcp::Mcp;
use testkit::platform::Platform;

use crate::BERTH;

/// The SDK's own modules are for the system's Python.
const PYTHON: &str = "/usr/bin/python3";

/// The server of somebody else, killed when dropped.
struct Elsewhere {
    process: Child,
    url: String,
}

impl Elsewhere {
    fn start() -> Self {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
        let parts = std::env::var_os("BERTH_PARTS").map_or(default, PathBuf::from).join("python2");
        assert!(parts.join("mcp").exists(), "the SDK is missing: run `cargo xtask parts`");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authorized/server.py");
        let mut command = Command::new(PYTHON);
        command.arg(source).env("PYTHONPATH", parts).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Python starts");
        let mut url = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut url).expect("its address");
        let url = url.trim().to_owned();
        assert!(url.ends_with("/mcp"), "the server printed {url:?}");
        Self { process, url }
    }

    fn place(&self, path: &str) -> String {
        self.url.replace("/mcp", path)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Opens an address as a browser does, agrees to everything, and gives the last page.
async fn agree(http: &reqwest::Client, url: &str) -> String {
    let sent_back = http.get(url).send().await.unwrap();
    let back = sent_back.headers()[LOCATION].to_str().unwrap().to_owned();
    let page = http.get(&back).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    let (_, query) = back.split_once('?').unwrap();
    // The form of the page sends the same.
    assert!(page.contains("name=\"answer\"") && page.contains("<b>notes</b>"), "{page}");
    let (place, _) = back.split_once('?').unwrap();
    let origin = place.strip_suffix("/oauth/upstream/callback").unwrap();
    let form = reqwest::Url::parse_with_params("http://form", [("answer", query)]).unwrap();
    let form = form.query().unwrap().to_owned();
    let kind = "application/x-www-form-urlencoded";
    let posted = http.post(place).header("content-type", kind).header("origin", origin).body(form);
    let done = posted.send().await.unwrap();
    done.text().await.unwrap()
}

#[test]
fn a_person_authorizes_and_tokens_are_renewed_unseen() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let elsewhere = Elsewhere::start();
    let platform = Platform::start_with(BERTH, &["--allow-private-upstreams"]);
    platform.ok(&["deploy", &elsewhere.url, "--name", "notes"]);
    let message = testkit::wait::until("a failure that says what to do", || {
        let status = platform.json(&["status", "notes"]);
        let message = status["message"].as_str().unwrap_or_default();
        message.contains("berth authorize notes").then(|| message.to_owned())
    });
    assert!(message.contains("wants a token"), "{message}");
    let stands = platform.json(&["authorize", "notes", "--status"]);
    assert_eq!(stands["state"], "needed");

    let started = platform.json(&["authorize", "notes"]);
    assert_eq!(started["scopes"], json!(["notes"]));
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = runtime.block_on(agree(&http, started["url"].as_str().unwrap()));
    assert!(page.contains("You can close this page"), "{page}");
    // Nobody restarts anything.
    testkit::wait::until("it runs", || {
        let status = platform.json(&["status", "notes"]);
        (status["status"] == "running").then_some(())
    });
    let stands = platform.json(&["authorize", "notes", "--status"]);
    assert_eq!((&stands["state"], &stands["is_renewable"]), (&json!("authorized"), &json!(true)));

    let said = platform.ok(&["call", "notes", "note", r#"{"text":"hi"}"#]);
    assert!(said.contains("noted: hi"), "{said}");
    // Clients of both eras have a way of their own to the server, and one token.
    let client = Mcp::modern(&platform.mcp_url("notes"), platform.token());
    let call =
        |text: &str| -> Value { runtime.block_on(client.call("note", json!({ "text": text }))).unwrap() };
    let count = || -> String {
        runtime.block_on(async {
            http.get(elsewhere.place("/count")).send().await.unwrap().text().await.unwrap()
        })
    };
    assert_eq!(call("ho")["content"][0]["text"], "noted: ho");
    assert_eq!(count(), "1");
    // The server ends all tokens: the next call is none the wiser.
    let ended = runtime.block_on(http.post(elsewhere.place("/expire")).send()).unwrap();
    assert_eq!(ended.status(), 200);
    assert_eq!(call("again")["content"][0]["text"], "noted: again");
    assert_eq!(count(), "2");
    let said = platform.ok(&["call", "notes", "note", r#"{"text":"hi"}"#]);
    assert!(said.contains("noted: hi"), "{said}");
    assert_eq!(count(), "2");

    // Codes and tokens lie nowhere in clear, and nobody is shown one.
    let found = platform.files_with("canary-");
    assert!(found.is_empty(), "{found:?}");
    for arguments in [&["status", "notes", "--json"][..], &["audit", "--json"], &["logs", "notes"]] {
        let shown = platform.ok(arguments);
        assert!(!shown.contains("canary-"), "{shown}");
    }
    let audit = platform.ok(&["audit", "--json"]);
    assert!(audit.contains("instance.authorize"), "{audit}");

    // What is given up opens nothing more, as soon as its token has ended.
    platform.ok(&["authorize", "notes", "--forget"]);
    runtime.block_on(http.post(elsewhere.place("/expire")).send()).unwrap();
    let refused = runtime.block_on(client.call("note", json!({ "text": "x" }))).unwrap_err();
    assert!(format!("{refused:?}").contains("berth authorize notes"), "{refused:?}");
}

#[test]
fn a_host_in_a_tunnel_gets_tokens_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let elsewhere = Elsewhere::start();
    let platform = Platform::start_with(BERTH, &["--allow-private-upstreams"]);
    let far = crate::tunnel::Host::enrol(&platform, "far");
    platform.ok(&["deploy", &elsewhere.url, "--name", "notes", "--env", "far"]);
    testkit::wait::until("a failure that says what to do", || {
        let status = platform.json(&["status", "notes"]);
        let message = status["message"].as_str().unwrap_or_default();
        message.contains("berth authorize notes").then_some(())
    });
    let started = platform.json(&["authorize", "notes"]);
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    runtime.block_on(agree(&http, started["url"].as_str().unwrap()));
    testkit::wait::until("it runs", || {
        (platform.json(&["status", "notes"])["status"] == "running").then_some(())
    });
    let said = platform.ok(&["call", "notes", "note", r#"{"text":"hi"}"#]);
    assert!(said.contains("noted: hi"), "{said}");
    // Nothing of it lies on the host's disk.
    let found = std::process::Command::new("grep").args(["-rl", "canary-"]).arg(far.data()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}
