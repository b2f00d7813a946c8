//! `requestState` of calls that wait for their client's answers: which call it is, sealed for one principal, one request
//! and a time (2026-07-28, basic/patterns/mrtr: a server must not trust what comes back).
//!
//! The call itself stays with the process that asked, so a ticket of another process, or of one that has ended, opens
//! nothing. What a modern server puts into `requestState` passes through and never comes here.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::envelope;
use crate::json::{ScanError, Scanner};

const NONCE: usize = 24;
const TAG: usize = 16;
/// Process, call, round, end in milliseconds, digest.
const PLAIN: usize = 8 + 8 + 4 + 8 + 16;
/// No state of ours is longer, in bytes.
const MAX_TEXT: usize = (NONCE + PLAIN + TAG) * 4 / 3 + 2;

/// Random bytes that the seal of one process needs.
pub const RANDOM: usize = 24;

/// What identifies a request: its method and parameters, without what a retry adds.
pub(crate) type RequestDigest = [u8; 16];

/// Which call is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) call: u64,
    /// Grows with every time the call has asked.
    pub(crate) round: u32,
    /// On the multiplexer's clock.
    pub(crate) until: Duration,
    pub(crate) digest: RequestDigest,
}

/// Makes and reads the tickets of one process.
pub(crate) struct Tickets {
    cipher: XChaCha20Poly1305,
    process: u64,
    nonce: [u8; NONCE],
    next: u64,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Tickets {
    /// With a key derived from the instance's. `random` must be fresh for each process: it names the process and begins
    /// the nonces.
    pub(crate) fn new(instance_key: &str, random: [u8; RANDOM]) -> Self {
        let key = Sha256::new().chain_update(b"berth request state\0").chain_update(instance_key).finalize();
        let process = u64::from_be_bytes(*random.first_chunk().unwrap_or(&[0; 8]));
        Self {
            cipher: XChaCha20Poly1305::new(&<[u8; 32]>::from(key).into()),
            process,
            nonce: random,
            next: 0,
        }
    }

    pub(crate) fn seal(&mut self, ticket: &Ticket, principal: &[u8; 16]) -> String {
        let mut plain = Vec::with_capacity(PLAIN);
        plain.extend_from_slice(&self.process.to_be_bytes());
        plain.extend_from_slice(&ticket.call.to_be_bytes());
        plain.extend_from_slice(&ticket.round.to_be_bytes());
        plain.extend_from_slice(&milliseconds(ticket.until).to_be_bytes());
        plain.extend_from_slice(&ticket.digest);
        // Sixteen random bytes and a counter: no nonce comes twice.
        let mut nonce = self.nonce;
        nonce[16..].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        let payload = Payload { msg: &plain, aad: principal };
        let mut sealed = nonce.to_vec();
        // Sealing fails on texts of 256 GiB only; a state without its sealed part opens nothing.
        sealed.extend_from_slice(&self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// `None`: not sealed by this process for this principal, or past its time.
    pub(crate) fn open(&self, text: &str, principal: &[u8; 16], now: Duration) -> Option<Ticket> {
        if MAX_TEXT < text.len() {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: principal };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let plain: &[u8; PLAIN] = plain.as_slice().try_into().ok()?;
        let (process, rest) = plain.split_first_chunk::<8>()?;
        let (call, rest) = rest.split_first_chunk::<8>()?;
        let (round, rest) = rest.split_first_chunk::<4>()?;
        let (until, digest) = rest.split_first_chunk::<8>()?;
        let ticket = Ticket {
            call: u64::from_be_bytes(*call),
            round: u32::from_be_bytes(*round),
            until: Duration::from_millis(u64::from_be_bytes(*until)),
            digest: digest.try_into().ok()?,
        };
        (u64::from_be_bytes(*process) == self.process && now < ticket.until).then_some(ticket)
    }
}

/// Of the parameters as they are written, the members in the order of their names; `_meta`, `inputResponses` and
/// `requestState` are left out, because a retry has others.
pub(crate) fn digest(method: &str, params: &str) -> RequestDigest {
    let mut members = Vec::new();
    // What is no object has no members, and no retry either.
    let _ = Scanner::new(params).members::<ScanError>(&mut |scanner, key| {
        let value = scanner.value()?;
        let key = envelope::decoded_key(params, key);
        if !matches!(key.as_ref(), "_meta" | "inputResponses" | "requestState") {
            members.push((key, &params[value.range()]));
        }
        Ok(())
    });
    members.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Sha256::new().chain_update((method.len() as u64).to_be_bytes()).chain_update(method);
    for (key, value) in members {
        for part in [key.as_ref(), value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let hash: [u8; 32] = hash.finalize().into();
    *hash.first_chunk().unwrap_or(&[0; 16])
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_for_its_principal_at_its_process_until_its_time() {
        let mut tickets = Tickets::new("key", [1; RANDOM]);
        let until = Duration::from_mins(1);
        let ticket = Ticket { call: 7, round: 2, until, digest: [9; 16] };
        let text = tickets.seal(&ticket, &[1; 16]);
        let now = Duration::from_secs(59);
        assert_eq!(tickets.open(&text, &[1; 16], now), Some(ticket));
        assert_eq!(tickets.open(&text, &[2; 16], now), None, "another principal's");
        assert_eq!(tickets.open(&text, &[1; 16], until), None, "past its time");
        assert_eq!(Tickets::new("key", [2; RANDOM]).open(&text, &[1; 16], now), None, "another process's");
        assert_eq!(Tickets::new("no", [1; RANDOM]).open(&text, &[1; 16], now), None, "another instance's");
        assert_ne!(text, tickets.seal(&ticket, &[1; 16]), "no nonce comes twice");
        let mut changed = text.into_bytes();
        for at in 0..changed.len() {
            changed[at] ^= 1;
            let text = String::from_utf8_lossy(&changed).into_owned();
            assert_eq!(tickets.open(&text, &[1; 16], now), None, "changed at {at}");
            changed[at] ^= 1;
        }
        for text in ["", "x", "AAAA", &"A".repeat(5000)] {
            assert_eq!(tickets.open(text, &[1; 16], now), None, "{text}");
        }
    }

    #[test]
    fn a_retry_has_the_digest_of_its_call() {
        let call = r#"{"name":"t","arguments":{"a":1},"_meta":{"x":1}}"#;
        let retry =
            r#"{"inputResponses":{},"arguments":{"a":1}, "_meta":{"x":2},"name":"t","requestState":"s"}"#;
        assert_eq!(digest("tools/call", call), digest("tools/call", retry));
        for other in
            [r#"{"name":"t","arguments":{"a":2}}"#, r#"{"name":"u","arguments":{"a":1}}"#, "{}", "", "[1]"]
        {
            assert_ne!(digest("tools/call", call), digest("tools/call", other), "{other}");
        }
        assert_ne!(digest("tools/call", call), digest("prompts/get", call));
    }
}
