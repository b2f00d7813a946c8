//! Streams that a client can resume (`Last-Event-ID`), since connections break and calls of legacy sessions go on.
//!
//! A stream keeps what it has sent lately, and goes on collecting while nobody reads it. How much is kept, for how long and
//! of how many streams is bounded; what is gone cannot be resumed, and the client is told so.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use mcp::session::SessionId;
use mcp::sse;
use tokio::time::Instant;

use crate::body::Guard;
use crate::mailbox::Letter;

/// A stream that nobody reads is kept for so long.
const KEPT_FOR: Duration = Duration::from_mins(2);
/// Events of a stream that are kept, in bytes; a larger one is not kept.
const KEPT_BYTES: usize = 256 << 10;
/// Streams that are kept, all sessions together.
const MAX_STREAMS: usize = 256;

/// The streams of one shim that can be resumed.
#[derive(Debug)]
pub(crate) struct Replays {
    by_number: HashMap<u64, Arc<Replay>>,
    next: u64,
}

#[derive(Debug)]
struct Replay {
    number: u64,
    session: SessionId,
    is_call: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Absent when it is over.
    held: Option<Guard>,
    /// The last events that were sent, oldest first, each with its place in the stream.
    sent: VecDeque<(u64, Bytes)>,
    sent_bytes: usize,
    next: u64,
    /// Grows with every reader: only the last one is served.
    reader: u64,
    unread_since: Option<Instant>,
}

/// One reader of a stream.
#[derive(Debug)]
pub(crate) struct Attached {
    replay: Arc<Replay>,
    reader: u64,
    /// Events that are sent again first.
    again: VecDeque<Bytes>,
}

/// An event's id: which stream, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    is_call: bool,
    number: u64,
    place: u64,
}

/// What a client that wants to resume gets.
#[derive(Debug)]
pub(crate) enum Resumed {
    Stream(Attached),
    /// The session's own stream is gone: a new one serves as well.
    New,
    /// A call's stream, or the part of it that is missing, is gone.
    Gone,
}

impl EventId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_call = text.starts_with('c');
        let (number, place) = text.strip_prefix(if is_call { 'c' } else { 's' })?.split_once('-')?;
        Some(Self { is_call, number: number.parse().ok()?, place: place.parse().ok()? })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}-{}", if self.is_call { 'c' } else { 's' }, self.number, self.place)
    }
}

impl Replays {
    /// `random` keeps the ids of one shim from meaning something to the next one of the instance.
    pub(crate) fn new(random: u32) -> Self {
        Self { by_number: HashMap::new(), next: u64::from(random) << 20 }
    }

    /// A new stream. `primed`: it begins with an event that has an id and no message, as 2025-11-25 wants it.
    pub(crate) fn open(
        &mut self,
        session: SessionId,
        is_call: bool,
        held: Guard,
        primed: bool,
        first: Option<&[u8]>,
    ) -> Attached {
        let number = self.next;
        self.next += 1;
        let mut state = State {
            held: Some(held),
            sent: VecDeque::new(),
            sent_bytes: 0,
            next: 0,
            reader: 0,
            unread_since: None,
        };
        let mut again = VecDeque::new();
        let mut id = EventId { is_call, number, place: 0 };
        if primed {
            let mut event = Vec::new();
            sse::encode_priming(&id.to_string(), &mut event);
            again.push_back(event.into());
        }
        state.next = 1;
        if let Some(first) = first {
            id.place = state.next;
            again.push_back(state.keep(id, first));
        }
        let replay = Arc::new(Replay { number, session, is_call, state: Mutex::new(state) });
        // Above the limit the stream works, and cannot be resumed.
        if self.by_number.len() < MAX_STREAMS {
            self.by_number.insert(number, Arc::clone(&replay));
        }
        Attached { replay, reader: 0, again }
    }

    /// Goes on with a session's stream behind the event that its client has seen last.
    pub(crate) fn resume(&self, session: SessionId, last: EventId) -> Resumed {
        let gone = if last.is_call { Resumed::Gone } else { Resumed::New };
        let replay = self.by_number.get(&last.number);
        let Some(replay) =
            replay.filter(|replay| replay.session == session && replay.is_call == last.is_call)
        else {
            return gone;
        };
        let mut state = replay.state();
        let oldest = state.sent.front().map_or(state.next, |(place, _)| *place);
        if last.place + 1 < oldest || state.next <= last.place {
            return gone;
        }
        state.reader += 1;
        state.unread_since = None;
        let missed = state.sent.iter().filter(|(place, _)| last.place < *place);
        let again = missed.map(|(_, event)| event.clone()).collect();
        Resumed::Stream(Attached { replay: Arc::clone(replay), reader: state.reader, again })
    }

    /// Takes out what nobody has read for long. What is given back ends when it is dropped, not under any lock.
    pub(crate) fn sweep(&mut self) -> Vec<impl Sized + use<>> {
        self.take(|replay| replay.state().unread_since.is_some_and(|since| KEPT_FOR <= since.elapsed()))
    }

    /// Takes out what belongs to a session that has ended; as [`Replays::sweep`].
    pub(crate) fn end_session(&mut self, session: SessionId) -> Vec<impl Sized + use<>> {
        self.take(|replay| replay.session == session)
    }

    /// Takes out everything; as [`Replays::sweep`].
    pub(crate) fn clear(&mut self) -> Vec<impl Sized + use<>> {
        self.take(|_| true)
    }

    fn take(&mut self, is_meant: impl Fn(&Replay) -> bool) -> Vec<Arc<Replay>> {
        self.by_number.extract_if(|_, replay| is_meant(replay)).map(|(_, replay)| replay).collect()
    }
}

impl Replay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A message as the next event, which is kept for those who will have missed it.
    fn keep(&mut self, id: EventId, message: &[u8]) -> Bytes {
        let mut event = Vec::new();
        sse::encode_numbered(message, &id.to_string(), &mut event);
        let event = Bytes::from(event);
        self.next += 1;
        self.sent_bytes += event.len();
        self.sent.push_back((id.place, event.clone()));
        while KEPT_BYTES < self.sent_bytes {
            self.sent_bytes -= self.sent.pop_front().map_or(0, |(_, event)| event.len());
        }
        event
    }
}

impl Attached {
    /// The next event; `None` when the stream has ended, or is read by another.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(event) = self.again.pop_front() {
            return Poll::Ready(Some(event));
        }
        let mut state = self.replay.state();
        if state.reader != self.reader {
            return Poll::Ready(None);
        }
        let Some(held) = &state.held else { return Poll::Ready(None) };
        let letter = match held.mailbox.poll(cx) {
            Poll::Ready(letter) => letter,
            Poll::Pending => return Poll::Pending,
        };
        let (message, is_last) = match letter {
            Letter::Between(message) => (Some(message), false),
            Letter::Answer { message, .. } => (Some(message), true),
            Letter::End => (None, true),
        };
        if is_last && let Some(held) = state.held.take() {
            held.over();
        }
        let id = EventId { is_call: self.replay.is_call, number: self.replay.number, place: state.next };
        Poll::Ready(message.map(|message| state.keep(id, &message)))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut state = self.replay.state();
        if state.reader == self.reader {
            state.unread_since = Some(Instant::now());
        }
    }
}
