//! Framing on stdio: one message a line, cut out of whatever the pipe delivers.
//!
//! A line above the limit cannot be buffered and so cannot be attributed to a call; it is skipped and counted.

/// Room that is kept between messages; what a large message needed above it is given back.
const KEPT: usize = 64 << 10;

/// Up to this size the buffer doubles.
const DOUBLED: usize = 256 << 10;

/// What came out of the pipe.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its line break (LF or CRLF). Never empty: blank lines say nothing and are skipped.
    Whole(&'a [u8]),
    /// A line above the limit was skipped; so many bytes long, without its LF.
    TooLong(u64),
}

/// Cuts a stream into lines. Read into [`Lines::room`], then call [`Lines::filled`].
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that came from the pipe.
    len: usize,
    /// Bytes of `buffer` that are known to hold no LF.
    searched: usize,
    /// Bytes of a line above the limit that are gone already; 0 while no line is being skipped.
    skipped: u64,
    limit: usize,
}

impl Lines {
    /// For lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), len: 0, searched: 0, skipped: 0, limit }
    }

    /// Where the next bytes are read to; never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.buffer.len() == self.len {
            // Growing by a part of itself keeps the copying of one large line linear. What the line does not need of it
            // is held beside the message made of it, so from some size on the part is small; a first page is enough for
            // most servers.
            let more = if self.len < DOUBLED { self.len } else { self.len / 8 };
            let target = (self.len + more).clamp(8 << 10, self.limit + KEPT).max(self.len + 1);
            self.buffer.reserve_exact(target - self.len);
            self.buffer.resize(target, 0);
        }
        &mut self.buffer[self.len..]
    }

    /// Takes over `count` bytes that were read into [`Lines::room`] and hands out every line that is now whole.
    pub fn filled(&mut self, count: usize, mut line: impl FnMut(Line<'_>)) {
        self.len += count;
        let mut from = 0;
        while let Some(found) = memchr::memchr(b'\n', &self.buffer[self.searched..self.len]) {
            let end = self.searched + found;
            self.searched = end + 1;
            self.emit(from, end, &mut line);
            from = end + 1;
        }
        self.searched = self.len;
        if self.skipped != 0 || self.limit < self.len - from {
            self.skipped += (self.len - from) as u64;
            from = self.len;
        }
        if from != 0 {
            // While a line goes on nothing is moved: a large one comes in hundreds of pieces.
            self.buffer.copy_within(from..self.len, 0);
            self.len -= from;
            self.searched -= from;
        }
        if KEPT < self.buffer.len() && self.len <= KEPT {
            self.buffer.truncate(KEPT);
            self.buffer.shrink_to_fit();
        }
    }

    /// At the end of the stream: the last line, when it lacks its line break.
    pub fn finish(&mut self, mut line: impl FnMut(Line<'_>)) {
        let end = self.len;
        self.emit(0, end, &mut line);
        self.len = 0;
        self.searched = 0;
    }

    fn emit(&mut self, from: usize, end: usize, line: &mut impl FnMut(Line<'_>)) {
        let skipped = std::mem::take(&mut self.skipped);
        let whole = &self.buffer[from..end];
        if skipped != 0 || self.limit < whole.len() {
            line(Line::TooLong(skipped + whole.len() as u64));
            return;
        }
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        if !whole.iter().all(u8::is_ascii_whitespace) {
            line(Line::Whole(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out when the stream arrives in pieces of `piece` bytes.
    fn cut(stream: &[u8], piece: usize, limit: usize) -> Vec<Result<Vec<u8>, u64>> {
        let mut lines = Lines::new(limit);
        let mut out = Vec::new();
        let mut take = |line: Line<'_>| {
            out.push(match line {
                Line::Whole(line) => Ok(line.to_vec()),
                Line::TooLong(len) => Err(len),
            });
        };
        let mut rest = stream;
        while !rest.is_empty() {
            let room = lines.room();
            let count = piece.min(room.len()).min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            lines.filled(count, &mut take);
        }
        lines.finish(&mut take);
        out
    }

    #[test]
    fn cuts_the_same_lines_whatever_the_pieces() {
        let long = "x".repeat(200_000);
        let stream = format!("one\r\n\n  \n{long}\ntwo é\n{}\nlast", "y".repeat(300_001));
        let expected = vec![
            Ok(b"one".to_vec()),
            Ok(long.clone().into_bytes()),
            Ok("two é".as_bytes().to_vec()),
            Err(300_001),
            Ok(b"last".to_vec()),
        ];
        for piece in [1, 3, 4096, 1 << 20] {
            assert_eq!(cut(stream.as_bytes(), piece, 250_000), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn memory_of_a_large_line_is_given_back() {
        let mut lines = Lines::new(1 << 20);
        let mut missing = 900_000;
        while 0 < missing {
            let room = lines.room();
            let count = room.len().min(missing);
            room[..count].fill(b'x');
            missing -= count;
            lines.filled(count, |_| panic!("no line is whole"));
        }
        lines.room()[0] = b'\n';
        let mut seen = 0;
        lines.filled(1, |line| {
            seen += usize::from(matches!(line, Line::Whole(line) if line.len() == 900_000));
        });
        assert_eq!(seen, 1);
        assert!(lines.buffer.capacity() <= KEPT);
    }
}
