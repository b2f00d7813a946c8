//! Any headers beside any message: what is taken as modern says the same in both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp::envelope::{self, Envelope, Kind};
use mcp::front::{self, Field, Fields};
use mcp::revision::{Era, Revision};

use super::json;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Three lines are the headers `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name`: `=value` for one that is sent once,
/// an empty line for none, anything else for one that is ambiguous. The rest is the message.
pub(crate) fn headers(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut field = || match parts.next().and_then(|line| std::str::from_utf8(line).ok()) {
        Some("") => Field::Absent,
        Some(line) => line.strip_prefix('=').map_or(Field::Ambiguous, Field::One),
        None => Field::Ambiguous,
    };
    let fields = Fields { version: field(), method: field(), name: field() };
    let Some(Ok(message)) = parts.next().map(envelope::scan) else { return };
    match front::dispatch(&message, &fields) {
        Ok(Era::Modern) => modern(&message, &fields),
        Ok(Era::Legacy) => legacy(&message, &fields),
        Err(refusal) => {
            assert!(matches!(refusal.status, 400 | 404), "{refusal:?}");
            let body = refusal.body(message.raw_id());
            let answer = envelope::scan(&body).expect("a refusal is a message");
            assert_eq!((answer.kind(), answer.raw_id()), (Kind::Answer, message.raw_id()));
            assert_eq!(
                answer.marks.code.map(|code| answer.raw(code)),
                Some(refusal.code.to_string().as_str())
            );
        }
    }
}

/// The body's members below `params` and `_meta`, by another parser.
fn meta<'a>(message: &Envelope<'a>, key: &str) -> Option<&'a str> {
    let params = json::members(message.raw(message.params?));
    json::one(&json::members(json::one(&params, "_meta")?), key)
}

fn modern(message: &Envelope<'_>, fields: &Fields<'_>) {
    let method = message.method();
    assert_ne!(message.kind(), Kind::Answer);
    assert_ne!(method, "initialize");
    if message.kind() == Kind::Notification && meta(message, VERSION).is_none() {
        let Field::One(version) = fields.version else { panic!("modern, and nothing says so") };
        return assert!("2026-07-28" <= version);
    }
    assert_eq!(meta(message, VERSION).and_then(json::decoded).as_deref(), Some("2026-07-28"));
    assert_eq!(fields.version, Field::One("2026-07-28"));
    if message.kind() == Kind::Notification {
        return assert!(fields.method == Field::Absent || fields.method == Field::One(&method));
    }
    assert_eq!(fields.method, Field::One(&method));
    assert!(meta(message, CAPABILITIES).is_some_and(|capabilities| capabilities.starts_with('{')));
    assert!(!["ping", "logging/setLevel", "resources/subscribe"].contains(&method.as_ref()));
    let named = match method.as_ref() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return,
    };
    let params = json::members(message.params.map_or("null", |params| message.raw(params)));
    let body = json::one(&params, named).and_then(json::decoded);
    let header = match fields.name {
        Field::Absent => None,
        Field::One(header) => match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="))
        {
            Some(coded) => Some(String::from_utf8(STANDARD.decode(coded).unwrap()).unwrap()),
            None => Some(header.to_owned()),
        },
        Field::Ambiguous => panic!("an ambiguous name is taken"),
    };
    assert_eq!(header, body, "the name in header and body");
}

fn legacy(message: &Envelope<'_>, fields: &Fields<'_>) {
    if message.kind() == Kind::Answer || message.method() != "initialize" {
        match fields.version {
            Field::Absent => {}
            Field::One(version) => assert!(Revision::of(version).is_some(), "{version}"),
            Field::Ambiguous => panic!("an ambiguous version is taken"),
        }
    }
    if message.kind() != Kind::Answer && message.method() != "initialize" {
        assert_eq!(meta(message, VERSION), None, "a modern message is taken as a legacy one");
        assert_ne!(message.method(), "server/discover");
    }
}
