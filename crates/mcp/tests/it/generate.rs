//! Generated JSON-RPC messages, as a text and as the parts that it was made of, so that a test can say what the text must
//! become without parsing it.
//!
//! Everything that JSON allows and programs seldom write is in it: odd Unicode, lone surrogates, integers of 400 digits,
//! keys in any order and unknown ones twice, deep nesting, white space and line breaks between all tokens.

use proptest::prelude::*;
use proptest::sample::select;

/// A member: key and value as they are written.
pub(crate) type Member = (String, String);

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// `method` and `id`.
    Request,
    /// `method` alone.
    Notification,
    /// `id` and `result`.
    Result,
    /// `id` and `error`.
    Error,
}

/// The parts of a message; all values are JSON as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// What it is.
    pub(crate) sort: Sort,
    /// `id`, for all but notifications.
    pub(crate) id: String,
    /// `method`, for requests and notifications.
    pub(crate) method: String,
    /// Unknown members of the envelope.
    pub(crate) unknown: Vec<Member>,
    /// `params`, `result` or `error`, without `_meta`. A request may lack it.
    pub(crate) body: Option<Vec<Member>>,
    /// `_meta`, without the progress token.
    pub(crate) meta: Option<Vec<Member>>,
    /// `_meta.progressToken`.
    pub(crate) token: Option<String>,
    /// Where the members begin, of those in the order of this type: the order of keys.
    pub(crate) turn: usize,
    /// What stands between the tokens, taken in turn.
    pub(crate) spaces: Vec<&'static str>,
}

impl Message {
    /// The message as it is written.
    pub(crate) fn text(&self) -> String {
        let mut members = vec![("\"jsonrpc\"".to_owned(), "\"2.0\"".to_owned())];
        if self.sort != Sort::Notification {
            members.push(("\"id\"".to_owned(), self.id.clone()));
        }
        if matches!(self.sort, Sort::Request | Sort::Notification) {
            members.push(("\"method\"".to_owned(), self.method.clone()));
        }
        members.extend(self.unknown.iter().cloned());
        if let Some(body) = &self.body {
            let key = match self.sort {
                Sort::Request | Sort::Notification => "\"params\"",
                Sort::Result => "\"result\"",
                Sort::Error => "\"error\"",
            };
            let mut body = body.clone();
            if let Some(meta) = &self.meta {
                let mut meta = meta.clone();
                meta.extend(self.token.iter().map(|token| ("\"progressToken\"".to_owned(), token.clone())));
                body.push(("\"_meta\"".to_owned(), self.object(meta)));
            }
            members.push((key.to_owned(), self.object(body)));
        }
        self.object(members)
    }

    fn object(&self, mut members: Vec<Member>) -> String {
        if !members.is_empty() {
            let turn = self.turn % members.len();
            members.rotate_left(turn);
        }
        object(&members, &self.spaces)
    }
}

/// An object as it is written; `spaces` is what stands between the tokens, taken in turn.
pub(crate) fn object(members: &[Member], spaces: &[&str]) -> String {
    let mut spaces = spaces.iter().cycle();
    let mut text = String::from("{");
    for (at, (key, value)) in members.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let mut space = || spaces.next().copied().unwrap_or_default();
        for part in [comma, space(), key, space(), ":", space(), value, space()] {
            text.push_str(part);
        }
    }
    text + "}"
}

/// Messages of one sort.
pub(crate) fn message(sort: Sort) -> impl Strategy<Value = Message> {
    let watched = match sort {
        Sort::Request | Sort::Notification => {
            select(vec!["name", "uri", "taskId", "level", "requestId", "arguments"])
        }
        Sort::Result => select(vec!["resultType", "ttlMs", "cacheScope", "content", "name"]),
        Sort::Error => select(vec!["code", "message", "data", "name"]),
    };
    let watched = (watched.prop_map(|key| format!("\"{key}\"")), prop_oneof![string(), value()]);
    let body = (members(), prop::collection::vec(watched, 0..3)).prop_map(|(mut members, mut watched)| {
        let mut seen = std::collections::HashSet::new();
        watched.retain(|(key, _)| seen.insert(key.clone()));
        members.extend(watched);
        members
    });
    // An answer cannot lack its body, and an error has no `_meta`.
    let may_lack = matches!(sort, Sort::Request | Sort::Notification);
    let body = (body, 0..5_u8).prop_map(move |(body, dice)| (!may_lack || dice != 0).then_some(body));
    let meta =
        (members(), 0..4_u8).prop_map(move |(meta, dice)| (sort != Sort::Error && dice != 0).then_some(meta));
    let method = select(vec![
        r#""tools/call""#,
        r#""tools\/call""#,
        r#""x""#,
        r#""""#,
        r#""ü\n""#,
        r#""\ud83d\ude00""#,
    ]);
    let parts = (scalar_id(), method, plain_members(), body, meta, prop::option::of(scalar_id()));
    (parts, 0..8_usize, spaces()).prop_map(move |((id, method, unknown, body, meta, token), turn, spaces)| {
        let method = method.to_owned();
        Message { sort, id, method, unknown, body, meta, token, turn, spaces }
    })
}

/// Messages of any sort.
pub(crate) fn any_message() -> impl Strategy<Value = Message> {
    select(vec![Sort::Request, Sort::Notification, Sort::Result, Sort::Error]).prop_flat_map(message)
}

/// What stands between tokens.
pub(crate) fn spaces() -> impl Strategy<Value = Vec<&'static str>> {
    let line_breaks = select(vec!["", " ", "\t", "\n", "\r\n", "\r", " \n\t "]);
    prop_oneof![Just(vec![""]), prop::collection::vec(line_breaks, 1..7)]
}

/// An id or a token: a string or a number.
fn scalar_id() -> impl Strategy<Value = String> {
    prop_oneof![string(), number()]
}

/// Members whose keys mean nothing to anybody. Some keys are there twice.
pub(crate) fn members() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec((key(), value()), 0..4)
}

/// Such members of the envelope itself, where no key may be written with escapes.
fn plain_members() -> impl Strategy<Value = Vec<Member>> {
    let key = key().prop_filter("no escapes", |key| !key.contains('\\'));
    prop::collection::vec((key, value()), 0..4)
}

fn key() -> impl Strategy<Value = String> {
    let odd = select(vec![
        r#""""#,
        r#""twice""#,
        r#""twice""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""Id ""#,
        r#""_META""#,
        r#""progress token""#,
        "\"e\u{301}\"",
        "\"\u{202e}\"",
        r#""__proto__""#,
        r#""}{][,:""#,
    ]);
    prop_oneof![odd.prop_map(str::to_owned), "x[a-z\\PC]{0,4}".prop_map(|key| quoted(&key))]
}

/// Any value.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let word = select(vec!["true", "false", "null"]).prop_map(str::to_owned);
    let leaf = prop_oneof![2 => string(), 2 => number(), 1 => word, 1 => deep()];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let item = inner.clone();
        let items = (prop::collection::vec(item, 0..4), spaces()).prop_map(|(items, spaces)| {
            let space = |at: usize| spaces[at % spaces.len()];
            let items: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(at, item)| format!("{}{item}{}", space(at), space(at + 1)))
                .collect();
            format!("[{}]", items.join(","))
        });
        let members = prop::collection::vec((string(), inner), 0..4);
        let nested = (members, spaces()).prop_map(|(members, spaces)| object(&members, &spaces));
        prop_oneof![items, nested]
    })
}

/// A string, some of which name no Unicode text.
pub(crate) fn string() -> impl Strategy<Value = String> {
    let odd = select(vec![
        r#""\ud800""#,
        r#""\uDFFF\uD800 x""#,
        r#""\u0000\u001f""#,
        r#""\"\\\/\b\f\n\r\t""#,
        "\"\u{2028}\u{2029}\u{85}\"",
        "\"\u{feff}\u{fffe}\u{10ffff}\"",
        "\"👩‍👩‍👧 e\u{301}\"",
        "\"\u{7f}\u{80}\"",
        r#""data: x\n\nevent: y""#,
        r#""{\"id\":1}""#,
    ]);
    prop_oneof![odd.prop_map(str::to_owned), "\\PC{0,20}".prop_map(|text| quoted(&text))]
}

/// A number, some of which fit no type of any language.
pub(crate) fn number() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "0",
        "-0",
        "-0.0e-0",
        "1.50e3",
        "1E+400",
        "18446744073709551616",
        "0.1000000000000000055511151231",
    ]);
    prop_oneof![
        odd.prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{399}"
    ]
}

/// Containers within containers, almost as deep as a message may be.
fn deep() -> impl Strategy<Value = String> {
    (1..100_usize, select(vec![("[ ", "\n]"), ("{\"a\":", "}")]))
        .prop_map(|(depth, (open, close))| format!("{}1{}", open.repeat(depth), close.repeat(depth)))
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
