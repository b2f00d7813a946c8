//! What the multiplexer says to the server in its own name, so that one client of many does not set for all what the
//! server keeps once per process: its log level and the resources it watches.

use std::io::Write as _;

use super::{Caller, Mux, Own, cancel};
use crate::envelope::Envelope;
use crate::errors;
use crate::level::Level;
use crate::listeners::Watcher;
use crate::opening::Speaks;
use crate::recall::{Asker, Question};
use crate::revision::Era;
use crate::translate;

impl<C: Clone> Mux<C> {
    /// The answer to what the server must not be asked by one client of many, or cannot be asked in its era.
    pub(super) fn answer_here(
        &mut self,
        message: &Envelope<'_>,
        method: &str,
        caller: &Caller,
        out: &mut Vec<u8>,
    ) -> Option<Vec<u8>> {
        let raw_id = message.raw_id();
        let is_modern = self.backend.speaks == Speaks::Modern;
        let session = caller.session.filter(|_| caller.era == Era::Legacy)?;
        let done = || Some(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, raw_id?).into_bytes());
        let refused = |code, why| Some(errors::body(raw_id, code, why, None));
        let uri = || message.marks.uri.and_then(|span| message.string(span));
        match method {
            "logging/setLevel" if self.backend.offers.logging => {
                let level = message.marks.level.and_then(|span| message.string(span));
                let Some(level) = level.and_then(|name| Level::of(&name)) else {
                    return refused(errors::INVALID_PARAMS, "`params.level` is no level of log messages");
                };
                self.listeners.set_level(session, level);
                self.want_level(level, out);
                done()
            }
            "resources/unsubscribe" => {
                let uri = uri()?;
                let is_last = self.listeners.unwatch(Watcher::Session(session), &uri);
                if is_modern && is_last {
                    self.unwatch(&uri, out);
                }
                // A legacy server answers the last one itself.
                if is_modern || !is_last { done() } else { None }
            }
            "resources/subscribe" if is_modern && self.backend.offers.subscribe => {
                let Some(uri) = uri() else {
                    return refused(errors::INVALID_PARAMS, "`params.uri` must be a string");
                };
                match self.listeners.watch(Watcher::Session(session), &uri) {
                    Some(true) => self.watch(&uri, out),
                    Some(false) => {}
                    None => {
                        return refused(errors::INVALID_REQUEST, "this session watches too many resources");
                    }
                }
                done()
            }
            "ping" if is_modern => done(),
            _ if is_modern && translate::is_removed(method) => {
                refused(errors::METHOD_NOT_FOUND, "the server does not offer this method")
            }
            _ => None,
        }
    }

    /// Has the server log from a level on, if it logs less now.
    pub(super) fn want_level(&mut self, level: Level, out: &mut Vec<u8>) {
        let takes_it = self.backend.offers.logging && self.backend.speaks != Speaks::Modern;
        if takes_it && self.level.is_none_or(|set| level < set) {
            self.level = Some(level);
            self.ask("logging/setLevel", &format!(r#"{{"level":"{}"}}"#, level.name()), Own::Other, out);
        }
    }

    pub(super) fn watch(&mut self, uri: &str, out: &mut Vec<u8>) {
        let quoted = errors::quote(uri);
        if self.backend.speaks == Speaks::Modern {
            let filter = format!(r#"{{"resourceSubscriptions":[{quoted}]}}"#);
            self.ask_to_listen(&filter, Own::Watch(uri.into()), out);
        } else if self.backend.offers.subscribe {
            self.ask("resources/subscribe", &format!(r#"{{"uri":{quoted}}}"#), Own::Other, out);
        }
    }

    pub(super) fn unwatch(&mut self, uri: &str, out: &mut Vec<u8>) {
        if self.backend.speaks == Speaks::Modern {
            let held = self.own.iter().find(|(_, own)| matches!(own, Own::Watch(held) if **held == *uri));
            if let Some(key) = held.map(|(key, _)| *key) {
                self.own.remove(&key);
                cancel(key, "nobody listens any more", out);
            }
        } else if self.backend.offers.subscribe {
            let uri = errors::quote(uri);
            self.ask("resources/unsubscribe", &format!(r#"{{"uri":{uri}}}"#), Own::Other, out);
        }
    }

    pub(super) fn listen_to_changes(&mut self, out: &mut Vec<u8>) {
        let wanted = self.backend.offers.changes.filter();
        if !wanted.is_empty() {
            self.ask_to_listen(&format!("{{{}}}", wanted.join(",")), Own::Changes, out);
        }
    }

    /// Asks for a list in nobody's name. What a server of both eras says in each is left to its clients.
    pub(super) fn ask_for_list(&mut self, question: Question, asker: Asker, out: &mut Vec<u8>) {
        let params = match self.backend.speaks {
            Speaks::Legacy => "{}".to_owned(),
            Speaks::Modern => {
                format!(r#"{{"_meta":{{{}}}}}"#, translate::modern_meta(&self.backend.client, "{}", None))
            }
            Speaks::Both => return,
        };
        self.ask(question.method(), &params, Own::List { question, asker, is_stale: false }, out);
    }

    fn ask_to_listen(&mut self, filter: &str, own: Own, out: &mut Vec<u8>) {
        let meta = translate::modern_meta(&self.backend.client, "{}", None);
        let params = format!(r#"{{"_meta":{{{meta}}},"notifications":{filter}}}"#);
        self.ask("subscriptions/listen", &params, own, out);
    }

    /// Sends a request of the multiplexer's own.
    fn ask(&mut self, method: &str, params: &str, own: Own, out: &mut Vec<u8>) {
        let key = self.next;
        self.next += 1;
        self.own.insert(key, own);
        // Writing to a `Vec` cannot fail.
        let _ = writeln!(out, r#"{{"jsonrpc":"2.0","id":{key},"method":"{method}","params":{params}}}"#);
    }
}
