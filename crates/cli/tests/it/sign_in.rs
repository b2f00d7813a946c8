//! OAuth clients that others wrote, a person at a real browser, and a tool that is called with what they get.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::nginx::Nginx;
use testkit::platform::Platform;
use testkit::ports;

use crate::BERTH;

const PASSWORD: &str = "correct horse battery staple";

/// Where `cargo xtask parts` put the clients.
fn parts() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
    let dir = std::env::var_os("BERTH_PARTS").map_or(default, PathBuf::from);
    assert!(dir.join("installed").exists(), "the clients are missing: run `cargo xtask parts`");
    dir.canonicalize().expect("it is there")
}

fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/sign_in")
}

/// A program for Node whose modules are those of a directory of parts.
fn node(part: &str, script: &str) -> Command {
    // Modules are looked up beside the script, so it is copied beside them.
    let copy = parts().join(part).join(script);
    std::fs::copy(sources().join(script), &copy).expect("the script is copied");
    let mut command = Command::new("node");
    command.arg(copy);
    command
}

fn python() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(sources().join("python.py")).env("PYTHONPATH", parts().join("python"));
    command
}

/// Who is shown what.
struct Seen<'a> {
    /// What the consent page names.
    name: &'a str,
    /// What it says of who vouches for the name.
    vouched: &'a str,
    /// Whether the person says which server is meant.
    chooses: bool,
}

fn seen<'a>(name: &'a str, vouched: &'a str) -> Seen<'a> {
    Seen { name, vouched, chooses: false }
}

/// Runs a client that prints `OPEN url` when a person has to decide, and `DONE json` at its end.
async fn check(
    platform: &Platform,
    browser: &Browser,
    mut program: Command,
    options: &Value,
    seen: &Seen<'_>,
) {
    let url = platform.mcp_url("everything");
    let mut child = program
        .arg(&url)
        .arg(options.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let errors = child.stderr.take().expect("its errors");
    let errors = std::thread::spawn(move || std::io::read_to_string(errors).unwrap_or_default());
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    // A client says nothing while it waits for the person, so lines are read beside.
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(send.send(line))));
    let mut done = None;
    while let Some(line) = receive.recv().await {
        if let Some(page) = line.strip_prefix("OPEN ") {
            browser.open(page).await;
            browser.read(&format!("Allow {}", seen.name)).await;
            let text = browser.text().await;
            assert!(text.contains(seen.vouched), "{text}");
            if seen.chooses {
                browser.choose("server", "/mcp/default/everything").await;
            } else {
                assert!(text.contains("call every tool of everything"), "{text}");
            }
            browser.press("Allow").await;
        }
        if let Some(text) = line.strip_prefix("DONE ") {
            done = serde_json::from_str::<Value>(text).ok();
        }
    }
    let status = child.wait().expect("it ends");
    let errors = errors.join().expect("its errors");
    let done = done.unwrap_or_else(|| panic!("{}: {status}, it did not call the tool:\n{errors}", seen.name));
    for answer in ["first", "again"] {
        assert!(done[answer][0]["text"].as_str().is_some_and(|text| text.contains("hi")), "{done}");
    }
    let grants = platform.json(&["grant", "list"]);
    let of_it = grants.as_array().into_iter().flatten().filter(|grant| grant["client_name"] == seen.name);
    assert!(0 < of_it.count(), "{}: {grants}", seen.name);
}

/// A certificate that this machine's programs do not know, and its key, as files.
fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    (certificate, key)
}

/// `berth connect --check` goes the same way, and says where it ends.
async fn checked(platform: &Platform, browser: &Browser) {
    let start = |url: &str| {
        let mut command = platform.command(&["connect", "--check", url]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let mut check = start(&platform.mcp_url("everything"));
    let told = BufReader::new(check.stderr.take().expect("its words")).lines();
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || told.map_while(Result::ok).for_each(|line| drop(send.send(line))));
    while let Some(line) = receive.recv().await {
        if let Some(page) = line.trim().strip_prefix("http") {
            browser.open(&format!("http{page}")).await;
            browser.press("Allow").await;
        }
    }
    let seen = check.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&seen.stdout);
    assert!(seen.status.success(), "{text}");
    for step in ["first request", "discovery", "registration", "authorization", "token", "first call"] {
        assert!(text.contains(&format!("ok    {step}: ")), "{step}: {text}");
    }
    for (url, words) in [
        (format!("{}/nothing", platform.url()), "first request: the server answers 404"),
        ("http://127.0.0.1:9/mcp".to_owned(), "first request: 127.0.0.1:9 does not answer"),
    ] {
        let seen = start(&url).wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&seen.stderr);
        assert!(seen.status.code() == Some(1) && text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn clients_of_others_sign_in_through_a_browser_and_call() {
    let dir = tempfile::tempdir().expect("a directory");
    let (certificate, key) = certificate(dir.path());
    // A client's document, at the URL that is its id.
    let documents = Nginx::start(&format!(
        "listen 127.0.0.1:PORT ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         location = /me.json {{ default_type application/json; return 200 '{{\"client_id\":\"https://localhost:PORT/me.json\",\
         \"client_name\":\"Documented\",\"redirect_uris\":[\"http://127.0.0.1/callback\"]}}'; }}",
        certificate.display(),
        key.display()
    ));
    let document = format!("https://localhost:{}/me.json", documents.port());
    let trusted = [("SSL_CERT_FILE", certificate.to_str().expect("text"))];
    let platform = Platform::start_in(BERTH, &["--allow-private-upstreams"], &trusted);
    platform.ok(&["deploy", "everything", "--wait"]);
    platform.ok_with(&["password", "--stdin"], PASSWORD);
    let browser = Browser::start().await;
    browser.sign_in(platform.url(), "admin", PASSWORD).await;

    let by_hand = |arguments: &[&str]| -> Value {
        let mut all = vec!["client", "create", "By hand", "--redirect-uri", "http://127.0.0.1/callback"];
        all.extend_from_slice(arguments);
        let made = platform.json(&all);
        let mut client = json!({ "client_id": made["id"] });
        if let Some(secret) = made["client_secret"].as_str() {
            client["client_secret"] = secret.into();
        }
        client
    };
    let (public, confidential) = (by_hand(&["--public"]), by_hand(&[]));
    let nobody = "nobody vouches for it";
    for (language, make) in
        [("TypeScript", (|| node("node", "typescript.mjs")) as fn() -> Command), ("Python", python)]
    {
        let itself = format!("{language} itself");
        let options = json!({ "client_name": itself });
        check(&platform, &browser, make(), &options, &seen(&itself, nobody)).await;
        let options = json!({ "client_name": "unused", "document": document });
        check(&platform, &browser, make(), &options, &seen("Documented", "localhost")).await;
        for client in [&public, &confidential] {
            let options = json!({ "client_name": "unused", "client": client });
            check(&platform, &browser, make(), &options, &seen("By hand", "An admin")).await;
        }
    }
    let old = Seen { name: "Client of 2025-03-26", vouched: nobody, chooses: true };
    check(&platform, &browser, node("node", "of_2025_03_26.mjs"), &json!({}), &old).await;
    let options = json!({
        "program": parts().join("remote/node_modules/mcp-remote/dist/proxy.js"),
        "port": ports::free(),
        "home": dir.path(),
    });
    check(&platform, &browser, node("remote", "mcp_remote.mjs"), &options, &seen("MCP CLI Proxy", nobody))
        .await;

    checked(&platform, &browser).await;

    // What one was given opens no other server, and taking it back ends it.
    let grants = platform.json(&["grant", "list"]);
    let ids: Vec<&str> =
        grants.as_array().into_iter().flatten().filter_map(|grant| grant["id"].as_str()).collect();
    assert!(9 <= ids.len(), "{grants}");
    platform.ok(&["grant", "revoke", ids[0]]);
    let grants = platform.json(&["grant", "list"]);
    assert_eq!(
        grants.as_array().into_iter().flatten().filter(|grant| !grant["revoked_at"].is_null()).count(),
        1
    );
}

#[tokio::test]
async fn the_suite_for_authorization_servers_passes() {
    let platform = Platform::start(BERTH);
    platform.ok_with(&["password", "--stdin"], PASSWORD);
    let browser = Browser::start().await;
    browser.sign_in(platform.url(), "admin", PASSWORD).await;
    let port = ports::free();
    let back = format!("http://127.0.0.1:{port}/callback");
    let client = platform.json(&["client", "create", "Suite", "--redirect-uri", &back, "--public"]);
    let client = client["id"].as_str().expect("its id");
    let mut suite =
        testkit::conformance::authorization(platform.url(), client, &platform.mcp_url("welcome"), port)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the suite starts");
    let lines = BufReader::new(suite.stdout.take().expect("its output")).lines();
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(send.send(line))));
    let (mut text, mut page) = (String::new(), None);
    while let Some(line) = receive.recv().await {
        text = format!("{text}{line}\n");
        if line.contains("/oauth/authorize?") {
            page = Some(line.clone());
        }
        // The suite says last that somebody listens where the person comes back to.
        if line.starts_with("Callback server started")
            && let Some(page) = page.take()
        {
            browser.open(&page).await;
            browser.press("Allow").await;
        }
    }
    assert!(suite.wait().expect("it ends").success(), "{text}");
    for scenario in ["authorization-server-metadata-endpoint", "authorization-code-grant"] {
        let passed = text.lines().any(|line| line.contains(scenario) && line.contains(" 0 failed"));
        assert!(passed, "{scenario}: {text}");
    }
}
