//! JSON as editors keep it, with comments and commas before a closing bracket: read with the place of everything, so that a part can be
//! replaced while every other byte stays.

use std::ops::Range;

use serde_json::{Map, Value};

/// Deeper than any settings.
const MAX_DEPTH: usize = 64;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct SyntaxError {
    line: usize,
    problem: &'static str,
}

/// A value and where it is.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// An object, whose members are edited.
    Object {
        members: Vec<Member>,
        /// Whether a comma follows the last member.
        ends_with_comma: bool,
    },
    /// Anything else.
    Other(Value),
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) at: usize,
    pub(crate) value: Node,
}

impl Node {
    /// The value alone. Of members with the same name the last counts, as everywhere.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Object { members, .. } => Value::Object(
                members
                    .iter()
                    .map(|member| (member.key.clone(), member.value.value()))
                    .collect::<Map<_, _>>(),
            ),
            Kind::Other(value) => value.clone(),
        }
    }
}

/// Reads a document; `None` when it holds nothing but blanks and comments.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    if text.starts_with('\u{feff}') {
        parser.at = '\u{feff}'.len_utf8();
    }
    parser.blanks()?;
    if parser.at == text.len() {
        return Ok(None);
    }
    let node = parser.value(0)?;
    parser.blanks()?;
    if parser.at < text.len() {
        return Err(parser.error("there is more after the end of the document"));
    }
    Ok(Some(node))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, problem: &'static str) -> SyntaxError {
        let read = self.text.get(..self.at).unwrap_or(self.text);
        SyntaxError { line: read.matches('\n').count() + 1, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes white space and comments.
    fn blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(length) = rest.find("*/") else {
                    return Err(self.error("a comment has no end"));
                };
                self.at += length + 2;
            } else if rest.starts_with([' ', '\t', '\r', '\n']) {
                self.at += 1;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        if MAX_DEPTH < depth {
            return Err(self.error("it is nested too deeply"));
        }
        let begin = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => Kind::Other(self.array(depth)?),
            Some(b'"') => Kind::Other(Value::from(self.string()?)),
            _ => Kind::Other(self.word()?),
        };
        Ok(Node { span: begin..self.at, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        self.at += 1;
        let (mut members, mut ends_with_comma) = (Vec::new(), true);
        loop {
            self.blanks()?;
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    let ends_with_comma = ends_with_comma && !members.is_empty();
                    return Ok(Kind::Object { members, ends_with_comma });
                }
                Some(b'"') if ends_with_comma => {}
                Some(b'"') => return Err(self.error("a comma is missing")),
                _ => return Err(self.error("a name in quotes is expected, or the end of the object")),
            }
            let at = self.at;
            let key = self.string()?;
            self.blanks()?;
            if self.peek() != Some(b':') {
                return Err(self.error("a colon is missing after a name"));
            }
            self.at += 1;
            self.blanks()?;
            let value = self.value(depth + 1)?;
            members.push(Member { key, at, value });
            self.blanks()?;
            ends_with_comma = self.peek() == Some(b',');
            self.at += usize::from(ends_with_comma);
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let (mut items, mut may_follow) = (Vec::new(), true);
        loop {
            self.blanks()?;
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                Some(_) if may_follow => {}
                Some(_) => return Err(self.error("a comma is missing")),
                None => return Err(self.error("a list has no end")),
            }
            items.push(self.value(depth + 1)?.value());
            self.blanks()?;
            may_follow = self.peek() == Some(b',');
            self.at += usize::from(may_follow);
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let mut is_escaped = false;
        let length = self.rest().bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let end = length.map(|length| self.at + length + 2);
        let quoted = end.and_then(|end| self.text.get(self.at..end));
        let read = quoted.and_then(|quoted| serde_json::from_str(quoted).ok());
        match (read, end) {
            (Some(read), Some(end)) => {
                self.at = end;
                Ok(read)
            }
            _ => Err(self.error("a text in quotes has no end, or a character that is not allowed")),
        }
    }

    fn word(&mut self) -> Result<Value, SyntaxError> {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())];
        let length = word.len();
        match serde_json::from_str(word) {
            Ok(value) => {
                self.at += length;
                Ok(value)
            }
            Err(_) => Err(self.error("a value is expected")),
        }
    }
}
