//! Reading an instance's log: its last lines, and the lines that follow.
//!
//! The shim writes `server.log` and rotates it to `server.log.1`. The files are opened without following a link. Lines
//! are streamed as bytes in pieces, so that no line and no tail is held whole.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use rustix::fs::{Mode, OFlags};

/// The log's name in the instance's directory.
pub(crate) const LOG: &str = "server.log";
const ROTATED: &str = "server.log.1";
/// Lines shown when nobody says how many.
pub(crate) const DEFAULT_TAIL: u32 = 100;
const PIECE: usize = 16 << 10;
/// How often a follower looks for more.
const LOOK: Duration = Duration::from_millis(100);

/// The last `tail` lines of the log in `dir`, and with `follow` all that come after, until `ended` is done.
///
/// # Errors
/// The log exists and cannot be read. No log yet is an empty one.
pub(crate) fn read(
    dir: &Path,
    tail: u32,
    follow: bool,
    ended: impl Future<Output = ()> + Send + 'static,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    let mut reader = Reader::open(dir, tail)?;
    let ended = Box::pin(ended);
    reader.follow = follow;
    Ok(futures_util::stream::unfold((reader, ended), |(mut reader, mut ended)| async move {
        loop {
            match reader.piece() {
                Ok(Some(piece)) => return Some((Ok(piece), (reader, ended))),
                Ok(None) if !reader.follow => return None,
                Ok(None) => {}
                Err(error) => {
                    reader.follow = false;
                    reader.files.clear();
                    return Some((Err(error), (reader, ended)));
                }
            }
            tokio::select! {
                () = &mut ended => {
                    // What was written last is still sent: it is what says why.
                    reader.follow = false;
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }))
}

struct Reader {
    dir: PathBuf,
    /// What is read, oldest first; a follower keeps the last one.
    files: Vec<File>,
    follow: bool,
}

impl Reader {
    fn open(dir: &Path, tail: u32) -> io::Result<Self> {
        let mut wanted = u64::from(tail);
        let mut files = Vec::new();
        // The rotated file is opened first: a rotation in between then shows lines twice rather than not at all,
        // and the comparison below drops that case.
        let rotated = open(dir, ROTATED)?;
        if let Some(mut current) = open(dir, LOG)? {
            wanted -= seek_back(&mut current, wanted)?;
            files.push(current);
        }
        if let (Some(mut rotated), true) = (rotated, 0 < wanted)
            && !is_same(files.last(), &rotated)?
        {
            seek_back(&mut rotated, wanted)?;
            files.insert(0, rotated);
        }
        Ok(Self { dir: dir.to_owned(), files, follow: false })
    }

    /// The next bytes; `None` when there are none now.
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some(file) = self.files.first_mut() else {
                match open(&self.dir, LOG)? {
                    Some(file) if self.follow => self.files.push(file),
                    _ => return Ok(None),
                }
                continue;
            };
            let mut piece = vec![0; PIECE];
            let length = file.read(&mut piece)?;
            if 0 < length {
                piece.truncate(length);
                return Ok(Some(piece.into()));
            }
            if 1 < self.files.len() {
                self.files.remove(0);
                continue;
            }
            if !self.follow {
                return Ok(None);
            }
            // At its end: is it still the log? When not, it has been rotated away, and what was written to it before
            // that has been read, unless it came between the read above and the rotation: so read once more.
            match open(&self.dir, LOG)? {
                Some(newer) if !is_same(self.files.last(), &newer)? => self.files.push(newer),
                _ => return Ok(None),
            }
        }
    }
}

/// `None` when there is no such file.
fn open(dir: &Path, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|dir: OwnedFd| rustix::fs::openat(&dir, name, flags, Mode::empty()));
    match opened {
        Ok(file) => {
            let file = File::from(file);
            if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(io::ErrorKind::InvalidInput.into()) }
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_same(one: Option<&File>, other: &File) -> io::Result<bool> {
    let Some(one) = one else { return Ok(false) };
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Puts the file's position before its last `lines` lines and says how many lines there are from there, at most
/// `lines`. A last line without its newline counts.
fn seek_back(file: &mut File, lines: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(0);
    }
    let mut piece = vec![0; PIECE];
    let mut found = 0;
    let mut at = end;
    while 0 < at {
        let length = at.min(PIECE as u64);
        at -= length;
        // Within `PIECE`, so it fits.
        let bytes = &mut piece[..usize::try_from(length).unwrap_or(PIECE)];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|&(_, &byte)| byte == b'\n') {
            let after = at + index as u64 + 1;
            // The newline at the very end ends the last line, it does not begin another.
            if after == end {
                continue;
            }
            found += 1;
            if found == lines {
                file.seek(SeekFrom::Start(after))?;
                return Ok(found);
            }
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(if end == 0 { 0 } else { found + 1 })
}

#[cfg(test)]
mod tests;
