//! Where a message goes, and how it is written there; and what comes back.

use domain::toolbelts::Kind;
use mcp::envelope::{self, Envelope, Span};
use mcp::{errors, parts};

use crate::definition;
use crate::search;
use crate::view::{Entry, Face, Sight, View};

/// What becomes of a request.
#[derive(Debug)]
pub enum Route<'v> {
    /// This is the answer: a whole message.
    Answer(Vec<u8>),
    /// The page of a list is wanted, with the cursor that was given.
    List(Kind, Option<String>),
    /// Tools are to be found, by these arguments.
    Search(String),
    /// It is one member's.
    To(Box<To<'v>>),
    /// It names something that is not known. A member may have it by now.
    Unknown {
        /// What it names.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// Its client wants to hear of changes; what `params.notifications` says.
    Listen(String),
}

/// What one member is sent.
#[derive(Debug)]
pub struct To<'v> {
    /// Whose it is, as an index of [`View::members`].
    pub member: usize,
    /// Who it is.
    pub face: &'v Face,
    /// The message: the member's own names in it.
    pub message: Vec<u8>,
}

/// Finds out what becomes of a request.
pub fn route<'v>(view: &'v View, message: &Envelope<'_>, sight: Sight<'_>) -> Route<'v> {
    let method = message.method();
    if let Some(kind) = definition::of_method(&method) {
        return list(message, kind);
    }
    match method.as_ref() {
        "server/discover" => Route::Answer(result(message, &view.discover())),
        "tools/call" => tool(view, message, sight),
        "prompts/get" => one(view, message, Kind::Prompt, message.marks.name, "params.name", sight),
        "resources/read" => resource(view, message, message.marks.uri, "params.uri", sight),
        "completion/complete" => completion(view, message, sight),
        "subscriptions/listen" => match message.marks.notifications {
            Some(span) => Route::Listen(message.raw(span).to_owned()),
            None => Route::Answer(invalid(
                message,
                "`params.notifications` must say what to listen to, such as {\"toolsListChanged\": true}",
            )),
        },
        method => Route::Answer(errors::body(
            message.raw_id(),
            errors::METHOD_NOT_FOUND,
            &format!("a toolbelt does not offer `{method}`"),
            None,
        )),
    }
}

fn list<'v>(message: &Envelope<'_>, kind: Kind) -> Route<'v> {
    let cursor = message.params.and_then(|params| parts::member(message.raw(params), "cursor"));
    match cursor.filter(|cursor| *cursor != "null") {
        None => Route::List(kind, None),
        Some(cursor) => match envelope::decode(cursor) {
            Some(cursor) => Route::List(kind, Some(cursor.into_owned())),
            None => Route::Answer(invalid(message, "`params.cursor` must be a text")),
        },
    }
}

fn tool<'v>(view: &'v View, message: &Envelope<'_>, sight: Sight<'_>) -> Route<'v> {
    let name = message.marks.name.and_then(|span| message.string(span));
    let own = name.as_deref().filter(|_| view.is_searched);
    if !matches!(own, Some(search::SEARCH | search::CALL)) {
        return one(view, message, Kind::Tool, message.marks.name, "params.name", sight);
    }
    let arguments = message.params.and_then(|params| parts::span_of(message, params, "arguments"));
    let given = arguments.map_or("{}", |span| message.raw(span));
    if own == Some(search::SEARCH) {
        return Route::Search(given.to_owned());
    }
    let Some(meant) = parts::member(given, "name").and_then(envelope::decode) else {
        return Route::Answer(invalid(
            message,
            "`params.arguments.name` must name a tool that `search_tools` has found",
        ));
    };
    let (Some(name), Some(arguments)) = (message.marks.name, arguments) else {
        return Route::Unknown { kind: Kind::Tool, name: meant.into_owned() };
    };
    let inner = parts::member(given, "arguments").unwrap_or("{}");
    let inner = if inner == "null" { "{}" } else { inner };
    named(view, message, Kind::Tool, &meant, name, vec![(arguments, inner.as_bytes().to_vec())], sight)
}

/// What is named by a text of the message.
fn one<'v>(
    view: &'v View,
    message: &Envelope<'_>,
    kind: Kind,
    at: Option<Span>,
    field: &str,
    sight: Sight<'_>,
) -> Route<'v> {
    let Some((span, name)) = at.and_then(|span| Some((span, message.string(span)?))) else {
        return Route::Answer(invalid(message, &format!("`{field}` must be a text")));
    };
    named(view, message, kind, &name, span, Vec::new(), sight)
}

fn named<'v>(
    view: &'v View,
    message: &Envelope<'_>,
    kind: Kind,
    name: &str,
    span: Span,
    edits: Vec<(Span, Vec<u8>)>,
    sight: Sight<'_>,
) -> Route<'v> {
    if let Some(entry) = seen(view, view.entry(kind, name), sight) {
        return to(view, message, entry.member, &entry.own, span, edits);
    }
    match view.withheld(kind, name) {
        Some(face) if kind == Kind::Tool || kind == Kind::Prompt => Route::Answer(invalid(
            message,
            &format!(
                "the {} `{name}` is withheld: the server of `{}` says something else of it than what was approved; see the difference with \
                 `berth toolbelt show {} --changed` and approve it with `berth toolbelt approve`",
                kind.word(),
                face.name,
                view.name()
            ),
        )),
        _ => Route::Unknown { kind, name: name.to_owned() },
    }
}

fn seen<'v>(view: &'v View, entry: Option<&'v Entry>, sight: Sight<'_>) -> Option<&'v Entry> {
    entry.filter(|entry| sight.is_none_or(|sees| sees(&view.members[entry.member], entry)))
}

fn resource<'v>(
    view: &'v View,
    message: &Envelope<'_>,
    at: Option<Span>,
    field: &str,
    sight: Sight<'_>,
) -> Route<'v> {
    let Some((span, uri)) = at.and_then(|span| Some((span, message.string(span)?))) else {
        return Route::Answer(invalid(message, &format!("`{field}` must be a text")));
    };
    match view.resource(&uri, sight) {
        Some((member, own)) => to(view, message, member, &own, span, Vec::new()),
        None => Route::Unknown { kind: Kind::Resource, name: uri.into_owned() },
    }
}

impl View {
    /// Whose a resource is, and its URI there: one that is listed, or one that a template makes.
    pub fn resource(&self, uri: &str, sight: Sight<'_>) -> Option<(usize, String)> {
        if let Some(entry) = seen(self, self.entry(Kind::Resource, uri), sight) {
            return Some((entry.member, entry.own.to_string()));
        }
        let matching = self.entries(Kind::Template).iter().filter(|entry| makes(&entry.shown, uri));
        // The template that says most about it.
        let best = matching
            .filter(|entry| sight.is_none_or(|sees| sees(&self.members[entry.member], entry)))
            .max_by_key(|entry| literals(&entry.shown).map(str::len).sum::<usize>())?;
        let prefix = best.shown.strip_suffix(&*best.own).unwrap_or_default();
        Some((best.member, uri.strip_prefix(prefix).unwrap_or(uri).to_owned()))
    }
}

/// What stands between the expressions of a template (RFC 6570 §2).
fn literals(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').enumerate().map(|(at, part)| match part.split_once('}') {
        Some((_, literal)) if at != 0 => literal,
        _ => part,
    })
}

/// Whether a template may make a URI: its literals stand in it, in their order.
fn makes(template: &str, uri: &str) -> bool {
    let mut literals = literals(template).peekable();
    let Some(mut rest) = literals.next().and_then(|first| uri.strip_prefix(first)) else { return false };
    if literals.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(literal) = literals.next() {
        if literals.peek().is_none() {
            return rest.ends_with(literal);
        }
        let Some(at) = rest.find(literal) else { return false };
        rest = &rest[at + literal.len()..];
    }
    true
}

fn completion<'v>(view: &'v View, message: &Envelope<'_>, sight: Sight<'_>) -> Route<'v> {
    let reference = message.params.and_then(|params| parts::span_of(message, params, "ref"));
    let part = |key| reference.and_then(|reference| parts::span_of(message, reference, key));
    if let Some(name) = part("name") {
        return one(view, message, Kind::Prompt, Some(name), "params.ref.name", sight);
    }
    let Some((span, uri)) = part("uri").and_then(|span| Some((span, message.string(span)?))) else {
        return Route::Answer(invalid(
            message,
            "`params.ref` must name a prompt (`name`) or a resource (`uri`)",
        ));
    };
    match seen(view, view.entry(Kind::Template, &uri), sight) {
        Some(entry) => to(view, message, entry.member, &entry.own, span, Vec::new()),
        None => resource(view, message, Some(span), "params.ref.uri", sight),
    }
}

fn to<'v>(
    view: &'v View,
    message: &Envelope<'_>,
    member: usize,
    own: &str,
    name: Span,
    mut edits: Vec<(Span, Vec<u8>)>,
) -> Route<'v> {
    let face = &view.members[member];
    if message.string(name).as_deref() != Some(own) {
        edits.push((name, errors::quote(own).into_bytes()));
    }
    if let Some(state) = message.marks.request_state {
        let raw = message.raw(state);
        // Of whoever asked, and nobody else's: another member would take it for one of its own.
        let theirs = raw.strip_prefix('"').and_then(|raw| raw.strip_prefix(&*face.id)?.strip_prefix('.'));
        let Some(theirs) = theirs else {
            return Route::Answer(invalid(
                message,
                "`params.requestState` is not one that this tool's server gave: call the tool again from the beginning",
            ));
        };
        edits.push((state, format!("\"{theirs}").into_bytes()));
    }
    let mut edits: Vec<(Span, &[u8])> = edits.iter().map(|(span, with)| (*span, with.as_slice())).collect();
    let mut out = Vec::new();
    message.splice(&mut edits, &mut out);
    Route::To(Box::new(To { member, face, message: out }))
}

/// An answer of a member as the toolbelt's client gets it: `requestState` says whose it is.
pub fn answered(face: &Face, answer: Vec<u8>) -> Vec<u8> {
    let Ok(message) = envelope::scan(&answer) else { return answer };
    let state = message.marks.request_state.filter(|_| message.result.is_some());
    let Some((state, raw)) = state.and_then(|span| Some((span, message.raw(span).strip_prefix('"')?))) else {
        return answer;
    };
    let wrapped = format!("\"{}.{raw}", face.id);
    let mut out = Vec::new();
    message.splice(&mut [(state, wrapped.as_bytes())], &mut out);
    out
}

/// The answer with this result.
pub fn result(message: &Envelope<'_>, result: &str) -> Vec<u8> {
    let id = message.raw_id().unwrap_or("null");
    let mut out = Vec::with_capacity(result.len() + id.len() + 40);
    for part in [r#"{"jsonrpc":"2.0","id":"#, id, r#","result":"#, result, "}"] {
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// The answer to what is asked wrongly.
pub fn invalid(message: &Envelope<'_>, why: &str) -> Vec<u8> {
    errors::body(message.raw_id(), errors::INVALID_PARAMS, why, None)
}

/// The answer to what names something that nobody has. A resource's is what the specification has for it (2026-07-28, Resources, "Error
/// Handling"); tools' and prompts' alike.
pub fn unknown(message: &Envelope<'_>, kind: Kind, name: &str) -> Vec<u8> {
    invalid(message, &format!("no member of this toolbelt has the {} `{name}`", kind.word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_templates_make() {
        let check = |template: &str, uri: &str, expected: bool| {
            assert_eq!(makes(template, uri), expected, "{template} {uri}");
        };
        check("file:///{path}", "file:///a/b", true);
        check("file:///{path}", "http://a", false);
        check("a{x}c{y}e", "a1c2e", true);
        check("a{x}c{y}e", "a1c2", false);
        check("a{x}c{y}e", "a1e", false);
        check("plain", "plain", true);
        check("plain", "plainer", false);
        check("{all}", "anything", true);
    }
}
