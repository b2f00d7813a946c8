//! Why a call came to nothing, in words, and what to do about it.

use std::time::Duration;

use domain::names::InstanceName;
use http::StatusCode;

use super::json::{Json, JsonError};

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What happened.
    pub(crate) words: String,
    /// What to do.
    pub(crate) next: String,
    /// Where to do it: what follows the instance's address, and the words of the link.
    pub(crate) place: Option<(&'static str, &'static str)>,
    /// The code of a JSON-RPC error.
    pub(crate) code: Option<String>,
}

const LOGS: Option<(&str, &str)> = Some(("/logs", "Its logs"));
const OVERVIEW: Option<(&str, &str)> = Some(("", "The instance"));

impl Trouble {
    fn new(
        words: impl Into<String>,
        next: impl Into<String>,
        place: Option<(&'static str, &'static str)>,
    ) -> Self {
        Self { words: words.into(), next: next.into(), place, code: None }
    }

    pub(super) fn slow(name: &InstanceName, limit: Duration) -> Self {
        let words =
            format!("`{name}` gave no answer within {} s, so the call was cancelled.", limit.as_secs());
        Self::new(words, "Its logs tell what it did; a call that takes longer belongs into a client.", LOGS)
    }

    pub(super) fn broken(name: &InstanceName) -> Self {
        let words = format!(
            "The answer of `{name}` broke off before its end. Whether the call took effect is not known."
        );
        Self::new(words, "Its logs tell whether it crashed.", LOGS)
    }

    pub(super) fn large() -> Self {
        Self::new("The answer is larger than 16 MiB.", "Ask for less of it.", None)
    }

    pub(super) fn no_json(name: &InstanceName, error: &JsonError) -> Self {
        Self::new(
            format!("`{name}` answered what is no MCP message: {error}."),
            "Its logs may tell why.",
            LOGS,
        )
    }

    pub(super) fn strange(name: &InstanceName, status: StatusCode) -> Self {
        Self::new(
            format!("`{name}` answered with the status {status} and no MCP message."),
            "Its logs may tell why.",
            LOGS,
        )
    }

    /// A JSON-RPC error. Those of the path say why in `data.reason`.
    pub(super) fn told(name: &InstanceName, error: &Json) -> Self {
        let message = error.str_of("message").unwrap_or("it gave no reason");
        let words = sentence(message);
        let code = match error.get("code") {
            Some(Json::Number(code)) => code.clone(),
            _ => String::new(),
        };
        let reason = error.get("data").and_then(|data| data.str_of("reason")).unwrap_or_default();
        let of_rule = message.ends_with("is not available to this caller");
        let told = match (reason, &*code) {
            ("stopped", _) => {
                Self::new(format!("`{name}` is stopped."), "Start it, then try again.", OVERVIEW)
            }
            ("starting", _) => Self::new(words, "Load this page again in a few seconds.", OVERVIEW),
            ("failed", _) => Self::new(words, "Its logs tell more.", LOGS),
            ("unreachable", _) => Self::new(
                words,
                "It is tried again by itself; the page of its environment tells how that is.",
                OVERVIEW,
            ),
            ("too_often", _) => Self::new(words, "Wait, then try again.", None),
            ("lost", _) => Self::new(words, "Its logs tell whether it crashed.", LOGS),
            _ if of_rule => Self::new(
                words,
                "A rule of this account keeps it from you. An admin sees and changes it under Rules.",
                None,
            ),
            (_, "-32601") => Self::new(words, format!("`{name}` does not offer this."), None),
            (_, "-32602") => Self::new(words, "Change what you typed: the server did not accept it.", None),
            (_, "-32020" | "-32021" | "-32022") => {
                Self::new(words, "The server wants what this page cannot do. Try it with a client.", None)
            }
            _ => Self::new(words, "Its logs may tell more.", LOGS),
        };
        Self { code: Some(code).filter(|code| !code.is_empty()), ..told }
    }
}

fn sentence(message: &str) -> String {
    let message = message.trim();
    if message.ends_with(['.', '!', '?']) { message.to_owned() } else { format!("{message}.") }
}
