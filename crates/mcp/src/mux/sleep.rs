//! What the multiplexer does for a server that sleeps while nobody uses it: it notes what could be answered without the server,
//! and holds on to those who only listen.

use super::{Mux, Own};
use crate::envelope::Envelope;
use crate::opening::Backend;
use crate::recall::{Asker, Learned, Question, Said};

/// What is done for a server that sleeps while nobody uses it.
#[derive(Debug, Default)]
pub(super) struct Sleep {
    /// It does, so what it answers to some questions is kept.
    pub(super) is_wanted: bool,
    /// What was learned and not fetched yet.
    learned: Vec<Learned>,
    /// What was learned last and holds.
    known: Vec<(Question, Asker)>,
    /// The process is being ended because nobody uses it: those who only listen are to notice nothing.
    pub(super) has_begun: bool,
}

/// A `subscriptions/listen` that the server has itself.
#[derive(Debug)]
pub(super) struct Listens {
    pub(super) line: Box<[u8]>,
    /// Another process was given it, and its client has heard the acknowledgement before.
    pub(super) is_again: bool,
}

impl<C: Clone> Mux<C> {
    /// As [`Self::in_flight`], without those that only listen.
    pub fn busy(&self) -> usize {
        self.calls.values().filter(|call| call.listens.is_none()).count()
    }

    /// Keep what the server answers to questions that somebody else could answer.
    pub fn set_recalls(&mut self) {
        self.sleep.is_wanted = true;
    }

    /// What was learned since this was asked last.
    pub fn learned(&mut self) -> Vec<Learned> {
        std::mem::take(&mut self.sleep.learned)
    }

    /// Whether the process is about to end because nobody uses it, or has: until there is another, those who only listen
    /// go on listening, to nothing.
    pub fn set_rests(&mut self, rests: bool) {
        self.sleep.has_begun = rests;
    }

    /// There is no server yet, and this is what the next one is expected to be.
    pub fn expect(&mut self, backend: Backend) {
        self.backend = backend;
    }

    /// Gives a new process the subscriptions that the one before had.
    pub(super) fn listen_again(&mut self, out: &mut Vec<u8>) {
        for listens in self.calls.values_mut().filter_map(|call| call.listens.as_mut()) {
            listens.is_again = true;
            out.extend_from_slice(&listens.line);
            out.push(b'\n');
        }
    }

    /// Keeps what the server has answered, if it is an answer that can be kept.
    pub(super) fn learn(&mut self, question: Question, answer: &Envelope<'_>, asker: Asker) {
        if let Some(said) = Said::of(question, answer, asker) {
            self.sleep.learned.push(Learned::Said(said));
            self.sleep.known.retain(|(known, _)| *known != question);
            self.sleep.known.push((question, asker));
        }
    }

    /// What was learned and holds no longer is asked for again: some servers say with each start that their lists have changed.
    pub(super) fn look_for_changes(&mut self, message: &Envelope<'_>, out: &mut Vec<u8>) {
        if !self.sleep.is_wanted {
            return;
        }
        let Some(questions) = Question::changed_by(&message.method()) else { return };
        self.sleep.learned.push(Learned::Changed(questions));
        // What is being answered may be from before.
        for call in self.calls.values_mut() {
            call.asks = call.asks.filter(|question| !questions.contains(question));
        }
        for own in self.own.values_mut() {
            if let Own::List { question, is_stale, .. } = own {
                *is_stale |= questions.contains(question);
            }
        }
        let gone: Vec<_> = self.sleep.known.extract_if(.., |(known, _)| questions.contains(known)).collect();
        for (question, asker) in gone {
            self.ask_for_list(question, asker, out);
        }
    }
}
