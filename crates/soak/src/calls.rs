//! The requests that clients make, and what must come back for each. Pure: nothing is sent here.

use serde_json::{Value, json};

use crate::random::Random;
use crate::wire::Failed;

/// A step of a slow call, in milliseconds.
const STEP_MS: u64 = 40;
/// Steps of a call that is to be left in the middle: it would last 20 s.
const TOO_MANY: u64 = 500;
/// Most payloads are shorter; one in fifty is so long that it does not pass a pipe in one piece. So is the one of call 0:
/// connections keep the buffers that it needed, and memory that is compared later has them from the beginning.
const LONG: usize = 100_000;

/// What a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo,
    Steps,
    Cancel,
    Tools,
    Resources,
    Read,
}

/// A request, and what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) id: Value,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    /// In every answer of this call and in no other's.
    payload: String,
    steps: u64,
    /// Steps that were reported.
    seen: u64,
}

impl Kind {
    pub(crate) fn any(random: &mut Random) -> Self {
        match random.below(100) {
            0..50 => Self::Echo,
            50..66 => Self::Steps,
            66..76 => Self::Cancel,
            76..82 => Self::Tools,
            82..86 => Self::Resources,
            _ => Self::Read,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Steps => "slow call with progress",
            Self::Cancel => "cancelled in mid-call",
            Self::Tools => "list of tools",
            Self::Resources => "list of resources",
            Self::Read => "resource read",
        }
    }
}

impl Call {
    /// The ids and progress tokens of all clients are the same, so that only the payload tells them apart.
    pub(crate) fn new(kind: Kind, client: u64, number: u64, random: &mut Random) -> Self {
        let id = if random.below(2) == 0 { json!(number) } else { json!(format!("call {number}")) };
        let unique = format!("{client}-{number}-{:016x}", random.next());
        let payload = match kind {
            Kind::Echo => {
                let any = usize::try_from(random.below(600)).unwrap_or_default();
                let length = if number == 0 || random.below(50) == 0 { LONG } else { any };
                format!("{unique} {}", "ä☃ \"\\\n".repeat(length / 10))
            }
            _ => unique,
        };
        let steps = if kind == Kind::Cancel { TOO_MANY } else { 2 + random.below(6) };
        let (method, params) = match kind {
            Kind::Echo => ("tools/call", json!({"name": "echo", "arguments": {"message": payload}})),
            Kind::Steps | Kind::Cancel => {
                let arguments = json!({"message": payload, "count": steps, "ms": STEP_MS});
                (
                    "tools/call",
                    json!({"name": "steps", "arguments": arguments, "_meta": {"progressToken": id}}),
                )
            }
            Kind::Tools => ("tools/list", json!({})),
            Kind::Resources => ("resources/list", json!({})),
            Kind::Read => ("resources/read", json!({"uri": format!("test://template/{payload}/data")})),
        };
        Self { kind, id, method, params, payload, steps, seen: 0 }
    }

    /// Takes a message that came before the answer, which can only be this call's own progress; whether `message` is
    /// one of those.
    pub(crate) fn between(&mut self, message: &Value) -> Result<bool, Failed> {
        if message.get("method").is_none() {
            return Ok(false);
        }
        self.seen += 1;
        let params = &message["params"];
        let is_own = message["method"] == "notifications/progress"
            && message.get("id").is_none()
            && matches!(self.kind, Kind::Steps | Kind::Cancel)
            && params["progressToken"] == self.id
            && params["message"] == self.payload.as_str()
            && params["progress"].as_f64() == u32::try_from(self.seen).ok().map(f64::from);
        if is_own { Ok(true) } else { Err(self.wrong("step", message)) }
    }

    /// Judges the answer.
    pub(crate) fn answer(&self, message: &Value) -> Result<(), Failed> {
        let has_own_id = message["id"] == self.id;
        if let Some(error) = message.get("error") {
            // An error that was made before the request was read has no id to give.
            return Err(if has_own_id || message["id"].is_null() {
                Failed::Refused(format!("{}: {}", error["code"], error["message"]))
            } else {
                self.wrong("error", message)
            });
        }
        let result = &message["result"];
        let text = &result["content"][0]["text"];
        let is_own = match self.kind {
            Kind::Echo => *text == self.payload.as_str(),
            Kind::Steps => *text == self.payload.as_str() && self.seen == self.steps,
            Kind::Cancel => text == "cancelled",
            Kind::Tools => has(&result["tools"], "name", &["echo", "steps"]),
            Kind::Resources => has(&result["resources"], "uri", &["test://static-text"]),
            Kind::Read => result["contents"][0]["text"].as_str().is_some_and(|text| {
                let read: Value = serde_json::from_str(text).unwrap_or_default();
                read["id"] == self.payload.as_str()
            }),
        };
        if has_own_id && is_own { Ok(()) } else { Err(self.wrong("answer", message)) }
    }

    fn wrong(&self, what: &str, message: &Value) -> Failed {
        let cut = |text: String| text.chars().take(400).collect::<String>();
        Failed::Wrong(format!(
            "{what} to {} ({}), {} step(s) seen: {}",
            self.id,
            cut(self.payload.clone()),
            self.seen,
            cut(message.to_string())
        ))
    }
}

fn has(list: &Value, key: &str, names: &[&str]) -> bool {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    names.iter().all(|name| items.iter().filter(|item| item[key] == *name).count() == 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Call, Kind};
    use crate::random::Random;
    use crate::wire::Failed;

    #[track_caller]
    fn check(kind: Kind, answer: impl Fn(&Call) -> serde_json::Value, is_right: bool) {
        let mut call = Call::new(kind, 7, 3, &mut Random::new(1));
        call.seen = call.steps;
        let judged = call.answer(&answer(&call));
        assert_eq!(judged.is_ok(), is_right, "{judged:?}");
        assert!(is_right || matches!(judged, Err(Failed::Wrong(_))), "{judged:?}");
    }

    #[test]
    fn another_s_answer_is_wrong() {
        let text =
            |id: &serde_json::Value, text: &str| json!({"id": id, "result": {"content": [{"text": text}]}});
        check(Kind::Echo, |call| text(&call.id, &call.payload), true);
        check(Kind::Echo, |call| text(&json!(99), &call.payload), false);
        check(Kind::Echo, |call| text(&call.id, "8-3-0"), false);
        check(Kind::Echo, |_| json!({"id": 99, "error": {"code": -1, "message": "no"}}), false);
        check(Kind::Steps, |call| text(&call.id, "cancelled"), false);
        check(Kind::Cancel, |call| text(&call.id, &call.payload), false);
        check(Kind::Read, |call| json!({"id": call.id, "result": {"contents": [{"text": "{}"}]}}), false);
    }

    #[test]
    fn another_s_progress_is_wrong() {
        let mut call = Call::new(Kind::Steps, 7, 3, &mut Random::new(1));
        let progress = |message: &str, step: u32| {
            let params = json!({"progressToken": call.id, "progress": step, "message": message});
            json!({"method": "notifications/progress", "params": params})
        };
        let messages = [progress(&call.payload, 1), progress("8-3-0", 2), progress(&call.payload, 9)];
        let judged: Vec<bool> = messages.iter().map(|message| call.between(message).is_ok()).collect();
        assert_eq!(judged, [true, false, false]);
    }
}
