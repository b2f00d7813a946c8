//! Putting a server into a client's file: what is new, and not a byte of the rest.

use serde_json::{Value, json};
use toml_edit::{DocumentMut, InlineTable, Item, Table};

use crate::connection::entry;
use crate::jsonc::{Kind, Node, SyntaxError, parse};
use crate::place::place;
use crate::{Client, Server};

/// Why a file was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The client keeps no file that could be changed.
    #[error("{0} has no file that Berth could change without losing something in it")]
    NoFile(&'static str),
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Where the servers belong there is something else.
    #[error("`{0}` is there and is no object")]
    NotAnObject(String),
    /// A name is there twice, so whichever is changed may be the wrong one.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// It would not be what was meant.
    #[error("it could not be changed without changing something else")]
    Unsafe,
}

impl From<SyntaxError> for EditError {
    fn from(error: SyntaxError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// What became of a file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It says so already.
    Same,
    /// The server is new in it.
    Added(String),
    /// The server was in it, otherwise.
    Changed(String),
}

/// The text of a client's file with the server in it. `text` is empty for a file that is not there.
///
/// # Errors
/// Any [`EditError`]; the file had better stay as it is then.
pub fn edit(client: Client, text: &str, server: Server<'_>) -> Result<Edited, EditError> {
    let place = place(client).ok_or(EditError::NoFile(client.title()))?;
    let entry = entry(client, server);
    if client == Client::Codex {
        return toml(text, place.members, server.name, &entry);
    }
    json(text, place.members, server.name, &entry)
}

/// How a document is laid out.
struct Style {
    /// What one level is indented by.
    unit: String,
    newline: &'static str,
}

impl Style {
    fn of(text: &str, root: &Node) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let first = match &root.kind {
            Kind::Object { members, .. } => members.first(),
            Kind::Other(_) => None,
        };
        let indent = first.and_then(|member| {
            let line = &text[text[..member.at].rfind('\n')? + 1..member.at];
            (!line.is_empty() && line.chars().all(|c| c == ' ' || c == '\t')).then(|| line.to_owned())
        });
        Self { unit: indent.unwrap_or_else(|| "  ".to_owned()), newline }
    }

    /// A value over several lines, of which all but the first are indented as at `depth`.
    fn render(&self, value: &Value, depth: usize) -> String {
        let text = format!("{value:#}");
        let lines = text.lines().enumerate().map(|(i, line)| {
            let inner = line.trim_start_matches(' ');
            let levels = (line.len() - inner.len()) / 2;
            if i == 0 { inner.to_owned() } else { format!("{}{inner}", self.unit.repeat(depth + levels)) }
        });
        lines.collect::<Vec<_>>().join(self.newline)
    }
}

fn json(text: &str, members: &str, name: &str, entry: &Value) -> Result<Edited, EditError> {
    let Some(root) = parse(text)? else {
        let document = json!({ members: { name: entry } });
        let before = if text.trim().is_empty() { String::new() } else { format!("{}\n", text.trim_end()) };
        return Ok(Edited::Added(format!("{before}{document:#}\n")));
    };
    let style = Style::of(text, &root);
    let servers = member(&root, members, "the document")?;
    let (changed, was_there) = match servers {
        None => {
            let value = json!({ name: entry });
            (insert(text, &root, members, &value, 1, &style), false)
        }
        Some(servers) => match member(servers, name, members)? {
            None => (insert(text, servers, name, entry, 2, &style), false),
            Some(there) if there.value() == *entry => return Ok(Edited::Same),
            Some(there) => {
                let (before, after) = (&text[..there.span.start], &text[there.span.end..]);
                (format!("{before}{}{after}", style.render(entry, 2)), true)
            }
        },
    };
    // Read again, it must be what it was with the one difference.
    let mut expected = root.value();
    let place =
        expected.as_object_mut().ok_or(EditError::Unsafe)?.entry(members).or_insert_with(|| json!({}));
    place.as_object_mut().ok_or(EditError::Unsafe)?.insert(name.to_owned(), entry.clone());
    let is_meant = parse(&changed).ok().flatten().is_some_and(|found| found.value() == expected);
    match (is_meant, was_there) {
        (false, _) => Err(EditError::Unsafe),
        (true, true) => Ok(Edited::Changed(changed)),
        (true, false) => Ok(Edited::Added(changed)),
    }
}

/// The member of an object.
fn member<'a>(node: &'a Node, key: &str, called: &str) -> Result<Option<&'a Node>, EditError> {
    let Kind::Object { members, .. } = &node.kind else {
        return Err(EditError::NotAnObject(called.to_owned()));
    };
    let mut of_name = members.iter().filter(|member| member.key == key);
    let found = of_name.next().map(|member| &member.value);
    if of_name.next().is_some() {
        return Err(EditError::Twice(key.to_owned()));
    }
    Ok(found)
}

/// A document with one more member at the end of an object, after whatever comments are there.
fn insert(text: &str, object: &Node, key: &str, value: &Value, depth: usize, style: &Style) -> String {
    let Kind::Object { members, ends_with_comma } = &object.kind else { return text.to_owned() };
    let close = object.span.end - 1;
    let content = text[..close].trim_end().len();
    let mut changed = String::with_capacity(text.len() + 200);
    match members.last() {
        Some(last) if !ends_with_comma => {
            changed.push_str(&text[..last.value.span.end]);
            changed.push(',');
            changed.push_str(&text[last.value.span.end..content]);
        }
        _ => changed.push_str(&text[..content]),
    }
    let indent = style.unit.repeat(depth);
    let newline = style.newline;
    let key = Value::from(key).to_string();
    for part in [newline, &indent, &key, ": ", &style.render(value, depth)] {
        changed.push_str(part);
    }
    let between = &text[content..close];
    if between.contains('\n') {
        changed.push_str(between);
    } else {
        changed.push_str(newline);
        changed.push_str(&style.unit.repeat(depth - 1));
    }
    changed.push_str(&text[close..]);
    changed
}

fn toml(text: &str, members: &str, name: &str, entry: &Value) -> Result<Edited, EditError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| EditError::Unreadable(error.message().to_owned()))?;
    let servers = document.entry(members).or_insert_with(|| {
        let mut table = Table::new();
        // Its own header would say nothing.
        table.set_implicit(true);
        Item::Table(table)
    });
    let not_a_table = || EditError::NotAnObject(members.to_owned());
    let servers = servers.as_table_like_mut().ok_or_else(not_a_table)?;
    let there = servers.get(name).map(value_of);
    if there.as_ref() == Some(entry) {
        return Ok(Edited::Same);
    }
    let mut table = Table::new();
    for (key, value) in entry.as_object().into_iter().flatten() {
        let item = match value {
            Value::Object(headers) => {
                let mut inline = InlineTable::new();
                for (header, text) in headers {
                    inline.insert(header, text.as_str().unwrap_or_default().into());
                }
                toml_edit::value(inline)
            }
            other => toml_edit::value(other.as_str().unwrap_or_default()),
        };
        table.insert(key, item);
    }
    table.sort_values_by(|a, _, b, _| (a.get() != "url").cmp(&(b.get() != "url")));
    servers.insert(name, Item::Table(table));
    let text = document.to_string();
    Ok(if there.is_some() { Edited::Changed(text) } else { Edited::Added(text) })
}

/// A value of a TOML document, of which only texts and tables matter here.
fn value_of(item: &Item) -> Value {
    match item.as_table_like() {
        Some(table) => table.iter().map(|(key, item)| (key.to_owned(), value_of(item))).collect(),
        None => item.as_str().map_or(Value::Null, Value::from),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER: Server<'_> = Server { name: "clock", url: "https://b.example/mcp/a/clock", token: None };

    #[track_caller]
    fn check(client: Client, before: &str, expected: Result<&str, &str>) {
        let found = edit(client, before, SERVER);
        let shown = match &found {
            Ok(Edited::Same) => Ok("same"),
            Ok(Edited::Added(text) | Edited::Changed(text)) => Ok(text.as_str()),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(shown, expected.map_err(str::to_owned), "{before}");
        // Done again, it changes nothing.
        if let Ok(Edited::Added(text) | Edited::Changed(text)) = found {
            assert_eq!(edit(client, &text, SERVER), Ok(Edited::Same), "{text}");
        }
    }

    #[test]
    fn json_files() {
        let alone = "{\n  \"mcpServers\": {\n    \"clock\": {\n      \"url\": \"https://b.example/mcp/a/clock\"\n    }\n  }\n}\n";
        let check = |before: &str, expected: Result<&str, &str>| check(Client::Cursor, before, expected);
        check("", Ok(alone));
        check(" \n", Ok(alone));
        check("// mine\n", Ok(&format!("// mine\n{alone}")));
        check(alone, Ok("same"));
        check("{}", Ok(alone.trim_end()));
        check("{\"mcpServers\":{\"clock\":{\"url\":\"https://b.example/mcp/a/clock\"/*it*/,}}}", Ok("same"));
        // Comments, order and layout stay.
        check(
            "{\n\t// servers\n\t\"mcpServers\": {\n\t\t\"z\": {\"command\": \"x\"} // last\n\t},\n\t\"a\": 1.50\n}\n",
            Ok(
                "{\n\t// servers\n\t\"mcpServers\": {\n\t\t\"z\": {\"command\": \"x\"}, // last\n\t\t\"clock\": {\n\t\t\t\"url\": \
                \"https://b.example/mcp/a/clock\"\n\t\t}\n\t},\n\t\"a\": 1.50\n}\n",
            ),
        );
        check(
            "{\n    \"a\": [1, 2,], // one\n}",
            Ok(
                "{\n    \"a\": [1, 2,], // one\n    \"mcpServers\": {\n        \"clock\": {\n            \"url\": \
                \"https://b.example/mcp/a/clock\"\n        }\n    }\n}",
            ),
        );
        check(
            "{\r\n  \"mcpServers\": {\r\n    \"clock\": 5, \"b\": {}\r\n  }\r\n}",
            Ok(
                "{\r\n  \"mcpServers\": {\r\n    \"clock\": {\r\n      \"url\": \"https://b.example/mcp/a/clock\"\r\n    }, \"b\": \
                {}\r\n  }\r\n}",
            ),
        );
        check("[]", Err("`the document` is there and is no object"));
        check("{\"mcpServers\": []}", Err("`mcpServers` is there and is no object"));
        check("{\"mcpServers\": {}, \"mcp\\u0053ervers\": {}}", Err("`mcpServers` is there twice"));
        check("{\"mcpServers\": {\"clock\": 1, \"clock\": 2}}", Err("`clock` is there twice"));
        check("{\n  \"a\": 1\n  \"b\": 2\n}", Err("it cannot be read: line 3: a comma is missing"));
        check("{\n  \"a\": /* x\n", Err("it cannot be read: line 2: a comment has no end"));
        check("{} {}", Err("it cannot be read: line 1: there is more after the end of the document"));
        check("{\"a\": nul}", Err("it cannot be read: line 1: a value is expected"));
        check(&"[".repeat(1000), Err("it cannot be read: line 1: it is nested too deeply"));
        check(
            "{\"a",
            Err("it cannot be read: line 1: a text in quotes has no end, or a character that is not allowed"),
        );
    }

    #[test]
    fn a_token_is_changed_and_nothing_else() {
        let with = |token| Server { token: Some(token), ..SERVER };
        let Ok(Edited::Added(first)) = edit(Client::Zed, "{\n  \"theme\": \"One\" // dark\n}\n", with("a"))
        else {
            panic!("it was not there");
        };
        let Ok(Edited::Changed(second)) = edit(Client::Zed, &first, with("b")) else {
            panic!("it was otherwise")
        };
        assert_eq!(second, first.replace("Bearer a", "Bearer b"));
    }

    #[test]
    fn toml_files() {
        let check = |before: &str, expected: Result<&str, &str>| check(Client::Codex, before, expected);
        let entry = "[mcp_servers.clock]\nurl = \"https://b.example/mcp/a/clock\"\n";
        check("", Ok(entry));
        check(entry, Ok("same"));
        check(
            "# mine\nmodel = 'x' # y\n\n[mcp_servers.other]\ncommand = \"npx\"\nargs = [ \"a\" ]\n",
            Ok(&format!(
                "# mine\nmodel = 'x' # y\n\n[mcp_servers.other]\ncommand = \"npx\"\nargs = [ \"a\" ]\n\n{entry}"
            )),
        );
        check("mcp_servers = 1\n", Err("`mcp_servers` is there and is no object"));
        assert!(matches!(edit(Client::Codex, "a = = 1", SERVER), Err(EditError::Unreadable(_))));
        let with = |token| Server { token: Some(token), ..SERVER };
        let Ok(Edited::Added(first)) = edit(Client::Codex, "a = 1\n", with("t")) else {
            panic!("it was not there")
        };
        assert!(first.contains("http_headers = { Authorization = \"Bearer t\" }"), "{first}");
        assert_eq!(edit(Client::Codex, &first, with("t")), Ok(Edited::Same));
        let Ok(Edited::Changed(second)) = edit(Client::Codex, &first, with("u")) else {
            panic!("it was otherwise")
        };
        assert_eq!(second, first.replace("Bearer t", "Bearer u"));
    }

    #[test]
    fn clients_without_a_file() {
        for client in [Client::Goose, Client::ChatGpt, Client::Json] {
            assert_eq!(edit(client, "", SERVER), Err(EditError::NoFile(client.title())));
        }
    }

    proptest! {
        /// Whatever is in a file, it is left alone or it is what it was with the server in it.
        #[test]
        fn whatever_is_there(text in r#"[\{\}\[\]",: a1/\*\n\\]{0,40}"#) {
            if let Ok(Edited::Added(text) | Edited::Changed(text)) = edit(Client::Cursor, &text, SERVER) {
                prop_assert_eq!(edit(Client::Cursor, &text, SERVER), Ok(Edited::Same));
            }
        }
    }
}
