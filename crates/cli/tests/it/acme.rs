//! The certificate of the public address from a real authority: obtained, renewed while callers call, and what goes wrong on the way.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use testkit::pebble::{Options, Pebble};
use testkit::platform::Platform;
use testkit::{ports, wait};

use crate::BERTH;
use crate::public::Authority;

const NAME: &str = "berth.example.test";

struct Stage {
    dir: tempfile::TempDir,
    root: PathBuf,
    https: u16,
    authority: u16,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = Authority::new(dir.path(), "root");
        own.issue(dir.path(), 4000);
        Self { root: own.file, https: ports::free(), authority: ports::free(), dir }
    }

    fn pebble(&self, tls_port: u16, seconds: u64) -> Pebble {
        Pebble::start(&Options {
            certificate: &self.dir.path().join("cert.pem"),
            key: &self.dir.path().join("key.pem"),
            port: self.authority,
            tls_port,
            seconds,
            blocked: &["blocked.example.test"],
        })
    }

    fn berth(&self, name: &str) -> Platform {
        let (https, url) = (format!("127.0.0.1:{}", self.https), format!("https://{name}:{}", self.https));
        let directory = format!("https://127.0.0.1:{}/dir", self.authority);
        Platform::start_with(
            BERTH,
            &[
                "--https-listen",
                &https,
                "--public-url",
                &url,
                "--acme-email",
                "me@example.com",
                "--acme-directory",
                &directory,
                "--acme-root",
                self.root.to_str().unwrap(),
            ],
        )
    }

    /// As a client elsewhere calls the public address, knowing one authority.
    fn curl(&self, authorities: &Path) -> Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--verbose", "--max-time", "10", "--cacert"])
            .arg(authorities)
            .args(["--resolve", &format!("{NAME}:{}:127.0.0.1", self.https)])
            .arg(format!("https://{NAME}:{}/healthz", self.https))
            .output()
            .unwrap()
    }
}

fn certificate(platform: &Platform) -> Value {
    platform.json(&["whoami"])["certificate"].take()
}

/// Waits for a failure that says this, and what to do.
#[track_caller]
fn fails(platform: &Platform, message: &str, hint: &str) {
    let shown =
        wait::until("a failure", || Some(certificate(platform)).filter(|shown| shown["state"] == "failing"));
    let said = |field: &str| shown[field].as_str().unwrap().to_owned();
    assert!(said("message").contains(message), "it does not say `{message}`: {shown}");
    assert!(said("hint").contains(hint), "it does not say `{hint}`: {shown}");
    assert!(shown["next_try_at"].as_i64().is_some(), "{shown}");
}

#[test]
fn a_certificate_is_obtained_and_renewed_while_callers_call() {
    let stage = Stage::new();
    let pebble = stage.pebble(stage.https, 24);
    let mut platform = stage.berth(NAME);
    // It outlives the authority that wrote it.
    let roots = stage.dir.path().join("roots.pem");
    std::fs::copy(pebble.root(), &roots).unwrap();
    let pin = platform.json(&["whoami"])["tls_pin"].as_str().unwrap().to_owned();
    let obtained = || Some(certificate(&platform)).filter(|shown| shown["state"] == "valid");
    let first = wait::until("a certificate", obtained)["expires_at"].as_i64().unwrap();
    // A client that knows the authority alone takes it, from now on without a gap.
    let mut calls = 0;
    wait::until("another certificate", || {
        let called = stage.curl(&roots);
        assert!(called.status.success(), "{}", String::from_utf8_lossy(&called.stderr));
        calls += 1;
        Some(certificate(&platform)).filter(|shown| first < shown["expires_at"].as_i64().unwrap())
    });
    assert!(10 < calls, "callers called meanwhile: {calls}");
    // The key is the one whose pin was told, also after the renewal.
    let pinned = Command::new(BERTH)
        .args(["whoami", "--json", "--tls-pin", &pin])
        .env("BERTH_URL", format!("https://127.0.0.1:{}", stage.https))
        .env("BERTH_TOKEN", platform.token())
        .current_dir(stage.dir.path())
        .output()
        .unwrap();
    assert!(pinned.status.success(), "{}", String::from_utf8_lossy(&pinned.stderr));

    // Nobody else reads the account's key, and the next start has the certificate from its first moment.
    let control = platform.data().join("control");
    let accounts: Vec<PathBuf> =
        std::fs::read_dir(control.join("acme")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    for path in [accounts[0].clone(), control.join("tls/given.pem"), control.join("tls/key.pem")] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    platform.end();
    drop(pebble);
    platform.up();
    assert!(platform.ok(&["whoami"]).contains("admin"));
    let shown = stage.curl(&roots);
    let said = String::from_utf8_lossy(&shown.stderr);
    assert!(
        shown.status.success() || said.contains("expired"),
        "the authority's, not the self-signed one: {said}"
    );
}

#[test]
fn an_authority_that_is_away_is_asked_again() {
    let stage = Stage::new();
    let platform = stage.berth(NAME);
    // The start waited for nobody, and the self-signed certificate is shown.
    let unknown = stage.curl(&stage.root);
    assert!(!unknown.status.success());
    fails(&platform, "cannot be asked", "--acme-root");
    let said = platform.run(&["whoami"]);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("self-signed") && said.contains("What to do"), "{said}");

    let pebble = stage.pebble(stage.https, 3600);
    wait::until("a certificate", || {
        Some(certificate(&platform)).filter(|shown| shown["state"] == "valid" && shown["message"].is_null())
    });
    assert!(stage.curl(&pebble.root()).status.success());
    let log = std::fs::read_to_string(platform.data().join("log/server.log")).unwrap();
    assert_eq!(
        log.matches("there is no certificate from the authority").count(),
        1,
        "it is said once: {log}"
    );
}

#[test]
fn what_an_authority_refuses_is_said_with_what_to_do() {
    let stage = Stage::new();
    // The name leads elsewhere: nobody listens where the authority looks.
    let pebble = stage.pebble(ports::free(), 3600);
    fails(&stage.berth(NAME), "could not see that the name leads here", "port 443");
    fails(&stage.berth("blocked.example.test"), "rejectedIdentifier", "--public-url");
    assert!(pebble.directory().ends_with("/dir"));

    let check = |arguments: &[&str], words: &str| {
        let output = Command::new(BERTH)
            .args(["up", "--listen", "127.0.0.1:0", "--dtma-listen", "127.0.0.1:0", "--data"])
            .arg(stage.dir.path().join("berth-data"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{arguments:?}: {said}");
    };
    let https = ["--https-listen", "127.0.0.1:0", "--acme-email", "me@example.com"];
    check(&https, "--public-url");
    check(&[&https[..], &["--public-url", "https://203.0.113.7"]].concat(), "name of this Berth in the DNS");
    check(
        &[&https[..2], &["--public-url", "https://b.example.com", "--acme-email", "me"]].concat(),
        "me@example.com",
    );
    check(&["--acme-directory", "https://a.example.com"], "--acme-email");
    check(
        &[&https[..], &["--public-url", "https://b.example.com", "--acme-directory", "http://a"]].concat(),
        "https://",
    );
}
