//! What each client wants to be told of a server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::{Client, Server, place};

/// All the ways to tell a client of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// What opens the client and tells it, with one click.
    pub link: Option<Link>,
    /// What is done by hand, in order; empty where a text below is all.
    pub steps: Vec<String>,
    /// Texts to copy; the first is the usual one.
    pub ways: Vec<Way>,
}

/// A link that a client opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub href: String,
    /// Whether the client knows the server after it; otherwise it leads to where the steps begin.
    pub is_complete: bool,
}

/// A text to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where it goes, such as ``in `~/.cursor/mcp.json` ``.
    pub to: String,
    /// What it is written in.
    pub language: Language,
    /// The text.
    pub text: String,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A command of a shell.
    Shell,
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

/// What the client's own documentation asks for.
pub fn connection(client: Client, server: Server<'_>) -> Connection {
    let Server { name, url, .. } = server;
    match client {
        Client::Claude => Connection {
            link: Some(Link { href: "https://claude.ai/settings/connectors".to_owned(), is_complete: false }),
            steps: vec![
                "Open Settings, then Connectors, and choose “Add custom connector”.".to_owned(),
                format!("Give it the name {name} and the address {url}."),
                "Choose “Add”, then “Connect”, and allow it on the page of Berth that opens.".to_owned(),
            ],
            ways: vec![file(client, server)],
        },
        Client::ChatGpt => Connection {
            link: Some(Link { href: "https://chatgpt.com/#settings/Connectors".to_owned(), is_complete: false }),
            steps: vec![
                "Open Settings, then Apps & Connectors, and switch on the developer mode under “Advanced settings”."
                    .to_owned(),
                format!("Choose “Create”, and give it the name {name} and the address {url}, with OAuth."),
                "Allow it on the page of Berth that opens.".to_owned(),
            ],
            ways: Vec::new(),
        },
        Client::ClaudeCode => {
            let header = header_option(server);
            let text = format!("claude mcp add --transport http {name} {url}{header}");
            with_ways(None, vec![command(text), file(client, server)])
        }
        Client::GeminiCli => {
            let header = header_option(server);
            let text = format!("gemini mcp add --scope user --transport http{header} {name} {url}");
            with_ways(None, vec![command(text), file(client, server)])
        }
        Client::Codex => {
            let mut ways = vec![file(client, server)];
            if server.token.is_none() {
                // The command takes no headers.
                ways.insert(0, command(format!("codex mcp add {name} --url {url}")));
            }
            with_ways(None, ways)
        }
        Client::Cursor => {
            let config = STANDARD.encode(entry(client, server).to_string());
            let query = query(&[("name", name), ("config", &config)]);
            let href = format!("cursor://anysphere.cursor-deeplink/mcp/install?{query}");
            with_ways(Some(href), vec![file(client, server)])
        }
        Client::Vscode => {
            let mut config = entry(client, server);
            if let Value::Object(members) = &mut config {
                members.insert("name".to_owned(), json!(name));
            }
            let href = format!("vscode:mcp/install?{}", percent_encoded(&config.to_string()));
            with_ways(Some(href), vec![file(client, server)])
        }
        Client::Goose => {
            let header = server.token.map(|token| format!("Authorization=Bearer {token}"));
            let mut pairs =
                vec![("url", url), ("type", "streamable_http"), ("id", name), ("name", name), ("description", "")];
            pairs.extend(header.as_deref().map(|header| ("header", header)));
            let href = format!("goose://extension?{}", query(&pairs));
            with_ways(Some(href), vec![goose(server)])
        }
        Client::Windsurf | Client::Zed | Client::Json => with_ways(None, vec![file(client, server)]),
    }
}

fn with_ways(link: Option<String>, ways: Vec<Way>) -> Connection {
    Connection { link: link.map(|href| Link { href, is_complete: true }), steps: Vec::new(), ways }
}

fn command(text: String) -> Way {
    Way { to: "in a terminal".to_owned(), language: Language::Shell, text }
}

/// Names, addresses and tokens hold no character that a shell takes as its own.
fn header_option(server: Server<'_>) -> String {
    server.token.map(|token| format!(" --header \"Authorization: Bearer {token}\"")).unwrap_or_default()
}

/// What the client's file has for the server, in a document of its own.
fn file(client: Client, server: Server<'_>) -> Way {
    let place = place::place(client);
    let to = match &place {
        Some(place) => format!("in `{}`", place.shown()),
        None => "where the client keeps its servers".to_owned(),
    };
    let members = place.as_ref().map_or("mcpServers", |place| place.members);
    if client == Client::Codex {
        let text = toml(members, server);
        return Way { to, language: Language::Toml, text };
    }
    let document = json!({ members: { server.name: entry(client, server) } });
    Way { to, language: Language::Json, text: format!("{document:#}") }
}

/// What a client's file says of a server.
pub(crate) fn entry(client: Client, server: Server<'_>) -> Value {
    let Server { url, token, .. } = server;
    if client == Client::Claude {
        return through_a_program(server);
    }
    let (address, kind) = match client {
        Client::Windsurf => ("serverUrl", None),
        Client::GeminiCli => ("httpUrl", None),
        Client::ClaudeCode | Client::Vscode | Client::Json => ("url", Some("http")),
        _ => ("url", None),
    };
    let mut members = Map::new();
    members.insert(address.to_owned(), json!(url));
    if let Some(kind) = kind {
        members.insert("type".to_owned(), json!(kind));
    }
    if let Some(token) = token {
        let headers = if client == Client::Codex { "http_headers" } else { "headers" };
        members.insert(headers.to_owned(), json!({ "Authorization": format!("Bearer {token}") }));
    }
    Value::Object(members)
}

/// Claude's desktop program starts servers of its file itself; one that is elsewhere is reached through a program that speaks to it.
fn through_a_program(Server { url, token, .. }: Server<'_>) -> Value {
    let mut args = vec!["-y".to_owned(), "mcp-remote".to_owned(), url.to_owned()];
    let mut members = Map::new();
    if let Some(token) = token {
        // On some systems a space in an argument is lost on the way.
        args.extend(["--header".to_owned(), "Authorization:${AUTHORIZATION}".to_owned()]);
        members.insert("env".to_owned(), json!({ "AUTHORIZATION": format!("Bearer {token}") }));
    }
    if url.starts_with("http://") {
        args.push("--allow-http".to_owned());
    }
    members.insert("command".to_owned(), json!("npx"));
    members.insert("args".to_owned(), json!(args));
    Value::Object(members)
}

fn toml(table: &str, Server { name, url, token }: Server<'_>) -> String {
    let header = |token| {
        let header = quoted(&format!("Bearer {token}"));
        format!("http_headers = {{ \"Authorization\" = {header} }}\n")
    };
    format!("[{table}.{name}]\nurl = {}\n{}", quoted(url), token.map(header).unwrap_or_default())
}

fn goose(Server { name, url, token }: Server<'_>) -> Way {
    let header = |token| {
        let header = quoted(&format!("Bearer {token}"));
        format!("    headers:\n      Authorization: {header}\n")
    };
    let text = format!(
        "extensions:\n  {name}:\n    enabled: true\n    type: streamable_http\n    name: {}\n    uri: {}\n    timeout: 300\n{}",
        quoted(name),
        quoted(url),
        token.map(header).unwrap_or_default()
    );
    let to = "in `~/.config/goose/config.yaml`".to_owned();
    Way { to, language: Language::Yaml, text }
}

/// A text as JSON, which TOML and YAML read too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// RFC 3986 §2.1. Clients decode with it, and do not take `+` for a space.
fn percent_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://berth.example/mcp/default/clock";

    fn connected(client: Client, token: Option<&str>) -> Connection {
        connection(client, Server { name: "clock", url: URL, token })
    }

    /// The texts that say it with a token; documents are compared as such, since the order of their members says nothing.
    #[test]
    fn with_a_token() {
        #[track_caller]
        fn check(client: Client, expected: &[&str]) {
            let found = connected(client, Some("berth_abc"));
            let read = |text: &str| {
                serde_json::from_str::<Value>(text).unwrap_or_else(|_| Value::from(text.trim_end()))
            };
            let found: Vec<Value> = found.ways.iter().map(|way| read(&way.text)).collect();
            let expected: Vec<Value> = expected.iter().map(|text| read(text)).collect();
            assert_eq!(found, expected, "{client:?}");
        }
        let auth = r#"{"Authorization":"Bearer berth_abc"}"#;
        check(
            Client::Claude,
            &[&format!(
                r#"{{"mcpServers":{{"clock":{{"command":"npx","args":["-y","mcp-remote","{URL}","--header",
                "Authorization:${{AUTHORIZATION}}"],"env":{{"AUTHORIZATION":"Bearer berth_abc"}}}}}}}}"#
            )],
        );
        check(
            Client::ClaudeCode,
            &[
                &format!(
                    "claude mcp add --transport http clock {URL} --header \"Authorization: Bearer berth_abc\""
                ),
                &format!(r#"{{"mcpServers":{{"clock":{{"type":"http","url":"{URL}","headers":{auth}}}}}}}"#),
            ],
        );
        check(
            Client::Cursor,
            &[&format!(r#"{{"mcpServers":{{"clock":{{"url":"{URL}","headers":{auth}}}}}}}"#)],
        );
        check(
            Client::Vscode,
            &[&format!(r#"{{"servers":{{"clock":{{"type":"http","url":"{URL}","headers":{auth}}}}}}}"#)],
        );
        check(
            Client::Windsurf,
            &[&format!(r#"{{"mcpServers":{{"clock":{{"serverUrl":"{URL}","headers":{auth}}}}}}}"#)],
        );
        check(
            Client::Zed,
            &[&format!(r#"{{"context_servers":{{"clock":{{"url":"{URL}","headers":{auth}}}}}}}"#)],
        );
        check(
            Client::Codex,
            &[&format!(
                "[mcp_servers.clock]\nurl = \"{URL}\"\nhttp_headers = {{ \"Authorization\" = \"Bearer berth_abc\" }}"
            )],
        );
        check(
            Client::GeminiCli,
            &[
                &format!(
                    "gemini mcp add --scope user --transport http --header \"Authorization: Bearer berth_abc\" clock {URL}"
                ),
                &format!(r#"{{"mcpServers":{{"clock":{{"httpUrl":"{URL}","headers":{auth}}}}}}}"#),
            ],
        );
        check(
            Client::Goose,
            &[&format!(
                "extensions:\n  clock:\n    enabled: true\n    type: streamable_http\n    name: \"clock\"\n    uri: \"{URL}\"\n    \
                 timeout: 300\n    headers:\n      Authorization: \"Bearer berth_abc\""
            )],
        );
        check(Client::ChatGpt, &[]);
        check(
            Client::Json,
            &[&format!(r#"{{"mcpServers":{{"clock":{{"type":"http","url":"{URL}","headers":{auth}}}}}}}"#)],
        );
    }

    #[test]
    fn without_a_token_nothing_speaks_of_one() {
        for client in Client::ALL {
            let shown = format!("{:?}", connected(client, None));
            assert!(!shown.contains("Authorization") && !shown.contains("Bearer"), "{client:?}: {shown}");
        }
        let codex = connected(Client::Codex, None);
        assert_eq!(codex.ways[0].text, format!("codex mcp add clock --url {URL}"));
        let local = Server { name: "clock", url: "http://127.0.0.1:8420/mcp/default/clock", token: None };
        assert!(connection(Client::Claude, local).ways[0].text.contains("--allow-http"));
    }

    #[test]
    fn links() {
        #[track_caller]
        fn check(client: Client, token: Option<&str>, expected: &str) {
            let link = connected(client, token).link.unwrap();
            assert!(link.is_complete);
            assert_eq!(link.href, expected, "{client:?}");
        }
        let config = STANDARD.encode(format!(r#"{{"url":"{URL}"}}"#)).replace('=', "%3D").replace('+', "%2B");
        check(
            Client::Cursor,
            None,
            &format!("cursor://anysphere.cursor-deeplink/mcp/install?name=clock&config={config}"),
        );
        check(
            Client::Goose,
            Some("berth_a"),
            "goose://extension?url=https%3A%2F%2Fberth.example%2Fmcp%2Fdefault%2Fclock&type=streamable_http&id=clock\
             &name=clock&description=&header=Authorization%3DBearer%20berth_a",
        );
        let vscode = connected(Client::Vscode, None).link.unwrap().href;
        let encoded = vscode.strip_prefix("vscode:mcp/install?").unwrap();
        let (decoded, _) = form_urlencoded::parse(encoded.as_bytes()).next().unwrap();
        let document: Value = serde_json::from_str(&decoded).unwrap();
        assert_eq!(document, json!({ "name": "clock", "type": "http", "url": URL }));
        for client in [Client::Zed, Client::Codex, Client::Windsurf, Client::Json] {
            assert_eq!(connected(client, None).link, None, "{client:?}");
        }
    }

    #[test]
    fn words() {
        for client in Client::ALL {
            assert_eq!(Client::of_word(client.word()), Some(client));
        }
        assert_eq!(Client::of_word("netscape"), None);
        let server = Server { name: "clock", url: URL, token: Some("berth_abc") };
        assert!(!format!("{server:?}").contains("berth_abc"));
    }
}
