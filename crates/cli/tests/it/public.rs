//! The address that others use: TLS with a certificate of an authority, or with a key that is known by its pin.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use serde_json::Value;
use testkit::platform::Platform;
use testkit::{ports, processes, wait};

use crate::BERTH;
use crate::tunnel::{Host, says_hi};

const OTHER: &str = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// `berth whoami` from elsewhere: with an address and a token, and nothing of this machine's files.
struct Caller {
    url: String,
    token: String,
    nowhere: tempfile::TempDir,
}

impl Caller {
    fn of(platform: &Platform, url: &Value) -> Self {
        Self {
            url: url.as_str().unwrap().to_owned(),
            token: platform.token().to_owned(),
            nowhere: tempfile::tempdir().unwrap(),
        }
    }

    fn run(&self, pin: Option<&str>, authorities: Option<&Path>) -> Output {
        let mut command = Command::new(BERTH);
        command.args(["whoami", "--json"]).current_dir(self.nowhere.path());
        command.env("BERTH_URL", &self.url).env("BERTH_TOKEN", &self.token);
        command.envs(pin.map(|pin| ("BERTH_TLS_PIN", pin)));
        command.envs(authorities.map(|file| ("SSL_CERT_FILE", file)));
        command.output().unwrap()
    }

    #[track_caller]
    fn check(&self, pin: Option<&str>, authorities: Option<&Path>, expected: Result<(), &str>) {
        let output = self.run(pin, authorities);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), expected.is_ok(), "{said}");
        if let Err(words) = expected {
            assert!(said.contains(words), "it does not say `{words}`: {said}");
        }
    }
}

#[test]
fn hosts_and_callers_elsewhere_know_a_self_signed_certificate_by_its_pin() {
    let mut platform =
        Platform::start_with(BERTH, &["--heartbeat-ms", "500", "--https-listen", "127.0.0.1:0"]);
    let server = platform.json(&["whoami"]);
    let (url, pin) = (server["public_url"].as_str().unwrap(), server["tls_pin"].as_str().unwrap());
    assert!(url.starts_with("https://127.0.0.1:"), "{server}");
    let welcome = platform.json(&["status", "welcome"]);
    assert!(welcome["url"].as_str().unwrap().starts_with(url), "clients are told the same: {welcome}");

    let caller = Caller::of(&platform, &server["public_url"]);
    caller.check(Some(pin), None, Ok(()));
    caller.check(Some(OTHER), None, Err("give the pin that it prints now"));
    caller.check(None, None, Err("--tls-pin"));
    let plain =
        Caller { url: url.replace("https:", "http:"), ..Caller::of(&platform, &server["public_url"]) };
    plain.check(None, None, Err("broke off"));
    plain.check(Some(pin), None, Err("plain HTTP"));

    // A host elsewhere reports and opens its tunnel over TLS.
    let host = Host::enrol_at(&platform, "far", &["--control-url", url, "--tls-pin", pin]);
    platform.ok(&["deploy", "welcome", "--name", "there", "--env", "far", "--wait"]);
    says_hi(&platform, "there");
    assert_eq!(platform.json(&["env", "show", "far"])["status"], "active");

    // One that expects another key speaks to nobody, and says what to do.
    let wrong = Host::enrol_at(&platform, "wrong", &["--control-url", url, "--tls-pin", OTHER]);
    wait::until("a refusal in its log", || {
        let log = wrong.log();
        (log.contains("no heartbeat") && log.contains("there is no tunnel")).then_some(())
    });
    assert!(wrong.log().contains("give the pin that it prints now"), "{}", wrong.log());
    assert_eq!(platform.json(&["env", "show", "wrong"])["last_heartbeat_at"], Value::Null);

    // The supervisor keeps this socket too: whoever calls while the server is started again waits.
    processes::kill(platform.own("server"));
    caller.check(Some(pin), None, Ok(()));
    says_hi(&platform, "there");

    // The key outlives a start, and so does its pin.
    drop((host, wrong));
    platform.end();
    platform.up();
    assert_eq!(platform.json(&["whoami"])["tls_pin"], pin);
}

/// An address that nobody has.
fn free() -> String {
    format!("127.0.0.1:{}", ports::free())
}

#[test]
fn a_host_is_dialled_over_tls_and_known_by_its_pin() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500"]);
    let mut host = Host::new();
    let pin_of = |host: &Host| {
        let output = Command::new(BERTH).args(["dtma", "pin", "--data"]).arg(host.data()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (pin, address) = (pin_of(&host), free());
    assert_eq!(pin_of(&host), pin, "it is made once");
    let add = ["env", "add", "host", "--name", "far", "--address", &address];
    let added = platform.json(&[&add[..], &["--host-pin", &pin]].concat());
    let line = added["enrolment"]["command"].as_str().unwrap();
    let line = format!("{line} --no-service --data {}", host.data().display());
    let pasted = Command::new("sh").arg("-c").arg(line).output().unwrap();
    let said = String::from_utf8_lossy(&pasted.stderr);
    assert!(pasted.status.success() && said.contains(&format!("--listen {address} --tls")), "{said}");
    host.start_with(&["--tls", "--listen", &address]);
    platform.ok(&["deploy", "welcome", "--name", "there", "--env", "far", "--wait"]);
    for _ in 0..3 {
        says_hi(&platform, "there");
    }
    let log = platform.ok(&["logs", "there"]);
    assert!(log.contains("runs, revision"), "{log}");
    assert_eq!(platform.json(&["env", "show", "far"])["message"], Value::Null);

    // A machine that is paid for could never report to this one alone.
    let order = ["env", "add", "digitalocean", "--name", "x", "--region", "fra1", "--size", "s-1vcpu-1gb"];
    let refused = platform.run(&order);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("machine alone"), "{said}");

    // Another key answers than the one that is expected, or none: nothing is sent there, and the status says why.
    let mut wrong = Host::new();
    let (address, control) = (free(), ["--control-url", platform.url()]);
    let add = ["env", "add", "host", "--name", "wrong", "--address", &address, "--host-pin", OTHER];
    let added = platform.json(&add);
    wrong.enrolled(&platform, "wrong", &added, &control);
    wrong.start_with(&["--tls", "--listen", &address]);
    let message = wait::until("a message", || {
        let shown = platform.json(&["env", "show", "wrong"]);
        shown["message"].as_str().filter(|message| message.contains(OTHER)).map(str::to_owned)
    });
    assert!(message.contains(&pin_of(&wrong)) && message.contains("berth dtma pin"), "{message}");
}

#[test]
fn a_service_may_serve_tls() {
    let install = ["dtma", "install", "--print", "--tls", "--listen", "10.0.0.5:30000"];
    let output = Command::new(BERTH).args(install).output().unwrap();
    let units = String::from_utf8_lossy(&output.stdout);
    let line = units.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    assert!(line.contains("--listen 10.0.0.5:30000") && line.ends_with(" --tls"), "{units}");
}

/// An authority of its own, with what a server needs of it.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
}

impl Authority {
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = dir.join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// Writes a certificate for 127.0.0.1, as a renewal does: one file and then the other.
    pub(crate) fn issue(&self, dir: &Path, last_year: i32) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    }
}

#[test]
fn certificate_files_are_shown_and_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(dir.path(), "first"), Authority::new(dir.path(), "second"));
    first.issue(dir.path(), 4000);
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let arguments = [
        "--https-listen",
        "127.0.0.1:0",
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let platform = Platform::start_with(BERTH, &arguments);
    let server = platform.json(&["whoami"]);
    assert_eq!(server["tls_pin"], Value::Null, "an authority knows it");
    let caller = Caller::of(&platform, &server["public_url"]);
    caller.check(None, Some(&first.file), Ok(()));
    caller.check(None, Some(&second.file), Err("UnknownIssuer"));

    second.issue(dir.path(), 4000);
    caller.check(None, Some(&second.file), Ok(()));
    caller.check(None, Some(&first.file), Err("UnknownIssuer"));

    // Half a renewal: what was there before is shown.
    std::fs::write(&key, "no key at all").unwrap();
    caller.check(None, Some(&second.file), Ok(()));

    second.issue(dir.path(), 2020);
    caller.check(None, Some(&second.file), Err("xpired"));
}

#[test]
fn plain_http_leads_to_the_public_address_which_must_answer_before_a_host_is_added() {
    let redirect = free();
    let https = free();
    let public = "https://berth.invalid";
    let arguments = ["--https-listen", &https, "--http-redirect", &redirect, "--public-url", public];
    let platform = Platform::start_with(BERTH, &arguments);
    let head = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&redirect).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_ascii_lowercase()
    };
    let answer = head("/mcp/default/welcome?x=1");
    assert!(answer.starts_with("http/1.1 308 "), "{answer}");
    assert!(answer.contains("location: https://berth.invalid/mcp/default/welcome?x=1\r\n"), "{answer}");
    assert!(head("/healthz").starts_with("http/1.1 200 "));
    assert!(head("/.well-known/acme-challenge/x").starts_with("http/1.1 404 "));

    // Nothing answers at that name, so a host that is told it could never report.
    let add = ["env", "add", "host", "--name", "far"];
    let order = ["env", "add", "digitalocean", "--name", "far", "--region", "fra1", "--size", "s-1vcpu-1gb"];
    for arguments in [&add[..], &order] {
        let refused = platform.run(arguments);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(public) && said.contains("--no-check"), "{said}");
    }
    assert_eq!(platform.json(&["env", "list"]).as_array().unwrap().len(), 1, "nothing was made");
    platform.ok(&[&add[..], &["--no-check"]].concat());
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    Authority::new(dir.path(), "first").issue(dir.path(), 4000);
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let files = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let check = |arguments: &[&str], code: i32, words: &str| {
        let output = Command::new(BERTH)
            .args(["up", "--listen", "127.0.0.1:0", "--dtma-listen", "127.0.0.1:0", "--data"])
            .arg(dir.path().join("berth-data"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?} does not say `{words}`: {said}");
    };
    check(&[&files[..], &["--https-listen", "127.0.0.1:0"]].concat(), 1, "does not fit");
    check(&["--http-redirect", "127.0.0.1:0"], 2, "nowhere to lead");
    check(&files, 2, "--https-listen");
    check(&["--https-listen", "127.0.0.1:0", "--tls-cert", "x"], 2, "--tls-key");
    check(&["--public-url", "https://berth.example.com/path"], 2, "it must end behind the host");
    check(&["--public-url", "https://me:secret@berth.example.com"], 2, "no user");
}
