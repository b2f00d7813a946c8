//! What the DTMA itself says: its last lines, kept in memory, so that they are read the same way whatever started it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

/// The most lines that are kept.
const LINES: usize = 2_000;
/// The most bytes of them.
const BYTES: usize = 512 << 10;
/// What a line has beyond that is lost, in bytes.
const LONGEST: usize = 16 << 10;
/// A follower is told of what came in this time at once. It bounds what following says by itself, where everything is logged.
const PAUSE: Duration = Duration::from_millis(50);

/// The last lines of a log; a copy is the same log. What is written to it is text, as a subscriber of `tracing` formats it.
#[derive(Clone, Default)]
pub struct OwnLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    /// Changes with each line.
    news: watch::Sender<()>,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<Bytes>,
    /// Bytes of what is kept.
    bytes: usize,
    /// Lines that were forgotten: the number of the first one that is kept.
    gone: u64,
    /// The beginning of a line that has no end yet.
    open: Vec<u8>,
}

impl fmt::Debug for OwnLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnLog").finish_non_exhaustive()
    }
}

impl io::Write for OwnLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines();
        for piece in text.split_inclusive(|&byte| byte == b'\n') {
            lines.take(piece);
        }
        drop(lines);
        self.0.news.send_replace(());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Takes a line, or a part of one.
    fn take(&mut self, piece: &[u8]) {
        let (text, is_whole) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
        let room = LONGEST.saturating_sub(self.open.len());
        self.open.extend_from_slice(&text[..text.len().min(room)]);
        if !is_whole {
            return;
        }
        let mut line = std::mem::take(&mut self.open);
        line.push(b'\n');
        self.bytes += line.len();
        self.kept.push_back(line.into());
        while LINES < self.kept.len() || BYTES < self.bytes {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.len();
            self.gone += 1;
        }
    }

    /// The number that the next line will have.
    fn end(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }

    /// The lines from a number on.
    fn since(&self, number: u64) -> Vec<u8> {
        let mut text = Vec::new();
        if let lost @ 1.. = self.gone.saturating_sub(number) {
            text.extend_from_slice(format!("… {lost} lines came too fast to be followed\n").as_bytes());
        }
        let skipped = usize::try_from(number.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        for line in self.kept.iter().skip(skipped) {
            text.extend_from_slice(line);
        }
        text
    }
}

impl OwnLog {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last `tail` lines that there are, and with `follow` all that come after, until `ended` is done.
    pub(crate) fn read(
        &self,
        tail: u32,
        follow: bool,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        let news = self.0.news.subscribe();
        let next = {
            let lines = self.lines();
            lines.end().saturating_sub(tail.into()).max(lines.gone)
        };
        let state = (self.clone(), next, news, follow, Box::pin(ended));
        futures_util::stream::unfold(state, |(log, next, mut news, mut follows, mut ended)| async move {
            loop {
                // First, so that a line which comes after the look is news.
                news.mark_unchanged();
                let (text, end) = {
                    let lines = log.lines();
                    (lines.since(next), lines.end())
                };
                if !text.is_empty() {
                    return Some((Ok(text.into()), (log, end, news, follows, ended)));
                }
                if !follows {
                    return None;
                }
                let more = pin!(async {
                    let _always_there = news.changed().await;
                    tokio::time::sleep(PAUSE).await;
                });
                tokio::select! {
                    // What was said last is still sent.
                    () = &mut ended => follows = false,
                    () = more => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::io::Write as _;

    use futures_util::StreamExt as _;

    use super::*;

    async fn last(log: &OwnLog, tail: u32) -> String {
        let pieces: Vec<Bytes> = log.read(tail, false, pending()).map(|Ok(piece)| piece).collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_and_no_more() {
        let mut log = OwnLog::default();
        assert_eq!(last(&log, 10).await, "");
        log.write_all(b"one\ntwo\nthr").unwrap();
        log.write_all(b"ee\nopen").unwrap();
        for (tail, lines) in [(0, ""), (1, "three\n"), (2, "two\nthree\n"), (9, "one\ntwo\nthree\n")] {
            assert_eq!(last(&log, tail).await, lines, "{tail}");
        }
        for number in 0..3 * LINES {
            writeln!(log, "line {number}").unwrap();
        }
        let all = last(&log, u32::MAX).await;
        assert_eq!((all.lines().count(), all.lines().next()), (LINES, Some("line 4000")));
        assert_eq!(all.lines().last(), Some("line 5999"));

        let endless = "x".repeat(2 * LONGEST);
        for _ in 0..100 {
            writeln!(log, "{endless}").unwrap();
        }
        let all = last(&log, u32::MAX).await;
        assert!(all.len() <= BYTES && BYTES - 2 * LONGEST < all.len(), "{}", all.len());
        assert_eq!(all.lines().last().map(str::len), Some(LONGEST));
    }

    #[tokio::test]
    async fn a_follower_gets_what_comes_and_is_told_what_it_missed() {
        let mut log = OwnLog::default();
        log.write_all(b"before\n").unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let mut lines = Box::pin(log.read(5, true, async move {
            let _ended = ended.await;
        }));
        assert_eq!(lines.next().await.unwrap().unwrap(), "before\n");
        log.write_all(b"after\n").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "after\n");
        for number in 0..LINES + 3 {
            writeln!(log, "{number}").unwrap();
        }
        let piece = lines.next().await.unwrap().unwrap();
        assert!(piece.starts_with("… 3 lines came too fast to be followed\n3\n".as_bytes()), "{piece:?}");
        log.write_all(b"the last\n").unwrap();
        end.send(()).unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "the last\n");
        assert!(lines.next().await.is_none());
        assert!(Box::pin(log.read(0, true, ready(()))).next().await.is_none());
    }
}
