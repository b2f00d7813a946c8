//! Legacy sessions (`Mcp-Session-Id`): made at `initialize`, bound to a principal, ended by DELETE.
//!
//! An id is `generation.sealed`: whose the session is, which revision was agreed and until when it lasts are in the id
//! itself, sealed with XChaCha20-Poly1305. So a session costs no memory, and goes on after the shim was restarted, which
//! needs the instance's key and nothing else. What has to be remembered is which sessions were ended before their time:
//! [`Ended`]. An id is no proof of who calls; the gateway has established that before.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::client::Capabilities;
use crate::revision::Revision;

/// A session lasts so many seconds (30 days); then its client initialises again.
const LIFETIME: u64 = 30 * 24 * 60 * 60;
/// The format of what is sealed.
const FORMAT: u8 = 2;
/// Format, id, revision, flags, capabilities, end, hello, principal.
const PLAIN: usize = 1 + 16 + 1 + 1 + 1 + 8 + 8 + 16;
const NONCE: usize = 24;
const TAG: usize = 16;
/// No id of ours is longer, in bytes.
const MAX_TEXT: usize = 20 + 1 + (NONCE + PLAIN + TAG) * 4 / 3 + 1;
/// Digits of an id where it is written down; fewer are what is left of one.
const ID_DIGITS: usize = 32;
/// Ended sessions that are remembered one by one.
const MAX_ENDED: usize = 65_536;
/// The session's stream is that of HTTP+SSE, and it ends with it.
const FLAG_SSE: u8 = 1;

/// Random bytes that a new session needs.
pub const RANDOM: usize = 16 + NONCE;

/// Names a session among those of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// Of 16 bytes from the system's random source.
    pub fn of_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// A session, as its id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// What was agreed.
    pub revision: Revision,
    /// Whether it is one of HTTP+SSE, which ends with its stream.
    pub is_sse: bool,
    /// What its client can be asked.
    pub can: Capabilities,
    /// Names what its client said at `initialize` ([`crate::client::Hello::id`]); 0 before that.
    pub hello: u64,
    /// When it ends by itself, in seconds since 1970.
    pub until: u64,
}

/// What a session is begun with.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    /// What was agreed.
    pub revision: Revision,
    /// Whether it is one of HTTP+SSE.
    pub is_sse: bool,
    /// What its client can be asked.
    pub can: Capabilities,
    /// Names what its client said.
    pub hello: u64,
}

/// Makes and reads session ids.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    generation: u64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Sealer {
    /// With a key derived from the instance's. `generation` is that of the instance's spec; it tells people, and clients
    /// that care, which sessions are older than a change. Sessions of all generations are read.
    pub fn new(instance_key: &str, generation: u64) -> Self {
        let key = Sha256::new().chain_update(b"berth session\0").chain_update(instance_key).finalize();
        Self { cipher: XChaCha20Poly1305::new(&<[u8; 32]>::from(key).into()), generation }
    }

    /// Begins a session, at `now` in seconds since 1970; gives it and its id.
    pub fn begin(&self, random: [u8; RANDOM], principal: &str, begin: Begin, now: u64) -> (Session, String) {
        let Begin { revision, is_sse, can, hello } = begin;
        let (id, nonce) = random.split_at(16);
        let until = now + LIFETIME;
        let mut plain = Vec::with_capacity(PLAIN);
        plain.push(FORMAT);
        plain.extend_from_slice(id);
        let place = Revision::ALL.iter().position(|one| *one == revision);
        plain.push(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
        plain.push(if is_sse { FLAG_SSE } else { 0 });
        plain.push(can.bits());
        plain.extend_from_slice(&until.to_be_bytes());
        plain.extend_from_slice(&hello.to_be_bytes());
        plain.extend_from_slice(&principal_hash(principal));
        let generation = self.generation.to_string();
        let mut sealed = nonce.to_vec();
        let payload = Payload { msg: &plain, aad: generation.as_bytes() };
        let nonce = <[u8; NONCE]>::try_from(nonce).unwrap_or_default();
        // Sealing fails on texts of 256 GiB only; an id without its sealed part opens no session.
        sealed.extend_from_slice(&self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default());
        let id = SessionId::of_random(<[u8; 16]>::try_from(id).unwrap_or_default());
        let text = format!("{generation}.{}", URL_SAFE_NO_PAD.encode(sealed));
        (Session { id, revision, is_sse, can, hello, until }, text)
    }

    /// A principal's session, from its id. `None`: not made with this key, another principal's, or past its time.
    pub fn open(&self, text: &str, principal: &str, now: u64) -> Option<Session> {
        if MAX_TEXT < text.len() {
            return None;
        }
        let (generation, sealed) = text.split_once('.')?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: generation.as_bytes() };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let plain: &[u8; PLAIN] = plain.as_slice().try_into().ok()?;
        let ([FORMAT], rest) = plain.split_first_chunk()? else { return None };
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let ([revision, flags, can], rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (hello, whose) = rest.split_first_chunk::<8>()?;
        let until = u64::from_be_bytes(*until);
        let session = Session {
            id: SessionId::of_random(*id),
            revision: *Revision::ALL.get(usize::from(*revision))?,
            is_sse: flags & FLAG_SSE != 0,
            can: Capabilities::of_bits(*can),
            hello: u64::from_be_bytes(*hello),
            until,
        };
        (*whose == principal_hash(principal) && now < until).then_some(session)
    }
}

/// The sessions that were ended before their time. What is remembered is bounded: above it, those with the least time
/// left are forgotten, and with them every session that had less.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// By the time at which each would have ended by itself.
    sessions: BTreeSet<(u64, u128)>,
    /// Every session that would end by then has ended.
    floor: u64,
}

impl Ended {
    /// Reads what [`Ended::line`] and [`Ended::lines`] wrote; what cannot be read, such as a last line that was cut off,
    /// is left out, and so is what is past at `now`.
    pub fn read(text: &str, now: u64) -> Self {
        let mut ended = Self::default();
        for (until, id) in text.lines().filter_map(|line| line.split_once(' ')) {
            let Ok(until) = until.parse() else { continue };
            if id == "all" {
                ended.floor = ended.floor.max(until);
            } else if id.len() == ID_DIGITS
                && let Ok(id) = u128::from_str_radix(id, 16)
                && now < until
            {
                ended.insert(until, id);
            }
        }
        ended
    }

    /// Ends a session.
    pub fn end(&mut self, session: &Session) {
        self.insert(session.until, session.id.0);
    }

    /// Whether a session was ended.
    pub fn has(&self, session: &Session) -> bool {
        session.until <= self.floor || self.sessions.contains(&(session.until, session.id.0))
    }

    /// What is kept of one session that was ended.
    pub fn line(session: &Session) -> String {
        format!("{} {:032x}\n", session.until, session.id.0)
    }

    /// Everything that is to be kept.
    pub fn lines(&self) -> String {
        let all = format!("{} all\n", self.floor);
        let one = |(until, id): &(u64, u128)| format!("{until} {id:032x}\n");
        std::iter::once(all).chain(self.sessions.iter().map(one)).collect()
    }

    fn insert(&mut self, until: u64, id: u128) {
        self.sessions.insert((until, id));
        if MAX_ENDED < self.sessions.len()
            && let Some((until, _)) = self.sessions.pop_first()
        {
            self.floor = self.floor.max(until);
        }
    }
}

/// Enough of a principal's hash to tell principals apart; it cannot be seen or changed from outside.
pub fn principal_hash(principal: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(principal).into();
    *hash.first_chunk().unwrap_or(&[0; 16])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const BEGIN: Begin = Begin {
        revision: Revision::V2025_06_18,
        is_sse: false,
        can: Capabilities::of_bits(5),
        hello: u64::MAX - 7,
    };

    fn begin(sealer: &Sealer, byte: u8) -> (Session, String) {
        sealer.begin([byte; RANDOM], "user:a", BEGIN, NOW)
    }

    #[test]
    fn an_id_says_what_was_agreed_to_its_principal_until_its_time() {
        let sealer = Sealer::new("key", 7);
        for revision in Revision::ALL {
            for is_sse in [false, true] {
                let (session, text) =
                    sealer.begin([3; RANDOM], "user:a", Begin { revision, is_sse, ..BEGIN }, NOW);
                assert!(text.starts_with("7.") && text.len() <= 512, "{text}");
                assert!(text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "visible ASCII: {text}");
                assert_eq!(sealer.open(&text, "user:a", NOW), Some(session));
                assert_eq!((session.revision, session.is_sse), (revision, is_sse));
                assert_eq!((session.can, session.hello), (BEGIN.can, BEGIN.hello));
                assert_eq!(sealer.open(&text, "user:b", NOW), None, "another principal's");
                assert_eq!(sealer.open(&text, "user:a", session.until), None, "past its time");
                assert_eq!(Sealer::new("key", 8).open(&text, "user:a", NOW), Some(session), "a newer shim");
                assert_eq!(Sealer::new("other", 7).open(&text, "user:a", NOW), None, "another instance");
            }
        }
    }

    #[test]
    fn foreign_ids_are_no_ids() {
        let sealer = Sealer::new("key", 7);
        let (_, good) = begin(&sealer, 1);
        let later = good.replacen("7.", "8.", 1);
        for text in
            ["", ".", "7.", "x", "7.AAAA", "00000000000000000000000000000000", &later, &"7.A".repeat(1000)]
        {
            assert_eq!(sealer.open(text, "user:a", NOW), None, "{text}");
        }
        let mut changed = good.into_bytes();
        for at in 2..changed.len() {
            changed[at] ^= 1;
            let text = String::from_utf8_lossy(&changed).into_owned();
            assert_eq!(sealer.open(&text, "user:a", NOW), None, "changed at {at}");
            changed[at] ^= 1;
        }
    }

    #[test]
    fn what_was_ended_stays_so_whatever_was_written_of_it() {
        let sealer = Sealer::new("key", 7);
        let [a, b] = [1, 2].map(|byte| begin(&sealer, byte).0);
        let mut ended = Ended::default();
        ended.end(&a);
        assert_eq!((ended.has(&a), ended.has(&b)), (true, false));
        for text in [ended.lines(), Ended::line(&a), format!("12 zz\n{}18", Ended::line(&a))] {
            let read = Ended::read(&text, NOW);
            assert_eq!((read.has(&a), read.has(&b)), (true, false), "{text}");
        }
        let line = Ended::line(&a);
        for len in 0..line.len() - 1 {
            let cut_off = &line[..len];
            assert_eq!(Ended::read(cut_off, NOW).lines(), "0 all\n", "{cut_off} is nobody's");
        }
        let past = Ended::read(&ended.lines(), a.until);
        assert_eq!(past.lines(), "0 all\n");
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let sealer = Sealer::new("key", 7);
        let (first, _) = begin(&sealer, 1);
        let mut ended = Ended::default();
        ended.end(&first);
        let later = |n: u64| Session { id: SessionId(u128::from(n)), until: first.until + 1 + n, ..first };
        for n in 0..MAX_ENDED as u64 {
            ended.end(&later(n));
        }
        assert_eq!(ended.sessions.len(), MAX_ENDED);
        let other = Session { id: SessionId(9), ..first };
        assert!(ended.has(&first) && ended.has(&other), "it is ended with all that end by then");
        assert!(!ended.has(&Session { id: SessionId(u128::MAX), ..later(0) }));
        assert!(Ended::read(&ended.lines(), NOW).has(&first));
    }

    proptest! {
        /// Whatever is sent as an id, nothing is opened by it and nothing breaks.
        #[test]
        fn any_text_is_survived(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let sealer = Sealer::new("key", 7);
            prop_assert_eq!(sealer.open(&text, "user:a", NOW), None);
            let coded = format!("7.{}", URL_SAFE_NO_PAD.encode(bytes));
            prop_assert_eq!(sealer.open(&coded, "user:a", NOW), None);
            Ended::read(&text, NOW);
        }
    }
}
