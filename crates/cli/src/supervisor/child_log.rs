//! The standard error of one of Berth's processes: every line into its log file, warnings and errors to the terminal
//! too. The file is rotated once it is large; one older file is kept.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;

use crate::output::Output;

/// A larger file is put aside, in bytes (5 MiB).
const LARGEST: u64 = 5 << 20;

/// One log file, written by the process of now and by the last words of the one before.
#[derive(Debug, Clone)]
pub(crate) struct ChildLog(Arc<Mutex<LogFile>>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl ChildLog {
    /// Opens the file, to append.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(LogFile { path: path.to_owned(), file, size }))))
    }

    /// Copies from a process until it closes its end.
    pub(crate) fn copy_from(
        &self,
        stderr: OwnedFd,
        name: &'static str,
        output: Output,
    ) -> std::io::Result<()> {
        let lines = pipe::Receiver::from_owned_fd(stderr)?;
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(lines);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
                log.write(&line);
                let text = String::from_utf8_lossy(&line);
                if is_grave(&text) {
                    output.warn(&format!("{name}: {}", text.trim_end()));
                }
                line.clear();
            }
        });
        Ok(())
    }

    /// A line that cannot be written is lost: a full disk must not stop what is being logged.
    fn write(&self, line: &[u8]) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if LARGEST < log.size {
            let mut aside = log.path.clone().into_os_string();
            aside.push(".1");
            if std::fs::rename(&log.path, aside).is_ok()
                && let Ok(file) = append(&log.path)
            {
                log.file = file;
                log.size = 0;
            }
        }
        if log.file.write_all(line).is_ok() {
            log.size += line.len() as u64;
        }
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Lines are `TIME LEVEL TARGET: …`; anything else, such as a panic, is for the log alone unless it is one.
fn is_grave(line: &str) -> bool {
    matches!(line.split_whitespace().nth(1), Some("WARN" | "ERROR")) || line.contains("panicked at")
}
