//! People on the command line: accounts, members, invitations, passwords, and the way back in.

use std::process::Command;

use serde_json::{Value, json};
use testkit::platform::Platform;

use crate::BERTH;

const PASSWORD: &str = "correct horse battery staple";

/// A browser: curl with a jar for cookies.
pub(crate) struct Browser {
    dir: tempfile::TempDir,
    origin: String,
}

impl Browser {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), origin: platform.url().to_owned() }
    }

    /// The status and the page of an address; with fields, of a form that is sent to it.
    pub(crate) fn ask(&self, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let jar = self.dir.path().join("cookies");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}", "-b"]).arg(&jar).arg("-c").arg(&jar);
        if !fields.is_empty() {
            curl.args(["-H", &format!("Origin: {}", self.origin)]);
        }
        for (name, value) in fields {
            curl.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        let output = curl.arg(url).output().unwrap();
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let (page, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), page.to_owned())
    }

    pub(crate) fn path(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        self.ask(&format!("{}{path}", self.origin), fields)
    }

    fn is_signed_in(&self) -> bool {
        self.path("/you", &[]).0 == 200
    }
}

/// A new member of the account `default`, and a token of theirs.
pub(crate) fn member(platform: &Platform, name: &str) -> String {
    let link = platform.ok(&["invite", "create", "--role", "member", "--name", name]);
    let form = [("name", name), ("email", ""), ("password", PASSWORD)];
    assert_eq!(Browser::new(platform).ask(link.trim(), &form).0, 303);
    let recovered = platform.json(&["recover", "--user", name, "--with-token"]);
    recovered["token"].as_str().unwrap().to_owned()
}

#[test]
fn whoever_reads_the_data_directory_gets_back_in() {
    let mut platform = Platform::start(BERTH);
    // Where no token is good any more.
    let recovered = platform.json(&["recover", "--with-token"]);
    assert_eq!(recovered["user"], "admin");
    let link = recovered["link"].as_str().unwrap();
    assert!(link.starts_with(platform.url()), "{link}");
    let browser = Browser::new(&platform);
    assert_eq!(browser.ask(link, &[]).0, 200);
    // A page that leads on, to where one sets a password.
    assert_eq!(browser.ask(link, &[("x", "y")]).0, 200);
    assert!(browser.is_signed_in());
    let token = recovered["token"].as_str().unwrap();
    let me = platform.command(&["whoami", "--json"]).env("BERTH_TOKEN", token).output().unwrap();
    let me: Value = serde_json::from_slice(&me.stdout).unwrap();
    assert_eq!(me["role"], "owner");

    let said = platform.ok_with(&["password", "--stdin"], &format!("{PASSWORD}\n"));
    assert_eq!(said, "");
    assert!(!browser.is_signed_in(), "every browser has to sign in again");
    let form = [("login", "admin"), ("password", PASSWORD)];
    assert_eq!(browser.path("/sign-in", &form).0, 303);
    let sessions = platform.json(&["session", "list"]);
    assert_eq!((sessions.as_array().unwrap().len(), &sessions[0]["method"]), (1, &json!("password")));
    platform.ok(&["session", "end", sessions[0]["id"].as_str().unwrap()]);
    assert!(!browser.is_signed_in());

    for (input, words) in [
        ("another correct horse\n", "the present password must be given too"),
        ("another correct horse\nwrong\n", "this is not the present password"),
        ("short\n", "the present password must be given too"),
        ("", "holds no password"),
    ] {
        let mut command = platform.command(&["password", "--stdin"]);
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains("correct horse"), "what was given is not repeated: {said}");
    }
    platform.ok_with(&["password", "--stdin"], &format!("another correct horse\n{PASSWORD}\n"));
    let refused = platform.run(&["password"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--stdin"));

    // What opens something is in no file.
    let secret = link.split(['/', '?']).find(|part| part.len() == 43).expect("a link");
    for text in [secret, token, PASSWORD, "another correct horse"] {
        assert_eq!(platform.files_with(text), Vec::<std::path::PathBuf>::new(), "{text}");
    }

    // Also while nothing runs.
    platform.end();
    let link = platform.ok(&["recover", "--user", "admin"]);
    let unknown = platform.run(&["recover", "--user", "nobody"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no user `nobody`"));
    platform.up();
    let browser = Browser::new(&platform);
    let path = link.trim().split_once("/sign-in/").map(|(_, rest)| format!("/sign-in/{rest}")).unwrap();
    assert_eq!(browser.path(&path, &[("x", "y")]).0, 200);
    assert!(browser.is_signed_in());
}

#[test]
fn accounts_and_members() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "oidc-secret\n").unwrap();
    let secret = secret.path().to_str().unwrap();
    let oidc = [
        "--oidc-issuer",
        "http://127.0.0.1:1",
        "--oidc-client-id",
        "berth",
        "--oidc-client-secret-file",
        secret,
        "--oidc-name",
        "Example Ltd.",
        "--oidc-account",
        "default",
        "--oidc-role",
        "viewer",
    ];
    let platform = Platform::start_with(BERTH, &oidc);
    let browser = Browser::new(&platform);
    let (status, page) = browser.path("/sign-in", &[]);
    assert!(status == 200 && page.contains("Sign in with Example Ltd."), "{page}");
    assert_eq!(browser.path("/sign-in/oidc", &[]).0, 502, "it is not there");

    let link = platform.ok(&["invite", "create", "--role", "viewer", "--name", "mary", "--expires", "1h"]);
    let list = platform.ok(&["invite", "list"]);
    assert!(list.contains("mary") && list.contains("viewer") && list.contains("admin"), "{list}");
    let form = [("name", "mary"), ("email", ""), ("password", PASSWORD)];
    assert_eq!(browser.ask(link.trim(), &form).0, 303);
    assert!(browser.is_signed_in());
    assert_eq!(platform.ok(&["invite", "list"]), "");
    platform.ok(&["invite", "create", "--email", "jo@example.com"]);
    platform.ok(&["invite", "revoke", "jo@example.com"]);

    let list = platform.ok(&["member", "list"]);
    assert!(list.contains("mary") && list.contains("viewer") && list.contains("owner"), "{list}");
    assert_eq!(platform.json(&["member", "role", "mary", "admin"])["role"], "admin");
    let refused = platform.run(&["member", "remove", "admin"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("at least one owner") && said.contains("berth member role NAME owner"), "{said}");
    platform.ok(&["member", "remove", "mary"]);
    assert!(!platform.ok(&["member", "list"]).contains("mary"));

    platform.ok(&["account", "create", "research"]);
    let list = platform.ok(&["account", "list"]);
    assert!(list.contains("research") && list.contains("default"), "{list}");
    let token = platform.ok(&["token", "create", "there", "--account", "research"]);
    let me = platform.command(&["whoami", "--json"]).env("BERTH_TOKEN", token.trim()).output().unwrap();
    let me: Value = serde_json::from_slice(&me.stdout).unwrap();
    assert_eq!((&me["account_name"], &me["role"]), (&json!("research"), &json!("owner")));
}
