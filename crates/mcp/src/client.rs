//! What a client says of itself at `initialize` or in each modern request: its capabilities, its name, its revision.
//!
//! A server process is told this once, so processes are shared only between clients that say the same. What matters on
//! the path of a message, whether the client can be asked something, is kept as bits.

use sha2::{Digest as _, Sha256};

use crate::envelope::Envelope;
use crate::revision::Revision;
use crate::translate;

/// What a client can be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

const SAMPLING: u8 = 1;
const SAMPLING_TOOLS: u8 = 1 << 1;
const SAMPLING_CONTEXT: u8 = 1 << 2;
const ELICITATION_FORM: u8 = 1 << 3;
const ELICITATION_URL: u8 = 1 << 4;
const ROOTS: u8 = 1 << 5;
const ROOTS_CHANGED: u8 = 1 << 6;

impl Capabilities {
    /// Of a JSON object `capabilities`. `elicitation: {}` is the form (2025-11-25, client/elicitation, "Capabilities").
    pub fn of(json: &str) -> Self {
        let mut bits = 0;
        let mut put = |bit, is_there| bits |= if is_there { bit } else { 0 };
        if let Some(sampling) = object(json, "sampling") {
            put(SAMPLING, true);
            put(SAMPLING_TOOLS, object(sampling, "tools").is_some());
            put(SAMPLING_CONTEXT, object(sampling, "context").is_some());
        }
        if let Some(elicitation) = object(json, "elicitation") {
            let url = object(elicitation, "url").is_some();
            put(ELICITATION_URL, url);
            put(ELICITATION_FORM, !url || object(elicitation, "form").is_some());
        }
        if let Some(roots) = object(json, "roots") {
            put(ROOTS, true);
            put(ROOTS_CHANGED, translate::member(roots, "listChanged") == Some("true"));
        }
        Self(bits)
    }

    /// As a byte, to be kept.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From a byte that was kept.
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether the client can be asked nothing at all.
    pub fn is_none(self) -> bool {
        self.0 & (SAMPLING | ELICITATION_FORM | ELICITATION_URL | ROOTS) == 0
    }

    /// A JSON object that declares them.
    pub fn json(self) -> String {
        let has = |bit| self.0 & bit != 0;
        let listed = |members: &[(u8, &str)]| {
            let members: Vec<&str> =
                members.iter().filter(|(bit, _)| has(*bit)).map(|(_, member)| *member).collect();
            members.join(",")
        };
        let mut parts = Vec::new();
        if has(SAMPLING) {
            let members = [(SAMPLING_TOOLS, r#""tools":{}"#), (SAMPLING_CONTEXT, r#""context":{}"#)];
            parts.push(format!(r#""sampling":{{{}}}"#, listed(&members)));
        }
        if has(ELICITATION_FORM) || has(ELICITATION_URL) {
            let members = [(ELICITATION_FORM, r#""form":{}"#), (ELICITATION_URL, r#""url":{}"#)];
            parts.push(format!(r#""elicitation":{{{}}}"#, listed(&members)));
        }
        if has(ROOTS) {
            parts.push(format!(r#""roots":{{{}}}"#, listed(&[(ROOTS_CHANGED, r#""listChanged":true"#)])));
        }
        format!("{{{}}}", parts.join(","))
    }

    /// What a request to a client needs and this one has not declared, as `requiredCapabilities` (JSON); `None` when it
    /// may be asked. `params` is JSON, or empty.
    pub fn missing_for(self, method: &str, params: &str) -> Option<&'static str> {
        let member = |key| translate::member(params, key);
        let (bit, required) = match method {
            "sampling/createMessage" if member("tools").or(member("toolChoice")).is_some() => {
                (SAMPLING | SAMPLING_TOOLS, r#"{"sampling":{"tools":{}}}"#)
            }
            "sampling/createMessage" => (SAMPLING, r#"{"sampling":{}}"#),
            "elicitation/create" if member("mode") == Some(r#""url""#) => {
                (ELICITATION_URL, r#"{"elicitation":{"url":{}}}"#)
            }
            "elicitation/create" => (ELICITATION_FORM, r#"{"elicitation":{"form":{}}}"#),
            "roots/list" => (ROOTS, r#"{"roots":{}}"#),
            _ => return None,
        };
        (self.0 & bit != bit).then_some(required)
    }
}

/// What a server process is told of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Which revision `initialize` asks for.
    pub revision: Revision,
    /// `capabilities`, as the client wrote them.
    pub capabilities: Box<str>,
    /// `clientInfo`, as the client wrote it; empty when it gave none.
    pub client_info: Box<str>,
}

impl Hello {
    /// Of `initialize`. `agreed` is what it is answered with.
    pub fn of_initialize(message: &Envelope<'_>, agreed: Revision) -> Self {
        let params = message.params.map_or("{}", |span| message.raw(span));
        Self::new(agreed, object(params, "capabilities"), object(params, "clientInfo"))
    }

    /// Of a modern request, for a legacy server.
    pub fn of_modern(message: &Envelope<'_>) -> Self {
        let capabilities = message.marks.meta_capabilities.map(|span| message.raw(span));
        let meta = message.marks.meta.map_or("{}", |span| message.raw(span));
        let client_info = object(meta, "io.modelcontextprotocol/clientInfo");
        Self::new(Revision::NEWEST_LEGACY, capabilities, client_info)
    }

    /// With capabilities of which only the bits are known.
    pub fn of_bits(revision: Revision, capabilities: Capabilities) -> Self {
        Self::new(revision, Some(&capabilities.json()), None)
    }

    fn new(revision: Revision, capabilities: Option<&str>, client_info: Option<&str>) -> Self {
        Self {
            revision,
            capabilities: on_one_line(capabilities.unwrap_or("{}")),
            client_info: on_one_line(client_info.unwrap_or_default()),
        }
    }

    /// What the client can be asked.
    pub fn can(&self) -> Capabilities {
        Capabilities::of(&self.capabilities)
    }

    /// Equal for clients that one process can serve: they agreed on one revision and declared the same, by whatever name.
    pub fn class(&self) -> u64 {
        hash(&[self.revision.text(), &self.capabilities])
    }

    /// Names it where it is kept.
    pub fn id(&self) -> u64 {
        hash(&[self.revision.text(), &self.capabilities, &self.client_info])
    }

    /// As a line to be kept. The parts are JSON without line breaks, so tabs can stand between them.
    pub fn line(&self) -> String {
        format!("{:016x}\t{}\t{}\t{}\n", self.id(), self.revision.text(), self.capabilities, self.client_info)
    }

    /// From a line that was kept; `None` for one that was cut off or changed.
    pub fn of_line(line: &str) -> Option<Self> {
        let mut parts = line.split('\t');
        let (id, revision, capabilities, client_info) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hello = Self {
            revision: Revision::of(revision)?,
            capabilities: capabilities.into(),
            client_info: client_info.into(),
        };
        (parts.next().is_none() && u64::from_str_radix(id, 16).ok()? == hello.id()).then_some(hello)
    }
}

/// JSON has line breaks and tabs between tokens only, where a space does as well.
fn on_one_line(json: &str) -> Box<str> {
    if json.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b'\t')) {
        json.replace(['\n', '\r', '\t'], " ").into()
    } else {
        json.into()
    }
}

fn object<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    translate::member(json, key).filter(|value| value.starts_with('{'))
}

fn hash(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_and_written() {
        for (json, written) in [
            ("{}", "{}"),
            (r#"{"sampling":{}}"#, r#"{"sampling":{}}"#),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#),
            (
                r#"{"roots":{"listChanged":true},"elicitation":{"url":{},"form":{}},"sampling":{"tools":{},"context":{}},"x":1}"#,
                r#"{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}"#,
            ),
            (r#"{"sampling":true,"roots":null}"#, "{}"),
            ("nonsense", "{}"),
        ] {
            let capabilities = Capabilities::of(json);
            assert_eq!(capabilities.json(), written, "{json}");
            assert_eq!(Capabilities::of(&capabilities.json()), capabilities);
            assert_eq!(Capabilities::of_bits(capabilities.bits()), capabilities);
            assert_eq!(capabilities.is_none(), written == "{}");
        }
    }

    #[test]
    fn what_a_question_needs() {
        let can = Capabilities::of(r#"{"sampling":{},"elicitation":{}}"#);
        for (method, params, missing) in [
            ("sampling/createMessage", "{}", None),
            ("sampling/createMessage", r#"{"tools":[]}"#, Some(r#"{"sampling":{"tools":{}}}"#)),
            ("elicitation/create", r#"{"mode":"form"}"#, None),
            ("elicitation/create", r#"{"mode":"url"}"#, Some(r#"{"elicitation":{"url":{}}}"#)),
            ("roots/list", "", Some(r#"{"roots":{}}"#)),
            ("vendor/ask", "", None),
        ] {
            assert_eq!(can.missing_for(method, params), missing, "{method} {params}");
        }
    }

    #[test]
    fn a_hello_survives_being_kept() {
        let hello = Hello::new(
            Revision::V2025_06_18,
            Some("{\"roots\":\n\t{}, \"experimental\": {\"é\": 1}}"),
            Some(r#"{"name":"n"}"#),
        );
        let line = hello.line();
        assert_eq!(Hello::of_line(line.trim_end_matches('\n')), Some(hello.clone()));
        assert_eq!(Hello::of_line(&line[..line.len() - 3]), None, "cut off");
        let other = Hello { client_info: r#"{"name":"m"}"#.into(), ..hello.clone() };
        assert_eq!(other.class(), hello.class());
        assert_ne!(other.id(), hello.id());
    }
}
