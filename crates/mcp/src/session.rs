//! Legacy sessions (`Mcp-Session-Id`): made at `initialize`, bound to a principal, ended by DELETE.
//!
//! A session holds no conversation: the process is shared, so all that is kept is who may use the id and which revision
//! was agreed. Another principal's id is answered like one that never was. An id is no proof of who calls; the gateway
//! has established that before.

use std::collections::HashMap;
use std::fmt;

use crate::revision::Revision;

/// A session id: 128 random bits as 32 hexadecimal digits, which are visible ASCII as the specification asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// Of 16 bytes from the system's random source.
    pub fn of_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Of a header's value; `None` for anything that was not made here.
    pub fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_ours { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    principal: Box<str>,
    revision: Revision,
    /// Grows with every use, over all sessions: the smallest is the one unused for longest.
    used: u64,
}

/// The sessions of one shim; at most so many, the one unused for longest goes first.
#[derive(Debug)]
pub struct Sessions {
    by_id: HashMap<SessionId, Session>,
    uses: u64,
    limit: usize,
}

impl Sessions {
    /// None yet, at most `limit` ever.
    pub fn new(limit: usize) -> Self {
        Self { by_id: HashMap::new(), uses: 0, limit }
    }

    /// Begins one.
    pub fn begin(&mut self, id: SessionId, principal: &str, revision: Revision) {
        if self.limit <= self.by_id.len() {
            let unused = self.by_id.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id);
            if let Some(unused) = unused {
                self.by_id.remove(&unused);
            }
        }
        self.uses += 1;
        self.by_id.insert(id, Session { principal: principal.into(), revision, used: self.uses });
    }

    /// The revision of a principal's session, and marks it used. `None`: unknown, ended, or somebody else's.
    pub fn touch(&mut self, id: SessionId, principal: &str) -> Option<Revision> {
        let session = self.by_id.get_mut(&id).filter(|session| *session.principal == *principal)?;
        self.uses += 1;
        session.used = self.uses;
        Some(session.revision)
    }

    /// Ends a session, whoever's.
    pub fn forget(&mut self, id: SessionId) {
        self.by_id.remove(&id);
    }

    /// Ends a principal's session; whether there was one.
    pub fn end(&mut self, id: SessionId, principal: &str) -> bool {
        let is_theirs = self.touch(id, principal).is_some();
        if is_theirs {
            self.by_id.remove(&id);
        }
        is_theirs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn belongs_to_its_principal_until_ended() {
        let mut sessions = Sessions::new(10);
        let id = SessionId::of_random([7; 16]);
        sessions.begin(id, "user:a", Revision::V2025_06_18);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(sessions.touch(id, "user:a"), Some(Revision::V2025_06_18));
        assert_eq!(sessions.touch(id, "user:b"), None);
        assert!(!sessions.end(id, "user:b"));
        assert!(sessions.end(id, "user:a"));
        assert!(!sessions.end(id, "user:a"));
    }

    #[test]
    fn the_one_unused_for_longest_goes_first() {
        let mut sessions = Sessions::new(2);
        let [a, b, c] = [1, 2, 3].map(|byte| SessionId::of_random([byte; 16]));
        sessions.begin(a, "p", Revision::V2025_11_25);
        sessions.begin(b, "p", Revision::V2025_11_25);
        sessions.touch(a, "p");
        sessions.begin(c, "p", Revision::V2025_11_25);
        assert_eq!([a, b, c].map(|id| sessions.touch(id, "p").is_some()), [true, false, true]);
    }

    #[test]
    fn foreign_ids_are_no_ids() {
        for text in [
            "",
            "x",
            "G0000000000000000000000000000000",
            "0000000000000000000000000000000A",
            "+000000000000000000000000000000a",
        ] {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }
}
