//! What a server said last to those questions that it need not be there for, and how they are answered with it.
//!
//! An answer is kept as the server wrote it. It reaches a client as one of a living server would: through a multiplexer,
//! which translates it into the client's era and takes out what the client's rule forbids.

use std::sync::Arc;
use std::time::Duration;

use crate::envelope::{Envelope, Span};
use crate::mux::{Begun, Caller, Mux, Output, Setup};
use crate::opening::{Opened, Speaks};
use crate::revision::Era;
use crate::translate;

/// A question whose answer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `server/discover`.
    Discover,
}

/// What is learned from a line of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// It has answered a question.
    Said(Said),
    /// It says that its answers are others now.
    Changed(&'static [Question]),
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The principal.
    principal: [u8; 16],
    /// The era of the question.
    era: Era,
}

impl Asker {
    /// A caller.
    pub(crate) fn of(caller: &Caller) -> Self {
        Self { principal: caller.principal, era: caller.era }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// To what.
    question: Question,
    asker: Asker,
    /// Whether the server wants it shown to nobody else (2026-07-28, `CacheableResult.cacheScope`).
    is_private: bool,
    /// The whole message, as it was written but for its id, which is [`FIRST`].
    line: Box<[u8]>,
}

/// How a new multiplexer numbers the first request.
const FIRST: &[u8] = b"1";

impl Question {
    /// The question that a request asks; a further page of a list is none.
    pub(crate) fn of(message: &Envelope<'_>) -> Option<Self> {
        let question = match message.method().as_ref() {
            "tools/list" => Self::Tools,
            "prompts/list" => Self::Prompts,
            "resources/list" => Self::Resources,
            "resources/templates/list" => Self::Templates,
            "server/discover" => Self::Discover,
            _ => return None,
        };
        let cursor = message.params.and_then(|span| translate::member(message.raw(span), "cursor"));
        cursor.is_none_or(|cursor| cursor == "null").then_some(question)
    }

    /// Its method.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
            Self::Discover => "server/discover",
        }
    }

    /// Those whose answers are others after a notification of this method.
    pub(crate) fn changed_by(method: &str) -> Option<&'static [Self]> {
        Some(match method {
            "notifications/tools/list_changed" => &[Self::Tools],
            "notifications/prompts/list_changed" => &[Self::Prompts],
            "notifications/resources/list_changed" => &[Self::Resources, Self::Templates],
            _ => return None,
        })
    }
}

/// Whether a request is one that may be answered without the server, when it has said before what it would answer.
pub fn is_recallable(message: &Envelope<'_>) -> bool {
    message.method() == "ping" || Question::of(message).is_some()
}

impl Said {
    /// The answer to a caller's question; `None` for an error, and for one page of several.
    pub(crate) fn of(question: Question, answer: &Envelope<'_>, asker: Asker) -> Option<Self> {
        let result = answer.raw(answer.result?);
        let next = translate::member(result, "nextCursor");
        if next.is_some_and(|next| next != "null") {
            return None;
        }
        let mut line = Vec::new();
        answer.splice(&mut [(answer.id?, FIRST)], &mut line);
        let is_private = translate::member(result, "cacheScope") == Some(r#""private""#);
        Some(Self { question, asker, is_private, line: line.into() })
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

/// What one kind of process of a server said last.
#[derive(Debug)]
pub struct Recall {
    opened: Arc<Opened>,
    said: Vec<Said>,
}

impl Recall {
    /// Of a process that was opened, and has answered nothing yet.
    pub fn new(opened: Arc<Opened>) -> Self {
        Self { opened, said: Vec::new() }
    }

    /// What it said when it was opened.
    pub fn opened(&self) -> &Arc<Opened> {
        &self.opened
    }

    /// It was opened again. What another one said is forgotten when this one introduces itself otherwise.
    pub fn reopened(&mut self, opened: Arc<Opened>) {
        if !self.opened.says_the_same(&opened) {
            self.said.clear();
        }
        self.opened = opened;
    }

    /// Keeps an answer instead of an earlier one, or forgets those that are no longer so.
    pub fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Said(said) => {
                let speaks_both = self.opened.backend.speaks == Speaks::Both;
                self.said.retain(|old| {
                    let is_same = old.question == said.question
                        && (!speaks_both || old.asker.era == said.asker.era)
                        && (!old.is_private || old.asker.principal == said.asker.principal);
                    !is_same
                });
                self.said.push(said);
            }
            Learned::Changed(questions) => self.said.retain(|said| !questions.contains(&said.question)),
        }
    }

    /// Forgets all answers.
    pub fn clear(&mut self) {
        self.said.clear();
    }

    /// Bytes of the answers.
    pub fn len(&self) -> usize {
        self.said.iter().map(Said::len).sum()
    }

    /// Whether no answer is kept.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// The answer to a request, as the caller would get it of the server itself; `None` when only the server can give it.
    pub fn answer(&self, message: &Envelope<'_>, id: Span, caller: Caller) -> Option<Vec<u8>> {
        let line = match message.method().as_ref() {
            "ping" => br#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            _ => self.line(Question::of(message)?, &caller)?,
        };
        let mut mux = Mux::new(&Setup {
            instance_key: "",
            random: [0; crate::park::RANDOM],
            first_question: 0,
            is_private: false,
            owners_are_known: true,
        });
        mux.expect(self.opened.backend.clone());
        let mut unsent = Vec::new();
        match mux.request(message, id, caller, (), Duration::ZERO, &mut unsent) {
            Begun::Answered(answer) => Some(answer),
            Begun::Forwarded(_) => match mux.line(line, None, Duration::ZERO, &mut unsent) {
                Output::Answer { message, .. } => Some(message),
                _ => None,
            },
        }
    }

    fn line(&self, question: Question, caller: &Caller) -> Option<&[u8]> {
        let speaks_both = self.opened.backend.speaks == Speaks::Both;
        let is_meant = |said: &&Said| {
            said.question == question
                && (!speaks_both || said.asker.era == caller.era)
                && (!said.is_private || said.asker.principal == caller.principal)
        };
        self.said.iter().find(is_meant).map(|said| &*said.line)
    }
}

#[cfg(test)]
mod tests;
