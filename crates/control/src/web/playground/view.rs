//! What came of a call, as a template takes it.

use crate::app::App;
use crate::app::playground::json::Json;
use crate::app::playground::outcome::{Message, Part, Shown, cut};
use crate::app::playground::questions::{Asks, Required};
use crate::app::playground::schema::{Errors, Typed};
use crate::app::playground::{Call, Kind, Past, Player, Said, Trouble, What, lines};
use crate::auth::Caller;
use crate::web::playground::rows::{Row, rows};
use crate::web::visitor::escaped;
use crate::web::words::{ago, bytes};
use store::instances::InstanceRow;

/// What stands below the form.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The path of the playground.
    pub(crate) base: String,
    /// What the forms of this page carry.
    pub(crate) csrf: String,
    pub(crate) ended: Option<Ended>,
    pub(crate) asked: Option<Asked>,
    pub(crate) history: Vec<Line>,
}

/// A call that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The path of this call.
    pub(crate) href: String,
    /// Where the whole result is.
    pub(crate) json_href: String,
    pub(crate) name: String,
    pub(crate) took: String,
    pub(crate) trouble: Option<Trouble>,
    /// The path of the instance.
    pub(crate) instance: String,
    pub(crate) is_error: bool,
    pub(crate) messages: Vec<(String, Vec<Shape>)>,
    pub(crate) parts: Vec<Shape>,
    pub(crate) more: usize,
    pub(crate) structured: Option<(String, Option<String>)>,
    pub(crate) said: Vec<Words>,
    /// The whole result as JSON.
    pub(crate) json: Option<(String, Option<String>)>,
    pub(crate) has_app: bool,
    pub(crate) berth: Option<String>,
    pub(crate) curl: String,
}

/// A part of a result.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// `text`, `picture`, `sound`, `bytes` or `link`.
    pub(crate) tag: &'static str,
    pub(crate) text: String,
    /// A `data:` address.
    pub(crate) source: String,
    /// What it is, in small print.
    pub(crate) note: String,
    /// A resource's address.
    pub(crate) uri: String,
    /// Where a resource of the server is read.
    pub(crate) read: Option<String>,
    /// Where the whole of it is.
    pub(crate) download: Option<String>,
    pub(crate) left_out: Option<String>,
}

/// Something a server said while it worked.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) at: String,
    pub(crate) what: String,
    pub(crate) text: String,
    pub(crate) has_percent: bool,
    /// Of a hundred.
    pub(crate) percent: u8,
}

/// A call that waits for its person.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) requests: String,
    pub(crate) state: String,
    pub(crate) has_state: bool,
    pub(crate) questions: Vec<Question>,
    pub(crate) said: Vec<Words>,
    /// Where one gives up.
    pub(crate) back: String,
}

/// One question.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// `form`, `address`, `model`, `roots` or `unknown`.
    pub(crate) tag: &'static str,
    pub(crate) id: String,
    pub(crate) message: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) act: String,
    /// What can be done: a word, words for people, and whether it is chosen.
    pub(crate) acts: Vec<(&'static str, &'static str, bool)>,
    pub(crate) url: String,
    pub(crate) host: Option<String>,
    pub(crate) messages: Vec<(String, Vec<Shape>)>,
    pub(crate) system: Option<String>,
    pub(crate) most: Option<String>,
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) error: Option<String>,
}

/// A line of the last calls.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) href: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) arguments: String,
    pub(crate) word: &'static str,
    pub(crate) is_ok: bool,
    pub(crate) ago: String,
}

/// The page of a tool, prompt or resource in the playground.
pub(crate) fn href(base: &str, word: &str, name: &str) -> String {
    format!("{base}?{word}={}", escaped(name).replace('/', "%2F"))
}

impl Words {
    pub(crate) fn of(said: &Said) -> Self {
        let at = format!("{}.{} s", said.after.as_secs(), said.after.subsec_millis() / 100);
        let (what, text, percent) = match &said.what {
            What::Progress { done, total, message } => {
                let of = total.as_ref().map(|total| format!(" of {total}")).unwrap_or_default();
                let percent = total.as_ref().and_then(|total| percent(done, total));
                let words = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                ("progress".to_owned(), format!("{done}{of}{words}"), percent)
            }
            What::Log { level, logger, text } => {
                let logger = logger.as_ref().map(|logger| format!("{logger}: ")).unwrap_or_default();
                (level.clone(), format!("{logger}{text}"), None)
            }
            What::More => (
                "more".to_owned(),
                "It says more than is shown here; its logs have all of it.".to_owned(),
                None,
            ),
        };
        Self { at, what, text, has_percent: percent.is_some(), percent: percent.unwrap_or_default() }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is between 0 and 100"
)]
fn percent(done: &str, total: &str) -> Option<u8> {
    let (done, total): (f64, f64) = (done.parse().ok()?, total.parse().ok()?);
    (0.0 < total).then(|| (done / total * 100.0).clamp(0.0, 100.0) as u8)
}

impl Ended {
    pub(crate) fn of(
        app: &App,
        caller: &Caller,
        player: &Player,
        row: &InstanceRow,
        base: &str,
        past: &Past,
    ) -> Self {
        let href = format!("{base}/calls/{}", past.id);
        let (berth, curl) = lines(app, player, caller, &row.name, &past.call);
        let result = past.ended.result.as_ref().ok();
        let shown = result.map(Shown::of).unwrap_or_default();
        let download = |at: usize| format!("{href}/part/{at}");
        Self {
            name: past.call.name.clone(),
            took: took(past.took),
            trouble: past.ended.result.as_ref().err().cloned(),
            instance: base.trim_end_matches("/playground").to_owned(),
            is_error: shown.is_error,
            messages: messages(base, &shown.messages),
            parts: shown
                .parts
                .iter()
                .enumerate()
                .map(|(at, part)| shape(base, part, Some(&download(at))))
                .collect(),
            more: shown.more,
            structured: shown.structured.map(|(text, count)| (text, left_out(count))),
            said: past.ended.said.iter().map(Words::of).collect(),
            json: result.map(|result| cut(result.pretty())).map(|(text, count)| (text, left_out(count))),
            has_app: past.ended.app.is_some(),
            berth,
            curl,
            json_href: format!("{href}/result"),
            href,
        }
    }
}

fn took(time: std::time::Duration) -> String {
    let millis = time.as_millis();
    if millis < 1000 {
        format!("{millis} ms")
    } else {
        format!("{}.{} s", millis / 1000, millis % 1000 / 100)
    }
}

fn left_out(count: usize) -> Option<String> {
    (0 < count).then(|| bytes(u64::try_from(count).unwrap_or(u64::MAX)))
}

fn messages(base: &str, all: &[Message]) -> Vec<(String, Vec<Shape>)> {
    let shapes = |message: &Message| message.parts.iter().map(|part| shape(base, part, None)).collect();
    all.iter().map(|message| (message.role.clone(), shapes(message))).collect()
}

fn shape(base: &str, part: &Part, download: Option<&str>) -> Shape {
    let download = download.map(str::to_owned);
    match part {
        Part::Text { text, left_out: count } | Part::Other { text, left_out: count } => {
            let is_cut = 0 < *count;
            Shape {
                tag: "text",
                text: text.clone(),
                left_out: left_out(*count),
                download: download.filter(|_| is_cut),
                ..Shape::default()
            }
        }
        Part::Picture { source } => Shape { tag: "picture", source: source.clone(), ..Shape::default() },
        Part::Sound { source, mime } => {
            Shape { tag: "sound", source: source.clone(), note: mime.clone(), ..Shape::default() }
        }
        Part::Bytes { mime, size } => {
            let size = bytes(u64::try_from(*size).unwrap_or(u64::MAX));
            Shape { tag: "bytes", note: format!("{mime}, {size}"), download, ..Shape::default() }
        }
        Part::Link { uri, name, description, mime } => Shape {
            tag: "link",
            text: if name.is_empty() { uri.clone() } else { name.clone() },
            note: [description.as_str(), mime.as_deref().unwrap_or_default()].join(" ").trim().to_owned(),
            uri: uri.clone(),
            read: Some(href(base, "resource", uri)),
            ..Shape::default()
        },
        Part::Embedded { uri, mime, inner } => {
            let inner = shape(base, inner, download.as_deref());
            let note = [mime.as_deref().unwrap_or_default(), inner.note.as_str()];
            let note = if note[0] == note[1] { note[0].to_owned() } else { note.join(" ").trim().to_owned() };
            Shape { uri: uri.clone(), note, ..inner }
        }
    }
}

impl Asked {
    pub(crate) fn of(
        base: &str,
        call: &Call,
        required: &Required,
        typed: &Typed,
        errors: &Errors,
        said: &[Said],
    ) -> Self {
        let given = |name: &str| typed.get(name).and_then(|all| all.last()).cloned().unwrap_or_default();
        let each = required.questions.iter().map(|question| {
            let shown = Question { id: question.root.clone(), act: question.act(), ..Question::default() };
            match &question.asks {
                Asks::Form { message, form } => Question {
                    tag: "form",
                    acts: acts("Send this", &given(&question.act())),
                    message: message.clone(),
                    rows: rows(form, typed, errors, &format!("{}-", question.root)),
                    ..shown
                },
                Asks::Address { message, url, host } => Question {
                    tag: "address",
                    acts: acts("I have done it", &given(&question.act())),
                    message: message.clone(),
                    url: url.clone(),
                    host: host.clone(),
                    ..shown
                },
                Asks::Model { messages: all, system, most } => Question {
                    tag: "model",
                    messages: messages(base, all),
                    system: system.clone(),
                    most: most.clone(),
                    field: question.said(),
                    value: given(&question.said()),
                    error: errors.get(&question.said()).cloned(),
                    ..shown
                },
                Asks::Roots => Question { tag: "roots", ..shown },
                Asks::Unknown { method } => Question { tag: "unknown", message: method.clone(), ..shown },
            }
        });
        Self {
            kind: call.kind.word(),
            name: call.name.clone(),
            arguments: call.arguments.compact(),
            requests: required.requests.compact(),
            has_state: required.state.is_some(),
            state: required.state.clone().unwrap_or_default(),
            questions: each.collect(),
            said: said.iter().map(Words::of).collect(),
            back: href(base, call.kind.word(), &call.name),
        }
    }
}

fn acts(yes: &'static str, chosen: &str) -> Vec<(&'static str, &'static str, bool)> {
    let chosen = if ["decline", "cancel"].contains(&chosen) { chosen } else { "accept" };
    let all = [("accept", yes), ("decline", "Decline"), ("cancel", "Cancel it")];
    all.map(|(word, words)| (word, words, word == chosen)).into()
}

impl Line {
    pub(crate) fn of(base: &str, past: &Past) -> Self {
        let arguments = match &past.call.arguments {
            Json::Object(members) if members.is_empty() => String::new(),
            arguments => arguments.compact().chars().take(120).collect(),
        };
        Self {
            href: format!("{base}/calls/{}", past.id),
            name: past.call.name.clone(),
            kind: if past.kind() == Kind::Tool { "" } else { past.kind().word() },
            arguments,
            word: past.word(),
            is_ok: past.is_ok(),
            ago: ago(past.at),
        }
    }
}
