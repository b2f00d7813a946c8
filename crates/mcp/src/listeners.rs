//! Who hears of what a server says by itself: the streams of `subscriptions/listen` and of sessions, and the resources
//! that each of them watches.
//!
//! A server knows one client only, so what it is asked to watch is the union of what everybody watches: the first who
//! wants a resource subscribes to it, the last who leaves unsubscribes.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::envelope::{Envelope, META_PREFIX};
use crate::errors;
use crate::level::Level;
use crate::session::SessionId;
use crate::translate;

/// Resources that one stream or session watches at most.
pub(crate) const MAX_WATCHED: usize = 1024;
/// Open streams of all clients together.
const MAX_STREAMS: usize = 4096;

/// Names an open stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(u64);

/// Lists whose changes are announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// `notifications/tools/list_changed`.
    pub tools: bool,
    /// `notifications/prompts/list_changed`.
    pub prompts: bool,
    /// `notifications/resources/list_changed`.
    pub resources: bool,
}

/// What a server says of itself that concerns its listeners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// The lists whose changes it announces.
    pub changes: Changes,
    /// A resource can be watched.
    pub subscribe: bool,
    /// It takes `logging/setLevel`.
    pub logging: bool,
}

impl Changes {
    /// As members of a `subscriptions/listen`'s filter.
    pub(crate) fn filter(self) -> Vec<String> {
        let names = [
            (self.tools, "toolsListChanged"),
            (self.prompts, "promptsListChanged"),
            (self.resources, "resourcesListChanged"),
        ];
        names.iter().filter(|(is_meant, _)| *is_meant).map(|(_, name)| format!(r#""{name}":true"#)).collect()
    }
}

impl Offers {
    /// Of the JSON object `capabilities`.
    pub fn of(capabilities: &str) -> Self {
        let says = |part: &str, key: &str| {
            translate::member(capabilities, part).and_then(|part| translate::member(part, key))
                == Some("true")
        };
        Self {
            changes: Changes {
                tools: says("tools", "listChanged"),
                prompts: says("prompts", "listChanged"),
                resources: says("resources", "listChanged"),
            },
            subscribe: says("resources", "subscribe"),
            logging: translate::member(capabilities, "logging")
                .is_some_and(|logging| logging.starts_with('{')),
        }
    }
}

/// Who watches a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Watcher {
    Stream(StreamKey),
    Session(SessionId),
}

#[derive(Debug)]
pub(crate) struct Listeners<C> {
    streams: BTreeMap<StreamKey, Stream<C>>,
    watched: HashMap<Box<str>, Vec<Watcher>>,
    levels: HashMap<SessionId, Level>,
    next: u64,
}

#[derive(Debug)]
struct Stream<C> {
    to: C,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `subscriptions/listen` of a modern client.
    Listen {
        /// As the client wrote it, quotes included.
        raw_id: Box<str>,
        changes: Changes,
    },
    /// The GET stream of a session.
    Session(SessionId),
}

/// `params.notifications` of `subscriptions/listen`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wanted {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<Box<str>>,
}

/// Why no stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// `params.notifications` is not what it should be.
    Filter,
    /// There are too many streams.
    Full,
}

/// A stream of `subscriptions/listen` that was opened.
pub(crate) struct Opened {
    pub(crate) key: StreamKey,
    /// What the client hears first.
    pub(crate) acknowledged: Vec<u8>,
    /// Resources that nobody watched before.
    pub(crate) first: Vec<Box<str>>,
}

impl<C: Clone> Listeners<C> {
    pub(crate) fn new() -> Self {
        Self { streams: BTreeMap::new(), watched: HashMap::new(), levels: HashMap::new(), next: 1 }
    }

    /// Opens the stream of a `subscriptions/listen`. Granted is what the server offers of what is wanted.
    pub(crate) fn listen(
        &mut self,
        message: &Envelope<'_>,
        offers: Offers,
        to: C,
    ) -> Result<Opened, NotOpened> {
        let raw_id: Box<str> = message.raw_id().unwrap_or("null").into();
        let wanted = message.marks.notifications.ok_or(NotOpened::Filter)?;
        let wanted: Wanted = serde_json::from_str(message.raw(wanted)).map_err(|_| NotOpened::Filter)?;
        let changes = Changes {
            tools: wanted.tools_list_changed && offers.changes.tools,
            prompts: wanted.prompts_list_changed && offers.changes.prompts,
            resources: wanted.resources_list_changed && offers.changes.resources,
        };
        let mut uris = if offers.subscribe { wanted.resource_subscriptions } else { Vec::new() };
        uris.truncate(MAX_WATCHED);
        let acknowledged = acknowledged(&raw_id, changes, &uris);
        let key = self.open(Kind::Listen { raw_id, changes }, to)?;
        let mut first = Vec::new();
        for uri in uris {
            if self.watch(Watcher::Stream(key), &uri) == Some(true) {
                first.push(uri);
            }
        }
        Ok(Opened { key, acknowledged, first })
    }

    /// Opens the stream of a session. A session has one: the one it had before is given back, to be ended.
    pub(crate) fn open_session(
        &mut self,
        session: SessionId,
        to: C,
    ) -> Result<(StreamKey, Option<C>), NotOpened> {
        let before = self.stream_of(session);
        let before = before.and_then(|key| self.streams.remove(&key)).map(|stream| stream.to);
        Ok((self.open(Kind::Session(session), to)?, before))
    }

    /// Where a session listens.
    pub(crate) fn listening(&self, session: SessionId) -> Option<&C> {
        Some(&self.streams.get(&self.stream_of(session)?)?.to)
    }

    /// The session that opened its stream last, and where it listens.
    pub(crate) fn youngest_session(&self) -> Option<(SessionId, &C)> {
        self.streams.values().rev().find_map(|stream| match stream.kind {
            Kind::Session(session) => Some((session, &stream.to)),
            Kind::Listen { .. } => None,
        })
    }

    /// Whether there are any streams.
    pub(crate) fn any(&self) -> bool {
        !self.streams.is_empty()
    }

    fn open(&mut self, kind: Kind, to: C) -> Result<StreamKey, NotOpened> {
        if MAX_STREAMS <= self.streams.len() {
            return Err(NotOpened::Full);
        }
        let key = StreamKey(self.next);
        self.next += 1;
        self.streams.insert(key, Stream { to, kind });
        Ok(key)
    }

    /// The client of a stream has left; gives the resources that nobody watches any more.
    pub(crate) fn close(&mut self, key: StreamKey) -> Vec<Box<str>> {
        match self.streams.remove(&key) {
            Some(Stream { kind: Kind::Listen { .. }, .. }) => self.forget(Watcher::Stream(key)),
            // What a session watches is the session's, not its stream's.
            _ => Vec::new(),
        }
    }

    /// A session has ended: its stream, if it has one, and the resources that nobody watches any more.
    pub(crate) fn end_session(&mut self, session: SessionId) -> (Option<C>, Vec<Box<str>>) {
        self.levels.remove(&session);
        let stream = self.stream_of(session).and_then(|key| self.streams.remove(&key));
        (stream.map(|stream| stream.to), self.forget(Watcher::Session(session)))
    }

    /// Everybody, each with what it hears last: a listening client its final result, a session nothing.
    pub(crate) fn end(&mut self) -> Vec<(C, Option<Vec<u8>>)> {
        let streams = std::mem::take(&mut self.streams);
        self.watched.clear();
        streams
            .into_values()
            .map(|stream| match stream.kind {
                Kind::Listen { raw_id, .. } => (stream.to, Some(final_result(&raw_id))),
                Kind::Session(_) => (stream.to, None),
            })
            .collect()
    }

    /// Adds a watcher. `Some(true)`: the first of this resource; `None`: this one watches too many.
    pub(crate) fn watch(&mut self, watcher: Watcher, uri: &str) -> Option<bool> {
        let is_of = |watchers: &&Vec<Watcher>| watchers.contains(&watcher);
        if MAX_WATCHED <= self.watched.values().filter(is_of).count() {
            return None;
        }
        let watchers = self.watched.entry(uri.into()).or_default();
        let is_new = !watchers.contains(&watcher);
        if is_new {
            watchers.push(watcher);
        }
        Some(is_new && watchers.len() == 1)
    }

    /// Takes a watcher away; whether nobody is left.
    pub(crate) fn unwatch(&mut self, watcher: Watcher, uri: &str) -> bool {
        let Some(watchers) = self.watched.get_mut(uri) else { return true };
        watchers.retain(|one| *one != watcher);
        let is_last = watchers.is_empty();
        if is_last {
            self.watched.remove(uri);
        }
        is_last
    }

    /// Everything that is watched.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &str> {
        self.watched.keys().map(|uri| &**uri)
    }

    pub(crate) fn set_level(&mut self, session: SessionId, level: Level) {
        self.levels.insert(session, level);
    }

    /// What a session asked for.
    pub(crate) fn level(&self, session: SessionId) -> Option<Level> {
        self.levels.get(&session).copied()
    }

    /// The lowest level that any session asked for.
    pub(crate) fn lowest_level(&self) -> Option<Level> {
        self.levels.values().min().copied()
    }

    /// Whether a session may have a log message of a level.
    pub(crate) fn hears(&self, session: SessionId, level: Option<Level>) -> bool {
        // One that asked for nothing gets what a server sends of itself; `info` is what SDKs begin with.
        let least = self.level(session).unwrap_or(Level::Info);
        level.is_none_or(|level| least <= level)
    }

    /// Everybody who hears a notification, each with the message as it hears it. One client has one stream, so nobody
    /// hears it twice.
    pub(crate) fn hear(&self, message: &Envelope<'_>) -> Vec<(C, Vec<u8>)> {
        let method = message.method();
        let wants: &dyn Fn(&Changes) -> bool = match method.as_ref() {
            "notifications/tools/list_changed" => &|changes| changes.tools,
            "notifications/prompts/list_changed" => &|changes| changes.prompts,
            "notifications/resources/list_changed" => &|changes| changes.resources,
            "notifications/resources/updated" => return self.updated(message),
            "notifications/message" => return self.logged(message),
            _ => return Vec::new(),
        };
        let hears = |stream: &&Stream<C>| match &stream.kind {
            Kind::Listen { changes, .. } => wants(changes),
            Kind::Session(_) => true,
        };
        self.streams.values().filter(hears).map(|stream| stream.hear(message)).collect()
    }

    fn updated(&self, message: &Envelope<'_>) -> Vec<(C, Vec<u8>)> {
        let Some(uri) = message.marks.uri.and_then(|span| message.string(span)) else { return Vec::new() };
        // What has changed may be a part of what is watched (2025-11-25, `ResourceUpdatedNotification.uri`).
        let is_meant = |watched: &str| {
            uri.strip_prefix(watched).is_some_and(|rest| {
                rest.is_empty() || watched.ends_with('/') || rest.starts_with(['/', '#', '?'])
            })
        };
        let watchers: Vec<Watcher> =
            self.watched.iter().filter(|(uri, _)| is_meant(uri)).flat_map(|(_, who)| who).copied().collect();
        let hears = |(key, stream): &(&StreamKey, &Stream<C>)| match stream.kind {
            Kind::Listen { .. } => watchers.contains(&Watcher::Stream(**key)),
            Kind::Session(session) => watchers.contains(&Watcher::Session(session)),
        };
        self.streams.iter().filter(hears).map(|(_, stream)| stream.hear(message)).collect()
    }

    /// A log message that belongs to no call. Modern clients hear only of their calls.
    fn logged(&self, message: &Envelope<'_>) -> Vec<(C, Vec<u8>)> {
        let level =
            message.marks.level.and_then(|span| message.string(span)).and_then(|name| Level::of(&name));
        let hears = |stream: &&Stream<C>| match stream.kind {
            Kind::Listen { .. } => false,
            Kind::Session(session) => self.hears(session, level),
        };
        self.streams.values().filter(hears).map(|stream| stream.hear(message)).collect()
    }

    fn stream_of(&self, session: SessionId) -> Option<StreamKey> {
        let is_its = |stream: &Stream<C>| matches!(stream.kind, Kind::Session(id) if id == session);
        self.streams.iter().find(|(_, stream)| is_its(stream)).map(|(key, _)| *key)
    }

    fn forget(&mut self, watcher: Watcher) -> Vec<Box<str>> {
        let its: Vec<Box<str>> = self
            .watched
            .iter()
            .filter(|(_, who)| who.contains(&watcher))
            .map(|(uri, _)| uri.clone())
            .collect();
        its.into_iter().filter(|uri| self.unwatch(watcher, uri)).collect()
    }
}

impl<C: Clone> Stream<C> {
    /// The notification as this client hears it.
    fn hear(&self, message: &Envelope<'_>) -> (C, Vec<u8>) {
        let mut heard = Vec::new();
        match &self.kind {
            Kind::Listen { raw_id, .. } => {
                let (mut buffer, mut edits) = (Vec::new(), Vec::new());
                let tag = format!(r#""{META_PREFIX}subscriptionId":{raw_id}"#);
                translate::put_meta(message, &tag, &mut buffer, &mut edits);
                message.splice(&mut edits, &mut heard);
            }
            Kind::Session(_) => {
                // A modern server's tag names a subscription that is not this client's.
                let mut edits = Vec::new();
                if message.marks.meta_subscription.is_some() {
                    translate::strip_meta(message, &mut edits);
                }
                message.splice(&mut edits, &mut heard);
            }
        }
        (self.to.clone(), heard)
    }
}

fn acknowledged(raw_id: &str, changes: Changes, uris: &[Box<str>]) -> Vec<u8> {
    let mut granted = changes.filter();
    if !uris.is_empty() {
        let uris: Vec<String> = uris.iter().map(|uri| errors::quote(uri)).collect();
        granted.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
    }
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"{META_PREFIX}subscriptionId":{raw_id}}},"notifications":{{{}}}}}}}"#,
        granted.join(",")
    )
    .into_bytes()
}

fn final_result(raw_id: &str) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":{raw_id},"result":{{"resultType":"complete","_meta":{{"{META_PREFIX}subscriptionId":{raw_id}}}}}}}"#
    )
    .into_bytes()
}
