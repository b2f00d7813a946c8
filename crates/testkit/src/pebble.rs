//! A real authority that speaks ACME: Let's Encrypt's own Pebble, with the DNS that it asks, in which every name is this machine.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::{ports, wait};

/// How one behaves.
#[derive(Debug)]
pub struct Options<'a> {
    /// Certificate of the authority's own address, 127.0.0.1, and its key, in PEM.
    pub certificate: &'a Path,
    /// The key.
    pub key: &'a Path,
    /// Where the authority listens.
    pub port: u16,
    /// Where it expects the TLS of every name.
    pub tls_port: u16,
    /// How long its certificates are valid, in seconds.
    pub seconds: u64,
    /// Names that it certifies for nobody.
    pub blocked: &'a [&'a str],
}

/// A running one; it ends when this is dropped.
#[derive(Debug)]
pub struct Pebble {
    authority: Child,
    dns: Child,
    port: u16,
    management: u16,
    home: tempfile::TempDir,
}

impl Pebble {
    /// Starts one.
    ///
    /// # Panics
    /// When it is not installed, or does not start in time.
    pub fn start(options: &Options<'_>) -> Self {
        assert!(Path::new("/usr/bin/pebble").exists(), "Pebble is missing: run `apt-get install pebble`");
        let home = tempfile::tempdir().expect("a temporary directory");
        let (port, management) = (options.port, ports::free());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": options.certificate, "privateKey": options.key,
            "httpPort": 1, "tlsPort": options.tls_port, "ocspResponderURL": "",
            "externalAccountBindingRequired": false, "domainBlocklist": options.blocked,
            "certificateValidityPeriod": options.seconds,
        }});
        fs::write(home.path().join("config.json"), config.to_string()).expect("its configuration");
        let log = |name: &str| fs::File::create(home.path().join(name)).expect("a log");
        let dns_address = format!("127.0.0.1:{}", ports::free());
        let dns = Command::new("/usr/bin/pebble-challtestsrv")
            .args([
                "-dns01",
                &dns_address,
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv6",
                "",
            ])
            .args(["-management", &format!("127.0.0.1:{}", ports::free())])
            .stdin(Stdio::null())
            .stdout(log("dns.log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("its DNS starts");
        let authority = Command::new("/usr/bin/pebble")
            .args(["-dnsserver", &dns_address, "-config"])
            .arg(home.path().join("config.json"))
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .spawn()
            .expect("Pebble starts");
        let pebble = Self { authority, dns, port, management, home };
        wait::until("the authority", || {
            TcpStream::connect(("127.0.0.1", port))
                .ok()
                .and(TcpStream::connect(("127.0.0.1", management)).ok())
        });
        pebble
    }

    /// Its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// A file with the certificate of the authority that signs.
    ///
    /// # Panics
    /// When it does not give it.
    pub fn root(&self) -> PathBuf {
        let file = self.home.path().join("root.pem");
        let status = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--insecure", "--output"])
            .arg(&file)
            .arg(format!("https://127.0.0.1:{}/roots/0", self.management))
            .status();
        assert!(status.expect("curl starts").success(), "it gives its certificate");
        file
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["pebble.log", "pebble.err"] {
                eprintln!(
                    "--- {name}\n{}",
                    fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
                );
            }
        }
        for process in [&mut self.authority, &mut self.dns] {
            // One that ended already is no loss.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
