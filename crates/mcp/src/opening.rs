//! How a stdio server is opened: `initialize` of 2025-11-25 with no client capabilities, because one process is shared
//! by clients of all kinds, and what its answer is kept for.

use serde::Deserialize;

use crate::envelope::{self, Kind, Span};
use crate::errors;
use crate::revision::Revision;

/// The id of the opening request. Calls get ids from 1 on.
const ID: &str = "0";

/// A server that answered the opening.
#[derive(Debug, Clone)]
pub struct Opened {
    result: Box<str>,
    version: Span,
    /// What was negotiated.
    pub revision: Revision,
    /// `serverInfo.name`; empty when it gave none.
    pub server_name: String,
}

/// What a line is to a server that has not been opened yet.
#[derive(Debug)]
pub enum Reply {
    /// The answer to the opening.
    Opened(Opened),
    /// The opening was refused, or answered in a way that cannot be worked with; in words.
    Refused(String),
    /// Something else.
    Other,
}

/// The opening request, as a line. `version` is Berth's own.
pub fn request(version: &str) -> Vec<u8> {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{ID},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{}\",\
         \"capabilities\":{{}},\"clientInfo\":{{\"name\":\"berth\",\"version\":{}}}}}}}\n",
        Revision::NEWEST_LEGACY.text(),
        errors::quote(version)
    )
    .into_bytes()
}

/// What follows the answer, as a line.
pub fn initialized() -> &'static [u8] {
    b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"
}

/// Looks at a line of a server that was sent [`request`].
pub fn reply(line: &[u8]) -> Reply {
    let Ok(message) = envelope::scan(line) else { return Reply::Other };
    if message.kind() != Kind::Answer || message.raw_id() != Some(ID) {
        return Reply::Other;
    }
    if let Some(error) = message.error {
        return Reply::Refused(format!("it refused `initialize`: {}", error_text(message.raw(error))));
    }
    let version = message.marks.protocol_version.and_then(|span| message.string(span));
    let (Some(result), Some(version)) = (message.result, version) else {
        return Reply::Refused("its answer to `initialize` has no `protocolVersion`".to_owned());
    };
    let Some(revision) = Revision::of(&version) else {
        let version: String = version.chars().take(40).collect();
        return Reply::Refused(format!("it speaks the MCP revision `{version}`, which is not known here"));
    };
    // A copy of the result alone, scanned again so that the span fits it; once in a process's life.
    let copy = format!(r#"{{"jsonrpc":"2.0","id":{ID},"result":{}}}"#, message.raw(result));
    match envelope::scan(copy.as_bytes()).ok().and_then(|message| message.marks.protocol_version) {
        Some(version) => Reply::Opened(Opened {
            server_name: server_name(message.raw(result)),
            revision,
            version,
            result: copy.into(),
        }),
        None => Reply::Refused("its answer to `initialize` cannot be read".to_owned()),
    }
}

impl Opened {
    /// The answer to a client's own `initialize`: the server's, with the client's id and the agreed revision.
    pub fn answer(&self, raw_id: &str, agreed: Revision) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.result.len() + raw_id.len() + 16);
        let Ok(message) = envelope::scan(self.result.as_bytes()) else {
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
}

fn server_name(result: &str) -> String {
    #[derive(Deserialize)]
    struct Result {
        #[serde(rename = "serverInfo")]
        server_info: Option<ServerInfo>,
    }
    #[derive(Deserialize)]
    struct ServerInfo {
        name: Option<String>,
    }
    let parsed: Option<Result> = serde_json::from_str(result).ok();
    parsed.and_then(|result| result.server_info).and_then(|info| info.name).unwrap_or_default()
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

    #[test]
    fn the_answer_is_kept_byte_for_byte() {
        let line = br#"{"result":{"capabilities":{"x":18446744073709551616},"protocolVersion":"2025-06-18","serverInfo":{"name":"a"},"z":1},"jsonrpc":"2.0","id":0}"#;
        let Reply::Opened(opened) = reply(line) else { panic!("opened") };
        assert_eq!((opened.revision, opened.server_name.as_str()), (Revision::V2025_06_18, "a"));
        assert_eq!(
            String::from_utf8(opened.answer("\"q\"", Revision::V2025_03_26)).unwrap(),
            r#"{"jsonrpc":"2.0","id":"q","result":{"capabilities":{"x":18446744073709551616},"protocolVersion":"2025-03-26","serverInfo":{"name":"a"},"z":1}}"#
        );
    }

    #[test]
    fn refusals_say_what_the_server_said() {
        for (line, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"no"}}"#,
                "it refused `initialize`: no (-32600)",
            ),
            (
                r#"{"jsonrpc":"2.0","id":0,"result":{}}"#,
                "its answer to `initialize` has no `protocolVersion`",
            ),
            (
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"1"}}"#,
                "it speaks the MCP revision `1`, which is not known here",
            ),
        ] {
            assert!(matches!(reply(line.as_bytes()), Reply::Refused(text) if text == expected), "{line}");
        }
        for line in [
            "garbage",
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#,
        ] {
            assert!(matches!(reply(line.as_bytes()), Reply::Other), "{line}");
        }
    }
}
