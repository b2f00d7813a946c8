//! Where a call waits for what the server sends it: a queue for one reader, without a channel's blocks of memory.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Notifications that wait for a reader who is slow; those above are dropped. Answers are never dropped.
const MAX_WAITING: usize = 256;
/// As [`MAX_WAITING`], in bytes.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// Something for a call.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A notification; more will come.
    Between(Vec<u8>),
    /// The answer. `code` is that of an error to a modern caller.
    Answer { message: Vec<u8>, code: Option<i64> },
    /// It ends without an answer: the call was cancelled by its client, or a session's stream has no more to say.
    End,
}

impl Letter {
    fn bytes(&self) -> usize {
        match self {
            Self::Between(message) | Self::Answer { message, .. } => message.len(),
            Self::End => 0,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    letters: VecDeque<Letter>,
    bytes: usize,
    reader: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn push(&self, letter: Letter) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = state.bytes + letter.bytes();
        if let Letter::Between(_) = &letter
            && (MAX_WAITING <= state.letters.len()
                || (MAX_WAITING_BYTES < bytes && !state.letters.is_empty()))
        {
            return;
        }
        state.bytes = bytes;
        state.letters.push_back(letter);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Letter> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(letter) = state.letters.pop_front() else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= letter.bytes();
        Poll::Ready(letter)
    }

    /// Whether so much waits for a slow reader that no more should be asked for.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        MAX_WAITING <= state.letters.len() || MAX_WAITING_BYTES < state.bytes
    }

    pub(crate) async fn next(&self) -> Letter {
        poll_fn(|cx| self.poll(cx)).await
    }
}
