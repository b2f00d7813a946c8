//! The server's log: its standard error and what the shim has to say of it, line by line, on disk within bounds.
//!
//! A line is `2026-11-22T10:00:00.123456Z stderr text`. At 5 MiB the file becomes `….1` and a new one begins, so a server
//! that floods its standard error costs 10 MiB and no more. A full disk loses lines, says how many once there is room
//! again, and stops nothing.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use domain::time::Timestamp;
use rustix::fs::OFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Where a file ends and the next begins, in bytes.
const ROTATE_AT: u64 = 5 << 20;
/// Longer lines are cut into several, in bytes.
const MAX_LINE: usize = 8 << 10;
/// Lines that are kept as a server's last words.
const LAST_LINES: usize = 5;
/// Of each last line, so many characters.
const LAST_LINE_CHARS: usize = 300;

#[derive(Debug)]
pub(crate) struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    lost: u64,
    last: VecDeque<String>,
}

impl Journal {
    /// Opens the log for appending.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { inner: Mutex::new(Inner { path, file: Some(file), size, lost: 0, last: VecDeque::new() }) })
    }

    /// Writes a line of the shim's own.
    pub(crate) fn note(&self, text: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.write("shim", &[text.as_bytes()]);
    }

    /// Forgets the last words of an earlier process.
    pub(crate) fn begin_life(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last.clear();
    }

    /// The last lines on standard error of this process, joined; empty when it said nothing.
    pub(crate) fn last_words(&self) -> String {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Takes a server's standard error to its end.
    pub(crate) async fn follow(&self, mut stderr: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; MAX_LINE];
        let mut len = 0;
        loop {
            // A read error ends the log of this process as its end does; there is nobody to tell.
            let count = stderr.read(&mut buffer[len..]).await.unwrap_or(0);
            len += count;
            let whole = match memchr_last(&buffer[..len]) {
                Some(at) => at + 1,
                None if count == 0 || len == buffer.len() => len,
                None => continue,
            };
            if 0 < whole {
                self.take(&buffer[..whole]);
                buffer.copy_within(whole..len, 0);
                len -= whole;
            }
            if count == 0 {
                if 0 < len {
                    self.take(&buffer[..len]);
                }
                return;
            }
        }
    }

    fn take(&self, chunk: &[u8]) {
        let chunk = chunk.strip_suffix(b"\n").unwrap_or(chunk);
        let lines: Vec<&[u8]> =
            chunk.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter().rev().take(LAST_LINES).rev().filter(|line| !line.is_empty()) {
            if LAST_LINES <= inner.last.len() {
                inner.last.pop_front();
            }
            inner.last.push_back(String::from_utf8_lossy(line).chars().take(LAST_LINE_CHARS).collect());
        }
        inner.write("stderr", &lines);
    }
}

impl Inner {
    fn write(&mut self, source: &str, lines: &[&[u8]]) {
        let now = Timestamp::from(SystemTime::now());
        let mut text = Vec::new();
        if 0 < self.lost {
            let note = format!("{now} shim {} lines were lost: the log could not be written\n", self.lost);
            text.extend_from_slice(note.as_bytes());
        }
        for line in lines {
            text.extend_from_slice(format!("{now} {source} ").as_bytes());
            text.extend_from_slice(String::from_utf8_lossy(line).as_bytes());
            text.push(b'\n');
        }
        match self.append(&text) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += lines.len() as u64,
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if ROTATE_AT < self.size + text.len() as u64 {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            self.file = None;
        }
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
            self.size = 0;
        }
        if let Some(file) = &mut self.file {
            file.write_all(text)?;
        }
        self.size += text.len() as u64;
        Ok(())
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    // `OFlags` and the `i32` of the standard library are the same bits.
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
}

fn memchr_last(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n')
}
