//! The sessions of one shim: ids are sealed and read here, and the ended ones are kept in a file.
//!
//! A line is appended before DELETE is answered, so an ended session stays ended when the shim is killed. The file is
//! written anew at the start, without what is past; it does not outlive the host's own crash by promise.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use mcp::revision::Revision;
use mcp::session::{Ended, RANDOM, Sealer, Session};

#[derive(Debug)]
pub(crate) struct Sessions {
    sealer: Sealer,
    ended: Ended,
    file: File,
}

impl Sessions {
    /// Reads the file and writes it anew.
    pub(crate) fn open(path: &Path, sealer: Sealer) -> io::Result<Self> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let ended = Ended::read(&text, now());
        // Written beside and renamed: the old file stays whole until the new one is.
        let beside = path.with_extension("new");
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(ended.lines().as_bytes())?;
        fs::rename(&beside, path)?;
        Ok(Self { sealer, ended, file })
    }

    /// Begins one; gives it and its id.
    pub(crate) fn begin(
        &self,
        principal: &str,
        revision: Revision,
        is_sse: bool,
    ) -> Result<(Session, String), getrandom::Error> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random)?;
        Ok(self.sealer.begin(random, principal, revision, is_sse, now()))
    }

    /// A principal's session. `None`: unknown, ended, or somebody else's.
    pub(crate) fn find(&self, text: &str, principal: &str) -> Option<Session> {
        self.sealer.open(text, principal, now()).filter(|session| !self.ended.has(session))
    }

    /// Ends one. It is ended in this shim's memory also when it could not be written down.
    pub(crate) fn end(&mut self, session: &Session) -> io::Result<()> {
        self.ended.end(session);
        self.file.write_all(Ended::line(session).as_bytes())
    }
}

/// In seconds since 1970; a clock before that stands at it.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
