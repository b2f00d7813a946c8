//! Server-sent events as MCP uses them: an encoder for one message, and a decoder.
//!
//! The decoder follows the HTML standard (§9.2.6, "Interpreting an event stream"): LF, CR and CRLF, one leading byte
//! order mark, comments, and pieces cut anywhere, within a character too.

/// Appends one message as one event. A CR ends a line of an event stream as an LF does, so it arrives as an LF; in JSON
/// both stand between tokens only.
pub fn encode(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + 24);
    out.extend_from_slice(b"event: message\ndata: ");
    let mut from = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', message) {
        out.extend_from_slice(&message[from..at]);
        out.extend_from_slice(b"\ndata: ");
        from = at + 1;
    }
    out.extend_from_slice(&message[from..]);
    out.extend_from_slice(b"\n\n");
}

/// Appends one message as one event with an id, which holds no line break.
pub fn encode_numbered(message: &[u8], id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(id.as_bytes());
    out.push(b'\n');
    encode(message, out);
}

/// Appends an event that says nothing but its id, so that a stream can be resumed before its first message (2025-11-25,
/// Streamable HTTP: "an event ID and an empty `data` field").
pub fn encode_priming(id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("id: {id}\ndata:\n\n").as_bytes());
}

/// Appends the first event of HTTP+SSE (2024-11-05): where messages are sent to.
pub fn encode_endpoint(uri: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: endpoint\ndata: {uri}\n\n").as_bytes());
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// `event`; empty means `message`.
    pub event: String,
    /// `data`, its lines joined with LF.
    pub data: String,
    /// `id`, when this event set one.
    pub id: Option<String>,
    /// `retry` in milliseconds, when this event set it.
    pub retry: Option<u64>,
}

/// An event stream above the decoder's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// In bytes.
    pub limit: usize,
}

/// Takes a stream in pieces and gives events.
#[derive(Debug)]
pub struct Decoder {
    /// The line under way, as bytes, because a piece may end within a character.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
    last_id: Option<String>,
    retry: Option<u64>,
    limit: usize,
}

impl Decoder {
    /// For events of at most `limit` bytes of data.
    pub fn new(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_cr: false,
            at_start: true,
            last_id: None,
            retry: None,
            limit,
        }
    }

    /// Takes the next piece; events that are now whole are appended to `events`. An event that the stream's end cuts
    /// off is dropped, as the standard says, so there is nothing to call at the end.
    pub fn push(&mut self, mut piece: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        // An empty piece says nothing about what comes behind the CR.
        if !piece.is_empty() && std::mem::take(&mut self.after_cr) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', piece) {
            self.extend(&piece[..at])?;
            let is_cr = piece[at] == b'\r';
            piece = &piece[at + 1..];
            if is_cr {
                if piece.is_empty() {
                    self.after_cr = true;
                } else {
                    piece = piece.strip_prefix(b"\n").unwrap_or(piece);
                }
            }
            self.end_of_line(events);
        }
        self.extend(piece)
    }

    /// The last event's id, with which the stream can be resumed; also of an event without data, which is not given out.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants to be left alone before it is asked to resume, in milliseconds, if it said so.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.limit < self.line.len() + self.event.data.len() + bytes.len() {
            return Err(TooLong { limit: self.limit });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_of_line(&mut self, events: &mut Vec<Event>) {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if let Some(id) = &event.id {
                self.last_id = Some(id.clone());
            }
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let (field, value) = match text.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (text.as_ref(), ""),
        };
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.event),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.event.retry = value.parse().ok().or(self.event.retry);
                self.retry = self.event.retry.or(self.retry);
            }
            // Comments have an empty name; the standard ignores unknown fields and values that are none.
            _ => {}
        }
        line.clear();
        self.line = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(stream: &[u8], piece: usize) -> Vec<Event> {
        let mut decoder = Decoder::new(1 << 20);
        let mut events = Vec::new();
        for piece in stream.chunks(piece) {
            decoder.push(piece, &mut events).unwrap();
        }
        events
    }

    #[test]
    fn decodes_whatever_the_line_ends_and_pieces() {
        let text = "\u{feff}: hi\r\nid: 7\revent: message\ndata: {\"é\":\r\ndata:😀}\r\n\r\nretry: 10\n\ndata\n\ndata: cut";
        let expected = [
            Event {
                event: "message".to_owned(),
                data: "{\"é\":\n😀}".to_owned(),
                id: Some("7".to_owned()),
                retry: None,
            },
            Event::default(),
        ];
        for piece in [1, 2, 3, 5, 1000] {
            assert_eq!(decode(text.as_bytes(), piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn an_encoded_message_decodes_to_itself() {
        for (message, decoded) in
            [(r#"{"a":"é😀\n"}"#, r#"{"a":"é😀\n"}"#), ("{\n}", "{\n}"), ("{\r\n}\r", "{\n\n}\n"), ("", "")]
        {
            let mut stream = Vec::new();
            encode(message.as_bytes(), &mut stream);
            let events = decode(&stream, 4);
            assert_eq!((events.len(), events[0].data.as_str()), (1, decoded));
        }
    }

    #[test]
    fn an_empty_piece_within_a_line_break_changes_nothing() {
        let (mut decoder, mut events) = (Decoder::new(100), Vec::new());
        for piece in ["data: a\r", "", "\ndata: b\r\n\r\n"] {
            decoder.push(piece.as_bytes(), &mut events).unwrap();
        }
        assert_eq!((events.len(), events[0].data.as_str()), (1, "a\nb"));
    }

    #[test]
    fn a_retry_that_is_no_number_is_ignored() {
        let events = decode(b"retry: 10\nretry: +5\nretry: x\nretry:\ndata\n\n", 100);
        assert_eq!(events[0].retry, Some(10));
    }

    #[test]
    fn events_that_are_not_messages() {
        let mut stream = Vec::new();
        encode_endpoint("sse?sessionId=1", &mut stream);
        encode_priming("c1-0", &mut stream);
        encode_numbered(b"{}", "c1-1", &mut stream);
        let event = |event: &str, data: &str, id: Option<&str>| Event {
            event: event.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
            retry: None,
        };
        let expected = [
            event("endpoint", "sse?sessionId=1", None),
            event("", "", Some("c1-0")),
            event("message", "{}", Some("c1-1")),
        ];
        assert_eq!(decode(&stream, 7), expected);
    }

    #[test]
    fn what_resuming_needs_outlives_events_without_data() {
        let mut decoder = Decoder::new(100);
        let mut events = Vec::new();
        assert_eq!((decoder.last_id(), decoder.retry()), (None, None));
        for (piece, id, retry) in [
            ("id: 1\n", None, None),
            ("retry: 500\n\n", Some("1"), Some(500)),
            ("data: {}\n\nid: 2\nretry: soon\n\nid: 3", Some("2"), Some(500)),
            ("\nid:\n\n", Some(""), Some(500)),
        ] {
            decoder.push(piece.as_bytes(), &mut events).unwrap();
            assert_eq!((decoder.last_id(), decoder.retry()), (id, retry), "{piece}");
        }
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = Decoder::new(100);
        assert_eq!(decoder.push(&[b'x'; 101], &mut Vec::new()), Err(TooLong { limit: 100 }));
    }
}
