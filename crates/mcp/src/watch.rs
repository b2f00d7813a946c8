//! What an answer says, seen while its bytes pass, in pieces of any size, without keeping or changing them.
//!
//! It finds the messages of a body (one object, an array of them, or one of either in each event of a stream), and of each whether it is
//! an answer, whose, and whether it tells of a failure. It is for counting and noting, so it judges nothing: text that is no JSON makes it
//! see less, never fail.

use memchr::{memchr, memchr2};

/// The longest id that is told; longer ones are told empty.
const MAX_ID: usize = 128;
/// Room for the longest key that is looked for.
const WORD: usize = 16;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A result.
    Result,
    /// A result with `isError: true`: the tool ran and failed.
    ToolError,
    /// A JSON-RPC error.
    Error,
}

/// Looks at the bytes of one body.
#[derive(Debug)]
pub struct Watch {
    /// Where a line of an event stream is, when it is one.
    line: Option<Line>,
    json: Json,
}

/// Of an event stream: what of the present line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:`, and nothing else.
    Field(usize),
    /// What follows it.
    Data,
    /// Another field, or a comment.
    Other,
}

const DATA: &[u8] = b"data:";

impl Watch {
    /// For one message, or an array of them.
    pub fn of_json() -> Self {
        Self { line: None, json: Json::default() }
    }

    /// For an event stream (HTML Standard, "Server-sent events").
    pub fn of_events() -> Self {
        Self { line: Some(Line::Field(0)), json: Json::default() }
    }

    /// Takes the next bytes; `told` is called for each answer that ends in them, with its id as it is written.
    pub fn feed(&mut self, bytes: &[u8], told: &mut dyn FnMut(&[u8], Outcome)) {
        let Some(line) = &mut self.line else { return self.json.feed(bytes, told) };
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if matches!(first, b'\n' | b'\r') {
                rest = &rest[1..];
                // Of a line's two ends the second counts.
                if first == b'\n' {
                    // An empty line ends the event, and what was begun in it.
                    if *line == Line::Field(0) {
                        self.json = Json::default();
                    }
                    *line = Line::Field(0);
                }
                continue;
            }
            match *line {
                Line::Field(read) if DATA.get(read) == Some(&first) => {
                    *line = if read + 1 == DATA.len() { Line::Data } else { Line::Field(read + 1) };
                    rest = &rest[1..];
                }
                Line::Field(_) => *line = Line::Other,
                Line::Data | Line::Other => {
                    let end = memchr(b'\n', rest).unwrap_or(rest.len());
                    if *line == Line::Data {
                        self.json.feed(&rest[..end], told);
                    }
                    rest = &rest[end..];
                }
            }
        }
    }
}

/// Where in the JSON text it is.
#[derive(Debug, Default)]
struct Json {
    depth: u32,
    at: At,
    escaped: bool,
    /// The depth of the members of the present message; 0 outside of any.
    members: u32,
    word: [u8; WORD],
    /// Bytes of the key; more than fit when it is longer.
    length: usize,
    /// The last key of the message itself.
    key: Key,
    /// Of the object that is `result`: its last key is `isError`.
    is_error_next: bool,
    in_result: bool,
    id: Vec<u8>,
    found: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Between,
    /// A string that comes now is a key that may be worth knowing.
    BeforeKey,
    Key,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Key {
    Id,
    Result,
    Error,
    #[default]
    Other,
}

impl Json {
    fn feed(&mut self, bytes: &[u8], told: &mut dyn FnMut(&[u8], Outcome)) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if matches!(self.at, At::Key | At::Text) {
                at += self.string(&bytes[at..]);
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.begin_string(),
                b'{' | b'[' => self.open(byte == b'{'),
                b'}' | b']' => self.close(told),
                b',' => {
                    let of_message = self.depth == self.members;
                    if of_message {
                        self.key = Key::Other;
                    }
                    self.is_error_next = false;
                    self.key_is_next(self.depth != 0 && (of_message || self.is_of_result()));
                }
                b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => {
                    if self.is_error_next && byte == b't' {
                        self.found = Some(Outcome::ToolError);
                    }
                    self.keep_id(&[byte]);
                }
            }
        }
    }

    /// Takes of a string what there is of it; gives how many bytes.
    fn string(&mut self, bytes: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            self.take(&bytes[..1]);
            return 1;
        }
        match memchr2(b'"', b'\\', bytes) {
            None => {
                self.take(bytes);
                bytes.len()
            }
            Some(end) => {
                self.take(&bytes[..end]);
                if bytes[end] == b'\\' {
                    self.escaped = true;
                    // A key with escapes is none of those that are looked for, which no shim gives out.
                    self.take(b"\\");
                } else {
                    self.end_string();
                }
                end + 1
            }
        }
    }

    fn begin_string(&mut self) {
        self.at = if self.at == At::BeforeKey { At::Key } else { At::Text };
        self.length = 0;
        if self.at == At::Text {
            self.keep_id(b"\"");
        }
    }

    fn key_is_next(&mut self, is_next: bool) {
        self.at = if is_next { At::BeforeKey } else { At::Between };
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.at == At::Text {
            return self.keep_id(bytes);
        }
        let room = WORD.saturating_sub(self.length).min(bytes.len());
        self.word[self.length.min(WORD)..][..room].copy_from_slice(&bytes[..room]);
        self.length = self.length.saturating_add(bytes.len());
    }

    fn end_string(&mut self) {
        if std::mem::take(&mut self.at) == At::Text {
            return self.keep_id(b"\"");
        }
        let word = self.word.get(..self.length).unwrap_or_default();
        if self.is_of_result() {
            self.is_error_next = word == b"isError";
            return;
        }
        self.key = match word {
            b"id" => Key::Id,
            b"result" => Key::Result,
            b"error" => Key::Error,
            _ => Key::Other,
        };
        match self.key {
            Key::Result => self.found = Some(self.found.unwrap_or(Outcome::Result)),
            Key::Error => self.found = Some(Outcome::Error),
            Key::Id | Key::Other => {}
        }
    }

    /// Whether this is among the members of `result`.
    fn is_of_result(&self) -> bool {
        self.in_result && self.depth == self.members + 1
    }

    /// Keeps what is written of the message's id.
    fn keep_id(&mut self, bytes: &[u8]) {
        if self.key == Key::Id && self.depth == self.members && self.members != 0 {
            let room = (MAX_ID + 1).saturating_sub(self.id.len()).min(bytes.len());
            self.id.extend_from_slice(&bytes[..room]);
        }
    }

    fn open(&mut self, is_object: bool) {
        self.is_error_next = false;
        self.depth = self.depth.saturating_add(1);
        if self.members == 0 {
            // An array of messages is one level around them.
            if is_object && self.depth <= 2 {
                self.members = self.depth;
                self.at = At::BeforeKey;
                (self.key, self.found) = (Key::Other, None);
                self.id.clear();
            }
            return;
        }
        if self.depth == self.members + 1 && self.key == Key::Result && is_object {
            self.in_result = true;
            self.at = At::BeforeKey;
        }
    }

    fn close(&mut self, told: &mut dyn FnMut(&[u8], Outcome)) {
        if self.is_of_result() {
            self.in_result = false;
        }
        self.at = At::Between;
        self.is_error_next = false;
        if self.members != 0 && self.depth == self.members {
            self.members = 0;
            if let Some(outcome) = self.found.take() {
                let id = if self.id.len() <= MAX_ID { self.id.as_slice() } else { &[] };
                told(id, outcome);
            }
        }
        self.depth = self.depth.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mut watch: Watch, text: &str, piece: usize) -> Vec<(String, Outcome)> {
        let mut seen = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            watch.feed(bytes, &mut |id, outcome| {
                seen.push((String::from_utf8(id.to_vec()).unwrap(), outcome));
            });
        }
        seen
    }

    fn check(make: fn() -> Watch, text: &str, expected: &[(&str, Outcome)]) {
        let expected: Vec<_> = expected.iter().map(|(id, outcome)| ((*id).to_owned(), *outcome)).collect();
        for piece in [1, 2, 3, 7, 64, 1 << 20] {
            assert_eq!(seen(make(), text, piece), expected, "{text} in pieces of {piece}");
        }
    }

    #[test]
    fn what_one_message_says() {
        use Outcome::{Error, Result, ToolError};
        let json = Watch::of_json;
        check(json, r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#, &[("7", Result)]);
        check(json, r#"{"result":{"content":[],"isError":true},"id":"a b"}"#, &[("\"a b\"", ToolError)]);
        check(json, r#"{"result":{"isError" : true , "content":[]},"id":-1.5e3}"#, &[("-1.5e3", ToolError)]);
        check(json, r#"{"id":7,"result":{"isError":false,"content":[{"isError":true}]}}"#, &[("7", Result)]);
        check(json, r#"{"id":7,"result":{"structuredContent":{"isError":true}}}"#, &[("7", Result)]);
        check(json, r#"{"id":7,"result":{"text":"\"isError\":true"}}"#, &[("7", Result)]);
        check(json, r#"{"id":7,"result":["isError",true]}"#, &[("7", Result)]);
        check(json, r#"{"id":"\"","result":"x"}"#, &[(r#""\"""#, Result)]);
        check(
            json,
            r#" { "id" : null , "error" : { "code" : -32000 , "message" : "id" } } "#,
            &[("null", Error)],
        );
        check(json, r#"{"id":7,"method":"sampling/createMessage","params":{"result":1,"id":3}}"#, &[]);
        check(json, r#"{"method":"notifications/progress","params":{}}"#, &[]);
        let long = format!(r#"{{"id":"{}","result":1}}"#, "x".repeat(200));
        check(json, &long, &[("", Result)]);
        let odd_key = format!(r#"{{"{}":{{"result":1}},"result\u0020":2}}"#, "result".repeat(20));
        check(json, &odd_key, &[]);
    }

    #[test]
    fn what_several_say() {
        use Outcome::{Error, Result, ToolError};
        let batch = r#"[{"id":1,"result":{}},{"id":"2","error":{}},{"method":"x"},{"id":3,"result":{"isError":true}}]"#;
        check(Watch::of_json, batch, &[("1", Result), ("\"2\"", Error), ("3", ToolError)]);
        let stream = "event: message\ndata: {\"method\":\"notifications/message\",\n\n: a comment {\"id\":9,\"result\":1}\n\
            id: 4\nretry: 1\ndatax: {\"id\":9,\"result\":1}\ndata:{\"id\":5,\r\ndata: \"result\":{}}\r\n\r\ndata: [{\"id\":6,\"error\":1}]\n\n";
        check(Watch::of_events, stream, &[("5", Result), ("6", Error)]);
    }

    #[test]
    fn what_is_no_message_is_nothing() {
        for text in
            ["", "}}}]]]", "[[[{\"result\":1}]]]", "null", "\"result\"", "{\"result\"", "{,,,:::}", "\\\"{"]
        {
            check(Watch::of_json, text, &[]);
        }
    }
}
