//! The sessions of one shim: ids are sealed and read here, the ended ones are kept in a file, and what their clients said
//! at `initialize` in another.
//!
//! A line is appended before DELETE is answered, so an ended session stays ended when the shim is killed. The file is
//! written anew at the start, without what is past; it does not outlive the host's own crash by promise. What clients said
//! is written once for each kind of client, before its first session is given out: a server that is started again is told
//! the same, and the session goes on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mcp::client::Hello;
use mcp::session::{Begin, Ended, RANDOM, Sealer, Session};

/// Kinds of clients that are remembered; of those above, only what matters most is known, which is in the session's id.
const MAX_HELLOS: usize = 1024;
/// The longest line of the clients' file, in bytes.
const MAX_HELLO: usize = 64 << 10;

/// Ids that were opened and need not be opened again; above it all are forgotten.
const MAX_OPENED: usize = 512;

#[derive(Debug)]
pub(crate) struct Sessions {
    sealer: Sealer,
    /// By id: whose it is, and what was in it. Opening one costs more than all else that a call asks here.
    opened: HashMap<Box<str>, (Box<str>, Session)>,
    ended: Ended,
    ended_file: File,
    hellos: HashMap<u64, Arc<Hello>>,
    hello_file: File,
}

impl Sessions {
    /// Reads the files and writes them anew.
    pub(crate) fn open(path: &Path, sealer: Sealer) -> io::Result<Self> {
        let ended = Ended::read(&read(path)?, now());
        let ended_file = write_anew(path, &ended.lines())?;
        let clients = path.with_file_name("clients");
        let hellos: HashMap<u64, Arc<Hello>> = read(&clients)?
            .lines()
            .filter_map(Hello::of_line)
            .map(|hello| (hello.id(), Arc::new(hello)))
            .take(MAX_HELLOS)
            .collect();
        let lines: String = hellos.values().map(|hello| hello.line()).collect();
        let hello_file = write_anew(&clients, &lines)?;
        Ok(Self { sealer, opened: HashMap::new(), ended, ended_file, hellos, hello_file })
    }

    /// Begins one; gives it and its id.
    pub(crate) fn begin(
        &mut self,
        principal: &str,
        hello: Option<Hello>,
        begin: Begin,
    ) -> io::Result<(Session, String)> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        if let Some(hello) = hello {
            self.remember(hello)?;
        }
        Ok(self.sealer.begin(random, principal, begin, now()))
    }

    fn remember(&mut self, hello: Hello) -> io::Result<()> {
        let id = hello.id();
        let line = hello.line();
        if self.hellos.contains_key(&id) || MAX_HELLOS <= self.hellos.len() || MAX_HELLO < line.len() {
            return Ok(());
        }
        self.hello_file.write_all(line.as_bytes())?;
        self.hellos.insert(id, Arc::new(hello));
        Ok(())
    }

    /// What the client of a session said.
    pub(crate) fn hello(&self, session: &Session) -> Arc<Hello> {
        let known = self.hellos.get(&session.hello).map(Arc::clone);
        known.unwrap_or_else(|| Arc::new(Hello::of_bits(session.revision, session.can)))
    }

    /// A principal's session. `None`: unknown, ended, or somebody else's.
    pub(crate) fn find(&mut self, text: &str, principal: &str) -> Option<Session> {
        let now = now();
        let known =
            self.opened.get(text).filter(|(whose, session)| **whose == *principal && now < session.until);
        let session = if let Some((_, session)) = known {
            *session
        } else {
            let session = self.sealer.open(text, principal, now)?;
            if MAX_OPENED <= self.opened.len() {
                self.opened.clear();
            }
            self.opened.insert(text.into(), (principal.into(), session));
            session
        };
        (!self.ended.has(&session)).then_some(session)
    }

    /// Ends one. It is ended in this shim's memory also when it could not be written down.
    pub(crate) fn end(&mut self, session: &Session) -> io::Result<()> {
        self.ended.end(session);
        self.ended_file.write_all(Ended::line(session).as_bytes())
    }
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Written beside and renamed: the old file stays whole until the new one is.
fn write_anew(path: &Path, text: &str) -> io::Result<File> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&beside, path)?;
    Ok(file)
}

/// In seconds since 1970; a clock before that stands at it.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
