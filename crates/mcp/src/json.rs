//! A validating scan over JSON text that yields byte ranges and builds nothing.
//!
//! It accepts exactly what RFC 8259 allows, with a bound on depth. It does not decode, does not look for repeated keys
//! (that is the envelope's business) and does not check that `\u` escapes form whole surrogate pairs: such text passes
//! through byte-identical, and what it means is for the two ends to say.

/// Containers within containers; deeper text is refused, so that no reader behind us runs out of stack.
pub(crate) const MAX_DEPTH: u32 = 128;

/// A byte range of the scanned text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range as an index into the text that was scanned.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The empty range behind this one's first byte: where a member is put into an object.
    pub(crate) fn behind_first(self) -> Self {
        Self { start: self.start + 1, end: self.start + 1 }
    }

    /// From the beginning of this one to the end of another behind it.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    /// The range as it was written here, moved by `by` bytes: for text that was cut out of other text.
    pub(crate) fn moved(self, by: Self) -> Self {
        Self { start: self.start + by.start, end: self.end + by.start }
    }

    /// Of a range of scanned text, which is never longer than 4 GiB.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the envelope refuses text longer than u32::MAX bytes"
    )]
    pub(crate) fn of(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }
}

/// Why text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanError {
    Syntax { at: usize, expected: &'static str },
    TooDeep,
}

/// A string of the text: its range with the quotes, and whether it holds a backslash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) span: Span,
    pub(crate) escaped: bool,
}

/// A cursor over the text. The text is valid UTF-8 of at most `u32::MAX` bytes; the caller has seen to it.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    line_breaks: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, depth: 0, line_breaks: false }
    }

    /// Whether a CR or LF was met between tokens; within a token JSON has none.
    pub(crate) fn line_breaks(&self) -> bool {
        self.line_breaks
    }

    /// The first byte of the next token, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.line_breaks = true,
                _ => return Some(byte),
            }
            self.at += 1;
        }
        None
    }

    /// Succeeds at the end of the text.
    pub(crate) fn end(&mut self) -> Result<(), ScanError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end of the message")) }
    }

    /// Takes one value of any kind.
    pub(crate) fn value(&mut self) -> Result<Span, ScanError> {
        match self.peek() {
            Some(b'"') => return Ok(self.string()?.span),
            Some(b'{') => return self.members(&mut |scanner, _| scanner.value().map(drop)),
            Some(b'[') => return self.items(&mut |scanner| scanner.value().map(drop)),
            _ => {}
        }
        let start = self.at;
        match self.bytes.get(start) {
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.expected("a value")),
        }
        Ok(self.span_from(start))
    }

    /// Takes one object. `member` is called behind each colon and must take exactly the value.
    pub(crate) fn members<E: From<ScanError>>(
        &mut self,
        member: &mut dyn FnMut(&mut Self, Text) -> Result<(), E>,
    ) -> Result<Span, E> {
        self.peek();
        let start = self.at;
        self.punctuation(b'{', "an object")?;
        self.deeper()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a key").into());
                }
                let key = self.string()?;
                self.punctuation(b':', "`:`")?;
                member(self, key)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return Err(self.expected("`,` or `}`").into()),
                }
            }
        }
        self.depth -= 1;
        Ok(self.span_from(start))
    }

    /// Takes one array. `item` must take exactly one value each time.
    pub(crate) fn items(
        &mut self,
        item: &mut dyn FnMut(&mut Self) -> Result<(), ScanError>,
    ) -> Result<Span, ScanError> {
        self.peek();
        let start = self.at;
        self.punctuation(b'[', "an array")?;
        self.deeper()?;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break self.at += 1,
                    _ => return Err(self.expected("`,` or `]`")),
                }
            }
        }
        self.depth -= 1;
        Ok(self.span_from(start))
    }

    fn string(&mut self) -> Result<Text, ScanError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.skip_plain();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text { span: self.span_from(start), escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("no control character within a string")),
                None => return Err(self.expected("the end of a string")),
            }
        }
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time while there are eight.
    fn skip_plain(&mut self) {
        const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
        const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
        // A lane of the result has its high bit set when the lane's byte is below `limit`. A borrow can also mark lanes
        // above a true one, never below it, and only the lowest marked lane is used.
        let below = |word: u64, limit: u8| word.wrapping_sub(LOW * u64::from(limit)) & !word & HIGH;
        while let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let quote = below(word ^ (LOW * u64::from(b'"')), 1);
            let backslash = below(word ^ (LOW * u64::from(b'\\')), 1);
            let found = below(word, 0x20) | quote | backslash;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.expected("four hexadecimal digits"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.expected("an escape that JSON has")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), ScanError> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if start == self.at { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), ScanError> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.expected("a value"))
        }
    }

    fn punctuation(&mut self, byte: u8, name: &'static str) -> Result<(), ScanError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.expected(name))
        }
    }

    fn deeper(&mut self) -> Result<(), ScanError> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH { Ok(()) } else { Err(ScanError::TooDeep) }
    }

    fn expected(&self, expected: &'static str) -> ScanError {
        ScanError::Syntax { at: self.at, expected }
    }

    fn span_from(&self, start: usize) -> Span {
        Span::of(start..self.at)
    }
}
