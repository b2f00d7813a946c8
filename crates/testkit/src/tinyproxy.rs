//! A real forward proxy with a password.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{ports, wait};

/// The user and the password that it wants.
pub const LOGIN: (&str, &str) = ("me", "hunter2");

/// A running one; it ends when this is dropped.
#[derive(Debug)]
pub struct Tinyproxy {
    process: Child,
    address: SocketAddr,
    home: tempfile::TempDir,
}

impl Tinyproxy {
    /// Starts one on the loopback address.
    ///
    /// # Panics
    /// When it is not installed, or does not start in time.
    pub fn start() -> Self {
        let program = "/usr/bin/tinyproxy";
        assert!(Path::new(program).exists(), "tinyproxy is missing: run `apt-get install tinyproxy-bin`");
        let home = tempfile::tempdir().expect("a temporary directory");
        let (port, (user, password)) = (ports::free(), LOGIN);
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nLogLevel Connect\nLogFile \"{}/log\"\nBasicAuth {user} {password}\n",
            home.path().display()
        );
        fs::write(home.path().join("tinyproxy.conf"), config).expect("its configuration");
        let process = Command::new(program)
            .args(["-d", "-c"])
            .arg(home.path().join("tinyproxy.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = Self { process, address, home };
        wait::until("the proxy", || TcpStream::connect(address).ok());
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- tinyproxy\n{}", self.log());
        }
        // One that ended already is no loss.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
