//! A real identity provider, `oidc-provider` of npm, and a browser that signs in there. Its client is `berth`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::conformance::{node, parts};

/// The client's secret, with characters that must be encoded.
pub const SECRET: &str = "oidc-hidden-secret:%/+";
/// More steps than any sign-in has.
const STEPS: usize = 12;

/// The provider; it ends when this is dropped.
#[derive(Debug)]
pub struct Oidc {
    process: Child,
    issuer: String,
    redirect_uri: String,
}

impl Oidc {
    /// Starts it for a client that is sent back to this address.
    ///
    /// # Panics
    /// When it cannot be started, or `cargo xtask parts` was not run.
    pub fn start(redirect_uri: &str) -> Self {
        let part = parts().join("oidc");
        assert!(part.exists(), "the identity provider is missing: run `cargo xtask parts`");
        let mut process = Command::new(node(&parts().join("conformance/node_modules")))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/oidc.mjs"))
            .arg(part)
            .arg(redirect_uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        assert!(line.starts_with("http://"), "the identity provider does not start: {line:?}");
        Self { process, issuer: line.trim().to_owned(), redirect_uri: redirect_uri.to_owned() }
    }

    /// Its address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Goes to the address that Berth sends browsers to, signs in as `login`, and gives the address that one is sent back to.
    ///
    /// # Panics
    /// When the provider sends nobody back.
    pub fn sign_in(&self, url: &str, login: &str) -> String {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (jar, page) = (dir.path().join("cookies"), dir.path().join("page"));
        let (mut url, mut form): (String, Option<String>) = (url.to_owned(), None);
        for _ in 0..STEPS {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-w", "%{redirect_url}", "-o"])
                .arg(&page)
                .arg("-b")
                .arg(&jar)
                .arg("-c")
                .arg(&jar);
            if let Some(form) = form.take() {
                curl.args(["--data", &form]);
            }
            let output = curl.arg(&url).output().expect("curl starts");
            assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
            let next = String::from_utf8_lossy(&output.stdout).into_owned();
            if next.starts_with(&self.redirect_uri) {
                return next;
            }
            if !next.is_empty() {
                url = next;
                continue;
            }
            let text = std::fs::read_to_string(&page).expect("a page");
            let action = text.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
            url = action.unwrap_or_else(|| panic!("{url} has no form: {text}")).to_owned();
            form = Some(format!("prompt=login&login={login}"));
        }
        panic!("nobody was sent back within {STEPS} steps")
    }
}

impl Drop for Oidc {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
