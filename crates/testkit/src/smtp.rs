//! A real mail server, `aiosmtpd`, that tells what it takes. Its user is `berth`, the password `smtp-hidden-password`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Smtp {
    process: Child,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Smtp {
    /// Starts it at an address, with TLS from the first byte on when certificate and key are given. It listens a moment later.
    ///
    /// # Panics
    /// When it cannot be started, or `cargo xtask parts` was not run.
    pub fn start(address: SocketAddr, tls: Option<(&Path, &Path)>) -> Self {
        let part = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/parts/smtp");
        assert!(Path::new(part).exists(), "the mail server is missing: run `cargo xtask parts`");
        let mut command = Command::new("python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/smtp.py"))
            .args([address.ip().to_string(), address.port().to_string()])
            .env("PYTHONPATH", part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((certificate, key)) = tls {
            command.args([certificate, key]);
        }
        let mut process = command.spawn().expect("python3 starts");
        let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (lines, into) = (process.stdout.take().expect("a pipe"), Arc::clone(&taken));
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let letter = serde_json::from_str(&line).expect("a line of JSON");
                into.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
            }
        });
        Self { process, taken }
    }

    /// The subjects of the letters that somebody got, in order.
    pub fn subjects(&self, to: &str) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of = taken.iter().filter(|letter| letter["to"] == to);
        of.map(|letter| letter["subject"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
