//! How a server is opened, and what its answer is kept for.
//!
//! The first message decides the era of some servers for the life of their process, so it is chosen by who asks. For legacy
//! clients, and for nobody in particular, it is `initialize`: measured, it works on every server that has a legacy era. For
//! modern clients it is `server/discover`; a server that does not know it is initialised instead, on the same process.

use serde::Deserialize;

use crate::client::{Capabilities, Hello};
use crate::envelope::{self, Envelope, Kind, META_PREFIX, Span};
use crate::errors;
use crate::listeners::Offers;
use crate::revision::Revision;
use crate::translate;

/// The id of `initialize`. Calls get ids from 1 on.
const INITIALIZE_ID: &str = "0";
/// The id of `server/discover`.
const DISCOVER_ID: &str = "-1";

/// Which eras a server takes from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speaks {
    /// Modern requests are translated.
    #[default]
    Legacy,
    /// Both at once: nothing is translated.
    Both,
    /// Legacy requests are translated.
    Modern,
}

/// What the calls on a server depend on.
#[derive(Debug, Clone, Default)]
pub struct Backend {
    /// Which eras it takes.
    pub speaks: Speaks,
    /// What it offers to those who listen.
    pub offers: Offers,
    /// Its `serverInfo`, as JSON; empty when it gave none.
    pub server_info: Box<str>,
    /// Berth's `clientInfo`, as JSON.
    pub client: Box<str>,
    /// Whether it was told of a client, and so may ask it something.
    pub declares: bool,
    /// What that client can be asked.
    pub can: Capabilities,
}

/// A server that answered the opening.
#[derive(Debug, Clone)]
pub struct Opened {
    /// An answer to `initialize`, as a whole message.
    initialize: Box<str>,
    version: Span,
    /// The members of an answer to `server/discover` that are the server's own, as JSON without braces.
    discover: Box<str>,
    /// What was negotiated.
    pub revision: Revision,
    /// `serverInfo.name`; empty when it gave none.
    pub server_name: String,
    /// What the calls on it depend on.
    pub backend: Backend,
}

/// What a line is to a server that has not been opened yet.
#[derive(Debug)]
pub enum Reply {
    /// The opening is done.
    Opened(Box<Opened>),
    /// This is to be sent next.
    Ask(Vec<u8>),
    /// The opening was refused, or answered in a way that cannot be worked with; in words.
    Refused(String),
    /// Something else.
    Other,
}

/// How a process is opened.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Begins with `server/discover`, for modern clients.
    pub modern_first: bool,
    /// It is known that a process of this server takes modern requests also after `initialize`.
    pub serves_both: bool,
    /// What the server is told of its client; absent: a client of Berth's own that can be asked nothing, because the
    /// process is shared by clients of all kinds.
    pub hello: Option<Hello>,
}

/// The opening of one process.
#[derive(Debug)]
pub struct Opening {
    berth: Box<str>,
    plan: Plan,
    asked: Asked,
}

/// What the server has been asked last, and how it refused what it was asked before.
#[derive(Debug)]
enum Asked {
    Initialize { after_discover: bool },
    Discover { refused: Option<String> },
}

impl Opening {
    /// Begins; also gives the first line. `version` is Berth's own.
    pub fn begin(version: &str, plan: Plan) -> (Self, Vec<u8>) {
        let berth = format!(r#"{{"name":"berth","version":{}}}"#, errors::quote(version)).into();
        let asked = if plan.modern_first {
            Asked::Discover { refused: None }
        } else {
            Asked::Initialize { after_discover: false }
        };
        let opening = Self { berth, plan, asked };
        let line = match opening.asked {
            Asked::Initialize { .. } => opening.initialize(),
            Asked::Discover { .. } => opening.discover(),
        };
        (opening, line)
    }

    fn initialize(&self) -> Vec<u8> {
        let (revision, capabilities, client_info) = match &self.plan.hello {
            Some(hello) => (hello.revision, &*hello.capabilities, &*hello.client_info),
            None => (Revision::NEWEST_LEGACY, "{}", ""),
        };
        let client_info = if client_info.is_empty() { &*self.berth } else { client_info };
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{INITIALIZE_ID},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{}\",\
             \"capabilities\":{capabilities},\"clientInfo\":{client_info}}}}}\n",
            revision.text()
        )
        .into_bytes()
    }

    fn discover(&self) -> Vec<u8> {
        let meta = translate::modern_meta(&self.berth, "{}", None);
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{DISCOVER_ID},\"method\":\"server/discover\",\"params\":{{\"_meta\":{{{meta}}}}}}}\n"
        )
        .into_bytes()
    }

    /// Takes a line of the server's.
    pub fn line(&mut self, line: &[u8]) -> Reply {
        let Ok(message) = envelope::scan(line) else { return Reply::Other };
        if message.kind() != Kind::Answer {
            return Reply::Other;
        }
        match (message.raw_id(), &mut self.asked) {
            (Some(INITIALIZE_ID), Asked::Initialize { after_discover }) => {
                let after_discover = *after_discover;
                self.initialized(&message, after_discover)
            }
            (Some(DISCOVER_ID), Asked::Discover { refused }) => {
                let refused = refused.take();
                match (self.discovered(&message), refused) {
                    (Some(opened), _) => Reply::Opened(Box::new(opened)),
                    (None, Some(refused)) => Reply::Refused(refused),
                    (None, None) => {
                        self.asked = Asked::Initialize { after_discover: true };
                        Reply::Ask(self.initialize())
                    }
                }
            }
            // An error that answers nothing in particular: some servers give it to a method that they do not know.
            (None, Asked::Discover { refused: None }) if message.error.is_some() => {
                self.asked = Asked::Initialize { after_discover: true };
                Reply::Ask(self.initialize())
            }
            _ => Reply::Other,
        }
    }

    fn initialized(&mut self, message: &Envelope<'_>, after_discover: bool) -> Reply {
        if let Some(error) = message.error {
            let refused = format!("it refused `initialize`: {}", error_text(message.raw(error)));
            if after_discover {
                return Reply::Refused(refused);
            }
            self.asked = Asked::Discover { refused: Some(refused) };
            return Reply::Ask(self.discover());
        }
        let version = message.marks.protocol_version.and_then(|span| message.string(span));
        let (Some(result), Some(version)) = (message.result, version) else {
            return Reply::Refused("its answer to `initialize` has no `protocolVersion`".to_owned());
        };
        let Some(revision) = Revision::of(&version) else {
            let version: String = version.chars().take(40).collect();
            return Reply::Refused(format!(
                "it speaks the MCP revision `{version}`, which is not known here"
            ));
        };
        let result = message.raw(result);
        let server_info = translate::member(result, "serverInfo").unwrap_or_default();
        let speaks = if self.plan.serves_both { Speaks::Both } else { Speaks::Legacy };
        match self.opened(result, result, server_info, revision, speaks) {
            Some(opened) => Reply::Opened(Box::new(opened)),
            None => Reply::Refused("its answer to `initialize` cannot be read".to_owned()),
        }
    }

    fn discovered(&self, message: &Envelope<'_>) -> Option<Opened> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Discovered {
            supported_versions: Vec<String>,
        }
        let result = message.raw(message.result?);
        let discovered: Discovered = serde_json::from_str(result).ok()?;
        let modern = Revision::V2026_07_28;
        if !discovered.supported_versions.iter().any(|version| version == modern.text()) {
            return None;
        }
        let server_info = message.marks.meta_server_info.map_or("", |span| message.raw(span));
        // What `initialize` would have said.
        let mut initialize = format!(
            r#"{{"protocolVersion":"{}","capabilities":{},"serverInfo":{}"#,
            Revision::NEWEST_LEGACY.text(),
            translate::member(result, "capabilities").unwrap_or("{}"),
            if server_info.is_empty() { r#"{"name":"","version":""}"# } else { server_info },
        );
        if let Some(instructions) = translate::member(result, "instructions") {
            initialize.push_str(r#","instructions":"#);
            initialize.push_str(instructions);
        }
        initialize.push('}');
        self.opened(&initialize, result, server_info, modern, Speaks::Modern)
    }

    fn opened(
        &self,
        initialize: &str,
        result: &str,
        server_info: &str,
        revision: Revision,
        speaks: Speaks,
    ) -> Option<Opened> {
        // A copy of the result alone, scanned again so that the span fits it; once in a process's life.
        let initialize = format!(r#"{{"jsonrpc":"2.0","id":{INITIALIZE_ID},"result":{initialize}}}"#);
        let version = envelope::scan(initialize.as_bytes()).ok()?.marks.protocol_version?;
        let capabilities = translate::member(result, "capabilities").unwrap_or("{}");
        let mut discover = format!(r#""capabilities":{}"#, translate::without(capabilities, "tasks"));
        if let Some(instructions) = translate::member(result, "instructions") {
            discover.push_str(r#","instructions":"#);
            discover.push_str(instructions);
        }
        Some(Opened {
            initialize: initialize.into(),
            version,
            discover: discover.into(),
            revision,
            server_name: server_name(server_info),
            backend: Backend {
                speaks,
                offers: Offers::of(capabilities),
                server_info: server_info.into(),
                client: self.berth.clone(),
                can: self.plan.hello.as_ref().map_or(Capabilities::default(), Hello::can),
                declares: self.plan.hello.is_some(),
            },
        })
    }
}

/// Every revision that an address serves, newest first, as a JSON array.
pub(crate) fn versions() -> String {
    let versions: Vec<String> =
        Revision::ALL.iter().rev().map(|revision| errors::quote(revision.text())).collect();
    format!("[{}]", versions.join(","))
}

/// What follows a legacy server's answer, as a line.
pub(crate) fn initialized() -> &'static [u8] {
    b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"
}

impl Opened {
    /// Whether another opening gave the same answer.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.initialize, &self.discover) == (&other.initialize, &other.discover)
    }

    /// The answer to a client's own `initialize`: the server's, with the client's id and the agreed revision.
    pub fn answer(&self, raw_id: &str, agreed: Revision) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.initialize.len() + raw_id.len() + 16);
        let Ok(message) = envelope::scan(self.initialize.as_bytes()) else {
            return errors::body(Some(raw_id), errors::INTERNAL_ERROR, "the opening was lost", None);
        };
        let version = format!("\"{}\"", agreed.text());
        let mut edits = vec![(self.version, version.as_bytes())];
        if let Some(id) = message.id {
            edits.push((id, raw_id.as_bytes()));
        }
        message.splice(&mut edits, &mut out);
        out
    }

    /// The answer to a modern client's `server/discover`, made of what the server said to `initialize`. The legacy
    /// revisions are named too, because this address serves them.
    pub fn discover(&self, raw_id: &str) -> Vec<u8> {
        let info = match &*self.backend.server_info {
            "" => String::new(),
            info => format!(r#","_meta":{{"{META_PREFIX}serverInfo":{info}}}"#),
        };
        format!(
            r#"{{"jsonrpc":"2.0","id":{raw_id},"result":{{"resultType":"complete","supportedVersions":{},{},"ttlMs":0,"cacheScope":"private"{info}}}}}"#,
            versions(),
            self.discover
        )
        .into_bytes()
    }
}

fn server_name(info: &str) -> String {
    #[derive(Deserialize)]
    struct ServerInfo {
        name: String,
    }
    serde_json::from_str::<ServerInfo>(info).map(|info| info.name).unwrap_or_default()
}

/// Code and message of a JSON-RPC error object, cut to a length for people.
fn error_text(raw: &str) -> String {
    #[derive(Deserialize)]
    struct Error {
        code: Option<i64>,
        message: Option<String>,
    }
    match serde_json::from_str::<Error>(raw) {
        Ok(Error { code, message }) => {
            let message: String = message.unwrap_or_default().chars().take(300).collect();
            code.map_or(message.clone(), |code| format!("{message} ({code})"))
        }
        Err(_) => raw.chars().take(300).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        Opening::begin("1.2.3", Plan::default()).0
    }

    #[test]
    fn the_answer_is_kept_byte_for_byte() {
        let line = br#"{"result":{"capabilities":{"x":18446744073709551616,"tasks":{}, "tools":{"listChanged":true}},"protocolVersion":"2025-06-18","serverInfo":{"name":"a"},"z":1},"jsonrpc":"2.0","id":0}"#;
        let Reply::Opened(opened) = opening().line(line) else { panic!("opened") };
        assert_eq!((opened.revision, opened.server_name.as_str()), (Revision::V2025_06_18, "a"));
        assert_eq!(
            String::from_utf8(opened.answer("\"q\"", Revision::V2025_03_26)).unwrap(),
            r#"{"jsonrpc":"2.0","id":"q","result":{"capabilities":{"x":18446744073709551616,"tasks":{}, "tools":{"listChanged":true}},"protocolVersion":"2025-03-26","serverInfo":{"name":"a"},"z":1}}"#
        );
        assert_eq!(
            String::from_utf8(opened.discover("7.0")).unwrap(),
            r#"{"jsonrpc":"2.0","id":7.0,"result":{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"x":18446744073709551616, "tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"a"}}}}"#
        );
        let offers = Offers::of(r#"{"tools":{"listChanged":true}}"#);
        assert!(offers.changes.tools && !offers.changes.prompts);
        assert_eq!((opened.backend.speaks, opened.backend.offers), (Speaks::Legacy, offers));
    }

    #[test]
    fn answers_that_cannot_be_worked_with_are_told() {
        for (line, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":0,"result":{}}"#,
                "its answer to `initialize` has no `protocolVersion`",
            ),
            (
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"1"}}"#,
                "it speaks the MCP revision `1`, which is not known here",
            ),
        ] {
            let reply = opening().line(line.as_bytes());
            assert!(matches!(reply, Reply::Refused(text) if text == expected), "{line}");
        }
        for line in [
            "garbage",
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":-1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#,
        ] {
            assert!(matches!(opening().line(line.as_bytes()), Reply::Other), "{line}");
        }
    }

    #[test]
    fn one_that_refuses_initialize_is_asked_to_discover_itself() {
        let no = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"no"}}"#;
        for (answer, opens) in [
            (
                r#""result":{"supportedVersions":["2026-07-28"],"capabilities":{"prompts":{}},"instructions":"i"}"#,
                true,
            ),
            (r#""result":{"supportedVersions":["2025-11-25"],"capabilities":{}}"#, false),
            (r#""error":{"code":-32601,"message":"what?"}"#, false),
        ] {
            let mut opening = opening();
            let Reply::Ask(asked) = opening.line(no.as_bytes()) else { panic!("asks") };
            let asked = String::from_utf8(asked).unwrap();
            assert!(asked.contains(r#""method":"server/discover""#) && asked.ends_with("}\n"), "{asked}");
            match opening.line(format!(r#"{{"jsonrpc":"2.0","id":-1,{answer}}}"#).as_bytes()) {
                Reply::Opened(opened) => {
                    assert!(opens);
                    assert_eq!(
                        (opened.backend.speaks, opened.revision),
                        (Speaks::Modern, Revision::V2026_07_28)
                    );
                    assert_eq!(
                        String::from_utf8(opened.answer("1", Revision::V2025_06_18)).unwrap(),
                        r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{"prompts":{}},"serverInfo":{"name":"","version":""},"instructions":"i"}}"#
                    );
                }
                Reply::Refused(text) => {
                    assert!(!opens);
                    assert_eq!(text, "it refused `initialize`: no (-32600)");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
